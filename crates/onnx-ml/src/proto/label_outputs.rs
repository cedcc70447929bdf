//! Outputs that are string labels. A classifier with string labels outputs one string per row,
//! although there is only one distinct string per class.
//!
//! [`lower`] removes the labels from the model and returns the labels. The output of the changed model is indices of
//! the labels, so that no string is allocated per row.

use crate::proto::zip_map::forget_type;
use std::collections::HashMap;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

/// A graph output that was string labels before [`lower`], and is `int64` indices into `labels` afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelOutput {
    /// Name of the graph output.
    pub output: String,
    pub labels: Vec<String>,
}

/// Replaces string labels by indices in classifiers, and in `ArrayFeatureExtractor`s that select from constant labels.
/// Labels are replaced only if a single graph output reads them, directly or through `Identity`, `Reshape` or `Cast`,
/// and nothing else reads them. Returns the labels of each of these outputs.
pub fn lower(model: &mut ModelProto) -> Vec<LabelOutput> {
    let Some(graph) = model.graph.as_mut() else { return vec![] };
    // A subgraph may read any value of the graph around it.
    if graph.node.iter().flat_map(|node| &node.attribute).any(|attribute| attribute.g.is_some()) {
        return vec![];
    }
    let outputs: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    outputs.into_iter().filter_map(|output| lower_output(graph, output)).collect()
}

/// Replaces the labels of the graph output called `output`. Returns `None` if the output has no
/// labels that can be replaced.
fn lower_output(graph: &mut GraphProto, output: String) -> Option<LabelOutput> {
    let Origin { node, constant, casts } = origin(graph, &output)?;
    let labels = match constant {
        Some(index) => replace_constant_labels(&mut graph.initializer[index])?,
        None => replace_class_labels(&mut graph.node[node])?,
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
    /// Index of the classifier or `ArrayFeatureExtractor`.
    node: usize,
    /// Index of the initializer that contains the labels. `None` if the labels are an attribute of the node.
    constant: Option<usize>,
    /// Indices of the nodes between the source and the output that cast strings to strings.
    casts: Vec<usize>,
}

/// Classifiers whose first output is the label.
const CLASSIFIERS: [&str; 3] = ["LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"];

/// Traces `output` back to its source, through nodes that do not change strings. Returns `None` if
/// the source is a different node, or if a value on the path has a second reader.
fn origin(graph: &GraphProto, output: &str) -> Option<Origin> {
    let mut uses: HashMap<&str, usize> = HashMap::new();
    let outputs = graph.output.iter().map(|output| &output.name);
    for name in graph.node.iter().flat_map(|node| &node.input).chain(outputs) {
        *uses.entry(name).or_default() += 1;
    }
    let has_one_reader = |name: &str| uses.get(name) == Some(&1);
    let mut casts = vec![];
    let mut name = output;
    // The number of steps is bounded because an invalid graph may be cyclic.
    for _ in &graph.node {
        let produces = |node: &NodeProto| node.output.iter().any(|output| output == name);
        let index = graph.node.iter().position(produces).filter(|_| has_one_reader(name))?;
        let node = &graph.node[index];
        let first = node.input.first()?;
        match (node.domain.as_str(), node.op_type.as_str()) {
            ("" | "ai.onnx", "Identity" | "Reshape") => {}
            ("" | "ai.onnx", "Cast") if casts_to_string(node) => casts.push(index),
            ("ai.onnx.ml", "ArrayFeatureExtractor") => {
                let mut constants = graph.initializer.iter();
                let constant = constants.position(|constant| constant.name == *first)?;
                let is_input = graph.input.iter().any(|input| input.name == *first);
                let constant = (has_one_reader(first) && !is_input).then_some(constant)?;
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

/// Replaces the string labels of a classifier by the integers 0, 1, 2, …. Returns the string
/// labels.
fn replace_class_labels(node: &mut NodeProto) -> Option<Vec<String>> {
    let name = match node.op_type.as_str() {
        "TreeEnsembleClassifier" => "classlabels_int64s",
        _ => "classlabels_ints",
    };
    let has_labels =
        |attribute: &AttributeProto| attribute.name == name && !attribute.ints.is_empty();
    if node.attribute.iter().any(has_labels) {
        return None;
    }
    let mut attributes = node.attribute.iter_mut();
    let attribute = attributes.find(|attribute| attribute.name == "classlabels_strings")?;
    let labels = utf8(&attribute.strings).filter(|labels| !labels.is_empty())?;
    *attribute = AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints.into(),
        ints: (0..).take(labels.len()).collect(),
        ..AttributeProto::default()
    };
    node.attribute.retain(|attribute| attribute.name != name || !attribute.ints.is_empty());
    Some(labels)
}

/// Replaces the string labels in an initializer by the integers 0, 1, 2, …. Returns the string
/// labels.
fn replace_constant_labels(constant: &mut TensorProto) -> Option<Vec<String>> {
    if constant.data_type != i32::from(DataType::String) || !constant.raw_data.is_empty() {
        return None;
    }
    let labels = utf8(&constant.string_data).filter(|labels| !labels.is_empty())?;
    constant.data_type = DataType::Int64.into();
    constant.string_data.clear();
    constant.int64_data = (0..).take(labels.len()).collect();
    Some(labels)
}

/// Returns `strings` as UTF-8. Returns `None` if one of the strings is not valid UTF-8.
fn utf8(strings: &[Vec<u8>]) -> Option<Vec<String>> {
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
    fn replaces_labels_of_graph_outputs_by_indices() {
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
    fn keeps_labels_that_have_other_readers() {
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
