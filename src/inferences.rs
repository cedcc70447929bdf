//! Counts and durations of the predictions so far.

use crate::metrics::histogram::Histogram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

/// Counts and durations since the start.
#[derive(Debug, Default)]
pub struct Inferences {
    in_flight: Arc<AtomicUsize>,
    /// Duration of the predictions that completed, and of those that failed.
    pub success: Histogram,
    pub fail: Histogram,
    /// Parts of the predictions that completed: waiting for a thread, decoding, running the model, encoding.
    pub queue: Histogram,
    pub decode: Histogram,
    pub infer: Histogram,
    pub encode: Histogram,
    rows: AtomicU64,
    /// Time of the last prediction that completed, in milliseconds since the Unix epoch.
    last: AtomicU64,
}

/// Measures the parts of one prediction. Each method ends a part.
#[derive(Debug)]
pub struct Stopwatch {
    start: Instant,
    /// End of the previous part.
    last: Instant,
    queue: Duration,
    decode: Duration,
    infer: Duration,
    rows: usize,
    _ticket: Ticket,
}

/// Counts one prediction as in flight while it exists.
#[derive(Debug)]
struct Ticket(Arc<AtomicUsize>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Inferences {
    /// Begins a prediction. Returns `None` if `max_in_flight` predictions wait or run already.
    pub fn begin(&self, max_in_flight: usize) -> Option<Stopwatch> {
        let ticket = Ticket(self.in_flight.clone());
        // The ticket takes the count back if there are too many.
        if self.in_flight.fetch_add(1, Relaxed) >= max_in_flight {
            return None;
        }
        let (start, none) = (Instant::now(), Duration::ZERO);
        let stopwatch = Stopwatch {
            start,
            last: start,
            queue: none,
            decode: none,
            infer: none,
            rows: 0,
            _ticket: ticket,
        };
        Some(stopwatch)
    }

    /// Ends a prediction, after its response is encoded or after an error.
    pub fn end(&self, mut stopwatch: Stopwatch, success: bool) {
        let encode = stopwatch.lap();
        let all = stopwatch.last - stopwatch.start;
        if !success {
            return self.fail.add(all);
        }
        self.success.add(all);
        self.queue.add(stopwatch.queue);
        self.decode.add(stopwatch.decode);
        self.infer.add(stopwatch.infer);
        self.encode.add(encode);
        self.rows.fetch_add(stopwatch.rows as u64, Relaxed);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.last.store(now.as_millis() as u64, Relaxed);
    }

    /// Returns the number of predictions that wait or run.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Returns the number of rows of the predictions that completed.
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// Returns the time of the last prediction that completed, in milliseconds since the Unix epoch, or 0.
    pub fn last(&self) -> u64 {
        self.last.load(Relaxed)
    }
}

impl Stopwatch {
    /// Ends the wait for a thread.
    pub fn queued(&mut self) {
        self.queue = self.lap();
    }

    /// Ends decoding.
    pub fn decoded(&mut self, rows: usize) {
        self.decode = self.lap();
        self.rows = rows;
    }

    /// Ends the run of the model.
    pub fn inferred(&mut self) {
        self.infer = self.lap();
    }

    /// Returns the time since the end of the previous part.
    fn lap(&mut self) -> Duration {
        let before = std::mem::replace(&mut self.last, Instant::now());
        self.last - before
    }
}
