//! A model as a build makes it ready: read in microseconds, where ONNX is parsed, typed and optimised
//! in milliseconds.

use crate::error::LoadError;
use crate::model::{Model, Parts, plan_error};
use crate::signature::Signature;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;
use tract_onnx::prelude::*;

#[derive(Debug, Deserialize, Serialize)]
struct Prepared<'a> {
    signature: Cow<'a, Signature>,
    labels: Vec<Option<Vec<String>>>,
    most: usize,
    graph: &'a [u8],
}

impl Model {
    /// The model as bytes for [`Model::read_prepared`] of this same build.
    ///
    /// # Errors
    ///
    /// Where an operator has no form as bytes.
    pub fn prepared(&self) -> Result<Vec<u8>, LoadError> {
        let Parts { signature, plan, labels, most } = self.parts();
        let graph = onnx_ml::prepared::write(plan.model()).map_err(|error| plan_error(&error))?;
        let texts = |labels: &Arc<[String]>| labels.to_vec();
        let prepared = Prepared {
            signature: Cow::Borrowed(signature),
            labels: labels.iter().map(|labels| labels.as_ref().map(texts)).collect(),
            most,
            graph: &graph,
        };
        postcard::to_allocvec(&prepared).map_err(|error| LoadError::Plan(error.to_string()))
    }

    /// A model that was [`Model::prepared`], after its first answer. The bytes are trusted.
    ///
    /// # Errors
    ///
    /// Where they are of another build.
    pub fn read_prepared(bytes: &[u8]) -> Result<Model, LoadError> {
        let Prepared { signature, labels, most, graph } = postcard::from_bytes(bytes)
            .map_err(|error| LoadError::Plan(format!("prepared by another build: {error}")))?;
        let plan = onnx_ml::prepared::read(graph)
            .and_then(|model| model.into_runnable())
            .map_err(|error| plan_error(&error))?;
        let labels = labels.into_iter().map(|labels| labels.map(Arc::from)).collect();
        Model::ready(signature.into_owned(), plan, labels, most)
    }
}
