//! Serialization with serde: of tract's types that do not implement serde's traits, and of large arrays of weights.
//! Also shares weights between plans.

pub(crate) mod fields;
pub(crate) mod sharing;
pub(crate) mod weights;
