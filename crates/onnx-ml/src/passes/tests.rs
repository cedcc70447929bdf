//! Compares the results of models after [`optimize`] with the results of tract.

mod chain;
mod images;

use super::optimize;
use crate::random::Random;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::Topk;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::logic::{self, Iff};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::matmul::optimized::OptMatMul;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, Softmax, SoftmaxKind};
use tract_onnx::tract_hir::internal::*;

impl Random {
    /// Returns a tensor whose elements have at most 17 distinct values, so that ties occur.
    fn tensor(&mut self, datum_type: DatumType, shape: &[usize]) -> Tensor {
        let len = shape.iter().product();
        let numbers: Vec<f32> = (0..len).map(|_| self.below(17) as f32 * 0.5 - 4.0).collect();
        let tensor = tensor1(&numbers).into_shape(shape).expect("the shape has as many elements");
        match datum_type {
            DatumType::Bool => {
                tensor.cast_to::<i64>().and_then(|ints| ints.cast_to::<bool>().map(Cow::into_owned))
            }
            _ => tensor.cast_to_dt(datum_type).map(Cow::into_owned),
        }
        .expect("numbers can be cast")
    }

    /// Returns a shape of the given rank. Some lengths are 0 or 1.
    fn shape(&mut self, rank: usize) -> TVec<usize> {
        (0..rank).map(|_| [0, 1, 1, 2, 3, 5, 7, 16, 33][self.below(9)]).collect()
    }

    /// Returns a shape that broadcasts to `shape`.
    fn broadcast(&mut self, shape: &[usize]) -> TVec<usize> {
        shape.iter().map(|dim| if self.below(3) == 0 { 1 } else { *dim }).collect()
    }
}

/// Compares the results of a model of one operator, see [`compare_model`].
fn compare(op: impl Into<Box<dyn TypedOp>>, inputs: &[Tensor]) {
    let mut model = TypedModel::default();
    let batch: TDim = model.symbols.sym("N").into();
    let sources: Vec<OutletId> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let mut shape: TVec<TDim> = input.shape().iter().map(|dim| dim.to_dim()).collect();
            // A symbolic batch dimension, as in most models.
            if index == 0 && shape.first().is_some_and(|dim| *dim == 7.to_dim()) {
                shape[0] = batch.clone();
            }
            let name = format!("input{index}");
            model.add_source(name, input.datum_type().fact(&*shape)).expect("a source")
        })
        .collect();
    let outputs = model.wire_node("op", op, &sources).expect("the inputs fit");
    model.select_output_outlets(&outputs).expect("the outputs exist");
    compare_model(model, inputs);
}

/// Compares the results of the model optimized by tract with the results of the model after
/// [`optimize`].
fn compare_model(model: TypedModel, inputs: &[Tensor]) {
    compare_within(Approximation::Close, model, inputs);
}

/// Compares like [`compare_model`], with a given tolerance.
fn compare_within(approximation: Approximation, model: TypedModel, inputs: &[Tensor]) {
    let run = |model: TypedModel| -> TractResult<TVec<TValue>> {
        let inputs = inputs.iter().cloned().map(TValue::from).collect();
        model.into_runnable()?.run(inputs)
    };
    let last_node = format!("{:?}", model.nodes.last());
    let expected =
        run(model.clone().into_optimized().expect("tract optimizes it")).expect("tract runs it");
    let found = run(optimize(model).expect("onnx-ml optimizes it")).expect("onnx-ml runs it");
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(found.datum_type(), expected.datum_type(), "{last_node}");
        let close = expected.close_enough(found, approximation);
        assert!(close.is_ok(), "{last_node}: {inputs:?}: expected {expected:?}, found {found:?}");
    }
}

const FLOATS: [DatumType; 2] = [DatumType::F32, DatumType::F64];

#[test]
fn arithmetic_and_comparisons_match_tract() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for round in 0..600 {
        let operators: [Box<dyn BinMiniOp>; 12] = [
            Box::new(math::Add),
            Box::new(math::Sub),
            Box::new(math::Mul),
            Box::new(math::Div),
            Box::new(math::Max),
            Box::new(math::Min),
            Box::new(logic::CompEq),
            Box::new(logic::CompNE),
            Box::new(logic::CompLT),
            Box::new(logic::CompLTE),
            Box::new(logic::CompGT),
            Box::new(logic::CompGTE),
        ];
        let index = random.below(operators.len());
        let operator = operators.into_iter().nth(index).expect("the index is in range");
        let datum_type = match index {
            6.. if round % 3 == 0 => DatumType::I64,
            _ => FLOATS[round % 2],
        };
        let rank = 1 + random.below(4);
        let shape = random.shape(rank);
        let shapes = [random.broadcast(&shape), random.broadcast(&shape)];
        let inputs = shapes.map(|shape| random.tensor(datum_type, &shape));
        compare(TypedBinOp(operator, None), &inputs);
    }
}

#[test]
fn where_matches_tract() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..200 {
        let rank = 1 + random.below(4);
        let shape = random.shape(rank);
        let datum_type = [DatumType::F32, DatumType::I64, DatumType::F64][round % 3];
        let shapes = [(); 3].map(|()| random.broadcast(&shape));
        let types = [DatumType::Bool, datum_type, datum_type];
        let inputs: Vec<Tensor> = shapes
            .iter()
            .zip(types)
            .map(|(shape, datum_type)| random.tensor(datum_type, shape))
            .collect();
        compare(Iff, &inputs);
    }
}

#[test]
fn reductions_match_tract() {
    let mut random = Random(0x1234_5678_9abc_def1);
    for round in 0..400 {
        let rank = 1 + random.below(4);
        let shape: TVec<usize> = random.shape(rank).iter().map(|dim| (*dim).max(1)).collect();
        let first = random.below(rank);
        let count = 1 + random.below(rank - first);
        let reducers = [
            Reducer::Sum,
            Reducer::Prod,
            Reducer::Max,
            Reducer::Min,
            Reducer::ArgMax(false),
            Reducer::ArgMax(true),
            Reducer::ArgMin(false),
            Reducer::ArgMin(true),
        ];
        let reducer = reducers[random.below(reducers.len())];
        let axes = (first
            ..first
                + if matches!(reducer, Reducer::ArgMax(_) | Reducer::ArgMin(_)) {
                    1
                } else {
                    count
                })
            .collect();
        let input = random.tensor(FLOATS[round % 2], &shape);
        compare(Reduce { axes, reducer }, &[input]);
    }
}

#[test]
fn softmax_matches_tract() {
    let mut random = Random(0x0dd_ba11);
    for round in 0..100 {
        let rank = 1 + random.below(3);
        let shape: TVec<usize> = random.shape(rank).iter().map(|dim| (*dim).max(1)).collect();
        let input = random.tensor(FLOATS[round % 2], &shape);
        let axes = tvec!(random.below(rank));
        compare(Softmax { axes, quant_output_dt: None, kind: SoftmaxKind::Softmax }, &[input]);
    }
}

#[test]
fn top_k_matches_tract() {
    let mut random = Random(0xfeed_beef);
    for round in 0..200 {
        let rank = 1 + random.below(3);
        let shape: TVec<usize> = random.shape(rank).iter().map(|dim| (*dim).max(1)).collect();
        let axis = random.below(rank);
        // Distinct numbers, because tract does not define the order of equal numbers.
        let len: usize = shape.iter().product();
        let numbers: Vec<f32> = (0..len).map(|index| (index * 7919 % 10007) as f32).collect();
        let input = tensor1(&numbers).into_shape(&shape).expect("the shape has as many elements");
        let k = random.below(shape[axis] + 1) as i64;
        let op = Topk { axis, largest: round % 2 == 0, fallback_k: k.to_dim() };
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact(&*shape)).expect("a source");
        let k = model.add_const("k", tensor0(k)).expect("a constant");
        let outputs = model.wire_node("op", op, &[x, k]).expect("the inputs fit");
        model.select_output_outlets(&outputs).expect("the outputs exist");
        compare_model(model, &[input]);
    }
}

#[test]
fn products_with_constants_match_tract() {
    let mut random = Random(0x00c0_ffee);
    for round in 0..300 {
        let (inputs, outputs) = (1 + random.below(40), 1 + random.below(80));
        let rows = [0, 1, 2, 5, 6, 7, 13, 97, 200][random.below(9)];
        // Includes a single row with many inputs.
        let (inputs, rows) = if round % 10 == 1 { (300 + inputs, 1) } else { (inputs, rows) };
        let has_two_row_axes = round % 3 == 0;
        let shape: TVec<usize> =
            if has_two_row_axes { tvec!(rows, 3, inputs) } else { tvec!(rows, inputs) };
        let row_letters = if has_two_row_axes { "ab" } else { "a" };
        let transposed = round % 2 == 0;
        let single = random.below(4) == 0;
        let vector = single && random.below(2) == 0;
        let outputs = if single { 1 } else { outputs };
        let (matrix_axes, matrix_shape, n): (_, TVec<usize>, _) = match transposed {
            _ if vector => ("k", tvec!(inputs), ""),
            _ if single => ("k", tvec!(inputs), "n"),
            true => ("nk", tvec!(outputs, inputs), "n"),
            false => ("kn", tvec!(inputs, outputs), "n"),
        };
        let expression = match round % 5 {
            0 => format!("{matrix_axes},{row_letters}k->{row_letters}{n}"),
            _ => format!("{row_letters}k,{matrix_axes}->{row_letters}{n}"),
        };
        let rank = shape.len() - usize::from(vector);
        let mut model = TypedModel::default();
        let batch: TDim = model.symbols.sym("N").into();
        let dims: TVec<TDim> =
            std::iter::once(batch).chain(shape[1..].iter().map(|dim| dim.to_dim())).collect();
        let x = model.add_source("x", f32::fact(&*dims)).expect("a source");
        let matrix = random.tensor(DatumType::F32, &matrix_shape);
        let matrix = model.add_const("matrix", matrix).expect("a constant");
        let axes: AxesMapping = expression.parse().expect("an equation");
        let operands = if round % 5 == 0 { [matrix, x] } else { [x, matrix] };
        let op = EinSum { axes, operating_dt: f32::datum_type(), q_params: None };
        let mut y = model.wire_node("product", op, &operands).expect("the inputs fit");
        if random.below(2) == 0 {
            let width = if random.below(4) == 0 { 1 } else { outputs };
            let mut bias_shape: TVec<usize> = TVec::from_elem(1, rank);
            bias_shape[rank - 1] = width;
            let bias = random.tensor(DatumType::F32, &bias_shape);
            let bias = model.add_const("bias", bias).expect("a constant");
            y = model.wire_node("bias-added", math::add(), &[bias, y[0]]).expect("the inputs fit");
        }
        if random.below(2) == 0 {
            let mut zero = tensor0(0_f32);
            (0..rank).for_each(|_| zero.insert_axis(0).expect("an axis"));
            let zero = model.add_const("zero", zero).expect("a constant");
            y = model.wire_node("relu", math::max(), &[y[0], zero]).expect("the inputs fit");
        }
        model.select_output_outlets(&y).expect("the output exists");
        compare_model(model, &[random.tensor(DatumType::F32, &shape)]);
    }
}

/// Matrix products in the axis orders that tract produces for a batch of one row and for exported
/// models with transposed weights. All products must be replaced by operators of this crate.
#[test]
fn products_with_constants_in_unusual_axis_orders_match_tract() {
    let mut random = Random(0x00de_c0de);
    let cases: [(&str, &[usize], &[usize]); 13] = [
        ("mk,nk->n", &[1, 9], &[5, 9]),
        ("k,nk->mn", &[9], &[5, 9]),
        ("amk,kn->mn", &[1, 7, 9], &[9, 5]),
        ("mbk,bkn->amn", &[7, 2, 3], &[2, 3, 5]),
        ("mak,kn->bamn", &[7, 4, 9], &[9, 5]),
        ("bmak,nak->mbn", &[4, 7, 2, 3], &[5, 2, 3]),
        ("abck,kn->cban", &[2, 3, 4, 9], &[9, 5]),
        ("kn,mak->man", &[9, 5], &[7, 1, 9]),
        ("kml,lkn->mn", &[2, 7, 3], &[3, 2, 5]),
        ("NIHW,OI->OHW", &[1, 3, 4, 5], &[6, 3]),
        ("NIHW,OI->NOHW", &[7, 3, 4, 5], &[6, 3]),
        ("NIHW,I->NOHW", &[7, 3, 4, 5], &[3]),
        ("IHW,OI->OHW", &[3, 4, 5], &[6, 3]),
    ];
    for (equation, first, second) in cases {
        let mut model = TypedModel::default();
        let x =
            random.tensor(DatumType::F32, if equation == "kn,mak->man" { second } else { first });
        let source = model.add_source("x", f32::fact(x.shape())).expect("a source");
        let operands = match equation {
            "kn,mak->man" => {
                let matrix = random.tensor(DatumType::F32, first);
                [model.add_const("matrix", matrix).expect("a constant"), source]
            }
            _ => {
                let matrix = random.tensor(DatumType::F32, second);
                [source, model.add_const("matrix", matrix).expect("a constant")]
            }
        };
        product_of(&mut model, equation, &operands);
        let optimized = optimize(model.clone()).expect("onnx-ml optimizes it");
        assert!(!optimized.nodes.iter().any(|node| node.op.is::<OptMatMul>()), "{equation}");
        compare_model(model, &[x]);
    }
}

#[test]
fn products_of_computed_tensors_match_tract() {
    let mut random = Random(0x0fed_cba9);
    let cases: [(&str, &[usize], &[usize]); 14] = [
        ("mk,kn->mn", &[7, 33], &[33, 19]),
        ("abmk,abnk->abmn", &[7, 2, 5, 16], &[7, 2, 16, 16]),
        ("abmk,abkn->mabn", &[7, 2, 5, 16], &[7, 2, 16, 33]),
        ("mdbk,ncbk->bmn", &[16, 1, 4, 3], &[5, 1, 4, 3]),
        ("abmk,akcbn->ambn", &[7, 4, 6, 6], &[7, 6, 1, 4, 16]),
        ("amk,akn->anm", &[7, 5, 3], &[7, 3, 4]),
        ("mkl,lkn->mn", &[7, 3, 5], &[5, 3, 17]),
        ("ak,akno->ano", &[7, 3], &[7, 3, 2, 9]),
        ("amk,akn->amn", &[1, 5, 3], &[4, 3, 2]),
        ("amk,akn->amn", &[7, 5, 0], &[7, 0, 2]),
        ("amk,akn->amn", &[7, 0, 3], &[7, 3, 2]),
        ("mk,kn->nm", &[13, 40], &[40, 16]),
        ("mk,kon->mno", &[7, 3], &[3, 4, 4]),
        ("mk,kpon->mopn", &[2, 3], &[3, 2, 2, 5]),
    ];
    for (equation, first, second) in cases {
        let mut model = TypedModel::default();
        let inputs = [first, second].map(|shape| random.tensor(DatumType::F32, shape));
        let mut source = |name: &str, input: &Tensor| {
            model.add_source(name, f32::fact(input.shape())).expect("a source")
        };
        let operands = [source("a", &inputs[0]), source("b", &inputs[1])];
        product_of(&mut model, equation, &operands);
        let optimized = optimize(model.clone()).expect("onnx-ml optimizes it");
        assert!(!optimized.nodes.iter().any(|node| node.op.is::<OptMatMul>()), "{equation}");
        compare_model(model, &inputs);
    }
}

/// Makes the model return a product of the operands.
fn product_of(model: &mut TypedModel, equation: &str, operands: &[OutletId]) {
    let axes: AxesMapping = equation.parse().expect("an equation");
    let op = EinSum { axes, operating_dt: f32::datum_type(), q_params: None };
    let y = model.wire_node("product", op, operands).expect("the inputs fit");
    model.select_output_outlets(&y).expect("the output exists");
}

#[test]
fn moved_axes_match_tract() {
    let mut random = Random(0x0bad_cafe);
    for round in 0..300 {
        let rank = 2 + random.below(3);
        let shape = random.shape(rank);
        let (from, to) = (random.below(rank), random.below(rank));
        let input = random.tensor(FLOATS[round % 2], &shape);
        compare(AxisOp::Move(from, to), &[input]);
    }
}
