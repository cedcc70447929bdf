//! A summary of an ONNX file, also of one that cannot be served.

use crate::error::LoadError;
use crate::graph;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A summary of an ONNX file for people.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Report {
    /// Name and version of the exporter, such as "skl2onnx 1.20.0"; empty if the file has neither.
    pub producer: String,
    pub ir_version: i64,
    /// Domains of operators with their versions. ONNX's own domain is `ai.onnx`.
    pub opsets: Vec<(String, i64)>,
    /// Operators, as `domain.Operator`, with the number of their nodes.
    pub operators: Vec<(String, usize)>,
    /// The entries of `metadata_props`.
    pub metadata: Vec<(String, String)>,
    /// Size of the file.
    pub bytes: usize,
}

impl Report {
    /// Reads the bytes of an ONNX file.
    ///
    /// # Errors
    ///
    /// Returns [`LoadError::NotOnnx`] if it is not one.
    pub fn read(bytes: &[u8]) -> Result<Report, LoadError> {
        let proto = graph::decode(bytes)?;
        let mut operators: BTreeMap<String, usize> = BTreeMap::new();
        for node in proto.graph.iter().flat_map(|graph| &graph.node) {
            *operators.entry(graph::operator(node)).or_default() += 1;
        }
        let domain = |domain: &str| match domain {
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
                .map(|opset| (domain(&opset.domain), opset.version))
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
