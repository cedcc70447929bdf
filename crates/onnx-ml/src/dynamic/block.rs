//! Consecutive nodes of a graph with their plan, which was made for the shapes of a run.

use crate::dynamic::cache::Weighted;
use crate::dynamic::value::Value;
use crate::dynamic::values::Values;
use std::sync::Arc;
use tract_onnx::prelude::*;

/// Consecutive nodes.
#[derive(Debug)]
pub struct Block {
    /// `None` if the nodes compute constants only.
    pub plan: Option<Plan>,
    /// Values that depend on shapes only and that later nodes read.
    pub constants: Vec<(usize, Arc<Tensor>)>,
    /// Index of the first node after the block. The block ends there because the shapes of the
    /// node's outputs depend on values.
    pub end: usize,
    /// Size of the weights that no plan and no graph had before, in bytes.
    pub bytes: usize,
}

/// A plan of tract, with the values of the graph that are its inputs and outputs.
#[derive(Debug)]
pub struct Plan {
    pub runnable: Arc<TypedRunnableModel>,
    pub inputs: Vec<usize>,
    pub outputs: Vec<usize>,
}

impl Weighted for Block {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Block {
    /// Runs the plan, and adds its outputs to `values`.
    ///
    /// # Errors
    ///
    /// Returns an error if an operator rejects its inputs.
    pub fn run(&self, values: &mut Values) -> TractResult<()> {
        for (id, tensor) in &self.constants {
            values.insert_constant(*id, Arc::clone(tensor));
        }
        if let Some(plan) = &self.plan {
            let inputs = plan.inputs.iter().map(|id| values.tensor(*id).cloned());
            let outputs = plan.runnable.run(inputs.collect::<TractResult<_>>()?)?;
            for (id, output) in plan.outputs.iter().zip(outputs) {
                values.insert(*id, Value::Tensor(output));
            }
        }
        Ok(())
    }
}
