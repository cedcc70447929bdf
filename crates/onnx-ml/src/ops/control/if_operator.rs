//! [If](https://onnx.ai/onnx/operators/onnx__If.html): runs one of two subgraphs.
//!
//! If the condition is known when the model is loaded, the nodes of the branch to run replace the
//! operator. The other branch is ignored, and may be invalid for the inputs. If the condition is
//! computed at run time, the outputs of both branches must have equal types and ranks; their
//! dimensions may differ. There is one exception: if the ranks differ only by axes of length 1, as
//! in an exported `KNNImputer`, these axes are removed from the output with the higher rank.

use crate::operator::adapter::Built;
use crate::ops::control::subgraph::{self, Runnable, Subgraph};
use crate::ops::control::subgraph_op::{RunSubgraphs, SubgraphOp};
use crate::passes::integer_outputs;
use std::collections::HashMap;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Builds the operator. The inputs of the operator are the condition and the values of the outer graph that the
/// branches use.
pub fn if_operator(context: &ParsingContext, node: &NodeProto) -> Built {
    let parse = |name: &str| {
        let graph = Subgraph::parse(context, node.get_attr(name)?)?;
        let found = graph.input_count() - graph.outer.len();
        node.expect_attr(name, found == 0, || {
            format!("a graph without inputs, found {found} inputs")
        })?;
        let (expected, found) = (node.output.len(), graph.output_count());
        node.expect_attr(name, expected == found, || {
            format!("a graph with {expected} outputs, found {found}")
        })?;
        TractResult::Ok(graph)
    };
    let graphs = [parse("then_branch")?, parse("else_branch")?];
    node.expect(node.input.len() == 1, || format!("1 input, found {}", node.input.len()))?;
    let mut outer: Vec<String> = graphs.iter().flat_map(|graph| graph.outer.clone()).collect();
    outer.sort();
    outer.dedup();
    let branches = graphs.map(|graph| {
        // Input 0 is the condition. The names are sorted.
        let position = |name| 1 + outer.partition_point(|outer| outer < name);
        Branch { inputs: graph.outer.iter().map(position).collect(), graph }
    });
    Ok((Box::new(If(branches)), outer))
}

/// A branch before its inputs are known.
#[derive(Debug, Clone)]
struct Branch {
    graph: Subgraph,
    /// For each input of the graph, the index of the operator's input whose value it receives.
    inputs: Vec<usize>,
}

impl Branch {
    /// Returns the elements for the inputs of the graph. `inputs` has one element for each input of
    /// the operator.
    fn select<T: Clone>(&self, inputs: &[T]) -> TVec<T> {
        self.inputs.iter().map(|input| inputs[*input].clone()).collect()
    }
}

/// The operator before its inputs are known: the branch for `true`, and the branch for `false`.
#[derive(Debug, Clone)]
struct If([Branch; 2]);

/// Two operators are never equal, as for [`SubgraphOp`].
impl PartialEq for If {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for If {}

impl If {
    /// Returns the branch to run.
    fn branch(&self, condition: &Tensor) -> TractResult<&Branch> {
        let [then_branch, else_branch] = &self.0;
        Ok(if is_true(condition)? { then_branch } else { else_branch })
    }
}

/// Returns the value of the condition.
fn is_true(condition: &Tensor) -> TractResult<bool> {
    let (found, shape) = (condition.datum_type(), condition.shape());
    let is_boolean = found == bool::datum_type() && condition.len() == 1;
    ensure!(
        is_boolean,
        "expected one boolean as the condition, found {found:?} of shape {shape:?}"
    );
    condition.cast_to_scalar::<bool>()
}

impl Op for If {
    fn name(&self) -> StaticName {
        "If".into()
    }

    not_a_typed_op!();
}

impl EvalOp for If {
    not_out_of_plan!();
}

impl InferenceOp for If {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        let inputs: TVec<InferenceFact> = inputs.into_iter().cloned().collect();
        let mut outputs: TVec<InferenceFact> = outputs.into_iter().cloned().collect();
        if let Some(condition) = inputs[0].value.concretize() {
            let branch = self.branch(&condition)?;
            let found = branch.graph.infer(&branch.select(&inputs))?;
            for (output, found) in outputs.iter_mut().zip(found) {
                output.unify_with(&found)?;
            }
        } else {
            let infer = |branch: &Branch| branch.graph.infer(&branch.select(&inputs));
            // Inference fails for one branch. Leave the outputs open: the condition may become
            // known later, and select the other branch.
            let [Ok(first), Ok(second)] = self.0.each_ref().map(infer) else {
                return Ok((inputs, outputs, observed.into_iter().cloned().collect()));
            };
            for (output, (first, second)) in outputs.iter_mut().zip(first.iter().zip(&second)) {
                output.unify_with(&common(first, second))?;
            }
        }
        Ok((inputs, outputs, observed.into_iter().cloned().collect()))
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.0[0].graph.output_count())
    }

    fn to_typed(
        &self,
        _: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let inputs: TVec<OutletId> = node.inputs.iter().map(|input| mapping[input]).collect();
        let facts = inputs.iter().map(|input| target.outlet_fact(*input).cloned());
        let facts = facts.collect::<TractResult<TVec<TypedFact>>>()?;
        if let Some(condition) = &facts[0].konst {
            let branch = self.branch(condition)?;
            let model = branch.graph.typed(&branch.select(&facts))?;
            return subgraph::inline(&model, &node.name, target, &branch.select(&inputs));
        }
        let [then_model, else_model] = self.0.each_ref().map(|branch| {
            let mut model = branch.graph.typed(&branch.select(&facts))?;
            integer_outputs::cast_dimensions(&mut model)?;
            TractResult::Ok(model)
        });
        let mut models = [then_model?, else_model?];
        align_ranks(&mut models)?;
        let outputs = (0..self.nboutputs()?)
            .map(|index| {
                let [first, second] = models.each_ref().map(|model| model.output_fact(index));
                merged(first?, second?, target).with_context(|| format!("output {index}"))
            })
            .collect::<TractResult<_>>()?;
        let [then_model, else_model] = models.map(Runnable::new);
        let branches = Branches {
            branches: [then_model?, else_model?],
            input_indices: self.0.each_ref().map(|branch| branch.inputs.clone()),
        };
        target.wire_node(&node.name, SubgraphOp { run: branches, outputs }, &inputs)
    }

    as_op!();
}

/// Returns the parts of an output's fact that are equal in both branches. Dimensions (`TDim`) and integers count as the
/// same type.
fn common(first: &InferenceFact, second: &InferenceFact) -> InferenceFact {
    let mut fact = InferenceFact::default();
    let integers = [first, second].map(|fact| match fact.datum_type.concretize() {
        Some(datum_type) if datum_type.is_tdim() => Some(i64::datum_type()),
        datum_type => datum_type,
    });
    if let [Some(first), Some(second)] = integers
        && first == second
    {
        fact = fact.with_datum_type(first);
    }
    let ranks = [first, second].map(|fact| fact.shape.rank().concretize());
    if let [Some(first_rank), Some(second_rank)] = ranks
        && first_rank == second_rank
    {
        let dims = first.shape.dims().zip(second.shape.dims()).map(|(first, second)| {
            if first == second { first.clone() } else { GenericFactoid::Any }
        });
        fact = fact.with_shape(ShapeFactoid::closed(dims.collect()));
    }
    fact
}

/// For each output whose ranks differ between the branches, removes axes of length 1 from the
/// output with the higher rank, if the ranks are then equal.
fn align_ranks(models: &mut [TypedModel; 2]) -> TractResult<()> {
    let outputs = models.each_ref().map(|model| model.output_outlets().map(<[OutletId]>::to_vec));
    let [Ok(mut first), Ok(mut second)] = outputs else { return Ok(()) };
    for (first, second) in first.iter_mut().zip(&mut second) {
        let ranks = [models[0].outlet_fact(*first)?.rank(), models[1].outlet_fact(*second)?.rank()];
        let (model, outlet) =
            if ranks[0] > ranks[1] { (&mut models[0], first) } else { (&mut models[1], second) };
        let ones = model.outlet_fact(*outlet)?.shape.iter().enumerate().rev();
        let ones: Vec<usize> = ones.filter(|(_, dim)| dim.is_one()).map(|(axis, _)| axis).collect();
        if ones.len() == ranks[0].abs_diff(ranks[1]) {
            for axis in ones {
                let name = format!("{}.rm_{axis}", model.node(outlet.node).name);
                *outlet = model.wire_node(name, AxisOp::Rm(axis), &[*outlet])?[0];
            }
        }
    }
    models[0].select_output_outlets(&first)?;
    models[1].select_output_outlets(&second)
}

/// Returns the fact of an output from its facts in both branches. A dimension that differs between
/// the branches becomes a new symbol.
fn merged(first: &TypedFact, second: &TypedFact, target: &TypedModel) -> TractResult<TypedFact> {
    let types = [first.datum_type, second.datum_type];
    ensure!(types[0] == types[1], "expected the same type in both branches, found {types:?}");
    let ranks = [first.rank(), second.rank()];
    ensure!(ranks[0] == ranks[1], "expected the same rank in both branches, found {ranks:?}");
    let dims = first.shape.iter().zip(second.shape.iter()).map(|(first, second)| {
        if first == second { first.clone() } else { target.symbols.new_with_prefix("if").into() }
    });
    Ok(types[0].fact(dims.collect::<TVec<TDim>>()))
}

/// [`If`] with a condition that is computed at run time.
#[derive(Debug, Clone)]
struct Branches {
    /// The branch for `true`, and the branch for `false`.
    branches: [Runnable; 2],
    /// For each input of each branch, the index of the operator's input whose value it receives.
    input_indices: [Vec<usize>; 2],
}

impl RunSubgraphs for Branches {
    const NAME: &'static str = "If";

    fn run(
        &self,
        _: &EvalContext,
        _: &[TypedFact],
        inputs: TVec<TValue>,
    ) -> TractResult<TVec<TValue>> {
        let branch = usize::from(!is_true(&inputs[0])?);
        let indices = self.input_indices[branch].iter();
        let branch_inputs = indices.map(|index| inputs[*index].clone()).collect();
        self.branches[branch].plan.run(branch_inputs)
    }

    fn with_symbols(&self, values: &HashMap<Symbol, TDim>) -> TractResult<Branches> {
        let [then_branch, else_branch] =
            self.branches.each_ref().map(|branch| branch.with_symbols(values));
        Ok(Branches {
            branches: [then_branch?, else_branch?],
            input_indices: self.input_indices.clone(),
        })
    }
}
