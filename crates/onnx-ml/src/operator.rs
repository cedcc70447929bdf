//! The parts that all operators share: their interface, access to tract's own operators, and invalid
//! values.

pub(crate) mod invalid_value;
pub(crate) mod kernel;
pub(crate) mod lowering;
pub(crate) mod tract_operators;
