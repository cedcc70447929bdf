//! Element types of tensors, and the JSON types of their values: number, integer, boolean or string.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An element type that can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Float16,
    Float32,
    Float64,
    String,
}

impl Datatype {
    /// Returns the name that ONNX uses, such as `float` in `tensor(float)`.
    pub(crate) fn onnx_name(self) -> &'static str {
        match self {
            Datatype::Bool => "bool",
            Datatype::Uint8 => "uint8",
            Datatype::Uint16 => "uint16",
            Datatype::Uint32 => "uint32",
            Datatype::Uint64 => "uint64",
            Datatype::Int8 => "int8",
            Datatype::Int16 => "int16",
            Datatype::Int32 => "int32",
            Datatype::Int64 => "int64",
            Datatype::Float32 => "float",
            Datatype::Float16 => "float16",
            Datatype::Float64 => "double",
            Datatype::String => "string",
        }
    }

    /// Returns the size of an element in bytes; `None` for strings.
    pub fn size(self) -> Option<usize> {
        match self {
            Datatype::Bool | Datatype::Uint8 | Datatype::Int8 => Some(1),
            Datatype::Uint16 | Datatype::Int16 | Datatype::Float16 => Some(2),
            Datatype::Uint32 | Datatype::Int32 | Datatype::Float32 => Some(4),
            Datatype::Uint64 | Datatype::Int64 | Datatype::Float64 => Some(8),
            Datatype::String => None,
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, Datatype::Float16 | Datatype::Float32 | Datatype::Float64)
    }

    pub(crate) fn is_integer(self) -> bool {
        !self.is_float() && !matches!(self, Datatype::Bool | Datatype::String)
    }

    /// Returns the kind of a feature with this element type. The metadata can declare a different kind.
    pub fn kind(self) -> Kind {
        match self {
            Datatype::Bool => Kind::Boolean,
            Datatype::String => Kind::String,
            float if float.is_float() => Kind::Number,
            _ => Kind::Integer,
        }
    }
}

/// The JSON type of a feature's values, named as in JSON Schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Number,
    Integer,
    Boolean,
    String,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Number => "number",
            Kind::Integer => "integer",
            Kind::Boolean => "boolean",
            Kind::String => "string",
        })
    }
}
