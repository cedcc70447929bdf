//! Weights, which are used in place when a model is read.

use bytemuck::Pod;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;

/// Alignment of each list of weights: a cache line, which is at least the alignment of any element.
const ALIGNMENT: usize = 64;

thread_local! {
    /// Weights of the model that is being serialized on this thread.
    static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Weights of the model that is being read on this thread.
    static READ: Cell<&'static [u8]> = const { Cell::new(&[]) };
}

/// Returns the result of `write` and the weights that it serialized.
pub fn written<T>(write: impl FnOnce() -> T) -> (T, Vec<u8>) {
    WRITTEN.take();
    (write(), WRITTEN.take())
}

/// Returns the result of `read`, which can refer to `weights` returned by [`written`].
pub fn read<T>(weights: &'static [u8], read: impl FnOnce() -> T) -> T {
    READ.set(weights);
    let value = read();
    READ.set(&[]);
    value
}

/// Weights of a kernel, owned or borrowed from the model that was read.
pub struct Weights<T: Pod>(Cow<'static, [T]>);

impl<T: Pod> Weights<T> {
    /// Returns the weights for modification; borrowed weights are copied first.
    pub fn to_mut(&mut self) -> &mut Vec<T> {
        self.0.to_mut()
    }
}

impl<T: Pod> Deref for Weights<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Pod> From<Vec<T>> for Weights<T> {
    fn from(weights: Vec<T>) -> Weights<T> {
        Weights(Cow::Owned(weights))
    }
}

impl<T: Pod> fmt::Debug for Weights<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} weights", self.len())
    }
}

impl<T: Pod> Serialize for Weights<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: &[u8] = bytemuck::cast_slice(&self.0);
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
        let bytes = bytes.ok_or_else(|| de::Error::custom("expected the model's own weights"))?;
        let weights = bytemuck::try_cast_slice(bytes);
        Ok(Weights(weights.map_or_else(
            |_| Cow::Owned(bytemuck::allocation::pod_collect_to_vec(bytes)),
            Cow::Borrowed,
        )))
    }
}

/// A list of pairs, serialized as two lists of weights and copied when it is read.
pub mod pairs {
    use super::*;

    pub trait Pair {
        type First: Pod;
        type Second: Pod;

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
