//! Checks with random models and inputs that operators return the same results as simple code that
//! follows the specification.

mod encoders;
mod scalers;
mod svm;
