//! gzip and deflate: decompression respects its limit, and restores the bytes that were compressed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_app::http::negotiate::ContentCoding;
use ml_app_fuzz::choice;

const LIMIT: usize = 1 << 16;

fuzz_target!(|input: &[u8]| {
    let mut bytes = input;
    let coding = [ContentCoding::Gzip, ContentCoding::Deflate][choice(&mut bytes, 2)];
    if let Ok(decompressed) = coding.decompress(bytes, LIMIT) {
        assert!(decompressed.len() <= LIMIT);
    }
    let mut compressed = bytes.to_vec();
    let decompressed = coding.compress(&mut compressed).decompress(&compressed, bytes.len());
    assert_eq!(decompressed.expect("it was compressed before"), bytes);
});
