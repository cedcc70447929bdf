//! Stands in for the registry's [`inventory`], by `[patch.crates-io]`: what tract uses of it, without
//! what nobody here looks up.
//!
//! tract gathers by it what its crates submit: the kernels of `tract-linalg`, among which a processor's
//! are chosen, and besides these transforms, runtimes and knobs that are looked up by name. A constructor
//! registers each before `main`; no linker can tell that nobody will ask, so that all of it stays, and
//! what it calls: a third of the binary. Here [`collect!`] knows by the name of the crate it is in
//! whether anybody asks, and where nobody does, nothing refers to what is submitted. Such a collection is
//! empty.
//!
//! A knob is still set by its environment variable; it is only in no list.
//!
//! [`inventory`]: https://docs.rs/inventory

use std::convert::Infallible;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::{Mutex, PoisonError};
use std::vec::IntoIter;

/// What [`collect!`] makes of a type.
pub trait Collect: Sync + Sized + 'static {
    #[doc(hidden)]
    const KEPT: bool;

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

/// What was submitted of a type, as the value `iter::<T>` or the call `iter::<T>()`, in any order.
pub use All::iter;

#[doc(hidden)]
#[allow(non_camel_case_types, reason = "it is used as a value and as a function")]
pub enum All<T> {
    iter,
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

/// Makes a collection of values of a type, in the crate that defines it.
#[macro_export]
macro_rules! collect {
    ($type:ty) => {
        impl $crate::Collect for $type {
            const KEPT: bool = $crate::is_asked(env!("CARGO_PKG_NAME"));

            fn registry() -> &'static $crate::Registry<Self> {
                static REGISTRY: $crate::Registry<$type> = $crate::Registry::new();
                &REGISTRY
            }
        }
    };
}

/// Adds a constant to the collection of its type, outside of any function.
#[macro_export]
macro_rules! submit {
    ($value:expr) => {
        const _: () = {
            extern "C" fn register() {
                $crate::register(const { &$value });
            }

            // What runs the program calls each function it finds in this section before `main`.
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

/// Whether anybody looks up what the types of a crate collect.
#[doc(hidden)]
pub const fn is_asked(package: &str) -> bool {
    // Transforms and runtimes by name, of the one; a list of knobs, of the other.
    !matches!(package.as_bytes(), b"tract-core" | b"tract-data")
}

#[doc(hidden)]
pub const fn constructor<T: Collect>(_: &T, register: extern "C" fn()) -> extern "C" fn() {
    extern "C" fn nothing() {}
    if T::KEPT { register } else { nothing }
}

#[doc(hidden)]
pub fn register<T: Collect>(value: &'static T) {
    T::registry().0.lock().unwrap_or_else(PoisonError::into_inner).push(value);
}
