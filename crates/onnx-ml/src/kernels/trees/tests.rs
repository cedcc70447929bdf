use super::*;
use crate::random::Random;

impl Random {
    /// Returns one of a few numbers, so that features are often equal to thresholds.
    fn number(&mut self) -> f32 {
        [f32::NEG_INFINITY, -1.5, -0.0, 0.0, 0.5, 0.1, 2.0, f32::INFINITY][self.below(8)]
    }

    /// Returns an ensemble of random trees over 4 features, with 3 targets. If `share` is true,
    /// branches may share a child.
    fn description(&mut self, modes: &[Mode], trees: usize, share: bool) -> Description<f32> {
        let mut description =
            Description { branches: vec![], leaves: vec![], roots: vec![], targets: 3 };
        for _ in 0..trees {
            let shared_from = if share { description.branches.len() } else { usize::MAX };
            let root = self.tree(&mut description, modes, 6, shared_from);
            description.roots.push(root);
        }
        description
    }

    /// Adds a random tree of at most `depth` levels of branches, and returns its root. Instead of a
    /// new tree, it may return an existing branch with an index of at least `shared_from`.
    fn tree(
        &mut self,
        into: &mut Description<f32>,
        modes: &[Mode],
        depth: usize,
        shared_from: usize,
    ) -> Child {
        let candidates = into.branches.len().saturating_sub(shared_from);
        if candidates > 0 && self.below(5) == 0 {
            return Child::Branch(shared_from + self.below(candidates));
        }
        if depth == 0 || self.below(4) == 0 {
            let weights = self.below(4);
            into.leaves.push((0..weights).map(|_| (self.below(3), self.number())).collect());
            return Child::Leaf(into.leaves.len() - 1);
        }
        let children = [0, 1].map(|_| self.tree(into, modes, depth - 1, shared_from));
        into.branches.push(Branch {
            feature: self.below(4),
            mode: modes[self.below(modes.len())],
            threshold: self.number(),
            missing_true: self.below(2) == 0,
            children,
        });
        Child::Branch(into.branches.len() - 1)
    }
}

/// Returns the weights of the leaf that `row` reaches, by the rules of the specification.
fn leaf<'a, T: Number>(
    description: &'a Description<f32>,
    mut at: Child,
    row: &[T],
) -> &'a [(usize, f32)] {
    loop {
        let branch = match at {
            Child::Leaf(leaf) => return &description.leaves[leaf],
            Child::Branch(branch) => &description.branches[branch],
        };
        let (x, threshold) = (row[branch.feature], T::from_f64(branch.threshold.into()));
        let holds = match branch.mode {
            Mode::Leq => x <= threshold,
            Mode::Lt => x < threshold,
            Mode::Gte => x >= threshold,
            Mode::Gt => x > threshold,
            Mode::Eq => x == threshold,
            Mode::Neq => x != threshold,
        };
        at = branch.children[usize::from(!(holds || (branch.missing_true && x.is_nan())))];
    }
}

/// Compares the scores of the rows of `x` (4 columns) with the reference.
fn check<T: Number>(
    forest: &Forest<T>,
    description: &Description<f32>,
    aggregate: Aggregate,
    x: &[T],
) {
    let rows = x.len() / 4;
    let found = forest.scores(x, 4, rows, aggregate).expect("there are four columns");
    for (row, x) in x.chunks(4).enumerate() {
        let mut weights: [Vec<T>; 3] = Default::default();
        for root in &description.roots {
            for (target, weight) in leaf(description, *root, x) {
                weights[*target].push(T::from_f64((*weight).into()));
            }
        }
        for (target, weights) in weights.iter().enumerate() {
            let index = row * 3 + target;
            assert_eq!(found.has_weight[index], !weights.is_empty());
            let reduce = |take: fn(&T, &T) -> bool| {
                weights.iter().copied().reduce(|a, b| if take(&b, &a) { b } else { a })
            };
            let sum = weights.iter().fold(T::default(), |sum, weight| sum + *weight);
            let expected = match aggregate {
                Aggregate::Sum => sum,
                Aggregate::Average => sum / T::from_f64(description.roots.len() as f64),
                Aggregate::Min => reduce(|b, a| b < a).unwrap_or_default(),
                Aggregate::Max => reduce(|b, a| b > a).unwrap_or_default(),
            };
            let found = found.scores[index];
            assert!(
                found == expected || found.is_nan() && expected.is_nan(),
                "{found:?} {expected:?}"
            );
        }
    }
}

#[test]
fn scores_match_the_reference() {
    const ORDERED: [Mode; 4] = [Mode::Leq, Mode::Lt, Mode::Gte, Mode::Gt];
    const ALL: [Mode; 6] = [Mode::Leq, Mode::Lt, Mode::Gte, Mode::Gt, Mode::Eq, Mode::Neq];
    let mut random = Random(88172645463325252);
    for round in 0..200 {
        let modes: &[Mode] = if round % 2 == 0 { &ORDERED } else { &ALL };
        let trees = 1 + random.below(20);
        let description = random.description(modes, trees, round % 3 == 0);
        let forest = Forest::new(Description {
            branches: description.branches.clone(),
            leaves: description.leaves.clone(),
            roots: description.roots.clone(),
            targets: 3,
        })
        .expect("the trees are valid");
        let wide = forest.widened();
        let rows = [1, 2, 7, 8, 9, 70][random.below(6)];
        let x: Vec<f32> = (0..rows * 4)
            .map(|_| if random.below(9) == 0 { f32::NAN } else { random.number() })
            .collect();
        // Some doubles lie between two floats.
        let shift = [0.0, 1e-12, -1e-12];
        let x64: Vec<f64> = x.iter().map(|x| f64::from(*x) + shift[random.below(3)]).collect();
        for aggregate in [Aggregate::Sum, Aggregate::Average, Aggregate::Min, Aggregate::Max] {
            check(&forest, &description, aggregate, &x);
            check(&wide, &description, aggregate, &x64);
        }
    }
}

#[test]
fn rejects_invalid_trees() {
    let branch = |children| Branch {
        feature: 0,
        mode: Mode::Leq,
        threshold: 0.0_f32,
        missing_true: false,
        children,
    };
    let rejects = |branches, leaves: usize, roots, targets, expected: &str| {
        let leaves = vec![vec![(0, 1.0)]; leaves];
        let error = Forest::new(Description { branches, leaves, roots, targets })
            .expect_err("the ensemble is invalid");
        assert!(error.to_string().contains(expected), "{error}");
    };
    use Child::{Branch as B, Leaf as L};
    rejects(vec![branch([B(0), L(0)])], 1, vec![B(0)], 1, "a cycle through branch 0");
    let cycle = vec![branch([B(1), L(0)]), branch([L(0), B(2)]), branch([B(1), L(0)])];
    rejects(cycle, 1, vec![B(0)], 1, "a cycle through branch 1");
    rejects(vec![branch([L(0), L(0)])], 1, vec![B(0), B(0)], 1, "branch 0 in two");
    rejects(vec![branch([B(7), L(0)])], 1, vec![B(0)], 1, "a node below 1, found 7");
    rejects(vec![branch([L(3), L(0)])], 1, vec![B(0)], 1, "a leaf below 1, found 3");
    rejects(vec![branch([L(0), L(0)])], 1, vec![L(0)], 1, "a way from a root to branch 0");
    rejects(vec![], 1, vec![L(0)], 0, "targets, found 0");
    rejects(vec![], 1, vec![L(0)], usize::MAX, "targets, found 18446744073709551615");
}

#[test]
fn shared_branches_need_no_copies_of_their_children() {
    // Each branch leads to the next one in both ways: 2^40 paths to the leaves.
    let branches = (1..=40).map(|next| Branch {
        feature: 0,
        mode: Mode::Leq,
        threshold: 0.0_f32,
        missing_true: false,
        children: if next < 40 { [Child::Branch(next); 2] } else { [0, 1].map(Child::Leaf) },
    });
    let leaves = vec![vec![(0, 1.0)], vec![(0, 2.0)]];
    let (branches, roots) = (branches.collect(), vec![Child::Branch(0)]);
    let forest = Forest::new(Description { branches, leaves, roots, targets: 1 });
    let forest = forest.expect("the branches form no cycle");
    let scores = forest.scores(&[-1.0, 1.0], 1, 2, Aggregate::Sum).expect("there is one column");
    assert_eq!(scores.scores, [1.0, 2.0]);
}
