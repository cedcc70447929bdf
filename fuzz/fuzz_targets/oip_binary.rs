//! JSON, then tensors as bytes: the Open Inference Protocol's binary extension. The first line is the JSON, so
//! that its length is right for any JSON. If it is empty, the body is a raw tensor.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_app::protocol::oip::{HEADER_LENGTH, Infer};
use ml_app_fuzz::{decoder, model};

fuzz_target!(|input: &[u8]| {
    let mut lines = input;
    let model = model(&mut lines);
    let Some(length) = lines.iter().position(|byte| *byte == b'\n') else { return };
    let infer = Infer::new(HEADER_LENGTH, Some(&length.to_string())).expect("a number");
    decoder::check(infer, model, &[&lines[..length], &lines[length + 1..]].concat());
});
