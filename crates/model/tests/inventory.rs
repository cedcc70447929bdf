//! What is submitted to `crates/inventory` is found by its type, in both of the forms that tract asks
//! in, and it is the `inventory` that tract has: Cargo would take the registry's again without a word.
#![allow(unsafe_code, reason = "a constructor is a function in a section of the linker's")]

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

mod elsewhere {
    use super::Named;

    const fn shouted(name: &'static str) -> Named {
        Named { name, length: |text| 2 * text.len() }
    }

    inventory::submit!(shouted("two"));
}

struct Number(u32);

inventory::collect!(Number);

static NUMBER: Number = Number(7);

struct Pointer(&'static Number);

inventory::collect!(Pointer);
inventory::submit!(Pointer(&NUMBER));

#[test]
fn a_collection_holds_what_is_submitted() {
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

/// As it is in the crates that nobody asks.
struct Unasked(#[allow(dead_code, reason = "only its place counts")] fn());

impl inventory::Collect for Unasked {
    const KEPT: bool = inventory::is_asked("tract-core");

    fn registry() -> &'static inventory::Registry<Self> {
        static REGISTRY: inventory::Registry<Unasked> = inventory::Registry::new();
        &REGISTRY
    }
}

inventory::submit!(Unasked(|| unreachable!()));

#[test]
fn a_collection_that_nobody_asks_for_is_empty() {
    assert_eq!(inventory::iter::<Unasked>().count(), 0);
    assert!(inventory::is_asked("tract-linalg") && !inventory::is_asked("tract-data"));
}

#[test]
fn tract_has_its_kernels_and_nothing_else() {
    assert_ne!(routines::declared().count(), 0);
    assert_ne!(mmm_routines::declared().count(), 0);
    assert_ne!(mmm_tiers::declared().count(), 0);
    assert_eq!(runtime::runtimes().count(), 0);
    assert_eq!(knobs::all().len(), 0);
    assert!(transform::get_transform("f32_to_f16").is_ok_and(|found| found.is_none()));
}
