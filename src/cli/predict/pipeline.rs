use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Works on `parts` on so many threads, and hands the results on in the parts' order. There are never
/// more than two parts for each thread.
///
/// # Errors
///
/// The first of a part that cannot be had, of its work, or of what is done with the result. What comes
/// before it is handed on.
pub fn run<T: Send, R: Send, E: Send>(
    threads: usize,
    parts: impl Iterator<Item = Result<T, E>>,
    work: impl Fn(T) -> Result<R, E> + Sync,
    mut hand_on: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let (jobs, waiting) = sync_channel::<(T, SyncSender<Result<R, E>>)>(threads);
    let waiting = Mutex::new(waiting);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                while let Ok((part, result)) = next() {
                    // Nobody waits for it where a part before has failed.
                    let _ = result.send(work(part));
                }
            });
        }
        let jobs = jobs;
        let mut results = VecDeque::new();
        let mut parts = parts.fuse();
        let mut ended = Ok(());
        loop {
            while ended.is_ok() && results.len() < 2 * threads {
                let (sender, receiver) = sync_channel(1);
                match parts.next() {
                    Some(Ok(part)) => {
                        // The threads end only after this.
                        let _ = jobs.send((part, sender));
                        results.push_back(receiver);
                    }
                    Some(Err(error)) => ended = Err(error),
                    None => break,
                }
            }
            let Some(result) = results.pop_front() else { return ended };
            // A thread that has panicked ends the scope with that.
            let Ok(result) = result.recv() else { return ended };
            hand_on(result?)?;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn results_come_in_the_order_of_the_parts() {
        let work = |part: u64| {
            thread::sleep(Duration::from_micros(part * 7919 % 500));
            Ok::<u64, ()>(part * part)
        };
        let mut found = vec![];
        let done = run(4, (0..100).map(Ok), work, |square| {
            found.push(square);
            Ok(())
        });
        assert_eq!(done, Ok(()));
        assert_eq!(found, (0..100).map(|part| part * part).collect::<Vec<_>>());
    }

    #[test]
    fn what_comes_before_an_error_is_handed_on() {
        let parts = || (0..100).map(|part| if part == 70 { Err("read") } else { Ok(part) });
        let mut count = 0;
        let done = run(3, parts(), Ok, |_| {
            count += 1;
            Ok(())
        });
        assert_eq!((done, count), (Err("read"), 70));
        let work = |part| if part == 50 { Err("work") } else { Ok(part) };
        assert_eq!(run(3, parts(), work, |_| Ok(())), Err("work"));
        assert_eq!(run(3, parts(), Ok, |_| Err("hand on")), Err("hand on"));
    }
}
