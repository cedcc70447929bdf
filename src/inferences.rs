//! What has been inferred so far, and what it took.

use crate::metrics::histogram::Histogram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

/// Counts and times since the start.
#[derive(Debug, Default)]
pub struct Inferences {
    in_flight: Arc<AtomicUsize>,
    pub success: Histogram,
    pub fail: Histogram,
    /// Waiting for a thread; this and the following of the successful ones.
    pub queue: Histogram,
    pub decode: Histogram,
    pub infer: Histogram,
    pub encode: Histogram,
    rows: AtomicU64,
    /// Milliseconds since the Unix epoch.
    last: AtomicU64,
}

/// What one inference takes, part by part.
#[derive(Debug)]
pub struct Times {
    start: Instant,
    /// The end of the part before.
    last: Instant,
    queue: Duration,
    decode: Duration,
    infer: Duration,
    rows: usize,
    _ticket: Ticket,
}

/// Counts as in flight for as long as it lives.
#[derive(Debug)]
struct Ticket(Arc<AtomicUsize>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Inferences {
    /// `None` where there are `most` already.
    pub fn begin(&self, most: usize) -> Option<Times> {
        let ticket = Ticket(self.in_flight.clone());
        if self.in_flight.fetch_add(1, Relaxed) >= most {
            return None;
        }
        let (start, none) = (Instant::now(), Duration::ZERO);
        let times = Times {
            start,
            last: start,
            queue: none,
            decode: none,
            infer: none,
            rows: 0,
            _ticket: ticket,
        };
        Some(times)
    }

    /// Ends an inference: its answer is encoded, or will not be.
    pub fn end(&self, mut times: Times, success: bool) {
        let encode = times.lap();
        let all = times.last - times.start;
        if !success {
            return self.fail.add(all);
        }
        self.success.add(all);
        self.queue.add(times.queue);
        self.decode.add(times.decode);
        self.infer.add(times.infer);
        self.encode.add(encode);
        self.rows.fetch_add(times.rows as u64, Relaxed);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.last.store(now.as_millis() as u64, Relaxed);
    }

    /// Begun and not ended.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Of the successful.
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// Milliseconds since the Unix epoch; 0 if there was none.
    pub fn last(&self) -> u64 {
        self.last.load(Relaxed)
    }
}

impl Times {
    /// It has waited for a thread.
    pub fn queued(&mut self) {
        self.queue = self.lap();
    }

    pub fn decoded(&mut self, rows: usize) {
        self.decode = self.lap();
        self.rows = rows;
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn inferred(&mut self) {
        self.infer = self.lap();
    }

    fn lap(&mut self) -> Duration {
        let before = std::mem::replace(&mut self.last, Instant::now());
        self.last - before
    }
}
