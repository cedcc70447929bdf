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

/// Returns the features of all inputs, input by input.
///
/// Their names come from the metadata, otherwise from the keys of the map that the input was, otherwise
/// from the input if it has one column, otherwise they are `x0`, `x1`, ….
///
/// # Errors
///
/// Returns [`LoadError::Metadata`] if the metadata does not agree with the inputs, or two features have
/// the same name.
pub(crate) fn features(
    graph: &GraphProto,
    inputs: &[TensorSpec],
    maps: &[MapInput],
    metadata: Option<Vec<FeatureMetadata>>,
) -> Result<Vec<Feature>, LoadError> {
    let categories = categories::of_inputs(graph);
    let category = |feature: &Feature| {
        let column = (inputs[feature.input].name.as_str(), feature.column);
        category_example(categories.get(&column)?, feature.datatype)
    };
    let mut features = undescribed(inputs, maps);
    for feature in &mut features {
        feature.typical = category(feature).unwrap_or_else(|| scalar_example(feature.kind));
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
        Some(twice) => Err(LoadError::Metadata {
            key: FEATURES,
            reason: format!("duplicate feature `{}`", twice.name),
        }),
        None => Ok(features),
    }
}

/// Returns the features as the graph alone describes them, without examples.
fn undescribed(inputs: &[TensorSpec], maps: &[MapInput]) -> Vec<Feature> {
    // Columns are numbered `x0`, `x1`, … only if this is unique.
    let wide = inputs.iter().filter(|input| matches!(input.shape[..], [_, Some(2..)])).count();
    let mut features = vec![];
    for (index, input) in inputs.iter().enumerate() {
        let map = maps.iter().find(|map| map.input == input.name);
        let names_and_shapes = match (map, input.shape.as_slice()) {
            (Some(map), _) => map.keys.iter().map(|key| (key.clone(), vec![])).collect(),
            (None, [_] | [_, Some(1)]) => vec![(input.name.clone(), vec![])],
            (None, [_, Some(columns)]) if wide == 1 => {
                (0..*columns).map(|column| (format!("x{column}"), vec![])).collect()
            }
            (None, [_, Some(columns)]) => {
                (0..*columns).map(|column| (format!("{}_{column}", input.name), vec![])).collect()
            }
            (None, [_, rest @ ..]) => vec![(input.name.clone(), rest.to_vec())],
            (None, []) => unreachable!("an input has at least the axis of the batch"),
        };
        let named = names_and_shapes.into_iter().enumerate();
        features.extend(named.map(|(column, (name, shape))| Feature {
            name,
            kind: input.datatype.kind(),
            datatype: input.datatype,
            input: index,
            column,
            typical: Json::Null,
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

/// Adds the metadata to a feature. `category` is a value that the graph compares the feature with, if
/// there is one: a better example than zero.
fn describe(
    feature: &mut Feature,
    declared: FeatureMetadata,
    category: Option<Json>,
) -> Result<(), String> {
    let datatype = feature.datatype;
    if let Some(kind) = declared.kind {
        let fits = match datatype {
            Datatype::String => kind == Kind::String,
            Datatype::Bool => kind == Kind::Boolean,
            float if float.is_float() => kind != Kind::String,
            _ => matches!(kind, Kind::Integer | Kind::Boolean),
        };
        if !fits {
            return Err(format!(
                "`{}`: expected a type that fits {}, found {kind}",
                declared.name,
                datatype.onnx_name()
            ));
        }
        feature.kind = kind;
    }
    // The example: from the metadata, else a category, else the smallest value in the training data.
    let category = category.filter(|_| feature.kind != Kind::Boolean);
    let typical = || match (feature.kind, declared.minimum) {
        (Kind::Boolean | Kind::String, _) | (_, None) => scalar_example(feature.kind),
        (Kind::Integer, Some(minimum)) => json!(minimum.ceil() as i64),
        (Kind::Number, Some(minimum)) => json!(minimum),
    };
    feature.typical = declared.example.or(category).unwrap_or_else(typical);
    feature.name = declared.name;
    feature.description = declared.description;
    feature.unit = declared.unit;
    feature.minimum = declared.minimum;
    feature.maximum = declared.maximum;
    Ok(())
}

fn scalar_example(kind: Kind) -> Json {
    match kind {
        Kind::Number => json!(0.0),
        Kind::Integer => json!(0),
        Kind::Boolean => json!(false),
        Kind::String => json!("text"),
    }
}

/// Returns a category as an example of an element type; `None` if it is of another type.
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
