//! Serializes, with serde, tract's types that do not implement serde's traits, and large arrays of weights. Also shares
//! weights between plans.

pub(crate) mod fields;
pub(crate) mod sharing;
pub(crate) mod weights;
