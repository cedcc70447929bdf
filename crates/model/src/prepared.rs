//! A model that a build has prepared. Reading it takes microseconds; parsing, typing and optimizing the
//! ONNX file takes milliseconds.

use crate::error::LoadError;
use crate::model::{Model, Parts};
use crate::phases::Phases;
use crate::plan::plan_error;
use onnx_ml::prepared::operators::Reader;
use tract_onnx::prelude::*;

/// A serialized [`Model`].
#[derive(Debug)]
pub struct Prepared {
    pub model: Vec<u8>,
    pub weights: Vec<u8>,
    /// Readers for its operators: constants of [`serialized_operators`](crate::serialized_operators).
    pub readers: Vec<Reader>,
}

impl Model {
    /// Serializes the model for [`Model::read_prepared`] of the same build.
    ///
    /// # Errors
    ///
    /// Returns an error if an operator cannot be serialized.
    pub fn prepared(&self) -> Result<Prepared, LoadError> {
        let written =
            onnx_ml::prepared::write(self.plan().model()).map_err(|error| plan_error(&error))?;
        let model = postcard::to_allocvec(&(self.parts(), written.graph.as_slice()))
            .map_err(|error| LoadError::Plan(error.to_string()))?;
        Ok(Prepared { model, weights: written.weights, readers: written.readers })
    }

    /// Reads a model that was written by [`Model::prepared`], and warms it up. The bytes are trusted.
    ///
    /// The weights are not copied if their address is a multiple of 64.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are from another build, or the model does not reproduce its golden
    /// rows.
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
