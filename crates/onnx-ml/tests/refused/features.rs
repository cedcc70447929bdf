//! Encoders, imputers and their like whose attributes do not fit together are refused when they
//! are loaded, and data they have no answer for when they run; both say why.

use crate::node::{floats, int, ints, string, strings};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TypeProto,
    ValueInfoProto, type_proto,
};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{Datum, bail};

pub fn attribute_tensor(name: &str, t: TensorProto) -> AttributeProto {
    let r#type = AttributeType::Tensor.into();
    AttributeProto { name: name.into(), r#type, t: Some(t), ..Default::default() }
}

/// A list of int64 that claims to be of another shape.
fn longs(dims: &[i64], elements: &[i64]) -> TensorProto {
    let data_type = DataType::Int64.into();
    let (dims, int64_data) = (dims.to_vec(), elements.to_vec());
    TensorProto { dims, data_type, int64_data, ..Default::default() }
}

/// What a model of one node answers to these inputs, the first of which is named `x0`.
pub fn answer(
    operator: &str,
    version: i64,
    inputs: &[Tensor],
    attribute: Vec<AttributeProto>,
) -> TractResult<Tensor> {
    let value = |name: String| {
        let tensor = type_proto::Tensor { elem_type: 1, shape: None };
        let value = Some(type_proto::Value::TensorType(tensor));
        let r#type = Some(TypeProto { value, ..Default::default() });
        ValueInfoProto { name, r#type, ..Default::default() }
    };
    let names: Vec<String> = (0..inputs.len()).map(|index| format!("x{index}")).collect();
    let node = NodeProto {
        op_type: operator.into(),
        domain: "ai.onnx.ml".into(),
        input: names.clone(),
        output: vec!["y".into()],
        attribute,
        ..Default::default()
    };
    let graph = GraphProto {
        node: vec![node],
        input: names.into_iter().map(value).collect(),
        output: vec![ValueInfoProto { name: "y".into(), ..Default::default() }],
        ..Default::default()
    };
    let proto = ModelProto {
        opset_import: vec![
            OperatorSetIdProto { domain: String::new(), version: 18 },
            OperatorSetIdProto { domain: "ai.onnx.ml".into(), version },
        ],
        graph: Some(graph),
        ..Default::default()
    };
    let mut model = onnx_ml::onnx().model_for_proto_model(&proto)?;
    for (index, input) in inputs.iter().enumerate() {
        model.set_input_fact(index, InferenceFact::dt_shape(input.datum_type(), input.shape()))?;
    }
    let plan = model.into_optimized()?.into_runnable()?;
    let mut outputs = plan.run(inputs.iter().cloned().map(TValue::from).collect())?;
    match outputs.pop() {
        Some(output) => Ok(output.into_tensor()),
        None => bail!("no output"),
    }
}

/// Each change of the attributes `base`, which are fine themselves, gives an error with that text.
pub fn refused(
    operator: &str,
    version: i64,
    inputs: &[Tensor],
    base: &[AttributeProto],
    cases: &[(&str, Vec<AttributeProto>)],
) {
    answer(operator, version, inputs, base.to_vec()).unwrap();
    for (expected, changes) in cases {
        let changed = |name: &str| changes.iter().any(|change| change.name == name);
        let kept = base.iter().filter(|attribute| !changed(&attribute.name)).cloned();
        let attributes = kept.chain(changes.clone()).collect();
        expect_error(answer(operator, version, inputs, attributes), expected);
    }
}

pub fn expect_error(answer: TractResult<Tensor>, expected: &str) {
    let error = format!("{:#}", answer.unwrap_err());
    assert!(error.contains(expected), "expected `{expected}` in: {error}");
}

fn numbers() -> Tensor {
    tensor2(&[[1.0_f32, 2.0], [3.0, f32::NAN]])
}

pub fn texts() -> Tensor {
    tensor1(&["a".to_owned(), "b".to_owned()])
}

#[test]
fn imputers() {
    let base = [floats("imputed_value_floats", &[1.0, 2.0])];
    let cases = [
        ("found none", vec![floats("imputed_value_floats", &[])]),
        ("found both", vec![ints("imputed_value_int64s", &[1])]),
        ("expected 2 values to impute, found 3", vec![floats("imputed_value_floats", &[1.0; 3])]),
        (
            "expected integers, found F32",
            vec![floats("imputed_value_floats", &[]), ints("imputed_value_int64s", &[1])],
        ),
    ];
    refused("Imputer", 1, &[numbers()], &base, &cases);
    let wide = vec![ints("imputed_value_int64s", &[1 << 40])];
    expect_error(answer("Imputer", 1, &[tensor1(&[1_i32])], wide), "expected 32 bit integers");
}

/// ONNX Runtime has no kernels for these types, the specification has.
#[test]
fn imputers_of_other_types() {
    let floats = vec![floats("imputed_value_floats", &[0.5]), int("replaced_value_int64", 3)];
    let found = answer("Imputer", 1, &[tensor1(&[0.0_f64, 3.0])], floats).unwrap();
    assert_eq!(found, tensor1(&[0.5_f64, 3.0]));
    let ints = vec![ints("imputed_value_int64s", &[-7]), int("replaced_value_int64", 3)];
    let found = answer("Imputer", 1, &[tensor1(&[0_i32, 3])], ints).unwrap();
    assert_eq!(found, tensor1(&[0_i32, -7]));
}

#[test]
fn one_hot_encoders() {
    let base = [strings("cats_strings", &["a", "b"]), int("zeros", 0)];
    let cases = [
        ("found none", vec![strings("cats_strings", &[])]),
        ("found both", vec![ints("cats_int64s", &[1])]),
        ("expected numbers", vec![strings("cats_strings", &[]), ints("cats_int64s", &[1])]),
        ("expected one of [\"a\", \"c\"], found `b`", vec![strings("cats_strings", &["a", "c"])]),
    ];
    refused("OneHotEncoder", 1, &[texts()], &base, &cases);
    expect_error(answer("OneHotEncoder", 1, &[numbers()], base.to_vec()), "expected strings");
}

/// NaN is no category, not even that of zero; 32 bit integers are in the specification only.
#[test]
fn one_hot_encoders_of_numbers() {
    let zero = vec![ints("cats_int64s", &[0, i64::MAX])];
    let found = answer("OneHotEncoder", 1, &[tensor1(&[f32::NAN, 1e30])], zero.clone()).unwrap();
    assert_eq!(found, tensor2(&[[0.0_f32, 0.0], [0.0, 0.0]]));
    let found = answer("OneHotEncoder", 1, &[tensor0(0_i32)], zero).unwrap();
    assert_eq!(found, tensor1(&[1.0_f32, 0.0]));
}

#[test]
fn label_encoders() {
    let base = [strings("keys_strings", &["a", "b"]), ints("values_int64s", &[1, 2])];
    let raw = TensorProto {
        raw_data: vec![0; 8],
        data_type: DataType::String.into(),
        ..longs(&[1], &[])
    };
    let bools = TensorProto { data_type: DataType::Bool.into(), ..longs(&[2], &[]) };
    let unknown = TensorProto { data_type: 999, ..longs(&[2], &[]) };
    let none = ints("values_int64s", &[]);
    let values = |tensor| vec![none.clone(), attribute_tensor("values_tensor", tensor)];
    let cases = [
        ("expected one list of keys_*, found 0", vec![strings("keys_strings", &[])]),
        ("expected one list of values_*, found 0", vec![none.clone()]),
        ("expected one list of keys_*, found 2", vec![ints("keys_int64s", &[1])]),
        ("as many values as keys, 2, found 3", vec![ints("values_int64s", &[1, 2, 3])]),
        (
            "expected one of [I64], found String",
            vec![strings("keys_strings", &[]), ints("keys_int64s", &[1, 2])],
        ),
        ("found data type 8", values(raw)),
        ("found data type 9", values(bools)),
        ("found data type 999", values(unknown)),
        ("expected rank 1, found 2", values(longs(&[1, 2], &[1, 2]))),
        ("", values(longs(&[1 << 62], &[1, 2]))),
        ("", values(longs(&[-2], &[1, 2]))),
        (
            "expected one element, found 2",
            vec![attribute_tensor("default_tensor", longs(&[2], &[1, 2]))],
        ),
        (
            "expected F32 as the values, found I64",
            vec![
                none.clone(),
                floats("values_floats", &[1.0, 2.0]),
                attribute_tensor("default_tensor", longs(&[1], &[1])),
            ],
        ),
    ];
    refused("LabelEncoder", 4, &[texts()], &base, &cases);
    let classes = [strings("classes_strings", &["b", "a"])];
    let cases = [("classes_strings", vec![ints("classes_strings", &[1])])];
    refused("LabelEncoder", 1, &[texts()], &classes, &cases);
    expect_error(answer("LabelEncoder", 1, &[numbers()], classes.to_vec()), "found F32");
    expect_error(answer("LabelEncoder", 1, &[texts()], vec![]), "classes_strings");
}

#[test]
fn category_mappers() {
    let base = [strings("cats_strings", &["a", "b"]), ints("cats_int64s", &[1, 2])];
    let cases = [
        ("expected 1 elements as in cats_int64s, found 2", vec![ints("cats_int64s", &[1])]),
        ("cats_strings", vec![ints("cats_strings", &[1])]),
    ];
    refused("CategoryMapper", 1, &[texts()], &base, &cases);
    expect_error(answer("CategoryMapper", 1, &[numbers()], base.to_vec()), "found F32");
    expect_error(answer("CategoryMapper", 1, &[texts()], base[..1].to_vec()), "cats_int64s");
}

#[test]
fn normalizers() {
    let cases = [
        ("expected MAX, L1 or L2, found L3", vec![string("norm", "L3")]),
        ("found l1", vec![string("norm", "l1")]),
    ];
    refused("Normalizer", 1, &[numbers()], &[], &cases);
    expect_error(answer("Normalizer", 1, &[texts()], vec![]), "expected numbers");
    let cube = Tensor::zero::<f32>(&[1, 2, 3]).unwrap();
    expect_error(answer("Normalizer", 1, &[cube], vec![]), "expected a vector or a matrix");
    let empty = Tensor::zero::<f32>(&[3, 0]).unwrap();
    assert_eq!(answer("Normalizer", 1, std::slice::from_ref(&empty), vec![]).unwrap(), empty);
}

#[test]
fn binarizers() {
    let found = "element 3: expected a number, found NaN";
    expect_error(answer("Binarizer", 1, &[numbers()], vec![]), found);
    expect_error(answer("Binarizer", 1, &[texts()], vec![]), "expected numbers");
    let found = answer("Binarizer", 1, &[tensor1(&[-1_i32, 0, 1])], vec![]).unwrap();
    assert_eq!(found, tensor1(&[0_i32, 0, 1]));
    let found = answer("Binarizer", 1, &[tensor1(&[-1.0_f64, 0.1])], vec![]).unwrap();
    assert_eq!(found, tensor1(&[0.0_f64, 1.0]));
}

#[test]
fn array_feature_extractors() {
    let indices = |indices: &[i64]| [numbers(), tensor1(indices)];
    answer("ArrayFeatureExtractor", 1, &indices(&[0, 1]), vec![]).unwrap();
    for index in [2, -1, i64::MIN, i64::MAX] {
        let expected = format!("expected indices from 0 and below 2, found {index}");
        expect_error(answer("ArrayFeatureExtractor", 1, &indices(&[0, index]), vec![]), &expected);
    }
    let scalar = [tensor0(1.0_f32), tensor1(&[0_i64])];
    expect_error(answer("ArrayFeatureExtractor", 1, &scalar, vec![]), "found a scalar");
    let floats = [numbers(), tensor1(&[0.0_f32])];
    expect_error(answer("ArrayFeatureExtractor", 1, &floats, vec![]), "expected integers");
    let empty = [Tensor::zero::<f32>(&[2, 0]).unwrap(), tensor1(&[0_i64])];
    expect_error(answer("ArrayFeatureExtractor", 1, &empty, vec![]), "below 0, found 0");
}

#[test]
fn feature_vectorizers() {
    let inputs = [numbers(), numbers()];
    let base = [ints("inputdimensions", &[2, 2])];
    let cases = [
        ("one for each of 2 inputs, found 1", vec![ints("inputdimensions", &[2])]),
        ("one for each of 2 inputs, found 0", vec![ints("inputdimensions", &[])]),
        ("non-negative", vec![ints("inputdimensions", &[2, -1])]),
        ("found more", vec![ints("inputdimensions", &[i64::MAX, i64::MAX])]),
        ("found more", vec![ints("inputdimensions", &[1 << 40, 2])]),
        ("inputdimensions", vec![floats("inputdimensions", &[2.0, 2.0])]),
    ];
    refused("FeatureVectorizer", 1, &inputs, &base, &cases);
    expect_error(answer("FeatureVectorizer", 1, &[], vec![ints("inputdimensions", &[])]), "input");
    let rows = [numbers(), tensor2(&[[1.0_f32, 2.0]])];
    let expected = "expected 2 rows in each input, found 1";
    expect_error(answer("FeatureVectorizer", 1, &rows, base.to_vec()), expected);
    let none = vec![ints("inputdimensions", &[0, 0])];
    let found = answer("FeatureVectorizer", 1, &inputs, none).unwrap();
    assert_eq!(found.shape(), [2, 0]);
    assert_eq!(found.datum_type(), f32::datum_type());
}
