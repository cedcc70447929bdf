//! Adapter to tract for operators that run subgraphs: `If` with a computed condition, and `Loop`.

use super::subgraph::{resolved, substituted};
use std::collections::HashMap;
use std::fmt::Debug;
use tract_onnx::tract_hir::internal::*;

/// The semantics of an operator that runs subgraphs.
pub trait RunSubgraphs: Debug + Clone + Send + Sync + 'static {
    /// Name of the operator.
    const NAME: &'static str;

    /// Computes the outputs. `outputs` are the facts of the outputs.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not accept the inputs, or if a subgraph fails.
    fn run(
        &self,
        context: &EvalContext,
        outputs: &[TypedFact],
        inputs: TVec<TValue>,
    ) -> TractResult<TVec<TValue>>;

    /// Returns the operator with `values` substituted for symbols in its subgraphs.
    ///
    /// # Errors
    ///
    /// Returns an error if tract cannot plan a subgraph with these values.
    fn with_symbols(&self, values: &HashMap<Symbol, TDim>) -> TractResult<Self>;
}

/// An operator of tract that runs subgraphs.
#[derive(Debug, Clone)]
pub struct SubgraphOp<R> {
    pub run: R,
    /// Facts of the outputs.
    pub outputs: TVec<TypedFact>,
}

/// Two operators are never equal, so that tract does not merge them. Comparing their subgraphs
/// would take too long.
impl<R> PartialEq for SubgraphOp<R> {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl<R> Eq for SubgraphOp<R> {}

impl<R: RunSubgraphs> Op for SubgraphOp<R> {
    fn name(&self) -> StaticName {
        R::NAME.into()
    }

    fn mints_runtime_symbols(&self) -> bool {
        true
    }

    op_as_typed_op!();
}

impl<R: RunSubgraphs> EvalOp for SubgraphOp<R> {
    not_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.run.run(context, &self.outputs, resolved(context, inputs)?)
    }
}

impl<R: RunSubgraphs> TypedOp for SubgraphOp<R> {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.outputs.clone())
    }

    fn set_symbols(
        &self,
        _: &TypedModel,
        node: &TypedNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
        values: &HashMap<Symbol, TDim>,
    ) -> TractResult<TVec<OutletId>> {
        let inputs: TVec<OutletId> = node.inputs.iter().map(|input| mapping[input]).collect();
        let outputs = self.outputs.iter().map(|fact| substituted(fact, values));
        let outputs = outputs.collect::<TractResult<_>>()?;
        let op = SubgraphOp { run: self.run.with_symbols(values)?, outputs };
        target.wire_node(&node.name, op, &inputs)
    }

    as_op!();
}
