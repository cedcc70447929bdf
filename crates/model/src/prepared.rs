//! Serializes an optimized model, so that the build can embed it. The server reads a serialized model in
//! microseconds. Parsing the ONNX file, inferring types and optimizing the graph would take milliseconds.

use crate::error::LoadError;
use crate::model::{Model, Parts};
use crate::phases::Phases;
use crate::plan::plan_error;
use crate::runner::Runner;
use onnx_ml::prepared::operators::Reader;
use tract_onnx::prelude::*;

/// A serialized [`Model`].
#[derive(Debug)]
pub struct Prepared {
    /// The signature and the graph, without the weights.
    pub model: Vec<u8>,
    /// The weights that the graph refers to.
    pub weights: Vec<u8>,
    /// Readers of the graph's operators: constants of
    /// [`serialized_operators`](crate::serialized_operators).
    pub readers: Vec<Reader>,
}

impl Model {
    /// Serializes the model. Only [`Model::read_prepared`] of the same build can read it.
    ///
    /// # Errors
    ///
    /// Returns an error if an operator cannot be serialized.
    pub fn prepared(&self) -> Result<Prepared, LoadError> {
        let serialized = onnx_ml::prepared::write(self.runner().plan()?.model())
            .map_err(|error| plan_error(&error))?;
        let model = postcard::to_allocvec(&(self.parts(), serialized.graph.as_slice()))
            .map_err(|error| LoadError::Plan(error.to_string()))?;
        Ok(Prepared { model, weights: serialized.weights, readers: serialized.readers })
    }

    /// Reads a model that [`Model::prepared`] serialized, and warms it up. The bytes are trusted.
    ///
    /// Reading copies the weights, unless their address is a multiple of 64.
    ///
    /// # Errors
    ///
    /// Returns an error if a different build wrote the bytes, or if the model does not reproduce its
    /// golden rows.
    pub fn read_prepared(
        model: &[u8],
        weights: &'static [u8],
        readers: &[Reader],
    ) -> Result<Model, LoadError> {
        let mut phases = Phases::begin();
        let (parts, graph): (Parts, &[u8]) = postcard::from_bytes(model).map_err(|error| {
            LoadError::Plan(format!("a different build prepared the model: {error}"))
        })?;
        let graph =
            onnx_ml::prepared::read(graph, weights, readers).map_err(|error| plan_error(&error))?;
        phases.end("read");
        let plan = graph.into_runnable().map_err(|error| plan_error(&error))?;
        phases.end("plan");
        let mut model = Model::new(parts, Runner::new(plan)?, phases);
        model.warm_up()?;
        Ok(model)
    }
}
