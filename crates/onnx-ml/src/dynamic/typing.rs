//! The conversion of a node to a typed model of tract, for inputs of known shape.

use crate::dynamic::context::Context;
use crate::dynamic::control::Call;
use crate::dynamic::graph::{Node, ValueId};
use crate::dynamic::sequences::OPERATORS;
use crate::operator::tensors::check_size;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// An input of a node that is to be typed.
#[derive(Debug, Clone)]
pub enum Input {
    Constant(Arc<Tensor>),
    /// Type and shape of a tensor that is computed in each run.
    Fact(DatumType, Box<[usize]>),
}

impl Node {
    /// Returns an [`Input`] for each value of [`Node::reads`], or `None` if `input` has none for a
    /// value.
    pub fn inputs_from(&self, input: impl Fn(ValueId) -> Option<Input>) -> Option<Vec<Input>> {
        self.reads().map(input).collect()
    }

    /// Converts the node to a typed model. The inputs of the model are the [`Input::Fact`]s.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not accept the inputs, or if it must know the value of
    /// an [`Input::Fact`].
    pub fn typed(&self, context: &Context, inputs: &[Input]) -> TractResult<TypedModel> {
        let parsing = context.parsing();
        let op_type = &self.proto.op_type;
        let build = parsing.framework.op_register.0.get(op_type);
        let build = build.with_context(|| format!("expected a known operator, found {op_type}"))?;
        let (op, closures) = build(&parsing, &self.proto)?;
        // The operator may have created symbols in the scope of the template.
        let mut model = parsing.template.clone();
        let mut wires = Vec::with_capacity(inputs.len());
        for (index, input) in inputs.iter().enumerate() {
            let name = format!("{index}");
            wires.push(match input {
                Input::Constant(tensor) => model.add_const(name, Arc::clone(tensor))?,
                Input::Fact(datum_type, shape) => {
                    model.add_source(name, InferenceFact::dt_shape(*datum_type, shape))?
                }
            });
        }
        let outputs = self.outputs.iter().flatten().count();
        let facts = vec![InferenceFact::default(); outputs].into();
        let id = model.add_node("op", op, facts)?;
        let arguments = self.inputs.iter().flatten().count();
        let closures = closures.iter().map(|name| {
            let position = self.captures.iter().position(|(captured, _)| captured == name);
            let position = position.with_context(|| format!("expected a value `{name}`"))?;
            Ok(wires[arguments + position])
        });
        let closures = closures.collect::<TractResult<Vec<_>>>()?;
        let edges = wires[..arguments].iter().chain(&closures);
        for (slot, wire) in edges.enumerate() {
            model.add_edge(*wire, InletId::new(id, slot))?;
        }
        let outlets: Vec<OutletId> = (0..outputs).map(|slot| OutletId::new(id, slot)).collect();
        model.select_output_outlets(&outlets)?;
        let model = model.into_typed()?;
        for index in 0..outputs {
            check_size(&model.output_fact(index)?.shape.to_tvec())?;
        }
        Ok(model)
    }

    /// Computes the outputs from constants.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not accept the inputs.
    pub fn evaluate(&self, context: &Context, inputs: &[Input]) -> TractResult<TVec<TValue>> {
        self.typed(context, inputs)?.into_runnable()?.run(tvec!())
    }
}

/// Returns whether the operator is computed by this module instead of tract: it has subgraphs whose
/// shapes depend on the run, or inputs or outputs that are no tensors.
pub fn is_interpreted(op_type: &str) -> bool {
    Call::supports(op_type) || OPERATORS.contains(&op_type)
}

/// Returns whether the outputs differ from run to run.
pub fn is_random(op_type: &str) -> bool {
    op_type.starts_with("Random") || matches!(op_type, "Bernoulli" | "Multinomial")
}
