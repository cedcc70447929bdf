//! Compares Scaler, Normalizer, Imputer and Binarizer with code that computes one element at a time.

use crate::node::{elements, float, floats, matrix, run, string};
use crate::random::Random;

fn same(found: &[f32], expected: impl Iterator<Item = f32>) {
    let expected: Vec<f32> = expected.collect();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let near = (found - expected).abs() <= 1e-5 * expected.abs().max(1.0);
        let equal = *found == expected || found.is_nan() && expected.is_nan();
        assert!(near || equal, "expected {expected}, found {found}");
    }
}

/// Returns one parameter for all columns, or one for each column.
fn parameters(random: &mut Random, columns: usize) -> Vec<f32> {
    let len = if random.flag() { 1 } else { columns };
    random.numbers(len)
}

#[test]
fn scalers_match_the_specification() {
    let mut random = Random(0x5ca1e);
    for _ in 0..200 {
        let (rows, columns) = (1 + random.below(20), 1 + random.below(20));
        let (offset, scale) = (parameters(&mut random, columns), parameters(&mut random, columns));
        let x = random.numbers(rows * columns);
        let attributes = vec![floats("offset", &offset), floats("scale", &scale)];
        let found = run("Scaler", attributes, matrix(rows, &x));
        let expected = x.iter().enumerate().map(|(index, x)| {
            let column = index % columns;
            (x - offset[column % offset.len()]) * scale[column % scale.len()]
        });
        same(&elements::<f32>(&found[0]), expected);
    }
}

#[test]
fn normalizers_match_the_specification() {
    let mut random = Random(0x4042);
    for _ in 0..200 {
        let (rows, columns) = (1 + random.below(20), 1 + random.below(20));
        let norm = ["MAX", "L1", "L2"][random.below(3)];
        let mut x = random.numbers(rows * columns);
        // The operator returns a row with norm 0 unchanged.
        x[..columns].fill(0.0);
        let found = run("Normalizer", vec![string("norm", norm)], matrix(rows, &x));
        let expected = x.chunks(columns).flat_map(|row| {
            let divisor = match norm {
                "MAX" => row.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                "L1" => row.iter().map(|x| x.abs()).sum(),
                _ => row.iter().map(|x| x * x).sum::<f32>().sqrt(),
            };
            let divisor = if divisor == 0.0 { 1.0 } else { divisor };
            row.iter().map(move |x| x / divisor)
        });
        same(&elements::<f32>(&found[0]), expected);
    }
}

#[test]
fn imputers_match_the_specification() {
    let mut random = Random(0x1399);
    for _ in 0..200 {
        let (rows, columns) = (1 + random.below(20), 1 + random.below(20));
        let imputed = parameters(&mut random, columns);
        let replaced = random.category();
        let x: Vec<f32> = (0..rows * columns).map(|_| random.category()).collect();
        let attributes =
            vec![floats("imputed_value_floats", &imputed), float("replaced_value_float", replaced)];
        let found = run("Imputer", attributes, matrix(rows, &x));
        let expected = x.iter().enumerate().map(|(index, x)| {
            let missing = *x == replaced || x.is_nan() && replaced.is_nan();
            if missing { imputed[index % columns % imputed.len()] } else { *x }
        });
        same(&elements::<f32>(&found[0]), expected);
    }
}

#[test]
fn binarizers_match_the_specification() {
    let mut random = Random(0xb1);
    for _ in 0..100 {
        let (rows, columns) = (1 + random.below(20), 1 + random.below(20));
        let threshold = random.number();
        let mut x = random.numbers(rows * columns);
        x[0] = threshold;
        let found = run("Binarizer", vec![float("threshold", threshold)], matrix(rows, &x));
        same(&elements::<f32>(&found[0]), x.iter().map(|x| f32::from(*x > threshold)));
    }
}
