//! Compiles numeric loops for several instruction sets, and runs the variant for the best
//! instruction set that the processor has.
//!
//! The build targets the baseline of x86-64, whose SIMD registers have 128 bits (four floats). Most processors also
//! have AVX2 (registers of eight floats) or AVX-512 (sixteen floats). Work that implements [`Vectorized`] or
//! [`Product`] is compiled for each of these three instruction sets, and the variant is chosen at run time. For other
//! architectures, the work is compiled once.

#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "a call of a function compiled for an instruction set is unsafe until that set is detected"
    )
)]

pub mod dot;

#[cfg(target_arch = "x86_64")]
use std::sync::LazyLock;

/// A computation whose loops the compiler can turn into SIMD instructions.
///
/// [`Vectorized::run`] and all functions that it calls must be `#[inline(always)]`. A function that
/// is not inlined is compiled for the baseline only.
pub trait Vectorized {
    type Output;

    fn run(self) -> Self::Output;
}

/// Runs `work` with the widest registers that the processor has.
pub fn vectorized<W: Vectorized>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(set) = Avx512::detected() {
        return set.run(work);
    } else if let Some(set) = Avx2::detected() {
        return set.run(work);
    }
    work.run()
}

/// Declares a token type for a set of processor features.
///
/// A token exists only if the processor has every feature of the list, and the token's `run`
/// compiles work for exactly these features. Detection and compilation use the same list, so they
/// cannot differ.
///
/// The list must also contain every feature that the compiler assumes to be implied by another feature. For example,
/// the compiler assumes that `avx512f` implies `avx2`, `fma` and `f16c`, but a hypervisor can hide each feature
/// separately.
#[cfg(target_arch = "x86_64")]
macro_rules! instruction_set {
    ($(#[$doc:meta])* $name:ident: $($feature:tt),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        struct $name(());

        impl $name {
            #[cfg(test)]
            const FEATURES: &[&str] = &[$($feature),+];

            /// Returns the token if this processor has all features.
            #[inline]
            fn detected() -> Option<Self> {
                static TOKEN: LazyLock<Option<$name>> = LazyLock::new(|| $name::detect(&[]));
                *TOKEN
            }

            /// Returns the token if the processor has all features and `hidden` contains none of
            /// them. Tests hide features.
            fn detect(hidden: &[&str]) -> Option<Self> {
                let complete =
                    $(!hidden.contains(&$feature) && is_x86_feature_detected!($feature))&&+;
                complete.then_some($name(()))
            }

            #[inline(always)]
            fn run<W: Vectorized>(self, work: W) -> W::Output {
                $(#[target_feature(enable = $feature)])+
                fn compiled<W: Vectorized>(work: W) -> W::Output {
                    work.run()
                }
                // SAFETY: `compiled` may only be called on a processor that has the features in its
                // attributes. `self` is a token. Only `detect` creates tokens, after it has found
                // each feature of the list from which these attributes are expanded. A processor
                // does not lose a feature while a process runs.
                unsafe { compiled(work) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
instruction_set! {
    /// AVX-512 with the extensions that all server processors with AVX-512 have: 32 registers of 16
    /// floats.
    Avx512:
        "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl",
        "sse3", "ssse3", "sse4.1", "sse4.2", "avx", "avx2", "fma", "f16c", "bmi1", "bmi2"
}

#[cfg(target_arch = "x86_64")]
instruction_set! {
    /// [`Avx512`] with products of 8-bit integers.
    Avx512Vnni:
        "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512vnni",
        "sse3", "ssse3", "sse4.1", "sse4.2", "avx", "avx2", "fma", "f16c", "bmi1", "bmi2"
}

#[cfg(target_arch = "x86_64")]
instruction_set! {
    /// AVX2 with fused multiply-add: 16 registers of 8 floats.
    Avx2: "sse3", "ssse3", "sse4.1", "sse4.2", "avx", "avx2", "fma", "bmi1", "bmi2"
}

/// Returns whether the processor has AVX-512: 32 registers of 16 floats.
pub fn is_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    return Avx512::detected().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// A computation like [`Vectorized`] that multiplies and adds, such as a matrix product.
///
/// `FMA` is `true` if the processor multiplies and adds in one instruction (fused multiply-add). If
/// it is `false`, do not use `f32::mul_add`: it would be a slow function call.
pub trait Product {
    type Output;

    /// `Some(value)` limits the work to processors on which [`is_wide`] returns `value`. The work
    /// is not compiled for the registers of other processors, and would be slow there. The caller
    /// must check [`is_wide`].
    ///
    /// A loop that is tuned to the number and size of registers sets this constant to save code
    /// size.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "compiled once"))]
    const WIDE: Option<bool> = None;

    fn run<const FMA: bool>(self) -> Self::Output;
}

/// Runs `work` with the widest registers that the processor has.
pub fn product<W: Product>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if W::WIDE != Some(false)
        && let Some(set) = Avx512::detected()
    {
        return set.run(Fused(work));
    } else if W::WIDE != Some(true)
        && let Some(set) = Avx2::detected()
    {
        return set.run(Fused(work));
    }
    // The baseline of x86-64 has no fused multiply-add; the baseline of 64-bit ARM has it.
    work.run::<{ !cfg!(target_arch = "x86_64") }>()
}

/// Turns a [`Product`] into [`Vectorized`] work for processors with fused multiply-add.
#[cfg(target_arch = "x86_64")]
struct Fused<W>(W);

#[cfg(target_arch = "x86_64")]
impl<W: Product> Vectorized for Fused<W> {
    type Output = W::Output;

    #[inline(always)]
    fn run(self) -> W::Output {
        self.0.run::<true>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::math::exp;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_hidden_feature_disables_its_instruction_set() {
        for feature in Avx512::FEATURES {
            assert!(Avx512::detect(&[feature]).is_none(), "{feature}");
        }
        for feature in Avx512Vnni::FEATURES {
            assert!(Avx512Vnni::detect(&[feature]).is_none(), "{feature}");
        }
        for feature in Avx2::FEATURES {
            assert!(Avx2::detect(&[feature]).is_none(), "{feature}");
        }
        assert!(Avx2::FEATURES.iter().all(|feature| Avx512::FEATURES.contains(feature)));
        assert_eq!(Avx512::detect(&[]).is_some(), is_wide());
    }

    /// Work that computes exponentials. [`exp`] does not use [`f32::mul_add`], so that all
    /// instruction sets give the same bits.
    #[derive(Clone)]
    struct Exponentials(Vec<f32>);

    impl Vectorized for Exponentials {
        type Output = Vec<u32>;

        #[inline(always)]
        fn run(self) -> Vec<u32> {
            self.0.iter().map(|x| exp(*x).to_bits()).collect()
        }
    }

    #[test]
    fn results_do_not_depend_on_the_instruction_set() {
        let work = Exponentials((0..1000).map(|x| x as f32 * 0.1 - 50.0).collect());
        let baseline = work.clone().run();
        assert_eq!(vectorized(work.clone()), baseline);
        #[cfg(target_arch = "x86_64")]
        {
            let wide = Avx512::detected().map(|set| set.run(work.clone()));
            let narrow = Avx2::detected().map(|set| set.run(work));
            assert!(wide.into_iter().chain(narrow).all(|result| result == baseline));
        }
    }
}
