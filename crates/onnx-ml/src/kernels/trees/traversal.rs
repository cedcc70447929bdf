//! Evaluation of trees by traversal from the root to a leaf.
//!
//! Each step of a traversal depends on the last one, so several traversals run interleaved. They
//! contain no branches that depend on the data: the two children of a node are adjacent, and the
//! next node is the index of the left child, plus 1 if the comparison does not hold. A leaf is its
//! own successor, so that all traversals can take the same number of steps.

use super::description::{Branch, Child, Mode};
use super::number::Number;
use crate::encoding::weights::{Weights, pairs};
use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// Number of interleaved traversals.
const LANES: usize = 8;

/// The nodes of all trees in one list.
#[derive(Debug, Deserialize, Serialize)]
#[serde(bound = "T: Number")]
pub struct Nodes<T> {
    #[serde(with = "pairs")]
    nodes: Vec<Node<T>>,
    /// Number of each leaf within its tree; 0 for a branch.
    leaves: Weights<u32>,
    trees: Vec<Tree>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub struct Tree {
    pub root: u32,
    /// Number of steps to the deepest leaf.
    depth: u32,
    pub leaf_count: u32,
}

#[derive(Debug, Clone, Copy)]
pub struct Node<T> {
    pub threshold: T,
    /// Index of the feature, with flags in the highest bits.
    feature: u32,
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

/// NaN satisfies the comparison.
const MISSING: u32 = 1 << 31;
/// The comparison is `==`, else it is `<=`.
const EQUAL: u32 = 1 << 30;
/// The comparison is `<` in the model: the threshold is the next lower number.
const STRICT: u32 = 1 << 29;
const FEATURE: u32 = STRICT - 1;

/// Variant of the comparison that is sufficient for all nodes of a forest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
enum Kind {
    /// Only `<=`, which NaN does not satisfy.
    Plain,
    /// Only `<=`, which NaN may satisfy.
    Missing,
    Any,
}

impl<T: Number> Nodes<T> {
    /// Creates the trees below `roots`. Returns them and, for each of their leaves in order, its
    /// index in the model.
    ///
    /// # Errors
    ///
    /// Returns an error if a child does not exist, or if a node is reached twice (as in a cycle) or
    /// never.
    pub fn new(
        branches: &[Branch<T>],
        leaf_count: usize,
        roots: &[Child],
    ) -> TractResult<(Nodes<T>, Vec<usize>)> {
        let capacity = 2 * branches.len() + roots.len();
        // Node indices, and feature indices with their flags, must fit 32 bits.
        ensure!(capacity < FEATURE as usize, "expected fewer nodes, found {capacity}");
        let mut nodes = Nodes {
            nodes: Vec::with_capacity(capacity),
            leaves: Vec::with_capacity(capacity).into(),
            trees: Vec::with_capacity(roots.len()),
            kind: Kind::Plain,
        };
        let mut sources = Vec::with_capacity(branches.len() + roots.len());
        let mut reached = vec![false; branches.len()];
        for root in roots {
            nodes.lay_out(*root, branches, leaf_count, &mut reached, &mut sources)?;
        }
        if let Some(branch) = reached.iter().position(|reached| !reached) {
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

    /// Appends a tree in depth-first order, so that most steps stay close in memory.
    fn lay_out(
        &mut self,
        root: Child,
        branches: &[Branch<T>],
        leaf_count: usize,
        reached: &mut [bool],
        sources: &mut Vec<usize>,
    ) -> TractResult<()> {
        let root_index = self.reserve(1);
        let mut tree = Tree { root: root_index, depth: 0, leaf_count: 0 };
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
                    ensure!(
                        !std::mem::replace(&mut reached[branch], true),
                        "expected one way to each node, found two to branch {branch}"
                    );
                    let left = self.reserve(2);
                    let (node, swapped) = Node::new(source, left)?;
                    self.nodes[index] = node;
                    let [yes, no] = source.children;
                    let [first, second] = if swapped { [no, yes] } else { [yes, no] };
                    pending.push((second, left + 1, depth + 1));
                    pending.push((first, left, depth + 1));
                }
            }
        }
        self.trees.push(tree);
        Ok(())
    }

    /// Appends nodes that are leaves until they are overwritten.
    fn reserve(&mut self, count: u32) -> u32 {
        let first = self.nodes.len() as u32;
        for index in first..first + count {
            // A comparison with NaN never holds, so the successor is `left + 1`, the leaf itself.
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

    /// Number of columns that a row must have.
    pub fn columns(&self) -> usize {
        let branches = (0..self.nodes.len() as u32).filter_map(|index| self.branch(index));
        branches.map(|(node, _)| node.feature() + 1).max().unwrap_or(0)
    }

    /// Calls `found` with each tree and the leaf that the row `x` reaches in it.
    pub fn leaves_of_row(&self, x: &[T], mut found: impl FnMut(usize, u32)) {
        let kind = match self.kind {
            Kind::Missing if !x.iter().any(|x| x.nan()) => Kind::Plain,
            kind => kind,
        };
        for (chunk, trees) in self.trees.chunks(LANES).enumerate() {
            let roots = std::array::from_fn(|lane| trees[lane.min(trees.len() - 1)].root);
            let depth = trees.iter().map(|tree| tree.depth).max().unwrap_or(0);
            let leaves = self.walk(kind, roots, [0; LANES], depth, x);
            for (lane, leaf) in leaves.into_iter().take(trees.len()).enumerate() {
                found(chunk * LANES + lane, leaf);
            }
        }
    }

    /// Writes the leaf of `tree` that each row of `x` reaches.
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
                (x <= node.threshold) | (x.nan() & node.missing_true())
            }),
            Kind::Any => self.descend(roots, rows, depth, x, Node::holds),
        };
        indices.map(|index| self.leaves[index as usize])
    }

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
            // Most traversals end before the longest possible one.
            if moved == 0 {
                break;
            }
        }
        at
    }
}

impl<T: Number> Node<T> {
    /// Creates the node. Returns `true` if its children are swapped, because the comparison is
    /// negated.
    fn new(branch: &Branch<T>, left: u32) -> TractResult<(Node<T>, bool)> {
        let (threshold, flags, swapped) = match branch.mode {
            Mode::Leq => (branch.threshold, 0, false),
            Mode::Lt => (below(branch.threshold), STRICT, false),
            Mode::Gt => (branch.threshold, 0, true),
            Mode::Gte => (below(branch.threshold), STRICT, true),
            Mode::Eq => (branch.threshold, EQUAL, false),
            Mode::Neq => (branch.threshold, EQUAL, true),
        };
        // A comparison with a NaN threshold is false. If the children are swapped it would have to
        // be true, which `<=` with NaN cannot express.
        let never = branch.threshold.nan() && branch.mode != Mode::Neq;
        ensure!(!(swapped && never), "expected a threshold to compare with, found NaN");
        let missing_true = match branch.mode {
            // NaN is not equal to any threshold.
            Mode::Neq => false,
            _ => branch.missing_true != swapped,
        };
        let feature = u32::try_from(branch.feature).ok().filter(|feature| *feature <= FEATURE);
        let feature = feature.with_context(|| {
            format!("expected a feature of {FEATURE} or less, found {}", branch.feature)
        })?;
        let missing = if missing_true { MISSING } else { 0 };
        Ok((Node { threshold, feature: feature | flags | missing, left }, swapped))
    }

    #[inline(always)]
    pub fn feature(&self) -> usize {
        (self.feature & FEATURE) as usize
    }

    #[inline(always)]
    pub fn missing_true(&self) -> bool {
        self.feature & MISSING != 0
    }

    pub fn equal(&self) -> bool {
        self.feature & EQUAL != 0
    }

    #[inline(always)]
    fn holds(&self, x: T) -> bool {
        let holds = if self.equal() { x == self.threshold } else { x <= self.threshold };
        holds | (x.nan() & self.missing_true())
    }
}

/// Returns the next lower number: `x < t` is equivalent to `x <= below(t)`.
fn below<T: Number>(threshold: T) -> T {
    let below = threshold.next_down();
    // Nothing is below minus infinity.
    if below == threshold { T::NAN } else { below }
}

impl Nodes<f32> {
    /// Returns the same trees in double precision.
    pub fn widened(&self) -> Nodes<f64> {
        let widen = |node: &Node<f32>| Node {
            threshold: if node.feature & STRICT != 0 && !node.threshold.is_nan() {
                // The number below a float differs from the number below the same value as a
                // double.
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
