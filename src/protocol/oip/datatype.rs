//! Names of element types in the Open Inference Protocol.

use ml_app_model::Datatype;

/// Returns the protocol's name of an element type.
pub fn datatype_name(datatype: Datatype) -> &'static str {
    match datatype {
        Datatype::Bool => "BOOL",
        Datatype::Uint8 => "UINT8",
        Datatype::Uint16 => "UINT16",
        Datatype::Uint32 => "UINT32",
        Datatype::Uint64 => "UINT64",
        Datatype::Int8 => "INT8",
        Datatype::Int16 => "INT16",
        Datatype::Int32 => "INT32",
        Datatype::Int64 => "INT64",
        Datatype::Float32 => "FP32",
        Datatype::Float16 => "FP16",
        Datatype::Float64 => "FP64",
        Datatype::String => "BYTES",
    }
}
