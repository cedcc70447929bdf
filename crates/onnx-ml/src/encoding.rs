//! Serialization with serde: of field types that tract defines without it, and of large arrays of
//! weights.

pub(crate) mod fields;
pub(crate) mod weights;
