//! Rows of named features in JSON and NDJSON: bodies of `/predict`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_app::protocol::WireFormat;
use ml_app::protocol::features::NamedFeatures;
use ml_app_fuzz::{choice, decoder, model};

fuzz_target!(|input: &[u8]| {
    let mut body = input;
    let model = model(&mut body);
    let format = [WireFormat::Json, WireFormat::Ndjson][choice(&mut body, 2)];
    decoder::check(NamedFeatures { request: format, response: format }, model, body);
});
