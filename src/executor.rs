//! A bounded thread pool for predictions too slow to run on an I/O thread.
//!
//! A prediction is a task of the pool. [`queue`] decides which task runs next, and which tasks are rejected under
//! overload. This module owns the threads. A thread starts when it is needed, and normally runs until the process ends.

mod queue;
mod task;

use queue::Queue;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
pub use task::Failure;
use task::{Stage, Task, Work};
use tokio::sync::oneshot;
use tokio::time::timeout_at;

/// A bounded thread pool.
#[derive(Debug)]
pub struct Executor {
    pool: Arc<Pool>,
}

/// The part of an executor that its threads share.
#[derive(Debug)]
struct Pool {
    /// Maximum number of threads, not counting abandoned threads.
    max_threads: usize,
    state: Mutex<State>,
    /// Wakes an idle thread.
    task_available: Condvar,
}

/// The queue of tasks, and the number of threads.
struct State {
    queue: Queue<Box<dyn Task>>,
    /// Number of threads, including idle and abandoned threads.
    threads: usize,
    /// Number of threads that wait for a task.
    idle: usize,
    /// Number of threads that still run a task after its deadline, and that a new thread may replace. An abandoned
    /// thread ends when its task ends.
    abandoned: usize,
    /// Number of tasks cancelled before they ran, since the start.
    cancelled: u64,
    /// Number of threads replaced, since the start.
    replaced: u64,
}

/// Cancels a task when this value is dropped, if the task is still waiting for a thread. The value is dropped, for
/// example, when the client disconnects.
struct CancelOnDrop<'a> {
    stage: Stage,
    pool: &'a Pool,
}

impl CancelOnDrop<'_> {
    /// Cancels the task if it is waiting, and returns whether it was cancelled.
    fn cancel(&self) -> bool {
        let is_cancelled = self.stage.abandon_waiting();
        if is_cancelled {
            self.pool.remove_cancelled();
        }
        is_cancelled
    }
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Executor {
    /// Returns a pool of at most `max_threads` threads.
    pub fn new(max_threads: usize) -> Executor {
        let state = State {
            queue: Queue::new(),
            threads: 0,
            idle: 0,
            abandoned: 0,
            cancelled: 0,
            replaced: 0,
        };
        Executor {
            pool: Arc::new(Pool {
                max_threads,
                state: Mutex::new(state),
                task_available: Condvar::new(),
            }),
        }
    }

    /// Runs `work` on a thread of the pool.
    ///
    /// If the returned future is dropped before `work` has started, `work` is cancelled. A thread that still
    /// runs `work` at `deadline` is abandoned and replaced. At most `max_threads` threads are abandoned at a time.
    ///
    /// # Errors
    ///
    /// Returns an error for each case of [`Failure`].
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        queue_timeout: Duration,
        deadline: Instant,
    ) -> Result<T, Failure> {
        let stage = Stage::default();
        let (sender, mut result) = oneshot::channel();
        let task = CancelOnDrop { stage: stage.clone(), pool: &self.pool };
        let now = Instant::now();
        self.pool.push(Box::new(Work { work, stage, result: sender }), now);
        let done = match timeout_at(deadline.min(now + queue_timeout).into(), &mut result).await {
            Ok(done) => done,
            Err(_) if task.cancel() => {
                self.signal_overload();
                return Err(Failure::Queue);
            }
            // The task has started.
            Err(_) => match timeout_at(deadline.into(), result).await {
                Ok(done) => done,
                Err(_) => {
                    if task.stage.abandon_running() {
                        self.pool.replace_thread();
                    }
                    return Err(Failure::Deadline);
                }
            },
        };
        // A task sends its result even if it panics.
        done.unwrap_or(Err(Failure::Panic))
    }

    /// Reports that the server was at capacity when a request arrived, or that a task found no free thread in time.
    /// Overload starts if tasks are waiting.
    pub fn signal_overload(&self) {
        let mut state = self.pool.lock();
        state.queue.signal_overload();
        state.reject_expired(Instant::now());
    }

    /// Returns the number of waiting tasks.
    pub fn queued(&self) -> usize {
        self.pool.lock().queue.len()
    }

    /// Returns the number of tasks cancelled before they ran, since the start.
    pub fn cancelled(&self) -> u64 {
        self.pool.lock().cancelled
    }

    /// Returns the number of threads replaced because their task missed its deadline, since the start.
    pub fn replaced(&self) -> u64 {
        self.pool.lock().replaced
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No task runs while the lock is held, so a panic of a task cannot leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, task: Box<dyn Task>, now: Instant) {
        let mut state = self.lock();
        state.queue.push(task, now);
        state.reject_expired(now);
        if state.queue.len() <= state.idle {
            self.task_available.notify_one();
        } else {
            self.start_thread(&mut state);
        }
    }

    /// Starts a thread, unless the maximum number of threads exists.
    fn start_thread(self: &Arc<Self>, state: &mut State) {
        if state.threads >= self.max_threads + state.abandoned {
            return;
        }
        let pool = self.clone();
        let started =
            thread::Builder::new().name("inference".into()).spawn(move || pool.run_tasks());
        match started {
            Ok(_) => state.threads += 1,
            Err(error) => log::error!("cannot start an inference thread: {error}"),
        }
    }

    /// Runs tasks on the current thread. Returns after a task that missed its deadline, if a new thread may replace
    /// this thread.
    fn run_tasks(&self) {
        let mut state = self.lock();
        loop {
            state.reject_expired(Instant::now());
            let Some(task) = state.queue.next() else {
                state.idle += 1;
                state = self.task_available.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                continue;
            };
            drop(state);
            let start = Instant::now();
            let was_awaited = task.run();
            let run_time = start.elapsed();
            state = self.lock();
            state.queue.record_run_time(run_time);
            // A thread whose task was abandoned ends, because a new thread may have replaced it. But at most
            // `max_threads` threads are counted in `abandoned` and replaced. If `abandoned` is 0, this thread has not
            // been replaced, and it continues.
            if !was_awaited && state.abandoned > 0 {
                state.abandoned -= 1;
                state.threads -= 1;
                return;
            }
        }
    }

    fn remove_cancelled(&self) {
        let mut state = self.lock();
        let removed = state.queue.remove(|task| task.is_abandoned());
        state.cancelled += removed as u64;
    }

    /// Counts the thread of an abandoned task as abandoned, so that a new thread may replace it. Starts the new thread
    /// at once if tasks are waiting. Does nothing if the maximum number of threads is already abandoned.
    fn replace_thread(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.abandoned < self.max_threads {
            state.abandoned += 1;
            state.replaced += 1;
            if !state.queue.is_empty() {
                self.start_thread(&mut state);
            }
        }
    }
}

impl State {
    fn reject_expired(&mut self, now: Instant) {
        for task in self.queue.expire(now) {
            task.reject();
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("queued", &self.queue.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    /// Returns an executor with one busy thread. The thread becomes free when the returned sender is used or dropped.
    fn busy_executor() -> (Arc<Executor>, Sender<()>) {
        let executor = Arc::new(Executor::new(1));
        let (release, blocked) = channel();
        assert!(block_thread(&executor, blocked, LONG));
        (executor, release)
    }

    /// Occupies a thread of the executor until `blocked` receives a message or its sender is dropped. Returns true once
    /// the thread is occupied, and false if the deadline passes before that.
    fn block_thread(executor: &Arc<Executor>, blocked: Receiver<()>, deadline: Duration) -> bool {
        let (started, starts) = channel();
        let executor = executor.clone();
        thread::spawn(move || {
            let work = move || {
                started.send(()).expect("the test waits");
                let _ = blocked.recv();
            };
            block_on(executor.run(work, LONG, Instant::now() + deadline))
        });
        starts.recv().is_ok()
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        actix_web::rt::System::new().block_on(future)
    }

    #[test]
    fn tasks_run_on_the_pool() {
        let executor = Executor::new(2);
        let name = || thread::current().name().map(str::to_owned);
        let name = block_on(executor.run(name, LONG, Instant::now() + LONG));
        assert_eq!(name, Ok(Some("inference".to_owned())));
    }

    #[test]
    fn a_rejected_task_fails_with_overload() {
        let (executor, release) = busy_executor();
        let waits = thread::spawn({
            let executor = executor.clone();
            move || block_on(executor.run(|| 1, LONG, Instant::now() + LONG))
        });
        while executor.queued() == 0 {
            thread::yield_now();
        }
        executor.pool.lock().reject_expired(Instant::now() + LONG);
        assert_eq!(waits.join().expect("no panic"), Err(Failure::Overload));
        assert_eq!((executor.queued(), executor.cancelled()), (0, 0));
        drop(release);
        assert_eq!(block_on(executor.run(|| 2, LONG, Instant::now() + LONG)), Ok(2));
    }

    #[test]
    fn a_panic_is_a_failure_and_the_thread_continues() {
        let executor = Executor::new(1);
        let run = |work: fn() -> u32| executor.run(work, LONG, Instant::now() + LONG);
        block_on(async {
            assert_eq!(run(|| panic!("on purpose")).await, Err(Failure::Panic));
            assert_eq!(run(|| 1).await, Ok(1));
        });
    }

    #[test]
    fn a_task_that_times_out_in_the_queue_is_cancelled() {
        let (executor, release) = busy_executor();
        let work = || panic!("the task must not run");
        let done = block_on(executor.run(work, SHORT, Instant::now() + LONG));
        assert_eq!(done, Err::<(), _>(Failure::Queue));
        assert_eq!((executor.queued(), executor.cancelled()), (0, 1));
        drop(release);
        assert_eq!(block_on(executor.run(|| 1, LONG, Instant::now() + LONG)), Ok(1));
    }

    #[test]
    fn cancels_the_task_of_a_disconnected_client() {
        let (executor, release) = busy_executor();
        let work = || panic!("the task must not run");
        let run = executor.run::<()>(work, LONG, Instant::now() + LONG);
        // The timeout drops the future, as actix-web does when the client disconnects.
        let done = block_on(async { actix_web::rt::time::timeout(SHORT, run).await });
        assert!(done.is_err());
        assert_eq!((executor.queued(), executor.cancelled()), (0, 1));
        drop(release);
    }

    #[test]
    fn a_thread_whose_task_misses_its_deadline_is_replaced() {
        let executor = Arc::new(Executor::new(1));
        // On a busy machine, a short deadline may pass before the task starts. Each attempt has a longer deadline.
        let release = (1..).find_map(|attempt| {
            let (release, blocked) = channel();
            block_thread(&executor, blocked, attempt * SHORT).then_some(release)
        });
        // The only thread is busy, so this task waits until that thread is abandoned and replaced.
        assert_eq!(block_on(executor.run(|| 1, LONG, Instant::now() + LONG)), Ok(1));
        assert_eq!(executor.replaced(), 1);
        // The abandoned thread ends with its task.
        drop(release);
        while executor.pool.lock().abandoned > 0 {
            thread::yield_now();
        }
        assert_eq!(executor.pool.lock().threads, 1);
    }
}
