//! JSON followed by tensors as bytes: the binary extension of the Open Inference Protocol. The first line of the
//! input is the JSON. Its length becomes the value of the size header, so the header is always correct. If the first
//! line is empty, the remaining bytes are a raw tensor.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_app::protocol::oip::{Infer, JSON_SIZE_HEADER};
use ml_app_fuzz::{decoder, model};

fuzz_target!(|input: &[u8]| {
    let mut lines = input;
    let model = model(&mut lines);
    let Some(length) = lines.iter().position(|byte| *byte == b'\n') else { return };
    let infer = Infer::new(JSON_SIZE_HEADER, Some(&length.to_string())).expect("a number");
    decoder::check(infer, model, &[&lines[..length], &lines[length + 1..]].concat());
});
