//! Evaluation of trees by traversal from the root to a leaf.
//!
//! Each step of a traversal must wait for the step before it. To use the waiting time, [`LANES`]
//! traversals run interleaved: either several trees for one row, or one tree for several rows.
//!
//! A step has no branch instruction that depends on the data, because the processor would often
//! mispredict the branch. The two children of a node are adjacent in the list of nodes. The index
//! of the next node is the index of the left child, plus 1 if the comparison is false. A leaf is
//! encoded as a node that leads to itself, so that all traversals can take the same number of
//! steps.
//!
//! Branches may share a child, as in exports of categorical splits. The node of a shared branch is then repeated for
//! each parent, and all copies of the node lead to the same two children. So there are at most two nodes for each
//! branch of the model, however many paths lead through the branch.
//!
//! All comparisons of a model are expressed by `<=` and `==`. `x < t` is `x <= t'`, where `t'` is
//! the next number below `t`. `>`, `>=` and `!=` are replaced by their negations `<=`, `<` and
//! `==`, with swapped children.

use super::description::{Branch, Child, Mode};
use super::number::Number;
use crate::encoding::weights::{Weights, pairs};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use tract_onnx::tract_hir::internal::*;

/// Number of interleaved traversals.
const LANES: usize = 8;

/// The nodes of all trees in one list.
#[derive(Debug, Deserialize, Serialize)]
#[serde(bound = "T: Number")]
pub struct Nodes<T> {
    /// Nodes of all trees, one tree after the other.
    #[serde(with = "pairs")]
    nodes: Vec<Node<T>>,
    /// For each leaf, the number of the leaf within its tree, counted depth first. 0 for a branch.
    leaves: Weights<u32>,
    trees: Vec<Tree>,
    /// The variant of the comparison that [`Nodes::walk`] uses for all nodes.
    kind: Kind,
}

/// A tree in [`Nodes`].
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub struct Tree {
    /// Index of the root in [`Nodes`].
    pub root: u32,
    /// Number of steps to the deepest leaf.
    depth: u32,
    pub leaf_count: u32,
    /// Some branches share a child: several paths lead to a node.
    pub shared: bool,
}

/// A branch or a leaf.
#[derive(Debug, Clone, Copy)]
pub struct Node<T> {
    /// Number with which the feature is compared. NaN for a leaf.
    pub threshold: T,
    /// Index of the feature in the lower 29 bits ([`FEATURE`]), and the flags [`MISSING`],
    /// [`EQUAL`] and [`STRICT`] in the upper bits.
    feature: u32,
    /// Index of the left child; the right child follows the left child. For a leaf, `left` is the
    /// leaf's own index minus 1. A leaf compares with NaN, which is always false, so that the next
    /// node is `left + 1`: the leaf itself.
    left: u32,
}

impl<T: Number> pairs::Pair for Node<T> {
    type First = T;
    type Second = [u32; 2];

    fn split(&self) -> (T, [u32; 2]) {
        (self.threshold, [self.feature, self.left])
    }

    fn join(threshold: T, [feature, left]: [u32; 2]) -> Node<T> {
        Node { threshold, feature, left }
    }
}

/// Flag: a feature that is NaN satisfies the comparison.
const MISSING: u32 = 1 << 31;
/// Flag: the comparison is `==`. Otherwise it is `<=`.
const EQUAL: u32 = 1 << 30;
/// Flag: the comparison is `<` or `>=` in the model, and the threshold was replaced by the next
/// lower number.
const STRICT: u32 = 1 << 29;
/// Mask of the feature index. It is also the maximum feature index.
const FEATURE: u32 = STRICT - 1;

/// The simplest variant of the comparison that is sufficient for all nodes of a forest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
enum Kind {
    /// All comparisons are `<=`, and NaN satisfies no comparison.
    Plain,
    /// All comparisons are `<=`, and NaN satisfies some comparisons.
    Missing,
    /// Some comparisons are `==`.
    Any,
}

impl<T: Number> Nodes<T> {
    /// Creates the nodes of the trees below `roots`. Also returns, for each leaf of all trees, its
    /// index among the leaves of the model. The model has `leaf_count` leaves.
    ///
    /// # Errors
    ///
    /// Returns an error if a child does not exist, if branches form a cycle, if a branch is part of
    /// two trees or of no tree, or if there are too many nodes.
    pub fn new(
        branches: &[Branch<T>],
        leaf_count: usize,
        roots: &[Child],
    ) -> TractResult<(Nodes<T>, Vec<usize>)> {
        let capacity = 2 * branches.len() + roots.len();
        // Node indices, and feature indices with their flags, must fit 32 bits.
        ensure!(
            capacity < FEATURE as usize,
            "expected fewer than {FEATURE} nodes, found {capacity}"
        );
        let mut nodes = Nodes {
            nodes: Vec::with_capacity(capacity),
            leaves: Vec::with_capacity(capacity).into(),
            trees: Vec::with_capacity(roots.len()),
            kind: Kind::Plain,
        };
        let mut sources = Vec::with_capacity(branches.len() + roots.len());
        let mut lefts = vec![None; branches.len()];
        for root in roots {
            nodes.lay_out(*root, branches, leaf_count, &mut lefts, &mut sources)?;
        }
        if let Some(branch) = lefts.iter().position(Option::is_none) {
            bail!("expected a way from a root to branch {branch}, found none");
        }
        let any = |flag| nodes.nodes.iter().any(|node| node.feature & flag != 0);
        nodes.kind = match (any(EQUAL), any(MISSING)) {
            (true, _) => Kind::Any,
            (false, true) => Kind::Missing,
            (false, false) => Kind::Plain,
        };
        Ok((nodes, sources))
    }

    /// Appends a tree in depth-first order, so that most steps lead to a node that is close in
    /// memory. Also appends the model's index of each leaf to `sources`. `lefts` has, for each
    /// branch that has nodes, the index of its left child.
    fn lay_out(
        &mut self,
        root: Child,
        branches: &[Branch<T>],
        leaf_count: usize,
        lefts: &mut [Option<u32>],
        sources: &mut Vec<usize>,
    ) -> TractResult<()> {
        let root_index = self.reserve(1);
        let mut tree = Tree { root: root_index, depth: 0, leaf_count: 0, shared: false };
        // Children to place: the child, the index of its node, and its depth.
        let mut pending = vec![(root, root_index, 0)];
        while let Some((child, index, depth)) = pending.pop() {
            let index = index as usize;
            match child {
                Child::Leaf(leaf) => {
                    ensure!(leaf < leaf_count, "expected a leaf below {leaf_count}, found {leaf}");
                    self.leaves.to_mut()[index] = tree.leaf_count;
                    tree.leaf_count += 1;
                    tree.depth = tree.depth.max(depth);
                    sources.push(leaf);
                }
                Child::Branch(branch) => {
                    let source = branches.get(branch).with_context(|| {
                        format!("expected a node below {}, found {branch}", branches.len())
                    })?;
                    let laid_out = lefts[branch];
                    let left = laid_out.unwrap_or_else(|| self.reserve(2));
                    let (node, swapped) = Node::new(source, left)?;
                    self.nodes[index] = node;
                    if laid_out.is_some() {
                        ensure!(
                            left > root_index,
                            "expected each branch in one tree, found branch {branch} in two"
                        );
                        tree.shared = true;
                        continue;
                    }
                    lefts[branch] = Some(left);
                    let [yes, no] = source.children;
                    let [first, second] = if swapped { [no, yes] } else { [yes, no] };
                    pending.push((second, left + 1, depth + 1));
                    pending.push((first, left, depth + 1));
                }
            }
        }
        if tree.shared {
            tree.depth = longest_path(root, branches)?;
        }
        self.trees.push(tree);
        Ok(())
    }

    /// Appends `count` nodes, and returns the index of the first of these nodes. The nodes are encoded as leaves. The
    /// caller overwrites the nodes that are branches.
    fn reserve(&mut self, count: u32) -> u32 {
        let first = self.nodes.len() as u32;
        for index in first..first + count {
            // See `Node::left`.
            let left = index.wrapping_sub(1);
            self.nodes.push(Node { threshold: T::NAN, feature: 0, left });
            self.leaves.to_mut().push(0);
        }
        first
    }

    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// Returns the node at an index and the indices of its children, or `None` for a leaf.
    pub fn branch(&self, index: u32) -> Option<(&Node<T>, [u32; 2])> {
        let node = &self.nodes[index as usize];
        let is_leaf = node.left == index.wrapping_sub(1);
        (!is_leaf).then(|| (node, [node.left, node.left + 1]))
    }

    /// Returns the minimum number of columns of a row: the highest feature index plus 1.
    pub fn columns(&self) -> usize {
        let branches = (0..self.nodes.len() as u32).filter_map(|index| self.branch(index));
        branches.map(|(node, _)| node.feature() + 1).max().unwrap_or(0)
    }

    /// Calls `found` for each tree. The arguments are the index of the tree, and the number of the
    /// leaf that the row `x` reaches.
    pub fn leaves_of_row(&self, x: &[T], mut found: impl FnMut(usize, u32)) {
        // A row without NaN can use the faster comparison.
        let kind = match self.kind {
            Kind::Missing if !x.iter().any(|x| x.is_nan()) => Kind::Plain,
            kind => kind,
        };
        for (chunk, trees) in self.trees.chunks(LANES).enumerate() {
            // If fewer trees than lanes remain, the spare lanes repeat the last tree.
            let roots = std::array::from_fn(|lane| trees[lane.min(trees.len() - 1)].root);
            let depth = trees.iter().map(|tree| tree.depth).max().unwrap_or(0);
            let leaves = self.walk(kind, roots, [0; LANES], depth, x);
            for (lane, leaf) in leaves.into_iter().take(trees.len()).enumerate() {
                found(chunk * LANES + lane, leaf);
            }
        }
    }

    /// Writes the number of the leaf that each row of `x` (`columns` columns) reaches in `tree`.
    pub fn leaves_of_tree(&self, tree: usize, x: &[T], columns: usize, leaves: &mut [u32]) {
        let Tree { root, depth, .. } = self.trees[tree];
        let rows = leaves.len();
        for (chunk, leaves) in leaves.chunks_mut(LANES).enumerate() {
            let row = |lane: usize| (chunk * LANES + lane).min(rows - 1);
            let starts = std::array::from_fn(|lane| row(lane) * columns);
            let found = self.walk(self.kind, [root; LANES], starts, depth, x);
            leaves.copy_from_slice(&found[..leaves.len()]);
        }
    }

    /// Runs [`LANES`] traversals with a comparison that is compiled for `kind`, and returns the
    /// numbers of the leaves. `rows` is, for each lane, the index in `x` at which the row starts.
    fn walk(
        &self,
        kind: Kind,
        roots: [u32; LANES],
        rows: [usize; LANES],
        depth: u32,
        x: &[T],
    ) -> [u32; LANES] {
        let indices = match kind {
            Kind::Plain => self.descend(roots, rows, depth, x, |node, x| x <= node.threshold),
            Kind::Missing => self.descend(roots, rows, depth, x, |node, x| {
                (x <= node.threshold) | (x.is_nan() & node.missing_true())
            }),
            Kind::Any => self.descend(roots, rows, depth, x, Node::holds),
        };
        indices.map(|index| self.leaves[index as usize])
    }

    /// Takes at most `depth` steps in each lane, and returns the indices of the nodes reached.
    #[inline(always)]
    fn descend(
        &self,
        roots: [u32; LANES],
        rows: [usize; LANES],
        depth: u32,
        x: &[T],
        holds: impl Fn(&Node<T>, T) -> bool,
    ) -> [u32; LANES] {
        let mut at = roots;
        for _ in 0..depth {
            let mut moved = 0;
            for (index, row) in at.iter_mut().zip(rows) {
                let node = &self.nodes[*index as usize];
                let holds = holds(node, x[row + node.feature()]);
                let next = node.left.wrapping_add(u32::from(!holds));
                moved |= *index ^ next;
                *index = next;
            }
            // If no lane moved, all lanes have reached leaves. Often this happens before `depth`
            // steps, because `depth` is the length of the longest path.
            if moved == 0 {
                break;
            }
        }
        at
    }
}

impl<T: Number> Node<T> {
    /// Creates a branch whose left child has index `left`. Also returns `true` if the node has the
    /// negation of the model's comparison, so that the children must be swapped.
    fn new(branch: &Branch<T>, left: u32) -> TractResult<(Node<T>, bool)> {
        let (threshold, flags, swapped) = match branch.mode {
            Mode::Leq => (branch.threshold, 0, false),
            Mode::Lt => (below(branch.threshold), STRICT, false),
            Mode::Gt => (branch.threshold, 0, true),
            Mode::Gte => (below(branch.threshold), STRICT, true),
            Mode::Eq => (branch.threshold, EQUAL, false),
            Mode::Neq => (branch.threshold, EQUAL, true),
        };
        // In the model, every comparison with a NaN threshold except `!=` is false. With swapped
        // children, the negated comparison would have to be true, but `<=` with NaN is false.
        let is_always_false = branch.threshold.is_nan() && branch.mode != Mode::Neq;
        ensure!(!(swapped && is_always_false), "expected a number as threshold, found NaN");
        let missing_true = match branch.mode {
            // NaN is not equal to any threshold.
            Mode::Neq => false,
            _ => branch.missing_true != swapped,
        };
        let feature = u32::try_from(branch.feature).ok().filter(|feature| *feature <= FEATURE);
        let feature = feature.with_context(|| {
            format!("expected a feature index of at most {FEATURE}, found {}", branch.feature)
        })?;
        let missing = if missing_true { MISSING } else { 0 };
        Ok((Node { threshold, feature: feature | flags | missing, left }, swapped))
    }

    /// Returns the index of the feature.
    #[inline(always)]
    pub fn feature(&self) -> usize {
        (self.feature & FEATURE) as usize
    }

    /// Returns `true` if NaN satisfies the comparison.
    #[inline(always)]
    pub fn missing_true(&self) -> bool {
        self.feature & MISSING != 0
    }

    /// Returns `true` if the comparison is `==`.
    pub fn equal(&self) -> bool {
        self.feature & EQUAL != 0
    }

    /// Evaluates the comparison.
    #[inline(always)]
    fn holds(&self, x: T) -> bool {
        let holds = if self.equal() { x == self.threshold } else { x <= self.threshold };
        holds | (x.is_nan() & self.missing_true())
    }
}

/// Returns the number of steps from `root` to the deepest leaf if branches share children.
///
/// # Errors
///
/// Returns an error if branches form a cycle.
fn longest_path<T>(root: Child, branches: &[Branch<T>]) -> TractResult<u32> {
    // For each visited branch, the length of its longest path, or `None` while it is not known.
    let mut lengths: HashMap<usize, Option<u32>> = HashMap::new();
    let length = |lengths: &HashMap<usize, Option<u32>>, child| match child {
        Child::Leaf(_) => 0,
        Child::Branch(branch) => lengths.get(&branch).copied().flatten().unwrap_or(0),
    };
    // Each branch is visited twice: first to push its children, and again when the lengths of its
    // children are known.
    let mut pending = vec![(root, false)];
    while let Some((child, children_known)) = pending.pop() {
        let Child::Branch(branch) = child else { continue };
        let children = branches[branch].children;
        if children_known {
            let [yes, no] = children.map(|child| length(&lengths, child));
            lengths.insert(branch, Some(1 + yes.max(no)));
            continue;
        }
        match lengths.get(&branch) {
            Some(Some(_)) => continue,
            Some(None) => bail!("expected trees, found a cycle through branch {branch}"),
            None => lengths.insert(branch, None),
        };
        pending.push((child, true));
        pending.extend(children.map(|child| (child, false)));
    }
    Ok(length(&lengths, root))
}

/// Returns the greatest number below `threshold`: `x < t` is equivalent to `x <= below(t)`. Returns
/// NaN for minus infinity, so that the comparison is always false.
fn below<T: Number>(threshold: T) -> T {
    let below = threshold.next_down();
    if below == threshold { T::NAN } else { below }
}

impl Nodes<f32> {
    /// Returns the trees in double precision.
    pub fn widened(&self) -> Nodes<f64> {
        let widen = |node: &Node<f32>| Node {
            threshold: if node.feature & STRICT != 0 && !node.threshold.is_nan() {
                // The threshold of the model is the next higher `f32`. In double precision, the greatest number below
                // the model's threshold is closer to that threshold.
                below(f64::from(node.threshold.next_up()))
            } else {
                f64::from(node.threshold)
            },
            feature: node.feature,
            left: node.left,
        };
        Nodes {
            nodes: self.nodes.iter().map(widen).collect(),
            leaves: self.leaves.to_vec().into(),
            trees: self.trees.clone(),
            kind: self.kind,
        }
    }
}
