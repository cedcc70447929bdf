//! Consecutive nodes of a graph, and the plan that computes these nodes for the shapes of a run.

use crate::dynamic::cache::Weighted;
use crate::dynamic::value::Value;
use crate::dynamic::values::Values;
use std::sync::Arc;
use tract_onnx::prelude::*;

/// Consecutive nodes of a graph, as tract runs them.
#[derive(Debug)]
pub struct Block {
    /// The plan that computes the nodes. `None` if there is nothing to compute: all outputs of the nodes are
    /// `constants`, or the block has no nodes. If tract cannot make a plan, the block has no nodes, and `end` is the
    /// index at which the block begins.
    pub plan: Option<Plan>,
    /// Outputs of the nodes that depend only on shapes and that later nodes read. An entry is the index of the value
    /// and the value.
    pub constants: Vec<(usize, Arc<Tensor>)>,
    /// Index of the first node after the block, which cannot be part of the plan and is evaluated alone. If the block
    /// contains the last node, `end` is the number of nodes in the graph.
    pub end: usize,
    /// Size of the weights that no other plan has and that are no constants of the graph, in bytes.
    pub bytes: usize,
}

/// A plan of tract. `inputs` and `outputs` are the indices of the values in the graph that are the plan's inputs and
/// outputs.
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
    /// Adds the constants to `values`. If there is a plan, runs the plan and adds its outputs to `values`.
    ///
    /// # Errors
    ///
    /// Returns an error if a value does not exist, or if an operator rejects its inputs.
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
