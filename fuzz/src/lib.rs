//! Code that the fuzz targets share: the models, and the checks for all responses.

pub mod decoder;
pub mod response;
pub mod service;

use ml_app::source::Source;
use ml_app_model::Model;
use std::sync::OnceLock;

macro_rules! cases {
    ($($case:literal),+) => {
        [$(include_bytes!(concat!("../../tests/cases/", $case, "/model.onnx")),)+]
    };
}

/// The models in addition to the embedded model, in the same order as in seeds.py. Each has different inputs: all
/// datatypes and tensors of higher rank (`mixed`), strings (`text`), 16-bit floats (`half`), a dictionary
/// (`dictionary`), numbers and strings (`pipeline`), and very many features (`wide`).
const CASES: [&[u8]; 6] = cases!("mixed", "text", "half", "dictionary", "pipeline", "wide");

const MODELS: usize = 1 + CASES.len();

/// Takes a byte from the front of `input` and returns the model that the byte selects.
pub fn model(input: &mut &[u8]) -> &'static Model {
    static LOADED: [OnceLock<Model>; MODELS] = [const { OnceLock::new() }; MODELS];
    let index = choice(input, MODELS);
    LOADED[index].get_or_init(|| load(index))
}

fn load(index: usize) -> Model {
    match index {
        0 => Source::Embedded.load().expect("the build has loaded this model"),
        case => Model::load(CASES[case - 1]).expect("the tests load this model"),
    }
}

/// Takes a byte from the front of `input` and converts it to an index below `count`.
pub fn choice(input: &mut &[u8], count: usize) -> usize {
    let Some((first, rest)) = input.split_first() else { return 0 };
    *input = rest;
    usize::from(*first) % count
}
