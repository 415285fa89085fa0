//! Exponential, logarithm, hyperbolic tangent and logistic function of float32.
//!
//! Made of single IEEE 754 operations in a fixed order, with no branches, so that a compiler may
//! put neighbours into lanes and the bits stay. Errors are stated in units in the last place
//! (ulp) of the exact result; the tests compare with float64 over all magnitudes. NaN stays NaN
//! (which one is not said). Polynomials: Moshier, Cephes Mathematical Library 2.8, single
//! precision.

#![allow(clippy::excessive_precision, reason = "coefficients as they are published")]

const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
const MANTISSA_BITS: u32 = 23;
const BIAS: u32 = 127;

/// `coefficients` from the highest power down, at `x`, by Horner's rule.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = 0.0;
    for coefficient in coefficients {
        sum = sum * x + coefficient;
    }
    sum
}

/// e to the power of `x`, at most 1 ulp off. Below -87.33654 it is 0 (not
/// subnormal), above 88.72284 infinite.
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    /// Adding it leaves whole numbers, rounded to nearest even, in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    const LOWEST: f32 = -87.336_54;
    const HIGHEST: f32 = 88.722_84;
    let inside = if x > HIGHEST { HIGHEST } else { x };
    let inside = if inside < LOWEST { LOWEST } else { inside };
    let rounded = inside * core::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let rest = inside - n * LN_2_HIGH;
    let rest = rest - n * LN_2_LOW;
    let p = polynomial(
        rest,
        [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5],
    );
    let power = p * (rest * rest) + rest + 1.0;
    // By half of the exponent twice: all of it is beyond float32 where the result is not.
    let n = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let scale = |n: i32| f32::from_bits(((n + BIAS as i32) as u32) << MANTISSA_BITS);
    let power = power * scale(n >> 1) * scale(n - (n >> 1));
    let power = if x > HIGHEST { f32::INFINITY } else { power };
    if x < LOWEST { 0.0 } else { power }
}

/// The natural logarithm of `x`, at most 1 ulp off: of 0 minus infinity, below it NaN.
#[inline(always)]
#[must_use]
pub fn ln(x: f32) -> f32 {
    /// What makes subnormal numbers normal.
    const LIFT: f32 = 8_388_608.0;
    const HALF: u32 = 0x3f00_0000;
    const MANTISSA: u32 = 0x007f_ffff;
    let is_subnormal = x < f32::MIN_POSITIVE;
    let lifted = if is_subnormal { x * LIFT } else { x };
    let lift = if is_subnormal { -23.0 } else { 0.0 };
    let bits = lifted.to_bits();
    // In [1/2, 1), and then in [√½, √2), less 1.
    let mantissa = f32::from_bits(bits & MANTISSA | HALF);
    let exponent = (bits >> MANTISSA_BITS) as i32 - (BIAS as i32 - 1);
    let is_low = mantissa < core::f32::consts::FRAC_1_SQRT_2;
    let e = exponent as f32 + lift - if is_low { 1.0 } else { 0.0 };
    let m = if is_low { mantissa + mantissa } else { mantissa } - 1.0;
    let square = m * m;
    let p = polynomial(
        m,
        [
            7.037_683_6e-2,
            -0.115_146_1,
            0.116_769_99,
            -0.124_201_41,
            0.142_493_23,
            -0.166_680_58,
            0.200_007_15,
            -0.249_999_94,
            0.333_333_31,
        ],
    );
    let rest = p * m * square + e * LN_2_LOW - 0.5 * square;
    let result = m + rest + e * LN_2_HIGH;
    let result = if x == f32::INFINITY { x } else { result };
    let result = if x == 0.0 { f32::NEG_INFINITY } else { result };
    // Also where x is NaN.
    if x >= 0.0 { result } else { f32::NAN }
}

/// The natural logarithm of 1 + `x` for `x` from 0 on, at most 3 ulp off also where `x` is lost in
/// the sum (Goldberg 1991, theorem 4).
#[inline(always)]
#[must_use]
pub fn ln_1p(x: f32) -> f32 {
    let sum = 1.0 + x;
    let gained = sum - 1.0;
    // What the sum lost, the quotient puts right.
    let result = ln(sum) * (x / gained);
    let result = if gained == 0.0 { x } else { result };
    if x == f32::INFINITY { x } else { result }
}

/// The hyperbolic tangent of `x`, at most 2 ulp off.
#[inline(always)]
#[must_use]
pub fn tanh(x: f32) -> f32 {
    let square = x * x;
    let p = polynomial(
        square,
        [-5.704_988_7e-3, 2.063_908_9e-2, -5.373_971_6e-2, 0.133_314_42, -0.333_332_82],
    );
    let near = p * square * x + x;
    let size = x.abs();
    let far = 1.0 - 2.0 / (exp(size + size) + 1.0);
    let far = if x < 0.0 { -far } else { far };
    if size > 0.625 { far } else { near }
}

/// The logistic function `1 / (1 + exp(-x))`, at most 3 ulp off where it is 1e-37 or more.
#[inline(always)]
#[must_use]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::println;

    /// The largest error in ulp over `xs`.
    fn worst(f: fn(f32) -> f32, exact: fn(f64) -> f64, xs: impl Iterator<Item = f32>) -> f64 {
        let mut worst = (0.0, 0.0);
        for x in xs {
            let (got, exact) = (f64::from(f(x)), exact(f64::from(x)));
            let near = exact as f32;
            let ulp = f64::from(f32::from_bits(near.abs().to_bits() + 1)) - f64::from(near.abs());
            let error = (got - exact).abs() / ulp;
            if error > worst.0 {
                worst = (error, x);
            }
        }
        println!("at most {} ulp, at {}", worst.0, worst.1);
        worst.0
    }

    /// Every 61st float32 from `low` to `high`, and their negatives.
    fn floats(low: f32, high: f32) -> impl Iterator<Item = f32> {
        (low.to_bits()..=high.to_bits()).step_by(61).map(f32::from_bits)
    }

    fn both(low: f32, high: f32) -> impl Iterator<Item = f32> {
        floats(low, high).flat_map(|x| [x, -x])
    }

    #[test]
    fn errors_are_as_stated() {
        assert!(worst(exp, f64::exp, both(1e-30, 87.336)) <= 1.0);
        assert!(worst(exp, f64::exp, floats(87.336, 88.7228)) <= 1.0);
        assert!(worst(ln, f64::ln, floats(f32::from_bits(1), f32::MAX)) <= 1.0);
        assert!(worst(ln_1p, f64::ln_1p, floats(1e-10, 1e3)) <= 3.0);
        assert!(worst(tanh, f64::tanh, both(1e-30, 100.0)) <= 2.0);
        let exact = |x: f64| 1.0 / (1.0 + (-x).exp());
        assert!(worst(sigmoid, exact, both(1e-30, 85.0)) <= 3.0);
    }

    #[test]
    fn ends_of_the_line() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(89.0), f32::INFINITY);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-88.0), 0.0);
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(ln(0.0), f32::NEG_INFINITY);
        assert_eq!(ln(f32::INFINITY), f32::INFINITY);
        assert_eq!([0.0, f32::INFINITY].map(ln_1p), [0.0, f32::INFINITY]);
        assert_eq!(tanh(f32::INFINITY), 1.0);
        assert_eq!(tanh(f32::NEG_INFINITY), -1.0);
        assert_eq!(sigmoid(f32::NEG_INFINITY), 0.0);
        assert_eq!(sigmoid(f32::INFINITY), 1.0);
        assert!(ln(-1.0).is_nan());
        assert!([exp, ln, ln_1p, tanh, sigmoid].iter().all(|f| f(f32::NAN).is_nan()));
    }
}
