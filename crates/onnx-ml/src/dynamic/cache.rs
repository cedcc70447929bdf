//! The plans of a graph, by the shapes that they were made for.

use crate::dynamic::context::Counters;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tract_onnx::prelude::*;

/// Maximum number of plans of a graph. The plan that was used least recently is dropped.
const MAX_PLANS: usize = 64;

/// Maximum size, in bytes, of the constants that the plans of a graph do not share with the graph.
const MAX_BYTES: usize = 512 << 20;

/// The key of a block: its first node, and the values that exist before it.
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

/// Something whose memory the cache limits.
pub trait Weighted {
    /// Returns the size in bytes.
    fn bytes(&self) -> usize;
}

/// The blocks of a graph, of type `B`.
#[derive(Debug)]
pub struct Cache<B>(Mutex<Entries<B>>);

#[derive(Debug)]
struct Entries<B> {
    blocks: HashMap<Key, Entry<B>>,
    /// Number of lookups so far, which orders the entries by their last use.
    lookups: u64,
}

#[derive(Debug)]
struct Entry<B> {
    /// Empty while a thread makes the block. Other threads that need the same block wait for it.
    block: Cell<B>,
    last_use: u64,
}

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

    fn entries(&self) -> MutexGuard<'_, Entries<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Weighted> Entries<B> {
    /// Returns the cell of a block, and whether it existed.
    fn cell(&mut self, key: Key) -> (Cell<B>, bool) {
        self.lookups += 1;
        let last_use = self.lookups;
        let mut found = true;
        let entry = self.blocks.entry(key).or_insert_with(|| {
            found = false;
            Entry { block: Arc::default(), last_use }
        });
        entry.last_use = last_use;
        (Arc::clone(&entry.block), found)
    }

    /// Drops the blocks that were used least recently until the limits hold. Keeps `newest`.
    fn evict(&mut self, newest: &Cell<B>) {
        let size = |entry: &Entry<B>| entry.block.get().map_or(0, |block| block.bytes());
        let mut bytes: usize = self.blocks.values().map(size).sum();
        while self.blocks.len() > MAX_PLANS || bytes > MAX_BYTES {
            let others = self.blocks.iter().filter(|(_, entry)| !Arc::ptr_eq(&entry.block, newest));
            let oldest = others.min_by_key(|(_, entry)| entry.last_use);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { return };
            if let Some(entry) = self.blocks.remove(&oldest) {
                bytes -= size(&entry);
            }
        }
    }
}
