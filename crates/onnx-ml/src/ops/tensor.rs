//! Operators on tensors in general: casts, indexing, reductions, products, and changes of shape.

mod bit_cast;
mod bit_shift;
pub(crate) mod cast;
mod center_crop_pad;
mod compress;
mod constant_of_shape;
mod cum_prod;
mod det;
mod einsum;
mod equal;
pub(crate) mod expand;
mod flatten;
pub(crate) mod gather_scatter;
mod gathered;
mod mat_mul;
pub(crate) mod narrow_cast;
mod one_hot;
mod pad;
mod pow;
mod random_like;
mod reduce;
mod reverse_sequence;
mod slice;
mod solve;
mod space_to_depth;
mod squeeze;
mod tensor_scatter;
mod unique;

use tract_onnx::model::OnnxOpRegister;

/// Registers the operators of this group.
pub(super) fn register(operators: &mut OnnxOpRegister) {
    operators.insert("BitCast", bit_cast::bit_cast);
    operators.insert("BitShift", bit_shift::bit_shift);
    operators.insert("Cast", narrow_cast::cast);
    operators.insert("CastLike", cast::cast_like);
    operators.insert("CenterCropPad", center_crop_pad::center_crop_pad);
    operators.insert("Compress", compress::compress);
    operators.insert("ConstantOfShape", constant_of_shape::constant_of_shape);
    operators.insert("CumProd", cum_prod::cum_prod);
    operators.insert("Det", det::det);
    operators.insert("Einsum", einsum::einsum);
    operators.insert("Equal", equal::equal);
    operators.insert("Expand", expand::expanded);
    operators.insert("Flatten", flatten::flatten);
    operators.insert("Gather", gather_scatter::gather);
    operators.insert("GatherElements", gather_scatter::gather_elements);
    operators.insert("GatherND", gather_scatter::gather_nd);
    operators.insert("MatMul", mat_mul::mat_mul);
    operators.insert("OneHot", one_hot::one_hot);
    operators.insert("Pad", pad::pad);
    operators.insert("Pow", pow::pow);
    operators.insert("RandomNormalLike", random_like::random_like);
    operators.insert("RandomUniformLike", random_like::random_like);
    operators.insert("ReduceLogSumExp", reduce::reduce_log_sum_exp);
    operators.insert("ReduceMax", reduce::reduce_extreme);
    operators.insert("ReduceMin", reduce::reduce_extreme);
    operators.insert("ReverseSequence", reverse_sequence::reverse_sequence);
    operators.insert("Scatter", gather_scatter::scatter_elements);
    operators.insert("ScatterElements", gather_scatter::scatter_elements);
    operators.insert("ScatterND", gather_scatter::scatter_nd);
    operators.insert("Slice", slice::slice);
    operators.insert("Solve", solve::solve);
    operators.insert("SpaceToDepth", space_to_depth::space_to_depth);
    operators.insert("Squeeze", squeeze::squeeze);
    operators.insert("TensorScatter", tensor_scatter::tensor_scatter);
    operators.insert("Tile", expand::expanded);
    operators.insert("Unique", unique::unique);
}
