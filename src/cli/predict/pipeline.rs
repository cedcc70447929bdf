//! A parallel map that keeps the order of its input.

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Calls `work` for each item on `threads` threads, and `consume` for each result on the calling thread,
/// in the order of the items. At most two items per thread are in flight, which bounds the memory.
///
/// # Errors
///
/// Returns the first error in the order of the items. The error comes from an item, from `work` or from
/// `consume`. The results of all earlier items have been consumed.
pub fn run<T: Send, R: Send, E: Send>(
    threads: usize,
    items: impl Iterator<Item = Result<T, E>>,
    work: impl Fn(T) -> Result<R, E> + Sync,
    mut consume: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    // Each job carries the channel for its result. The receivers wait in `results` in the order of the
    // items, so it does not matter in which order the threads finish.
    let (jobs, waiting) = sync_channel::<(T, SyncSender<Result<R, E>>)>(threads);
    let waiting = Mutex::new(waiting);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                while let Ok((item, result)) = next() {
                    // The receiver is gone if an earlier item has failed.
                    let _ = result.send(work(item));
                }
            });
        }
        // Moves `jobs` into the closure, so that `jobs` is dropped when the closure returns. The threads then end.
        let jobs = jobs;
        let mut results = VecDeque::new();
        let mut items = items.fuse();
        // An error if `items` has returned one. No items are read after an error.
        let mut ended = Ok(());
        loop {
            while ended.is_ok() && results.len() < 2 * threads {
                let (sender, receiver) = sync_channel(1);
                match items.next() {
                    Some(Ok(item)) => {
                        // Cannot fail: `waiting` outlives the scope.
                        let _ = jobs.send((item, sender));
                        results.push_back(receiver);
                    }
                    Some(Err(error)) => ended = Err(error),
                    None => break,
                }
            }
            let Some(result) = results.pop_front() else { return ended };
            // There is no result if the thread panicked. The scope then panics when it ends.
            let Ok(result) = result.recv() else { return ended };
            consume(result?)?;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn results_keep_the_order_of_the_items() {
        let work = |item: u64| {
            // Later items often finish first.
            thread::sleep(Duration::from_micros(item * 7919 % 500));
            Ok::<u64, ()>(item * item)
        };
        let mut found = vec![];
        let done = run(4, (0..100).map(Ok), work, |square| {
            found.push(square);
            Ok(())
        });
        assert_eq!(done, Ok(()));
        assert_eq!(found, (0..100).map(|item| item * item).collect::<Vec<_>>());
    }

    #[test]
    fn results_before_an_error_are_consumed() {
        let items = || (0..100).map(|item| if item == 70 { Err("read") } else { Ok(item) });
        let mut count = 0;
        let done = run(3, items(), Ok, |_| {
            count += 1;
            Ok(())
        });
        assert_eq!((done, count), (Err("read"), 70));
        let work = |item| if item == 50 { Err("work") } else { Ok(item) };
        assert_eq!(run(3, items(), work, |_| Ok(())), Err("work"));
        assert_eq!(run(3, items(), Ok, |_| Err("consume")), Err("consume"));
    }
}
