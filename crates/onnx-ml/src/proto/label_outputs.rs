//! String labels as outputs. A classifier with string labels outputs one string per row, but there
//! are no more distinct strings than classes.
//!
//! [`lower`] removes the labels from the model and returns them. The output then holds indices, so
//! that no row allocates a string.

use crate::proto::zip_map::forget_type;
use std::collections::HashMap;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

/// A graph output that held strings and now holds `int64` indices into `labels`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelOutput {
    /// Name of the graph output.
    pub output: String,
    pub labels: Vec<String>,
}

/// Makes classifiers and `ArrayFeatureExtractor`s of constant labels output indices, if their
/// string labels go to a graph output and nowhere else. Returns the labels of each such output.
pub fn lower(model: &mut ModelProto) -> Vec<LabelOutput> {
    let Some(graph) = model.graph.as_mut() else { return vec![] };
    // A subgraph may use any value of the graph around it.
    if graph.node.iter().flat_map(|node| &node.attribute).any(|attribute| attribute.g.is_some()) {
        return vec![];
    }
    let outputs: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    outputs.into_iter().filter_map(|output| lower_output(graph, output)).collect()
}

fn lower_output(graph: &mut GraphProto, output: String) -> Option<LabelOutput> {
    let Origin { node, constant, casts } = origin(graph, &output)?;
    let labels = match constant {
        Some(index) => indices_of_constant(&mut graph.initializer[index])?,
        None => indices_of_classes(&mut graph.node[node])?,
    };
    for cast in casts {
        graph.node[cast].op_type = "Identity".into();
        graph.node[cast].attribute.clear();
    }
    forget_type(graph, &output);
    Some(LabelOutput { output, labels })
}

/// The source of an output's labels.
struct Origin {
    node: usize,
    /// Index of the initializer that holds the labels, if the node's attributes do not.
    constant: Option<usize>,
    /// Cast nodes on the way that cast strings to strings.
    casts: Vec<usize>,
}

/// Classifiers whose first output is the label.
const CLASSIFIERS: [&str; 3] = ["LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"];

fn origin(graph: &GraphProto, output: &str) -> Option<Origin> {
    let mut uses: HashMap<&str, usize> = HashMap::new();
    let outputs = graph.output.iter().map(|output| &output.name);
    for name in graph.node.iter().flat_map(|node| &node.input).chain(outputs) {
        *uses.entry(name).or_default() += 1;
    }
    let once = |name: &str| uses.get(name) == Some(&1);
    let mut casts = vec![];
    let mut name = output;
    // Bounded by the number of nodes, because an invalid graph may be cyclic.
    for _ in &graph.node {
        let made = |node: &NodeProto| node.output.iter().any(|output| output == name);
        let index = graph.node.iter().position(made).filter(|_| once(name))?;
        let node = &graph.node[index];
        let first = node.input.first()?;
        match (node.domain.as_str(), node.op_type.as_str()) {
            ("" | "ai.onnx", "Identity" | "Reshape") => {}
            ("" | "ai.onnx", "Cast") if casts_to_string(node) => casts.push(index),
            ("ai.onnx.ml", "ArrayFeatureExtractor") => {
                let mut constants = graph.initializer.iter();
                let constant = constants.position(|constant| constant.name == *first)?;
                let given = graph.input.iter().any(|input| input.name == *first);
                let constant = (once(first) && !given).then_some(constant)?;
                return Some(Origin { node: index, constant: Some(constant), casts });
            }
            ("ai.onnx.ml", operator) if CLASSIFIERS.contains(&operator) => {
                let is_label = node.output.first().is_some_and(|label| label == name);
                return is_label.then_some(Origin { node: index, constant: None, casts });
            }
            _ => return None,
        }
        name = first;
    }
    None
}

fn casts_to_string(node: &NodeProto) -> bool {
    let to = node.attribute.iter().find(|attribute| attribute.name == "to");
    to.is_some_and(|to| to.i == i64::from(i32::from(DataType::String)))
}

fn indices_of_classes(node: &mut NodeProto) -> Option<Vec<String>> {
    let name = match node.op_type.as_str() {
        "TreeEnsembleClassifier" => "classlabels_int64s",
        _ => "classlabels_ints",
    };
    let given = |attribute: &AttributeProto| attribute.name == name && !attribute.ints.is_empty();
    if node.attribute.iter().any(given) {
        return None;
    }
    let mut attributes = node.attribute.iter_mut();
    let attribute = attributes.find(|attribute| attribute.name == "classlabels_strings")?;
    let labels = texts(&attribute.strings).filter(|labels| !labels.is_empty())?;
    *attribute = AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints.into(),
        ints: (0..).take(labels.len()).collect(),
        ..AttributeProto::default()
    };
    node.attribute.retain(|attribute| attribute.name != name || !attribute.ints.is_empty());
    Some(labels)
}

fn indices_of_constant(constant: &mut TensorProto) -> Option<Vec<String>> {
    if constant.data_type != i32::from(DataType::String) || !constant.raw_data.is_empty() {
        return None;
    }
    let labels = texts(&constant.string_data).filter(|labels| !labels.is_empty())?;
    constant.data_type = DataType::Int64.into();
    constant.string_data.clear();
    constant.int64_data = (0..).take(labels.len()).collect();
    Some(labels)
}

fn texts(strings: &[Vec<u8>]) -> Option<Vec<String>> {
    strings.iter().map(|text| String::from_utf8(text.clone()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::ValueInfoProto;

    fn strings(name: &str, texts: &[&str]) -> AttributeProto {
        let strings = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        AttributeProto { name: name.into(), strings, ..AttributeProto::default() }
    }

    fn node(domain: &str, operator: &str, input: &[&str], output: &[&str]) -> NodeProto {
        NodeProto {
            domain: domain.into(),
            op_type: operator.into(),
            input: input.iter().map(|name| (*name).to_owned()).collect(),
            output: output.iter().map(|name| (*name).to_owned()).collect(),
            ..NodeProto::default()
        }
    }

    fn classifier() -> NodeProto {
        let attribute = vec![strings("classlabels_strings", &["no", "yes"])];
        let node = node("ai.onnx.ml", "LinearClassifier", &["x"], &["label", "scores"]);
        NodeProto { attribute, ..node }
    }

    fn cast(to: DataType) -> NodeProto {
        let to = i64::from(i32::from(to));
        let to = AttributeProto { name: "to".into(), i: to, ..AttributeProto::default() };
        NodeProto { attribute: vec![to], ..node("", "Cast", &["label"], &["y"]) }
    }

    fn model(node: Vec<NodeProto>, outputs: &[&str]) -> ModelProto {
        let info = |name: &&str| ValueInfoProto { name: (*name).into(), ..Default::default() };
        let string_data = vec![b"no".to_vec(), b"yes".to_vec()];
        let data_type = DataType::String.into();
        let name = "labels".into();
        let labels =
            TensorProto { name, data_type, dims: vec![2], string_data, ..Default::default() };
        let graph = GraphProto {
            node,
            output: outputs.iter().map(info).collect(),
            initializer: vec![labels],
            ..Default::default()
        };
        ModelProto { graph: Some(graph), ..ModelProto::default() }
    }

    #[test]
    fn graph_output_labels_become_indices() {
        let extractor = node("ai.onnx.ml", "ArrayFeatureExtractor", &["labels", "best"], &["y"]);
        let cases = [
            (vec![classifier()], "label"),
            (vec![classifier(), node("", "Identity", &["label"], &["y"])], "y"),
            (vec![classifier(), node("", "Reshape", &["label", "shape"], &["y"])], "y"),
            (vec![classifier(), cast(DataType::String)], "y"),
            (vec![extractor], "y"),
        ];
        for (nodes, output) in cases {
            let mut model = model(nodes, &[output, "scores"]);
            let lowered = lower(&mut model);
            let labels = vec!["no".to_owned(), "yes".to_owned()];
            assert_eq!(lowered, [LabelOutput { output: output.into(), labels }]);
            assert_eq!(lower(&mut model), []);
        }
    }

    #[test]
    fn labels_that_something_else_reads_stay_strings() {
        let identity = node("", "Identity", &["label"], &["y"]);
        let again = node("", "Identity", &["label"], &["z"]);
        let cases = [
            (vec![classifier(), identity.clone(), again], vec!["y"]),
            (vec![classifier(), identity], vec!["y", "label"]),
            (vec![classifier(), cast(DataType::Float)], vec!["y"]),
            (vec![classifier(), node("", "Identity", &["scores"], &["y"])], vec!["y"]),
            (vec![node("", "Identity", &["y"], &["y"])], vec!["y"]),
        ];
        for (nodes, outputs) in cases {
            let mut model = model(nodes, &outputs);
            let before = model.clone();
            assert_eq!(lower(&mut model), []);
            assert_eq!(model, before);
        }
    }
}
