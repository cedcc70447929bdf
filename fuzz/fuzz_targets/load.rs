//! Any bytes are a model that loads and answers, or get an error: no crash, no hang, no more memory
//! than libFuzzer allows. The repository's cases are a good start:
//!
//! ```sh
//! mkdir -p fuzz/corpus/load
//! for model in crates/onnx-ml/tests/cases/*/model.onnx; do
//!     cp "$model" "fuzz/corpus/load/$(basename "$(dirname "$model")").onnx"
//! done
//! cargo +nightly fuzz run load -- -timeout=20 -rss_limit_mb=1024
//! ```

#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_app_model::Model;

fuzz_target!(
    // tract's panics are caught and become errors; libFuzzer's hook would end the process first.
    init: std::panic::set_hook(Box::new(|_| {})),
    |bytes: &[u8]| {
        let _ = Model::load(bytes);
    }
);
