//! Attributes that TreeEnsembleClassifier and TreeEnsembleRegressor share: nodes identified by tree
//! and node number, and leaf weights, in single or (since version 3) double precision.

use crate::encoding::fields::once;
use crate::kernels::trees::{Aggregate, Branch, Child, Description, Forest, Mode, Number, Scores};
use crate::operator::kernel::elements;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::OnceLock;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::*;

/// The trees of a node, in the precision of its attributes.
#[derive(Debug, Deserialize, Serialize)]
pub struct Ensemble {
    single: Option<Forest<f32>>,
    /// The trees in double precision, created when features are doubles but attributes are not.
    #[serde(with = "once")]
    double: OnceLock<Forest<f64>>,
}

/// Scores in the precision in which they were computed.
#[derive(Debug)]
pub enum Computed {
    Single(Scores<f32>),
    Double(Scores<f64>),
}

impl Ensemble {
    /// Reads the trees of `node`. The leaf weights are in the attributes `class_*` or `target_*`:
    /// `prefix` is one of these, and `ids` is the full name of the list of targets.
    ///
    /// # Errors
    ///
    /// Returns an error if the lists differ in length, nodes are missing, or the nodes do not form
    /// trees.
    pub fn parse(
        context: &ParsingContext,
        node: &NodeProto,
        prefix: &str,
        targets: usize,
    ) -> TractResult<Ensemble> {
        let double = ["nodes_values_as_tensor", &format!("{prefix}_weights_as_tensor")]
            .iter()
            .map(|name| node.get_attr_opt::<&TensorProto>(name))
            .collect::<TractResult<Vec<_>>>()?
            .iter()
            .any(Option::is_some);
        if double {
            let forest = Forest::new(describe::<f64>(context, node, prefix, targets)?)?;
            return Ok(Ensemble { single: None, double: OnceLock::from(forest) });
        }
        let forest = Forest::new(describe::<f32>(context, node, prefix, targets)?)?;
        Ok(Ensemble { single: Some(forest), double: OnceLock::new() })
    }

    /// Checks that rows have enough columns.
    ///
    /// # Errors
    ///
    /// Returns an error if a feature index is not below `columns`.
    pub fn expect_columns(&self, columns: usize) -> TractResult<()> {
        match &self.single {
            Some(forest) => forest.expect_columns(columns),
            None => self.double().expect_columns(columns),
        }
    }

    /// Computes the scores of the rows.
    ///
    /// # Errors
    ///
    /// Returns an error if [`Ensemble::expect_columns`] does.
    pub fn scores(
        &self,
        input: &TValue,
        (rows, columns): (usize, usize),
        aggregate: Aggregate,
    ) -> TractResult<Computed> {
        match &self.single {
            Some(forest) if input.datum_type() != f64::datum_type() => {
                let x = elements::<f32>(input)?;
                let x = x.try_as_plain_ram()?;
                forest.scores(x.as_slice()?, columns, rows, aggregate).map(Computed::Single)
            }
            _ => {
                let x = elements::<f64>(input)?;
                let x = x.try_as_plain_ram()?;
                self.double().scores(x.as_slice()?, columns, rows, aggregate).map(Computed::Double)
            }
        }
    }

    fn double(&self) -> &Forest<f64> {
        self.double.get_or_init(|| match &self.single {
            Some(single) => single.widened(),
            None => unreachable!("an ensemble is single or double"),
        })
    }
}

/// Returns a list of numbers, from the tensor attribute if present.
///
/// # Errors
///
/// Returns an error if the attribute has another type.
pub fn numbers<T: Number>(
    context: &ParsingContext,
    node: &NodeProto,
    name: &str,
) -> TractResult<Vec<T>> {
    let tensor = match node.get_attr_opt::<&TensorProto>(&format!("{name}_as_tensor"))? {
        Some(proto) => context.load_tensor(proto)?,
        None => tensor1(&node.get_attr_opt_vec::<f32>(name)?.unwrap_or_default()),
    };
    let tensor = tensor.cast_to::<T>()?;
    Ok(tensor.try_as_plain_ram()?.as_slice::<T>()?.to_vec())
}

/// The nodes of all trees: entry i of each list belongs to node i.
struct Nodes<T> {
    tree_ids: Vec<i64>,
    /// Numbers of the nodes in their trees.
    node_ids: Vec<i64>,
    features: Vec<i64>,
    values: Vec<T>,
    /// `None` for a leaf.
    modes: Vec<Option<Mode>>,
    true_ids: Vec<i64>,
    false_ids: Vec<i64>,
    /// Empty, or whether a missing value continues at the true node.
    missing: Vec<i64>,
}

impl<T: Number> Nodes<T> {
    fn read(context: &ParsingContext, node: &NodeProto) -> TractResult<Nodes<T>> {
        let tree_ids = integers(node, "nodes_treeids")?;
        let count = tree_ids.len();
        node.expect_attr("nodes_treeids", count > 0, "at least one node")?;
        let integers = |name: &str| {
            let list = integers(node, name)?;
            expect_len(node, name, list.len(), count)?;
            TractResult::Ok(list)
        };
        let node_ids = integers("nodes_nodeids")?;
        let features = integers("nodes_featureids")?;
        let values = numbers::<T>(context, node, "nodes_values")?;
        expect_len(node, "nodes_values", values.len(), count)?;
        let modes: Vec<&str> = node.get_attr_opt_tvec("nodes_modes")?.unwrap_or_default().to_vec();
        expect_len(node, "nodes_modes", modes.len(), count)?;
        let true_ids = integers("nodes_truenodeids")?;
        let false_ids = integers("nodes_falsenodeids")?;
        let missing: Vec<i64> =
            node.get_attr_opt_vec("nodes_missing_value_tracks_true")?.unwrap_or_default();
        if !missing.is_empty() {
            expect_len(node, "nodes_missing_value_tracks_true", missing.len(), count)?;
        }
        let modes = modes.into_iter().map(mode).collect::<TractResult<_>>()?;
        Ok(Nodes { tree_ids, node_ids, features, values, modes, true_ids, false_ids, missing })
    }
}

fn integers(node: &NodeProto, name: &str) -> TractResult<Vec<i64>> {
    Ok(node.get_attr_opt_vec(name)?.unwrap_or_default())
}

fn expect_len(node: &NodeProto, name: &str, len: usize, expected: usize) -> TractResult<()> {
    node.expect_attr(name, len == expected, || format!("{expected} entries, found {len}"))
}

fn describe<T: Number>(
    context: &ParsingContext,
    node: &NodeProto,
    prefix: &str,
    targets: usize,
) -> TractResult<Description<T>> {
    let nodes = Nodes::<T>::read(context, node)?;
    let count = nodes.tree_ids.len();
    let ids = || nodes.tree_ids.iter().zip(&nodes.node_ids);

    // The kind of each node; branches and leaves are numbered separately.
    let mut children = HashMap::with_capacity(count);
    let mut kinds = Vec::with_capacity(count);
    let (mut branch_count, mut leaf_count) = (0, 0);
    for (mode, (tree, number)) in nodes.modes.iter().zip(ids()) {
        let kind = match mode {
            Some(_) => Child::Branch(branch_count),
            None => Child::Leaf(leaf_count),
        };
        match kind {
            Child::Branch(_) => branch_count += 1,
            Child::Leaf(_) => leaf_count += 1,
        }
        let first = children.insert((*tree, *number), kind).is_none();
        ensure!(first, "expected one node {number} in tree {tree}, found two");
        kinds.push(kind);
    }
    let find = |tree: i64, number: i64| {
        children
            .get(&(tree, number))
            .copied()
            .with_context(|| format!("expected a node {number} in tree {tree}, found none"))
    };

    let mut branches = Vec::with_capacity(branch_count);
    let mut is_child = HashMap::with_capacity(count);
    for (index, mode) in nodes.modes.iter().enumerate() {
        let Some(mode) = *mode else { continue };
        let tree = nodes.tree_ids[index];
        let feature = usize::try_from(nodes.features[index]).ok().with_context(|| {
            format!("expected a feature of 0 or more, found {}", nodes.features[index])
        })?;
        let numbers = [nodes.true_ids[index], nodes.false_ids[index]];
        for number in numbers {
            is_child.insert((tree, number), ());
        }
        branches.push(Branch {
            feature,
            mode,
            threshold: nodes.values[index],
            missing_true: nodes.missing.get(index).is_some_and(|tracks| *tracks != 0),
            children: [find(tree, numbers[0])?, find(tree, numbers[1])?],
        });
    }

    let mut roots = vec![];
    let mut rooted = HashMap::new();
    for ((tree, number), kind) in ids().zip(&kinds) {
        if !is_child.contains_key(&(*tree, *number)) {
            let first = rooted.insert(*tree, ()).is_none();
            ensure!(first, "expected one root in tree {tree}, found two");
            roots.push(*kind);
        }
    }

    let mut leaves = vec![vec![]; leaf_count];
    for (tree, number, score) in leaf_scores(context, node, prefix, targets)? {
        // ONNX Runtime ignores weights of inner nodes.
        if let Child::Leaf(leaf) = find(tree, number)? {
            leaves[leaf].push(score);
        }
    }
    Ok(Description { branches, leaves, roots, targets })
}

/// Returns tree, node, and target with weight of each score that a leaf adds.
fn leaf_scores<T: Number>(
    context: &ParsingContext,
    node: &NodeProto,
    prefix: &str,
    targets: usize,
) -> TractResult<Vec<(i64, i64, (usize, T))>> {
    let trees = integers(node, &format!("{prefix}_treeids"))?;
    let nodes = integers(node, &format!("{prefix}_nodeids"))?;
    expect_len(node, &format!("{prefix}_nodeids"), nodes.len(), trees.len())?;
    let ids = integers(node, &format!("{prefix}_ids"))?;
    expect_len(node, &format!("{prefix}_ids"), ids.len(), trees.len())?;
    let weights = numbers::<T>(context, node, &format!("{prefix}_weights"))?;
    expect_len(node, &format!("{prefix}_weights"), weights.len(), trees.len())?;
    trees
        .into_iter()
        .zip(nodes)
        .zip(ids)
        .zip(weights)
        .map(|(((tree, node), id), weight)| {
            let target = usize::try_from(id).ok().filter(|target| *target < targets);
            let target = target.with_context(|| {
                format!("expected ids in {prefix}_ids from 0 to {}", targets.saturating_sub(1))
            })?;
            Ok((tree, node, (target, weight)))
        })
        .collect()
}

/// Returns `None` for a leaf.
fn mode(name: &str) -> TractResult<Option<Mode>> {
    Ok(Some(match name {
        "LEAF" => return Ok(None),
        "BRANCH_LEQ" => Mode::Leq,
        "BRANCH_LT" => Mode::Lt,
        "BRANCH_GTE" => Mode::Gte,
        "BRANCH_GT" => Mode::Gt,
        "BRANCH_EQ" => Mode::Eq,
        "BRANCH_NEQ" => Mode::Neq,
        _ => bail!("expected a mode such as BRANCH_LEQ or LEAF, found `{name}`"),
    }))
}
