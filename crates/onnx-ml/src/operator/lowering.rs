//! The interface of operators that are computed by a combination of other tract operators.
//!
//! A [`Lowering`] has two methods. [`Lowering::rules`] relates the types and shapes of inputs and
//! outputs. [`Lowering::wire`] adds the nodes that compute the outputs to a typed model. [`lower`]
//! wraps a lowering in a tract operator, which takes part in tract's inference of types and shapes.

use super::adapter::Built;
use std::fmt::Debug;
use tract_onnx::tract_hir::internal::*;

/// An operator that other tract operators compute.
pub trait Lowering: Debug + Clone + Send + Sync + 'static {
    /// Returns the name of the operator.
    fn name(&self) -> StaticName;

    /// Returns the number of outputs. The default is 1.
    fn outputs(&self) -> usize {
        1
    }

    /// Adds rules to tract's solver. The rules relate the types and shapes of the outputs to the types and shapes of
    /// the inputs. The default is for an operator with one input and one output that have the same type and shape.
    ///
    /// # Errors
    ///
    /// Returns an error if the number of inputs or outputs is wrong. The solver returns an error if
    /// the types or shapes contradict the rules.
    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    /// Adds the nodes that compute the operator, and returns the operator's outputs.
    ///
    /// # Errors
    ///
    /// Returns an error if one of the added nodes does not accept its inputs.
    fn wire(&self, wiring: Wiring, inputs: &[OutletId]) -> TractResult<TVec<OutletId>>;
}

/// The inputs and the outputs of an operator during tract's inference, as `[inputs, outputs]`.
pub type Io<'r> = [&'r [TensorProxy]; 2];

/// The model that receives the nodes of a lowered operator.
pub struct Wiring<'a> {
    /// Name of the operator's node. The name of each added node begins with this prefix.
    pub prefix: &'a str,
    /// The model to which the nodes are added.
    pub model: &'a mut TypedModel,
}

impl Wiring<'_> {
    /// Returns the type and shape of a tensor, and its value if the tensor is a constant.
    pub fn fact(&self, outlet: OutletId) -> TractResult<&TypedFact> {
        self.model.outlet_fact(outlet)
    }

    /// Adds a node with the name `{prefix}.{name}`, and returns the first output of the node.
    pub fn node(
        &mut self,
        name: &str,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> TractResult<OutletId> {
        Ok(self.model.wire_node(format!("{}.{name}", self.prefix), op, inputs)?[0])
    }

    /// Adds the last node, which takes over the name of the lowered operator, and returns the
    /// outputs of the node.
    pub fn last(
        self,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        self.model.wire_node(self.prefix, op, inputs)
    }

    /// Adds a constant with the name `{prefix}.{name}`, the single element `value`, type
    /// `datum_type` and rank `rank`.
    pub fn constant(
        &mut self,
        name: &str,
        value: f32,
        datum_type: DatumType,
        rank: usize,
    ) -> TractResult<OutletId> {
        let value = tensor0(value).cast_to_dt(datum_type)?.into_owned();
        let name = format!("{}.{name}", self.prefix);
        self.model.add_const(name, value.broadcast_into_rank(rank)?)
    }
}

/// Wraps `lowering` in a tract operator.
///
/// The function never fails. The result is a `Result` because tract expects this type from
/// functions that build operators.
pub fn lower<L: Lowering>(lowering: L) -> Built {
    Ok((expand(Lowered(lowering)), vec![]))
}

/// The tract operator that is computed by a [`Lowering`].
#[derive(Debug, Clone)]
pub struct Lowered<L>(pub L);

impl<L: Lowering> Expansion for Lowered<L> {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.0.outputs())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.0.rules(solver, [inputs, outputs])
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        self.0.wire(Wiring { prefix, model }, inputs)
    }
}
