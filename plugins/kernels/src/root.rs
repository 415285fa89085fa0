//! Square roots where the machine has no instruction that `core` offers.

/// The square root of a float32, correctly rounded; NaN below zero.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn sqrt(x: f32) -> f32 {
    use core::arch::x86_64::{_mm_cvtss_f32, _mm_set_ss, _mm_sqrt_ss};
    // SAFETY: every x86-64 has SSE.
    unsafe { _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))) }
}

/// The square root of a float32, correctly rounded; NaN below zero.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn sqrt(x: f32) -> f32 {
    in_integers(x)
}

/// Bit by bit, in whole numbers.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn in_integers(x: f32) -> f32 {
    const MANTISSA_BITS: u32 = 23;
    const BIAS: u32 = 127;
    if x.is_nan() || x == 0.0 || x == f32::INFINITY {
        return x;
    }
    if x < 0.0 {
        return f32::NAN;
    }
    // x = mantissa · 2^exponent, the mantissa with 24 bits.
    let (mut mantissa, mut exponent) = (x.to_bits() & 0x7f_ffff, (x.to_bits() >> 23) as i32);
    if exponent == 0 {
        let shift = mantissa.leading_zeros() - (31 - MANTISSA_BITS);
        (mantissa, exponent) = (mantissa << shift, 1 - shift as i32);
    } else {
        mantissa |= 1 << MANTISSA_BITS;
    }
    exponent -= (BIAS + MANTISSA_BITS) as i32;
    // An even exponent, and a root of one bit more than is kept.
    let shift = 26 - (exponent & 1);
    let root = (u64::from(mantissa) << shift).isqrt();
    let exponent = (exponent - shift) / 2 + 1 + (BIAS + MANTISSA_BITS) as i32;
    // The last bit rounds: the exact root is never halfway between two of 24 bits.
    let rounded = ((root + 1) >> 1) as u32 - (1 << MANTISSA_BITS);
    f32::from_bits(((exponent as u32) << MANTISSA_BITS) + rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_give_the_same_as_the_machine() {
        let all = (0..=u32::MAX).step_by(997).map(f32::from_bits);
        let edges = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE];
        for x in all.chain(edges) {
            let (ours, machine) = (in_integers(x), sqrt(x));
            assert!(
                ours.to_bits() == machine.to_bits() || ours.is_nan() && machine.is_nan(),
                "the root of {x} is {ours}, not {machine}"
            );
        }
    }
}
