//! Measures how long each phase of a load or of a start takes.

use std::time::{Duration, Instant};

/// A stopwatch with a lap for each phase. Each phase starts when the previous phase ends.
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

    /// Ends the current phase, gives it a name and starts the next phase.
    pub fn end(&mut self, name: &'static str) {
        let now = Instant::now();
        self.phases.push((name, now - self.last_end));
        self.last_end = now;
    }

    /// Ends the current phase and replaces it by `phases`, which a callee measured during the current phase. The first
    /// of `phases` also gets the time from the start of the current phase to the start of `phases`. The time after the
    /// end of `phases` belongs to the next phase.
    pub fn end_as(&mut self, phases: &Phases) {
        let before = phases.start.saturating_duration_since(self.last_end);
        let added = self.phases.len();
        self.phases.extend(&phases.phases);
        if let Some((_, first)) = self.phases.get_mut(added) {
            *first += before;
        }
        self.last_end = phases.last_end;
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
