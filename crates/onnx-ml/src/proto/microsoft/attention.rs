//! Attention with projections, masks and a cache, in terms of ONNX's
//! [Attention](https://onnx.ai/onnx/operators/onnx__Attention.html).
//!
//! Letters for lengths of axes: N batch, H heads, S queries, T keys, D size of a head.

use super::body::{Body, Value, attribute, float, input, int, integer, ints};
use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;

/// Number that is added to the score of a masked key, if the node omits `mask_filter_value`.
const MASKED: f32 = -10_000.0;

/// Queries, keys and values, `[N, S, H * D]` and `[N, T, H * D]`.
type Projections = [Value; 3];

/// Attention: a projection of the input to queries, keys and values, and attention.
pub fn attention(body: &mut Body<'_>, node: &NodeProto) -> Option<Vec<Value>> {
    let mut projected = body.op("MatMul", [input(node, 0)?, input(node, 1)?]);
    if let Some(bias) = input(node, 2) {
        projected = body.op("Add", [&projected, bias]);
    }
    let inputs = Optional { mask: input(node, 3), past: input(node, 4), bias: input(node, 5) };
    if input(node, 6).is_some() || integer(node, "do_rotary", 0) != 0 {
        return None;
    }
    self_attention(body, node, &projected, &inputs)
}

/// QAttention: [`attention`] with a quantized projection.
pub fn q_attention(body: &mut Body<'_>, node: &NodeProto) -> Option<Vec<Value>> {
    let given = |index| input(node, index).unwrap_or_default();
    let inputs = [
        input(node, 0)?,
        input(node, 1)?,
        input(node, 3)?,
        input(node, 4)?,
        given(6),
        given(7),
        given(2),
    ];
    let projected = body.node("MatMulIntegerToFloat", &inputs, vec![]);
    let inputs = Optional { mask: input(node, 5), past: input(node, 8), bias: None };
    if integer(node, "do_rotary", 0) != 0 {
        return None;
    }
    self_attention(body, node, &projected, &inputs)
}

/// Optional inputs of [`attention`].
struct Optional<'a> {
    mask: Option<&'a str>,
    /// Keys and values of earlier calls, `[2, N, H, T, D]`.
    past: Option<&'a str>,
    /// Bias that is added to the scores, `[N, H, S, T]`.
    bias: Option<&'a str>,
}

/// Adds attention whose queries, keys and values are parts of the last axis of `projected`.
fn self_attention(
    body: &mut Body<'_>,
    node: &NodeProto,
    projected: &str,
    inputs: &Optional<'_>,
) -> Option<Vec<Value>> {
    let parts = match attribute(node, "qkv_hidden_sizes").map(|sizes| sizes.ints.as_slice()) {
        Some(&[queries, keys, values]) => {
            let ends = [0, queries, queries + keys, queries + keys + values];
            [0, 1, 2].map(|part| body.slice(projected, 2, [ends[part], ends[part + 1]]))
        }
        Some(_) => return None,
        None => {
            let parts = body.reshape(projected, &[0, 0, 3, -1]);
            thirds(body, &parts, 2)
        }
    };
    let past = inputs.past.map(|past| {
        [0, 1].map(|part| {
            let part = scalar(body, part);
            body.node("Gather", &[past, &part], vec![int("axis", 0)])
        })
    });
    let past = past.as_ref().map(|[keys, values]| [keys.as_str(), values.as_str()]);
    let length = input(node, 0)?;
    let mask = match inputs.mask {
        Some(mask) => Some(mask_bias(body, node, mask, length, past.is_some())?),
        None => None,
    };
    let [y, keys, values] = attend(body, node, parts, [mask.as_deref(), inputs.bias], past)?;
    let has_present = node.output.get(1).is_some_and(|name| !name.is_empty());
    if !has_present {
        return Some(vec![y]);
    }
    let [keys, values] = [keys, values].map(|part| unsqueeze(body, &part, &[0]));
    let present = body.node("Concat", &[&keys, &values], vec![int("axis", 0)]);
    Some(vec![y, present])
}

/// MultiHeadAttention: attention on projected queries, keys and values.
pub fn multi_head_attention(body: &mut Body<'_>, node: &NodeProto) -> Option<Vec<Value>> {
    let mut parts = [input(node, 0)?, input(node, 1)?, input(node, 2)?].map(str::to_owned);
    // Queries, keys and values in one tensor have five axes, and cached keys four.
    let has_rank_3 = |part: &String| body.rank(part).is_none_or(|rank| rank == 3);
    let has_more = (8..10).any(|index| input(node, index).is_some()) || node.output.len() > 3;
    if !parts.iter().all(has_rank_3) || has_more {
        return None;
    }
    if let Some(bias) = input(node, 3) {
        let bias = body.reshape(bias, &[3, -1]);
        let biases = thirds(body, &bias, 0);
        for (part, bias) in parts.iter_mut().zip(&biases) {
            *part = body.op("Add", [part, bias]);
        }
    }
    let past = match [input(node, 6), input(node, 7)] {
        [Some(keys), Some(values)] => Some([keys, values]),
        _ => None,
    };
    let keys = parts[1].clone();
    let mask = match input(node, 4) {
        Some(mask) => Some(mask_bias(body, node, mask, &keys, past.is_some())?),
        None => None,
    };
    attend(body, node, parts, [mask.as_deref(), input(node, 5)], past).map(Vec::from)
}

/// Adds ONNX's Attention, and returns its outputs: the result and the present keys and values, which
/// are empty if the node omits them.
/// `biases` are added to the scores.
fn attend(
    body: &mut Body<'_>,
    node: &NodeProto,
    [queries, keys, values]: Projections,
    biases: [Option<&str>; 2],
    past: Option<[&str; 2]>,
) -> Option<[Value; 3]> {
    let sum;
    let bias = match biases {
        [Some(one), Some(other)] => {
            sum = body.op("Add", [one, other]);
            &sum
        }
        [one, other] => one.or(other).unwrap_or_default(),
    };
    let heads = attribute(node, "num_heads")?.i;
    let mut attributes = vec![
        int("q_num_heads", heads),
        int("kv_num_heads", heads),
        int("is_causal", integer(node, "unidirectional", 0)),
    ];
    // 0 stands for the default, `1 / sqrt(D)`.
    let scale = attribute(node, "scale").map_or(0.0, |attribute| attribute.f);
    if scale != 0.0 {
        attributes.push(float("scale", scale));
    }
    let [past_keys, past_values] = past.unwrap_or_default();
    let inputs = [&*queries, &*keys, &*values, bias, past_keys, past_values];
    let has_present = node.output.iter().skip(1).any(|name| !name.is_empty());
    let count = if has_present { 3 } else { 1 };
    let mut outputs = body.nodes_with("Attention", &inputs, attributes, count).into_iter();
    Some([(); 3].map(|()| outputs.next().unwrap_or_default()))
}

/// Adds the bias of a mask: 0 for each key that is not masked, and `mask_filter_value` for each masked key. The second
/// axis of `sequence` has an entry for each key of this call.
fn mask_bias(
    body: &mut Body<'_>,
    node: &NodeProto,
    mask: &str,
    sequence: &str,
    has_past: bool,
) -> Option<Value> {
    let counts = match body.rank(mask).unwrap_or(2) {
        // The number of keys of each row.
        1 if !has_past => {
            let shape = body.op("Shape", [sequence]);
            let [first, second] = [0, 1].map(|value| scalar(body, value));
            let length = body.node("Gather", &[&shape, &second], vec![int("axis", 0)]);
            let keys = body.op("Range", [&first, &length, &second]);
            let lengths = body.cast(mask, DataType::Int64);
            let lengths = body.reshape(&lengths, &[-1, 1, 1, 1]);
            body.op("Less", [&keys, &lengths])
        }
        2 => unsqueeze(body, mask, &[1, 2]),
        3 => unsqueeze(body, mask, &[1]),
        _ => return None,
    };
    let counts = body.cast(&counts, DataType::Bool);
    let masked = attribute(node, "mask_filter_value").map_or(MASKED, |attribute| attribute.f);
    let [zero, masked] = [0.0, masked].map(|value| body.float(value));
    Some(body.op("Where", [&counts, &zero, &masked]))
}

/// Returns the three elements of an axis of length 3, without that axis.
fn thirds(body: &mut Body<'_>, value: &str, axis: i64) -> [Value; 3] {
    [0, 1, 2].map(|part| {
        let part = scalar(body, part);
        body.node("Gather", &[value, &part], vec![int("axis", axis)])
    })
}

/// Adds a constant integer without axes.
fn scalar(body: &mut Body<'_>, value: i64) -> Value {
    let value = body.integers(&[value]);
    body.reshape(&value, &[])
}

/// Adds axes of length 1.
fn unsqueeze(body: &mut Body<'_>, value: &str, axes: &[i64]) -> Value {
    // Since version 13, the axes are an input.
    if body.opset >= 13 {
        let axes = body.integers(axes);
        return body.op("Unsqueeze", [value, &axes]);
    }
    body.node("Unsqueeze", &[value], vec![ints("axes", axes)])
}
