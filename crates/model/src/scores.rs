//! Finds out from an example prediction whether a classifier's scores are probabilities.

use crate::signature::{Scores, Signature, Task};
use crate::tensor::Elements;
use crate::tensors::Tensors;

/// Maximum amount by which a probability may exceed 1, and by which the sum of a row's probabilities may differ from 1.
/// A forest adds up the results of its trees, and rounding errors with them.
const ROUNDING: f64 = 1e-3;

/// Sets the meaning of a classifier's scores. `outputs` are the model's outputs for some rows. If the model is not a
/// classifier, does nothing.
pub(crate) fn set_score_meaning(signature: &mut Signature, outputs: &Tensors) {
    let Task::Classification { scores, classes, meaning, .. } = &mut signature.task else { return };
    let scores: Vec<f64> = match outputs.tensors()[*scores].elements() {
        Elements::Float32(scores) => scores.iter().copied().map(f64::from).collect(),
        Elements::Float16(scores) => scores.iter().map(|score| score.to_f64()).collect(),
        Elements::Float64(scores) => scores.to_vec(),
        _ => return,
    };
    let sums_to_one = |row: &[f64]| (row.iter().sum::<f64>() - 1.0).abs() < ROUNDING;
    let are_probabilities = scores.iter().all(|score| (0.0..=1.0 + ROUNDING).contains(score))
        && scores.chunks(classes.len().max(1)).all(sums_to_one);
    *meaning = if are_probabilities { Scores::Probabilities } else { Scores::Other };
}
