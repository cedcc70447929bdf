//! Tensors in JSON: the Open Inference Protocol.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_app::protocol::oip::Infer;
use ml_app_fuzz::{decoder, model};

fuzz_target!(|input: &[u8]| {
    let mut body = input;
    decoder::check(Infer::Json, model(&mut body), body);
});
