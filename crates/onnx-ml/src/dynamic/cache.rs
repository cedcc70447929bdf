//! The plans of a graph, by the shapes for which they were made.

use crate::dynamic::context::Counters;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tract_onnx::prelude::*;

/// Maximum number of plans of a graph. If there are more plans, the plan that was used least recently is dropped.
const MAX_PLANS: usize = 64;

/// Maximum size of the weights of all plans of a graph, in bytes. Weights that several plans share count once: for the
/// plan that was made first.
const MAX_BYTES: usize = 512 << 20;

/// The key of a block: the index of the block's first node, and the values that exist before the block runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub start: usize,
    pub values: Vec<KnownValue>,
}

/// The part of a key for one value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KnownValue {
    /// Type and shape of a tensor that is computed in each run.
    Shape(DatumType, Box<[usize]>),
    /// Type, shape and bytes of a tensor that depends on shapes only.
    Constant(DatumType, Box<[usize]>, Box<[u8]>),
    /// A sequence or an optional value.
    Other,
}

/// A type whose memory the cache limits.
pub trait Weighted {
    /// Returns the size that counts towards the limit, in bytes.
    fn bytes(&self) -> usize;
}

/// The blocks of a graph. `B` is the type of a block.
#[derive(Debug)]
pub struct Cache<B>(Mutex<Entries<B>>);

/// The content of a [`Cache`].
#[derive(Debug)]
struct Entries<B> {
    blocks: HashMap<Key, Entry<B>>,
    /// Number of lookups so far. An entry stores this number at its last use, so the entries are ordered by their last
    /// use.
    lookups: u64,
}

/// A block, or a block that a thread is making, and its last use.
#[derive(Debug)]
struct Entry<B> {
    /// The block. The cell is empty while a thread makes the block. Other threads that need the same block wait for
    /// that thread.
    block: Cell<B>,
    last_use: u64,
}

/// A cell that is empty until its block exists.
type Cell<B> = Arc<OnceLock<Arc<B>>>;

impl<B> Default for Cache<B> {
    fn default() -> Cache<B> {
        Cache(Mutex::new(Entries { blocks: HashMap::new(), lookups: 0 }))
    }
}

impl<B: Weighted> Cache<B> {
    /// Returns the block for `key`. Calls `make` if the block does not exist.
    pub fn get(&self, key: Key, counters: &Counters, make: impl FnOnce() -> B) -> Arc<B> {
        let (cell, found) = self.entries().cell(key);
        let counter = if found { &counters.hits } else { &counters.misses };
        counter.fetch_add(1, Relaxed);
        if let Some(block) = cell.get() {
            return Arc::clone(block);
        }
        let block = Arc::clone(cell.get_or_init(|| Arc::new(make())));
        self.entries().evict(&cell);
        block
    }

    /// Returns the number of blocks and their size in bytes.
    #[cfg(test)]
    pub fn size(&self) -> (usize, usize) {
        let entries = self.entries();
        (entries.blocks.len(), entries.bytes())
    }

    fn entries(&self) -> MutexGuard<'_, Entries<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Weighted> Entry<B> {
    /// Returns the size of the block. Returns 0 while a thread makes the block.
    fn bytes(&self) -> usize {
        self.block.get().map_or(0, |block| block.bytes())
    }
}

impl<B: Weighted> Entries<B> {
    /// Returns the cell of a block, and whether the cell existed.
    fn cell(&mut self, key: Key) -> (Cell<B>, bool) {
        self.lookups += 1;
        let last_use = self.lookups;
        let mut found = true;
        let entry = self.blocks.entry(key).or_insert_with(|| {
            found = false;
            Entry { block: Arc::default(), last_use }
        });
        entry.last_use = last_use;
        let cell = Arc::clone(&entry.block);
        if !found {
            // If making a block panics, the empty entry stays in the cache until it is the oldest entry.
            self.evict(&cell);
        }
        (cell, found)
    }

    /// Returns the size of all blocks.
    fn bytes(&self) -> usize {
        self.blocks.values().map(Entry::bytes).sum()
    }

    /// Drops the blocks that were used least recently, until the number and the size of the blocks are within the
    /// limits. Never drops `newest`.
    fn evict(&mut self, newest: &Cell<B>) {
        let mut bytes = self.bytes();
        while self.blocks.len() > MAX_PLANS || bytes > MAX_BYTES {
            let others = self.blocks.iter().filter(|(_, entry)| !Arc::ptr_eq(&entry.block, newest));
            let oldest = others.min_by_key(|(_, entry)| entry.last_use);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { return };
            if let Some(entry) = self.blocks.remove(&oldest) {
                bytes -= entry.bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc::channel;
    use std::thread;

    /// A block with this size in bytes.
    struct Sized(usize);

    impl Weighted for Sized {
        fn bytes(&self) -> usize {
            self.0
        }
    }

    fn key(start: usize) -> Key {
        Key { start, values: vec![] }
    }

    #[test]
    fn the_blocks_that_were_used_least_recently_are_dropped() {
        let (cache, counters) = (Cache::default(), Counters::default());
        let bytes = MAX_BYTES / 4;
        for start in 0..10 {
            cache.get(key(start), &counters, || Sized(bytes));
            cache.get(key(0), &counters, || panic!("the first block was used last"));
        }
        assert_eq!(cache.size(), (4, MAX_BYTES));
        for start in 10..1000 {
            cache.get(key(start), &counters, || Sized(0));
        }
        assert_eq!(cache.size(), (MAX_PLANS, 0));
    }

    #[test]
    fn blocks_whose_making_panics_use_bounded_memory() {
        let (cache, counters) = (Cache::<Sized>::default(), Counters::default());
        for start in 0..200 {
            let make = || cache.get(key(start), &counters, || panic!("a shape that fails"));
            assert!(catch_unwind(AssertUnwindSafe(make)).is_err());
        }
        assert_eq!(cache.size(), (MAX_PLANS, 0));
    }

    #[test]
    fn a_block_that_is_being_made_does_not_delay_other_blocks() {
        let (cache, counters) = (&Cache::default(), &Counters::default());
        cache.get(key(0), counters, || Sized(1));
        let (started, wait_for_start) = channel();
        let (finish, wait_for_finish) = channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                cache.get(key(1), counters, || {
                    started.send(()).expect("the test waits");
                    wait_for_finish.recv().expect("the test sends");
                    Sized(2)
                })
            });
            wait_for_start.recv().expect("the thread sends");
            assert_eq!(cache.get(key(0), counters, || panic!("the block exists")).0, 1);
            assert_eq!(cache.get(key(2), counters, || Sized(3)).0, 3);
            finish.send(()).expect("the thread waits");
        });
        assert_eq!(cache.get(key(1), counters, || panic!("the block exists")).0, 2);
    }
}
