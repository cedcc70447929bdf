//! The parameters of a request, an input or an output, and functions that the parsers of inputs and outputs share.

use ml_app_model::TensorSpec;
use ml_app_model::value::quoted_list;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The parameters that this server knows. The server ignores all other parameters. Requests, inputs and outputs have
/// different parameters, but share this struct.
#[derive(Deserialize)]
pub struct Parameters {
    /// For an input: size in bytes of the elements, which follow the JSON.
    pub binary_data_size: Option<usize>,
    /// For an output: true to return the elements as bytes. Overrides `binary_data_output`.
    pub binary_data: Option<bool>,
    /// For a request: true to return the elements of all outputs as bytes.
    pub binary_data_output: Option<bool>,
    /// For an output: number of classes to return per row instead of the elements.
    pub classification: Option<usize>,
    /// For an input or output: the shared memory for the elements. This server does not support shared memory.
    shared_memory_region: Option<IgnoredAny>,
}

impl Parameters {
    /// Rejects shared memory. Ignoring this parameter would be wrong, because the client writes the elements of inputs
    /// to the shared memory, and expects the elements of outputs in the shared memory.
    pub fn reject_shared_memory(&self) -> Result<(), &'static str> {
        match self.shared_memory_region {
            Some(_) => Err("expected tensors in the body, found a shared memory region"),
            None => Ok(()),
        }
    }
}

/// The error for 16-bit floats in JSON, which the protocol does not define.
pub const FP16_NOT_IN_JSON: &str = "expected binary data, because FP16 cannot be written in JSON";

/// Lists the names of inputs or outputs: "`x`, `y`".
pub fn names(specs: &[TensorSpec]) -> String {
    quoted_list(specs.iter().map(|spec| &*spec.name))
}

/// Stores the value of a key in `slot`. Returns an error if the object contained the key before.
pub fn set_once<T, E: serde::de::Error>(
    slot: &mut Option<T>,
    value: T,
    key: &str,
) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom(format!("duplicate key `{key}`"))),
    }
}
