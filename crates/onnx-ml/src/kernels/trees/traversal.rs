//! Trees as nodes, and walks down them.
//!
//! A walk waits at each node for the last one's answer, so several go side by side, without
//! branches that depend on the data. Two children are neighbours: the next node is the first one's
//! place, plus one if the comparison does not hold. A leaf leads to itself.

use super::description::{Branch, Child, Mode};
use super::number::Number;
use crate::encoding::weights::{Weights, pairs};
use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// Walks side by side.
const LANES: usize = 8;

/// Trees, all nodes in one list.
#[derive(Debug, Deserialize, Serialize)]
#[serde(bound = "T: Number")]
pub struct Nodes<T> {
    #[serde(with = "pairs")]
    nodes: Vec<Node<T>>,
    /// The number of the leaf within its tree; of a branch, 0.
    leaves: Weights<u32>,
    trees: Vec<Tree>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub struct Tree {
    pub root: u32,
    /// Steps to the farthest leaf.
    depth: u32,
    pub leaf_count: u32,
}

#[derive(Debug, Clone, Copy)]
pub struct Node<T> {
    pub threshold: T,
    /// The feature, and flags in the highest bits.
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

/// NaN takes the way of a comparison that holds.
const MISSING: u32 = 1 << 31;
/// The comparison is `==`, else it is `<=`.
const EQUAL: u32 = 1 << 30;
/// The threshold is the number below the model's.
const STRICT: u32 = 1 << 29;
const FEATURE: u32 = STRICT - 1;

/// What the nodes of a forest need to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
enum Kind {
    /// `<=` only, which NaN does not satisfy.
    Plain,
    /// `<=` only.
    Missing,
    Any,
}

impl<T: Number> Nodes<T> {
    /// The trees below `roots`, and the leaf of the model that each leaf is, tree by tree.
    ///
    /// # Errors
    ///
    /// Where a node leads nowhere, or is reached twice, as in a circle, or not at all.
    pub fn new(
        branches: &[Branch<T>],
        leaf_count: usize,
        roots: &[Child],
    ) -> TractResult<(Nodes<T>, Vec<usize>)> {
        let capacity = 2 * branches.len() + roots.len();
        // A place and a number are 32 bits, flags and all.
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

    /// Appends a tree, depth first, so that most steps stay close.
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
            let place = index as usize;
            match child {
                Child::Leaf(leaf) => {
                    ensure!(leaf < leaf_count, "expected a leaf below {leaf_count}, found {leaf}");
                    self.leaves.to_mut()[place] = tree.leaf_count;
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
                    self.nodes[place] = node;
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

    /// Places for nodes that are leaves until told otherwise.
    fn reserve(&mut self, count: u32) -> u32 {
        let first = self.nodes.len() as u32;
        for place in first..first + count {
            // No comparison with NaN holds, so the next node is the one after `left`.
            let left = place.wrapping_sub(1);
            self.nodes.push(Node { threshold: T::NAN, feature: 0, left });
            self.leaves.to_mut().push(0);
        }
        first
    }

    pub fn trees(&self) -> &[Tree] {
        &self.trees
    }

    /// The node at a place, and its children's places; `None` for a leaf.
    pub fn branch(&self, place: u32) -> Option<(&Node<T>, [u32; 2])> {
        let node = &self.nodes[place as usize];
        let is_leaf = node.left == place.wrapping_sub(1);
        (!is_leaf).then(|| (node, [node.left, node.left + 1]))
    }

    /// Columns that a row must have.
    pub fn columns(&self) -> usize {
        let branches = (0..self.nodes.len() as u32).filter_map(|place| self.branch(place));
        branches.map(|(node, _)| node.feature() + 1).max().unwrap_or(0)
    }

    /// Tells the leaf of each tree that the row `x` arrives at.
    pub fn leaves_of_row(&self, x: &[T], mut tell: impl FnMut(usize, u32)) {
        let kind = match self.kind {
            Kind::Missing if !x.iter().any(|x| x.nan()) => Kind::Plain,
            kind => kind,
        };
        for (chunk, trees) in self.trees.chunks(LANES).enumerate() {
            let roots = std::array::from_fn(|lane| trees[lane.min(trees.len() - 1)].root);
            let depth = trees.iter().map(|tree| tree.depth).max().unwrap_or(0);
            let leaves = self.walk(kind, roots, [0; LANES], depth, x);
            for (lane, leaf) in leaves.into_iter().take(trees.len()).enumerate() {
                tell(chunk * LANES + lane, leaf);
            }
        }
    }

    /// The leaf of `tree` that each of the rows of `x` arrives at.
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
        let places = match kind {
            Kind::Plain => self.descend(roots, rows, depth, x, |node, x| x <= node.threshold),
            Kind::Missing => self.descend(roots, rows, depth, x, |node, x| {
                (x <= node.threshold) | (x.nan() & node.missing_true())
            }),
            Kind::Any => self.descend(roots, rows, depth, x, Node::holds),
        };
        places.map(|place| self.leaves[place as usize])
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
            for (place, row) in at.iter_mut().zip(rows) {
                let node = &self.nodes[*place as usize];
                let holds = holds(node, x[row + node.feature()]);
                let next = node.left.wrapping_add(u32::from(!holds));
                moved |= *place ^ next;
                *place = next;
            }
            // Most walks are shorter than the longest.
            if moved == 0 {
                break;
            }
        }
        at
    }
}

impl<T: Number> Node<T> {
    /// The node, and whether its children change places.
    fn new(branch: &Branch<T>, left: u32) -> TractResult<(Node<T>, bool)> {
        let (threshold, flags, swapped) = match branch.mode {
            Mode::Leq => (branch.threshold, 0, false),
            Mode::Lt => (below(branch.threshold), STRICT, false),
            Mode::Gt => (branch.threshold, 0, true),
            Mode::Gte => (below(branch.threshold), STRICT, true),
            Mode::Eq => (branch.threshold, EQUAL, false),
            Mode::Neq => (branch.threshold, EQUAL, true),
        };
        // A NaN threshold makes a comparison false. Where the children have changed places, and
        // for the negated comparison, which then holds, that is the other way.
        let never = branch.threshold.nan() && branch.mode != Mode::Neq;
        ensure!(!(swapped && never), "expected a threshold to compare with, found NaN");
        let missing_true = match branch.mode {
            // NaN differs from every threshold.
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

/// The greatest number below: `x < t` is `x <= below(t)`.
fn below<T: Number>(threshold: T) -> T {
    let below = threshold.next_down();
    // Nothing is below minus infinity.
    if below == threshold { T::NAN } else { below }
}

impl Nodes<f32> {
    /// The same trees with doubles.
    pub fn widened(&self) -> Nodes<f64> {
        let widen = |node: &Node<f32>| Node {
            threshold: match node.feature & STRICT != 0 && !node.threshold.is_nan() {
                // What is below a float is not what is below the same double.
                true => below(f64::from(node.threshold.next_up())),
                false => f64::from(node.threshold),
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
