//! The parts that all operators share: the interfaces that they implement, access to tract's own
//! operators, and the error for an invalid value in a request.

pub(crate) mod adapter;
pub(crate) mod invalid_value;
pub(crate) mod kernel;
pub(crate) mod lowering;
pub(crate) mod tensors;
pub(crate) mod tract_operators;
