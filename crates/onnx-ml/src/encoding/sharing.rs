//! Weights that several plans of one model share.
//!
//! A model whose shapes are known only at run time has a plan for each combination of input shapes. Most weights are
//! equal in all plans, before and after packing. [`Pool::share`] calls a function that makes a plan. During the call,
//! [`array`] and [`tensor`] return an equal array of an earlier plan if such an array exists. [`packed`] finds the
//! packed form of a tensor by the tensor's address, so that no tensor is packed twice.
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

/// Number of samples of an array's content that are hashed for its [`ContentKey`]. Arrays with equal keys are then
/// compared completely.
const SAMPLES: usize = 64;

/// A weak reference to an array or a tensor that plans own.
type Shared = Weak<dyn Any + Send + Sync>;

/// The weights of the plans of one model.
#[derive(Debug, Default)]
pub struct Pool(Mutex<Entries>);

/// The arrays of a pool, by their content and by the tensors from which they were packed.
#[derive(Debug, Default)]
struct Entries {
    by_content: HashMap<ContentKey, Vec<Shared>>,
    by_source: HashMap<PackedKey, Packed>,
}

/// The key of an array: the type and the size of the array, and a hash of samples of its content.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ContentKey(TypeId, usize, u64);

/// The key of a packed array: the address of the tensor, the type of the packed array, and the variant of the packing.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PackedKey(usize, TypeId, u64);

/// A packed array and the tensor from which the array was packed. As long as the weak reference to the tensor exists,
/// no other tensor has the same address.
#[derive(Debug)]
struct Packed {
    source: Weak<Tensor>,
    array: Shared,
}

thread_local! {
    /// The session of this thread. `None` outside [`Pool::share`].
    static CURRENT: RefCell<Option<Session>> = const { RefCell::new(None) };
}

/// The state of [`Pool::share`] on the current thread.
struct Session {
    pool: Arc<Pool>,
    /// Size of the arrays of the new plan that no earlier plan has, in bytes.
    new_bytes: usize,
}

/// Ends the session when it is dropped, even if the function that makes the plan panics.
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

/// Calls `get` with the session of this thread. Returns `None` outside [`Pool::share`].
fn with_session<T>(get: impl FnOnce(&mut Session) -> T) -> Option<T> {
    CURRENT.with_borrow_mut(|session| session.as_mut().map(get))
}

/// Returns an existing array or tensor that equals `new`. If there is no such array or tensor, adds `new` to the pool,
/// adds `bytes`, the size of `new`, to the session's `new_bytes`, and returns `new`. Outside [`Pool::share`], only
/// returns `new`.
fn reuse_or_add<T: Send + Sync + 'static>(
    key: ContentKey,
    new: Arc<T>,
    bytes: usize,
    equal: impl Fn(&T, &T) -> bool,
) -> Arc<T> {
    with_session(|session| {
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

/// Returns a hash of samples of `bytes`.
fn sample_hash(bytes: &[u8]) -> u64 {
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
    let key = ContentKey(TypeId::of::<Vec<T>>(), len, sample_hash(bytes));
    reuse_or_add(key, Arc::new(elements), len, |a, b| {
        bytemuck::cast_slice::<T, u8>(a) == bytemuck::cast_slice::<T, u8>(b)
    })
}

/// Returns the array that `pack` makes from `source`. If an existing plan has an array that was packed from `source`
/// with the same `variant`, returns that array and does not call `pack`.
pub fn packed<T: Pod + Send + Sync>(
    source: &Arc<Tensor>,
    variant: impl Hash,
    pack: impl FnOnce() -> Vec<T>,
) -> Arc<Vec<T>> {
    let mut hasher = DefaultHasher::new();
    variant.hash(&mut hasher);
    let key =
        || PackedKey(Arc::as_ptr(source).addr(), TypeId::of::<Vec<T>>(), hasher.clone().finish());
    let found = with_session(|session| {
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
        with_session(|session| {
            let weak: Weak<Vec<T>> = Arc::downgrade(&packed);
            let packed = Packed { source: Arc::downgrade(source), array: weak };
            session.pool.entries().by_source.insert(key(), packed);
        });
    }
    packed
}

/// Returns `new`, or an equal tensor of an existing plan if there is one.
pub fn tensor(new: Arc<Tensor>) -> Arc<Tensor> {
    let len = new.len() * new.datum_type().size_of();
    if len < MIN_BYTES || !new.datum_type().is_copy() {
        return new;
    }
    let content_hash = |tensor: &Tensor| match tensor.try_as_plain_ram() {
        Ok(view) => sample_hash(view.as_bytes()),
        // tract has packed the weights of this tensor, so there are no bytes to sample.
        Err(_) => 0,
    };
    let key = ContentKey(TypeId::of::<Tensor>(), len, content_hash(&new));
    reuse_or_add(key, new, len, |a, b| {
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
