//! Exponential, logarithm, hyperbolic tangent and logistic function of float64.
//!
//! As [`math`](super::math): single IEEE 754 operations in a fixed order, without branches.
//! Rational functions: Moshier, Cephes Mathematical Library 2.8, double precision.

#![allow(clippy::excessive_precision, reason = "coefficients as they are published")]

const LN_2_HIGH: f64 = 0.693_359_375;
const LN_2_LOW: f64 = -2.121_944_400_546_905_827_679e-4;
const MANTISSA_BITS: u32 = 52;
const BIAS: i64 = 1023;

/// `coefficients` from the highest power down, at `x`, by Horner's rule.
#[inline(always)]
fn polynomial<const N: usize>(x: f64, coefficients: [f64; N]) -> f64 {
    let mut sum = 0.0;
    for coefficient in coefficients {
        sum = sum * x + coefficient;
    }
    sum
}

/// e to the power of `x`, at most 2 ulp off. Below -708.39 it is 0 (not subnormal), above
/// 709.7827 infinite.
#[inline(always)]
#[must_use]
pub fn exp(x: f64) -> f64 {
    /// Adding it leaves whole numbers, rounded to nearest even, in the lowest bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LOWEST: f64 = -708.39;
    const HIGHEST: f64 = 709.782_712_893_383_97;
    const HIGH: f64 = 6.931_457_519_531_25e-1;
    const LOW: f64 = 1.428_606_820_309_417_232_12e-6;
    let inside = if x > HIGHEST { HIGHEST } else { x };
    let inside = if inside < LOWEST { LOWEST } else { inside };
    let rounded = inside * core::f64::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let rest = inside - n * HIGH - n * LOW;
    let square = rest * rest;
    let p = [1.261_771_930_748_105_908_78e-4, 3.029_944_077_074_419_613e-2, 1.0];
    let q = [
        3.001_985_051_386_644_550_42e-6,
        2.524_483_403_496_841_041_92e-3,
        0.227_265_548_208_155_028_766,
        2.0,
    ];
    let odd = rest * polynomial(square, p);
    let fraction = odd / (polynomial(square, q) - odd);
    let power = fraction + fraction + 1.0;
    // By half of the exponent twice: all of it is beyond float64 where the result is not.
    let n = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i64;
    let scale = |n: i64| f64::from_bits(((n + BIAS) as u64) << MANTISSA_BITS);
    let power = power * scale(n >> 1) * scale(n - (n >> 1));
    let power = if x > HIGHEST { f64::INFINITY } else { power };
    if x < LOWEST { 0.0 } else { power }
}

/// The natural logarithm of `x`, at most 2 ulp off: of 0 minus infinity, below it NaN.
#[inline(always)]
#[must_use]
pub fn ln(x: f64) -> f64 {
    /// What makes subnormal numbers normal.
    const LIFT: f64 = 4_503_599_627_370_496.0;
    const HALF: u64 = 0x3fe0_0000_0000_0000;
    const MANTISSA: u64 = 0x000f_ffff_ffff_ffff;
    let is_subnormal = x < f64::MIN_POSITIVE;
    let lifted = if is_subnormal { x * LIFT } else { x };
    let lift = if is_subnormal { -52.0 } else { 0.0 };
    let bits = lifted.to_bits();
    // In [1/2, 1), and then in [√½, √2), less 1.
    let mantissa = f64::from_bits(bits & MANTISSA | HALF);
    let exponent = (bits >> MANTISSA_BITS) as i32 - (BIAS as i32 - 1);
    let is_low = mantissa < core::f64::consts::FRAC_1_SQRT_2;
    let e = f64::from(exponent) + lift - if is_low { 1.0 } else { 0.0 };
    let m = if is_low { mantissa + mantissa } else { mantissa } - 1.0;
    let square = m * m;
    let p = [
        1.018_756_638_045_809_317_96e-4,
        4.974_949_949_767_470_014_25e-1,
        4.705_791_198_788_817_258_54,
        1.449_892_253_416_109_308_46e1,
        1.793_686_785_078_198_163_13e1,
        7.708_387_337_558_853_916_66,
    ];
    let q = [
        1.0,
        1.128_735_871_891_674_505_9e1,
        4.522_791_458_375_322_211_05e1,
        8.298_752_669_127_766_032_11e1,
        7.115_447_506_185_638_944_66e1,
        2.312_516_201_267_653_405_83e1,
    ];
    let rest = m * (square * polynomial(m, p) / polynomial(m, q));
    let rest = rest + e * LN_2_LOW - 0.5 * square;
    let result = m + rest + e * LN_2_HIGH;
    let result = if x == f64::INFINITY { x } else { result };
    let result = if x == 0.0 { f64::NEG_INFINITY } else { result };
    // Also where x is NaN.
    if x >= 0.0 { result } else { f64::NAN }
}

/// The natural logarithm of 1 + `x` for `x` from 0 on, at most 3 ulp off (Goldberg 1991,
/// theorem 4).
#[inline(always)]
#[must_use]
pub fn ln_1p(x: f64) -> f64 {
    let sum = 1.0 + x;
    let gained = sum - 1.0;
    // What the sum lost, the quotient puts right.
    let result = ln(sum) * (x / gained);
    let result = if gained == 0.0 { x } else { result };
    if x == f64::INFINITY { x } else { result }
}

/// The hyperbolic tangent of `x`, at most 2 ulp off.
#[inline(always)]
#[must_use]
pub fn tanh(x: f64) -> f64 {
    let square = x * x;
    let p = [
        -9.643_991_794_250_522_386_28e-1,
        -9.928_772_310_019_185_865_64e1,
        -1.614_687_684_417_084_479_52e3,
    ];
    let q = [
        1.0,
        1.128_116_784_916_329_314_02e2,
        2.235_488_390_601_004_485_83e3,
        4.844_063_053_251_254_860_48e3,
    ];
    let near = x * square * (polynomial(square, p) / polynomial(square, q)) + x;
    let size = x.abs();
    let far = 1.0 - 2.0 / (exp(size + size) + 1.0);
    let far = if x < 0.0 { -far } else { far };
    if size > 0.625 { far } else { near }
}

/// The logistic function `1 / (1 + exp(-x))`, at most 3 ulp off where it is 1e-300 or more.
#[inline(always)]
#[must_use]
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::println;

    /// The largest error in ulp over numbers from `low` to `high` against the function of the
    /// platform, which itself is within 1 ulp.
    fn worst(f: fn(f64) -> f64, other: fn(f64) -> f64, low: f64, high: f64, both: bool) -> f64 {
        let mut worst = (0.0, 0.0);
        let step = (high.to_bits() - low.to_bits()) / 500_000;
        for bits in (low.to_bits()..=high.to_bits()).step_by(step as usize) {
            let x = f64::from_bits(bits);
            for x in if both { [x, -x] } else { [x, x] } {
                let (got, exact) = (f(x), other(x));
                let ulp = f64::from_bits(exact.abs().to_bits() + 1) - exact.abs();
                let error = (got - exact).abs() / ulp;
                if error > worst.0 {
                    worst = (error, x);
                }
            }
        }
        println!("at most {} ulp, at {}", worst.0, worst.1);
        worst.0
    }

    #[test]
    fn errors_are_as_stated() {
        assert!(worst(exp, f64::exp, 1e-300, 708.3, true) <= 2.0);
        assert!(worst(exp, f64::exp, 708.3, 709.78, false) <= 2.0);
        assert!(worst(ln, f64::ln, f64::from_bits(1), f64::MAX, false) <= 2.0);
        assert!(worst(ln, f64::ln, 0.5, 2.0, false) <= 2.0);
        assert!(worst(ln_1p, f64::ln_1p, 1e-20, 1e3, false) <= 4.0);
        assert!(worst(tanh, f64::tanh, 1e-300, 100.0, true) <= 3.0);
        let other = |x: f64| 1.0 / (1.0 + (-x).exp());
        assert!(worst(sigmoid, other, 1e-300, 690.0, true) <= 3.0);
    }

    #[test]
    fn ends_of_the_line() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!([f64::INFINITY, 710.0].map(exp), [f64::INFINITY; 2]);
        assert_eq!([f64::NEG_INFINITY, -709.0].map(exp), [0.0; 2]);
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(ln(0.0), f64::NEG_INFINITY);
        assert_eq!(ln(f64::INFINITY), f64::INFINITY);
        assert_eq!([0.0, f64::INFINITY].map(ln_1p), [0.0, f64::INFINITY]);
        assert_eq!([f64::INFINITY, f64::NEG_INFINITY].map(tanh), [1.0, -1.0]);
        assert_eq!([f64::NEG_INFINITY, f64::INFINITY].map(sigmoid), [0.0, 1.0]);
        assert!(ln(-1.0).is_nan());
        assert!([exp, ln, ln_1p, tanh, sigmoid].iter().all(|f| f(f64::NAN).is_nan()));
    }
}
