//! The features of a model: the columns of its inputs, as the graph and the metadata describe them.

use crate::datatype::{Datatype, Kind};
use crate::error::LoadError;
use crate::metadata::{FEATURES, FeatureMetadata};
use crate::signature::{Feature, TensorSpec};
use onnx_ml::categories::{self, Category};
use onnx_ml::maps::MapInput;
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use tract_onnx::pb::GraphProto;

/// Returns the features of all inputs, input by input. Parameters are last: features with one value for the whole
/// request.
///
/// The name of a feature comes from the first of these rules that applies:
///
/// 1. the metadata;
/// 2. the key of a map, if the exporter declared the input as a map;
/// 3. the name of the input, if a row of the input has one column, more than one axis or a dynamic length, or if the
///    input has no batch axis;
/// 4. the index of the column, if only one input has several columns: `x0`, `x1`, …;
/// 5. the name of the input and the index of the column: `input_0`, `input_1`, ….
///
/// # Errors
///
/// Returns [`LoadError::Metadata`] if the metadata contradicts the inputs, or if two features have the
/// same name.
pub(crate) fn features(
    graph: &GraphProto,
    inputs: &[TensorSpec],
    fixed_rows: Option<usize>,
    maps: &[MapInput],
    metadata: Option<Vec<FeatureMetadata>>,
) -> Result<Vec<Feature>, LoadError> {
    let categories = categories::of_inputs(graph);
    let category = |feature: &Feature| {
        let column = (inputs[feature.input].name.as_str(), feature.column);
        category_example(categories.get(&column)?, feature.datatype)
    };
    let mut features = features_of_graph(inputs, maps, fixed_rows);
    for feature in &mut features {
        feature.compact_example = category(feature).unwrap_or_else(|| scalar_example(feature.kind));
    }
    if let Some(metadata) = metadata {
        let error = |reason| LoadError::Metadata { key: FEATURES, reason };
        if metadata.len() != features.len() {
            return Err(error(format!(
                "expected {} features, one for each column of the inputs, found {}",
                features.len(),
                metadata.len()
            )));
        }
        for (feature, declared) in features.iter_mut().zip(metadata) {
            let category = category(feature);
            describe(feature, declared, category).map_err(error)?;
        }
    }
    let mut names = HashSet::new();
    match features.iter().find(|feature| !names.insert(feature.name.as_str())) {
        Some(duplicate) => Err(LoadError::Metadata {
            key: FEATURES,
            reason: format!("duplicate feature `{}`", duplicate.name),
        }),
        None => {
            // The sort is stable, so the features that are not parameters keep their order.
            features.sort_by_key(|feature| feature.parameter);
            Ok(features)
        }
    }
}

/// Returns the features as the graph describes them, without metadata and without examples.
fn features_of_graph(
    inputs: &[TensorSpec],
    maps: &[MapInput],
    fixed_rows: Option<usize>,
) -> Vec<Feature> {
    // Names such as `x0` would not be unique if several inputs had several columns.
    let is_wide = |input: &&TensorSpec| {
        input.batch_axis.is_some() && matches!(input.row_shape()[..], [Some(2..)])
    };
    let wide_inputs = inputs.iter().filter(is_wide).count();
    let mut features = vec![];
    for (index, input) in inputs.iter().enumerate() {
        let map = maps.iter().find(|map| map.input == input.name);
        let names_and_shapes = match (map, input.batch_axis, input.row_shape().as_slice()) {
            (Some(map), ..) => map.keys.iter().map(|key| (key.clone(), vec![])).collect(),
            (None, _, [] | [Some(1)]) => vec![(input.name.clone(), vec![])],
            (None, Some(_), [Some(columns)]) if wide_inputs == 1 => {
                (0..*columns).map(|column| (format!("x{column}"), vec![])).collect()
            }
            (None, Some(_), [Some(columns)]) => {
                (0..*columns).map(|column| (format!("{}_{column}", input.name), vec![])).collect()
            }
            (None, _, row_shape) => vec![(input.name.clone(), row_shape.to_vec())],
        };
        let columns = names_and_shapes.into_iter().enumerate();
        features.extend(columns.map(|(column, (name, shape))| Feature {
            name,
            kind: input.datatype.kind(),
            datatype: input.datatype,
            input: index,
            column,
            parameter: input.batch_axis.is_none() && fixed_rows != Some(1),
            compact_example: Json::Null,
            example_shape: shape.iter().map(|len| len.unwrap_or(1)).collect(),
            shape,
            optional: map.is_some(),
            description: None,
            unit: None,
            minimum: None,
            maximum: None,
        }));
    }
    features
}

/// Adds the metadata in `declared` to a feature. If the graph compares the feature with constants, `category` is one of
/// the constants, because a constant is a better example than zero.
///
/// # Errors
///
/// Returns a message if the declared type does not fit the feature's element type.
fn describe(
    feature: &mut Feature,
    declared: FeatureMetadata,
    category: Option<Json>,
) -> Result<(), String> {
    let datatype = feature.datatype;
    if let Some(kind) = declared.kind {
        let is_compatible = match datatype {
            Datatype::String => kind == Kind::String,
            Datatype::Bool => kind == Kind::Boolean,
            float if float.is_float() => kind != Kind::String,
            _ => matches!(kind, Kind::Integer | Kind::Boolean),
        };
        if !is_compatible {
            return Err(format!(
                "`{}`: expected a declared type that fits the element type {}, found {kind}",
                declared.name,
                datatype.onnx_name()
            ));
        }
        feature.kind = kind;
    }
    // The example is the first of these values that exists: the example in the metadata, the category, the smallest
    // value seen in training, the default example of the kind.
    let category = category.filter(|_| feature.kind != Kind::Boolean);
    let default_example = || match (feature.kind, declared.minimum) {
        (Kind::Boolean | Kind::String, _) | (_, None) => scalar_example(feature.kind),
        (Kind::Integer, Some(minimum)) => json!(minimum.ceil() as i64),
        (Kind::Number, Some(minimum)) => json!(minimum),
    };
    feature.compact_example = declared.example.or(category).unwrap_or_else(default_example);
    feature.name = declared.name;
    feature.description = declared.description;
    feature.unit = declared.unit;
    feature.minimum = declared.minimum;
    feature.maximum = declared.maximum;
    Ok(())
}

/// Returns the default example for a kind.
fn scalar_example(kind: Kind) -> Json {
    match kind {
        Kind::Number => json!(0.0),
        Kind::Integer => json!(0),
        Kind::Boolean => json!(false),
        Kind::String => json!("text"),
    }
}

/// Converts a category to an example for an element type. Returns `None` if the category has a different
/// type.
fn category_example(category: &Category, datatype: Datatype) -> Option<Json> {
    match (category, datatype) {
        (Category::String(text), Datatype::String) => Some(json!(text)),
        (Category::Integer(integer), Datatype::String) => Some(json!(integer.to_string())),
        (Category::Integer(integer), datatype) if datatype.is_integer() => Some(json!(integer)),
        (Category::Integer(integer), datatype) if datatype.is_float() => {
            Some(json!(*integer as f64))
        }
        (Category::Float(number), datatype) if datatype.is_float() => Some(json!(number)),
        _ => None,
    }
}
