//! Operators on quantized tensors. An operator on quantized inputs converts them to floats
//! (DequantizeLinear), computes, and quantizes the result (QuantizeLinear).

use super::body::{Body, Value, attributes, input, int, integer, ints};
use tract_onnx::pb::NodeProto;

/// Adds a DequantizeLinear of three inputs: integers, scale and optional zero point.
fn dequantized(
    body: &mut Body<'_>,
    node: &NodeProto,
    [x, scale, zero]: [usize; 3],
) -> Option<Value> {
    let zero = input(node, zero).unwrap_or_default();
    Some(body.op("DequantizeLinear", [input(node, x)?, input(node, scale)?, zero]))
}

/// Adds a QuantizeLinear with inputs for the scale and the zero point. Returns `None` if there is no zero point,
/// because the type of the zero point is the type of the output.
fn quantized(
    body: &mut Body<'_>,
    node: &NodeProto,
    y: &str,
    [scale, zero]: [usize; 2],
) -> Option<Vec<Value>> {
    Some(vec![body.op("QuantizeLinear", [y, input(node, scale)?, input(node, zero)?])])
}

/// An operator on one tensor.
pub fn unary(body: &mut Body<'_>, node: &NodeProto) -> Option<Vec<Value>> {
    let names: &[&str] = match node.op_type.as_str() {
        "QLinearAveragePool" => {
            &["auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"]
        }
        "QLinearLeakyRelu" => &["alpha"],
        _ => &[],
    };
    // ONNX's pools need the channels as the second axis.
    let is_channels_last = integer(node, "channels_last", 0) != 0;
    if is_channels_last {
        return None;
    }
    let x = dequantized(body, node, [0, 1, 2])?;
    let attributes = attributes(node, names);
    let operator = node.op_type.strip_prefix("QLinear")?;
    let y = body.node(operator, &[&x], attributes);
    quantized(body, node, &y, [3, 4])
}

/// QLinearConcat: the scale and zero point of the output, and then three inputs for each tensor.
pub fn concat(body: &mut Body<'_>, node: &NodeProto) -> Option<Vec<Value>> {
    let parts = (2..node.input.len()).step_by(3);
    let parts: Vec<Value> = parts
        .map(|first| dequantized(body, node, [first, first + 1, first + 2]))
        .collect::<Option<_>>()?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let y = body.node("Concat", &parts, attributes(node, &["axis"]));
    quantized(body, node, &y, [0, 1])
}

/// QLinearWhere.
pub fn select(body: &mut Body<'_>, node: &NodeProto) -> Option<Vec<Value>> {
    let x = dequantized(body, node, [1, 2, 3])?;
    let y = dequantized(body, node, [4, 5, 6])?;
    let z = body.op("Where", [input(node, 0)?, &x, &y]);
    quantized(body, node, &z, [7, 8])
}

/// NhwcMaxPool: a MaxPool of images whose channels are the last axis.
pub fn nhwc_max_pool(body: &mut Body<'_>, node: &NodeProto) -> Option<Vec<Value>> {
    let x = body.transpose(input(node, 0)?, &[0, 3, 1, 2]);
    let names = ["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides"];
    let y = body.node("MaxPool", &[&x], attributes(node, &names));
    Some(vec![body.transpose(&y, &[0, 2, 3, 1])])
}

/// QGemm whose first matrix is transposed.
pub fn q_gemm(body: &mut Body<'_>, node: &NodeProto) -> Option<Vec<Value>> {
    if integer(node, "transA", 0) == 0 {
        return None;
    }
    let transposed = body.transpose(input(node, 0)?, &[1, 0]);
    let mut inputs: Vec<&str> = node.input.iter().map(String::as_str).collect();
    inputs[0] = &transposed;
    Some(vec![body.node("QGemm", &inputs, attributes(node, &["alpha", "transB"]))])
}

/// DynamicQuantizeMatMul: quantizes the first matrix to the range of its elements.
pub fn dynamic_quantize_mat_mul(body: &mut Body<'_>, node: &NodeProto) -> Option<Vec<Value>> {
    let [a, b, scale] = [input(node, 0)?, input(node, 1)?, input(node, 2)?];
    let [zero, bias] = [3, 4].map(|index| input(node, index).unwrap_or_default());
    let a = body.nodes_with("DynamicQuantizeLinear", &[a], vec![], 3);
    let inputs = [&*a[0], b, &*a[1], scale, &*a[2], zero, bias];
    Some(vec![body.node("MatMulIntegerToFloat", &inputs, vec![])])
}

/// Returns the sum over the last axis of a matrix, without that axis.
pub fn row_sums(body: &mut Body<'_>, matrix: &str) -> Value {
    // Since version 13, the axes of ReduceSum are an input.
    if body.opset >= 13 {
        let axes = body.integers(&[1]);
        return body.node("ReduceSum", &[matrix, &axes], vec![int("keepdims", 0)]);
    }
    body.node("ReduceSum", &[matrix], vec![int("keepdims", 0), ints("axes", &[1])])
}
