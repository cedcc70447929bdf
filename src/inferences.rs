//! Counts and durations of the predictions since the process started.

use crate::metrics::histogram::Histogram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

/// Counts and durations of the predictions since the process started.
#[derive(Debug, Default)]
pub struct PredictionStats {
    in_flight: Arc<AtomicUsize>,
    /// Total time of each successful prediction.
    pub success: Histogram,
    /// Total time of each failed prediction.
    pub fail: Histogram,
    /// Time that each successful prediction waited for a thread.
    pub queue: Histogram,
    /// Time to decode the request of each successful prediction.
    pub decode: Histogram,
    /// Time to run the model in each successful prediction.
    pub infer: Histogram,
    /// Time to encode the response of each successful prediction.
    pub encode: Histogram,
    /// Number of rows of the successful predictions.
    rows: AtomicU64,
    /// Time at which the last successful prediction ended, in milliseconds since the Unix epoch. 0 before the first
    /// successful prediction.
    last_success: AtomicU64,
}

/// Measures the parts of one prediction. Each `end_…` method ends one part and starts the next part.
#[derive(Debug)]
pub struct Stopwatch {
    start: Instant,
    /// Time at which the previous part ended.
    part_start: Instant,
    queue: Duration,
    decode: Duration,
    infer: Duration,
    rows: usize,
    _guard: InFlightGuard,
}

/// Counts one prediction as in flight while it exists.
#[derive(Debug)]
struct InFlightGuard(Arc<AtomicUsize>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl PredictionStats {
    /// Begins a prediction. Returns `None` if `max_in_flight` predictions are already waiting or running.
    pub fn begin(&self, max_in_flight: usize) -> Option<Stopwatch> {
        let guard = InFlightGuard(self.in_flight.clone());
        // If too many predictions are in flight, this function drops `guard`, and the drop decrements the count again.
        if self.in_flight.fetch_add(1, Relaxed) >= max_in_flight {
            return None;
        }
        let start = Instant::now();
        let stopwatch = Stopwatch {
            start,
            part_start: start,
            queue: Duration::ZERO,
            decode: Duration::ZERO,
            infer: Duration::ZERO,
            rows: 0,
            _guard: guard,
        };
        Some(stopwatch)
    }

    /// Ends a prediction, after its response is encoded or after an error.
    pub fn end(&self, mut stopwatch: Stopwatch, success: bool) {
        let encode = stopwatch.lap();
        let total = stopwatch.part_start - stopwatch.start;
        if !success {
            return self.fail.add(total);
        }
        self.success.add(total);
        self.queue.add(stopwatch.queue);
        self.decode.add(stopwatch.decode);
        self.infer.add(stopwatch.infer);
        self.encode.add(encode);
        self.rows.fetch_add(stopwatch.rows as u64, Relaxed);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.last_success.store(now.as_millis() as u64, Relaxed);
    }

    /// Returns the number of predictions that are waiting or running.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Returns the number of rows of the successful predictions.
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// Returns the time at which the last successful prediction ended, in milliseconds since the Unix epoch, or 0
    /// before the first success.
    pub fn last_success(&self) -> u64 {
        self.last_success.load(Relaxed)
    }
}

impl Stopwatch {
    /// Ends the part in which the prediction waits for a thread.
    pub fn end_queue(&mut self) {
        self.queue = self.lap();
    }

    /// Ends the part in which a request of `rows` rows is decoded.
    pub fn end_decode(&mut self, rows: usize) {
        self.decode = self.lap();
        self.rows = rows;
    }

    /// Ends the part in which the model runs.
    pub fn end_inference(&mut self) {
        self.infer = self.lap();
    }

    /// Returns the time since the end of the previous part.
    fn lap(&mut self) -> Duration {
        let before = std::mem::replace(&mut self.part_start, Instant::now());
        self.part_start - before
    }
}
