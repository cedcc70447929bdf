//! This is the `inventory` that tract has: Cargo would take the registry's again without a word.

use tract_onnx::prelude::tract_linalg::{mmm_routines, mmm_tiers, routines};
use tract_onnx::tract_core::{knobs, runtime, transform};

#[test]
fn tract_has_its_kernels_and_nothing_else() {
    assert_ne!(routines::declared().count(), 0);
    assert_ne!(mmm_routines::declared().count(), 0);
    assert_ne!(mmm_tiers::declared().count(), 0);
    assert_eq!(runtime::runtimes().count(), 0);
    assert_eq!(knobs::all().len(), 0);
    assert!(transform::get_transform("f32_to_f16").is_ok_and(|found| found.is_none()));
}
