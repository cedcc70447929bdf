//! Forms for `/predict_file`, with `x` as the boundary between parts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_app_fuzz::service;

const HEAD: &[u8] = b"POST /predict_file\nContent-Type: multipart/form-data; boundary=x\n\n";

fuzz_target!(|input: &[u8]| {
    if let Some((model, form)) = input.split_first() {
        service::check(&[&[*model], HEAD, form].concat());
    }
});
