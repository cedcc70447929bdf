//! How fields and weights are serialized as bytes.

pub(crate) mod fields;
pub(crate) mod weights;
