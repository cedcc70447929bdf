//! What has been inferred so far, and what it took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

/// Counts and times since the start.
#[derive(Debug, Default)]
pub struct Inferences {
    in_flight: Arc<AtomicUsize>,
    success: Sum,
    fail: Sum,
    queue: Sum,
    decode: Sum,
    infer: Sum,
    encode: Sum,
    rows: AtomicU64,
    /// Milliseconds since the Unix epoch.
    last: AtomicU64,
}

#[derive(Debug, Default)]
struct Sum {
    count: AtomicU64,
    ns: AtomicU64,
}

impl Sum {
    fn add(&self, time: Duration) {
        self.count.fetch_add(1, Relaxed);
        self.ns.fetch_add(time.as_nanos() as u64, Relaxed);
    }

    fn total(&self) -> Total {
        Total { count: self.count.load(Relaxed), ns: self.ns.load(Relaxed) }
    }
}

/// How often, and nanoseconds in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Total {
    pub count: u64,
    pub ns: u64,
}

/// [`Inferences`] at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot {
    /// Begun and not ended.
    pub in_flight: usize,
    pub success: Total,
    pub fail: Total,
    /// Waiting for a thread; this and the following of the successful ones.
    pub queue: Total,
    pub decode: Total,
    pub infer: Total,
    pub encode: Total,
    pub rows: u64,
    /// Milliseconds since the Unix epoch; 0 if there was none.
    pub last: u64,
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
    pub fn begin(&self) -> Times {
        self.in_flight.fetch_add(1, Relaxed);
        let (start, none) = (Instant::now(), Duration::ZERO);
        Times {
            start,
            last: start,
            queue: none,
            decode: none,
            infer: none,
            rows: 0,
            _ticket: Ticket(self.in_flight.clone()),
        }
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

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            in_flight: self.in_flight.load(Relaxed),
            success: self.success.total(),
            fail: self.fail.total(),
            queue: self.queue.total(),
            decode: self.decode.total(),
            infer: self.infer.total(),
            encode: self.encode.total(),
            rows: self.rows.load(Relaxed),
            last: self.last.load(Relaxed),
        }
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

    pub fn inferred(&mut self) {
        self.infer = self.lap();
    }

    fn lap(&mut self) -> Duration {
        let before = std::mem::replace(&mut self.last, Instant::now());
        self.last - before
    }
}
