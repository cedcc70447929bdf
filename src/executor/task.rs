//! A task and its stage. The client and the thread of a task share the stage.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use tokio::sync::oneshot;

/// Reason why a task has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The task waited longer than the queue timeout.
    Queue,
    /// The task was rejected under overload.
    Overload,
    /// The task did not complete before the deadline.
    Deadline,
    /// The task panicked.
    Panic,
}

/// A task in the queue.
pub trait Task: Send {
    /// Runs the task, unless it is abandoned. Returns false if the task was abandoned while it ran. The
    /// pool may then have replaced the calling thread.
    fn run(self: Box<Self>) -> bool;
    /// Fails the task with [`Failure::Overload`], unless it is abandoned.
    fn reject(self: Box<Self>);
    /// Returns whether the task is abandoned: the client no longer waits for it, or the pool has rejected it.
    fn is_abandoned(&self) -> bool;
}

/// Stage of a task: first waiting, then running, then done. The client can abandon a task that is waiting or
/// running. A task that the pool rejects counts as abandoned too.
#[derive(Debug, Clone, Default)]
pub struct Stage(Arc<AtomicU8>);

/// The task waits for a thread.
const WAITING: u8 = 0;
/// The task runs on a thread.
const RUNNING: u8 = 1;
/// The task has run.
const DONE: u8 = 2;
/// The client no longer waits for the task, or the pool has rejected the task.
const ABANDONED: u8 = 3;

impl Stage {
    /// Abandons the task if it is waiting, and returns whether it was waiting.
    pub fn abandon_waiting(&self) -> bool {
        self.advance(WAITING, ABANDONED)
    }

    /// Abandons the task if it is running, and returns whether it was running.
    pub fn abandon_running(&self) -> bool {
        self.advance(RUNNING, ABANDONED)
    }

    fn start(&self) -> bool {
        self.advance(WAITING, RUNNING)
    }

    /// Changes the stage to done. Returns false if the task was abandoned while it ran.
    fn finish(&self) -> bool {
        self.0.swap(DONE, SeqCst) == RUNNING
    }

    fn is_abandoned(&self) -> bool {
        self.0.load(SeqCst) == ABANDONED
    }

    fn advance(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, SeqCst, SeqCst).is_ok()
    }
}

/// A closure, and the channel for its result.
pub struct Work<T, F> {
    pub work: F,
    pub stage: Stage,
    pub result: oneshot::Sender<Result<T, Failure>>,
}

impl<T: Send, F: FnOnce() -> T + Send> Task for Work<T, F> {
    fn run(self: Box<Self>) -> bool {
        let Work { work, stage, result } = *self;
        if !stage.start() {
            return true;
        }
        let done = catch_unwind(AssertUnwindSafe(work)).map_err(|_| Failure::Panic);
        let was_awaited = stage.finish();
        // Fails if the client no longer waits for the result.
        let _ = result.send(done);
        was_awaited
    }

    fn reject(self: Box<Self>) {
        if self.stage.abandon_waiting() {
            let _ = self.result.send(Err(Failure::Overload));
        }
    }

    fn is_abandoned(&self) -> bool {
        self.stage.is_abandoned()
    }
}
