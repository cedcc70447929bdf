//! Evaluation of trees with at most 64 leaves as bit vectors: the
//! [QuickScorer](https://doi.org/10.1145/2766462.2767733) algorithm.
//!
//! The leaves of a tree are numbered from left to right, and each leaf has one bit of a bit vector.
//! A row goes to the left child of a node if the comparison of the node is true. So a false
//! comparison rules out the leaves of the left subtree. Each comparison has a mask in which the
//! bits of these leaves are 0 and all other bits are 1. For a row, the masks of all false
//! comparisons are combined by a bitwise AND. The bits that are still 1 belong to the leaves that
//! are not ruled out. The row reaches the leftmost of these leaves: the number of that leaf is the
//! position of the lowest bit that is set.
//!
//! Why the lowest bit: the leaf that the row reaches is never ruled out. Each leaf to the left of
//! that leaf lies in the left subtree of a node at which the row went right. The comparison of that
//! node rules it out.
//!
//! All comparisons of a tree are evaluated, in any order and without branches. For [`LANES`] rows
//! at once this is faster than following each row from node to node.

use super::number::Number;
use super::traversal::{Node, Nodes};
use crate::kernels::simd::{Vectorized, vectorized};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Number of rows that are evaluated at once, one per SIMD lane.
pub const LANES: usize = 16;

/// Number of groups of [`LANES`] rows that go through a tree before the next tree.
pub const GROUPS: usize = 4;

/// Minimum number of trees of the ensemble. With fewer trees, transposing the rows takes more time
/// than the bit vectors save.
const MIN_TREES: usize = 4;

/// Maximum number of leaves of a tree: the bits of two words. In larger trees, a row passes
/// only a small part of the nodes, and evaluating all comparisons is slower than traversal.
const MAX_LEAVES: u32 = 64;

/// The comparisons of all trees of a forest that are small enough for bit vectors.
#[derive(Debug, Deserialize, Serialize)]
pub struct QuickScorer<T> {
    /// The columns of the input that occur in a comparison.
    features: Vec<usize>,
    /// One element for each tree. `None` if the tree has too many leaves or shared branches, or if
    /// the forest has too few trees.
    trees: Vec<Option<Tree>>,
    /// Comparisons of all trees with at most 32 leaves, one tree after the other.
    narrow: Vec<Comparison<T, 1>>,
    /// Comparisons of all trees with 33 to 64 leaves.
    wide: Vec<Comparison<T, 2>>,
}

/// The ranges of a tree's comparisons in [`QuickScorer::narrow`] or [`QuickScorer::wide`]. The
/// comparisons are grouped by [`Kind`]: `start..missing` are [`Kind::Plain`], `missing..equal` are
/// [`Kind::Missing`], and `equal..end` are [`Kind::Equal`]. Each group has its own loop without a
/// check of the kind.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
struct Tree {
    /// `true` if the tree has more than 32 leaves. Its comparisons are then in
    /// [`QuickScorer::wide`].
    wide: bool,
    start: u32,
    missing: u32,
    equal: u32,
    end: u32,
}

/// A comparison of a feature with a threshold, and the mask of the leaves that a false comparison does not rule out.
/// The mask has `WORDS` words of 32 bits, the lowest word first.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(bound(
    serialize = "T: Serialize, [u32; WORDS]: Serialize",
    deserialize = "T: Deserialize<'de>, [u32; WORDS]: Deserialize<'de>"
))]
struct Comparison<T, const WORDS: usize> {
    threshold: T,
    /// Index in [`QuickScorer::features`].
    feature: u32,
    /// The mask: bits of the leaves that remain possible if the comparison is false.
    remaining: [u32; WORDS],
    /// `true` if NaN satisfies the comparison. Only the loop for [`Kind::Equal`] reads this field, because the field is
    /// always `false` for [`Kind::Plain`] and always `true` for [`Kind::Missing`].
    missing_true: bool,
}

impl<T: Number> QuickScorer<T> {
    /// Creates the bit vectors of the small trees.
    pub fn new(nodes: &Nodes<T>) -> QuickScorer<T> {
        let mut scorer =
            QuickScorer { features: vec![], trees: vec![], narrow: vec![], wide: vec![] };
        let mut indices = vec![None; nodes.columns()];
        let has_enough_trees = nodes.trees().len() >= MIN_TREES;
        for tree in nodes.trees() {
            // Leaves below a shared branch are ruled out on one path and not on another.
            let possible = has_enough_trees && tree.leaf_count <= MAX_LEAVES && !tree.shared;
            let tree = possible.then(|| {
                let mut comparisons = comparisons(nodes, tree.root, &mut |column| {
                    *indices[column].get_or_insert_with(|| {
                        scorer.features.push(column);
                        scorer.features.len() as u32 - 1
                    })
                });
                merge(&mut comparisons);
                let wide = tree.leaf_count > 32;
                let start = if wide { scorer.wide.len() } else { scorer.narrow.len() } as u32;
                // Returns the end of the comparisons whose kind is `last` or before it.
                let until = |last| {
                    let count = comparisons.iter().take_while(|(kind, _)| *kind <= last).count();
                    start + count as u32
                };
                let tree = Tree {
                    wide,
                    start,
                    missing: until(Kind::Plain),
                    equal: until(Kind::Missing),
                    end: until(Kind::Equal),
                };
                let comparisons = comparisons.into_iter().map(|(_, comparison)| comparison);
                if wide {
                    scorer.wide.extend(comparisons)
                } else {
                    scorer.narrow.extend(comparisons.map(narrow))
                }
                tree
            });
            scorer.trees.push(tree);
        }
        scorer
    }

    /// Returns `true` if the tree is evaluated with bit vectors.
    pub fn evaluates(&self, tree: usize) -> bool {
        self.trees[tree].is_some()
    }

    /// Writes the columns [`QuickScorer::features`] of the rows of `x` to `groups`, as
    /// `[group][feature][lane]`. Row r is lane r modulo [`LANES`] of group r / [`LANES`]. If the
    /// last group is not full, its remaining lanes repeat the last row.
    pub fn transpose(&self, x: &[T], columns: usize, rows: usize, groups: &mut [Vec<[T; LANES]>]) {
        for (group, transposed) in groups.iter_mut().enumerate() {
            let start = |lane: usize| (group * LANES + lane).min(rows - 1) * columns;
            let starts: [usize; LANES] = std::array::from_fn(start);
            transposed.clear();
            transposed
                .extend(self.features.iter().map(|column| starts.map(|start| x[start + column])));
        }
    }

    /// Writes the number of the leaf that each row reaches, for each tree of the range that is
    /// evaluated with bit vectors. `groups` are the rows from [`QuickScorer::transpose`]. `leaves`
    /// has one element for each tree of the range, `[tree][group][lane]`.
    pub fn leaves(
        &self,
        trees: Range<usize>,
        groups: &[Vec<[T; LANES]>],
        leaves: &mut [[[u32; LANES]; GROUPS]],
    ) {
        vectorized(Leaves { scorer: self, trees, groups, leaves });
    }
}

/// See [`QuickScorer::leaves`].
struct Leaves<'a, T> {
    scorer: &'a QuickScorer<T>,
    trees: Range<usize>,
    groups: &'a [Vec<[T; LANES]>],
    leaves: &'a mut [[[u32; LANES]; GROUPS]],
}

impl<T: Number> Vectorized for Leaves<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Leaves { scorer, trees, groups, leaves } = self;
        for (tree, leaves) in scorer.trees[trees].iter().zip(leaves) {
            let Some(tree) = tree else { continue };
            for (x, leaves) in groups.iter().zip(leaves) {
                if tree.wide {
                    let [low, high] = tree.remaining(&scorer.wide, x);
                    for ((leaf, low), high) in leaves.iter_mut().zip(low).zip(high) {
                        let beyond = 32 + high.trailing_zeros();
                        *leaf = if low == 0 { beyond } else { low.trailing_zeros() };
                    }
                } else {
                    let [low] = tree.remaining(&scorer.narrow, x);
                    for (leaf, low) in leaves.iter_mut().zip(low) {
                        *leaf = low.trailing_zeros();
                    }
                }
            }
        }
    }
}

impl Tree {
    /// Returns, for each row of a group, the bits of the leaves that no comparison rules out, as
    /// `[word][lane]`.
    #[inline(always)]
    fn remaining<T: Number, const WORDS: usize>(
        &self,
        comparisons: &[Comparison<T, WORDS>],
        x: &[[T; LANES]],
    ) -> [[u32; LANES]; WORDS] {
        let mut remaining = [[u32::MAX; LANES]; WORDS];
        let slice = |start: u32, end: u32| &comparisons[start as usize..end as usize];
        for comparison in slice(self.start, self.missing) {
            let threshold = comparison.threshold;
            comparison.rule_out(x, &mut remaining, |x| x <= threshold);
        }
        for comparison in slice(self.missing, self.equal) {
            let threshold = comparison.threshold;
            comparison.rule_out(x, &mut remaining, |x| (x <= threshold) | x.is_nan());
        }
        for comparison in slice(self.equal, self.end) {
            let (threshold, missing_true) = (comparison.threshold, comparison.missing_true);
            comparison
                .rule_out(x, &mut remaining, |x| (x == threshold) | (x.is_nan() & missing_true));
        }
        remaining
    }
}

impl<T: Number, const WORDS: usize> Comparison<T, WORDS> {
    /// Evaluates the comparison for a group of rows with `holds`, and clears the bits of the leaves
    /// that the comparison rules out.
    ///
    /// `held` is all ones in the lanes in which the comparison is true, so that `held | mask`
    /// changes nothing there.
    #[inline(always)]
    fn rule_out(
        &self,
        x: &[[T; LANES]],
        remaining: &mut [[u32; LANES]; WORDS],
        holds: impl Fn(T) -> bool,
    ) {
        let mut held = [0; LANES];
        for (held, x) in held.iter_mut().zip(&x[self.feature as usize]) {
            *held = if holds(*x) { u32::MAX } else { 0 };
        }
        for (remaining, word) in remaining.iter_mut().zip(self.remaining) {
            for (remaining, held) in remaining.iter_mut().zip(&held) {
                *remaining &= *held | word;
            }
        }
    }
}

/// How a comparison is evaluated. The comparisons of a tree are sorted by kind, in the order of the
/// variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// `<=`, which NaN does not satisfy.
    Plain,
    /// `<=`, which NaN satisfies.
    Missing,
    /// `==`.
    Equal,
}

/// Returns the comparisons of the tree below `root`. `index_of` returns the index of a column in
/// [`QuickScorer::features`].
///
/// The tree is traversed depth first, left before right, and leaves are counted. The leaves of a
/// left subtree are therefore a contiguous range, from the count before the subtree to the count
/// after it.
fn comparisons<T: Number>(
    nodes: &Nodes<T>,
    root: u32,
    index_of: &mut impl FnMut(usize) -> u32,
) -> Vec<(Kind, Comparison<T, 2>)> {
    let mut found: Vec<(Kind, Comparison<T, 2>)> = vec![];
    let mut leaf = 0;
    // Either a node to visit, or the end of a left subtree. The subtree belongs to the comparison
    // at `index`, and its leaves start at `first`.
    enum Step {
        Node(u32),
        LeftEnds { index: usize, first: u32 },
    }
    let mut pending = vec![Step::Node(root)];
    while let Some(step) = pending.pop() {
        match step {
            Step::LeftEnds { index, first } => found[index].1.remaining = mask_without(first, leaf),
            Step::Node(at) => match nodes.branch(at) {
                None => leaf += 1,
                Some((node, [left, right])) => {
                    let index = found.len();
                    found.push(comparison(node, index_of(node.feature())));
                    pending.push(Step::Node(right));
                    pending.push(Step::LeftEnds { index, first: leaf });
                    pending.push(Step::Node(left));
                }
            },
        }
    }
    found
}

/// Sorts the comparisons by kind, and merges equal comparisons into one comparison. The mask of the merged comparison
/// is the AND of the masks. This helps with oblivious trees (CatBoost), which have the same comparison at each node of
/// a level.
fn merge<T: Number>(comparisons: &mut Vec<(Kind, Comparison<T, 2>)>) {
    let key = |(kind, comparison): &(Kind, Comparison<T, 2>)| {
        (*kind, comparison.feature, comparison.threshold.bits(), comparison.missing_true)
    };
    comparisons.sort_by_key(key);
    comparisons.dedup_by(|other, first| {
        let equal = key(other) == key(first);
        if equal {
            for (word, other) in first.1.remaining.iter_mut().zip(other.1.remaining) {
                *word &= other;
            }
        }
        equal
    });
}

/// Returns the comparison of a node, with a mask that rules out nothing.
fn comparison<T: Number>(node: &Node<T>, feature: u32) -> (Kind, Comparison<T, 2>) {
    let missing_true = node.missing_true();
    // With a NaN threshold, `<=` and `==` are both false for every number. Such comparisons are
    // evaluated as `==`.
    let kind = match (node.equal() || node.threshold.is_nan(), missing_true) {
        (true, _) => Kind::Equal,
        (false, true) => Kind::Missing,
        (false, false) => Kind::Plain,
    };
    let threshold = node.threshold;
    (kind, Comparison { threshold, feature, remaining: [u32::MAX; 2], missing_true })
}

/// Returns a mask of two words with the bits `first..end` cleared.
fn mask_without(first: u32, end: u32) -> [u32; 2] {
    let below = |bit: u32| 1_u64.checked_shl(bit).map_or(u64::MAX, |bit| bit - 1);
    let remaining = !(below(end) & !below(first));
    [remaining as u32, (remaining >> 32) as u32]
}

/// Drops the upper word of the mask.
fn narrow<T>(comparison: Comparison<T, 2>) -> Comparison<T, 1> {
    let Comparison { threshold, feature, remaining: [low, _], missing_true } = comparison;
    Comparison { threshold, feature, remaining: [low], missing_true }
}
