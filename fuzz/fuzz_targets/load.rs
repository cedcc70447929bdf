//! Any bytes are a model that loads and answers, or get an error: no crash, no hang, no more memory
//! than libFuzzer allows.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_app_model::Model;
use std::panic::{PanicHookInfo, set_hook, take_hook};

fuzz_target!(
    init: {
        let crash = take_hook();
        set_hook(Box::new(move |panic| {
            if is_ours(panic) {
                crash(panic);
            }
        }));
    },
    |bytes: &[u8]| {
        let _ = Model::load(bytes);
    }
);

/// tract panics on some graphs, which is caught and becomes an error; the project's crates do not.
fn is_ours(panic: &PanicHookInfo<'_>) -> bool {
    let crates = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates");
    let crates = std::fs::canonicalize(crates).expect("the fuzz crate stands beside them");
    panic.location().is_some_and(|place| std::path::Path::new(place.file()).starts_with(crates))
}
