//! Where predictions run that would keep other requests waiting: on a bounded number of threads, from
//! a queue.
//!
//! The queue is first in, first out. Once somebody has waited for long, or there was no place for a request,
//! and until the queue has been empty, the newest goes first, and whoever has waited for longer than twice
//! what a task takes is refused: so those who are answered are answered in time, and the others know soon
//! ([Fail at Scale](https://queue.acm.org/detail.cfm?id=2839461)).

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout_at;

/// Who has waited for so long, and for several tasks, tells that there is too much to do.
const LONG_WAIT: Duration = Duration::from_secs(2);

/// Less would refuse what waits for tasks that take next to nothing.
const LEAST_PATIENCE: Duration = Duration::from_millis(20);

/// Threads and their queue. The threads end with the process.
#[derive(Debug)]
pub struct Executor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Threads at once, without those whose work is given up.
    threads: usize,
    queue: Mutex<Queue>,
    work: Condvar,
    queued: AtomicUsize,
    skipped: AtomicU64,
    replaced: AtomicU64,
}

#[derive(Default)]
struct Queue {
    /// With the time at which each came.
    tasks: VecDeque<(Instant, Box<dyn Task>)>,
    newest_first: bool,
    /// What a task takes, by the last ones.
    usual: Duration,
    /// Threads that there are, and how many of them wait for work.
    threads: usize,
    idle: usize,
    /// How many of them run what nobody waits for any more.
    given_up: usize,
}

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No thread was free in time.
    Queue,
    /// There were too many others.
    Overload,
    /// It did not end in time.
    Deadline,
    Panic,
}

/// How far a task is.
mod stage {
    pub const WAITS: u8 = 0;
    pub const RUNS: u8 = 1;
    pub const ENDED: u8 = 2;
    pub const GIVEN_UP: u8 = 3;
}

trait Task: Send {
    /// Whether the thread that ran it is still one of the executor's.
    fn run(self: Box<Self>) -> bool;
    fn refuse(self: Box<Self>);
    fn is_wanted(&self) -> bool;
}

struct Work<T, F> {
    work: F,
    stage: Arc<AtomicU8>,
    result: oneshot::Sender<Result<T, Failure>>,
}

impl<T: Send, F: FnOnce() -> T + Send> Task for Work<T, F> {
    fn run(self: Box<Self>) -> bool {
        let Work { work, stage, result } = *self;
        if stage.compare_exchange(stage::WAITS, stage::RUNS, SeqCst, SeqCst).is_err() {
            return true;
        }
        let done = catch_unwind(AssertUnwindSafe(work)).map_err(|_| Failure::Panic);
        let kept = stage.swap(stage::ENDED, SeqCst) == stage::RUNS;
        // Whoever asked may have gone.
        let _ = result.send(done);
        kept
    }

    fn refuse(self: Box<Self>) {
        if self.stage.compare_exchange(stage::WAITS, stage::GIVEN_UP, SeqCst, SeqCst).is_ok() {
            let _ = self.result.send(Err(Failure::Overload));
        }
    }

    fn is_wanted(&self) -> bool {
        self.stage.load(SeqCst) == stage::WAITS
    }
}

/// Of a task that somebody waits for.
struct Awaited<'a> {
    stage: Arc<AtomicU8>,
    shared: &'a Arc<Shared>,
}

impl Awaited<'_> {
    fn give_up(&self, at: u8) -> bool {
        self.stage.compare_exchange(at, stage::GIVEN_UP, SeqCst, SeqCst).is_ok()
    }
}

impl Drop for Awaited<'_> {
    /// Whoever waited has gone, or has had enough.
    fn drop(&mut self) {
        if self.give_up(stage::WAITS) {
            self.shared.skip();
        }
    }
}

impl Executor {
    /// The threads come when they are needed.
    pub fn new(threads: usize) -> Executor {
        Executor {
            shared: Arc::new(Shared {
                threads,
                queue: Mutex::default(),
                work: Condvar::new(),
                queued: AtomicUsize::new(0),
                skipped: AtomicU64::new(0),
                replaced: AtomicU64::new(0),
            }),
        }
    }

    /// Runs `work` on one of the threads. Work that has not begun when the result is not waited for any
    /// more is skipped. A thread whose work goes on beyond `deadline` is replaced; as many threads may
    /// be in that state as there are others.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        queue_timeout: Duration,
        deadline: Instant,
    ) -> Result<T, Failure> {
        let stage = Arc::new(AtomicU8::new(stage::WAITS));
        let (sender, mut result) = oneshot::channel();
        let awaited = Awaited { stage: stage.clone(), shared: &self.shared };
        self.shared.push(Box::new(Work { work, stage, result: sender }));
        let queue_deadline = deadline.min(Instant::now() + queue_timeout);
        let done = match timeout_at(queue_deadline.into(), &mut result).await {
            Ok(done) => done,
            Err(_) if awaited.stage.load(SeqCst) == stage::WAITS => {
                drop(awaited);
                self.overloaded();
                return Err(Failure::Queue);
            }
            Err(_) => match timeout_at(deadline.into(), result).await {
                Ok(done) => done,
                Err(_) => {
                    if awaited.give_up(stage::RUNS) {
                        self.shared.replace();
                    }
                    return Err(Failure::Deadline);
                }
            },
        };
        // The sender does not go without a result.
        done.unwrap_or(Err(Failure::Panic))
    }

    /// There was no place for a request.
    pub fn overloaded(&self) {
        let mut queue = self.shared.lock();
        queue.newest_first = !queue.tasks.is_empty();
        self.shared.refuse_old(&mut queue);
    }

    /// Tasks that wait.
    pub fn queued(&self) -> usize {
        self.shared.queued.load(SeqCst)
    }

    /// Tasks that were not begun, as nobody waited for them any more.
    pub fn skipped(&self) -> u64 {
        self.shared.skipped.load(SeqCst)
    }

    /// Threads that were replaced, as what they ran did not end in time.
    pub fn replaced(&self) -> u64 {
        self.shared.replaced.load(SeqCst)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No task runs while it is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, task: Box<dyn Task>) {
        let mut queue = self.lock();
        queue.tasks.push_back((Instant::now(), task));
        self.refuse_old(&mut queue);
        match queue.tasks.len() <= queue.idle {
            true => self.work.notify_one(),
            false => self.start_thread(&mut queue),
        }
    }

    fn start_thread(self: &Arc<Self>, queue: &mut Queue) {
        if queue.threads >= self.threads + queue.given_up {
            return;
        }
        let shared = self.clone();
        let started = thread::Builder::new().name("inference".into()).spawn(move || shared.work());
        match started {
            Ok(_) => queue.threads += 1,
            Err(error) => log::error!("a thread for predictions cannot be started: {error}"),
        }
    }

    /// What a thread does.
    fn work(&self) {
        let mut queue = self.lock();
        loop {
            let Some(task) = self.next(&mut queue) else {
                queue.newest_first = false;
                queue.idle += 1;
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
                continue;
            };
            drop(queue);
            let start = Instant::now();
            let kept = task.run();
            queue = self.lock();
            queue.usual = match queue.usual {
                Duration::ZERO => start.elapsed(),
                usual => (usual * 7 + start.elapsed()) / 8,
            };
            if !kept && queue.given_up > 0 {
                queue.given_up -= 1;
                break;
            }
        }
        queue.threads -= 1;
    }

    fn next(&self, queue: &mut Queue) -> Option<Box<dyn Task>> {
        self.refuse_old(queue);
        let task = match queue.newest_first {
            true => queue.tasks.pop_back(),
            false => queue.tasks.pop_front(),
        };
        self.queued.store(queue.tasks.len(), SeqCst);
        task.map(|(_, task)| task)
    }

    /// Under overload.
    fn refuse_old(&self, queue: &mut Queue) {
        let waited = queue.tasks.front().map_or(Duration::ZERO, |(came, _)| came.elapsed());
        queue.newest_first |= waited > LONG_WAIT.max(queue.usual * 4);
        let most = (queue.usual * 2).max(LEAST_PATIENCE);
        let is_old =
            |queue: &Queue| queue.tasks.front().is_some_and(|(came, _)| came.elapsed() > most);
        while queue.newest_first && is_old(queue) {
            if let Some((_, task)) = queue.tasks.pop_front() {
                task.refuse();
            }
        }
        self.queued.store(queue.tasks.len(), SeqCst);
    }

    /// Drops the tasks that nobody waits for.
    fn skip(&self) {
        let mut queue = self.lock();
        let before = queue.tasks.len();
        queue.tasks.retain(|(_, task)| task.is_wanted());
        self.queued.store(queue.tasks.len(), SeqCst);
        self.skipped.fetch_add((before - queue.tasks.len()) as u64, SeqCst);
    }

    /// A thread's work is given up.
    fn replace(self: &Arc<Self>) {
        let mut queue = self.lock();
        if queue.given_up < self.threads {
            queue.given_up += 1;
            self.replaced.fetch_add(1, SeqCst);
            if !queue.tasks.is_empty() {
                self.start_thread(&mut queue);
            }
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    /// One thread, and what keeps it busy until there is a message or the sender is dropped.
    fn busy() -> (Arc<Executor>, Sender<()>) {
        let executor = Arc::new(Executor::new(1));
        let (release, held) = channel();
        hold(&executor, held, LONG);
        (executor, release)
    }

    fn hold(executor: &Arc<Executor>, held: Receiver<()>, time: Duration) {
        let (began, begins) = channel();
        let executor = executor.clone();
        thread::spawn(move || {
            let work = move || {
                began.send(()).expect("somebody waits");
                let _ = held.recv();
            };
            block_on(executor.run(work, LONG, Instant::now() + time))
        });
        begins.recv().expect("it begins");
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        actix_web::rt::System::new().block_on(future)
    }

    /// Asks for a number from each of so many threads, one after the other.
    fn ask(executor: &Arc<Executor>, numbers: u32, order: &Sender<u32>) {
        for number in 0..numbers {
            let (executor, order) = (executor.clone(), order.clone());
            let before = executor.queued();
            thread::spawn({
                let executor = executor.clone();
                move || {
                    let work = move || order.send(number);
                    block_on(executor.run(work, LONG, Instant::now() + LONG))
                }
            });
            while executor.queued() == before {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn the_queue_is_first_in_first_out() {
        let (executor, release) = busy();
        let (order, ordered) = channel();
        ask(&executor, 4, &order);
        drop((release, order));
        assert_eq!(ordered.iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn under_overload_the_newest_goes_first() {
        let (executor, release) = busy();
        let (order, ordered) = channel();
        executor.shared.lock().usual = LONG;
        ask(&executor, 4, &order);
        executor.overloaded();
        drop((release, order));
        assert_eq!(ordered.iter().collect::<Vec<_>>(), [3, 2, 1, 0]);
    }

    #[test]
    fn under_overload_who_has_waited_long_is_refused() {
        let (executor, release) = busy();
        let waits = thread::spawn({
            let executor = executor.clone();
            move || block_on(executor.run(|| 1, LONG, Instant::now() + LONG))
        });
        while executor.queued() == 0 {
            thread::yield_now();
        }
        thread::sleep(2 * LEAST_PATIENCE);
        executor.overloaded();
        assert_eq!(waits.join().expect("no panic"), Err(Failure::Overload));
        assert_eq!(executor.queued(), 0);
        drop(release);
        assert_eq!(block_on(executor.run(|| 2, LONG, Instant::now() + LONG)), Ok(2));
    }

    #[test]
    fn a_panic_is_a_failure_and_the_thread_goes_on() {
        let executor = Executor::new(1);
        let run = |work: fn() -> u32| executor.run(work, LONG, Instant::now() + LONG);
        block_on(async {
            assert_eq!(run(|| panic!("on purpose")).await, Err(Failure::Panic));
            assert_eq!(run(|| 1).await, Ok(1));
        });
    }

    #[test]
    fn who_waits_too_long_is_told_and_the_work_is_skipped() {
        let (executor, release) = busy();
        let work = || panic!("it must not run");
        let waited = block_on(executor.run(work, SHORT, Instant::now() + LONG));
        assert_eq!(waited, Err::<(), _>(Failure::Queue));
        assert_eq!((executor.queued(), executor.skipped()), (0, 1));
        drop(release);
        assert_eq!(block_on(executor.run(|| 1, LONG, Instant::now() + LONG)), Ok(1));
    }

    #[test]
    fn a_thread_that_does_not_end_in_time_is_replaced() {
        let executor = Arc::new(Executor::new(1));
        let (release, held) = channel();
        hold(&executor, held, SHORT);
        // The one thread is busy: this waits until that is given up.
        assert_eq!(block_on(executor.run(|| 1, LONG, Instant::now() + LONG)), Ok(1));
        assert_eq!(executor.replaced(), 1);
        // It does not come back beside the one that took its place.
        drop(release);
        while executor.shared.lock().given_up > 0 {
            thread::yield_now();
        }
        assert_eq!(executor.shared.lock().threads, 1);
    }
}
