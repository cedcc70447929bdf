//! Tests `crates/inventory`, this project's replacement for the crate `inventory` of the registry. The crate
//! collects values by type, and tract uses it. If Cargo built tract with the registry's crate, only these
//! tests would fail.
#![allow(unsafe_code, reason = "`inventory::submit!` places a constructor in a linker section")]

use tract_onnx::prelude::tract_linalg::{mmm_routines, mmm_tiers, routines};
use tract_onnx::tract_core::{knobs, runtime, transform};

struct Named {
    name: &'static str,
    length: fn(&str) -> usize,
}

inventory::collect!(Named);

inventory::submit! {
    Named { name: "one", length: |text| text.len() }
}

mod other_module {
    use super::Named;

    const fn with_doubled_length(name: &'static str) -> Named {
        Named { name, length: |text| 2 * text.len() }
    }

    inventory::submit!(with_doubled_length("two"));
}

struct Number(u32);

inventory::collect!(Number);

static NUMBER: Number = Number(7);

struct Pointer(&'static Number);

inventory::collect!(Pointer);
inventory::submit!(Pointer(&NUMBER));

#[test]
fn collects_submitted_values_by_type() {
    let mut found: Vec<_> =
        inventory::iter::<Named>().map(|named| (named.name, (named.length)("abc"))).collect();
    found.sort();
    assert_eq!(found, [("one", 3), ("two", 6)]);
    assert_eq!(inventory::iter::<Named>.into_iter().count(), 2);
    for pointer in inventory::iter::<Pointer> {
        assert!(std::ptr::eq(pointer.0, &NUMBER));
        assert_eq!(pointer.0.0, 7);
    }
    assert_eq!(inventory::iter::<Pointer>().count(), 1);
    assert_eq!(inventory::iter::<Number>().count(), 0);
}

/// A type that declares that its collection is never read.
struct Unread(#[allow(dead_code, reason = "only its address matters")] fn());

impl inventory::Collect for Unread {
    const IS_READ: bool = false;

    fn registry() -> &'static inventory::Registry<Self> {
        static REGISTRY: inventory::Registry<Unread> = inventory::Registry::new();
        &REGISTRY
    }
}

inventory::submit!(Unread(|| unreachable!()));

#[test]
fn a_collection_that_is_never_read_is_empty() {
    assert_eq!(inventory::iter::<Unread>().count(), 0);
}

#[test]
fn tract_has_kernels_but_no_runtimes_knobs_and_transforms() {
    assert_ne!(routines::declared().count(), 0);
    assert_ne!(mmm_routines::declared().count(), 0);
    assert_ne!(mmm_tiers::declared().count(), 0);
    assert_eq!(runtime::runtimes().count(), 0);
    assert_eq!(knobs::all().len(), 0);
    assert!(transform::get_transform("f32_to_f16").is_ok_and(|found| found.is_none()));
}
