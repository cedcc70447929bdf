//! What an ONNX file holds, for people. A model need not be one that can be served.

use crate::error::LoadError;
use crate::graph;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A look into an ONNX file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Report {
    /// Name and version, as "skl2onnx 1.20.0"; empty if the file does not say.
    pub producer: String,
    pub ir_version: i64,
    /// Domain (`ai.onnx` for ONNX's own) and version.
    pub opsets: Vec<(String, i64)>,
    /// `domain.Operator` and how many nodes have it.
    pub operators: Vec<(String, usize)>,
    /// `metadata_props`, as they stand in the file.
    pub metadata: Vec<(String, String)>,
    /// Of the file.
    pub bytes: usize,
}

impl Report {
    /// # Errors
    ///
    /// [`LoadError::NotOnnx`].
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
