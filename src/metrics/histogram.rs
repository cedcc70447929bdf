use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long something took, how often.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Times up to each of [`BOUNDS`], and longer ones.
    counts: [AtomicU64; BOUNDS.len() + 1],
    ns: AtomicU64,
}

/// Nanoseconds: 10 µs to 10 s, in steps of 1, 2.5 and 5.
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

/// How often, and nanoseconds in all.
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
    fn a_time_is_counted_below_its_bound() {
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
