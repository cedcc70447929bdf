//! Weights that several plans of one model share.
//!
//! A model whose shapes are known only at run time has a plan for each combination of input shapes. Most weights are
//! equal in all plans, before and after packing. [`Pool::share`] calls a function that makes a plan. During the call,
//! [`array`] and [`tensor`] return an equal array of an earlier plan if such an array exists. [`packed`] finds the
//! packed form of a tensor by the tensor, so that no tensor is packed twice.
//!
//! A [`Pool`] does not own the arrays. An array is freed when the last plan that uses the array is dropped.

use bytemuck::Pod;
use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::size_of_val;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tract_onnx::prelude::*;

/// Minimum size of a shared array, in bytes.
const MIN_BYTES: usize = 1024;

/// Number of samples of an array's content that are hashed for its [`Key`]. Arrays with equal keys are then compared
/// completely.
const SAMPLES: usize = 64;

/// A weak reference to an array or a tensor that plans own.
type Shared = Weak<dyn Any + Send + Sync>;

/// The weights of the plans of one model.
#[derive(Debug, Default)]
pub struct Pool(Mutex<Entries>);

/// The arrays of a pool, by their content and by the tensors from which they were packed.
#[derive(Debug, Default)]
struct Entries {
    by_content: HashMap<Key, Vec<Shared>>,
    by_source: HashMap<Source, Packed>,
}

/// The key of an array: the type and the size of the array, and a hash of samples of its content.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key(TypeId, usize, u64);

/// The key of a packed array: the address of the tensor, the type of the packed array, and the variant of the packing.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Source(usize, TypeId, u64);

/// A packed array and the tensor from which the array was packed. As long as the weak reference to the tensor exists,
/// no other tensor has the same address.
#[derive(Debug)]
struct Packed {
    source: Weak<Tensor>,
    array: Shared,
}

thread_local! {
    /// The pool of the model for which this thread makes a plan.
    static CURRENT: RefCell<Option<Session>> = const { RefCell::new(None) };
}

/// The state of [`Pool::share`] on the current thread.
struct Session {
    pool: Arc<Pool>,
    /// Size of the arrays of the new plan that no earlier plan has, in bytes.
    new_bytes: usize,
}

/// Ends the session, also if the plan panics.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        CURRENT.take();
    }
}

impl Pool {
    /// Calls `make`, which makes a plan. Returns the result of `make`, and the size of the plan's weights that no
    /// existing plan has, in bytes.
    pub fn share<T>(self: &Arc<Pool>, make: impl FnOnce() -> T) -> (T, usize) {
        CURRENT.set(Some(Session { pool: Arc::clone(self), new_bytes: 0 }));
        let end = End;
        let made = make();
        let new_bytes = CURRENT.with_borrow(|session| session.as_ref().map_or(0, |s| s.new_bytes));
        drop(end);
        self.entries().drop_freed();
        (made, new_bytes)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn drop_freed(&mut self) {
        let exists = |shared: &Shared| shared.strong_count() > 0;
        self.by_content.retain(|_, list| {
            list.retain(exists);
            !list.is_empty()
        });
        self.by_source.retain(|_, packed| exists(&packed.array));
    }
}

/// Calls `get` with the current pool. Returns `None` outside [`Pool::share`].
fn with_pool<T>(get: impl FnOnce(&mut Session) -> T) -> Option<T> {
    CURRENT.with_borrow_mut(|session| session.as_mut().map(get))
}

/// Returns an existing array or tensor that equals `new`. If there is no such array or tensor, returns `new`. `bytes`
/// is the size of `new`.
fn existing<T: Send + Sync + 'static>(
    key: Key,
    new: Arc<T>,
    bytes: usize,
    equal: impl Fn(&T, &T) -> bool,
) -> Arc<T> {
    with_pool(|session| {
        let mut entries = session.pool.entries();
        let list = entries.by_content.entry(key).or_default();
        let mut arrays = list.iter().filter_map(|shared| shared.upgrade()?.downcast::<T>().ok());
        let is_equal = |other: &Arc<T>| Arc::ptr_eq(other, &new) || equal(other, &new);
        if let Some(found) = arrays.find(is_equal) {
            return found;
        }
        let weak: Weak<T> = Arc::downgrade(&new);
        list.push(weak);
        session.new_bytes += bytes;
        Arc::clone(&new)
    })
    .unwrap_or(new)
}

/// Returns the hash of samples of `bytes`.
fn samples(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let step = (bytes.len() / SAMPLES).max(1);
    bytes.chunks(step).for_each(|chunk| chunk[..chunk.len().min(8)].hash(&mut hasher));
    hasher.finish()
}

/// Returns the elements as an array that plans share.
pub fn array<T: Pod + Send + Sync>(elements: Vec<T>) -> Arc<Vec<T>> {
    let bytes: &[u8] = bytemuck::cast_slice(&elements);
    let len = bytes.len();
    let is_shared = len >= MIN_BYTES && CURRENT.with_borrow(Option::is_some);
    if !is_shared {
        return Arc::new(elements);
    }
    let key = Key(TypeId::of::<Vec<T>>(), len, samples(bytes));
    existing(key, Arc::new(elements), len, |a, b| {
        bytemuck::cast_slice::<T, u8>(a) == bytemuck::cast_slice::<T, u8>(b)
    })
}

/// Returns the array that `pack` packs from `tensor`. If an existing plan has an array that was packed from the same
/// tensor with the same `variant`, returns that array and does not call `pack`.
pub fn packed<T: Pod + Send + Sync>(
    source: &Arc<Tensor>,
    variant: impl Hash,
    pack: impl FnOnce() -> Vec<T>,
) -> Arc<Vec<T>> {
    let mut hasher = DefaultHasher::new();
    variant.hash(&mut hasher);
    let key =
        || Source(Arc::as_ptr(source).addr(), TypeId::of::<Vec<T>>(), hasher.clone().finish());
    let found = with_pool(|session| {
        let entries = session.pool.entries();
        let packed = entries.by_source.get(&key())?;
        let is_source = packed.source.ptr_eq(&Arc::downgrade(source));
        packed.array.upgrade().filter(|_| is_source)?.downcast::<Vec<T>>().ok()
    });
    if let Some(array) = found.flatten() {
        return array;
    }
    let packed = array(pack());
    if size_of_val(packed.as_slice()) >= MIN_BYTES {
        with_pool(|session| {
            let weak: Weak<Vec<T>> = Arc::downgrade(&packed);
            let packed = Packed { source: Arc::downgrade(source), array: weak };
            session.pool.entries().by_source.insert(key(), packed);
        });
    }
    packed
}

/// Returns an existing tensor that equals `new`. If there is no such tensor, returns `new`.
pub fn tensor(new: Arc<Tensor>) -> Arc<Tensor> {
    let len = new.len() * new.datum_type().size_of();
    if len < MIN_BYTES || !new.datum_type().is_copy() {
        return new;
    }
    let bytes = |tensor: &Tensor| match tensor.try_as_plain_ram() {
        Ok(view) => samples(view.as_bytes()),
        // tract has packed the weights of this tensor, so there are no bytes to sample.
        Err(_) => 0,
    };
    let key = Key(TypeId::of::<Tensor>(), len, bytes(&new));
    existing(key, new, len, |a, b| {
        if a.datum_type() != b.datum_type() || a.shape() != b.shape() {
            return false;
        }
        match (a.try_as_plain_ram(), b.try_as_plain_ram()) {
            (Ok(a), Ok(b)) => a.as_bytes() == b.as_bytes(),
            (Err(_), Err(_)) => a == b,
            _ => false,
        }
    })
}
