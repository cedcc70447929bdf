//! The times of the phases of a load or a start.

use std::time::{Duration, Instant};

/// A stopwatch with a lap for each phase of some work. The phases follow each other without a gap.
#[derive(Debug, Clone)]
pub struct Phases {
    began: Instant,
    /// Time at which the last phase ended.
    last: Instant,
    parts: Vec<(&'static str, Duration)>,
}

impl Phases {
    /// Starts the first phase.
    pub fn begin() -> Phases {
        let now = Instant::now();
        Phases { began: now, last: now, parts: vec![] }
    }

    /// Ends the current phase, gives it a name and starts the next one.
    pub fn end(&mut self, name: &'static str) {
        let now = Instant::now();
        self.parts.push((name, now - self.last));
        self.last = now;
    }

    /// Ends the current phase and replaces it by the phases that were measured inside of it.
    pub fn end_as(&mut self, parts: &Phases) {
        self.parts.extend(&parts.parts);
        self.last = Instant::now();
    }

    /// Returns name and time of each phase.
    pub fn parts(&self) -> &[(&'static str, Duration)] {
        &self.parts
    }

    /// Returns the time from the beginning to the end of the last phase.
    pub fn total(&self) -> Duration {
        self.last - self.began
    }
}
