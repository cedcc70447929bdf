//! Sums, products, convolutions and Softmax of quantized tensors. Quantizers write three kinds of nodes for such an
//! operator: DequantizeLinear for each input, the operator on floats, and QuantizeLinear for the output.
//!
//! [`fuse`] replaces these nodes by an operator on integers: QLinearConv, QLinearMatMul, or ONNX Runtime's QGemm,
//! MatMulIntegerToFloat, QLinearAdd, QLinearMul and QLinearSoftmax. ONNX Runtime does the same when it loads a model.
//! [`fuse`] must run before tract reads the model, because tract converts constant weights to floats.
//!
//! A Relu or Clip before QuantizeLinear is dropped if the range of the integers implies it.

use std::collections::{HashMap, HashSet};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

/// Maximum relative difference of the scale of a bias from the product of the scales of image and
/// weights, in which ONNX defines the bias.
const BIAS_TOLERANCE: f32 = 1e-4;

/// Fuses the nodes of the model's graph.
pub fn fuse(model: &mut ModelProto) {
    let imports = model.opset_import.iter();
    let own = imports.filter(|import| matches!(import.domain.as_str(), "" | "ai.onnx"));
    let opset = own.map(|import| import.version).max().unwrap_or(1);
    let Some(graph) = model.graph.as_mut() else { return };
    let fused = Index::new(graph, opset).fused();
    let (mut replaced, mut removed) = (HashMap::new(), HashSet::new());
    for fusion in fused {
        removed.extend(fusion.removed);
        graph.initializer.extend(fusion.zero);
        replaced.insert(fusion.node, fusion.by);
    }
    let mut position = 0..graph.node.len();
    graph.node.retain(|_| position.next().is_none_or(|position| !removed.contains(&position)));
    let kept = (0..).filter(|position| !removed.contains(position));
    for (position, node) in kept.zip(&mut graph.node) {
        if let Some(by) = replaced.remove(&position) {
            *node = by;
        }
    }
}

/// A node to replace, and its replacement.
struct Fusion {
    /// Index of the node.
    node: usize,
    by: NodeProto,
    /// Indices of the nodes after the replaced node that are not needed any more.
    removed: Vec<usize>,
    /// A new constant, if QuantizeLinear has no zero point.
    zero: Option<TensorProto>,
}

/// The inputs of a DequantizeLinear or QuantizeLinear.
#[derive(Debug, Clone, Copy)]
struct Quantization<'g> {
    integers: &'g str,
    scale: &'g str,
    scales: usize,
    zero: &'g str,
    kind: DataType,
    axis: i64,
}

/// The nodes and constants of a graph by name.
struct Index<'g> {
    graph: &'g GraphProto,
    /// Version of ONNX's operators.
    opset: i64,
    constants: HashMap<&'g str, &'g TensorProto>,
    /// Index of the node that computes each value.
    producers: HashMap<&'g str, usize>,
    /// Indices of the nodes that read each value. A graph output counts as a node that reads the value, and so does a
    /// subgraph.
    readers: HashMap<&'g str, Vec<usize>>,
}

impl<'g> Index<'g> {
    fn new(graph: &'g GraphProto, opset: i64) -> Index<'g> {
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

    fn fused(&self) -> Vec<Fusion> {
        let nodes = self.graph.node.iter().enumerate();
        let own = nodes.filter(|(_, node)| matches!(node.domain.as_str(), "" | "ai.onnx"));
        own.filter_map(|(position, node)| match node.op_type.as_str() {
            "Add" => self.binary(position, node, "QLinearAdd"),
            "Conv" => self.conv(position, node),
            "Gemm" => self.gemm(position, node),
            "MatMul" => self.mat_mul(position, node),
            "Mul" => self.binary(position, node, "QLinearMul"),
            "Softmax" => self.softmax(position, node),
            _ => None,
        })
        .collect()
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
    fn activation(&self, node: &'g NodeProto, index: usize) -> Option<Quantization<'g>> {
        self.dequantized(node, index).filter(|found| has_8_bits(found.kind) && found.scales == 1)
    }

    /// Returns the inputs of the DequantizeLinear for input 1, and the shape of the integers. Returns `None` unless the
    /// integers are a constant of 8-bit integers, with a single scale or with scales along `axis`.
    fn weights(&self, node: &'g NodeProto, axis: usize) -> Option<(Quantization<'g>, &'g [i64])> {
        let found = self.dequantized(node, 1).filter(|found| has_8_bits(found.kind))?;
        let shape = self.constants.get(found.integers)?.dims.as_slice();
        let own = if found.axis < 0 { found.axis + shape.len() as i64 } else { found.axis };
        (found.scales == 1 || own == axis as i64).then_some((found, shape))
    }

    /// Returns the integers of a bias with the given scale: a DequantizeLinear of 32-bit integers.
    fn bias(&self, node: &'g NodeProto, scale: &[f32]) -> Option<&'g str> {
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
    fn scale(&self, x: &Quantization<'_>, weights: &Quantization<'_>) -> Option<Vec<f32>> {
        let [x, weights] = [x, weights].map(|part| floats(self.constants.get(part.scale)?));
        let x = *x?.first()?;
        Some(weights?.iter().map(|scale| scale * x).collect())
    }

    /// Returns the QuantizeLinear that is the only reader of `node`. There may be a Relu or Clip between `node` and the
    /// QuantizeLinear, if the range of the integers [implies](Index::implies) the Relu or Clip.
    fn output(&self, node: &'g NodeProto) -> Option<Output<'g>> {
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

    /// Fuses an operator on two tensors that have the same type of integers as the result.
    fn binary(&self, position: usize, node: &'g NodeProto, operator: &str) -> Option<Fusion> {
        let (a, b) = (self.activation(node, 0)?, self.activation(node, 1)?);
        let output = self.output(node)?;
        if a.kind != output.found.kind || b.kind != output.found.kind {
            return None;
        }
        let [y_scale, y_zero] = output.operands();
        let inputs = [a.integers, a.scale, a.zero, b.integers, b.scale, b.zero, y_scale, y_zero];
        Some(output.fusion(position, node, operator, &inputs))
    }

    fn softmax(&self, position: usize, node: &'g NodeProto) -> Option<Fusion> {
        let x = self.activation(node, 0)?;
        let output = self.output(node)?;
        let [y_scale, y_zero] = output.operands();
        // ONNX Runtime's operator also requires that the result has the same type as the operands.
        if x.kind != output.found.kind || y_zero.is_empty() {
            return None;
        }
        let inputs = [x.integers, x.scale, x.zero, y_scale, y_zero];
        let mut fusion = output.fusion(position, node, "QLinearSoftmax", &inputs);
        let integer = |name: &str, i| AttributeProto {
            name: name.into(),
            r#type: AttributeType::Int.into(),
            i,
            ..AttributeProto::default()
        };
        fusion.by.attribute.push(integer("opset", self.opset));
        if attribute(node, "axis").is_none() {
            // The default of QLinearSoftmax is always -1.
            fusion.by.attribute.push(integer("axis", if self.opset < 13 { 1 } else { -1 }));
        }
        Some(fusion)
    }

    fn conv(&self, position: usize, node: &'g NodeProto) -> Option<Fusion> {
        let x = self.activation(node, 0)?;
        let (weights, shape) = self.weights(node, 0)?;
        let output = self.output(node)?;
        let bias = match node.input.get(2).map(String::as_str) {
            None | Some("") => "",
            Some(_) => self.bias(node, &self.scale(&x, &weights)?)?,
        };
        if !matches!(shape.len(), 3 | 4) {
            return None;
        }
        let [y_scale, y_zero] = output.operands();
        let inputs = [
            x.integers,
            x.scale,
            x.zero,
            weights.integers,
            weights.scale,
            weights.zero,
            y_scale,
            y_zero,
            bias,
        ];
        Some(output.fusion(position, node, "QLinearConv", &inputs))
    }

    fn mat_mul(&self, position: usize, node: &'g NodeProto) -> Option<Fusion> {
        let a = self.activation(node, 0)?;
        let b = match self.weights(node, 1) {
            Some((weights, shape)) if shape.len() == 2 => weights,
            _ => self.activation(node, 1)?,
        };
        let Some(output) = self.output(node) else {
            let inputs = [a.integers, b.integers, a.scale, b.scale, a.zero, b.zero];
            let by = replacement(node, "MatMulIntegerToFloat", &inputs, node.output.first()?);
            return Some(Fusion { node: position, by, removed: vec![], zero: None });
        };
        let [y_scale, y_zero] = output.operands();
        let inputs = [a.integers, a.scale, a.zero, b.integers, b.scale, b.zero, y_scale, y_zero];
        Some(output.fusion(position, node, "QLinearMatMul", &inputs))
    }

    fn gemm(&self, position: usize, node: &'g NodeProto) -> Option<Fusion> {
        let factor = |name| attribute(node, name).map_or(1.0, |attribute| attribute.f);
        if integer(node, "transA", 0) != 0 || factor("alpha") != 1.0 || factor("beta") != 1.0 {
            return None;
        }
        let a = self.activation(node, 0)?;
        let axis = usize::from(integer(node, "transB", 0) == 0);
        let (b, _) = self.weights(node, axis).filter(|(_, shape)| shape.len() == 2)?;
        let bias = match node.input.get(2).map(String::as_str) {
            None | Some("") => "",
            Some(_) => self.bias(node, &self.scale(&a, &b)?)?,
        };
        let parts = [a.integers, a.scale, a.zero, b.integers, b.scale, b.zero, bias];
        let Some(output) = self.output(node) else {
            let by = replacement(node, "QGemm", &parts, node.output.first()?);
            return Some(Fusion { node: position, by, removed: vec![], zero: None });
        };
        let [y_scale, y_zero] = output.operands();
        let inputs: Vec<&str> = parts.into_iter().chain([y_scale, y_zero]).collect();
        Some(output.fusion(position, node, "QGemm", &inputs))
    }
}

/// The QuantizeLinear after a node.
struct Output<'g> {
    found: Quantization<'g>,
    /// Name of the QuantizeLinear's output.
    name: &'g str,
    /// Indices of the nodes to remove: the QuantizeLinear, and the Relu or Clip before it.
    removed: Vec<usize>,
}

impl<'g> Output<'g> {
    /// Returns the names of the scale and the zero point.
    fn operands(&self) -> [&'g str; 2] {
        [self.found.scale, self.found.zero]
    }

    /// Replaces `node` and the nodes after it by an operator with the given inputs.
    fn fusion(self, position: usize, node: &NodeProto, operator: &str, inputs: &[&str]) -> Fusion {
        let mut by = replacement(node, operator, inputs, self.name);
        let mut zero = None;
        if self.found.zero.is_empty() {
            let name = format!("{}/zero", self.name);
            let index = if operator == "QGemm" { 8 } else { 7 };
            by.input.resize(by.input.len().max(index + 1), String::new());
            by.input[index].clone_from(&name);
            let data_type = DataType::Uint8.into();
            zero = Some(TensorProto { name, data_type, raw_data: vec![0], ..Default::default() });
        }
        Fusion { node: position, by, removed: self.removed, zero }
    }
}

/// Creates a node that replaces `node`. The new node has the attributes of `node`.
fn replacement(node: &NodeProto, operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    let is_own = matches!(operator, "QLinearConv" | "QLinearMatMul");
    let domain = if is_own { "" } else { "com.microsoft" };
    NodeProto {
        name: node.name.clone(),
        op_type: operator.into(),
        domain: domain.into(),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: node.attribute.clone(),
        ..NodeProto::default()
    }
}

fn has_8_bits(kind: DataType) -> bool {
    matches!(kind, DataType::Uint8 | DataType::Int8)
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

fn integer(node: &NodeProto, name: &str, default: i64) -> i64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn node(operator: &str, input: &[&str], output: &str) -> NodeProto {
        replacement(&NodeProto::default(), operator, input, output)
    }

    fn tensor(name: &str, kind: DataType, dims: &[i64], raw_data: Vec<u8>) -> TensorProto {
        let (data_type, dims) = (kind.into(), dims.to_vec());
        TensorProto { name: name.into(), data_type, dims, raw_data, ..Default::default() }
    }

    /// Returns a graph of `x → DQ → MatMul(DQ(w)) → between → Q → y`, and further nodes.
    fn model(zero: u8, between: &[&str], more: Vec<NodeProto>) -> ModelProto {
        model_of("MatMul", zero, between, more)
    }

    /// Returns the graph of [`model`] with another operator instead of MatMul.
    fn model_of(operator: &str, zero: u8, between: &[&str], more: Vec<NodeProto>) -> ModelProto {
        let mut nodes = vec![
            node("DequantizeLinear", &["x", "s", "z"], "a"),
            node("DequantizeLinear", &["w", "s", "z"], "b"),
            node(operator, &["a", "b"], "p0"),
        ];
        for (index, operator) in between.iter().enumerate() {
            let [from, to] = [index, index + 1].map(|index| format!("p{index}"));
            nodes.push(node(operator, &[&from], &to));
        }
        let last = format!("p{}", between.len());
        nodes.push(node("QuantizeLinear", &[&last, "s", "z"], "y"));
        nodes.extend(more);
        for node in &mut nodes {
            node.domain.clear();
        }
        let output = tract_onnx::pb::ValueInfoProto { name: "y".into(), ..Default::default() };
        let initializer = vec![
            tensor("s", DataType::Float, &[], 0.5_f32.to_le_bytes().to_vec()),
            tensor("z", DataType::Uint8, &[], vec![zero]),
            tensor("w", DataType::Uint8, &[2, 2], vec![1, 2, 3, 4]),
        ];
        let graph =
            GraphProto { node: nodes, initializer, output: vec![output], ..Default::default() };
        ModelProto { graph: Some(graph), ..ModelProto::default() }
    }

    fn operators(mut model: ModelProto) -> Vec<String> {
        fuse(&mut model);
        let nodes = model.graph.expect("the model has a graph").node;
        nodes.into_iter().skip(2).map(|node| node.op_type).collect()
    }

    #[test]
    fn fuses_products_with_the_quantization_of_their_output() {
        assert_eq!(operators(model(7, &[], vec![])), ["QLinearMatMul"]);
        assert_eq!(operators(model(0, &["Relu"], vec![])), ["QLinearMatMul"]);
    }

    #[test]
    fn fuses_sums_and_products_of_elements() {
        assert_eq!(operators(model_of("Add", 7, &[], vec![])), ["QLinearAdd"]);
        assert_eq!(operators(model_of("Mul", 0, &["Relu"], vec![])), ["QLinearMul"]);
        assert_eq!(
            operators(model_of("Add", 7, &["Relu"], vec![])),
            ["Add", "Relu", "QuantizeLinear"]
        );
        let mut signed = model_of("Add", 7, &[], vec![]);
        let graph = signed.graph.as_mut().expect("the model has a graph");
        graph.initializer.push(tensor("t", DataType::Int8, &[], vec![0]));
        graph.node[0].input[2] = "t".into();
        assert_eq!(operators(signed), ["Add", "QuantizeLinear"]);
    }

    #[test]
    fn fuses_softmax_with_a_result_of_the_same_type() {
        let softmax = |kind| {
            let nodes = vec![
                node("DequantizeLinear", &["x", "s", "z"], "a"),
                node("Softmax", &["a"], "b"),
                node("QuantizeLinear", &["b", "s", kind], "y"),
            ];
            let mut model = model(7, &[], vec![]);
            let graph = model.graph.as_mut().expect("the model has a graph");
            graph.node = nodes;
            graph.node.iter_mut().for_each(|node| node.domain.clear());
            graph.initializer.push(tensor("t", DataType::Int8, &[], vec![0]));
            fuse(&mut model);
            model.graph.expect("the model has a graph").node
        };
        let [_, fused] = &softmax("z")[..] else { panic!("expected two nodes") };
        assert_eq!(
            (fused.op_type.as_str(), fused.domain.as_str()),
            ("QLinearSoftmax", "com.microsoft")
        );
        assert_eq!(fused.input, ["x", "s", "z", "s", "z"]);
        assert_eq!(softmax("t").len(), 3);
    }

    #[test]
    fn keeps_a_relu_that_the_integers_do_not_imply() {
        let expected = ["MatMulIntegerToFloat", "Relu", "QuantizeLinear"];
        assert_eq!(operators(model(7, &["Relu"], vec![])), expected);
    }

    #[test]
    fn keeps_a_value_with_other_readers() {
        let more = vec![node("Relu", &["p0"], "r")];
        let expected = ["MatMulIntegerToFloat", "QuantizeLinear", "Relu"];
        assert_eq!(operators(model(7, &[], more)), expected);
    }
}
