//! Measures how long each phase of a load or of a start takes.

use std::time::{Duration, Instant};

/// A stopwatch with a lap for each phase of some work. The phases follow each other without a gap.
#[derive(Debug, Clone)]
pub struct Phases {
    start: Instant,
    /// Time at which the last completed phase ended.
    last_end: Instant,
    /// Name and duration of each completed phase.
    phases: Vec<(&'static str, Duration)>,
}

impl Phases {
    /// Starts the first phase.
    pub fn begin() -> Phases {
        let now = Instant::now();
        Phases { start: now, last_end: now, phases: vec![] }
    }

    /// Ends the current phase, gives it a name and starts the next one.
    pub fn end(&mut self, name: &'static str) {
        let now = Instant::now();
        self.phases.push((name, now - self.last_end));
        self.last_end = now;
    }

    /// Ends the current phase. Adds `phases` instead of the current phase, because they were measured within
    /// it and are more detailed.
    pub fn end_as(&mut self, phases: &Phases) {
        self.phases.extend(&phases.phases);
        self.last_end = Instant::now();
    }

    /// Returns the name and the duration of each completed phase.
    pub fn parts(&self) -> &[(&'static str, Duration)] {
        &self.phases
    }

    /// Returns the time from the start of the first phase to the end of the last completed phase.
    pub fn total(&self) -> Duration {
        self.last_end - self.start
    }
}
