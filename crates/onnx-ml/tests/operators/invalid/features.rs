//! Encoders, imputers, scalers and other operators on single features.

use super::{expect_error, expect_errors, texts};
use crate::node::{floats, int, ints, output, string, strings, tensor};
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::Datum;

/// Returns a tensor of int64 whose shape need not agree with its elements.
fn longs(dims: &[i64], elements: &[i64]) -> TensorProto {
    let data_type = DataType::Int64.into();
    let (dims, int64_data) = (dims.to_vec(), elements.to_vec());
    TensorProto { dims, data_type, int64_data, ..Default::default() }
}

fn numbers() -> Tensor {
    tensor2(&[[1.0_f32, 2.0], [3.0, f32::NAN]])
}

#[test]
fn rejects_invalid_imputers() {
    let base = [floats("imputed_value_floats", &[1.0, 2.0])];
    let cases = [
        ("found neither", vec![floats("imputed_value_floats", &[])]),
        ("found both", vec![ints("imputed_value_int64s", &[1])]),
        ("expected 2 fill values, found 3", vec![floats("imputed_value_floats", &[1.0; 3])]),
        (
            "expected integers, found F32",
            vec![floats("imputed_value_floats", &[]), ints("imputed_value_int64s", &[1])],
        ),
    ];
    expect_errors("Imputer", 1, &[numbers()], &base, &cases);
    let wide = vec![ints("imputed_value_int64s", &[1 << 40])];
    expect_error(output("Imputer", 1, &[tensor1(&[1_i32])], wide), "expected 32-bit integers");
}

/// ONNX Runtime has no kernels for these types, although the specification lists the types.
#[test]
fn imputers_accept_all_types_of_the_specification() {
    let floats = vec![floats("imputed_value_floats", &[0.5]), int("replaced_value_int64", 3)];
    let found = output("Imputer", 1, &[tensor1(&[0.0_f64, 3.0])], floats).unwrap();
    assert_eq!(found, tensor1(&[0.5_f64, 3.0]));
    let ints = vec![ints("imputed_value_int64s", &[-7]), int("replaced_value_int64", 3)];
    let found = output("Imputer", 1, &[tensor1(&[0_i32, 3])], ints).unwrap();
    assert_eq!(found, tensor1(&[0_i32, -7]));
}

#[test]
fn rejects_invalid_one_hot_encoders() {
    let base = [strings("cats_strings", &["a", "b"]), int("zeros", 0)];
    let cases = [
        ("found neither", vec![strings("cats_strings", &[])]),
        ("found both", vec![ints("cats_int64s", &[1])]),
        ("expected numbers", vec![strings("cats_strings", &[]), ints("cats_int64s", &[1])]),
        ("expected one of [\"a\", \"c\"], found `b`", vec![strings("cats_strings", &["a", "c"])]),
    ];
    expect_errors("OneHotEncoder", 1, &[texts()], &base, &cases);
    expect_error(output("OneHotEncoder", 1, &[numbers()], base.to_vec()), "expected strings");
}

/// NaN belongs to no category, although a cast turns it into 0. ONNX Runtime lacks 32-bit integers.
#[test]
fn one_hot_encoders_accept_nan_and_32_bit_integers() {
    let zero = vec![ints("cats_int64s", &[0, i64::MAX])];
    let found = output("OneHotEncoder", 1, &[tensor1(&[f32::NAN, 1e30])], zero.clone()).unwrap();
    assert_eq!(found, tensor2(&[[0.0_f32, 0.0], [0.0, 0.0]]));
    let found = output("OneHotEncoder", 1, &[tensor0(0_i32)], zero).unwrap();
    assert_eq!(found, tensor1(&[1.0_f32, 0.0]));
}

#[test]
fn rejects_invalid_label_encoders() {
    let base = [strings("keys_strings", &["a", "b"]), ints("values_int64s", &[1, 2])];
    let raw = TensorProto {
        raw_data: vec![0; 8],
        data_type: DataType::String.into(),
        ..longs(&[1], &[])
    };
    let bools = TensorProto { data_type: DataType::Bool.into(), ..longs(&[2], &[]) };
    let unknown = TensorProto { data_type: 999, ..longs(&[2], &[]) };
    let none = ints("values_int64s", &[]);
    let values = |values| vec![none.clone(), tensor("values_tensor", values)];
    let cases = [
        ("expected one attribute of keys_*, found 0", vec![strings("keys_strings", &[])]),
        ("expected one attribute of values_*, found 0", vec![none.clone()]),
        ("expected one attribute of keys_*, found 2", vec![ints("keys_int64s", &[1])]),
        ("2 values, one for each key, found 3", vec![ints("values_int64s", &[1, 2, 3])]),
        (
            "expected an input of one of the types [I64], found String",
            vec![strings("keys_strings", &[]), ints("keys_int64s", &[1, 2])],
        ),
        ("found data type 8", values(raw)),
        ("found data type 9", values(bools)),
        ("found data type 999", values(unknown)),
        ("expected rank 1, found 2", values(longs(&[1, 2], &[1, 2]))),
        ("", values(longs(&[1 << 62], &[1, 2]))),
        ("", values(longs(&[-2], &[1, 2]))),
        ("expected one element, found 2", vec![tensor("default_tensor", longs(&[2], &[1, 2]))]),
        (
            "expected F32, the type of the values, found I64",
            vec![
                none.clone(),
                floats("values_floats", &[1.0, 2.0]),
                tensor("default_tensor", longs(&[1], &[1])),
            ],
        ),
    ];
    expect_errors("LabelEncoder", 4, &[texts()], &base, &cases);
    let classes = [strings("classes_strings", &["b", "a"])];
    let cases = [("classes_strings", vec![ints("classes_strings", &[1])])];
    expect_errors("LabelEncoder", 1, &[texts()], &classes, &cases);
    expect_error(output("LabelEncoder", 1, &[numbers()], classes.to_vec()), "found F32");
    expect_error(output("LabelEncoder", 1, &[texts()], vec![]), "classes_strings");
}

#[test]
fn rejects_invalid_category_mappers() {
    let base = [strings("cats_strings", &["a", "b"]), ints("cats_int64s", &[1, 2])];
    let cases = [
        (
            "expected 1 elements, one for each of cats_int64s, found 2",
            vec![ints("cats_int64s", &[1])],
        ),
        ("cats_strings", vec![ints("cats_strings", &[1])]),
    ];
    expect_errors("CategoryMapper", 1, &[texts()], &base, &cases);
    expect_error(output("CategoryMapper", 1, &[numbers()], base.to_vec()), "found F32");
    expect_error(output("CategoryMapper", 1, &[texts()], base[..1].to_vec()), "cats_int64s");
}

#[test]
fn rejects_invalid_normalizers() {
    let cases = [
        ("expected MAX, L1 or L2, found L3", vec![string("norm", "L3")]),
        ("found l1", vec![string("norm", "l1")]),
    ];
    expect_errors("Normalizer", 1, &[numbers()], &[], &cases);
    expect_error(output("Normalizer", 1, &[texts()], vec![]), "expected numbers");
    let cube = Tensor::zero::<f32>(&[1, 2, 3]).unwrap();
    expect_error(output("Normalizer", 1, &[cube], vec![]), "expected a vector or a matrix");
    let empty = Tensor::zero::<f32>(&[3, 0]).unwrap();
    assert_eq!(output("Normalizer", 1, std::slice::from_ref(&empty), vec![]).unwrap(), empty);
}

#[test]
fn rejects_invalid_binarizers() {
    let found = "element 3: expected a number, found NaN";
    expect_error(output("Binarizer", 1, &[numbers()], vec![]), found);
    expect_error(output("Binarizer", 1, &[texts()], vec![]), "expected numbers");
    let found = output("Binarizer", 1, &[tensor1(&[-1_i32, 0, 1])], vec![]).unwrap();
    assert_eq!(found, tensor1(&[0_i32, 0, 1]));
    let found = output("Binarizer", 1, &[tensor1(&[-1.0_f64, 0.1])], vec![]).unwrap();
    assert_eq!(found, tensor1(&[0.0_f64, 1.0]));
}

#[test]
fn rejects_invalid_array_feature_extractors() {
    let indices = |indices: &[i64]| [numbers(), tensor1(indices)];
    output("ArrayFeatureExtractor", 1, &indices(&[0, 1]), vec![]).unwrap();
    for index in [2, -1, i64::MIN, i64::MAX] {
        let expected = format!("expected column indices of at least 0 and below 2, found {index}");
        expect_error(output("ArrayFeatureExtractor", 1, &indices(&[0, index]), vec![]), &expected);
    }
    let scalar = [tensor0(1.0_f32), tensor1(&[0_i64])];
    expect_error(output("ArrayFeatureExtractor", 1, &scalar, vec![]), "found a scalar");
    let floats = [numbers(), tensor1(&[0.0_f32])];
    expect_error(output("ArrayFeatureExtractor", 1, &floats, vec![]), "expected integers");
    let empty = [Tensor::zero::<f32>(&[2, 0]).unwrap(), tensor1(&[0_i64])];
    expect_error(output("ArrayFeatureExtractor", 1, &empty, vec![]), "below 0, found 0");
}

#[test]
fn rejects_invalid_feature_vectorizers() {
    let inputs = [numbers(), numbers()];
    let base = [ints("inputdimensions", &[2, 2])];
    let cases = [
        ("one width for each of 2 inputs, found 1", vec![ints("inputdimensions", &[2])]),
        ("one width for each of 2 inputs, found 0", vec![ints("inputdimensions", &[])]),
        ("non-negative", vec![ints("inputdimensions", &[2, -1])]),
        (
            "columns in total, found 18446744073709551614",
            vec![ints("inputdimensions", &[i64::MAX, i64::MAX])],
        ),
        ("found 1099511627778", vec![ints("inputdimensions", &[1 << 40, 2])]),
        ("inputdimensions", vec![floats("inputdimensions", &[2.0, 2.0])]),
    ];
    expect_errors("FeatureVectorizer", 1, &inputs, &base, &cases);
    expect_error(output("FeatureVectorizer", 1, &[], vec![ints("inputdimensions", &[])]), "input");
    let rows = [numbers(), tensor2(&[[1.0_f32, 2.0]])];
    let expected = "expected 2 rows in each input, found 1";
    expect_error(output("FeatureVectorizer", 1, &rows, base.to_vec()), expected);
    let none = vec![ints("inputdimensions", &[0, 0])];
    let found = output("FeatureVectorizer", 1, &inputs, none).unwrap();
    assert_eq!(found.shape(), [2, 0]);
    assert_eq!(found.datum_type(), f32::datum_type());
}
