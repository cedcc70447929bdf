//! Tests of single operators. `properties` compares the results of operators with the results of simple code that
//! follows the specification. `invalid` checks that invalid attributes and invalid data give an error, not a panic.

#![allow(clippy::unwrap_used)]

mod invalid;
mod node;
mod properties;
#[path = "../../src/random.rs"]
mod random;
mod values;
