//! gzip and deflate: decompression respects its limit, and restores what was compressed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_app::http::negotiate::Coding;
use ml_app_fuzz::choice;

const LIMIT: usize = 1 << 16;

fuzz_target!(|input: &[u8]| {
    let mut bytes = input;
    let coding = [Coding::Gzip, Coding::Deflate][choice(&mut bytes, 2)];
    if let Ok(inflated) = coding.inflate(bytes, LIMIT) {
        assert!(inflated.len() <= LIMIT);
    }
    let mut deflated = bytes.to_vec();
    let inflated = coding.deflate(&mut deflated).inflate(&deflated, bytes.len());
    assert_eq!(inflated.expect("it was compressed before"), bytes);
});
