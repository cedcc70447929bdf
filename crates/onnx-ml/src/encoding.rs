//! Serialization with serde: of field types that tract defines without it, and of large arrays of
//! weights. Also shares weights between plans.

pub(crate) mod fields;
pub(crate) mod sharing;
pub(crate) mod weights;
