//! Embeddings of words and positions.

use super::body::{Body, Value, attribute, attributes, float, input, int, integer};
use super::quantized::row_sums;
use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;

/// The `epsilon` of normalizations that omit the attribute.
const EPSILON: f32 = 1e-12;

/// The inputs of an embedding. An input that the node omits is empty.
struct Embedding<'a> {
    words: &'a str,
    segments: &'a str,
    word_table: &'a str,
    position_table: &'a str,
    segment_table: &'a str,
    gamma: &'a str,
    beta: &'a str,
    mask: &'a str,
    positions: &'a str,
}

/// EmbedLayerNormalization.
pub fn embed_layer_normalization(body: &mut Body<'_>, node: &NodeProto) -> Option<Vec<Value>> {
    let given = |index| input(node, index).unwrap_or_default();
    let embedding = Embedding {
        words: input(node, 0)?,
        segments: given(1),
        word_table: input(node, 2)?,
        position_table: input(node, 3)?,
        segment_table: given(4),
        gamma: input(node, 5)?,
        beta: input(node, 6)?,
        mask: given(7),
        positions: given(8),
    };
    // The optional output 2 is the sum before the normalization. The optional output 1 is the sum of each row of the
    // mask.
    embed(body, node, &embedding)
}

/// QEmbedLayerNormalization, whose tables are quantized.
pub fn q_embed_layer_normalization(body: &mut Body<'_>, node: &NodeProto) -> Option<Vec<Value>> {
    let given = |index| input(node, index).unwrap_or_default();
    // The tables are inputs 2 to 6, their scales 8 to 12, and their zero points 13 to 17.
    let mut tables = vec![];
    for index in 2..7 {
        let table = match (input(node, index), input(node, index + 6)) {
            (Some(table), Some(scale)) => {
                body.op("DequantizeLinear", [table, scale, given(index + 11)])
            }
            (Some(_), None) => return None,
            (None, _) => String::new(),
        };
        tables.push(table);
    }
    let embedding = Embedding {
        words: input(node, 0)?,
        segments: given(1),
        word_table: &tables[0],
        position_table: &tables[1],
        segment_table: &tables[2],
        gamma: &tables[3],
        beta: &tables[4],
        mask: given(7),
        positions: "",
    };
    embed(body, node, &embedding)
}

/// Adds the nodes that compute the normalized embedding, the sums of the mask's rows, and the
/// embedding before the normalization.
fn embed(body: &mut Body<'_>, node: &NodeProto, embedding: &Embedding<'_>) -> Option<Vec<Value>> {
    let words = body.op("Gather", [embedding.word_table, embedding.words]);
    let positions = if embedding.positions.is_empty() {
        // The first rows of the table, one for each word.
        let shape = body.op("Shape", [embedding.words]);
        let length = body.slice(&shape, 0, [1, 2]);
        let [start, axis] = [0, 0].map(|bound| body.integers(&[bound]));
        body.op("Slice", [embedding.position_table, &start, &length, &axis])
    } else {
        body.op("Gather", [embedding.position_table, embedding.positions])
    };
    let mut sum = body.op("Add", [&words, &positions]);
    if !embedding.segments.is_empty() {
        let segments = body.op("Gather", [embedding.segment_table, embedding.segments]);
        sum = body.op("Add", [&sum, &segments]);
    }
    let epsilon = attribute(node, "epsilon").map_or(EPSILON, |attribute| attribute.f);
    let attributes = vec![int("axis", -1), float("epsilon", epsilon)];
    let inputs = [&*sum, embedding.gamma, embedding.beta];
    let normalized = body.node("LayerNormalization", &inputs, attributes);
    let has_lengths = node.output.get(1).is_some_and(|name| !name.is_empty());
    let lengths = match (has_lengths, embedding.mask) {
        (false, _) => String::new(),
        // Without a mask, ONNX Runtime returns zeros as the sums of the mask's rows.
        (true, "") => {
            let words = body.cast(embedding.words, DataType::Int32);
            let zeros = body.op("Sub", [&words, &words]);
            row_sums(body, &zeros)
        }
        (true, mask) => row_sums(body, mask),
    };
    Some(vec![normalized, lengths, sum])
}

/// RotaryEmbedding. ONNX's operator takes the positions as the last input.
pub fn rotary_embedding(body: &mut Body<'_>, node: &NodeProto) -> Option<Vec<Value>> {
    let [x, positions, cosines, sines] =
        [input(node, 0)?, input(node, 1)?, input(node, 2)?, input(node, 3)?];
    let scale = attribute(node, "scale").map_or(1.0, |attribute| attribute.f);
    let is_packed = integer(node, "is_packed_batching", 0) != 0;
    // A vector with one position stands for the first position of each row.
    if is_packed || scale != 1.0 || body.rank(positions) != Some(2) {
        return None;
    }
    let attributes = attributes(node, &["interleaved", "num_heads", "rotary_embedding_dim"]);
    Some(vec![body.node("RotaryEmbedding", &[x, cosines, sines, positions], attributes)])
}
