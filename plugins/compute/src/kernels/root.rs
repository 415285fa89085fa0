//! Square roots, which `core` does not offer.

/// The square root of a float32, correctly rounded; NaN below zero.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn root_f32(x: f32) -> f32 {
    use core::arch::x86_64::{_mm_cvtss_f32, _mm_set_ss, _mm_sqrt_ss};
    // SAFETY: every x86-64 has SSE.
    unsafe { _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))) }
}

/// The square root of a float64, correctly rounded; NaN below zero.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn root_f64(x: f64) -> f64 {
    use core::arch::x86_64::{_mm_cvtsd_f64, _mm_set_sd, _mm_sqrt_sd};
    // SAFETY: every x86-64 has SSE2.
    unsafe {
        let x = _mm_set_sd(x);
        _mm_cvtsd_f64(_mm_sqrt_sd(x, x))
    }
}

/// The square root of a float32, correctly rounded; NaN below zero.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(crate) fn root_f32(x: f32) -> f32 {
    // The root of a float32 in float64, rounded again, is right (Figueroa 1995).
    root_f64(f64::from(x)) as f32
}

/// The square root of a float64, correctly rounded; NaN below zero.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(crate) fn root_f64(x: f64) -> f64 {
    use core::arch::aarch64::{vdup_n_f64, vget_lane_f64, vsqrt_f64};
    // SAFETY: every aarch64 that this is compiled for has NEON.
    unsafe { vget_lane_f64::<0>(vsqrt_f64(vdup_n_f64(x))) }
}

/// The square root of a float64, correctly rounded; NaN below zero.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline(always)]
pub(crate) fn root_f64(x: f64) -> f64 {
    in_integers(x)
}

/// Bit by bit, in whole numbers.
#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn in_integers(x: f64) -> f64 {
    const MANTISSA_BITS: u32 = 52;
    const BIAS: i32 = 1023;
    if x.is_nan() || x == 0.0 || x == f64::INFINITY {
        return x;
    }
    if x < 0.0 {
        return f64::NAN;
    }
    // x = mantissa · 2^exponent, the mantissa with 53 bits.
    let mut mantissa = x.to_bits() & ((1 << MANTISSA_BITS) - 1);
    let mut exponent = (x.to_bits() >> MANTISSA_BITS) as i32;
    if exponent == 0 {
        let shift = mantissa.leading_zeros() - (63 - MANTISSA_BITS);
        (mantissa, exponent) = (mantissa << shift, 1 - shift as i32);
    } else {
        mantissa |= 1 << MANTISSA_BITS;
    }
    exponent -= BIAS + MANTISSA_BITS as i32;
    // An even exponent, and a root of one bit more than is kept.
    let shift = 54 + (exponent & 1);
    let root = (u128::from(mantissa) << shift).isqrt();
    let exponent = (exponent - shift) / 2 + 1 + BIAS + MANTISSA_BITS as i32;
    // The last bit rounds: the exact root is never halfway between two of 53 bits.
    let rounded = ((root + 1) >> 1) as u64 - (1 << MANTISSA_BITS);
    f64::from_bits(((exponent as u64) << MANTISSA_BITS) + rounded)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn whole_numbers_give_the_same_as_the_machine() {
        let all =
            (0..2_000_000u64).map(|nth| f64::from_bits(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let small = (0..1000).map(f64::from_bits);
        let edges = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 4.0];
        for x in all.chain(small).chain(edges) {
            for (ours, theirs) in [(in_integers(x), x.sqrt()), (root_f64(x), x.sqrt())] {
                let is_same =
                    ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan();
                assert!(is_same, "the root of {x:e} is {ours:e}, not {theirs:e}");
            }
            let x = x as f32;
            let (twice, once) = (in_integers(f64::from(x)) as f32, root_f32(x));
            assert!(twice.to_bits() == once.to_bits() || twice.is_nan() && once.is_nan(), "{x:e}");
        }
    }
}
