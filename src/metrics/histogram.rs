//! A histogram of durations.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counts of durations per bucket, and their sum.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Number of durations per bucket. Bucket `i` counts durations above `BOUNDS[i - 1]` and up to `BOUNDS[i]`. The
    /// last bucket has no upper bound.
    counts: [AtomicU64; BOUNDS.len() + 1],
    /// Sum of the durations, in nanoseconds.
    ns: AtomicU64,
}

/// Upper bounds of the buckets in nanoseconds: 10 µs, 25 µs, 50 µs, 100 µs, … 10 s.
pub const BOUNDS: [u64; 19] = {
    let mut bounds = [0; 19];
    let (mut index, mut decade) = (0, 10_000);
    while index < 19 {
        bounds[index] = [decade, decade * 5 / 2, decade * 5][index % 3];
        if index % 3 == 2 {
            decade *= 10;
        }
        index += 1;
    }
    bounds
};

/// Number of durations, and their sum in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Total {
    pub count: u64,
    pub ns: u64,
}

impl Histogram {
    pub fn add(&self, time: Duration) {
        let ns = time.as_nanos() as u64;
        let bucket = BOUNDS.partition_point(|bound| *bound < ns);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.ns.fetch_add(ns, Relaxed);
    }

    /// Returns the number of durations per bucket.
    pub fn counts(&self) -> [u64; BOUNDS.len() + 1] {
        std::array::from_fn(|bucket| self.counts[bucket].load(Relaxed))
    }

    pub fn total(&self) -> Total {
        Total { count: self.counts().iter().sum(), ns: self.ns.load(Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_bucket_of_its_bound() {
        assert_eq!((BOUNDS[0], BOUNDS[1], BOUNDS[2]), (10_000, 25_000, 50_000));
        assert_eq!(BOUNDS[18], 10_000_000_000);
        let histogram = Histogram::default();
        for time in [Duration::ZERO, Duration::from_micros(10), Duration::from_nanos(10_001)] {
            histogram.add(time);
        }
        histogram.add(Duration::from_secs(11));
        let counts = histogram.counts();
        assert_eq!((counts[0], counts[1], counts[19]), (2, 1, 1));
        assert_eq!(histogram.total(), Total { count: 4, ns: 20_001 + 11_000_000_000 });
    }
}
