//! Operators return the same as plain code written from the specification, for random models and
//! inputs.

mod encoders;
mod scalers;
mod svm;
