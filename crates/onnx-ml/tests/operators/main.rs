//! Single operators: `properties` compares them with plain code written from the specification, and
//! `invalid` checks that attributes and data without a meaning give an error, not a panic.

#![allow(clippy::unwrap_used)]

mod invalid;
mod node;
mod properties;
#[path = "../../src/random.rs"]
mod random;
mod values;
