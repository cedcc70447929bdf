//! JSON schemas of features, outputs and their elements.

use ml_app_model::{Datatype, FILL, Feature, Kind, TensorSpec};
use serde_json::{Map, Value, json};

/// Returns the query parameter of a feature.
pub(crate) fn query_parameter(feature: &Feature) -> Value {
    let mut parameter = json!({
        "name": feature.name,
        "in": "query",
        "required": !feature.optional,
    });
    if let Some(summary) = feature.summary() {
        parameter["description"] = json!(summary);
    }
    if feature.is_scalar() {
        let mut schema = value_schema(feature);
        if let Some(schema) = schema.as_object_mut() {
            // A query string cannot express null. In OpenAPI, the description and the example belong to the parameter,
            // not to its schema.
            schema.remove("nullable");
            schema.remove("description");
            schema.remove("example");
        }
        parameter["schema"] = schema;
        parameter["example"] = feature.example();
    } else {
        parameter["content"] = json!({
            "application/json": { "schema": value_schema(feature), "example": feature.example() },
        });
    }
    parameter
}

/// Returns the schema of a feature's value in one row, or of a parameter's value.
pub(crate) fn value_schema(feature: &Feature) -> Value {
    let datatype = match feature.kind {
        Kind::String => Datatype::String,
        Kind::Boolean => Datatype::Bool,
        Kind::Integer | Kind::Number => feature.datatype,
    };
    let mut schema = match feature.kind {
        // A value outside this range is rejected if the input is a float, because a double does not represent every
        // integer beyond ±2^53.
        Kind::Integer if datatype.is_float() => {
            json!({ "type": "integer", "minimum": -(1_i64 << 53), "maximum": 1_i64 << 53 })
        }
        _ => element_schema(datatype),
    };
    if feature.datatype.is_float() {
        schema["nullable"] = json!(true);
    }
    let element = schema.clone();
    let mut schema = feature.shape.iter().rev().fold(schema, array_schema);
    if feature.has_long_example() {
        schema = json!({ "anyOf": [schema, filled_schema(feature, &element)] });
    }
    let once =
        "One value for the whole request. All rows that contain it must have the same value.";
    let description = match (feature.summary(), feature.parameter) {
        (Some(summary), true) => Some(format!("{summary} {once}")),
        (None, true) => Some(once.to_owned()),
        (summary, false) => summary,
    };
    if let Some(description) = description {
        schema["description"] = json!(description);
    }
    if let (Some(minimum), Some(maximum)) = (feature.minimum, feature.maximum) {
        schema["x-training-range"] = json!([minimum, maximum]);
    }
    if feature.optional {
        let default = match feature.kind {
            Kind::String => json!(""),
            Kind::Boolean => json!(false),
            Kind::Integer | Kind::Number => json!(0),
        };
        schema["default"] = default;
    }
    schema["example"] = feature.example();
    schema
}

/// Returns the schema of the short form of an array whose elements are equal.
fn filled_schema(feature: &Feature, element: &Value) -> Value {
    let description = format!(
        "Short form of an array with the shape {:?} whose elements are equal. Only the first row may have it.",
        feature.example_shape
    );
    json!({
        "type": "object",
        "description": description,
        "required": [FILL],
        "properties": { FILL: element },
        "additionalProperties": false,
    })
}

/// Returns the schema of an object with a member for each feature. Optional features and parameters are not required: a
/// parameter may be in a different row. OpenAPI forbids an empty `required`, so an empty `required` is left out.
pub(crate) fn features_schema(
    description: &str,
    properties: Map<String, Value>,
    features: &[Feature],
) -> Value {
    let required = features.iter().filter(|feature| !feature.optional && !feature.parameter);
    let required: Vec<&str> = required.map(|feature| feature.name.as_str()).collect();
    let mut schema = json!({
        "type": "object",
        "description": description,
        "properties": properties,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema["additionalProperties"] = json!(false);
    schema
}

/// Returns the schema of an output's value in one row. If the output belongs to the whole request, returns the schema
/// of its whole value.
pub(crate) fn output_schema(spec: &TensorSpec) -> Value {
    match spec.row_shape().as_slice() {
        [] | [Some(1)] => element_schema(spec.datatype),
        shape => shape.iter().rev().fold(element_schema(spec.datatype), array_schema),
    }
}

/// Returns the schema of an array of `len` items, or of any number of items if `len` is `None`.
fn array_schema(items: Value, len: &Option<usize>) -> Value {
    match len {
        Some(len) => {
            json!({ "type": "array", "minItems": len, "maxItems": len, "items": items })
        }
        None => json!({ "type": "array", "items": items }),
    }
}

/// The largest number that still rounds to a finite 32-bit float.
const MAX_FLOAT32: f64 = 3.402_823_567_797_336_2e38;

/// The largest number that still rounds to a finite 16-bit float.
const MAX_FLOAT16: f64 = 65_519.999_999_999_99;

/// Returns the schema of one element. Floats are nullable, because NaN and the infinities are written as `null`.
pub(crate) fn element_schema(datatype: Datatype) -> Value {
    let integer = |minimum: Value, maximum: Value| json!({ "type": "integer", "minimum": minimum, "maximum": maximum });
    match datatype {
        Datatype::Bool => json!({ "type": "boolean" }),
        Datatype::String => json!({ "type": "string" }),
        Datatype::Float32 => json!({
            "type": "number", "format": "float", "nullable": true,
            "minimum": -MAX_FLOAT32, "maximum": MAX_FLOAT32,
        }),
        Datatype::Float16 => json!({
            "type": "number", "nullable": true, "minimum": -MAX_FLOAT16, "maximum": MAX_FLOAT16,
        }),
        Datatype::Float64 => json!({ "type": "number", "format": "double", "nullable": true }),
        Datatype::Uint8 => integer(json!(u8::MIN), json!(u8::MAX)),
        Datatype::Uint16 => integer(json!(u16::MIN), json!(u16::MAX)),
        Datatype::Uint32 => integer(json!(u32::MIN), json!(u32::MAX)),
        Datatype::Uint64 => integer(json!(u64::MIN), json!(u64::MAX)),
        Datatype::Int8 => integer(json!(i8::MIN), json!(i8::MAX)),
        Datatype::Int16 => integer(json!(i16::MIN), json!(i16::MAX)),
        Datatype::Int32 => integer(json!(i32::MIN), json!(i32::MAX)),
        Datatype::Int64 => integer(json!(i64::MIN), json!(i64::MAX)),
    }
}

/// Returns a reference to a schema among the components of the document.
pub(crate) fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}
