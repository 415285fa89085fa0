//! The error function, small exponentials and powers.
//!
//! Made of single IEEE 754 operations in a fixed order. Coefficients of the error function were
//! fitted to 40 digits' values at Chebyshev's nodes.

#![allow(
    clippy::excessive_precision,
    clippy::approx_constant,
    reason = "coefficients as they were fitted"
)]

use crate::kernels::{Float, math, math64};

/// float32 or float64, with the functions that the kernels do not have.
pub(crate) trait Functions: Float {
    /// The error function, within 2e-7 (float32) or 1e-15 (float64).
    fn error_function(self) -> Self;
    /// `e^x - 1`, also where that is small.
    fn exp_m1(self) -> Self;
    /// `self^exponent`; of a negative base only for whole exponents.
    fn power(self, exponent: Self) -> Self;
}

#[inline(always)]
fn polynomial<T: Float, const N: usize>(x: T, coefficients: [T; N]) -> T {
    let mut sum = T::ZERO;
    for coefficient in coefficients {
        sum = sum * x + coefficient;
    }
    sum
}

impl Functions for f32 {
    #[inline(always)]
    fn error_function(self) -> Self {
        let size = self.abs();
        let square = self * self;
        let near = self
            * polynomial(
                square,
                [
                    7.875875e-05,
                    -8.0168643e-04,
                    5.1890872e-03,
                    -2.6854211e-02,
                    0.11283594,
                    -0.37612626,
                    1.1283791,
                ],
            );
        let s = (1.0 / (1.0 + 0.5 * size) - 0.497_267_76) * 5.903_226;
        let p = polynomial(
            s,
            [
                -1.3209984e-06,
                -3.0251964e-05,
                5.168748e-05,
                3.0676837e-03,
                2.7589949e-02,
                0.14383729,
                0.25306854,
            ],
        );
        let far = 1.0 - math::exp(-square) * p;
        let far = if size > 4.1 { 1.0 } else { far };
        let far = if self < 0.0 { -far } else { far };
        // Also where it is NaN.
        if size > 1.0 { far } else { near }
    }

    #[inline(always)]
    fn exp_m1(self) -> Self {
        let tail = [
            2.4801587e-05,
            1.984127e-04,
            1.3888889e-03,
            8.3333333e-03,
            4.1666668e-02,
            0.16666667,
            0.5,
            1.0,
        ];
        let near = polynomial(self, tail) * self;
        if self.abs() > 0.5 { math::exp(self) - 1.0 } else { near }
    }

    #[inline(always)]
    fn power(self, exponent: Self) -> Self {
        f64::from(self).power(f64::from(exponent)) as Self
    }
}

impl Functions for f64 {
    fn error_function(self) -> Self {
        let size = self.abs();
        let square = self * self;
        if size > 6.0 {
            return if self < 0.0 { -1.0 } else { 1.0 };
        }
        if size > 1.0 {
            let s = (1.0 / (1.0 + 0.5 * size) - 0.4583333333333333) * 4.8;
            let far = 1.0
                - math64::exp(-square)
                    * polynomial(
                        s,
                        [
                            1.4495643113419578e-13,
                            -9.321424201169892e-13,
                            -1.3919347826387398e-13,
                            2.2116545307548472e-11,
                            -7.360635504868664e-11,
                            -2.6866737279095447e-10,
                            2.6240024103160866e-09,
                            -5.886316438866986e-10,
                            -7.005318546704507e-08,
                            1.6349938614647468e-07,
                            1.9795618158539775e-06,
                            -7.340517941415228e-06,
                            -8.079220426243645e-05,
                            0.0001971391777283487,
                            0.005588816281839573,
                            0.038560570425182406,
                            0.16189356804102498,
                            0.2214295402299318,
                        ],
                    );
            return if self < 0.0 { -far } else { far };
        }
        self * polynomial(
            square,
            [
                -4.230945824295338e-12,
                8.709045129053106e-11,
                -1.216456005728345e-09,
                1.4792401209404813e-08,
                -1.6364642158167616e-07,
                1.6462045441468418e-06,
                -1.4925647567519332e-05,
                0.00012055332902888736,
                -0.000854832702193483,
                0.0052239776254232985,
                -0.02686617064512984,
                0.1128379167095512,
                -0.37612638903183754,
                1.1283791670955126,
            ],
        )
    }

    fn exp_m1(self) -> Self {
        if self.abs() > 0.5 {
            return math64::exp(self) - 1.0;
        }
        // Taylor's series, from the fourteenth term down.
        let (mut sum, mut n) = (1.0, 14.0);
        while n > 1.0 {
            sum = 1.0 + sum * self / n;
            n -= 1.0;
        }
        sum * self
    }

    fn power(self, exponent: Self) -> Self {
        const WHOLE_MAX: f64 = 64.0;
        if exponent == 0.0 || self == 1.0 {
            return 1.0;
        }
        // Beyond 2^53 all are whole and even.
        let is_large = exponent.abs() >= 9_007_199_254_740_992.0;
        let is_whole = is_large || exponent as i64 as f64 == exponent;
        let is_odd = is_whole && !is_large && exponent as i64 & 1 == 1;
        if is_whole && exponent.abs() <= WHOLE_MAX {
            let (mut n, mut square, mut result) = (exponent.abs() as u32, self, 1.0);
            while n > 0 {
                if n & 1 == 1 {
                    result *= square;
                }
                square *= square;
                n >>= 1;
            }
            return if exponent < 0.0 { 1.0 / result } else { result };
        }
        if self < 0.0 && !is_whole {
            return f64::NAN;
        }
        let size = math64::exp(exponent * math64::ln(self.abs()));
        if is_odd && self < 0.0 { -size } else { size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_ieee_754() {
        let cases = [
            (2.0, 10.0, 1024.0),
            (-2.0, 3.0, -8.0),
            (-2.0, 65.0, -36_893_488_147_419_103_232.0),
            (0.0, 0.0, 1.0),
            (0.0, 2.5, 0.0),
            (0.0, -0.5, f64::INFINITY),
            (4.0, 0.5, 2.0),
            (f64::INFINITY, 0.5, f64::INFINITY),
            (2.0, -2.0, 0.25),
            (1.0, f64::NAN, 1.0),
        ];
        for (base, exponent, expected) in cases {
            let got: f64 = base.power(exponent);
            assert!((got - expected).abs() <= 1e-13 * expected.abs() || got == expected, "{got}");
        }
        assert!((-2.0f64).power(0.5).is_nan() && f64::NAN.power(2.0).is_nan());
    }

    #[test]
    fn error_function_is_within_its_bounds() {
        // Abramowitz and Stegun, table 7.1, and the mpmath of the fit.
        let cases = [
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (1.5, 0.966_105_146_475_310_7),
            (2.0, 0.995_322_265_018_952_7),
            (3.0, 0.999_977_909_503_001_4),
            (7.0, 1.0),
        ];
        for (x, expected) in cases {
            assert!(
                (f64::error_function(x) - expected).abs() <= 1e-15,
                "{x}: {}",
                f64::error_function(x)
            );
            assert!((f64::error_function(-x) + expected).abs() <= 1e-15, "{x}");
            let single = (x as f32).error_function();
            assert!((f64::from(single) - expected).abs() <= 2e-7, "{x}: {single}");
        }
        assert!(f64::NAN.error_function().is_nan() && f32::NAN.error_function().is_nan());
        for nth in -600..600 {
            let x = f64::from(nth) / 100.0;
            let difference = f64::from((x as f32).error_function()) - x.error_function();
            assert!(difference.abs() <= 2e-7, "{x}: {difference}");
            let (single, double) = (f64::from((x as f32).exp_m1()), x.exp_m1());
            assert!((single - double).abs() <= 3e-7 * double.abs(), "{x}: {single}, {double}");
        }
    }
}
