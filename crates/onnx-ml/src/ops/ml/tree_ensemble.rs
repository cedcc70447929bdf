//! [TreeEnsemble](https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html): replaces
//! TreeEnsembleClassifier and TreeEnsembleRegressor in version 5 of `ai.onnx.ml`.
//!
//! A branch can test whether a feature is a member of a set. For each of these branches, rows are extended by one
//! column, which is 1 if the feature is a member and 0 if not. The branch then compares that column with 1. The numbers
//! of post-transforms are the numbers in the specification. ONNX Runtime 1.32 swaps the numbers of softmax and
//! logistic.

use crate::kernels::trees::{Aggregate, Branch, Child, Description, Forest, Mode, Number, Scores};
use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, matrix, tensor};
use crate::ops::ml::post_transform::PostTransform;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::*;

/// Maximum number of elements in a block of extended rows.
const BLOCK: usize = 1 << 18;

#[derive(Debug, Deserialize, Serialize)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>"))]
pub struct TreeEnsemble<T: Number> {
    forest: Forest<T>,
    /// Sets in the order of the additional columns.
    sets: Vec<Set<T>>,
    /// Minimum number of columns of the input, so that every feature that a branch uses exists.
    columns: usize,
    /// Number of targets.
    targets: usize,
    aggregate: Aggregate,
    post_transform: PostTransform,
}

/// A set, and the feature whose membership a branch tests.
#[derive(Debug, Deserialize, Serialize)]
struct Set<T> {
    /// Column of the feature.
    feature: usize,
    /// The members in ascending order.
    members: Vec<T>,
}

/// Builds the operator in the precision of the attribute `nodes_splits`.
pub fn tree_ensemble(context: &ParsingContext, node: &NodeProto) -> Built {
    let splits = attribute(context, node, "nodes_splits")?;
    match splits.datum_type() {
        DatumType::F64 => build::<f64>(context, node, &splits),
        DatumType::F32 | DatumType::F16 => build::<f32>(context, node, &splits),
        found => node.bail_attr("nodes_splits", &format!("expected floats, found {found:?}")),
    }
}

/// Builds the operator in the precision `T`. `splits` holds the thresholds of the branches.
fn build<T: Number>(context: &ParsingContext, node: &NodeProto, splits: &Tensor) -> Built {
    let number =
        |name: &str, default: i64| node.get_attr_opt(name).map(|found| found.unwrap_or(default));
    let aggregate = match number("aggregate_function", 1)? {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        found => bail!("expected an aggregate_function from 0 to 3, found {found}"),
    };
    let post_transform = match number("post_transform", 0)? {
        0 => PostTransform::None,
        1 => PostTransform::Softmax,
        2 => PostTransform::Logistic,
        3 => PostTransform::SoftmaxZero,
        4 => PostTransform::Probit,
        found => bail!("expected a post_transform from 0 to 4, found {found}"),
    };
    let targets = node.get_attr_opt("n_targets")?.unwrap_or(1);
    let leaves = leaves(context, node, targets)?;
    let (mut branches, sets) = branches::<T>(context, node, splits, leaves.len())?;
    let columns = branches.iter().map(|branch| branch.feature + 1).max().unwrap_or(0);
    // The additional columns follow the columns of the input.
    for (column, (branch, _)) in (columns..).zip(&sets) {
        branches[*branch].feature = column;
    }
    let roots = node.get_attr_vec::<usize>("tree_roots")?.into_iter().map(Child::Branch).collect();
    let forest = Forest::new(Description { branches, leaves, roots, targets })?;
    let sets = sets.into_iter().map(|(_, set)| set).collect();
    operator(node, 1, TreeEnsemble { forest, sets, columns, targets, aggregate, post_transform })
}

impl<T: Number> Kernel for TreeEnsemble<T> {
    const NAME: &'static str = "TreeEnsemble";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let found = inputs[0].datum_type;
        ensure!(found.is_float(), "expected floats, found {found:?}");
        let (rows, columns) = inputs[0].matrix()?;
        if let Ok(columns) = columns.to_usize() {
            self.expect_columns(columns)?;
        }
        Ok(tvec!(Fact::new(found, [rows, self.targets.to_dim()])))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (rows, columns) = matrix(&inputs[0]);
        self.expect_columns(columns)?;
        let x = elements::<T>(&inputs[0])?;
        let x = x.try_as_plain_ram()?;
        let scores = self.scores(x.as_slice::<T>()?, rows, columns)?;
        let scores = tensor(&[rows, self.targets], scores)?;
        Ok(vec![scores.cast_to_dt(inputs[0].datum_type())?.into_owned()])
    }
}

impl<T: Number> TreeEnsemble<T> {
    /// Returns an error if the input has too few columns.
    fn expect_columns(&self, found: usize) -> TractResult<()> {
        ensure!(found >= self.columns, "expected {} columns or more, found {found}", self.columns);
        Ok(())
    }

    /// Returns the transformed scores `[rows, targets]` of the input `x`, `[rows, columns]`.
    fn scores(&self, x: &[T], rows: usize, columns: usize) -> TractResult<Vec<T>> {
        if self.sets.is_empty() {
            return Ok(self.finish(self.forest.scores(x, columns, rows, self.aggregate)?));
        }
        let width = self.columns + self.sets.len();
        let mut scores = Vec::with_capacity(rows * self.targets);
        let mut extended = vec![];
        for block in x.chunks((BLOCK / width).max(1) * columns) {
            extended.clear();
            for row in block.chunks_exact(columns) {
                extended.extend_from_slice(&row[..self.columns]);
                extended.extend(self.sets.iter().map(|set| set.membership(row)));
            }
            let rows = block.len() / columns;
            scores.extend(self.finish(self.forest.scores(
                &extended,
                width,
                rows,
                self.aggregate,
            )?));
        }
        Ok(scores)
    }

    /// Applies the post-transform, which computes in `f32`.
    fn finish(&self, scores: Scores<T>) -> Vec<T> {
        let mut scores = scores.scores;
        // If there is a single target, ONNX Runtime applies no transformation except PROBIT.
        let transformed = match self.post_transform {
            PostTransform::None => false,
            PostTransform::Probit => true,
            _ => self.targets > 1,
        };
        if transformed {
            let mut singles: Vec<f32> = scores.iter().map(|score| score.to_f32()).collect();
            self.post_transform.apply(&mut singles, self.targets);
            for (score, single) in scores.iter_mut().zip(singles) {
                *score = T::from_f64(single.into());
            }
        }
        scores
    }
}

impl<T: Number> Set<T> {
    fn new(feature: usize, members: &[T]) -> Set<T> {
        let mut members = members.to_vec();
        members.sort_by(compare);
        Set { feature, members }
    }

    /// Returns 1 if the row's feature is a member of the set, 0 if not, and NaN if the feature is
    /// NaN.
    fn membership(&self, row: &[T]) -> T {
        let x = row[self.feature];
        match self.members.binary_search_by(|member| compare(member, &x)) {
            _ if x.is_nan() => T::NAN,
            Ok(_) => T::from_f64(1.0),
            Err(_) => T::default(),
        }
    }
}

/// Compares numbers that are not NaN.
fn compare<T: PartialOrd>(x: &T, y: &T) -> Ordering {
    x.partial_cmp(y).unwrap_or(Ordering::Equal)
}

/// Returns the tensor in the attribute `name`.
fn attribute(context: &ParsingContext, node: &NodeProto, name: &str) -> TractResult<Tensor> {
    context.load_tensor(node.get_attr::<&TensorProto>(name)?)
}

/// Returns the elements of `tensor`, converted to `T`.
fn numbers<T: Datum + Copy>(tensor: &Tensor) -> TractResult<Vec<T>> {
    Ok(tensor.cast_to::<T>()?.try_as_plain_ram()?.as_slice::<T>()?.to_vec())
}

/// Returns, for each leaf, a list with its only target and weight.
fn leaves<T: Number>(
    context: &ParsingContext,
    node: &NodeProto,
    targets: usize,
) -> TractResult<Vec<Vec<(usize, T)>>> {
    let weights = numbers::<T>(&attribute(context, node, "leaf_weights")?)?;
    let ids: Vec<usize> = node.get_attr_vec("leaf_targetids")?;
    node.expect_attr("leaf_targetids", ids.len() == weights.len(), || {
        format!("{} entries, one for each of leaf_weights, found {}", weights.len(), ids.len())
    })?;
    if let Some(id) = ids.iter().find(|id| **id >= targets) {
        let message = format!("expected targets below {targets}, found {id}");
        return node.bail_attr("leaf_targetids", &message);
    }
    Ok(ids.into_iter().zip(weights).map(|leaf| vec![leaf]).collect())
}

/// Returns the branches and, for each branch that tests for membership, its index and its set.
/// There are `leaves` leaves.
#[expect(clippy::type_complexity, reason = "the type of a pair of lists is clear enough")]
fn branches<T: Number>(
    context: &ParsingContext,
    node: &NodeProto,
    splits: &Tensor,
    leaves: usize,
) -> TractResult<(Vec<Branch<T>>, Vec<(usize, Set<T>)>)> {
    let thresholds = numbers::<T>(splits)?;
    let count = thresholds.len();
    let expect_len = |name: &str, found: usize| {
        node.expect_attr(name, found == count, || format!("{count} entries, found {found}"))
    };
    let list = |name: &str| -> TractResult<Vec<usize>> {
        let list: Vec<usize> = node.get_attr_vec(name)?;
        expect_len(name, list.len())?;
        Ok(list)
    };
    let modes = numbers::<u8>(&attribute(context, node, "nodes_modes")?)?;
    expect_len("nodes_modes", modes.len())?;
    let features = list("nodes_featureids")?;
    let (true_ids, true_is_leaf) = (list("nodes_truenodeids")?, list("nodes_trueleafs")?);
    let (false_ids, false_is_leaf) = (list("nodes_falsenodeids")?, list("nodes_falseleafs")?);
    let missing_tracks_true: Vec<i64> =
        node.get_attr_opt_vec("nodes_missing_value_tracks_true")?.unwrap_or_default();
    if !missing_tracks_true.is_empty() {
        expect_len("nodes_missing_value_tracks_true", missing_tracks_true.len())?;
    }
    let members = match node.get_attr_opt::<&TensorProto>("membership_values")? {
        Some(proto) => numbers::<T>(&context.load_tensor(proto)?)?,
        None => vec![],
    };
    // The sets follow each other in the order of their branches. NaN ends each set.
    let mut sets_of_members = members.split(|member| member.is_nan());
    let child = |index: usize, is_leaf: usize| match is_leaf {
        0 => Ok(Child::Branch(index)),
        _ if index < leaves => Ok(Child::Leaf(index)),
        _ => bail!("expected leaf indices below {leaves}, found {index}"),
    };
    let mut sets = vec![];
    let mut branches = Vec::with_capacity(count);
    for index in 0..count {
        let feature = features[index];
        let mode = match modes[index] {
            0 => Mode::Leq,
            1 => Mode::Lt,
            2 => Mode::Gte,
            3 => Mode::Gt,
            4 => Mode::Eq,
            5 => Mode::Neq,
            6 => {
                let members = sets_of_members.next().with_context(|| {
                    let found = sets.len();
                    format!("expected a set for each branch of mode 6, found {found} sets")
                })?;
                sets.push((index, Set::new(feature, members)));
                Mode::Eq
            }
            found => node.bail_attr("nodes_modes", &format!("expected 0 to 6, found {found}"))?,
        };
        branches.push(Branch {
            feature,
            mode,
            // The additional column of a membership test is compared with 1.
            threshold: if modes[index] == 6 { T::from_f64(1.0) } else { thresholds[index] },
            missing_true: missing_tracks_true.get(index).is_some_and(|tracks| *tracks != 0),
            children: [
                child(true_ids[index], true_is_leaf[index])?,
                child(false_ids[index], false_is_leaf[index])?,
            ],
        });
    }
    Ok((branches, sets))
}
