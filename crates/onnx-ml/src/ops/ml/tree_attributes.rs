//! The attributes that TreeEnsembleClassifier and TreeEnsembleRegressor share: the nodes of the
//! trees, identified by a tree ID and a node ID, and the weights of the leaves. Since version 3 of
//! the operators, thresholds and weights can be in double precision.

use crate::encoding::fields::once;
use crate::kernels::trees::{Aggregate, Branch, Child, Description, Forest, Mode, Number, Scores};
use crate::operator::tensors::elements;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::*;

/// The trees that a node of the model describes, in the precision of the node's attributes.
#[derive(Debug, Deserialize, Serialize)]
pub struct Ensemble {
    /// The trees in single precision, or `None` if the attributes are in double precision.
    single: Option<Forest<f32>>,
    /// The trees in double precision. If the attributes are in single precision, the trees are converted when the first
    /// input of doubles arrives.
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
    /// Reads the trees of `node`. The leaf weights are in the attributes `class_*` of a classifier or `target_*` of a
    /// regressor. `prefix` is `class` or `target`. `targets` is the number of classes or targets.
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
    /// Returns an error if a branch uses a feature whose index is not below `columns`.
    pub fn expect_columns(&self, columns: usize) -> TractResult<()> {
        match &self.single {
            Some(forest) => forest.expect_columns(columns),
            None => self.double().expect_columns(columns),
        }
    }

    /// Returns the aggregated leaf weights of each row and target. The weights are aggregated in double precision if
    /// the input or the attributes are doubles.
    ///
    /// # Errors
    ///
    /// Returns an error if [`Ensemble::expect_columns`] returns an error.
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

    /// Returns the trees in double precision.
    fn double(&self) -> &Forest<f64> {
        self.double.get_or_init(|| match &self.single {
            Some(single) => single.widened(),
            None => unreachable!("an ensemble is single or double"),
        })
    }
}

/// Returns the list of numbers in the attribute `{name}_as_tensor`, or in the attribute `name` if `node` has no
/// attribute `{name}_as_tensor`. The list is empty if `node` has neither attribute.
///
/// # Errors
///
/// Returns an error if the attribute is not a list of numbers.
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

/// The attributes `nodes_*`. Each list has an entry for each node of each tree.
struct Nodes<T> {
    tree_ids: Vec<i64>,
    /// IDs of the nodes, unique within a tree.
    node_ids: Vec<i64>,
    features: Vec<i64>,
    thresholds: Vec<T>,
    /// `None` for a leaf.
    modes: Vec<Option<Mode>>,
    /// ID of the child to visit if the comparison is true. Unused for a leaf.
    true_ids: Vec<i64>,
    /// ID of the child to visit if the comparison is false. Unused for a leaf.
    false_ids: Vec<i64>,
    /// For each node, not 0 if a missing feature makes the comparison true. An empty list means 0
    /// for all nodes.
    missing_tracks_true: Vec<i64>,
}

impl<T: Number> Nodes<T> {
    /// Reads the lists, which must have equal lengths.
    fn read(context: &ParsingContext, node: &NodeProto) -> TractResult<Nodes<T>> {
        let tree_ids = integers(node, "nodes_treeids")?;
        let count = tree_ids.len();
        node.expect_attr("nodes_treeids", count > 0, "at least one node, found none")?;
        let integers_per_node = |name: &str| {
            let list = integers(node, name)?;
            expect_len(node, name, list.len(), count)?;
            TractResult::Ok(list)
        };
        let node_ids = integers_per_node("nodes_nodeids")?;
        let features = integers_per_node("nodes_featureids")?;
        let thresholds = numbers::<T>(context, node, "nodes_values")?;
        expect_len(node, "nodes_values", thresholds.len(), count)?;
        let modes: Vec<&str> = node.get_attr_opt_tvec("nodes_modes")?.unwrap_or_default().to_vec();
        expect_len(node, "nodes_modes", modes.len(), count)?;
        let true_ids = integers_per_node("nodes_truenodeids")?;
        let false_ids = integers_per_node("nodes_falsenodeids")?;
        let missing_tracks_true = integers(node, "nodes_missing_value_tracks_true")?;
        if !missing_tracks_true.is_empty() {
            let found = missing_tracks_true.len();
            expect_len(node, "nodes_missing_value_tracks_true", found, count)?;
        }
        let modes = modes.into_iter().map(mode).collect::<TractResult<_>>()?;
        Ok(Nodes {
            tree_ids,
            node_ids,
            features,
            thresholds,
            modes,
            true_ids,
            false_ids,
            missing_tracks_true,
        })
    }

    /// Returns the tree ID and the node ID of each node.
    fn ids(&self) -> impl Iterator<Item = (i64, i64)> {
        self.tree_ids.iter().copied().zip(self.node_ids.iter().copied())
    }

    /// Numbers the branches of all trees from 0, and the leaves of all trees from 0, in the order of the lists.
    fn numbered(&self) -> TractResult<Numbered> {
        let mut children = HashMap::with_capacity(self.modes.len());
        let (mut branch_count, mut leaf_count) = (0, 0);
        for (mode, (tree, id)) in self.modes.iter().zip(self.ids()) {
            let (child, count) = match mode {
                Some(_) => (Child::Branch(branch_count), &mut branch_count),
                None => (Child::Leaf(leaf_count), &mut leaf_count),
            };
            *count += 1;
            let is_first = children.insert((tree, id), child).is_none();
            ensure!(is_first, "expected one node {id} in tree {tree}, found two");
        }
        Ok(Numbered { children, branch_count, leaf_count })
    }

    /// Returns the branches in the order of their numbers.
    fn branches(&self, numbered: &Numbered) -> TractResult<Vec<Branch<T>>> {
        let mut branches = Vec::with_capacity(numbered.branch_count);
        for (index, mode) in self.modes.iter().enumerate() {
            let Some(mode) = *mode else { continue };
            let tree = self.tree_ids[index];
            let feature = usize::try_from(self.features[index]).ok().with_context(|| {
                format!("expected a feature of 0 or more, found {}", self.features[index])
            })?;
            branches.push(Branch {
                feature,
                mode,
                threshold: self.thresholds[index],
                missing_true: self
                    .missing_tracks_true
                    .get(index)
                    .is_some_and(|tracks| *tracks != 0),
                children: [
                    numbered.child(tree, self.true_ids[index])?,
                    numbered.child(tree, self.false_ids[index])?,
                ],
            });
        }
        Ok(branches)
    }

    /// Returns the root of each tree: the only node of the tree that is not a child of another
    /// node.
    fn roots(&self, numbered: &Numbered) -> TractResult<Vec<Child>> {
        let mut child_ids = HashSet::with_capacity(self.modes.len());
        for (index, tree) in self.tree_ids.iter().enumerate() {
            if self.modes[index].is_some() {
                child_ids.insert((*tree, self.true_ids[index]));
                child_ids.insert((*tree, self.false_ids[index]));
            }
        }
        let mut trees_with_root = HashSet::new();
        let mut roots = vec![];
        for (tree, id) in self.ids().filter(|ids| !child_ids.contains(ids)) {
            ensure!(trees_with_root.insert(tree), "expected one root in tree {tree}, found two");
            roots.push(numbered.child(tree, id)?);
        }
        Ok(roots)
    }
}

/// The numbers of all nodes.
struct Numbered {
    /// Maps the tree ID and the node ID of a node to its number.
    children: HashMap<(i64, i64), Child>,
    branch_count: usize,
    leaf_count: usize,
}

impl Numbered {
    /// Returns the number of the node with these IDs.
    fn child(&self, tree: i64, id: i64) -> TractResult<Child> {
        let child = self.children.get(&(tree, id)).copied();
        child.with_context(|| format!("expected a node {id} in tree {tree}, found none"))
    }
}

/// Returns the list of integers in the attribute `name`, which is empty if `node` lacks it.
fn integers(node: &NodeProto, name: &str) -> TractResult<Vec<i64>> {
    Ok(node.get_attr_opt_vec(name)?.unwrap_or_default())
}

fn expect_len(node: &NodeProto, name: &str, found: usize, expected: usize) -> TractResult<()> {
    node.expect_attr(name, found == expected, || format!("{expected} entries, found {found}"))
}

/// Reads the trees of `node`. The arguments are the arguments of [`Ensemble::parse`].
fn describe<T: Number>(
    context: &ParsingContext,
    node: &NodeProto,
    prefix: &str,
    targets: usize,
) -> TractResult<Description<T>> {
    let nodes = Nodes::<T>::read(context, node)?;
    let numbered = nodes.numbered()?;
    let branches = nodes.branches(&numbered)?;
    let roots = nodes.roots(&numbered)?;
    let mut leaves = vec![vec![]; numbered.leaf_count];
    for LeafWeight { tree, id, target, weight } in leaf_weights(context, node, prefix, targets)? {
        // ONNX Runtime ignores weights of inner nodes. If there is a single target, ONNX Runtime uses the first weight
        // of each leaf. Otherwise ONNX Runtime adds the weights of a leaf for the same target.
        if let Child::Leaf(leaf) = numbered.child(tree, id)?
            && (targets > 1 || leaves[leaf].is_empty())
        {
            leaves[leaf].push((target, weight));
        }
    }
    Ok(Description { branches, leaves, roots, targets })
}

/// A weight that a leaf contributes to the score of a target.
struct LeafWeight<T> {
    /// ID of the leaf's tree.
    tree: i64,
    /// ID of the leaf in its tree.
    id: i64,
    target: usize,
    weight: T,
}

/// Reads the leaf weights of `node`. The arguments are the arguments of [`Ensemble::parse`].
fn leaf_weights<T: Number>(
    context: &ParsingContext,
    node: &NodeProto,
    prefix: &str,
    targets: usize,
) -> TractResult<Vec<LeafWeight<T>>> {
    let trees = integers(node, &format!("{prefix}_treeids"))?;
    let ids = integers(node, &format!("{prefix}_nodeids"))?;
    expect_len(node, &format!("{prefix}_nodeids"), ids.len(), trees.len())?;
    let target_ids = integers(node, &format!("{prefix}_ids"))?;
    expect_len(node, &format!("{prefix}_ids"), target_ids.len(), trees.len())?;
    let weights = numbers::<T>(context, node, &format!("{prefix}_weights"))?;
    expect_len(node, &format!("{prefix}_weights"), weights.len(), trees.len())?;
    let lists = trees.into_iter().zip(ids).zip(target_ids).zip(weights);
    lists
        .map(|(((tree, id), found), weight)| {
            let target = usize::try_from(found).ok().filter(|target| *target < targets);
            let target = target.with_context(|| {
                let last = targets.saturating_sub(1);
                format!("expected ids in {prefix}_ids from 0 to {last}, found {found}")
            })?;
            Ok(LeafWeight { tree, id, target, weight })
        })
        .collect()
}

/// Parses an entry of `nodes_modes`. Returns `None` for a leaf.
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
