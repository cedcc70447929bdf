//! The parts of a model that its graph and all subgraphs share.

use crate::encoding::sharing::Pool;
use crate::ops;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{GraphProto, ModelProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// Number of times that a plan existed, and number of times that a plan was made.
#[derive(Debug, Default)]
pub struct Counters {
    pub hits: AtomicU64,
    pub misses: AtomicU64,
}

/// The operators, the opset version, the weights and the counters of a model.
pub struct Context {
    onnx: Onnx,
    /// The model without its graph.
    model: ModelProto,
    opset: i64,
    /// The weights that plans share.
    pub weights: Arc<Pool>,
    pub counters: Counters,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("opset", &self.opset).finish_non_exhaustive()
    }
}

impl Context {
    /// Separates the graph from the rest of a model.
    ///
    /// # Errors
    ///
    /// Returns an error if the model has no graph.
    pub fn new(mut model: ModelProto) -> TractResult<(Context, GraphProto)> {
        let graph = model.graph.take().context("expected a model with a graph")?;
        Ok((Context::of(model), graph))
    }

    /// Creates the context of a model. The graph of the model must have been removed.
    pub fn of(model: ModelProto) -> Context {
        let is_main = |domain: &str| domain.is_empty() || domain == "ai.onnx";
        let opset = model.opset_import.iter().find(|import| is_main(&import.domain));
        let opset = opset.map_or(0, |import| import.version);
        let counters = Counters::default();
        let mut onnx = tract_onnx::onnx();
        ops::register(&mut onnx.op_register);
        let weights = Arc::default();
        Context { onnx, model, opset, weights, counters }
    }

    /// Returns the model without its graph.
    pub fn model(&self) -> &ModelProto {
        &self.model
    }

    /// Returns the context with which tract parses a node.
    pub fn parsing(&self) -> ParsingContext<'_> {
        ParsingContext {
            onnx_operator_set_version: self.opset,
            framework: &self.onnx,
            model: &self.model,
            parent_graphs: vec![],
            model_dir: None,
            template: InferenceModel::default(),
        }
    }
}
