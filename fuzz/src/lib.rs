//! What the targets share: models to ask, and what holds of every answer.

pub mod answer;
pub mod decoder;
pub mod service;

use ml_app::source::Source;
use ml_app_model::Model;
use std::sync::OnceLock;

macro_rules! cases {
    ($($case:literal),+) => {
        [$(include_bytes!(concat!("../../tests/cases/", $case, "/model.onnx")),)+]
    };
}

/// Those after the embedded one, in the order of seeds.py: every datatype and axes beyond columns; texts;
/// 16-bit floats; a dictionary; numbers and texts; very many features.
const CASES: [&[u8]; 6] = cases!("mixed", "text", "half", "dictionary", "pipeline", "wide");

const MODELS: usize = 1 + CASES.len();

/// The model that the first byte chooses.
pub fn model(input: &mut &[u8]) -> &'static Model {
    static LOADED: [OnceLock<Model>; MODELS] = [const { OnceLock::new() }; MODELS];
    let index = choice(input, MODELS);
    LOADED[index].get_or_init(|| load(index))
}

fn load(index: usize) -> Model {
    match index {
        0 => Source::Embedded.load().expect("the build has loaded it"),
        case => Model::load(CASES[case - 1]).expect("the tests load it"),
    }
}

/// Takes a byte, to choose one of `count`.
pub fn choice(input: &mut &[u8], count: usize) -> usize {
    let Some((first, rest)) = input.split_first() else { return 0 };
    *input = rest;
    usize::from(*first) % count
}
