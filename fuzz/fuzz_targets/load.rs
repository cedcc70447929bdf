//! Bytes of a model. `Model::load` must load or reject the model. It must not crash, hang, or use more memory than
//! libFuzzer allows.

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

/// Returns whether the panic is in one of the project's crates. tract panics on some graphs, and `Model::load` turns
/// these panics into errors.
fn is_ours(panic: &PanicHookInfo<'_>) -> bool {
    let crates = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates");
    let crates = std::fs::canonicalize(crates).expect("the repository has the folder `crates`");
    panic
        .location()
        .is_some_and(|location| std::path::Path::new(location.file()).starts_with(crates))
}
