//! `ZipMap` ([ai.onnx.ml](https://onnx.ai/onnx/operators/onnx_aionnxml_ZipMap.html)): converts
//! scores `[N, C]` to a sequence of maps from class label to score.
//!
//! tract does not support sequences and maps. Support is not needed, because the keys are constants
//! of the model. [`lower`] returns the keys, and the output becomes the tensor of scores.

use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

/// A graph output that was a sequence of maps and is now the tensor of the maps' values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZipMap {
    /// Name of the graph output.
    pub output: String,
    /// The keys in the order of the tensor's last axis. Integers are in decimal notation.
    pub labels: Vec<String>,
}

/// Replaces each `ZipMap` node of `model` by `Identity`. Returns the output and the keys of each replaced node.
pub fn lower(model: &mut ModelProto) -> Vec<ZipMap> {
    let Some(graph) = model.graph.as_mut() else {
        return vec![];
    };
    let mut lowered = vec![];
    for node in graph.node.iter_mut().filter(|node| is_zip_map(node)) {
        let Some(output) = node.output.first().cloned() else {
            continue;
        };
        lowered.push(ZipMap { output, labels: class_labels(node) });
        node.op_type = "Identity".into();
        node.domain.clear();
        node.attribute.clear();
    }
    for zip_map in &lowered {
        forget_type(graph, &zip_map.output);
    }
    lowered
}

/// Returns the class labels of a node of `ai.onnx.ml` as strings. The labels are in an attribute `classlabels_*`.
/// Returns an empty vector if the node has no labels.
pub fn class_labels(node: &NodeProto) -> Vec<String> {
    let labels = node.attribute.iter().find(|attribute| {
        attribute.name.starts_with("classlabels")
            && !(attribute.ints.is_empty() && attribute.strings.is_empty())
    });
    match labels {
        Some(labels) if labels.strings.is_empty() => {
            labels.ints.iter().map(i64::to_string).collect()
        }
        Some(labels) => {
            labels.strings.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
        }
        None => vec![],
    }
}

fn is_zip_map(node: &NodeProto) -> bool {
    node.op_type == "ZipMap" && node.domain == "ai.onnx.ml"
}

/// Removes the declared type of the value called `name`, so that tract infers it.
pub(crate) fn forget_type(graph: &mut GraphProto, name: &str) {
    for info in graph.output.iter_mut().chain(graph.value_info.iter_mut()) {
        if info.name == name {
            info.r#type = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::{AttributeProto, ValueInfoProto};

    fn model(attribute: AttributeProto) -> ModelProto {
        let node = NodeProto {
            op_type: "ZipMap".into(),
            domain: "ai.onnx.ml".into(),
            input: vec!["scores".into()],
            output: vec!["probabilities".into()],
            attribute: vec![attribute],
            ..NodeProto::default()
        };
        let output = ValueInfoProto {
            name: "probabilities".into(),
            r#type: Some(Default::default()),
            ..ValueInfoProto::default()
        };
        let graph = GraphProto { node: vec![node], output: vec![output], ..Default::default() };
        ModelProto { graph: Some(graph), ..ModelProto::default() }
    }

    fn keys(attribute: AttributeProto) -> (ModelProto, Vec<String>) {
        let mut model = model(attribute);
        let lowered = lower(&mut model);
        assert_eq!(lowered.len(), 1);
        assert_eq!(lowered[0].output, "probabilities");
        (model, lowered[0].labels.clone())
    }

    #[test]
    fn replaces_the_node_by_identity_and_formats_integer_keys() {
        let (model, labels) = keys(AttributeProto {
            name: "classlabels_int64s".into(),
            ints: vec![0, 7],
            ..Default::default()
        });
        assert_eq!(labels, ["0", "7"]);
        let graph = model.graph.expect("the model has a graph");
        assert_eq!(graph.node[0].op_type, "Identity");
        assert_eq!(graph.output[0].r#type, None);
    }

    #[test]
    fn returns_string_keys() {
        let (_, labels) = keys(AttributeProto {
            name: "classlabels_strings".into(),
            strings: vec![b"no".to_vec(), b"yes".to_vec()],
            ..Default::default()
        });
        assert_eq!(labels, ["no", "yes"]);
    }
}
