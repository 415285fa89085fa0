//! Multiplication fused with addition where the machine has no instruction for it, with the bits
//! of IEEE 754.

/// `a · b + c`, rounded once.
///
/// The product of two float32 is exact in float64. The sum is rounded to odd there: of the two
/// float64 around it the one whose last bit is set, unless it is exact. Rounding that to float32
/// gives what rounding the exact sum gives, since float64 has more than two bits beyond float32
/// (Boldo and Melquiond, Emulation of FMA and correctly rounded sums, 2008).
#[inline(always)]
#[must_use]
pub fn fused_f32(a: f32, b: f32, c: f32) -> f32 {
    let (product, addend) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + addend;
    // What the sum lost (Knuth's two-sum).
    let other = sum - product;
    let lost = (product - (sum - other)) + (addend - other);
    let bits = sum.to_bits();
    // Of infinite sums it is NaN, which is not larger.
    let is_inexact = lost.abs() > 0.0;
    let is_beyond = (lost > 0.0) == (sum > 0.0);
    let toward = if is_beyond { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    let odd = if is_inexact && bits & 1 == 0 { toward } else { bits };
    f64::from_bits(odd) as f32
}

const MANTISSA_BITS: u32 = 52;
const HIDDEN: u64 = 1 << MANTISSA_BITS;
/// What a mantissa as a whole number is multiplied with, as a power of 2, at the least exponent.
const LEAST: i32 = -1074;

/// Mantissa and exponent of a finite number: it is their `mantissa · 2^exponent`.
fn parts(x: f64) -> (u64, i32) {
    let (bits, mantissa) = (x.to_bits(), x.to_bits() & (HIDDEN - 1));
    match (bits >> MANTISSA_BITS & 0x7ff) as i32 {
        0 => (mantissa, LEAST),
        exponent => (mantissa | HIDDEN, exponent - 1 + LEAST),
    }
}

/// `a · b + c`, rounded once, in whole numbers.
#[must_use]
pub fn fused_f64(a: f64, b: f64, c: f64) -> f64 {
    if !(a.is_finite() && b.is_finite() && c.is_finite()) || a == 0.0 || b == 0.0 {
        // An infinite, NaN or zero product is exact.
        return if b.is_finite() && a.is_finite() && !c.is_finite() { c } else { a * b + c };
    }
    let is_negative = a.is_sign_negative() != b.is_sign_negative();
    if c == 0.0 {
        let (mantissa, exponent) = multiplied(a, b);
        return rounded(is_negative, mantissa, exponent);
    }
    let (product, product_exponent) = multiplied(a, b);
    let (mantissa, exponent) = parts(c);
    // Both with their highest bit at 125: sums stay within 128.
    let lift = |mantissa: u128, exponent: i32| {
        let shift = mantissa.leading_zeros() as i32 - 2;
        (mantissa << shift, exponent - shift)
    };
    let (product, addend) = (lift(product, product_exponent), lift(u128::from(mantissa), exponent));
    let is_product = (product.1, product.0) > (addend.1, addend.0);
    let sign = c.is_sign_negative();
    let ((large, large_sign), (small, small_sign)) = if is_product {
        ((product, is_negative), (addend, sign))
    } else {
        ((addend, sign), (product, is_negative))
    };
    // What is shifted out stays as a last bit that is set.
    let shift = large.1.abs_diff(small.1);
    let aligned = match shift {
        0 => small.0,
        1..=127 => small.0 >> shift | u128::from(small.0 << (128 - shift) != 0),
        _ => 1,
    };
    if large_sign == small_sign {
        return rounded(large_sign, large.0 + aligned, large.1);
    }
    let difference = large.0 - aligned;
    if difference == 0 { 0.0 } else { rounded(large_sign, difference, large.1) }
}

fn multiplied(a: f64, b: f64) -> (u128, i32) {
    let ((a, a_exponent), (b, b_exponent)) = (parts(a), parts(b));
    (u128::from(a) * u128::from(b), a_exponent + b_exponent)
}

/// `mantissa · 2^exponent`, not 0, rounded to nearest, ties to even.
fn rounded(is_negative: bool, mantissa: u128, exponent: i32) -> f64 {
    let sign = u64::from(is_negative) << 63;
    let bits = 128 - mantissa.leading_zeros() as i32;
    // How many bits are beyond the last one that is kept.
    let surplus = (bits - 53).max(LEAST - exponent);
    let kept = match surplus {
        ..=0 => (mantissa << -surplus) as u64,
        1..=127 => {
            let (kept, rest) = ((mantissa >> surplus) as u64, mantissa << (128 - surplus));
            let is_up = rest > 1 << 127 || rest == 1 << 127 && kept & 1 == 1;
            kept + u64::from(is_up)
        }
        // Below half of the least number; 128 cannot tie, mantissas have 127 bits at most.
        _ => 0,
    };
    // A kept mantissa of 53 bits carries its hidden bit into the exponent, and so does a carry.
    let exponent = exponent + surplus - LEAST;
    let magnitude = if exponent >= 2046 {
        0x7ff << MANTISSA_BITS
    } else {
        (((exponent as u64) << MANTISSA_BITS) + kept).min(0x7ff << MANTISSA_BITS)
    };
    f64::from_bits(sign | magnitude)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    /// SplitMix64 (Steele, Lea and Flood 2014).
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ z >> 31
        }

        /// Any bits, or few of them, or of a moderate exponent, so that products meet addends.
        fn f32(&mut self) -> f32 {
            let (kind, bits) = (self.next() % 8, self.next() as u32);
            let edges = [0.0, -0.0, f32::INFINITY, f32::NAN, f32::MAX, f32::MIN_POSITIVE, 1.0];
            match kind {
                0 => f32::from_bits(bits),
                1 => f32::from_bits(bits & 0x807f_ffff),
                2 => f32::from_bits(bits & 0xff80_000f),
                3 if bits.is_multiple_of(4) => edges[bits as usize / 4 % 7],
                _ => f32::from_bits(bits & 0x80ff_ffff | 0x3f00_0000),
            }
        }

        fn f64(&mut self) -> f64 {
            let (kind, bits) = (self.next() % 8, self.next());
            let edges = [0.0, -0.0, f64::INFINITY, f64::NAN, f64::MAX, f64::MIN_POSITIVE, 1.0];
            match kind {
                0 => f64::from_bits(bits),
                1 => f64::from_bits(bits & 0x800f_ffff_ffff_ffff),
                2 => f64::from_bits(bits & 0xfff0_0000_0000_000f),
                3 if bits.is_multiple_of(4) => edges[(bits / 4 % 7) as usize],
                4 => f64::from_bits(bits & 0x801f_ffff_ffff_ffff | 0x1ff0_0000_0000_0000),
                _ => f64::from_bits(bits & 0x807f_ffff_ffff_ffff | 0x3fc0_0000_0000_0000),
            }
        }
    }

    /// `c` near to minus the product, or about its last bits, half of the time.
    fn near(numbers: &mut Numbers, product: f64, c: f64) -> f64 {
        match numbers.next() % 8 {
            0 => -product,
            1 => product * 2f64.powi((numbers.next() % 64) as i32 - 32),
            2 => -product * 2f64.powi((numbers.next() % 128) as i32 - 64),
            3 => -f64::from_bits(product.to_bits() ^ (numbers.next() % 4)),
            _ => c,
        }
    }

    #[test]
    fn float32_has_the_bits_of_the_instruction() {
        let mut numbers = Numbers(1);
        for _ in 0..8_000_000 {
            let (a, b) = (numbers.f32(), numbers.f32());
            let c = numbers.f32();
            let c = near(&mut numbers, f64::from(a) * f64::from(b), f64::from(c)) as f32;
            let (ours, theirs) = (fused_f32(a, b, c), a.mul_add(b, c));
            let is_same = ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan();
            assert!(is_same, "{a:e} * {b:e} + {c:e} is {ours:e}, not {theirs:e}");
        }
    }

    #[test]
    fn float64_has_the_bits_of_the_instruction() {
        let mut numbers = Numbers(2);
        for _ in 0..4_000_000 {
            let (a, b) = (numbers.f64(), numbers.f64());
            let c = numbers.f64();
            let c = near(&mut numbers, a * b, c);
            let (ours, theirs) = (fused_f64(a, b, c), a.mul_add(b, c));
            let is_same = ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan();
            assert!(is_same, "{a:e} * {b:e} + {c:e} is {ours:e}, not {theirs:e}");
        }
    }
}
