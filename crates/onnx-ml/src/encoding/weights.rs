//! Serializes arrays of weights separately from the rest of a model.
//!
//! Weights are appended to one block of bytes. The serialized field contains only the position and the length of the
//! weights in the block. When a model is read, its weights borrow from the block, which is an array in the binary. So
//! reading a model copies no weights.
//!
//! serde cannot pass the block to `serialize` and `deserialize`, so thread-local variables hold the block. Callers
//! serialize a model inside [`written`], and deserialize a model inside [`read`].

use crate::encoding::sharing;
use bytemuck::Pod;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;
use tract_onnx::prelude::Tensor;

/// Alignment of each array of weights within the block, in bytes. This is the size of a cache line, and a multiple of
/// the alignment of every element type.
const ALIGNMENT: usize = 64;

thread_local! {
    /// The block of the model that this thread is serializing.
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The block of the model that this thread is deserializing.
    static READ: Cell<&'static [u8]> = const { Cell::new(&[]) };
}

/// Calls `write`. Returns the result of `write`, and the block with the weights that `write` serialized.
pub fn written<T>(write: impl FnOnce() -> T) -> (T, Vec<u8>) {
    WRITTEN.take();
    (write(), WRITTEN.take())
}

/// Calls `read` and returns its result. The weights that `read` deserializes borrow from `weights`, which is the block
/// that [`written`] returned.
pub fn read<T>(weights: &'static [u8], read: impl FnOnce() -> T) -> T {
    READ.set(weights);
    let value = read();
    READ.set(&[]);
    value
}

/// An array of weights. After creation, the array is owned, and several plans of one model can share it. After
/// deserialization, the array borrows from the block.
pub struct Weights<T: Pod>(Storage<T>);

/// The two states of an array of weights.
enum Storage<T: Pod> {
    Owned(Arc<Vec<T>>),
    Borrowed(&'static [T]),
}

impl<T: Pod> Weights<T> {
    /// Returns the weights for modification. If the weights are borrowed or shared, they are copied first.
    pub fn to_mut(&mut self) -> &mut Vec<T> {
        if let Storage::Borrowed(weights) = self.0 {
            self.0 = Storage::Owned(Arc::new(weights.to_vec()));
        }
        match &mut self.0 {
            Storage::Owned(weights) => Arc::make_mut(weights),
            Storage::Borrowed(_) => unreachable!("borrowed weights have been copied"),
        }
    }
}

impl<T: Pod + Send + Sync> Weights<T> {
    /// Returns the weights that `pack` packs from a tensor. If another plan of the model has packed weights of the same
    /// tensor and the same `variant`, returns these weights and does not call `pack`.
    pub fn packed(
        source: &Arc<Tensor>,
        variant: impl Hash,
        pack: impl FnOnce() -> Vec<T>,
    ) -> Weights<T> {
        Weights(Storage::Owned(sharing::packed(source, variant, pack)))
    }
}

impl<T: Pod> Deref for Weights<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Storage::Owned(weights) => weights,
            Storage::Borrowed(weights) => weights,
        }
    }
}

impl<T: Pod + Send + Sync> From<Vec<T>> for Weights<T> {
    fn from(weights: Vec<T>) -> Weights<T> {
        Weights(Storage::Owned(sharing::array(weights)))
    }
}

impl<T: Pod> fmt::Debug for Weights<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} weights", self.len())
    }
}

impl<T: Pod> Serialize for Weights<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: &[u8] = bytemuck::cast_slice(self);
        let start = WRITTEN.with_borrow_mut(|written| {
            let start = written.len().next_multiple_of(ALIGNMENT);
            written.resize(start, 0);
            written.extend_from_slice(bytes);
            start
        });
        (start, bytes.len()).serialize(serializer)
    }
}

impl<'de, T: Pod> Deserialize<'de> for Weights<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Weights<T>, D::Error> {
        let (start, len): (usize, usize) = Deserialize::deserialize(deserializer)?;
        let bytes = READ.get().get(start..).and_then(|bytes| bytes.get(..len));
        let bytes = bytes.ok_or_else(|| {
            de::Error::custom(format!(
                "expected at least {} bytes of weights, found {}",
                start.saturating_add(len),
                READ.get().len()
            ))
        })?;
        // Copies the weights if the block itself is not aligned.
        let weights = bytemuck::try_cast_slice(bytes);
        Ok(Weights(weights.map_or_else(
            |_| Storage::Owned(Arc::new(bytemuck::allocation::pod_collect_to_vec(bytes))),
            Storage::Borrowed,
        )))
    }
}

/// Serializes a list of pairs as two arrays of weights: the first elements and the second elements. When the list is
/// read, the elements are copied.
pub mod pairs {
    use super::*;

    /// A pair that can be split into two elements, each without padding bytes.
    pub trait Pair {
        type First: Pod + Send + Sync;
        type Second: Pod + Send + Sync;

        fn split(&self) -> (Self::First, Self::Second);
        fn join(first: Self::First, second: Self::Second) -> Self;
    }

    pub fn serialize<P: Pair, S: Serializer>(list: &[P], serializer: S) -> Result<S::Ok, S::Error> {
        let (first, second): (Vec<_>, Vec<_>) = list.iter().map(Pair::split).unzip();
        (Weights::from(first), Weights::from(second)).serialize(serializer)
    }

    pub fn deserialize<'de, P: Pair, D: Deserializer<'de>>(d: D) -> Result<Vec<P>, D::Error> {
        let (first, second): (Weights<P::First>, Weights<P::Second>) = Deserialize::deserialize(d)?;
        Ok(first.iter().zip(&*second).map(|(first, second)| P::join(*first, *second)).collect())
    }
}
