//! Serializes an optimized model, so that the build can embed it. The server reads a serialized model in
//! microseconds. Parsing the ONNX file, inferring types and optimizing the graph would take milliseconds.

use crate::error::LoadError;
use crate::model::{Model, Parts};
use crate::phases::Phases;
use crate::plan::plan_error;
use crate::runner::Runner;
use onnx_ml::dynamic::DynamicModel;
use onnx_ml::prepared::operators::Reader;
use tract_onnx::prelude::*;

/// A serialized [`Model`].
#[derive(Debug)]
pub struct Prepared {
    /// The graph without its weights, and all other parts of the model: the signature, the labels, the maximum number
    /// of rows in a run, and the golden rows.
    pub model: Vec<u8>,
    /// The weights that the graph refers to.
    pub weights: Vec<u8>,
    /// The kind of the graph, which determines the function that reads the model.
    pub kind: Kind,
}

/// The kind of a prepared graph.
#[derive(Debug)]
pub enum Kind {
    /// A plan for all shapes. [`Model::read_prepared`] reads the model. The field contains the readers of the plan's
    /// operators, which are constants of [`serialized_operators`](crate::serialized_operators).
    Plan(Vec<Reader>),
    /// A graph without a plan. Plans are made for the shapes of each request. [`Model::read_dynamic`] reads the model.
    Dynamic,
}

impl Prepared {
    /// Reads the model with the function for its kind. The weights stay in memory until the process ends.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Model::read_prepared`] or [`Model::read_dynamic`].
    pub fn read(self) -> Result<Model, LoadError> {
        let Prepared { model, weights, kind } = self;
        match kind {
            Kind::Plan(readers) => Model::read_prepared(&model, weights.leak(), &readers),
            Kind::Dynamic => Model::read_dynamic(&model, weights.leak()),
        }
    }
}

impl Model {
    /// Serializes the model. Only the same build can read the result, with [`Prepared::read`].
    ///
    /// # Errors
    ///
    /// Returns an error if an operator cannot be serialized.
    pub fn prepared(&self) -> Result<Prepared, LoadError> {
        let (graph, weights, kind) = match self.runner() {
            Runner::Plan { plan, .. } => {
                let written = onnx_ml::prepared::write(plan.model());
                let written = written.map_err(|error| plan_error(&error))?;
                (written.graph, written.weights, Kind::Plan(written.readers))
            }
            Runner::Dynamic(model) => {
                let written = model.write().map_err(|error| plan_error(&error))?;
                (written.graph, written.weights, Kind::Dynamic)
            }
        };
        let model = postcard::to_allocvec(&(self.parts(), graph.as_slice()))
            .map_err(|error| LoadError::Plan(error.to_string()))?;
        Ok(Prepared { model, weights, kind })
    }

    /// Reads a model of [`Kind::Plan`] that [`Model::prepared`] serialized, and warms the model up. The bytes are
    /// trusted.
    ///
    /// Copies the weights, unless the address of `weights` is a multiple of 64.
    ///
    /// # Errors
    ///
    /// Returns an error if a different build wrote the bytes, if a prediction fails, or if the model does not reproduce
    /// its golden rows.
    pub fn read_prepared(
        model: &[u8],
        weights: &'static [u8],
        readers: &[Reader],
    ) -> Result<Model, LoadError> {
        let mut phases = Phases::begin();
        let (parts, graph) = parts(model)?;
        let graph =
            onnx_ml::prepared::read(graph, weights, readers).map_err(|error| plan_error(&error))?;
        phases.end("read");
        let plan = graph.into_runnable().map_err(|error| plan_error(&error))?;
        phases.end("plan");
        let mut model = Model::new(parts, Runner::new(plan)?, phases);
        model.warm_up()?;
        Ok(model)
    }

    /// Reads a model of [`Kind::Dynamic`] that [`Model::prepared`] serialized, and warms the model up. The bytes are
    /// trusted.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Model::read_prepared`].
    pub fn read_dynamic(model: &[u8], weights: &'static [u8]) -> Result<Model, LoadError> {
        let mut phases = Phases::begin();
        let (parts, graph) = parts(model)?;
        let graph = DynamicModel::read(graph, weights).map_err(|error| plan_error(&error))?;
        phases.end("read");
        let mut model = Model::new(parts, Runner::Dynamic(Box::new(graph)), phases);
        model.warm_up()?;
        Ok(model)
    }
}

/// Separates the graph from the other parts of a prepared model.
fn parts(model: &[u8]) -> Result<(Parts, &[u8]), LoadError> {
    postcard::from_bytes(model)
        .map_err(|error| LoadError::Plan(format!("a different build prepared the model: {error}")))
}
