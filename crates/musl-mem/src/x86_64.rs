//! The functions, under names that no linker takes for others.

use core::arch::asm;
use core::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8, _mm_storeu_si128,
};

/// From so many bytes on the string instructions are faster.
const LONG: usize = 2048;

const STEP: usize = 64;

/// So many bytes as four registers.
type Block = [__m128i; 4];

#[inline(always)]
unsafe fn load<T>(from: *const u8) -> T {
    unsafe { from.cast::<T>().read_unaligned() }
}

#[inline(always)]
unsafe fn store<T>(to: *mut u8, value: T) {
    unsafe { to.cast::<T>().write_unaligned(value) }
}

#[inline(always)]
unsafe fn load_block(from: *const u8) -> Block {
    unsafe {
        [
            _mm_loadu_si128(from.cast()),
            _mm_loadu_si128(from.add(16).cast()),
            _mm_loadu_si128(from.add(32).cast()),
            _mm_loadu_si128(from.add(48).cast()),
        ]
    }
}

#[inline(always)]
unsafe fn store_block(to: *mut u8, [a, b, c, d]: Block) {
    unsafe {
        _mm_storeu_si128(to.cast(), a);
        _mm_storeu_si128(to.add(16).cast(), b);
        _mm_storeu_si128(to.add(32).cast(), c);
        _mm_storeu_si128(to.add(48).cast(), d);
    }
}

/// The first and the last `size_of::<T>()` bytes, all read before any is written.
#[inline(always)]
unsafe fn copy_ends<T>(to: *mut u8, from: *const u8, len: usize) {
    unsafe {
        let last = len - size_of::<T>();
        let (head, tail): (T, T) = (load(from), load(from.add(last)));
        store(to, head);
        store(to.add(last), tail);
    }
}

/// At most 128 bytes, which may overlap.
#[inline(always)]
unsafe fn copy_short(to: *mut u8, from: *const u8, len: usize) {
    unsafe {
        match len {
            0 => {}
            1 => store::<u8>(to, load(from)),
            2..4 => copy_ends::<u16>(to, from, len),
            4..8 => copy_ends::<u32>(to, from, len),
            8..16 => copy_ends::<u64>(to, from, len),
            16..=32 => copy_ends::<__m128i>(to, from, len),
            33..=64 => copy_ends::<[__m128i; 2]>(to, from, len),
            _ => {
                let last = len - STEP;
                let (head, tail) = (load_block(from), load_block(from.add(last)));
                store_block(to, head);
                store_block(to.add(last), tail);
            }
        }
    }
}

/// More than 128 bytes, first to last; they may overlap if `to` comes first.
#[inline(always)]
unsafe fn copy_forwards(to: *mut u8, from: *const u8, len: usize) {
    unsafe {
        let last = len - STEP;
        let tail = load_block(from.add(last));
        let mut place = 0;
        while place < last {
            store_block(to.add(place), load_block(from.add(place)));
            place += STEP;
        }
        store_block(to.add(last), tail);
    }
}

/// More than 128 bytes, last to first; they may overlap if `from` comes first.
#[inline(always)]
unsafe fn copy_backwards(to: *mut u8, from: *const u8, len: usize) {
    unsafe {
        let head = load_block(from);
        let mut place = len;
        while place > STEP {
            place -= STEP;
            store_block(to.add(place), load_block(from.add(place)));
        }
        store_block(to, head);
    }
}

/// # Safety
///
/// `from` can be read and `to` written, and they do not overlap.
#[inline(always)]
pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    unsafe {
        match len {
            0..=128 => copy_short(to, from, len),
            129..LONG => copy_forwards(to, from, len),
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

/// # Safety
///
/// `from` can be read and `to` written.
#[inline(always)]
pub unsafe fn copy_overlapping(to: *mut u8, from: *const u8, len: usize) {
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

/// # Safety
///
/// `to` can be written.
#[inline(always)]
pub unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
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
            16..LONG => {
                let sixteen = _mm_set1_epi8(byte as i8);
                let last = len - 16;
                let mut place = 0;
                while place < last {
                    _mm_storeu_si128(to.add(place).cast(), sixteen);
                    place += 16;
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

/// Below, at or above zero, as the first byte that differs is in `a`.
///
/// # Safety
///
/// Both can be read.
#[inline(always)]
pub unsafe fn compare(a: *const u8, b: *const u8, len: usize) -> i32 {
    unsafe {
        let mut place = 0;
        while place + 16 <= len {
            let equal = _mm_cmpeq_epi8(
                _mm_loadu_si128(a.add(place).cast()),
                _mm_loadu_si128(b.add(place).cast()),
            );
            let differ = !_mm_movemask_epi8(equal) & 0xffff;
            if differ != 0 {
                let place = place + differ.trailing_zeros() as usize;
                return i32::from(*a.add(place)) - i32::from(*b.add(place));
            }
            place += 16;
        }
        let rest = len - place;
        if rest >= 8 {
            let order = order(a.add(place), b.add(place));
            return match order {
                0 => self::order(a.add(len - 8), b.add(len - 8)),
                order => order,
            };
        }
        if rest >= 4 {
            // In memory's order, the first byte is the highest.
            let number = |bytes: *const u8, last: *const u8| {
                u64::from(load::<u32>(bytes).to_be()) << 32 | u64::from(load::<u32>(last).to_be())
            };
            let a = number(a.add(place), a.add(len - 4));
            let b = number(b.add(place), b.add(len - 4));
            return i32::from(a > b) - i32::from(a < b);
        }
        while place < len {
            let difference = i32::from(*a.add(place)) - i32::from(*b.add(place));
            if difference != 0 {
                return difference;
            }
            place += 1;
        }
        0
    }
}

/// Of eight bytes.
#[inline(always)]
unsafe fn order(a: *const u8, b: *const u8) -> i32 {
    let (a, b): (u64, u64) = unsafe { (load(a), load(b)) };
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
        (0..len).map(|place| (place * 131 % 251) as u8).collect()
    }

    #[test]
    fn copies_are_whole_and_no_more() {
        for len in lengths() {
            for (skew, aside) in [(0, 0), (1, 7), (15, 3), (31, 64)] {
                let from = bytes(len + 100);
                let mut to = std::vec![0xee; len + 200];
                unsafe { copy(to.as_mut_ptr().add(aside), from.as_ptr().add(skew), len) };
                assert!(to[..aside].iter().all(|byte| *byte == 0xee), "{len}");
                assert_eq!(to[aside..aside + len], from[skew..skew + len], "{len}");
                assert!(to[aside + len..].iter().all(|byte| *byte == 0xee), "{len}");
            }
        }
    }

    #[test]
    fn overlapping_copies_keep_what_was_there() {
        for len in lengths() {
            for shift in (0..=70).chain([127, 128, 129, 200, 3000]) {
                for (from, to) in [(0, shift), (shift, 0)] {
                    let before = bytes(len + shift + 10);
                    let mut found = before.clone();
                    let start = found.as_mut_ptr();
                    unsafe { copy_overlapping(start.add(to), start.add(from), len) };
                    let mut expected = before.clone();
                    for (place, byte) in before[from..from + len].iter().enumerate() {
                        expected[to + place] = *byte;
                    }
                    assert!(found == expected, "{len} bytes from {from} to {to}");
                }
            }
        }
    }

    #[test]
    fn fills_are_whole_and_no_more() {
        for len in lengths() {
            for (aside, byte) in [(0, 0xab), (1, 0), (17, 0xff)] {
                let mut to = std::vec![0xee; len + 100];
                unsafe { fill(to.as_mut_ptr().add(aside), byte, len) };
                assert!(to[..aside].iter().all(|found| *found == 0xee), "{len}");
                assert!(to[aside..aside + len].iter().all(|found| *found == byte), "{len}");
                assert!(to[aside + len..].iter().all(|found| *found == 0xee), "{len}");
            }
        }
    }

    #[test]
    fn comparisons_are_of_the_first_byte_that_differs() {
        for len in lengths() {
            let a = bytes(len + 1);
            assert_eq!(unsafe { compare(a.as_ptr(), a.clone().as_ptr(), len) }, 0, "{len}");
            for place in (0..len).filter(|place| len < 200 || place % 97 == 0 || place + 40 > len) {
                for (byte, beyond) in [(a[place].wrapping_add(1), 0), (a[place] ^ 0x80, 255)] {
                    let mut b = a.clone();
                    b[place] = byte;
                    if place + 1 < len {
                        b[place + 1] = beyond;
                    }
                    let found = unsafe { compare(a.as_ptr(), b.as_ptr(), len) };
                    let expected = a[..len].iter().cmp(&b[..len]);
                    assert_eq!(found.cmp(&0), expected, "{len} {place}");
                    let found = unsafe { compare(b.as_ptr(), a.as_ptr(), len) };
                    assert_eq!(found.cmp(&0), expected.reverse(), "{len} {place}");
                }
            }
        }
    }
}
