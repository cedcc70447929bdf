//! A model as a build makes it ready: read in microseconds, where ONNX is parsed, typed and optimised
//! in milliseconds.

use crate::error::LoadError;
use crate::model::{Model, Parts};
use crate::phases::Phases;
use crate::plan::plan_error;
use onnx_ml::prepared::operators::Reader;
use tract_onnx::prelude::*;

/// A [`Model`] as bytes.
#[derive(Debug)]
pub struct Prepared {
    pub model: Vec<u8>,
    pub weights: Vec<u8>,
    /// What reads its operators, by constants of [`forms`](crate::forms).
    pub readers: Vec<Reader>,
}

impl Model {
    /// The model for [`Model::read_prepared`] of this same build.
    ///
    /// # Errors
    ///
    /// Where an operator has no form as bytes.
    pub fn prepared(&self) -> Result<Prepared, LoadError> {
        let written =
            onnx_ml::prepared::write(self.plan().model()).map_err(|error| plan_error(&error))?;
        let model = postcard::to_allocvec(&(self.parts(), written.graph.as_slice()))
            .map_err(|error| LoadError::Plan(error.to_string()))?;
        Ok(Prepared { model, weights: written.weights, readers: written.readers })
    }

    /// A model that was [`Model::prepared`], after its first answer. The bytes are trusted.
    /// The weights are used where they lie, if at an address that is a multiple of 64.
    ///
    /// # Errors
    ///
    /// Where they are of another build, or the golden rows are not reproduced.
    pub fn read_prepared(
        model: &[u8],
        weights: &'static [u8],
        readers: &[Reader],
    ) -> Result<Model, LoadError> {
        let mut phases = Phases::begin();
        let (parts, graph): (Parts, &[u8]) = postcard::from_bytes(model)
            .map_err(|error| LoadError::Plan(format!("prepared by another build: {error}")))?;
        let graph =
            onnx_ml::prepared::read(graph, weights, readers).map_err(|error| plan_error(&error))?;
        phases.end("read");
        let plan = graph.into_runnable().map_err(|error| plan_error(&error))?;
        phases.end("plan");
        let mut model = Model::new(parts, plan, phases)?;
        model.warm_up()?;
        Ok(model)
    }
}
