//! The weights of the leaves, and their aggregation to scores.

use super::description::{Aggregate, Scores};
use super::number::Number;
use crate::encoding::weights::{Weights, pairs};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The weights of all leaves. Leaves are numbered consecutively, tree by tree.
///
/// The general layout is a sparse matrix: each leaf has a range of entries (target and weight). If
/// the ensemble permits it, [`Dense`] is used instead for sums.
#[derive(Debug, Deserialize, Serialize)]
#[serde(bound = "T: Number")]
pub struct Leaves<T: Number> {
    /// Number of targets (scores of a row).
    targets: usize,
    /// The number of the first leaf of each tree.
    firsts: Vec<usize>,
    /// For each leaf, the range of its entries in `weights`. Leaves may share entries.
    #[serde(with = "pairs")]
    ranges: Vec<Range<usize>>,
    /// Target and weight of each entry.
    #[serde(with = "pairs")]
    weights: Vec<(u32, T)>,
    /// The dense layout, if it is possible.
    dense: Option<Dense<T>>,
}

/// The layout for ensembles in which all leaves of a tree have weights for the same targets in the
/// same order. The targets are stored once for each tree, and the weights of a tree are a matrix,
/// leaves × targets.
#[derive(Debug, Deserialize, Serialize)]
#[serde(bound = "T: Number")]
struct Dense<T: Number> {
    trees: Vec<DenseTree>,
    /// The targets of all trees, one tree after the other.
    targets: Vec<u32>,
    /// The matrices of all trees, one tree after the other.
    weights: Weights<T>,
    /// For each target, `true` if at least one tree has weights for it.
    has_weight: Vec<bool>,
}

impl<T: Number> pairs::Pair for (u32, T) {
    type First = u32;
    type Second = T;

    fn split(&self) -> (u32, T) {
        *self
    }

    fn join(target: u32, weight: T) -> (u32, T) {
        (target, weight)
    }
}

impl pairs::Pair for Range<usize> {
    type First = usize;
    type Second = usize;

    fn split(&self) -> (usize, usize) {
        (self.start, self.end)
    }

    fn join(start: usize, end: usize) -> Range<usize> {
        start..end
    }
}

/// A tree of the dense layout.
#[derive(Debug, Deserialize, Serialize)]
struct DenseTree {
    /// Range of the tree's targets in [`Dense::targets`].
    targets: Range<usize>,
    /// Index in [`Dense::weights`] at which the tree's matrix starts.
    weights: usize,
}

impl<T: Number> Leaves<T> {
    /// Creates the layout. `leaves` are the leaves as the model describes them. `sources` has one
    /// element for each leaf of all trees, tree by tree: the index of the leaf in `leaves`.
    /// `counts` is the number of leaves of each tree.
    pub fn new(
        targets: usize,
        leaves: &[Vec<(usize, T)>],
        sources: &[usize],
        counts: impl Iterator<Item = usize>,
    ) -> Leaves<T> {
        let mut weights = vec![];
        let ranges: Vec<Range<usize>> = leaves
            .iter()
            .map(|leaf| {
                let start = weights.len();
                weights.extend(leaf.iter().map(|(target, weight)| (*target as u32, *weight)));
                start..weights.len()
            })
            .collect();
        let ranges = sources.iter().map(|leaf| ranges[*leaf].clone()).collect();
        let mut first = 0;
        let firsts = counts
            .map(|count| {
                first += count;
                first - count
            })
            .collect();
        let mut leaves = Leaves { targets, firsts, ranges, weights, dense: None };
        leaves.dense = leaves.dense();
        leaves
    }

    /// Returns the dense layout, or `None` if the leaves of a tree have different targets, or if
    /// the dense layout would need more than about twice the memory.
    fn dense(&self) -> Option<Dense<T>> {
        let mut dense = Dense {
            trees: Vec::with_capacity(self.firsts.len()),
            targets: vec![],
            weights: vec![].into(),
            has_weight: vec![false; self.targets],
        };
        let mut weights = vec![];
        let ends = self.firsts.iter().skip(1).copied().chain([self.ranges.len()]);
        for (first, end) in self.firsts.iter().zip(ends) {
            let leaves = self.ranges[*first..end].iter().map(|range| &self.weights[range.clone()]);
            let start = dense.targets.len();
            dense.targets.extend(leaves.clone().next()?.iter().map(|(target, _)| *target));
            let tree = DenseTree { targets: start..dense.targets.len(), weights: weights.len() };
            let targets = &dense.targets[tree.targets.clone()];
            let has_targets = |leaf: &[(u32, T)]| leaf.iter().map(|(target, _)| target).eq(targets);
            // Leaves may share entries in `self.weights`. The dense layout has a copy for each
            // leaf, so that it may need more memory.
            if !leaves.clone().all(has_targets) || weights.len() > 2 * self.weights.len() {
                return None;
            }
            weights.extend(leaves.flatten().map(|(_, weight)| *weight));
            targets.iter().for_each(|target| dense.has_weight[*target as usize] = true);
            dense.trees.push(tree);
        }
        dense.weights = weights.into();
        Some(dense)
    }

    /// Returns scores of zero for `rows` rows. In the dense layout, the flags `has_weight` are
    /// already final: a row reaches a leaf of every tree, and all leaves of a tree have the same
    /// targets.
    pub fn start(&self, rows: usize, aggregate: Aggregate) -> Scores<T> {
        let len = rows * self.targets;
        let has_weight = match self.dense_sums(aggregate) {
            Some(dense) => dense.has_weight.repeat(rows),
            None => vec![false; len],
        };
        Scores { scores: vec![T::default(); len], has_weight }
    }

    /// Returns the dense layout if it exists and `aggregate` is a sum or an average.
    fn dense_sums(&self, aggregate: Aggregate) -> Option<&Dense<T>> {
        let sums = matches!(aggregate, Aggregate::Sum | Aggregate::Average);
        self.dense.as_ref().filter(|_| sums)
    }

    /// Aggregates the weights of the leaves that rows reach in `tree` into `scores`. `leaves` has
    /// one element for each row: the number of the leaf within the tree. `scores` and `has_weight`
    /// have one element for each target of each row.
    pub fn add(
        &self,
        tree: usize,
        leaves: &[u32],
        aggregate: Aggregate,
        scores: &mut [T],
        has_weight: &mut [bool],
    ) {
        if let Some(dense) = self.dense_sums(aggregate) {
            dense.add(tree, leaves, self.targets, scores);
            return;
        }
        let first = self.firsts[tree];
        let rows =
            scores.chunks_exact_mut(self.targets).zip(has_weight.chunks_exact_mut(self.targets));
        for (leaf, (scores, has_weight)) in leaves.iter().zip(rows) {
            for (target, weight) in &self.weights[self.ranges[first + *leaf as usize].clone()] {
                let target = *target as usize;
                let (score, has_weight) = (&mut scores[target], &mut has_weight[target]);
                match aggregate {
                    Aggregate::Sum | Aggregate::Average => *score += *weight,
                    Aggregate::Min if !*has_weight || *weight < *score => *score = *weight,
                    Aggregate::Max if !*has_weight || *weight > *score => *score = *weight,
                    Aggregate::Min | Aggregate::Max => {}
                }
                *has_weight = true;
            }
        }
    }
}

impl<T: Number> Dense<T> {
    /// Adds the weights of the reached leaves. `width` is the number of scores of a row.
    fn add(&self, tree: usize, leaves: &[u32], width: usize, scores: &mut [T]) {
        let tree = &self.trees[tree];
        let weights = &self.weights[tree.weights..];
        match self.targets[tree.targets.clone()] {
            [_] if width == 1 => {
                for (leaf, score) in leaves.iter().zip(scores) {
                    *score += weights[*leaf as usize];
                }
            }
            [target] => {
                for (leaf, scores) in leaves.iter().zip(scores.chunks_exact_mut(width)) {
                    scores[target as usize] += weights[*leaf as usize];
                }
            }
            // The tree has weights for all of 2 to 4 targets. With a constant width, the compiler
            // unrolls the loop over the targets.
            [0, 1] if width == 2 => add_all::<T, 2>(weights, leaves, scores),
            [0, 1, 2] if width == 3 => add_all::<T, 3>(weights, leaves, scores),
            [0, 1, 2, 3] if width == 4 => add_all::<T, 4>(weights, leaves, scores),
            ref targets => {
                let count = targets.len();
                for (leaf, scores) in leaves.iter().zip(scores.chunks_exact_mut(width)) {
                    let weights = &weights[*leaf as usize * count..][..count];
                    for (target, weight) in targets.iter().zip(weights) {
                        scores[*target as usize] += *weight;
                    }
                }
            }
        }
    }
}

/// Adds the weights of a tree that has weights for all `N` targets. `weights` is a matrix, leaves ×
/// `N`; `scores` is a matrix, rows × `N`.
fn add_all<T: Number, const N: usize>(weights: &[T], leaves: &[u32], scores: &mut [T]) {
    let (weights, _) = weights.as_chunks::<N>();
    for (leaf, scores) in leaves.iter().zip(scores.as_chunks_mut::<N>().0) {
        for (score, weight) in scores.iter_mut().zip(&weights[*leaf as usize]) {
            *score += *weight;
        }
    }
}

impl Leaves<f32> {
    /// Returns the leaves with weights in double precision.
    pub fn widened(&self) -> Leaves<f64> {
        let mut leaves = Leaves {
            targets: self.targets,
            firsts: self.firsts.clone(),
            ranges: self.ranges.clone(),
            weights: self.weights.iter().map(|(target, w)| (*target, f64::from(*w))).collect(),
            dense: None,
        };
        leaves.dense = leaves.dense();
        leaves
    }
}
