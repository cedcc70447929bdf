//! Graph outputs that are sequences of a fixed number of tensors, such as the probabilities of
//! scikit-learn's `MultiOutputClassifier`. [`lower`] replaces such an output by one output for each
//! element, so that each element can have a different type and shape.

use std::collections::HashSet;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, ValueInfoProto};

/// Replaces each graph output that `SequenceConstruct` computes by its elements. The elements of the
/// output `y` are called `y_0`, `y_1`, ….
pub fn lower(model: &mut ModelProto) {
    let Some(graph) = model.graph.as_mut() else { return };
    let mut names = names(graph);
    let outputs = std::mem::take(&mut graph.output);
    for output in outputs {
        let Some(elements) = elements(graph, &output.name) else {
            graph.output.push(output);
            continue;
        };
        for (index, element) in elements.into_iter().enumerate() {
            let mut name = format!("{}_{index}", output.name);
            while !names.insert(name.clone()) {
                name.push('_');
            }
            graph.node.push(NodeProto {
                op_type: "Identity".into(),
                input: vec![element],
                output: vec![name.clone()],
                ..NodeProto::default()
            });
            graph.output.push(ValueInfoProto { name, ..ValueInfoProto::default() });
        }
    }
    remove_unread(graph);
}

/// Returns the names of all values of a graph.
fn names(graph: &GraphProto) -> HashSet<String> {
    let values = graph.node.iter().flat_map(|node| &node.output);
    let inputs = graph.input.iter().chain(&graph.output).map(|info| &info.name);
    let constants = graph.initializer.iter().map(|constant| &constant.name);
    values.chain(inputs).chain(constants).cloned().collect()
}

/// Returns the elements of the sequence called `name`. Returns `None` if no `SequenceConstruct` computes the sequence.
fn elements(graph: &GraphProto, name: &str) -> Option<Vec<String>> {
    let node = graph.node.iter().find(|node| node.output.iter().any(|output| output == name))?;
    let is_construct = is_own(node) && node.op_type == "SequenceConstruct";
    let is_copy = is_own(node) && node.op_type == "Identity" && node.input != node.output;
    match node.input.first() {
        Some(_) if is_construct => Some(node.input.clone()),
        // ONNX sorts nodes, so it is enough to search the nodes before this node.
        Some(source) if is_copy => {
            let end = graph.node.iter().position(|other| std::ptr::eq(other, node))?;
            let before = &graph.node[..end];
            let source = before.iter().find(|other| other.output.iter().any(|o| o == source))?;
            let is_construct = is_own(source) && source.op_type == "SequenceConstruct";
            is_construct.then(|| source.input.clone())
        }
        _ => None,
    }
}

/// Returns whether the node's operator belongs to ONNX's main domain.
fn is_own(node: &NodeProto) -> bool {
    matches!(node.domain.as_str(), "" | "ai.onnx")
}

/// Removes the nodes that make sequences, if nothing reads the sequences any more.
fn remove_unread(graph: &mut GraphProto) {
    // An Identity may read a SequenceConstruct.
    for operator in ["Identity", "SequenceConstruct"] {
        let mut read: HashSet<String> = graph.output.iter().map(|info| info.name.clone()).collect();
        reads(graph, &mut read);
        graph.node.retain(|node| {
            !is_own(node)
                || node.op_type != operator
                || node.output.iter().any(|output| read.contains(output))
        });
    }
}

/// Adds the names that the nodes of a graph and of its subgraphs read.
fn reads(graph: &GraphProto, names: &mut HashSet<String>) {
    for node in &graph.node {
        names.extend(node.input.iter().cloned());
        for body in node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs)) {
            names.extend(body.output.iter().map(|info| info.name.clone()));
            reads(body, names);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(operator: &str, input: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: operator.into(),
            input: input.iter().map(|name| (*name).to_owned()).collect(),
            output: vec![output.into()],
            ..NodeProto::default()
        }
    }

    /// Returns the names of the outputs, and the nodes as "operator inputs → output".
    fn lowered(nodes: &[NodeProto], outputs: &[&str]) -> (Vec<String>, Vec<String>) {
        let info = |name: &&str| ValueInfoProto { name: (*name).into(), ..Default::default() };
        let output = outputs.iter().map(info).collect();
        let graph = GraphProto { node: nodes.to_vec(), output, ..Default::default() };
        let mut model = ModelProto { graph: Some(graph), ..ModelProto::default() };
        lower(&mut model);
        let graph = model.graph.expect("the model has a graph");
        let text = |node: &NodeProto| {
            format!("{} {} → {}", node.op_type, node.input.join(" "), node.output.join(" "))
        };
        let outputs = graph.output.iter().map(|info| info.name.clone()).collect();
        (outputs, graph.node.iter().map(text).collect())
    }

    #[test]
    fn each_element_is_an_output_instead_of_the_sequence() {
        let nodes = [node("Relu", &["x"], "a"), node("SequenceConstruct", &["a", "x"], "y")];
        let (outputs, nodes) = lowered(&nodes, &["y", "a"]);
        assert_eq!(outputs, ["y_0", "y_1", "a"]);
        assert_eq!(nodes, ["Relu x → a", "Identity a → y_0", "Identity x → y_1"]);
    }

    #[test]
    fn a_copy_of_a_sequence_and_a_name_that_exists() {
        let nodes = [
            node("Relu", &["x"], "z_0"),
            node("SequenceConstruct", &["x"], "y"),
            node("Identity", &["y"], "z"),
        ];
        let (outputs, nodes) = lowered(&nodes, &["z", "z_0"]);
        assert_eq!(outputs, ["z_0_", "z_0"]);
        assert_eq!(nodes, ["Relu x → z_0", "Identity x → z_0_"]);
    }

    #[test]
    fn other_outputs_and_sequences_that_are_read_stay() {
        let nodes = [
            node("SequenceConstruct", &["x"], "y"),
            node("SequenceAt", &["y", "i"], "a"),
            node("SplitToSequence", &["x"], "s"),
        ];
        let (outputs, nodes) = lowered(&nodes, &["y", "a", "s"]);
        assert_eq!(outputs, ["y_0", "a", "s"]);
        assert_eq!(nodes.len(), 4);
    }
}
