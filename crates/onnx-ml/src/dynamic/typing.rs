//! Converts a node to a typed model of tract, for inputs of known shapes.

use crate::dynamic::context::Context;
use crate::dynamic::control::Call;
use crate::dynamic::graph::{Node, ValueId};
use crate::dynamic::sequences::OPERATORS;
use crate::operator::tensors::check_size;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// An input of a node, for [`Node::typed`] and [`Node::evaluate`].
#[derive(Debug, Clone)]
pub enum Input {
    Constant(Arc<Tensor>),
    /// Type and shape of a tensor that is computed in each run.
    Fact(DatumType, Box<[usize]>),
}

impl Node {
    /// Returns the result of `input` for each value of [`Node::reads`]. Returns `None` if `input` returns `None` for a
    /// value.
    pub fn inputs_from(&self, input: impl Fn(ValueId) -> Option<Input>) -> Option<Vec<Input>> {
        self.reads().map(input).collect()
    }

    /// Converts the node to a typed model. Each [`Input::Fact`] becomes an input of the model.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not accept the inputs. Also returns an error if the shapes of the outputs
    /// depend on the value of an [`Input::Fact`].
    pub fn typed(&self, context: &Context, inputs: &[Input]) -> TractResult<TypedModel> {
        let parsing = context.parsing();
        let op_type = &self.proto.op_type;
        let build = parsing.framework.op_register.0.get(op_type);
        let build = build.with_context(|| format!("expected a known operator, found {op_type}"))?;
        let (op, closures) = build(&parsing, &self.proto)?;
        // The operator may have created symbols in the scope of the template, so the model must have the same scope.
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

    /// Computes the outputs of the node. All `inputs` must be constants.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not accept the inputs.
    pub fn evaluate(&self, context: &Context, inputs: &[Input]) -> TractResult<TVec<TValue>> {
        self.typed(context, inputs)?.into_runnable()?.run(tvec!())
    }
}

/// Checks the number of elements of each output of a node that is computed in a run. A few numbers, such as the repeats
/// of a Tile, can require any amount of memory.
///
/// # Errors
///
/// Returns an error if an output has more than 2^28 elements.
pub fn check_outputs(model: &TypedModel) -> TractResult<()> {
    /// Maximum number of elements of an output. 2^28 floats are 1 GiB.
    const MAX_ELEMENTS: usize = 1 << 28;
    for index in 0..model.outputs.len() {
        let shape = &model.output_fact(index)?.shape;
        let elements = shape.as_concrete().map_or(0, |shape| shape.iter().product::<usize>());
        ensure!(
            elements <= MAX_ELEMENTS,
            "expected an output of at most {MAX_ELEMENTS} elements, found shape {shape:?}"
        );
    }
    Ok(())
}

/// Returns whether `dynamic` itself computes the operator, because tract cannot run it. Such an operator has subgraphs
/// whose shapes depend on the run, or inputs or outputs that are not tensors.
pub fn is_interpreted(op_type: &str) -> bool {
    Call::supports(op_type) || OPERATORS.contains(&op_type)
}

/// Returns whether the operator returns different outputs in each run, because they are random.
pub fn is_random(op_type: &str) -> bool {
    op_type.starts_with("Random") || matches!(op_type, "Bernoulli" | "Multinomial")
}
