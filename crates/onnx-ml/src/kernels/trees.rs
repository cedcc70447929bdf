//! Evaluates ensembles of decision trees.
//!
//! Two methods determine which leaf each row reaches in each tree. If there are several rows and at
//! least 4 trees, trees of at most 64 leaves are evaluated with bit vectors ([`quick_scorer`]),
//! unless branches share a child. All other trees, and single rows, are evaluated by traversal from
//! the root ([`traversal`]). Both methods return the number of the leaf within the tree. [`leaves`]
//! adds the weights of these leaves to scores.
//!
//! The loops are ordered for the caches: a block of rows ([`BLOCK`]) goes through a chunk of trees
//! ([`CHUNK`]) before the next chunk.

mod description;
mod leaves;
mod number;
mod quick_scorer;
mod traversal;

pub use description::{Aggregate, Branch, Child, Description, Mode, Scores};
use leaves::Leaves;
pub use number::Number;
use quick_scorer::{GROUPS, QuickScorer};
use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;
use traversal::Nodes;

/// Number of rows in a block. The features of a block stay in the L1 cache.
const BLOCK: usize = GROUPS * quick_scorer::LANES;

/// Number of trees in a chunk. The numbers of the reached leaves of a chunk stay in the L2 cache
/// until the weights of these leaves are added.
const CHUNK: usize = 256;

/// Maximum number of targets. Without a limit, a small model could request any amount of memory.
pub const MAX_TARGETS: usize = 1 << 20;

/// A validated ensemble, ready for evaluation.
#[derive(Debug, Deserialize, Serialize)]
#[serde(bound(serialize = "T: Number + Serialize", deserialize = "T: Number + Deserialize<'de>"))]
pub struct Forest<T: Number> {
    /// The nodes of all trees, for traversal.
    nodes: Nodes<T>,
    /// The bit vectors of small trees.
    quick_scorer: QuickScorer<T>,
    /// The weights of all leaves.
    leaves: Leaves<T>,
    /// Number of targets (scores of a row).
    targets: usize,
    /// Minimum number of columns of a row: the highest feature index plus 1.
    columns: usize,
}

impl<T: Number> Forest<T> {
    /// Validates an ensemble and prepares it for evaluation.
    ///
    /// # Errors
    ///
    /// Returns an error if the number of targets or a target is out of range, if a child does not
    /// exist, if branches form a cycle, if a branch is part of two trees or of no
    /// tree, or if the ensemble is too large.
    pub fn new(description: Description<T>) -> TractResult<Forest<T>> {
        let Description { branches, leaves, roots, targets } = description;
        ensure!(
            (1..=MAX_TARGETS).contains(&targets),
            "expected 1 to {MAX_TARGETS} targets, found {targets}"
        );
        for (target, _) in leaves.iter().flatten() {
            ensure!(*target < targets, "expected a target below {targets}, found {target}");
        }
        let (nodes, sources) = Nodes::new(&branches, leaves.len(), &roots)?;
        let counts = nodes.trees().iter().map(|tree| tree.leaf_count as usize);
        let leaves = Leaves::new(targets, &leaves, &sources, counts);
        Ok(Forest::assembled(nodes, leaves, targets))
    }

    /// Creates the forest from its nodes and leaves.
    fn assembled(nodes: Nodes<T>, leaves: Leaves<T>, targets: usize) -> Forest<T> {
        Forest {
            quick_scorer: QuickScorer::new(&nodes),
            columns: nodes.columns(),
            nodes,
            leaves,
            targets,
        }
    }

    /// Checks that rows have enough columns.
    ///
    /// # Errors
    ///
    /// Returns an error if a feature of the ensemble has an index of `columns` or more.
    pub fn expect_columns(&self, columns: usize) -> TractResult<()> {
        ensure!(
            columns >= self.columns,
            "expected {} columns or more, found {columns}",
            self.columns
        );
        Ok(())
    }

    /// Returns the scores of the rows of `x` (row-major, `rows` × `columns`).
    ///
    /// # Errors
    ///
    /// Returns an error if [`Forest::expect_columns`] returns an error.
    pub fn scores(
        &self,
        x: &[T],
        columns: usize,
        rows: usize,
        aggregate: Aggregate,
    ) -> TractResult<Scores<T>> {
        self.expect_columns(columns)?;
        let mut scores = self.leaves.start(rows, aggregate);
        if rows == 1 {
            self.score_row(x, aggregate, &mut scores);
        } else {
            self.score_rows(x, columns, aggregate, &mut scores);
        }
        if aggregate == Aggregate::Average {
            let trees = T::from_f64(self.nodes.trees().len() as f64);
            for score in &mut scores.scores {
                *score = *score / trees;
            }
        }
        Ok(scores)
    }

    /// Adds the weights of the leaves that a single row reaches.
    fn score_row(&self, x: &[T], aggregate: Aggregate, scores: &mut Scores<T>) {
        let Scores { scores, has_weight } = scores;
        self.nodes.leaves_of_row(x, |tree, leaf| {
            self.leaves.add(tree, &[leaf], aggregate, scores, has_weight);
        });
    }

    /// Adds the weights of the leaves that several rows reach.
    ///
    /// `transposed` and `leaves` are buffers for a block of rows. `transposed` has the features in
    /// the layout of [`QuickScorer::transpose`]. `leaves` has the numbers of the reached leaves as
    /// `[tree][group][lane]`.
    fn score_rows(&self, x: &[T], columns: usize, aggregate: Aggregate, scores: &mut Scores<T>) {
        let trees = self.nodes.trees().len();
        let mut transposed: [Vec<_>; GROUPS] = Default::default();
        let mut leaves = vec![[[0; quick_scorer::LANES]; GROUPS]; trees.min(CHUNK)];
        let blocks = scores
            .scores
            .chunks_mut(BLOCK * self.targets)
            .zip(scores.has_weight.chunks_mut(BLOCK * self.targets));
        for (block, (scores, has_weight)) in blocks.enumerate() {
            let rows = scores.len() / self.targets;
            let x = &x[block * BLOCK * columns..][..rows * columns];
            let groups = &mut transposed[..rows.div_ceil(quick_scorer::LANES)];
            self.quick_scorer.transpose(x, columns, rows, groups);
            for first in (0..trees).step_by(CHUNK) {
                let chunk = first..trees.min(first + CHUNK);
                self.quick_scorer.leaves(chunk.clone(), groups, &mut leaves);
                for (tree, leaves) in chunk.zip(&mut leaves) {
                    let leaves = &mut leaves.as_flattened_mut()[..rows];
                    if !self.quick_scorer.evaluates(tree) {
                        self.nodes.leaves_of_tree(tree, x, columns, leaves);
                    }
                    self.leaves.add(tree, leaves, aggregate, scores, has_weight);
                }
            }
        }
    }
}

impl Forest<f32> {
    /// Returns the ensemble in double precision, for features that are doubles. The features are
    /// compared without rounding them to `f32`.
    pub fn widened(&self) -> Forest<f64> {
        Forest::assembled(self.nodes.widened(), self.leaves.widened(), self.targets)
    }
}

#[cfg(test)]
mod tests;
