//! Finds the DequantizeLinear and QuantizeLinear nodes around a node.

use std::collections::{HashMap, HashSet};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

/// Maximum relative difference of the scale of a bias from the product of the scales of image and
/// weights, in which ONNX defines the bias.
const BIAS_TOLERANCE: f32 = 1e-4;

/// The inputs of a DequantizeLinear or QuantizeLinear.
#[derive(Debug, Clone, Copy)]
pub struct Quantization<'g> {
    pub integers: &'g str,
    pub scale: &'g str,
    scales: usize,
    pub zero: &'g str,
    pub kind: DataType,
    axis: i64,
}

/// The nodes and constants of a graph by name.
pub struct Index<'g> {
    pub graph: &'g GraphProto,
    /// Version of ONNX's operators.
    pub opset: i64,
    constants: HashMap<&'g str, &'g TensorProto>,
    /// Index of the node that computes each value.
    producers: HashMap<&'g str, usize>,
    /// Indices of the nodes that read each value. A graph output counts as a node that reads the value, and so does a
    /// subgraph.
    readers: HashMap<&'g str, Vec<usize>>,
}

/// The QuantizeLinear after a node.
pub struct Output<'g> {
    pub found: Quantization<'g>,
    /// Name of the QuantizeLinear's output.
    pub name: &'g str,
    /// Indices of the nodes to remove: the QuantizeLinear, and the Relu or Clip before it.
    pub removed: Vec<usize>,
}

impl<'g> Index<'g> {
    pub fn new(graph: &'g GraphProto, opset: i64) -> Index<'g> {
        let mut index = Index {
            graph,
            opset,
            constants: HashMap::new(),
            producers: HashMap::new(),
            readers: HashMap::new(),
        };
        // An initializer that is also an input is only a default.
        let inputs: HashSet<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
        let initializers = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor));
        index.constants.extend(initializers.filter(|(name, _)| !inputs.contains(name)));
        let mut subgraphs: Vec<&GraphProto> = vec![];
        for (position, node) in graph.node.iter().enumerate() {
            index.producers.extend(node.output.iter().map(|name| (name.as_str(), position)));
            for name in &node.input {
                index.readers.entry(name).or_default().push(position);
            }
            for attribute in &node.attribute {
                subgraphs.extend(attribute.g.iter().chain(&attribute.graphs));
                if let ("Constant", Some(tensor), [output]) =
                    (node.op_type.as_str(), &attribute.t, node.output.as_slice())
                {
                    index.constants.insert(output, tensor);
                }
            }
        }
        let outputs = graph.output.iter().map(|output| output.name.as_str());
        outputs.for_each(|name| index.readers.entry(name).or_default().push(usize::MAX));
        while let Some(subgraph) = subgraphs.pop() {
            for node in &subgraph.node {
                for name in &node.input {
                    index.readers.entry(name).or_default().push(usize::MAX);
                }
                for attribute in &node.attribute {
                    subgraphs.extend(attribute.g.iter().chain(&attribute.graphs));
                }
            }
            for output in &subgraph.output {
                index.readers.entry(&output.name).or_default().push(usize::MAX);
            }
        }
        index
    }

    /// Returns the inputs of the DequantizeLinear that computes input `index` of `node`.
    fn dequantized(&self, node: &'g NodeProto, index: usize) -> Option<Quantization<'g>> {
        let producer = &self.graph.node[*self.producers.get(node.input.get(index)?.as_str())?];
        (producer.op_type == "DequantizeLinear").then(|| self.quantization(producer)).flatten()
    }

    /// Returns the inputs of a DequantizeLinear or QuantizeLinear, if the scale is a constant.
    fn quantization(&self, node: &'g NodeProto) -> Option<Quantization<'g>> {
        let [integers, scale] = [0, 1].map(|index| node.input.get(index));
        let (integers, scale) = (integers?.as_str(), scale?.as_str());
        let zero = node.input.get(2).map_or("", String::as_str);
        let kind = match zero {
            "" if node.op_type == "QuantizeLinear" => DataType::Uint8,
            "" => match self.constants.get(integers) {
                Some(tensor) => DataType::try_from(tensor.data_type).ok()?,
                None => {
                    let producer = &self.graph.node[*self.producers.get(integers)?];
                    let is_quantize = producer.op_type == "QuantizeLinear";
                    is_quantize.then(|| self.quantization(producer)).flatten()?.kind
                }
            },
            zero => DataType::try_from(self.constants.get(zero)?.data_type).ok()?,
        };
        let has_output_type = integer(node, "output_dtype", 0) != 0;
        if integer(node, "block_size", 0) != 0 || has_output_type {
            return None;
        }
        let scales = floats(self.constants.get(scale)?)?.len();
        Some(Quantization { integers, scale, scales, zero, kind, axis: integer(node, "axis", 1) })
    }

    /// Returns the inputs of the DequantizeLinear for input `index`. Returns `None` unless the DequantizeLinear
    /// converts 8-bit integers and has a single scale.
    pub fn activation(&self, node: &'g NodeProto, index: usize) -> Option<Quantization<'g>> {
        self.dequantized(node, index).filter(|found| has_8_bits(found.kind) && found.scales == 1)
    }

    /// Returns the inputs of the DequantizeLinear for input 1, and the shape of the integers. Returns `None` unless the
    /// integers are a constant of 8-bit integers, with a single scale or with scales along `axis`.
    pub fn weights(
        &self,
        node: &'g NodeProto,
        axis: usize,
    ) -> Option<(Quantization<'g>, &'g [i64])> {
        let found = self.dequantized(node, 1).filter(|found| has_8_bits(found.kind))?;
        let shape = self.constants.get(found.integers)?.dims.as_slice();
        let own = if found.axis < 0 { found.axis + shape.len() as i64 } else { found.axis };
        (found.scales == 1 || own == axis as i64).then_some((found, shape))
    }

    /// Returns the integers of a bias with the given scale: a DequantizeLinear of 32-bit integers.
    pub fn bias(&self, node: &'g NodeProto, scale: &[f32]) -> Option<&'g str> {
        let found = self.dequantized(node, 2)?;
        let zero_is_zero = found.zero.is_empty() || is_zero(self.constants.get(found.zero)?);
        let is_integer = found.kind == DataType::Int32;
        let own = floats(self.constants.get(found.scale)?)?;
        let length = self.constants.get(found.integers)?.dims.as_slice();
        let at = |list: &[f32], index: usize| list[index % list.len()];
        let matches = (0..own.len().max(scale.len())).all(|index| {
            let (own, scale) = (at(&own, index), at(scale, index));
            (own - scale).abs() <= BIAS_TOLERANCE * scale.abs()
        });
        let fits = own.len() == 1 || scale.len() == 1 || own.len() == scale.len();
        (zero_is_zero && is_integer && fits && matches && length.len() == 1)
            .then_some(found.integers)
    }

    /// Returns the product of the scales of an image or matrix and of weights.
    pub fn scale(&self, x: &Quantization<'_>, weights: &Quantization<'_>) -> Option<Vec<f32>> {
        let [x, weights] = [x, weights].map(|part| floats(self.constants.get(part.scale)?));
        let x = *x?.first()?;
        Some(weights?.iter().map(|scale| scale * x).collect())
    }

    /// Returns the QuantizeLinear that is the only reader of `node`. There may be a Relu or Clip between `node` and the
    /// QuantizeLinear, if the range of the integers [implies](Index::implies) the Relu or Clip.
    pub fn output(&self, node: &'g NodeProto) -> Option<Output<'g>> {
        let mut removed = vec![];
        let mut activation = None;
        let mut last = node;
        for _ in 0..2 {
            let &[reader] = self.readers.get(last.output.first()?.as_str())?.as_slice() else {
                return None;
            };
            let next = self.graph.node.get(reader)?;
            let is_first_input = next.input.first() == last.output.first();
            removed.push(reader);
            match next.op_type.as_str() {
                "QuantizeLinear" if is_first_input => {
                    let found = self.quantization(next)?;
                    let has_range = has_8_bits(found.kind) && found.scales == 1;
                    let is_implied = match activation {
                        Some(activation) => self.implies(&found, activation)?,
                        None => true,
                    };
                    let name = next.output.first()?;
                    return (has_range && is_implied).then_some(Output { found, name, removed });
                }
                "Relu" | "Clip" if is_first_input && activation.is_none() => {
                    activation = Some(next);
                }
                _ => return None,
            }
            last = next;
        }
        None
    }

    /// Returns whether all integers of `quantization` are in the range of a Relu or Clip.
    fn implies(&self, quantization: &Quantization<'_>, node: &NodeProto) -> Option<bool> {
        let bound = |index: usize, name: &str, default: f32| match node.input.get(index) {
            Some(input) if !input.is_empty() => {
                floats(self.constants.get(input.as_str())?)?.first().copied()
            }
            _ => Some(attribute(node, name).map_or(default, |attribute| attribute.f)),
        };
        let [least, most] = match node.op_type.as_str() {
            "Relu" => [0.0, f32::INFINITY],
            _ => [bound(1, "min", f32::NEG_INFINITY)?, bound(2, "max", f32::INFINITY)?],
        };
        let scale = *floats(self.constants.get(quantization.scale)?)?.first()?;
        let zero = match quantization.zero {
            "" => 0,
            zero => byte(self.constants.get(zero)?)?,
        };
        let [low, high] = match quantization.kind {
            DataType::Int8 => [-128, 127],
            _ => [0, 255],
        };
        let value = |integer: i32| (integer - zero) as f32 * scale;
        Some(least <= value(low) && value(high) <= most)
    }
}

fn has_8_bits(kind: DataType) -> bool {
    matches!(kind, DataType::Uint8 | DataType::Int8)
}

pub fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

pub fn integer(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |attribute| attribute.i)
}

/// Returns the elements of a tensor of floats in single precision, or `None` for other tensors.
fn floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != i32::from(DataType::Float) {
        return None;
    }
    if !tensor.float_data.is_empty() {
        return Some(tensor.float_data.clone());
    }
    let floats = tensor.raw_data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    Some(floats.collect()).filter(|floats: &Vec<f32>| !floats.is_empty())
}

/// Returns the only element of a tensor of 8-bit integers.
fn byte(tensor: &TensorProto) -> Option<i32> {
    let is_signed = tensor.data_type == i32::from(DataType::Int8);
    match (tensor.int32_data.as_slice(), tensor.raw_data.as_slice()) {
        ([value], _) => Some(*value),
        (_, [byte]) if is_signed => Some(i32::from(*byte as i8)),
        (_, [byte]) => Some(i32::from(*byte)),
        _ => None,
    }
}

fn is_zero(tensor: &TensorProto) -> bool {
    tensor.int32_data.iter().all(|value| *value == 0)
        && tensor.raw_data.iter().all(|byte| *byte == 0)
}
