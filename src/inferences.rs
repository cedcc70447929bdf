//! What has been inferred so far, and what it took.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

/// Counts and times since the start.
#[derive(Debug, Default)]
pub struct Inferences {
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

/// One inference.
#[derive(Debug)]
pub struct Times<'a> {
    all: &'a Inferences,
    queue: Duration,
    start: Instant,
    decoded: Option<(Instant, usize)>,
    inferred: Option<Instant>,
}

impl Inferences {
    /// Begins to decode a question that waited for `queue`.
    pub fn begin(&self, queue: Duration) -> Times<'_> {
        Times { all: self, queue, start: Instant::now(), decoded: None, inferred: None }
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
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

impl Times<'_> {
    pub fn decoded(&mut self, rows: usize) {
        self.decoded = Some((Instant::now(), rows));
    }

    pub fn inferred(&mut self) {
        self.inferred = Some(Instant::now());
    }

    /// The answer is encoded, or will not be.
    pub fn end(self, success: bool) {
        let Times { all, queue, start, decoded, inferred } = self;
        let end = Instant::now();
        let (true, Some((decoded, rows)), Some(inferred)) = (success, decoded, inferred) else {
            return all.fail.add(queue + (end - start));
        };
        all.success.add(queue + (end - start));
        all.queue.add(queue);
        all.decode.add(decoded - start);
        all.infer.add(inferred - decoded);
        all.encode.add(end - inferred);
        all.rows.fetch_add(rows as u64, Relaxed);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        all.last.store(now.as_millis() as u64, Relaxed);
    }
}
