//! The queue of tasks. The queue decides which task runs next, and which tasks are rejected. This module has no threads
//! and no clock: the caller passes the current time as an argument.
//!
//! # Algorithm
//!
//! Adaptive LIFO with a controlled delay, as described in [Fail at Scale]. The controlled delay is a
//! variant of [CoDel].
//!
//! - **Normal.** The queue is first in, first out, and no task is rejected.
//! - **Overloaded.** The queue is last in, first out. A task is rejected once it has waited for longer than both
//!   [`MAX_DELAY_RUNS`] mean run times and [`MIN_DELAY`].
//!
//! Overload begins when the oldest task has waited for longer than both [`OVERLOAD_WAIT`] and
//! [`OVERLOAD_RUNS`] mean run times, or when the caller calls [`Queue::signal_overload`]. Overload ends when
//! [`Queue::next`] finds the queue empty.
//!
//! If the queue stayed first in, first out under overload, every client would wait for nearly its whole timeout, and
//! most results would come too late. With this policy, some clients get their result at once, and the rejected clients
//! can retry early.
//!
//! CoDel has a constant target delay, and drops packets at an increasing rate. Here, the target delay is proportional
//! to the mean run time, because the run times of models differ by orders of magnitude. Every task that has waited
//! longer than the target is rejected at once.
//!
//! [Fail at Scale]: https://queue.acm.org/detail.cfm?id=2839461
//! [CoDel]: https://www.rfc-editor.org/rfc/rfc8289

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The queue is overloaded if the oldest task has waited longer than this time, and longer than [`OVERLOAD_RUNS`] mean
/// run times.
const OVERLOAD_WAIT: Duration = Duration::from_secs(2);

/// Number of mean run times in the condition for overload, see [`OVERLOAD_WAIT`]. Without this part of the condition, a
/// normal wait behind slow tasks would count as overload.
const OVERLOAD_RUNS: u32 = 4;

/// Maximum waiting time under overload, in mean run times.
const MAX_DELAY_RUNS: u32 = 2;

/// Lower bound of the maximum waiting time, so that very short tasks are not rejected.
const MIN_DELAY: Duration = Duration::from_millis(20);

/// Tasks that wait for a thread.
#[derive(Debug)]
pub struct Queue<T> {
    /// Arrival time and task, oldest first.
    tasks: VecDeque<(Instant, T)>,
    overloaded: bool,
    /// Exponentially weighted mean of the run times. Zero before the first task has run.
    mean_run_time: Duration,
}

impl<T> Queue<T> {
    pub fn new() -> Queue<T> {
        Queue { tasks: VecDeque::new(), overloaded: false, mean_run_time: Duration::ZERO }
    }

    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Adds a task that arrives at `now`.
    pub fn push(&mut self, task: T, now: Instant) {
        self.tasks.push_back((now, task));
    }

    /// Removes and returns the task that runs next. Overload ends if the queue is empty.
    pub fn next(&mut self) -> Option<T> {
        let task = if self.overloaded { self.tasks.pop_back() } else { self.tasks.pop_front() };
        if task.is_none() {
            self.overloaded = false;
        }
        task.map(|(_, task)| task)
    }

    /// Checks whether overload begins. If the queue is overloaded, removes and returns the tasks that have waited for
    /// too long.
    pub fn expire(&mut self, now: Instant) -> Vec<T> {
        let oldest_wait = self.oldest_wait(now).unwrap_or(Duration::ZERO);
        self.overloaded |= oldest_wait > OVERLOAD_WAIT.max(self.mean_run_time * OVERLOAD_RUNS);
        let mut expired = vec![];
        if self.overloaded {
            let max_delay = MIN_DELAY.max(self.mean_run_time * MAX_DELAY_RUNS);
            while self.oldest_wait(now).is_some_and(|wait| wait > max_delay) {
                expired.extend(self.tasks.pop_front().map(|(_, task)| task));
            }
        }
        expired
    }

    /// Begins overload, unless the queue is empty. The caller has rejected a request because the server is at capacity,
    /// or a task has timed out in the queue.
    pub fn signal_overload(&mut self) {
        self.overloaded = !self.tasks.is_empty();
    }

    /// Removes the tasks for which `is_cancelled` holds, and returns their number.
    pub fn remove(&mut self, is_cancelled: impl Fn(&T) -> bool) -> usize {
        let before = self.tasks.len();
        self.tasks.retain(|(_, task)| !is_cancelled(task));
        before - self.tasks.len()
    }

    /// Updates the mean run time: the new value is 7/8 of the old mean plus 1/8 of `run_time`.
    pub fn record_run_time(&mut self, run_time: Duration) {
        self.mean_run_time = if self.mean_run_time == Duration::ZERO {
            run_time
        } else {
            (self.mean_run_time * 7 + run_time) / 8
        };
    }

    /// Returns how long the oldest task has waited.
    fn oldest_wait(&self, now: Instant) -> Option<Duration> {
        self.tasks.front().map(|(arrived, _)| now.saturating_duration_since(*arrived))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Returns a queue, and the arrival time of its first task. The tasks 0, 1, … arrive at intervals of 1 ms.
    fn queue(tasks: u32) -> (Queue<u32>, Instant) {
        let (mut queue, start) = (Queue::new(), Instant::now());
        for task in 0..tasks {
            queue.push(task, start + task * MS);
        }
        (queue, start)
    }

    fn drain(queue: &mut Queue<u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.next()).collect()
    }

    #[test]
    fn is_first_in_first_out() {
        let (mut queue, start) = queue(4);
        assert!(queue.expire(start + OVERLOAD_WAIT).is_empty());
        assert_eq!(drain(&mut queue), [0, 1, 2, 3]);
    }

    #[test]
    fn is_last_in_first_out_under_overload() {
        let (mut queue, _) = queue(4);
        queue.signal_overload();
        assert_eq!(drain(&mut queue), [3, 2, 1, 0]);
    }

    #[test]
    fn rejects_long_waiting_tasks_under_overload_only() {
        let (mut queue, start) = queue(4);
        let now = start + MIN_DELAY + 2 * MS;
        assert!(queue.expire(now).is_empty());
        queue.signal_overload();
        assert_eq!(queue.expire(now), [0, 1]);
        assert_eq!(drain(&mut queue), [3, 2]);
    }

    #[test]
    fn the_maximum_delay_follows_the_run_time() {
        let (mut queue, start) = queue(2);
        queue.record_run_time(100 * MS);
        queue.signal_overload();
        assert!(queue.expire(start + 200 * MS).is_empty());
        assert_eq!(queue.expire(start + 201 * MS), [0]);
    }

    #[test]
    fn a_long_wait_starts_overload() {
        let (mut queue, start) = queue(2);
        assert_eq!(queue.expire(start + OVERLOAD_WAIT + MS), [0, 1]);
        // A long wait is normal if tasks run for long.
        let (mut queue, start) = self::queue(2);
        queue.record_run_time(OVERLOAD_WAIT);
        assert!(queue.expire(start + OVERLOAD_WAIT * OVERLOAD_RUNS).is_empty());
        queue.push(2, start + OVERLOAD_WAIT * OVERLOAD_RUNS);
        assert_eq!(queue.expire(start + OVERLOAD_WAIT * OVERLOAD_RUNS + MS), [0, 1]);
        assert_eq!(queue.next(), Some(2));
    }

    #[test]
    fn overload_ends_when_the_queue_is_empty() {
        let (mut queue, start) = queue(2);
        queue.signal_overload();
        assert_eq!(drain(&mut queue), [1, 0]);
        queue.push(2, start);
        queue.push(3, start);
        assert!(queue.expire(start + OVERLOAD_WAIT).is_empty());
        assert_eq!(drain(&mut queue), [2, 3]);
        queue.signal_overload();
        queue.push(4, start);
        assert!(queue.expire(start + OVERLOAD_WAIT).is_empty());
    }

    #[test]
    fn cancelled_tasks_are_removed() {
        let (mut queue, _) = queue(4);
        assert_eq!(queue.remove(|task| task % 2 == 0), 2);
        assert_eq!((queue.len(), drain(&mut queue)), (2, vec![1, 3]));
    }

    #[test]
    fn the_mean_run_time_moves_an_eighth_of_the_way() {
        let (mut queue, _) = queue(0);
        queue.record_run_time(80 * MS);
        assert_eq!(queue.mean_run_time, 80 * MS);
        queue.record_run_time(160 * MS);
        assert_eq!(queue.mean_run_time, 90 * MS);
    }
}
