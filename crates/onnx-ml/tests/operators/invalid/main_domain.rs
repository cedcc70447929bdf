//! Operators of ONNX's main domain: contradictory attributes, sizes that exceed any memory, and indices
//! out of range.

use super::{expect_error, expect_errors};
use crate::node::{int, ints, output, string};
use tract_onnx::prelude::*;

fn image() -> Tensor {
    Tensor::zero::<f32>(&[1, 2, 4, 4]).unwrap()
}

#[test]
fn rejects_windows_that_do_not_fit() {
    let base = [ints("kernel_shape", &[2, 2])];
    let cases = [
        ("expected lengths from 1", vec![ints("kernel_shape", &[0, 2])]),
        ("expected lengths from 1", vec![ints("strides", &[1, 0])]),
        ("expected lengths from 1", vec![ints("kernel_shape", &[1 << 40, 1 << 40])]),
        ("padding", vec![ints("pads", &[0, 0, 0, 1 << 40])]),
        ("2 elements, found 3", vec![ints("strides", &[1, 1, 1])]),
        ("expected 5 elements or more with padding, found 4", vec![ints("kernel_shape", &[5, 1])]),
        ("expected 1 spatial dimensions, found 2", vec![ints("kernel_shape", &[2])]),
        (
            "expected windows of at most 67108864 elements in total",
            vec![ints("kernel_shape", &[1 << 20, 1 << 20]), string("auto_pad", "SAME_UPPER")],
        ),
    ];
    expect_errors("LpPool", 1, &[image()], &base, &cases);
}

#[test]
fn rejects_indices_out_of_range() {
    let labels = [tensor2(&[[0.5_f32, 0.5]]), tensor1(&[2_i64])];
    let found = output("NegativeLogLikelihoodLoss", 1, &labels, vec![]);
    expect_error(found, "expected labels from 0 to 1, found 2");
    let lengths = [tensor2(&[[1_f32], [2.0]]), tensor1(&[3_i64])];
    let found = output("ReverseSequence", 1, &lengths, vec![]);
    expect_error(found, "expected at most 2 steps, found 3");
    let axes = [tensor1(&[1_f32]), tensor0(i64::MIN)];
    expect_error(output("CumProd", 1, &axes, vec![]), "expected an axis of a tensor of rank 1");
    let regions = [image(), tensor2(&[[0_f32, 0.0, 1.0, f32::NAN]]), tensor1(&[-1_i64])];
    expect_error(
        output("RoiAlign", 1, &regions, vec![]),
        "expected an index of one of 1 images, found -1",
    );
    let cache = [tensor2(&[[0_f32, 0.0]]), tensor2(&[[1_f32]]), tensor1(&[i64::MAX])];
    let found = output("TensorScatter", 1, &cache, vec![int("axis", 1)]);
    expect_error(found, "expected 1 steps to fit in 2");
    let conditions = [tensor1(&[1_f32]), tensor1(&[true, true])];
    expect_error(output("Compress", 1, &conditions, vec![]), "expected at most 1 conditions");
    let indices =
        [tensor1(&[1_f32]), tensor1(&[4_i64])].map(|tensor| tensor.into_shape(&[1; 3]).unwrap());
    let found = output("MaxUnpool", 1, &indices, vec![ints("kernel_shape", &[2])]);
    expect_error(found, "expected indices below 2, found 4");
}

#[test]
fn rejects_invalid_equations_of_einsum() {
    for (equation, expected) in [
        ("ab,b->a", "axes for the letters of `b`"),
        ("a*,b->a", "letters"),
        ("ab->a", "1 inputs"),
        ("ab,bc->ad", "each letter of the output once"),
        ("ij,jkk->ik", "expected each letter once in jkk"),
    ] {
        let inputs = [tensor2(&[[1_f32]]), tensor2(&[[1_f32]])];
        expect_error(output("Einsum", 1, &inputs, vec![string("equation", equation)]), expected);
    }
}

#[test]
fn deform_conv_names_the_condition_that_its_channels_violate() {
    for (weights, attribute, expected) in [
        ([4, 2, 2, 2], int("group", 1), "expected weights for 3 channels, found weights for 2"),
        ([4, 1, 2, 2], int("group", 3), "a multiple of `group` (3), found 4"),
        ([4, 3, 2, 2], int("offset_group", 2), "a multiple of `offset_group` (2), found 3"),
    ] {
        let shapes = [[1, 3, 4, 4], weights, [1, 16, 3, 3]];
        let inputs = shapes.map(|shape| Tensor::zero::<f32>(&shape).unwrap());
        expect_error(output("DeformConv", 1, &inputs, vec![attribute]), expected);
    }
}

#[test]
fn accepts_regions_that_are_nan_or_infinite() {
    let regions = [image(), tensor2(&[[f32::NAN, 0.0, f32::INFINITY, 1e30]]), tensor1(&[0_i64])];
    let found = output("RoiAlign", 1, &regions, vec![]).unwrap();
    assert_eq!(found.shape(), [1, 2, 1, 1]);
}
