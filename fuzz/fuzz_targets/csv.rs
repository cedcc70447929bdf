//! CSV with a header row, for `/predict`, and with or without a header row, for SageMaker.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_app::protocol::Format;
use ml_app::protocol::features::Named;
use ml_app::protocol::headerless::Headerless;
use ml_app_fuzz::{choice, decoder, model};

fuzz_target!(|input: &[u8]| {
    let mut body = input;
    let model = model(&mut body);
    let answer = Format::Csv;
    match choice(&mut body, 2) {
        0 => decoder::check(Named { question: Format::Csv, answer }, model, body),
        _ => decoder::check(Headerless { answer }, model, body),
    }
});
