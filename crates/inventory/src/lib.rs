//! Replaces the registry's crate [`inventory`] through `[patch.crates-io]`, to make the binary smaller.
//!
//! `inventory` collects values that crates submit: a constructor registers each value before `main`.
//! tract collects the kernels of `tract-linalg` in this way, and selects the kernels for the processor.
//! tract also collects transforms, runtimes and knobs, to look them up by name. ml-app needs only the kernels.
//! The linker cannot remove the other values, because the constructors refer to every submitted value. A third
//! of the binary was therefore code that never ran. This crate reduced the image from 26 MB to 17 MB.
//!
//! This crate provides the parts of `inventory`'s interface that tract uses. [`collect!`] decides whether a
//! collection is ever read. The decision depends on the name of the crate that calls the macro. If a collection
//! is never read, its constructors do nothing and no code refers to its values. The linker then removes the values,
//! and the collection is empty.
//!
//! The environment variables of knobs still work, but tract cannot list its knobs.
//!
//! [`inventory`]: https://docs.rs/inventory

use std::convert::Infallible;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::{Mutex, PoisonError};
use std::vec::IntoIter;

/// A type with a collection, which [`collect!`] declares.
pub trait Collect: Sync + Sized + 'static {
    /// True if the collection is ever read. Otherwise, the collection stays empty.
    #[doc(hidden)]
    const IS_READ: bool;

    #[doc(hidden)]
    fn registry() -> &'static Registry<Self>;
}

#[doc(hidden)]
pub struct Registry<T: 'static>(Mutex<Vec<&'static T>>);

impl<T> Registry<T> {
    #[doc(hidden)]
    pub const fn new() -> Self {
        Registry(Mutex::new(Vec::new()))
    }
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Registry::new()
    }
}

/// Iterates over the submitted values of a type, in any order. Both `iter::<T>` and `iter::<T>()` work.
pub use All::iter;

#[doc(hidden)]
#[allow(non_camel_case_types, reason = "it is used as a value and as a function")]
pub enum All<T> {
    iter,
    /// Uses the type parameter. This variant cannot be constructed.
    Never(Infallible, PhantomData<T>),
}

impl<T: Collect> IntoIterator for All<T> {
    type Item = &'static T;
    type IntoIter = IntoIter<&'static T>;

    fn into_iter(self) -> Self::IntoIter {
        all()
    }
}

impl<T: Collect> Deref for All<T> {
    type Target = fn() -> IntoIter<&'static T>;

    fn deref(&self) -> &Self::Target {
        &(all::<T> as fn() -> IntoIter<&'static T>)
    }
}

fn all<T: Collect>() -> IntoIter<&'static T> {
    T::registry().0.lock().unwrap_or_else(PoisonError::into_inner).clone().into_iter()
}

/// Declares a collection of values of a type, in the crate that defines the type.
#[macro_export]
macro_rules! collect {
    ($type:ty) => {
        impl $crate::Collect for $type {
            const IS_READ: bool = $crate::is_read(env!("CARGO_PKG_NAME"));

            fn registry() -> &'static $crate::Registry<Self> {
                static REGISTRY: $crate::Registry<$type> = $crate::Registry::new();
                &REGISTRY
            }
        }
    };
}

/// Adds a constant to the collection of its type. Must be used outside of functions.
#[macro_export]
macro_rules! submit {
    ($value:expr) => {
        const _: () = {
            extern "C" fn register() {
                $crate::register(const { &$value });
            }

            // The loader calls each function in this section before `main`.
            #[used]
            #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
            #[cfg_attr(windows, unsafe(link_section = ".CRT$XCU"))]
            #[cfg_attr(
                not(any(target_vendor = "apple", windows)),
                unsafe(link_section = ".init_array")
            )]
            static CONSTRUCTOR: extern "C" fn() = $crate::constructor(&$value, register);
        };
    };
}

/// Returns whether the collections of a crate are ever read.
#[doc(hidden)]
pub const fn is_read(package: &str) -> bool {
    // tract-core collects transforms and runtimes, and tract-data collects knobs. tract reads these collections only
    // to look up a value by its name, and ml-app never requests such a lookup.
    !matches!(package.as_bytes(), b"tract-core" | b"tract-data")
}

const _: () = assert!(is_read("tract-linalg") && !is_read("tract-data"));

/// Returns `register`, or a function that does nothing if the collection of `T` is never read.
#[doc(hidden)]
pub const fn constructor<T: Collect>(_: &T, register: extern "C" fn()) -> extern "C" fn() {
    extern "C" fn do_nothing() {}
    if T::IS_READ { register } else { do_nothing }
}

#[doc(hidden)]
pub fn register<T: Collect>(value: &'static T) {
    T::registry().0.lock().unwrap_or_else(PoisonError::into_inner).push(value);
}
