//! Operators answer random models and inputs as plain code, written from the specification, does.

#![allow(clippy::unwrap_used)]

mod encoders;
mod node;
mod random;
mod scalers;
mod svm;
