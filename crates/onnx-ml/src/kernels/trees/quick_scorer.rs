//! Evaluation of trees with at most 64 leaves as bit vectors: the
//! [QuickScorer](https://doi.org/10.1145/2766462.2767733) algorithm.
//!
//! The leaves of a tree are numbered from left to right and represented by one bit each. A
//! comparison that does not hold rules out the leaves of its left subtree. Each comparison
//! therefore has a mask of the leaves that remain in this case, and a row's bit vector is the
//! bitwise AND of the masks of all its false comparisons. The row reaches the first remaining leaf,
//! which is the lowest bit that is set.
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

/// Number of groups of rows that go through a tree before the next tree.
pub const GROUPS: usize = 4;

/// Minimum number of trees in the ensemble; with fewer trees, transposing the rows does not pay.
const MIN_TREES: usize = 4;

/// Maximum number of leaves. More would need a third word, and most comparisons would be wasted.
const MAX_LEAVES: u32 = 64;

/// The trees of a forest that are small enough for bit vectors.
#[derive(Debug, Deserialize, Serialize)]
pub struct QuickScorer<T> {
    /// Columns of the input that occur in a comparison.
    features: Vec<usize>,
    /// One entry per tree; `None` if it has too many leaves.
    trees: Vec<Option<Tree>>,
    narrow: Vec<Comparison<T, 1>>,
    wide: Vec<Comparison<T, 2>>,
}

/// Ranges of a tree's comparisons. First come those by `<=` that NaN does not satisfy, then those
/// by `<=` that NaN satisfies, then those by `==`.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
struct Tree {
    /// The tree has more than 32 leaves, so its comparisons are in `wide`.
    wide: bool,
    start: u32,
    missing: u32,
    equal: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(bound(
    serialize = "T: Serialize, [u32; WORDS]: Serialize",
    deserialize = "T: Deserialize<'de>, [u32; WORDS]: Deserialize<'de>"
))]
struct Comparison<T, const WORDS: usize> {
    threshold: T,
    /// Index into `features`.
    feature: u32,
    /// Mask of the leaves that remain if the comparison does not hold.
    remaining: [u32; WORDS],
    /// NaN satisfies a comparison by `==`.
    missing_true: bool,
}

impl<T: Number> QuickScorer<T> {
    pub fn new(nodes: &Nodes<T>) -> QuickScorer<T> {
        let mut scorer =
            QuickScorer { features: vec![], trees: vec![], narrow: vec![], wide: vec![] };
        let mut indices = vec![None; nodes.columns()];
        let many = nodes.trees().len() >= MIN_TREES;
        for tree in nodes.trees() {
            let tree = (many && tree.leaf_count <= MAX_LEAVES).then(|| {
                let mut comparisons = comparisons(nodes, tree.root, &mut |column| {
                    *indices[column].get_or_insert_with(|| {
                        scorer.features.push(column);
                        scorer.features.len() as u32 - 1
                    })
                });
                merge(&mut comparisons);
                let wide = tree.leaf_count > 32;
                let start = if wide { scorer.wide.len() } else { scorer.narrow.len() } as u32;
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

    pub fn has(&self, tree: usize) -> bool {
        self.trees[tree].is_some()
    }

    /// Writes the compared columns of the rows of `x` as `[group][feature][lane]`. If the last
    /// group is not full, its remaining lanes repeat the last row.
    pub fn transpose(&self, x: &[T], columns: usize, rows: usize, groups: &mut [Vec<[T; LANES]>]) {
        for (group, transposed) in groups.iter_mut().enumerate() {
            let start = |lane: usize| (group * LANES + lane).min(rows - 1) * columns;
            let starts: [usize; LANES] = std::array::from_fn(start);
            transposed.clear();
            transposed
                .extend(self.features.iter().map(|column| starts.map(|start| x[start + column])));
        }
    }

    /// Writes the leaf that each row reaches, for each of `trees` that is evaluated here. `leaves`
    /// has one entry per tree.
    pub fn leaves(
        &self,
        trees: Range<usize>,
        groups: &[Vec<[T; LANES]>],
        leaves: &mut [[[u32; LANES]; GROUPS]],
    ) {
        vectorized(Leaves { scorer: self, trees, groups, leaves });
    }
}

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
    /// Returns the bit vectors of the leaves that no comparison rules out, one per row, as
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
            comparison.rule_out(x, &mut remaining, |x| (x <= threshold) | x.nan());
        }
        for comparison in slice(self.equal, self.end) {
            let (threshold, missing_true) = (comparison.threshold, comparison.missing_true);
            comparison.rule_out(x, &mut remaining, |x| (x == threshold) | (x.nan() & missing_true));
        }
        remaining
    }
}

impl<T: Number, const WORDS: usize> Comparison<T, WORDS> {
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Plain,
    Missing,
    Equal,
}

/// Returns the comparisons of the tree below `root`. `index_of` returns the index of a column among
/// the features. The traversal is depth first and counts leaves, so that a left subtree covers a
/// contiguous range of leaves.
fn comparisons<T: Number>(
    nodes: &Nodes<T>,
    root: u32,
    index_of: &mut impl FnMut(usize) -> u32,
) -> Vec<(Kind, Comparison<T, 2>)> {
    let mut found: Vec<(Kind, Comparison<T, 2>)> = vec![];
    let mut leaf = 0;
    // A node to visit, or the end of the left subtree of the comparison at `index`, whose leaves
    // start at `first`.
    enum Step {
        Node(u32),
        LeftEnds { index: usize, first: u32 },
    }
    let mut pending = vec![Step::Node(root)];
    while let Some(step) = pending.pop() {
        match step {
            Step::LeftEnds { index, first } => found[index].1.remaining = without(first, leaf),
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

/// Sorts the comparisons by kind and merges equal ones into one, whose mask is the AND of theirs.
/// Oblivious trees have the same comparison at each node of a level.
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

fn comparison<T: Number>(node: &Node<T>, feature: u32) -> (Kind, Comparison<T, 2>) {
    let missing_true = node.missing_true();
    // A comparison by `<=` or `==` with NaN never holds, so either kind serves for a NaN threshold.
    let kind = match (node.equal() || node.threshold.nan(), missing_true) {
        (true, _) => Kind::Equal,
        (false, true) => Kind::Missing,
        (false, false) => Kind::Plain,
    };
    let threshold = node.threshold;
    (kind, Comparison { threshold, feature, remaining: [u32::MAX; 2], missing_true })
}

/// Returns a mask without the bits `first..end`.
fn without(first: u32, end: u32) -> [u32; 2] {
    let below = |bit: u32| 1_u64.checked_shl(bit).map_or(u64::MAX, |bit| bit - 1);
    let remaining = !(below(end) & !below(first));
    [remaining as u32, (remaining >> 32) as u32]
}

fn narrow<T>(comparison: Comparison<T, 2>) -> Comparison<T, 1> {
    let Comparison { threshold, feature, remaining: [low, _], missing_true } = comparison;
    Comparison { threshold, feature, remaining: [low], missing_true }
}
