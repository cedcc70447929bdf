//! CSV: with a header row for `/predict`, and with or without a header row for SageMaker.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_app::protocol::WireFormat;
use ml_app::protocol::features::NamedFeatures;
use ml_app::protocol::sagemaker_csv::SageMakerCsv;
use ml_app_fuzz::{choice, decoder, model};

fuzz_target!(|input: &[u8]| {
    let mut body = input;
    let model = model(&mut body);
    let response = WireFormat::Csv;
    match choice(&mut body, 2) {
        0 => decoder::check(NamedFeatures { request: WireFormat::Csv, response }, model, body),
        _ => decoder::check(SageMakerCsv { response }, model, body),
    }
});
