//! The parameters of a request, an input or an output, and what the parsers of inputs and outputs share.

use ml_app_model::TensorSpec;
use ml_app_model::value::quoted_list;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The parameters that this server understands. Others are ignored.
#[derive(Deserialize)]
pub struct Parameters {
    /// Input: its size in the bytes that follow the JSON.
    pub binary_data_size: Option<usize>,
    /// Output: true to return it as bytes.
    pub binary_data: Option<bool>,
    /// Request: true to return outputs as bytes unless they say otherwise.
    pub binary_data_output: Option<bool>,
    /// Output: the number of classes to return per row.
    pub classification: Option<usize>,
    shared_memory_region: Option<IgnoredAny>,
}

impl Parameters {
    /// Rejects shared memory, which cannot be ignored: the client would write or expect tensors there.
    pub fn check(&self) -> Result<(), &'static str> {
        match self.shared_memory_region {
            Some(_) => Err("expected tensors in the body, found a shared memory region"),
            None => Ok(()),
        }
    }
}

/// The error for 16-bit floats outside binary data. The protocol defines no JSON for them.
pub const FP16_NOT_IN_JSON: &str = "expected binary data, because FP16 cannot be written in JSON";

/// Lists the names of inputs or outputs: "`x`, `y`".
pub fn names(specs: &[TensorSpec]) -> String {
    quoted_list(specs.iter().map(|spec| &*spec.name))
}

/// Stores the value of a key that an object may have only once.
pub fn once<T, E: serde::de::Error>(slot: &mut Option<T>, value: T, key: &str) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom(format!("duplicate key `{key}`"))),
    }
}
