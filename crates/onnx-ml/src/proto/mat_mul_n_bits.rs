//! [MatMulNBits](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits):
//! ONNX Runtime's matrix product with weights of 2, 4 or 8 bits.
//!
//! [`lower`] computes the weights `(code - zero point) * scale` once, and replaces the operator by
//! `MatMul` and `Add`. The weights then take 4 bytes per element. The weights, scales, zero points
//! and groups must be constants. `element_types::lower` must run first, so that scales are of type
//! `float`.

use super::maps::attribute;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::mem;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

/// Maximum number of weights of a node: 2^30 floats are 4 GiB. Without a limit, a small model could
/// request any amount of memory.
const MAX_WEIGHTS: usize = 1 << 30;

/// A node that cannot be lowered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Name of the node's output.
    pub output: String,
    pub reason: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MatMulNBits of `{}`: {}", self.output, self.reason)
    }
}

impl std::error::Error for Error {}

/// Replaces the operator in the main graph and in its subgraphs.
///
/// # Errors
///
/// Returns an error if the weights or other parameters of a node are not constants or do not have
/// the expected sizes, or if an attribute has an invalid value.
pub fn lower(model: &mut ModelProto) -> Result<(), Error> {
    model.graph.as_mut().map_or(Ok(()), lower_graph)
}

fn lower_graph(graph: &mut GraphProto) -> Result<(), Error> {
    let mut nodes = Vec::with_capacity(graph.node.len());
    let mut added = vec![];
    let mut replaced = HashSet::new();
    let constants: HashMap<&str, &TensorProto> =
        graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    for mut node in mem::take(&mut graph.node) {
        for attribute in &mut node.attribute {
            attribute.g.iter_mut().chain(&mut attribute.graphs).try_for_each(lower_graph)?;
        }
        if node.op_type != "MatMulNBits" {
            nodes.push(node);
            continue;
        }
        let output = node.output.first().cloned().unwrap_or_default();
        let weights = Parameters { node: &node, constants: &constants }
            .weights()
            .map_err(|reason| Error { output: output.clone(), reason })?;
        nodes.extend(product(&node, &output, &weights.name));
        added.push(weights);
        replaced.extend(node.input.drain(1..));
    }
    graph.node = nodes;
    // A parameter that other nodes read stays in the graph.
    graph.node.iter().flat_map(used_names).for_each(|name| {
        replaced.remove(name);
    });
    graph.initializer.retain(|tensor| !replaced.contains(&tensor.name));
    graph.initializer.extend(added);
    Ok(())
}

/// Returns the names of the values that a node and its subgraphs use.
fn used_names(node: &NodeProto) -> Vec<&String> {
    let graphs = node.attribute.iter().flat_map(|found| found.g.iter().chain(&found.graphs));
    let inner = graphs.flat_map(|graph| {
        let outputs = graph.output.iter().map(|output| &output.name);
        graph.node.iter().flat_map(used_names).chain(outputs)
    });
    node.input.iter().chain(inner).collect()
}

/// Returns the nodes that multiply the first input of `node` by `weights` and add the bias.
fn product(node: &NodeProto, output: &str, weights: &str) -> Vec<NodeProto> {
    let operator = |name: &str, inputs: [&str; 2], output: &str| NodeProto {
        name: output.into(),
        op_type: name.into(),
        input: inputs.map(String::from).to_vec(),
        output: vec![output.into()],
        ..NodeProto::default()
    };
    let left = node.input.first().map_or("", String::as_str);
    match node.input.get(5).filter(|bias| !bias.is_empty()) {
        None => vec![operator("MatMul", [left, weights], output)],
        Some(bias) => {
            let product = format!("{output}.product");
            vec![
                operator("MatMul", [left, weights], &product),
                operator("Add", [&product, bias], output),
            ]
        }
    }
}

/// The inputs and attributes of a node from which its weights are computed.
struct Parameters<'a> {
    node: &'a NodeProto,
    constants: &'a HashMap<&'a str, &'a TensorProto>,
}

impl Parameters<'_> {
    /// Returns the weights as a tensor of shape `[K, N]`.
    fn weights(&self) -> Result<TensorProto, String> {
        let (inner, outer) = (self.size("K")?, self.size("N")?);
        let bits = match attribute(self.node, "bits").map_or(4, |bits| bits.i) {
            bits @ (2 | 4 | 8) => bits as u32,
            other => return Err(format!("expected 2, 4 or 8 bits, found {other}")),
        };
        let block = self.size("block_size")?;
        if attribute(self.node, "weight_prepacked").is_some_and(|prepacked| prepacked.i != 0) {
            return Err("expected weights that are not prepacked".into());
        }
        let blocks = inner.div_ceil(block);
        let padded = blocks.checked_mul(block).and_then(|padded| padded.checked_mul(outer));
        if padded.is_none_or(|padded| padded > MAX_WEIGHTS) {
            return Err(format!("expected at most {MAX_WEIGHTS} weights, found {inner} × {outer}"));
        }
        // Each row of codes is padded to whole blocks.
        let codes = self.input(1)?.ok_or("expected weights as the second input, found none")?;
        let codes = unpack("weights", bytes(codes)?, bits, outer, blocks * block)?;
        let scales = self.input(2)?.ok_or("expected scales as the third input, found none")?;
        let scales = count("scales", floats(scales)?, outer * blocks)?;
        let zeros = match self.input(3)? {
            Some(zeros) if zeros.data_type == i32::from(DataType::Uint8) => {
                let zeros = unpack("zero points", bytes(zeros)?, bits, outer, blocks)?;
                zeros.into_iter().map(f32::from).collect()
            }
            Some(zeros) => count("zero points", floats(zeros)?, outer * blocks)?,
            None => vec![(1_u32 << (bits - 1)) as f32; outer * blocks],
        };
        let groups = self.groups(inner, block)?;
        let mut data = Vec::with_capacity(4 * inner * outer);
        for (index, group) in groups.into_iter().enumerate() {
            for row in 0..outer {
                let parameter = row * blocks + group;
                let code = f32::from(codes[row * blocks * block + index]);
                let weight = (code - zeros[parameter]) * scales[parameter];
                data.extend_from_slice(&weight.to_le_bytes());
            }
        }
        Ok(TensorProto {
            name: format!("{}.weights", self.node.output.first().map_or("", String::as_str)),
            dims: vec![inner as i64, outer as i64],
            data_type: DataType::Float.into(),
            raw_data: data,
            ..TensorProto::default()
        })
    }

    /// Returns the block whose scale and zero point each row of the weights uses.
    fn groups(&self, inner: usize, block: usize) -> Result<Vec<usize>, String> {
        let Some(tensor) = self.input(4)? else {
            return Ok((0..inner).map(|index| index / block).collect());
        };
        let blocks = inner.div_ceil(block);
        let raw = tensor.raw_data.chunks_exact(4);
        let raw = raw.map(|bytes| bytes.iter().rev().fold(0, |n, byte| n << 8 | i32::from(*byte)));
        let groups = raw.chain(tensor.int32_data.iter().copied());
        let groups: Vec<usize> =
            groups.take(inner).filter_map(|group| usize::try_from(group).ok()).collect();
        if tensor.data_type != i32::from(DataType::Int32) || groups.iter().any(|n| *n >= blocks) {
            return Err(format!("expected groups of type int32 below {blocks}"));
        }
        count("groups", groups, inner)
    }

    /// Returns a positive attribute.
    fn size(&self, name: &str) -> Result<usize, String> {
        let found = attribute(self.node, name).map_or(0, |found| found.i);
        let size = usize::try_from(found).ok().filter(|size| *size > 0);
        size.ok_or_else(|| {
            format!("attribute `{name}`: expected a positive integer, found {found}")
        })
    }

    /// Returns an input, or `None` if the node omits it.
    fn input(&self, index: usize) -> Result<Option<&TensorProto>, String> {
        let Some(name) = self.node.input.get(index).filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let constant = self.constants.get(name.as_str());
        constant.copied().map(Some).ok_or_else(|| {
            format!("expected an initializer as input {index}, found the computed value `{name}`")
        })
    }
}

/// Returns the codes in `packed`. Each of the `rows` has `columns` codes of `bits` bits. The first code in a byte has
/// the lowest bits. Each row begins with a new byte.
fn unpack(
    name: &str,
    packed: Vec<u8>,
    bits: u32,
    rows: usize,
    columns: usize,
) -> Result<Vec<u8>, String> {
    let per_byte = 8 / bits as usize;
    let row_bytes = columns.div_ceil(per_byte);
    let packed = count(name, packed, rows * row_bytes)?;
    let mask = u8::MAX >> (8 - bits);
    let code = |row: &[u8], column: usize| {
        row[column / per_byte] >> (column % per_byte * bits as usize) & mask
    };
    let rows = packed.chunks_exact(row_bytes.max(1));
    Ok(rows.flat_map(|row| (0..columns).map(move |column| code(row, column))).collect())
}

/// Returns the elements of a tensor of type `uint8`.
fn bytes(tensor: &TensorProto) -> Result<Vec<u8>, String> {
    if tensor.data_type != i32::from(DataType::Uint8) {
        return Err(format!("expected `{}` to be of type uint8", tensor.name));
    }
    let typed = tensor.int32_data.iter().map(|byte| *byte as u8);
    Ok(tensor.raw_data.iter().copied().chain(typed).collect())
}

/// Returns the elements of a tensor of type `float`.
fn floats(tensor: &TensorProto) -> Result<Vec<f32>, String> {
    if tensor.data_type != i32::from(DataType::Float) {
        return Err(format!("expected `{}` to be of type float", tensor.name));
    }
    let raw = tensor.raw_data.chunks_exact(4);
    let raw = raw.map(|bytes| bytes.iter().rev().fold(0, |n, byte| n << 8 | u32::from(*byte)));
    Ok(raw.map(f32::from_bits).chain(tensor.float_data.iter().copied()).collect())
}

/// Checks the number of elements.
fn count<T>(name: &str, elements: Vec<T>, expected: usize) -> Result<Vec<T>, String> {
    match elements.len() {
        found if found == expected => Ok(elements),
        found => Err(format!("expected {expected} {name}, found {found}")),
    }
}
