//! The interface of operators that are lowered to other operators.
//!
//! A [`Lowering`] states the types and shapes of an operator, and adds the nodes that compute it to a
//! typed model. [`lower`] makes an operator of it that takes part in tract's analysis.

use super::kernel::Built;
use std::fmt::Debug;
use tract_onnx::tract_hir::internal::*;

/// An operator that other operators compute.
pub trait Lowering: Debug + Clone + Send + Sync + 'static {
    /// Returns the name of the operator.
    fn name(&self) -> StaticName;

    /// Returns the number of outputs.
    fn outputs(&self) -> usize {
        1
    }

    /// States what is known of types and shapes. By default the operator has one input and one
    /// output, of the same type and shape.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not accept such inputs.
    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    /// Adds the nodes of the operator, and returns its outputs.
    ///
    /// # Errors
    ///
    /// Returns an error if a node does not accept its inputs.
    fn wire(&self, wiring: Wiring, inputs: &[OutletId]) -> TractResult<TVec<OutletId>>;
}

/// The inputs and the outputs of an operator during the analysis.
pub type Io<'r> = [&'r [TensorProxy]; 2];

/// The model that an operator is lowered into.
pub struct Wiring<'a> {
    /// The name of the operator's node. The names of the added nodes begin with it.
    pub prefix: &'a str,
    pub model: &'a mut TypedModel,
}

impl Wiring<'_> {
    /// Returns what is known of a value.
    pub fn fact(&self, outlet: OutletId) -> TractResult<&TypedFact> {
        self.model.outlet_fact(outlet)
    }

    /// Adds a node that is called `name` after the prefix, and returns its first output.
    pub fn node(
        &mut self,
        name: &str,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> TractResult<OutletId> {
        Ok(self.model.wire_node(format!("{}.{name}", self.prefix), op, inputs)?[0])
    }

    /// Adds the node that has the name of the operator's own, and returns its outputs.
    pub fn last(
        self,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        self.model.wire_node(self.prefix, op, inputs)
    }

    /// Adds a constant of one element, with type `datum_type` and rank `rank`.
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

/// Returns tract's operator for `lowering`.
///
/// # Errors
///
/// Returns no error. The type of the result is the one that tract's registry expects.
pub fn lower<L: Lowering>(lowering: L) -> Built {
    Ok((expand(Lowered(lowering)), vec![]))
}

/// tract's operator for a [`Lowering`].
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
