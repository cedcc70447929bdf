//! Operators of ONNX Runtime's domain `com.microsoft` that are combinations of ONNX's operators
//! ([ContribOperators.md](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md)).
//! ONNX Runtime's quantizer and its optimizer of transformers write these operators. [`expand`] replaces each operator by the combination of ONNX's operators.
//!
//! If a node has an attribute or input that the expansion does not support, the node is not replaced.

mod attention;
mod body;
mod embedding;
mod quantized;

use body::Body;
use std::collections::HashMap;
use std::mem;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, type_proto};

/// The operators that [`expand`] replaces.
pub const EXPANDED: [&str; 18] = [
    "Attention",
    "DequantizeLinear",
    "DynamicQuantizeMatMul",
    "EmbedLayerNormalization",
    "Gelu",
    "MultiHeadAttention",
    "NhwcMaxPool",
    "QAttention",
    "QEmbedLayerNormalization",
    "QGemm",
    "QLinearAveragePool",
    "QLinearConcat",
    "QLinearGlobalAveragePool",
    "QLinearLeakyRelu",
    "QLinearSigmoid",
    "QLinearWhere",
    "QuantizeLinear",
    "RotaryEmbedding",
];

/// Replaces the nodes with an operator of [`EXPANDED`] in the model's graph and its subgraphs.
pub fn expand(model: &mut ModelProto) {
    let imports = model.opset_import.iter();
    let own = imports.filter(|import| matches!(import.domain.as_str(), "" | "ai.onnx"));
    let opset = own.map(|import| import.version).max().unwrap_or(1);
    let Some(graph) = model.graph.as_mut() else { return };
    expand_graph(graph, opset, &HashMap::new());
}

/// Expands the nodes of a graph. `outer` contains the ranks of the values of the enclosing graphs.
fn expand_graph(graph: &mut GraphProto, opset: i64, outer: &HashMap<String, usize>) {
    let mut ranks = outer.clone();
    ranks.extend(known_ranks(graph));
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in mem::take(&mut graph.node) {
        if let (Some(rank), Some(output)) = (rank(&node, &ranks), node.output.first()) {
            ranks.entry(output.clone()).or_insert(rank);
        }
        if let ("EmbedLayerNormalization" | "QEmbedLayerNormalization", Some(lengths)) =
            (node.op_type.as_str(), node.output.get(1))
        {
            ranks.insert(lengths.clone(), 1);
        }
        for attribute in &mut node.attribute {
            let subgraphs = attribute.g.iter_mut().chain(&mut attribute.graphs);
            subgraphs.for_each(|graph| expand_graph(graph, opset, &ranks));
        }
        let expanded = (node.domain == "com.microsoft").then(|| body(&node, opset, &ranks));
        match expanded.flatten() {
            Some(body) => nodes.extend(body.into_nodes(&node)),
            None => nodes.push(node),
        }
    }
    graph.node = nodes;
}

/// Returns the ranks of the values whose shapes the graph declares.
fn known_ranks(graph: &GraphProto) -> impl Iterator<Item = (String, usize)> + use<'_> {
    let infos = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
    let declared = infos.filter_map(|info| {
        let type_proto::Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
        Some((info.name.clone(), tensor.shape.as_ref()?.dim.len()))
    });
    let weights = graph.initializer.iter().map(|tensor| (tensor.name.clone(), tensor.dims.len()));
    declared.chain(weights)
}

/// Returns the rank of the first output of a node whose operator exporters use to prepare masks. Returns `None` for all
/// other operators.
fn rank(node: &NodeProto, ranks: &HashMap<String, usize>) -> Option<usize> {
    let rank = *ranks.get(node.input.first()?)?;
    match node.op_type.as_str() {
        "Cast" | "Identity" => Some(rank),
        "ReduceSum" if body::integer(node, "keepdims", 1) == 0 => rank.checked_sub(1),
        _ => None,
    }
}

/// Returns the operators that replace `node`, or `None` if the node is not supported.
fn body<'a>(node: &NodeProto, opset: i64, ranks: &'a HashMap<String, usize>) -> Option<Body<'a>> {
    let mut body = Body::new(node, opset, ranks);
    let outputs = match node.op_type.as_str() {
        "Attention" => attention::attention(&mut body, node),
        "DequantizeLinear" | "Gelu" | "QuantizeLinear" => Some(vec![body.same(node)]),
        "DynamicQuantizeMatMul" => quantized::dynamic_quantize_mat_mul(&mut body, node),
        "EmbedLayerNormalization" => embedding::embed_layer_normalization(&mut body, node),
        "MultiHeadAttention" => attention::multi_head_attention(&mut body, node),
        "NhwcMaxPool" => quantized::nhwc_max_pool(&mut body, node),
        "QAttention" => attention::q_attention(&mut body, node),
        "QEmbedLayerNormalization" => embedding::q_embed_layer_normalization(&mut body, node),
        "QGemm" => quantized::q_gemm(&mut body, node),
        "QLinearConcat" => quantized::concat(&mut body, node),
        "QLinearWhere" => quantized::select(&mut body, node),
        "QLinearAveragePool"
        | "QLinearGlobalAveragePool"
        | "QLinearLeakyRelu"
        | "QLinearSigmoid" => quantized::unary(&mut body, node),
        "RotaryEmbedding" => embedding::rotary_embedding(&mut body, node),
        _ => None,
    };
    body.outputs = outputs?;
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_operator_is_expanded_and_sorted() {
        assert!(EXPANDED.is_sorted());
        let source = include_str!("microsoft.rs");
        let (_, arms) = source.split_once("match node.op_type").expect("the match is there");
        for operator in EXPANDED {
            assert!(arms.contains(&format!("\"{operator}\"")), "{operator}");
        }
    }

    #[test]
    fn unsupported_nodes_stay() {
        let node = NodeProto {
            domain: "com.microsoft".into(),
            op_type: "QLinearSigmoid".into(),
            input: vec!["a".into()],
            output: vec!["y".into()],
            ..NodeProto::default()
        };
        let graph = GraphProto { node: vec![node], ..GraphProto::default() };
        let mut model = ModelProto { graph: Some(graph), ..ModelProto::default() };
        let before = model.clone();
        expand(&mut model);
        assert_eq!(model, before);
    }
}
