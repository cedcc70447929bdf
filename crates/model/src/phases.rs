//! Work in named parts, each with the time it took: a load tells what it spent its time on, and so
//! does a start, of which a load is a part.

use std::time::{Duration, Instant};

/// Parts of some work, in the order in which they were done; no time lies between them.
#[derive(Debug, Clone)]
pub struct Phases {
    began: Instant,
    /// When the last part ended.
    last: Instant,
    parts: Vec<(&'static str, Duration)>,
}

impl Phases {
    /// The work begins.
    pub fn begin() -> Phases {
        let now = Instant::now();
        Phases { began: now, last: now, parts: vec![] }
    }

    /// The part called `name` ends: it is what was done since the part before it.
    pub fn end(&mut self, name: &'static str) {
        let now = Instant::now();
        self.parts.push((name, now - self.last));
        self.last = now;
    }

    /// What was done since the last part has parts of its own.
    pub fn end_as(&mut self, parts: &Phases) {
        self.parts.extend(&parts.parts);
        self.last = Instant::now();
    }

    /// Name and time of each part.
    pub fn parts(&self) -> &[(&'static str, Duration)] {
        &self.parts
    }

    /// From the beginning to the end of the last part.
    pub fn total(&self) -> Duration {
        self.last - self.began
    }
}
