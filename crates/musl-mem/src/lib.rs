//! `memcpy`, `memmove`, `memset`, `memcmp` and `bcmp` for x86-64, in place of musl's.
//!
//! musl copies by `rep movsq` whatever the length, which costs some thirty cycles before the first
//! byte, and compares byte by byte. Most copies of a server are of a few bytes. Here, up to 128
//! bytes go through registers, as two halves that overlap where the length is no power of two; more
//! go in steps of 64 bytes, and what is long by the processor's own string instructions
//! ([Intel's optimisation manual][manual], 3.7.6).
//!
//! To link it is to use it: `use musl_mem as _;`. On other targets there is nothing in it.
//!
//! [manual]: https://www.intel.com/content/www/us/en/developer/articles/technical/intel64-and-ia32-architectures-optimization.html
// Loops must not become calls of the very functions they are in.
#![no_builtins]
#![no_std]
#![cfg_attr(
    target_arch = "x86_64",
    allow(unsafe_code, reason = "the C library's functions take pointers")
)]

#[cfg(all(target_arch = "x86_64", any(test, target_env = "musl")))]
mod x86_64;

#[cfg(all(target_arch = "x86_64", target_env = "musl"))]
mod exports {
    use crate::x86_64;

    /// # Safety
    ///
    /// As C has it.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
        unsafe { x86_64::copy(to, from, len) };
        to
    }

    /// # Safety
    ///
    /// As C has it.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
        unsafe { x86_64::copy_overlapping(to, from, len) };
        to
    }

    /// # Safety
    ///
    /// As C has it.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
        unsafe { x86_64::fill(to, byte as u8, len) };
        to
    }

    /// # Safety
    ///
    /// As C has it.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
        unsafe { x86_64::compare(a, b, len) }
    }

    /// # Safety
    ///
    /// As C has it.
    #[unsafe(no_mangle)]
    pub unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
        unsafe { x86_64::compare(a, b, len) }
    }
}
