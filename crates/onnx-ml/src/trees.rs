//! Ensembles of decision trees: checked, laid out for the cache, and walked several at a time.
//!
//! A walk down one tree waits at each node for the last one's answer. [`Forest`] walks several
//! side by side, without branches that depend on the data: rows through one tree where
//! there are enough rows, else trees for one row.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Neg};
use tract_onnx::tract_hir::internal::*;

/// Walks side by side.
const LANES: usize = 8;

/// Rows that go through a tree before the next one: few enough to stay in the first-level cache.
const BLOCK: usize = 64;

/// More targets would let a small model ask for any amount of memory.
pub const MAX_TARGETS: usize = 1 << 20;

/// The element type of thresholds, features and scores.
pub trait Number:
    Datum
    + Copy
    + Default
    + PartialOrd
    + AddAssign
    + Add<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    const NAN: Self;

    fn next_down(self) -> Self;
    fn nan(self) -> bool;
    fn to_f32(self) -> f32;
    fn from_f64(number: f64) -> Self;
}

macro_rules! number {
    ($number:ty) => {
        impl Number for $number {
            const NAN: Self = <$number>::NAN;

            fn next_down(self) -> Self {
                self.next_down()
            }

            fn nan(self) -> bool {
                self.is_nan()
            }

            fn to_f32(self) -> f32 {
                self as f32
            }

            fn from_f64(number: f64) -> Self {
                number as $number
            }
        }
    };
}

number!(f32);
number!(f64);

/// How a branch compares a feature with its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Leq,
    Lt,
    Gte,
    Gt,
    Eq,
    Neq,
}

/// An inner node, as a model describes it.
#[derive(Debug, Clone)]
pub struct Branch<T> {
    pub feature: usize,
    pub mode: Mode,
    pub threshold: T,
    /// Whether NaN takes the way of a comparison that holds.
    pub missing_true: bool,
    /// Where to go if the comparison holds, and if it does not.
    pub children: [Child; 2],
}

/// Index of a branch or of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Child {
    Branch(usize),
    Leaf(usize),
}

/// An ensemble, as a model describes it.
#[derive(Debug)]
pub struct Description<T> {
    pub branches: Vec<Branch<T>>,
    /// Target and weight, as many as a leaf has.
    pub leaves: Vec<Vec<(usize, T)>>,
    pub roots: Vec<Child>,
    pub targets: usize,
}

/// How the trees' weights for a target become its score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

impl Aggregate {
    /// # Errors
    ///
    /// Where `name` is none of `aggregate_function`'s values.
    pub fn parse(name: &str) -> TractResult<Aggregate> {
        Ok(match name {
            "SUM" => Aggregate::Sum,
            "AVERAGE" => Aggregate::Average,
            "MIN" => Aggregate::Min,
            "MAX" => Aggregate::Max,
            _ => bail!("expected SUM, AVERAGE, MIN or MAX, but found `{name}`"),
        })
    }
}

/// A checked ensemble.
#[derive(Debug)]
pub struct Forest<T> {
    nodes: Vec<Node<T>>,
    roots: Vec<u32>,
    /// Where each leaf's weights start; one more entry for the end.
    offsets: Vec<u32>,
    weights: Vec<(u32, T)>,
    targets: usize,
    /// Every comparison is [`Mode::Leq`].
    ordered: bool,
    /// Columns that a row must have.
    columns: usize,
}

#[derive(Debug, Clone, Copy)]
struct Node<T> {
    threshold: T,
    feature: u32,
    /// Where to go if the comparison holds, and if it does not; a leaf's lead to itself.
    children: [u32; 2],
    /// Of a leaf, its number.
    leaf: u32,
    compare: Compare,
    /// The threshold is the number below the model's.
    strict: bool,
    missing_true: bool,
}

/// What is left of [`Mode`]: the others are these with other children and thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compare {
    Leq,
    Eq,
}

/// A score per row and target, and whether any leaf gave one.
#[derive(Debug)]
pub struct Scores<T> {
    pub scores: Vec<T>,
    pub given: Vec<bool>,
}

impl<T: Number> Forest<T> {
    /// # Errors
    ///
    /// Where a node leads nowhere, or is reached twice, as in a circle, or not at all; where a
    /// leaf's target is out of range; where the ensemble is too large.
    pub fn new(description: Description<T>) -> TractResult<Forest<T>> {
        let Description { branches, leaves, roots, targets } = description;
        ensure!(
            (1..=MAX_TARGETS).contains(&targets),
            "expected 1 to {MAX_TARGETS} targets, but found {targets}"
        );
        let mut forest = Forest {
            nodes: Vec::with_capacity(branches.len() + leaves.len()),
            roots: Vec::with_capacity(roots.len()),
            offsets: vec![0],
            weights: vec![],
            targets,
            ordered: branches.iter().all(|branch| !matches!(branch.mode, Mode::Eq | Mode::Neq)),
            columns: branches.iter().map(|branch| branch.feature + 1).max().unwrap_or(0),
        };
        for leaf in &leaves {
            for (target, weight) in leaf {
                ensure!(*target < targets, "expected a target below {targets}, but found {target}");
                forest.weights.push((u32::try_from(*target)?, *weight));
            }
            forest.offsets.push(u32::try_from(forest.weights.len())?);
        }
        let mut reached = vec![false; branches.len()];
        for root in roots {
            let index = forest.lay_out(root, &branches, leaves.len(), &mut reached)?;
            forest.roots.push(index);
        }
        match reached.iter().position(|reached| !reached) {
            None => Ok(forest),
            Some(branch) => bail!("expected a way from a root to branch {branch}, but found none"),
        }
    }

    /// Appends a tree, depth first, so that most steps stay close.
    fn lay_out(
        &mut self,
        root: Child,
        branches: &[Branch<T>],
        leaves: usize,
        reached: &mut [bool],
    ) -> TractResult<u32> {
        let first = u32::try_from(self.nodes.len())?;
        // Child, and the node and side it hangs on.
        let mut pending: Vec<(Child, Option<(usize, usize)>)> = vec![(root, None)];
        while let Some((child, parent)) = pending.pop() {
            let index = self.nodes.len();
            let own = u32::try_from(index)?;
            if let Some((parent, side)) = parent {
                self.nodes[parent].children[side] = own;
            }
            match child {
                Child::Leaf(leaf) => {
                    ensure!(leaf < leaves, "expected a leaf below {leaves}, but found {leaf}");
                    self.nodes.push(Node {
                        threshold: T::default(),
                        feature: 0,
                        children: [own, own],
                        leaf: u32::try_from(leaf)?,
                        compare: Compare::Leq,
                        strict: false,
                        missing_true: false,
                    });
                }
                Child::Branch(branch) => {
                    let source = branches.get(branch).with_context(|| {
                        format!("expected a node below {}, but found {branch}", branches.len())
                    })?;
                    ensure!(
                        !std::mem::replace(&mut reached[branch], true),
                        "expected one way to each node, but found two to branch {branch}"
                    );
                    let (node, swapped) = Node::new(source)?;
                    self.nodes.push(node);
                    let [yes, no] = source.children;
                    let [left, right] = if swapped { [no, yes] } else { [yes, no] };
                    pending.push((right, Some((index, 1))));
                    pending.push((left, Some((index, 0))));
                }
            }
        }
        Ok(first)
    }

    pub fn targets(&self) -> usize {
        self.targets
    }

    /// # Errors
    ///
    /// Where rows of so many columns lack one that is compared.
    pub fn expect_columns(&self, columns: usize) -> TractResult<()> {
        ensure!(
            columns >= self.columns,
            "expected {} columns or more, but found {columns}",
            self.columns
        );
        Ok(())
    }

    /// The scores of the rows of `x`, which have `columns` columns each.
    ///
    /// # Errors
    ///
    /// As [`Forest::expect_columns`].
    pub fn scores(
        &self,
        x: &[T],
        columns: usize,
        rows: usize,
        aggregate: Aggregate,
    ) -> TractResult<Scores<T>> {
        self.expect_columns(columns)?;
        let len = rows * self.targets;
        let mut scores = Scores { scores: vec![T::default(); len], given: vec![false; len] };
        match self.ordered {
            true => self.walk_all::<true>(x, columns, rows, aggregate, &mut scores),
            false => self.walk_all::<false>(x, columns, rows, aggregate, &mut scores),
        }
        if aggregate == Aggregate::Average {
            let trees = T::from_f64(self.roots.len() as f64);
            for score in &mut scores.scores {
                *score = *score / trees;
            }
        }
        Ok(scores)
    }

    fn walk_all<const ORDERED: bool>(
        &self,
        x: &[T],
        columns: usize,
        rows: usize,
        aggregate: Aggregate,
        scores: &mut Scores<T>,
    ) {
        let row = |row: usize| &x[row * columns..(row + 1) * columns];
        if rows < LANES {
            for index in 0..rows {
                for roots in self.roots.chunks(LANES) {
                    let starts = std::array::from_fn(|lane| roots[lane.min(roots.len() - 1)]);
                    let leaves = self.walk::<ORDERED>(starts, [row(index); LANES]);
                    for leaf in &leaves[..roots.len()] {
                        self.add(*leaf, index, aggregate, scores);
                    }
                }
            }
            return;
        }
        for start in (0..rows).step_by(BLOCK) {
            let end = rows.min(start + BLOCK);
            for root in &self.roots {
                for first in (start..end).step_by(LANES) {
                    let lanes = LANES.min(end - first);
                    let xs = std::array::from_fn(|lane| row(first + lane.min(lanes - 1)));
                    let leaves = self.walk::<ORDERED>([*root; LANES], xs);
                    for (lane, leaf) in leaves[..lanes].iter().enumerate() {
                        self.add(*leaf, first + lane, aggregate, scores);
                    }
                }
            }
        }
    }

    /// The leaf that each lane's row arrives at.
    #[inline]
    fn walk<const ORDERED: bool>(&self, starts: [u32; LANES], rows: [&[T]; LANES]) -> [u32; LANES] {
        let mut at = starts;
        loop {
            let mut moved = 0;
            for lane in 0..LANES {
                let node = &self.nodes[at[lane] as usize];
                // A tree that is one leaf compares nothing, so a row may have no columns.
                let x = rows[lane].get(node.feature as usize).copied().unwrap_or_default();
                let holds = match node.compare {
                    Compare::Eq if !ORDERED => x == node.threshold,
                    _ => x <= node.threshold,
                };
                let holds = holds | (x.nan() & node.missing_true);
                let next = node.children[usize::from(!holds)];
                moved |= next ^ at[lane];
                at[lane] = next;
            }
            if moved == 0 {
                return at.map(|index| self.nodes[index as usize].leaf);
            }
        }
    }

    #[inline]
    fn add(&self, leaf: u32, row: usize, aggregate: Aggregate, scores: &mut Scores<T>) {
        let leaf = leaf as usize;
        let weights = &self.weights[self.offsets[leaf] as usize..self.offsets[leaf + 1] as usize];
        let start = row * self.targets;
        let row_scores = &mut scores.scores[start..start + self.targets];
        let row_given = &mut scores.given[start..start + self.targets];
        for (target, weight) in weights {
            let target = *target as usize;
            let (score, given) = (&mut row_scores[target], &mut row_given[target]);
            match aggregate {
                Aggregate::Sum | Aggregate::Average => *score += *weight,
                Aggregate::Min if !*given || *weight < *score => *score = *weight,
                Aggregate::Max if !*given || *weight > *score => *score = *weight,
                Aggregate::Min | Aggregate::Max => {}
            }
            *given = true;
        }
    }
}

impl<T: Number> Node<T> {
    /// The node, its children still unknown, and whether they change places.
    fn new(branch: &Branch<T>) -> TractResult<(Node<T>, bool)> {
        let (compare, threshold, swapped) = match branch.mode {
            Mode::Leq => (Compare::Leq, branch.threshold, false),
            Mode::Lt => (Compare::Leq, below(branch.threshold), false),
            Mode::Gt => (Compare::Leq, branch.threshold, true),
            Mode::Gte => (Compare::Leq, below(branch.threshold), true),
            Mode::Eq => (Compare::Eq, branch.threshold, false),
            Mode::Neq => (Compare::Eq, branch.threshold, true),
        };
        // A NaN threshold makes a comparison false. Where the children have changed places, and
        // for the negated comparison, which then holds, that is the other way.
        let never = branch.threshold.nan() && branch.mode != Mode::Neq;
        ensure!(!(swapped && never), "expected a threshold to compare with, but found NaN");
        let missing_true = match branch.mode {
            // NaN differs from every threshold.
            Mode::Neq => false,
            _ => branch.missing_true != swapped,
        };
        let node = Node {
            threshold,
            feature: u32::try_from(branch.feature)?,
            children: [0, 0],
            leaf: 0,
            compare,
            strict: matches!(branch.mode, Mode::Lt | Mode::Gte),
            missing_true,
        };
        Ok((node, swapped))
    }
}

/// The greatest number below: `x < t` is `x <= below(t)`.
fn below<T: Number>(threshold: T) -> T {
    let below = threshold.next_down();
    // Nothing is below minus infinity.
    if below == threshold { T::NAN } else { below }
}

impl Forest<f32> {
    /// The same ensemble with doubles, for features that are doubles.
    pub fn widened(&self) -> Forest<f64> {
        let widen = |node: &Node<f32>| Node {
            threshold: match node.strict && !node.threshold.is_nan() {
                // What is below a float is not what is below the same double.
                true => below(f64::from(node.threshold.next_up())),
                false => f64::from(node.threshold),
            },
            feature: node.feature,
            children: node.children,
            leaf: node.leaf,
            compare: node.compare,
            strict: node.strict,
            missing_true: node.missing_true,
        };
        Forest {
            nodes: self.nodes.iter().map(widen).collect(),
            roots: self.roots.clone(),
            offsets: self.offsets.clone(),
            weights: self.weights.iter().map(|(t, weight)| (*t, f64::from(*weight))).collect(),
            targets: self.targets,
            ordered: self.ordered,
            columns: self.columns,
        }
    }
}

#[cfg(test)]
mod tests;
