//! Convolutions, pools, resizing, and products over several axes.

use super::{Random, compare, compare_model, compare_within};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cnn::{
    Conv, Deconv, KernelFormat, MaxPool, PaddingSpec, PoolSpec,
};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::DataFormat;
use tract_onnx::tract_core::ops::nn::resize::{CoordTransformer, Interpolator, Nearest, Resize};
use tract_onnx::tract_hir::internal::*;

/// Returns random windows over one or two axes, and the shape of an input that is long enough for
/// them.
fn window(random: &mut Random, inputs: usize, outputs: usize) -> (PoolSpec, TVec<usize>) {
    let rank = 1 + random.below(2);
    let formats = [DataFormat::NCHW, DataFormat::NHWC, DataFormat::CHW, DataFormat::HWC];
    let data_format = formats[random.below(4)];
    let mut lengths = |from: usize, end: usize| -> TVec<usize> {
        (0..rank).map(|_| from + random.below(end - from)).collect()
    };
    let kernel_shape = lengths(1, 4);
    let (strides, dilations) = (lengths(1, 4), lengths(1, 3));
    let lengths = lengths(5, 23);
    let padding = match random.below(4) {
        0 => PaddingSpec::Valid,
        1 => PaddingSpec::SameUpper,
        2 => PaddingSpec::SameLower,
        _ => {
            let mut pads = || kernel_shape.iter().map(|len| random.below(*len)).collect();
            PaddingSpec::Explicit(pads(), pads())
        }
    };
    let batch = [0, 1, 2, 7][random.below(4)];
    let shape = data_format.from_n_c_hw(batch, inputs, lengths).expect("a shape").shape;
    let pool = PoolSpec {
        data_format,
        kernel_shape,
        padding,
        dilations: Some(dilations),
        strides: Some(strides),
        input_channels: inputs,
        output_channels: outputs,
    };
    (pool, shape)
}

#[test]
fn convolutions_match_tract() {
    let mut random = Random(0x5eed);
    for round in 0..400 {
        let group = [1, 1, 2, 3][random.below(4)];
        let (inputs, outputs) = (1 + random.below(4), [1, 2, 3, 5, 8, 11, 20][random.below(7)]);
        let (pool_spec, shape) = window(&mut random, inputs * group, outputs * group);
        let rank = shape.len();
        let mut model = TypedModel::default();
        let batch: TDim = model.symbols.sym("N").into();
        let mut dims: TVec<TDim> = shape.iter().map(|dim| dim.to_dim()).collect();
        let format = pool_spec.data_format;
        if round % 2 == 0 && format.has_n() {
            dims[0] = batch;
        }
        let x = model.add_source("x", f32::fact(&*dims)).expect("a source");
        let mut kernel: TVec<usize> = tvec!(outputs * group, inputs);
        kernel.extend_from_slice(&pool_spec.kernel_shape);
        let kernel = random.tensor(DatumType::F32, &kernel);
        let kernel = model.add_const("kernel", kernel).expect("a constant");
        let bias = random.tensor(DatumType::F32, &[outputs * group]);
        let bias = model.add_const("bias", bias).expect("a constant");
        let channel = if format.c_is_last() { rank - 1 } else { usize::from(format.has_n()) };
        let op = Conv { pool_spec, kernel_fmt: KernelFormat::OIHW, group, q_params: None };
        let mut y = model.wire_node("conv", op, &[x, kernel, bias]).expect("the inputs fit");
        if random.below(3) == 0 {
            let mut by_channel: TVec<usize> = TVec::from_elem(1, rank);
            by_channel[channel] = outputs * group;
            let scale = random.tensor(DatumType::F32, &by_channel);
            let scale = model.add_const("shift", scale).expect("a constant");
            y = model.wire_node("shifted", math::add(), &[y[0], scale]).expect("the inputs fit");
        }
        let mut tensors = vec![random.tensor(DatumType::F32, &shape)];
        if random.below(3) == 0 {
            let fact = model.outlet_fact(y[0]).expect("a fact").without_value();
            let other = model.add_source("other", fact.clone()).expect("a source");
            y = model.wire_node("sum", math::add(), &[other, y[0]]).expect("the inputs fit");
            let mut shape: TVec<usize> = shape.clone();
            for (axis, dim) in fact.shape.iter().enumerate() {
                shape[axis] = dim.to_usize().unwrap_or(shape[axis]);
            }
            tensors.push(random.tensor(DatumType::F32, &shape));
        }
        for (name, limit) in [("low", math::max()), ("high", math::min())] {
            if random.below(2) == 0 {
                let bound = if name == "low" { -2.0_f32 } else { 6.0 };
                let bound = tensor1(&[bound]).into_shape(&vec![1; rank]).expect("one number");
                let bound = model.add_const(name, bound).expect("a constant");
                y = model
                    .wire_node(format!("limit.{name}"), limit, &[y[0], bound])
                    .expect("the inputs fit");
            }
        }
        model.select_output_outlets(&y).expect("the output exists");
        let model = model.into_decluttered().expect("tract declutters it");
        compare_model(model, &tensors);
    }
}

#[test]
fn max_pools_match_tract() {
    let mut random = Random(0x00ab_cdef);
    for _ in 0..300 {
        let channels = 1 + random.below(5);
        let (pool_spec, shape) = window(&mut random, channels, channels);
        let input = random.tensor(DatumType::F32, &shape);
        compare(MaxPool { pool_spec, with_index_outputs: None }, &[input]);
    }
}

#[test]
fn transposed_convolutions_match_tract() {
    let mut random = Random(0x0de_c0de);
    for _ in 0..300 {
        let group = [1, 1, 2, 3][random.below(4)];
        let (inputs, outputs) = (1 + random.below(4), [1, 2, 3, 8, 11][random.below(5)]);
        let (mut pool_spec, shape) = window(&mut random, inputs * group, outputs * group);
        if random.below(4) > 0 {
            pool_spec.dilations = None;
        }
        if !matches!(pool_spec.padding, PaddingSpec::Explicit(..)) {
            pool_spec.padding = PaddingSpec::Valid;
        }
        let adjustments = (0..pool_spec.rank())
            .map(|axis| random.below(pool_spec.stride(axis).max(pool_spec.dilation(axis))))
            .collect();
        let mut kernel: TVec<usize> = tvec!(outputs * group, inputs);
        kernel.extend_from_slice(&pool_spec.kernel_shape);
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact(&*shape)).expect("a source");
        let kernel = random.tensor(DatumType::F32, &kernel);
        let kernel = model.add_const("kernel", kernel).expect("a constant");
        let bias = random.tensor(DatumType::F32, &[outputs * group]);
        let bias = model.add_const("bias", bias).expect("a constant");
        let op = Deconv { pool_spec, kernel_format: KernelFormat::OIHW, adjustments, group };
        let y = model.wire_node("deconv", op, &[x, kernel, bias]).expect("the inputs fit");
        model.select_output_outlets(&y).expect("the output exists");
        compare_model(model, &[random.tensor(DatumType::F32, &shape)]);
    }
}

#[test]
fn resized_images_match_tract() {
    let mut random = Random(0x00ca_fe00);
    for round in 0..300 {
        let transformers = [
            CoordTransformer::HalfPixel,
            CoordTransformer::AlignCorners,
            CoordTransformer::Asymmetric,
            CoordTransformer::PytorchHalfPixel,
        ];
        let interpolators = [Interpolator::Linear, Interpolator::Cubic, Interpolator::Nearest];
        let op = Resize {
            coord_transformer: transformers[random.below(4)].clone(),
            interpolator: interpolators[random.below(3)].clone(),
            nearest: [Nearest::Floor, Nearest::RoundPreferCeil][random.below(2)],
            optional_scales_input: (round % 2 == 0).then_some(1),
            optional_sizes_input: (round % 2 == 1).then_some(1),
        };
        let shape: TVec<usize> = (0..4).map(|_| 1 + random.below(9)).collect();
        let target = match round % 2 {
            0 => tensor1(&[1.0, 1.0, 2.0, [0.5_f32, 1.0, 1.7, 3.0][random.below(4)]]),
            _ => {
                let lengths = [shape[0], shape[1], 1 + random.below(20), 1 + random.below(20)];
                tensor1(&lengths.map(|length| length as i64))
            }
        };
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact(&*shape)).expect("a source");
        let target = model.add_const("target", target).expect("a constant");
        let Ok(y) = model.wire_node("resize", op, &[x, target]) else { continue };
        model.select_output_outlets(&y).expect("the output exists");
        // tract resamples the axes in a different order, which rounds intermediate values
        // differently.
        let input = random.tensor(DatumType::F32, &shape);
        compare_within(Approximation::Approximate, model, &[input]);
    }
}

#[test]
fn products_over_several_axes_match_tract() {
    let mut random = Random(0x0abc_0abc);
    for round in 0..100 {
        let lengths = [(); 5].map(|()| 1 + random.below(6));
        let [a, k, l, m, n] = lengths;
        let (axes, x_shape, matrix_shape): (_, TVec<usize>, TVec<usize>) = match round % 5 {
            0 => ("aklm,mlkn->an", tvec!(a, k, l, m), tvec!(m, l, k, n)),
            1 => ("nlk,akl->an", tvec!(a, k, l), tvec!(n, l, k)),
            2 => ("abkl,kl->ab", tvec!(a, m, k, l), tvec!(k, l)),
            3 => ("aklm,nk->an", tvec!(a, k, 1, 1), tvec!(n, k)),
            _ => ("akl,kn->aln", tvec!(a, k, l), tvec!(k, n)),
        };
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact(&*x_shape)).expect("a source");
        let matrix = random.tensor(DatumType::F32, &matrix_shape);
        let matrix = model.add_const("matrix", matrix).expect("a constant");
        let inputs = if round % 5 == 1 { [matrix, x] } else { [x, matrix] };
        let axes: AxesMapping = axes.parse().expect("an equation");
        let op = EinSum { axes, operating_dt: f32::datum_type(), q_params: None };
        let y = model.wire_node("product", op, &inputs).expect("the inputs fit");
        model.select_output_outlets(&y).expect("the output exists");
        compare_model(model, &[random.tensor(DatumType::F32, &x_shape)]);
    }
}
