//! Summarizes an ONNX file, even if the model cannot be served.

use crate::error::LoadError;
use crate::graph;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A summary of an ONNX file, for people to read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Report {
    /// Name and version of the exporter, such as "skl2onnx 1.20.0". Empty if the file has neither name nor version.
    pub producer: String,
    pub ir_version: i64,
    /// Domain and version of each operator set that the file imports. ONNX's own domain is `ai.onnx`.
    pub opsets: Vec<(String, i64)>,
    /// Each operator of the outer graph, with the number of nodes that use it. An operator is written as
    /// `domain.Operator`, or as `Operator` if it belongs to ONNX's own domain.
    pub operators: Vec<(String, usize)>,
    /// The entries of `metadata_props`.
    pub metadata: Vec<(String, String)>,
    /// Size of the file, in bytes.
    pub bytes: usize,
}

impl Report {
    /// Summarizes an ONNX file.
    ///
    /// # Errors
    ///
    /// Returns [`LoadError::NotOnnx`] if the bytes are not an ONNX model with a graph, and [`LoadError::Plan`] if a
    /// function of the model cannot be inlined.
    pub fn read(bytes: &[u8]) -> Result<Report, LoadError> {
        let proto = graph::decode(bytes)?;
        let mut operators: BTreeMap<String, usize> = BTreeMap::new();
        for node in proto.graph.iter().flat_map(|graph| &graph.node) {
            *operators.entry(graph::operator(node)).or_default() += 1;
        }
        let full_domain = |domain: &str| match domain {
            "" => "ai.onnx".to_owned(),
            domain => domain.to_owned(),
        };
        Ok(Report {
            producer: format!("{} {}", proto.producer_name, proto.producer_version)
                .trim()
                .to_owned(),
            ir_version: proto.ir_version,
            opsets: proto
                .opset_import
                .iter()
                .map(|opset| (full_domain(&opset.domain), opset.version))
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            operators: operators.into_iter().collect(),
            metadata: proto
                .metadata_props
                .into_iter()
                .map(|entry| (entry.key, entry.value))
                .collect(),
            bytes: bytes.len(),
        })
    }
}
