//! The metrics of the process, in Prometheus' [text format][text] or as [OpenMetrics][open].
//!
//! [text]: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
//! [open]: https://prometheus.io/docs/specs/om/open_metrics_spec/

pub mod drift;
mod exposition;
pub mod histogram;
mod process;

use crate::config::Threads;
use crate::error::Error;
use crate::executor::Executor;
use crate::inferences::PredictionStats;
use crate::sandbox::Enforced;
use drift::{Drift, Predicted};
pub use exposition::ExpositionFormat;
use exposition::{COUNTER, Exposition, GAUGE, HISTOGRAM};
use histogram::Histogram;
use ml_app_model::{Model, Phases, PlanCounts, Signature};
use once_cell::sync::OnceCell;
pub use process::Process;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// All metrics, except the metrics that [`PredictionStats`] and the executor count.
#[derive(Debug)]
pub struct Metrics {
    /// SHA-256 of the ONNX file, in hexadecimal.
    model_sha256: String,
    threads: Threads,
    start: OnceCell<Start>,
    routes: Mutex<Vec<Arc<RouteMetrics>>>,
    /// Requests that match no route.
    pub unrouted: RouteMetrics,
    /// Number of rejected requests per limit, in the order of [`Error::LIMITS`].
    rejected: [AtomicU64; Error::LIMITS.len()],
    panics: AtomicU64,
    pub drift: Drift,
}

/// Measurements of the start of the process.
#[derive(Debug)]
struct Start {
    /// Time at which `main` began.
    began: SystemTime,
    phases: Phases,
    sandbox: Enforced,
    process: Process,
}

/// Status codes with a counter each. All other status codes share one counter.
const STATUSES: [u16; 16] =
    [200, 204, 308, 400, 401, 403, 404, 405, 406, 408, 413, 415, 422, 431, 500, 503];

/// Counts and durations of one route's requests.
#[derive(Debug, Default)]
pub struct RouteMetrics {
    /// Pattern of the route, such as `/v2/models/{model}`. The path of a request is never the value of a label, because
    /// there would be an unlimited number of time series.
    path: String,
    /// Protocol of the route, if the route serves predictions.
    protocol: Option<&'static str>,
    statuses: [AtomicU64; STATUSES.len() + 1],
    time: Histogram,
}

impl RouteMetrics {
    /// Counts a response.
    pub fn observe(&self, status: u16, time: Duration) {
        let index = STATUSES.iter().position(|known| *known == status);
        self.statuses[index.unwrap_or(STATUSES.len())].fetch_add(1, Relaxed);
        self.time.add(time);
    }
}

impl Metrics {
    pub fn new(model_sha256: String, signature: &Signature, threads: Threads) -> Metrics {
        Metrics {
            model_sha256,
            threads,
            start: OnceCell::new(),
            routes: Mutex::default(),
            unrouted: RouteMetrics::default(),
            rejected: Default::default(),
            panics: AtomicU64::default(),
            drift: Drift::new(signature),
        }
    }

    /// Records the measurements of the start. Only the first call has an effect.
    pub fn record_start(&self, phases: Phases, sandbox: Enforced, process: Process) {
        let began = SystemTime::now() - phases.total();
        self.start.get_or_init(|| Start { began, phases, sandbox, process });
    }

    /// Returns the metrics of a route, which all threads share. `protocol` is the value of the label `protocol`.
    pub fn route(&self, path: &str, protocol: Option<&'static str>) -> Arc<RouteMetrics> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = routes.iter().find(|route| route.path == path) {
            return route.clone();
        }
        let route =
            Arc::new(RouteMetrics { path: path.to_owned(), protocol, ..RouteMetrics::default() });
        routes.push(route.clone());
        route
    }

    /// Counts a request that was rejected because of `limit`, which is one of [`Error::LIMITS`].
    pub fn count_rejection(&self, limit: &str) {
        if let Some(index) = Error::LIMITS.iter().position(|known| *known == limit) {
            self.rejected[index].fetch_add(1, Relaxed);
        }
    }

    /// Counts a request that ended in a panic.
    pub fn count_panic(&self) {
        self.panics.fetch_add(1, Relaxed);
    }

    /// Returns all metric families in the given format.
    pub fn text(
        &self,
        format: ExpositionFormat,
        model: &Model,
        inferences: &PredictionStats,
        executor: &Executor,
    ) -> String {
        let mut out = Exposition::new(format);
        self.write_start(&mut out, model.signature());
        self.write_requests(&mut out);
        write_inferences(&mut out, inferences, executor);
        if let Some(counts) = model.plan_counts() {
            write_plans(&mut out, counts);
        }
        self.write_drift(&mut out);
        out.finish()
    }

    fn write_start(&self, out: &mut Exposition, signature: &Signature) {
        out.family(
            "ml_app_build_info",
            GAUGE,
            "Version of the program and of its model; always 1.",
        );
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("model", &signature.name),
            ("model_version", &signature.version),
            ("model_sha256", &self.model_sha256),
        ];
        out.sample(&labels, 1);
        out.family("ml_app_threads", GAUGE, "Maximum number of threads, by kind.");
        out.sample(&[("kind", "http")], self.threads.io);
        out.sample(&[("kind", "inference")], self.threads.inference);
        let Some(start) = self.start.get() else { return };
        out.family(
            "ml_app_sandbox",
            GAUGE,
            "1 if this mechanism of the sandbox is in force, otherwise 0.",
        );
        out.sample(&[("by", "landlock")], u8::from(start.sandbox.landlock));
        out.sample(&[("by", "seccomp")], u8::from(start.sandbox.seccomp));
        let began = start.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        out.family(
            "process_start_time_seconds",
            GAUGE,
            "Start time of the process, in seconds since the Unix epoch.",
        );
        out.sample(&[], format_args!("{:.6}", began.as_secs_f64()));
        out.family(
            "ml_app_start_seconds",
            GAUGE,
            "Duration of each phase of the start, in seconds.",
        );
        for (phase, time) in start.phases.parts() {
            out.sample(&[("phase", phase)], format_args!("{:.6}", time.as_secs_f64()));
        }
        for (name, help, value) in start.process.gauges() {
            out.family(name, GAUGE, help);
            out.sample(&[], value);
        }
        for (name, help, value) in start.process.counters() {
            out.family(name, COUNTER, help);
            out.sample(&[], value);
        }
    }

    fn write_requests(&self, out: &mut Exposition) {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let routes = routes.iter().map(|route| &**route).chain([&self.unrouted]);
        let requested: Vec<_> = routes.filter(|route| route.time.total().count > 0).collect();
        out.family(
            "ml_app_http_requests_total",
            COUNTER,
            "Number of HTTP requests, by route, protocol and status.",
        );
        for route in &requested {
            for (index, count) in route.statuses.iter().enumerate() {
                let count = count.load(Relaxed);
                let status = STATUSES.get(index).map_or("other".into(), ToString::to_string);
                let protocol = route.protocol.unwrap_or_default();
                let labels = [("route", &*route.path), ("protocol", protocol), ("status", &status)];
                if count > 0 {
                    out.sample(&labels, count);
                }
            }
        }
        let help = "Time from a request's headers to the headers of its response, in seconds.";
        out.family("ml_app_http_request_duration_seconds", HISTOGRAM, help);
        for route in &requested {
            out.histogram(("route", &route.path), &route.time);
        }
        let help = "Number of requests rejected because of a limit, by limit.";
        out.family("ml_app_rejected_total", COUNTER, help);
        for (reason, count) in Error::LIMITS.iter().zip(&self.rejected) {
            out.sample(&[("reason", reason)], count.load(Relaxed));
        }
        out.family(
            "ml_app_panics_total",
            COUNTER,
            "Number of requests that ended in a panic and got status 500.",
        );
        out.sample(&[], self.panics.load(Relaxed));
    }

    fn write_drift(&self, out: &mut Exposition) {
        let features = &self.drift.features;
        let help = "Number of missing values, by feature. The total number of rows is ml_app_inference_rows_total.";
        out.family("ml_app_feature_missing_total", COUNTER, help);
        for feature in features {
            out.sample(&[("feature", &feature.name)], feature.missing.load(Relaxed));
        }
        let help = "Number of values outside the range seen in training, by feature and bound.";
        out.family("ml_app_feature_out_of_range_total", COUNTER, help);
        for feature in features {
            for (bound, count) in [("minimum", &feature.below), ("maximum", &feature.above)] {
                let labels = [("feature", &*feature.name), ("bound", bound)];
                out.sample(&labels, count.load(Relaxed));
            }
        }
        match self.drift.predicted() {
            Predicted::Classes(classes) => {
                out.family(
                    "ml_app_predictions_total",
                    COUNTER,
                    "Number of predicted rows, by class.",
                );
                for (class, rows) in classes {
                    out.sample(&[("class", &class)], rows);
                }
            }
            Predicted::Numbers { count, sum, squares } => {
                out.family("ml_app_predictions_total", COUNTER, "Number of predicted values.");
                out.sample(&[], count);
                out.family("ml_app_prediction_sum", GAUGE, "Sum of the predicted values. Divide it by ml_app_predictions_total to get the mean.");
                out.sample(&[], sum);
                out.family(
                    "ml_app_prediction_squares_sum",
                    GAUGE,
                    "Sum of the squares of the predicted values, from which their variance can be computed.",
                );
                out.sample(&[], squares);
            }
            Predicted::None => {}
        }
    }
}

fn write_inferences(out: &mut Exposition, stats: &PredictionStats, executor: &Executor) {
    let help = "Number of predictions that are waiting or running.";
    out.family("ml_app_inferences_in_flight", GAUGE, help);
    out.sample(&[], stats.in_flight());
    out.family(
        "ml_app_inferences_queued",
        GAUGE,
        "Number of predictions that are waiting for an inference thread.",
    );
    out.sample(&[], executor.queued());
    let help = "Number of predictions cancelled in the queue because the client disconnected or the queue timeout passed.";
    out.family("ml_app_inferences_skipped_total", COUNTER, help);
    out.sample(&[], executor.cancelled());
    let help =
        "Number of inference threads replaced because their prediction did not complete in time.";
    out.family("ml_app_inference_threads_replaced_total", COUNTER, help);
    out.sample(&[], executor.replaced());
    let help = "Number of completed predictions, by result.";
    out.family("ml_app_inferences_total", COUNTER, help);
    out.sample(&[("result", "success")], stats.success.total().count);
    out.sample(&[("result", "failure")], stats.fail.total().count);
    let help = "Time of each part of the successful predictions, in seconds.";
    out.family("ml_app_inference_duration_seconds", HISTOGRAM, help);
    let parts = [
        ("queue", &stats.queue),
        ("decode", &stats.decode),
        ("infer", &stats.infer),
        ("encode", &stats.encode),
    ];
    for (part, histogram) in parts {
        out.histogram(("part", part), histogram);
    }
    out.family(
        "ml_app_inference_rows_total",
        COUNTER,
        "Number of rows of the successful predictions.",
    );
    out.sample(&[], stats.rows());
}

/// Writes the counters of a model that makes a plan for the shapes of each request.
fn write_plans(out: &mut Exposition, PlanCounts { hits, misses }: PlanCounts) {
    let help =
        "Number of times that a plan for the shapes of a request existed (hit) or was made (miss).";
    out.family("ml_app_plans_total", COUNTER, help);
    out.sample(&[("result", "hit")], hits);
    out.sample(&[("result", "miss")], misses);
}

/// Returns a summary such as "ready in 2.31 ms: process 0.41, read 0.72, plan 0.30, warm-up 0.58, bind 0.30".
pub fn summary(phases: &Phases) -> String {
    let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
    let parts = phases.parts().iter().map(|(name, time)| format!("{name} {}", ms(*time)));
    format!("ready in {} ms: {}", ms(phases.total()), parts.collect::<Vec<_>>().join(", "))
}
