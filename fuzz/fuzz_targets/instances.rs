//! Instances in JSON: the protocol of KServe v1 and TensorFlow Serving.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_app::protocol::instances::Predict;
use ml_app_fuzz::{decoder, model};

fuzz_target!(|input: &[u8]| {
    let mut body = input;
    decoder::check(Predict, model(&mut body), body);
});
