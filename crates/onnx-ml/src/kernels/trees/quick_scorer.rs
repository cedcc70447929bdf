//! Trees of up to 64 leaves as bit vectors, after
//! [QuickScorer](https://doi.org/10.1145/2766462.2767733).
//!
//! A tree's leaves are bits, from left to right. A comparison that does not hold rules out the
//! leaves on its left; of those that no comparison rules out, a row arrives at the first. All
//! comparisons of a tree are made, in any order and without a branch: for [`LANES`] rows at once
//! that costs less than to walk.

use super::number::Number;
use super::traversal::{Node, Nodes};
use crate::kernels::simd::{Vectorized, vectorized};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Rows at once.
pub const LANES: usize = 16;

/// Groups of rows that go through a tree before the next one.
pub const GROUPS: usize = 4;

/// To bring rows into columns pays from so many trees on.
const FEWEST_TREES: usize = 4;

/// More leaves would need a third word, and most comparisons would be made in vain.
const MOST_LEAVES: u32 = 64;

/// The trees of a forest that are small enough.
#[derive(Debug, Deserialize, Serialize)]
pub struct Bits<T> {
    /// Columns of the input that are compared with.
    features: Vec<usize>,
    /// By tree; `None` where it has too many leaves.
    trees: Vec<Option<Tree>>,
    narrow: Vec<Comparison<T, 1>>,
    wide: Vec<Comparison<T, 2>>,
}

/// Where the comparisons of a tree are: first those by `<=` that NaN does not satisfy, then those
/// that it does, then those by `==`.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
struct Tree {
    /// More than 32 leaves.
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
    /// The leaves that remain if it does not hold.
    remaining: [u32; WORDS],
    /// Whether NaN satisfies a comparison for equality.
    missing_true: bool,
}

impl<T: Number> Bits<T> {
    pub fn new(nodes: &Nodes<T>) -> Bits<T> {
        let mut bits = Bits { features: vec![], trees: vec![], narrow: vec![], wide: vec![] };
        let mut places = vec![None; nodes.columns()];
        let many = nodes.trees().len() >= FEWEST_TREES;
        for tree in nodes.trees() {
            let tree = (many && tree.leaf_count <= MOST_LEAVES).then(|| {
                let mut comparisons = comparisons(nodes, tree.root, &mut |column| {
                    *places[column].get_or_insert_with(|| {
                        bits.features.push(column);
                        bits.features.len() as u32 - 1
                    })
                });
                merge(&mut comparisons);
                let wide = tree.leaf_count > 32;
                let start = if wide { bits.wide.len() } else { bits.narrow.len() } as u32;
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
                match wide {
                    true => bits.wide.extend(comparisons),
                    false => bits.narrow.extend(comparisons.map(narrow)),
                }
                tree
            });
            bits.trees.push(tree);
        }
        bits
    }

    pub fn has(&self, tree: usize) -> bool {
        self.trees[tree].is_some()
    }

    /// The compared columns of the rows of `x`, feature by feature, a group for each [`LANES`] rows;
    /// what is left of the lanes repeats the last row.
    pub fn transpose(&self, x: &[T], columns: usize, rows: usize, groups: &mut [Vec<[T; LANES]>]) {
        for (group, transposed) in groups.iter_mut().enumerate() {
            let start = |lane: usize| (group * LANES + lane).min(rows - 1) * columns;
            let starts: [usize; LANES] = std::array::from_fn(start);
            transposed.clear();
            transposed
                .extend(self.features.iter().map(|column| starts.map(|start| x[start + column])));
        }
    }

    /// For each of `trees` that is here, the leaf that each row arrives at. Each tree has a place in
    /// `leaves`.
    pub fn leaves(
        &self,
        trees: Range<usize>,
        groups: &[Vec<[T; LANES]>],
        leaves: &mut [[[u32; LANES]; GROUPS]],
    ) {
        vectorized(Leaves { bits: self, trees, groups, leaves });
    }
}

struct Leaves<'a, T> {
    bits: &'a Bits<T>,
    trees: Range<usize>,
    groups: &'a [Vec<[T; LANES]>],
    leaves: &'a mut [[[u32; LANES]; GROUPS]],
}

impl<T: Number> Vectorized for Leaves<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Leaves { bits, trees, groups, leaves } = self;
        for (tree, leaves) in bits.trees[trees].iter().zip(leaves) {
            let Some(tree) = tree else { continue };
            for (x, leaves) in groups.iter().zip(leaves) {
                if tree.wide {
                    let [low, high] = tree.remaining(&bits.wide, x);
                    for ((leaf, low), high) in leaves.iter_mut().zip(low).zip(high) {
                        let beyond = 32 + high.trailing_zeros();
                        *leaf = if low == 0 { beyond } else { low.trailing_zeros() };
                    }
                } else {
                    let [low] = tree.remaining(&bits.narrow, x);
                    for (leaf, low) in leaves.iter_mut().zip(low) {
                        *leaf = low.trailing_zeros();
                    }
                }
            }
        }
    }
}

impl Tree {
    /// The leaves that no comparison rules out, for each row.
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

/// The comparisons of the tree below `root`. `place` tells where a column is among the features.
fn comparisons<T: Number>(
    nodes: &Nodes<T>,
    root: u32,
    place: &mut impl FnMut(usize) -> u32,
) -> Vec<(Kind, Comparison<T, 2>)> {
    let mut found: Vec<(Kind, Comparison<T, 2>)> = vec![];
    let mut leaf = 0;
    // A node, or the end of the left side of the comparison at an index.
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
                    found.push(comparison(node, place(node.feature())));
                    pending.push(Step::Node(right));
                    pending.push(Step::LeftEnds { index, first: leaf });
                    pending.push(Step::Node(left));
                }
            },
        }
    }
    found
}

/// Sorts by kind, and makes one of equal comparisons, as in trees that ask the same at each node of
/// a level: what any of them rules out is ruled out.
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
    // No comparison with NaN holds, nor does equality with it.
    let kind = match (node.equal() || node.threshold.nan(), missing_true) {
        (true, _) => Kind::Equal,
        (false, true) => Kind::Missing,
        (false, false) => Kind::Plain,
    };
    let threshold = node.threshold;
    (kind, Comparison { threshold, feature, remaining: [u32::MAX; 2], missing_true })
}

/// All bits but those from `first` to before `end`.
fn without(first: u32, end: u32) -> [u32; 2] {
    let below = |bit: u32| 1_u64.checked_shl(bit).map_or(u64::MAX, |bit| bit - 1);
    let remaining = !(below(end) & !below(first));
    [remaining as u32, (remaining >> 32) as u32]
}

fn narrow<T>(comparison: Comparison<T, 2>) -> Comparison<T, 1> {
    let Comparison { threshold, feature, remaining: [low, _], missing_true } = comparison;
    Comparison { threshold, feature, remaining: [low], missing_true }
}
