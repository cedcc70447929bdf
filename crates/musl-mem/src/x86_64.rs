//! The implementations. Their names differ from the names in the C library, so that the linker does not confuse
//! the functions.
//!
//! Copied memory may be uninitialized (padding, for example), so the copies load and store [`MaybeUninit`] values.

use core::arch::asm;
use core::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8, _mm_storeu_si128,
};
use core::mem::MaybeUninit;

/// Minimum length, in bytes, for the string instructions `rep movsb` and `rep stosb`. For shorter lengths, loops with
/// 16-byte registers are faster.
const MIN_STRING_LEN: usize = 2048;

/// Size of a [`Block`], in bytes.
const BLOCK_SIZE: usize = 64;

/// 64 bytes in four registers.
type Block = [MaybeUninit<__m128i>; 4];

/// Loads a value.
///
/// # Safety
///
/// `from` must be readable for `size_of::<T>()` bytes. It may be unaligned and uninitialized.
#[inline(always)]
unsafe fn load<T>(from: *const u8) -> MaybeUninit<T> {
    // SAFETY: the caller guarantees that the bytes can be read, the read needs no alignment, and any
    // bytes are a valid `MaybeUninit`.
    unsafe { from.cast::<MaybeUninit<T>>().read_unaligned() }
}

/// Stores a value.
///
/// # Safety
///
/// `to` must be writable for `size_of::<T>()` bytes. It may be unaligned.
#[inline(always)]
unsafe fn store<T>(to: *mut u8, value: T) {
    // SAFETY: the caller guarantees that the bytes can be written, and the write needs no alignment.
    unsafe { to.cast::<T>().write_unaligned(value) }
}

/// Loads a block.
///
/// # Safety
///
/// `from` must be readable for [`BLOCK_SIZE`] bytes.
#[inline(always)]
unsafe fn load_block(from: *const u8) -> Block {
    // SAFETY: the four loads are of 16 bytes each, at 0, 16, 32 and 48: within the 64 bytes that the
    // caller guarantees.
    unsafe { [load(from), load(from.add(16)), load(from.add(32)), load(from.add(48))] }
}

/// Stores a block.
///
/// # Safety
///
/// `to` must be writable for [`BLOCK_SIZE`] bytes.
#[inline(always)]
unsafe fn store_block(to: *mut u8, [a, b, c, d]: Block) {
    // SAFETY: the four stores are of 16 bytes each, at 0, 16, 32 and 48: within the 64 bytes that the
    // caller guarantees.
    unsafe {
        store(to, a);
        store(to.add(16), b);
        store(to.add(32), c);
        store(to.add(48), d);
    }
}

/// Copies the first and the last `size_of::<T>()` bytes. Reads both before it writes either.
///
/// # Safety
///
/// `from` must be readable and `to` writable for `len` bytes, and `len` must be at least
/// `size_of::<T>()`. `from` and `to` may overlap.
#[inline(always)]
unsafe fn copy_ends<T>(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: with `len >= size_of::<T>()`, `last` does not underflow, and both accesses of
    // `size_of::<T>()` bytes, at 0 and at `last`, end at or before `len`.
    unsafe {
        let last = len - size_of::<T>();
        let (head, tail) = (load::<T>(from), load::<T>(from.add(last)));
        store(to, head);
        store(to.add(last), tail);
    }
}

/// Copies at most 128 bytes. Reads all bytes before it writes any byte.
///
/// # Safety
///
/// `from` must be readable and `to` writable for `len` bytes, and `len` must be at most 128. The two
/// may overlap.
#[inline(always)]
unsafe fn copy_short(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller guarantees `len` bytes. In each arm with `copy_ends`, `len` is from one to two
    // times the size of the type, so two accesses cover all bytes. In the last arm `len` is 65..=128, so
    // the two blocks, at 0 and at `len - 64`, are within `len` and cover it.
    unsafe {
        match len {
            0 => {}
            1 => store(to, load::<u8>(from)),
            2..4 => copy_ends::<u16>(to, from, len),
            4..8 => copy_ends::<u32>(to, from, len),
            8..16 => copy_ends::<u64>(to, from, len),
            16..=32 => copy_ends::<__m128i>(to, from, len),
            33..=64 => copy_ends::<[__m128i; 2]>(to, from, len),
            _ => {
                let last = len - BLOCK_SIZE;
                let (head, tail) = (load_block(from), load_block(from.add(last)));
                store_block(to, head);
                store_block(to.add(last), tail);
            }
        }
    }
}

/// Copies blocks in ascending order.
///
/// # Safety
///
/// `from` must be readable and `to` writable for `len` bytes, and `len` must be at least
/// [`BLOCK_SIZE`]. The two may overlap if `to` is below `from`.
#[inline(always)]
unsafe fn copy_forwards(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: `len >= BLOCK_SIZE`, so `last` does not underflow. Each access is of `BLOCK_SIZE` bytes
    // at an offset of at most `last`, so it ends at or before `len`. If the two overlap with `to` below
    // `from`, a store at `offset` changes only bytes of `from` before `offset + BLOCK_SIZE`, which have
    // been loaded; the tail, which may overlap the last full block, is loaded before the first store.
    unsafe {
        let last = len - BLOCK_SIZE;
        let tail = load_block(from.add(last));
        let mut offset = 0;
        while offset < last {
            store_block(to.add(offset), load_block(from.add(offset)));
            offset += BLOCK_SIZE;
        }
        store_block(to.add(last), tail);
    }
}

/// Copies blocks in descending order.
///
/// # Safety
///
/// `from` must be readable and `to` writable for `len` bytes, and `len` must be at least
/// [`BLOCK_SIZE`]. The two may overlap if `from` is below `to`.
#[inline(always)]
unsafe fn copy_backwards(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: `offset` is at least `BLOCK_SIZE` before each subtraction and at most `len`, so each
    // access of `BLOCK_SIZE` bytes is within `len`, as are those at 0. If the two overlap with `from`
    // below `to`, a store at `offset` changes only bytes of `from` from `offset` on, which have been
    // loaded; the head, which may overlap the block after it, is loaded before the first store.
    unsafe {
        let head = load_block(from);
        let mut offset = len;
        while offset > BLOCK_SIZE {
            offset -= BLOCK_SIZE;
            store_block(to.add(offset), load_block(from.add(offset)));
        }
        store_block(to, head);
    }
}

/// Copies `len` bytes, as `memcpy`.
///
/// # Safety
///
/// `from` must be readable and `to` writable for `len` bytes, and the two must not overlap.
#[inline(always)]
pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller guarantees what the functions need, and each function is called only with
    // lengths that it accepts. `rep movsb` copies `rcx` bytes from `rsi` to `rdi`, in ascending order
    // because the ABI requires a clear direction flag. The instruction changes these registers, which are
    // declared as outputs. It changes no flags and does not use the stack.
    unsafe {
        match len {
            0..=128 => copy_short(to, from, len),
            129..MIN_STRING_LEN => copy_forwards(to, from, len),
            _ => asm!(
                "rep movsb",
                inout("rcx") len => _,
                inout("rdi") to => _,
                inout("rsi") from => _,
                options(nostack, preserves_flags),
            ),
        }
    }
}

/// Copies `len` bytes that may overlap, as `memmove`.
///
/// # Safety
///
/// `from` must be readable and `to` writable for `len` bytes.
#[inline(always)]
pub unsafe fn copy_overlapping(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller guarantees `len` bytes, more than 128 after the first branch. `ahead < len` if
    // and only if `to` is inside `from`'s bytes, and `behind < len` if and only if `from` is inside
    // `to`'s. If neither is the case, the two do not overlap. If only `behind < len`, `to` is below `from`, as
    // `copy_forwards` requires. Otherwise `from` is at or below `to`, as `copy_backwards` requires.
    unsafe {
        if len <= 128 {
            return copy_short(to, from, len);
        }
        let ahead = (to as usize).wrapping_sub(from as usize);
        let behind = (from as usize).wrapping_sub(to as usize);
        if ahead >= len && behind >= len {
            copy(to, from, len);
        } else if ahead >= len {
            copy_forwards(to, from, len);
        } else {
            copy_backwards(to, from, len);
        }
    }
}

/// Sets `len` bytes to `byte`, as `memset`.
///
/// # Safety
///
/// `to` must be writable for `len` bytes.
#[inline(always)]
pub unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
    // SAFETY: the caller guarantees `len` bytes. Each arm stores `size` bytes at 0 and at `len - size`
    // with `len >= size`, so both stores are within `len`; with `len <= 2 * size` they cover it. In the
    // loop, `offset` is below `last = len - 16`, so each 16-byte store ends before `len`. `rep stosb`
    // sets `rcx` bytes from `rdi` on to `al`, in ascending order because the ABI requires a clear
    // direction flag. The instruction changes `rcx` and `rdi`, which are declared as outputs. It
    // changes no flags and does not use the stack.
    unsafe {
        let bytes = u64::from(byte) * 0x0101_0101_0101_0101;
        let ends = |size: usize| (to, to.add(len - size));
        match len {
            0 => {}
            1 => store(to, byte),
            2..4 => {
                let (head, tail) = ends(2);
                store(head, bytes as u16);
                store(tail, bytes as u16);
            }
            4..8 => {
                let (head, tail) = ends(4);
                store(head, bytes as u32);
                store(tail, bytes as u32);
            }
            8..16 => {
                let (head, tail) = ends(8);
                store(head, bytes);
                store(tail, bytes);
            }
            16..MIN_STRING_LEN => {
                let sixteen = _mm_set1_epi8(byte as i8);
                let last = len - 16;
                let mut offset = 0;
                while offset < last {
                    _mm_storeu_si128(to.add(offset).cast(), sixteen);
                    offset += 16;
                }
                _mm_storeu_si128(to.add(last).cast(), sixteen);
            }
            _ => asm!(
                "rep stosb",
                inout("rcx") len => _,
                inout("rdi") to => _,
                in("al") byte,
                options(nostack, preserves_flags),
            ),
        }
    }
}

/// Returns a number below, equal to or above zero if `a` is less than, equal to or greater than `b` in
/// lexicographic order of unsigned bytes, as `memcmp`.
///
/// # Safety
///
/// `a` and `b` must be readable and initialized for `len` bytes.
#[inline(always)]
pub unsafe fn compare(a: *const u8, b: *const u8, len: usize) -> i32 {
    // SAFETY: the caller guarantees `len` initialized bytes. The loop reads 16 bytes at `offset` only if
    // `offset + 16 <= len`, and the single bytes that it reads are among these 16. After it,
    // `rest = len - offset` is below 16. With `rest >= 8`, eight bytes at `offset` and at `len - 8` are
    // within `len`, and so are four bytes at `offset` and at `len - 4` with `rest >= 4`. The last loop
    // reads single bytes below `len`.
    unsafe {
        let mut offset = 0;
        while offset + 16 <= len {
            let equal = _mm_cmpeq_epi8(
                _mm_loadu_si128(a.add(offset).cast()),
                _mm_loadu_si128(b.add(offset).cast()),
            );
            // A bit is set for each byte that differs. The lowest bit stands for the first byte.
            let differ = !_mm_movemask_epi8(equal) & 0xffff;
            if differ != 0 {
                let offset = offset + differ.trailing_zeros() as usize;
                return i32::from(*a.add(offset)) - i32::from(*b.add(offset));
            }
            offset += 16;
        }
        let rest = len - offset;
        if rest >= 8 {
            // Compares the first eight bytes of the rest, and then the last eight bytes. The two groups may overlap.
            let order = compare_eight(a.add(offset), b.add(offset));
            return match order {
                0 => compare_eight(a.add(len - 8), b.add(len - 8)),
                order => order,
            };
        }
        if rest >= 4 {
            // Combines the first and the last four bytes of the rest to one number. The two groups may overlap. The
            // first byte is the most significant (big-endian order).
            let number = |first: *const u8, last: *const u8| {
                let (first, last) = (load::<u32>(first), load::<u32>(last));
                u64::from(first.assume_init().to_be()) << 32 | u64::from(last.assume_init().to_be())
            };
            let a = number(a.add(offset), a.add(len - 4));
            let b = number(b.add(offset), b.add(len - 4));
            return i32::from(a > b) - i32::from(a < b);
        }
        while offset < len {
            let difference = i32::from(*a.add(offset)) - i32::from(*b.add(offset));
            if difference != 0 {
                return difference;
            }
            offset += 1;
        }
        0
    }
}

/// Compares eight bytes, as [`compare`].
///
/// # Safety
///
/// `a` and `b` must be readable and initialized for eight bytes.
#[inline(always)]
unsafe fn compare_eight(a: *const u8, b: *const u8) -> i32 {
    // SAFETY: the caller guarantees eight initialized bytes each.
    let (a, b) = unsafe { (load::<u64>(a).assume_init(), load::<u64>(b).assume_init()) };
    // In big-endian order, the first byte is the most significant.
    let (a, b) = (a.to_be(), b.to_be());
    i32::from(a > b) - i32::from(a < b)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    const LENGTHS: [usize; 12] = [150, 191, 192, 193, 255, 256, 257, 1000, 2047, 2048, 2049, 5000];

    fn lengths() -> impl Iterator<Item = usize> {
        (0..=140).chain(LENGTHS)
    }

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|offset| (offset * 131 % 251) as u8).collect()
    }

    #[test]
    fn copies_exactly_the_requested_bytes() {
        for len in lengths() {
            for (from_offset, to_offset) in [(0, 0), (1, 7), (15, 3), (31, 64)] {
                let from = bytes(len + 100);
                let mut to = std::vec![0xee; len + 200];
                // SAFETY: `to` has `len + 200` bytes and `from` has `len + 100`. The offsets are at most 64.
                unsafe {
                    copy(to.as_mut_ptr().add(to_offset), from.as_ptr().add(from_offset), len)
                };
                assert!(to[..to_offset].iter().all(|byte| *byte == 0xee), "{len}");
                assert_eq!(
                    to[to_offset..to_offset + len],
                    from[from_offset..from_offset + len],
                    "{len}"
                );
                assert!(to[to_offset + len..].iter().all(|byte| *byte == 0xee), "{len}");
            }
        }
    }

    #[test]
    fn copies_overlapping_memory() {
        for len in lengths() {
            for shift in (0..=70).chain([127, 128, 129, 200, 3000]) {
                for (from, to) in [(0, shift), (shift, 0)] {
                    let before = bytes(len + shift + 10);
                    let mut found = before.clone();
                    let start = found.as_mut_ptr();
                    // SAFETY: `found` has `len + shift + 10` bytes, and the offsets are at most `shift`.
                    unsafe { copy_overlapping(start.add(to), start.add(from), len) };
                    let mut expected = before.clone();
                    for (offset, byte) in before[from..from + len].iter().enumerate() {
                        expected[to + offset] = *byte;
                    }
                    assert!(found == expected, "{len} bytes from {from} to {to}");
                }
            }
        }
    }

    #[test]
    fn fills_exactly_the_requested_bytes() {
        for len in lengths() {
            for (to_offset, byte) in [(0, 0xab), (1, 0), (17, 0xff)] {
                let mut to = std::vec![0xee; len + 100];
                // SAFETY: `to` has `len + 100` bytes, and the offset is at most 17.
                unsafe { fill(to.as_mut_ptr().add(to_offset), byte, len) };
                assert!(to[..to_offset].iter().all(|found| *found == 0xee), "{len}");
                assert!(to[to_offset..to_offset + len].iter().all(|found| *found == byte), "{len}");
                assert!(to[to_offset + len..].iter().all(|found| *found == 0xee), "{len}");
            }
        }
    }

    #[test]
    fn compares_by_the_first_byte_that_differs() {
        for len in lengths() {
            let a = bytes(len + 1);
            let equal = a.clone();
            // SAFETY: both have `len + 1` bytes.
            let found = unsafe { compare(a.as_ptr(), equal.as_ptr(), len) };
            assert_eq!(found, 0, "{len}");
            for offset in
                (0..len).filter(|offset| len < 200 || offset % 97 == 0 || offset + 40 > len)
            {
                // `next` is the byte after the first difference. It must not affect the result.
                for (byte, next) in [(a[offset].wrapping_add(1), 0), (a[offset] ^ 0x80, 255)] {
                    let mut b = a.clone();
                    b[offset] = byte;
                    if offset + 1 < len {
                        b[offset + 1] = next;
                    }
                    // SAFETY: both have `len + 1` bytes.
                    let found = unsafe { compare(a.as_ptr(), b.as_ptr(), len) };
                    let expected = a[..len].iter().cmp(&b[..len]);
                    assert_eq!(found.cmp(&0), expected, "{len} {offset}");
                    // SAFETY: both have `len + 1` bytes.
                    let found = unsafe { compare(b.as_ptr(), a.as_ptr(), len) };
                    assert_eq!(found.cmp(&0), expected.reverse(), "{len} {offset}");
                }
            }
        }
    }
}
