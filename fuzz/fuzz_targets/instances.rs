//! Instances in JSON, as KServe's v1 and TensorFlow Serving have them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_app::protocol::instances::Predict;
use ml_app_fuzz::{decoder, model};

fuzz_target!(|input: &[u8]| {
    let mut body = input;
    decoder::check(Predict, model(&mut body), body);
});
