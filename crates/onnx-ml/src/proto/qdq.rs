//! Sums, products, convolutions and Softmax of quantized tensors. Quantizers write three kinds of nodes for such an
//! operator: DequantizeLinear for each input, the operator on floats, and QuantizeLinear for the output.
//!
//! [`fuse`] replaces these nodes by an operator on integers: QLinearConv, QLinearMatMul, or ONNX Runtime's QGemm,
//! MatMulIntegerToFloat, QLinearAdd, QLinearMul and QLinearSoftmax. ONNX Runtime does the same when it loads a model.
//! [`fuse`] must run before tract reads the model, because tract converts constant weights to floats.
//!
//! A Relu or Clip before QuantizeLinear is dropped if the range of the integers implies it.

mod index;

use index::{Index, Output, attribute, integer};
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, TensorProto};

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

impl<'g> Index<'g> {
    /// Returns the replacements of all nodes that can be replaced.
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

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::GraphProto;

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
