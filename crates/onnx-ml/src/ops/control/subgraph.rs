//! A subgraph is a graph in an attribute of a node. It may use values of the outer graph, which
//! contains the node.
//!
//! The inputs of a [`Subgraph`] are the subgraph's own inputs, followed by the values of the outer graph that the
//! subgraph uses. If a value of the outer graph is known when the model is loaded, the value is known in the subgraph
//! too. At run time, shapes pass in and out of a subgraph as integers. tract would pass shapes as dimensions (`TDim`),
//! but the symbols of a dimension have no meaning in a different graph.

use crate::passes;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tract_onnx::model::{ParseResult, ParsingContext};
use tract_onnx::pb::GraphProto;
use tract_onnx::tract_hir::internal::*;

/// A parsed subgraph, before the types and shapes of its inputs are known.
#[derive(Debug, Clone)]
pub struct Subgraph {
    model: InferenceModel,
    /// Names of the values of the outer graph, which are the last inputs of `model`.
    pub outer: Vec<String>,
}

impl Subgraph {
    /// Parses `graph`, an attribute of a node.
    ///
    /// # Errors
    ///
    /// Returns an error if tract cannot parse the graph, or if an output is not a value of the
    /// subgraph.
    pub fn parse(context: &ParsingContext, graph: &GraphProto) -> TractResult<Subgraph> {
        let inputs = graph.input.iter().map(|input| &input.name);
        let constants = graph.initializer.iter().map(|tensor| &tensor.name);
        let nodes = graph.node.iter().flat_map(|node| &node.output);
        let values: HashSet<&String> = inputs.chain(constants).chain(nodes).collect();
        for output in &graph.output {
            let is_defined = values.contains(&output.name);
            ensure!(
                is_defined,
                "output `{}` of the subgraph: expected an input, an initializer or an output of a node, \
                 found none",
                output.name
            );
        }
        let ParseResult { model, unresolved_inputs, .. } = context.parse_graph(graph)?;
        Ok(Subgraph { model, outer: unresolved_inputs })
    }

    /// Returns the number of inputs, including the values of the outer graph.
    pub fn input_count(&self) -> usize {
        self.model.inputs.len()
    }

    /// Returns the number of outputs.
    pub fn output_count(&self) -> usize {
        self.model.outputs.len()
    }

    /// Returns the rank that the graph declares for the input at index `input`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such input.
    pub fn declared_rank(&self, input: usize) -> TractResult<Option<usize>> {
        Ok(self.model.input_fact(input)?.shape.rank().concretize().map(|rank| rank as usize))
    }

    /// Infers the facts of the outputs from the facts of the inputs.
    ///
    /// # Errors
    ///
    /// Returns an error if an operator does not accept its inputs.
    pub fn infer(&self, inputs: &[InferenceFact]) -> TractResult<TVec<InferenceFact>> {
        let mut model = self.model.clone();
        for (index, fact) in inputs.iter().enumerate() {
            model.set_input_fact(index, fact.clone())?;
        }
        model.analyse(false)?;
        (0..self.output_count()).map(|index| Ok(model.output_fact(index)?.clone())).collect()
    }

    /// Converts the subgraph to a typed model for inputs with the facts `inputs`.
    ///
    /// # Errors
    ///
    /// Returns an error if an operator does not accept its inputs.
    pub fn typed(&self, inputs: &[TypedFact]) -> TractResult<TypedModel> {
        let mut model = self.model.clone();
        for (index, fact) in inputs.iter().enumerate() {
            model.set_input_fact(index, fact.into())?;
        }
        model.into_typed()?.into_decluttered()
    }
}

/// Adds the nodes of `model` to `target`, and returns the outlets of `target` that are the outputs
/// of `model`. `inputs` are the outlets of `target` that replace the inputs of `model`. The names
/// of the nodes begin with `prefix`.
///
/// # Errors
///
/// Returns an error if a node does not accept its inputs.
pub fn inline(
    model: &TypedModel,
    prefix: &str,
    target: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let mut outlets: HashMap<OutletId, OutletId> =
        model.input_outlets()?.iter().copied().zip(inputs.iter().copied()).collect();
    for id in model.eval_order()? {
        let node = model.node(id);
        if TypedModel::is_source(&node.op) {
            continue;
        }
        let inputs: TVec<OutletId> = node.inputs.iter().map(|input| outlets[input]).collect();
        let wired = target.wire_node(format!("{prefix}.{}", node.name), &node.op, &inputs)?;
        outlets.extend(
            wired.into_iter().enumerate().map(|(slot, out)| (OutletId::new(id, slot), out)),
        );
    }
    Ok(model.output_outlets()?.iter().map(|output| outlets[output]).collect())
}

/// A subgraph that is ready to run.
#[derive(Debug, Clone)]
pub struct Runnable {
    /// The model before optimization. [`Runnable::with_symbols`] needs it.
    pub model: Arc<TypedModel>,
    pub plan: Arc<TypedRunnableModel>,
}

impl Runnable {
    /// Optimizes `model` and plans its execution.
    ///
    /// # Errors
    ///
    /// Returns an error if tract cannot plan the model.
    pub fn new(model: TypedModel) -> TractResult<Runnable> {
        let plan = passes::optimize(model.clone())?.into_runnable()?;
        Ok(Runnable { model: Arc::new(model), plan })
    }

    /// Returns the subgraph with `values` substituted for symbols.
    ///
    /// # Errors
    ///
    /// Returns an error if tract cannot plan the model with these values.
    pub fn with_symbols(&self, values: &HashMap<Symbol, TDim>) -> TractResult<Runnable> {
        Runnable::new(self.model.set_symbols(values)?)
    }
}

/// Evaluates tensors of dimensions (`TDim`) in `values` with the symbols of this run. Other tensors
/// stay unchanged.
pub fn resolved(context: &EvalContext, values: TVec<TValue>) -> TractResult<TVec<TValue>> {
    let resolved = values.into_iter().map(|value| {
        if !value.datum_type().is_tdim() {
            return Ok(value);
        }
        let dims = value.try_as_plain_ram()?;
        let dims = dims.as_slice::<TDim>()?.iter().map(|dim| dim.eval(context.symbols)).collect();
        let dims = tract_ndarray::ArrayD::from_shape_vec(value.shape(), dims)?;
        Ok(dims.into_tensor().into_tvalue())
    });
    resolved.collect()
}

/// Returns `fact` with `values` substituted for symbols in its shape.
pub fn substituted(fact: &TypedFact, values: &HashMap<Symbol, TDim>) -> TractResult<TypedFact> {
    let shape = fact.shape.iter().map(|dim| dim.substitute_all(values));
    Ok(fact.datum_type.fact(shape.collect::<TractResult<TVec<TDim>>>()?))
}
