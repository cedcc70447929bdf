//! Compares support vector machines with code that computes one support vector at a time, in double
//! precision.

use crate::node::{elements, floats, int, ints, matrix, run, string};
use crate::random::Random;
use tract_onnx::pb::AttributeProto;

const KERNELS: [&str; 4] = ["LINEAR", "POLY", "RBF", "SIGMOID"];

/// A kernel with its parameters and support vectors.
struct Machine {
    kernel: &'static str,
    gamma: f32,
    coef0: f32,
    degree: f32,
    columns: usize,
    vectors: Vec<f32>,
}

impl Machine {
    fn new(random: &mut Random, count: usize) -> Machine {
        let columns = 1 + random.below(20);
        Machine {
            kernel: KERNELS[random.below(4)],
            gamma: 0.1 + random.number().abs(),
            coef0: random.number(),
            degree: [2.0, 3.0, 4.0][random.below(3)],
            columns,
            vectors: random.numbers(count * columns),
        }
    }

    fn attributes(&self) -> Vec<AttributeProto> {
        vec![
            string("kernel_type", self.kernel),
            floats("kernel_params", &[self.gamma, self.coef0, self.degree]),
            floats("support_vectors", &self.vectors),
        ]
    }

    /// Returns the kernel's value for `row` and each support vector.
    fn similarities(&self, row: &[f32]) -> Vec<f64> {
        let [gamma, coef0, degree] = [self.gamma, self.coef0, self.degree].map(f64::from);
        let similarity = |vector: &[f32]| {
            let pairs = || row.iter().zip(vector).map(|(x, y)| (f64::from(*x), f64::from(*y)));
            let dot: f64 = pairs().map(|(x, y)| x * y).sum();
            match self.kernel {
                "LINEAR" => dot,
                "POLY" => (gamma * dot + coef0).powf(degree),
                "RBF" => (-gamma * pairs().map(|(x, y)| (x - y).powi(2)).sum::<f64>()).exp(),
                _ => (gamma * dot + coef0).tanh(),
            }
        };
        self.vectors.chunks(self.columns).map(similarity).collect()
    }
}

fn near(found: f32, expected: f64, tolerance: f64) {
    let off = (f64::from(found) - expected).abs();
    assert!(off <= tolerance * expected.abs().max(1.0), "expected {expected}, found {found}");
}

#[test]
fn regressors_match_the_specification() {
    let mut random = Random(0x5eed);
    for _ in 0..200 {
        let count = 1 + random.below(30);
        let machine = Machine::new(&mut random, count);
        let coefficients = random.numbers(count);
        let rho = random.number();
        let one_class = random.below(3) == 0;
        let rows = [1, 2, 15, 16, 17, 40][random.below(6)];
        let input = random.numbers(rows * machine.columns);
        let mut attributes = machine.attributes();
        attributes.push(floats("coefficients", &coefficients));
        attributes.push(floats("rho", &[rho]));
        attributes.push(int("n_supports", count as i64));
        attributes.push(int("one_class", one_class.into()));
        let outputs = run("SVMRegressor", attributes, matrix(rows, &input));
        let found: Vec<f32> = elements(&outputs[0]);
        assert_eq!(outputs[0].shape(), [rows, 1]);
        for (found, row) in found.into_iter().zip(input.chunks(machine.columns)) {
            let terms = machine.similarities(row).into_iter().zip(&coefficients);
            let sum = terms.map(|(k, c)| k * f64::from(*c)).sum::<f64>() + f64::from(rho);
            if !one_class {
                near(found, sum, 1e-4);
            } else if sum.abs() >= 1e-4 {
                // Skip smaller sums, because rounding may change their sign.
                assert_eq!(found, if sum > 0.0 { 1.0 } else { -1.0 });
            }
        }
    }
}

#[test]
fn classifiers_match_the_specification() {
    let mut random = Random(0xc1a55);
    for _ in 0..300 {
        let classes = 2 + random.below(5);
        let per_class: Vec<usize> = (0..classes).map(|_| 1 + random.below(6)).collect();
        let count: usize = per_class.iter().sum();
        let machine = Machine::new(&mut random, count);
        let coefficients = random.numbers(count * (classes - 1));
        let pairs = classes * (classes - 1) / 2;
        let rho = random.numbers(pairs);
        let slopes: Vec<f32> = random.numbers(pairs).iter().map(|a| a - 1.5).collect();
        let intercepts = random.numbers(pairs);
        let with_probabilities = random.flag();
        let rows = [1, 2, 15, 16, 17, 40][random.below(6)];
        let input = random.numbers(rows * machine.columns);
        let labels: Vec<i64> = (0..classes).map(|class| 10 - 3 * class as i64).collect();
        let mut attributes = machine.attributes();
        attributes.push(floats("coefficients", &coefficients));
        attributes.push(floats("rho", &rho));
        let counts: Vec<i64> = per_class.iter().map(|count| *count as i64).collect();
        attributes.push(ints("vectors_per_class", &counts));
        attributes.push(ints("classlabels_ints", &labels));
        if with_probabilities {
            attributes.push(floats("prob_a", &slopes));
            attributes.push(floats("prob_b", &intercepts));
        }
        let outputs = run("SVMClassifier", attributes, matrix(rows, &input));
        let found_labels: Vec<i64> = elements(&outputs[0]);
        let found: Vec<f32> = elements(&outputs[1]);
        let width = if with_probabilities { classes } else { pairs.max(2) };
        assert_eq!(outputs[1].shape(), [rows, width]);
        for (index, row) in input.chunks(machine.columns).enumerate() {
            let similarities = machine.similarities(row);
            let values = decide(&per_class, &similarities, &coefficients, &rho);
            if values.iter().all(|value| value.abs() > 1e-3) {
                assert_eq!(found_labels[index], labels[most_votes(classes, &values)]);
            }
            let found = &found[index * width..(index + 1) * width];
            if with_probabilities {
                let expected = couple(classes, &values, &slopes, &intercepts);
                // The operator's iteration stops before it reaches the optimum.
                found.iter().zip(expected).for_each(|(found, p)| near(*found, p, 0.02));
                near(found.iter().sum(), 1.0, 1e-5);
            } else if classes == 2 {
                near(found[0], -values[0], 1e-4);
                near(found[1], values[0], 1e-4);
            } else {
                found.iter().zip(&values).for_each(|(found, value)| near(*found, *value, 1e-4));
            }
        }
    }
}

/// Returns the decision value of each pair of classes, in the order (0, 1), (0, 2), …, (1, 2), …
fn decide(
    per_class: &[usize],
    similarities: &[f64],
    coefficients: &[f32],
    rho: &[f32],
) -> Vec<f64> {
    let count = similarities.len();
    let start = |class: usize| per_class[..class].iter().sum::<usize>();
    let sum = |class: usize, row: usize| -> f64 {
        (start(class)..start(class + 1))
            .map(|vector| similarities[vector] * f64::from(coefficients[row * count + vector]))
            .sum()
    };
    let mut rho = rho.iter();
    let classes = per_class.len();
    (0..classes)
        .flat_map(|i| (i + 1..classes).map(move |j| (i, j)))
        .map(|(i, j)| sum(i, j - 1) + sum(j, i) + f64::from(*rho.next().unwrap()))
        .collect()
}

/// Returns the class with the most votes of the pairs. If several classes have the most votes, returns the first of
/// these classes.
fn most_votes(classes: usize, values: &[f64]) -> usize {
    let mut votes = vec![0; classes];
    let pairs = (0..classes).flat_map(|i| (i + 1..classes).map(move |j| (i, j)));
    for ((i, j), value) in pairs.zip(values) {
        votes[if *value > 0.0 { i } else { j }] += 1;
    }
    (0..classes).rev().max_by_key(|class| votes[*class]).unwrap()
}

/// Returns the probabilities `p` that sum to 1 and minimize the sum of `(r_ji p_i - r_ij p_j)^2`. These probabilities
/// solve a linear system (Wu, Lin and Weng, Probability Estimates for Multi-class Classification by Pairwise Coupling,
/// equation 21).
fn couple(classes: usize, values: &[f64], slopes: &[f32], intercepts: &[f32]) -> Vec<f64> {
    let mut r = vec![vec![0.0; classes]; classes];
    let pairs = (0..classes).flat_map(|i| (i + 1..classes).map(move |j| (i, j)));
    for (pair, (i, j)) in pairs.enumerate() {
        let z = values[pair] * f64::from(slopes[pair]) + f64::from(intercepts[pair]);
        r[i][j] = (1.0 / (1.0 + z.exp())).clamp(1e-7, 1.0 - 1e-7);
        r[j][i] = 1.0 - r[i][j];
    }
    // Q p + b = 0 and sum(p) = 1.
    let n = classes + 1;
    let mut system = vec![vec![0.0; n + 1]; n];
    for i in 0..classes {
        for j in 0..classes {
            system[i][j] = if i == j {
                (0..classes).filter(|k| *k != i).map(|k| r[k][i] * r[k][i]).sum()
            } else {
                -r[j][i] * r[i][j]
            };
        }
        system[i][classes] = 1.0;
        system[classes][i] = 1.0;
    }
    system[classes][n] = 1.0;
    let mut solved = solve(system);
    solved.truncate(classes);
    solved
}

/// Solves a linear system by Gauss-Jordan elimination with partial pivoting. Each row contains the
/// coefficients of an equation, followed by its right-hand side.
fn solve(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let n = rows.len();
    for column in 0..n {
        let pivot =
            (column..n).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()));
        rows.swap(column, pivot.unwrap());
        let pivot = rows[column].clone();
        for (index, row) in rows.iter_mut().enumerate().filter(|(index, _)| *index != column) {
            let factor = row[column] / pivot[column];
            row.iter_mut().zip(&pivot).for_each(|(x, p)| *x -= factor * p);
            debug_assert_ne!(index, column);
        }
    }
    (0..n).map(|row| rows[row][n] / rows[row][row]).collect()
}
