//! Loops compiled several times, for the instruction sets that processors have, and the best one
//! chosen at run time.
//!
//! The build's own target is what every x86-64 has, with four floats in a register; most machines
//! have eight or sixteen.

#![expect(unsafe_code, reason = "a function for an instruction set is safe once that is detected")]

/// Work whose loops the compiler can vectorise. [`Vectorized::run`] must be `#[inline(always)]`, and
/// so must be what it calls.
pub trait Vectorized {
    type Output;

    fn run(self) -> Self::Output;
}

/// Runs `work` with the widest registers of this processor.
#[cfg(target_arch = "x86_64")]
pub fn vectorized<W: Vectorized>(work: W) -> W::Output {
    let has_avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    if has_avx512 {
        // SAFETY: the processor has what the function is compiled for.
        unsafe { avx512(work) }
    } else if is_x86_feature_detected!("avx2") {
        // SAFETY: as above.
        unsafe { avx2(work) }
    } else {
        work.run()
    }
}

/// Runs `work`; the other targets have one instruction set.
#[cfg(not(target_arch = "x86_64"))]
pub fn vectorized<W: Vectorized>(work: W) -> W::Output {
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,bmi1,bmi2")]
fn avx512<W: Vectorized>(work: W) -> W::Output {
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn avx2<W: Vectorized>(work: W) -> W::Output {
    work.run()
}
