//! Reads the inputs and expected outputs of a case: its file `data.json`.
//!
//! The file is a list of data sets. A data set has the members `inputs` and `outputs`, each a list of tensors in the
//! order of the model's inputs and outputs. If the model rounds its values to integers, the data set can have the
//! member `tolerance`: the maximum difference of an element. A tensor has a `type` (NumPy's name of the element type,
//! or `string`), a `shape`, and its elements in row-major order as `data`. JSON has no notation for NaN and infinity,
//! so these values are the strings `"NaN"`, `"Infinity"` and `"-Infinity"`.
//!
//! All other contents are an error, so that no case passes because its file is misread.

use serde::Deserialize;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{Datum, bail, ensure, format_err};

/// The inputs of a model and its expected outputs.
pub struct DataSet {
    pub inputs: Vec<Tensor>,
    pub outputs: Vec<Tensor>,
    /// Maximum difference of an element. `None` for the usual tolerance of all cases.
    #[allow(dead_code, reason = "benchmarks do not compare outputs")]
    pub tolerance: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonDataSet {
    inputs: Vec<JsonTensor>,
    outputs: Vec<JsonTensor>,
    tolerance: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonTensor {
    r#type: String,
    shape: Vec<usize>,
    data: Vec<Value>,
}

/// Returns the data sets of the case in `folder`.
///
/// # Errors
///
/// Returns an error if the file has no data set, if a data set has no inputs or no outputs, if a
/// member or a type is unknown, or if a type cannot represent an element.
pub fn data_sets(folder: &Path) -> TractResult<Vec<DataSet>> {
    let path = folder.join("data.json");
    let read = || -> TractResult<Vec<DataSet>> {
        let data_sets: Vec<JsonDataSet> = serde_json::from_slice(&fs::read(&path)?)?;
        ensure!(!data_sets.is_empty(), "expected at least one data set");
        data_sets
            .iter()
            .map(|data_set| {
                Ok(DataSet {
                    inputs: tensors(&data_set.inputs)?,
                    outputs: tensors(&data_set.outputs)?,
                    tolerance: data_set.tolerance,
                })
            })
            .collect()
    };
    read().map_err(|error| error.context(path.display().to_string()))
}

fn tensors(tensors: &[JsonTensor]) -> TractResult<Vec<Tensor>> {
    ensure!(!tensors.is_empty(), "expected at least one tensor");
    tensors.iter().map(tensor).collect()
}

fn tensor(tensor: &JsonTensor) -> TractResult<Tensor> {
    match tensor.r#type.as_str() {
        "bool" => elements(tensor, Value::as_bool),
        "uint8" => elements(tensor, integer::<u8>),
        "uint16" => elements(tensor, integer::<u16>),
        "uint32" => elements(tensor, integer::<u32>),
        "uint64" => elements(tensor, integer::<u64>),
        "int8" => elements(tensor, integer::<i8>),
        "int16" => elements(tensor, integer::<i16>),
        "int32" => elements(tensor, integer::<i32>),
        "int64" => elements(tensor, integer::<i64>),
        "float16" => elements(tensor, |value| narrowed(float(value)?, f16::from_f64, f16::to_f64)),
        "float32" => {
            elements(tensor, |value| narrowed(float(value)?, |wide| wide as f32, f64::from))
        }
        "float64" => elements(tensor, float),
        "string" => elements(tensor, |value| value.as_str().map(str::to_owned)),
        other => bail!("expected an element type, found `{other}`"),
    }
}

/// Builds a tensor from JSON values. `element` converts a value, and returns `None` if the type cannot
/// represent the value.
fn elements<T: Datum>(
    tensor: &JsonTensor,
    element: impl Fn(&Value) -> Option<T>,
) -> TractResult<Tensor> {
    let count = tensor.shape.iter().product::<usize>();
    ensure!(
        tensor.data.len() == count,
        "expected {count} elements for shape {:?}, found {}",
        tensor.shape,
        tensor.data.len()
    );
    let elements: Vec<T> = tensor
        .data
        .iter()
        .map(|value| {
            let kind = &tensor.r#type;
            element(value).ok_or_else(|| format_err!("expected {kind}, found `{value}`"))
        })
        .collect::<TractResult<_>>()?;
    Ok(tract_ndarray::ArrayD::from_shape_vec(&tensor.shape[..], elements)?.into())
}

fn integer<T: TryFrom<i128>>(value: &Value) -> Option<T> {
    let wide = value.as_i64().map(i128::from).or(value.as_u64().map(i128::from))?;
    T::try_from(wide).ok()
}

/// Returns the float that a JSON value represents. An integer such as `1` is not a float; `1.0` is a
/// float.
fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) if number.is_f64() => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// Rounds a float to a smaller type. Returns `None` if a finite number becomes infinite.
fn narrowed<T: Copy>(wide: f64, narrow: impl Fn(f64) -> T, widen: impl Fn(T) -> f64) -> Option<T> {
    let narrow = narrow(wide);
    (wide.is_finite() == widen(narrow).is_finite()).then_some(narrow)
}
