//! Serialization of fields and weights.

pub(crate) mod fields;
pub(crate) mod weights;
