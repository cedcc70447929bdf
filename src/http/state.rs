//! The state that all requests share. The state also admits predictions, or rejects them at capacity.

use crate::access::Access;
use crate::config::{Config, Limits, Origins, VertexRoutes};
use crate::error::{Busy, Error};
use crate::executor::Executor;
use crate::http::route::Table;
use crate::http::router::Router;
use crate::inferences::{PredictionStats, Stopwatch};
use crate::logging::Logging;
use crate::metrics::Metrics;
use actix_web::web::Bytes;
use ml_app_model::Model;
use once_cell::sync::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// The model, the settings that requests depend on, and the counters.
pub struct State {
    pub model: Model,
    pub(crate) limits: Limits,
    pub(crate) access: Access,
    pub(crate) cors: Origins,
    pub(crate) vertex: VertexRoutes,
    pub(crate) logging: Logging,
    pub(crate) metrics: Metrics,
    pub(crate) inferences: PredictionStats,
    pub(crate) executor: Executor,
    pub(crate) table: &'static Table,
    pub(crate) router: Router,
    /// Total size of the request bodies in memory, in bytes.
    pub(crate) buffered: Arc<AtomicUsize>,
    /// The OpenAPI document. The first request for the document builds it.
    pub(crate) document: OnceCell<Bytes>,
    /// True while the server is shutting down.
    draining: AtomicBool,
}

impl State {
    /// Returns the state of a server with the routes in `table`.
    pub(crate) fn with_routes(
        table: &'static Table,
        model: Model,
        model_sha256: String,
        config: &Config,
    ) -> State {
        let metrics = Metrics::new(model_sha256, model.signature(), config.threads);
        let router = Router::new(table, &config.vertex, &model.signature().name, &metrics);
        State {
            metrics,
            model,
            table,
            router,
            limits: config.limits,
            access: config.access.clone(),
            cors: config.cors.clone(),
            vertex: config.vertex.clone(),
            logging: config.logging,
            inferences: PredictionStats::default(),
            executor: Executor::new(config.threads.inference),
            buffered: Arc::default(),
            document: OnceCell::new(),
            draining: AtomicBool::new(false),
        }
    }

    /// Marks the server as shutting down. From then on, the server is not ready, and closes each connection after the
    /// connection's next response.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Admits a prediction, which counts as in flight while the returned stopwatch exists.
    ///
    /// # Errors
    ///
    /// Returns an error if the server is at capacity.
    pub(crate) fn admit(&self) -> Result<Stopwatch, Error> {
        self.inferences.begin(self.limits.max_in_flight).ok_or_else(|| self.at_capacity())
    }

    /// Returns an error if the server is at capacity. Handlers call this before they read a body, to reject the
    /// request early.
    pub(crate) fn check_capacity(&self) -> Result<(), Error> {
        if self.inferences.in_flight() < self.limits.max_in_flight {
            Ok(())
        } else {
            Err(self.at_capacity())
        }
    }

    /// Returns the error of a server at capacity, and signals the overload to the executor.
    fn at_capacity(&self) -> Error {
        self.executor.signal_overload();
        Error::Busy(Busy::InFlight { limit: self.limits.max_in_flight })
    }
}
