//! Functions of elements and their slopes: a loop for each.

use super::numbers::Functions;
use crate::kernels::parallel::each_rows;
use crate::kernels::simd::{self, Kernel, Lanes};
use crate::kernels::{Float, Parallel};
use crate::op::{Binary, Side, Unary};

/// `√½`.
const ROOT_HALF: f64 = core::f64::consts::FRAC_1_SQRT_2;
/// `√(2/π)`, of the hyperbolic GELU.
const ROOT_2_PI: f64 = 0.797_884_560_802_865_4;
/// Of the hyperbolic GELU.
const CUBE: f64 = 0.044_715;

/// The larger; NaN if either is.
#[inline(always)]
pub(super) fn larger<T: Float>(a: T, b: T) -> T {
    // Also where a is NaN.
    if b > a || b.is_nan() { b } else { a }
}

/// The smaller; NaN if either is.
#[inline(always)]
pub(super) fn smaller<T: Float>(a: T, b: T) -> T {
    if b < a || b.is_nan() { b } else { a }
}

/// What floating-point numbers are asked.
trait IsNan: Float {
    #[inline(always)]
    fn is_nan(self) -> bool {
        #[expect(clippy::eq_op, reason = "only NaN is not itself")]
        let is_nan = self != self;
        is_nan
    }
}

impl<T: Float> IsNan for T {}

/// Writes `f` of each element.
#[inline(always)]
fn map<T: Float>(to: &mut [T], x: &[T], f: impl Fn(T) -> T) {
    to.iter_mut().zip(x).for_each(|(to, x)| *to = f(*x));
}

/// Writes `f` of each pair.
#[inline(always)]
fn zip<T: Float>(to: &mut [T], a: &[T], b: &[T], f: impl Fn(T, T) -> T) {
    to.iter_mut().zip(a.iter().zip(b)).for_each(|(to, (a, b))| *to = f(*a, *b));
}

#[inline(always)]
fn sign<T: Float>(x: T) -> T {
    let below = if x < T::ZERO { -T::ONE } else { T::ZERO };
    if x > T::ZERO { T::ONE } else { below }
}

/// Half of the exact GELU's factor: the normal distribution.
#[inline(always)]
fn below<T: Functions>(x: T) -> T {
    T::from_f64(0.5) * (T::ONE + (x * T::from_f64(ROOT_HALF)).error_function())
}

/// The function of each number, on the lanes that the machine has.
struct Values<'a, T> {
    f: Unary,
    to: &'a mut [T],
    x: &'a [T],
}

impl<T: Functions> Kernel<T> for Values<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        values::<T, L>(self.f, self.to, self.x);
    }
}

/// Writes the function of each number.
pub(super) fn unary<T: Functions>(f: Unary, to: &mut [T], x: &[T], threads: &dyn Parallel) {
    let level = simd::level();
    each_rows(to, 1, 32 * x.len(), threads, &|piece, to| {
        simd::run_at(level, Values { f, to, x: &x[piece] });
    });
}

/// A loop for each function, so that none looks at `f`; for each kind of lanes, so that all of it
/// is compiled for them.
#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "loops of its own for each")]
fn values<T: Functions, L: Lanes<T = T>>(f: Unary, to: &mut [T], x: &[T]) {
    let n = T::from_f64;
    let half = n(0.5);
    match f {
        Unary::Neg => map(to, x, |x| -x),
        Unary::Exp => map(to, x, T::exp),
        Unary::Ln => map(to, x, T::ln),
        Unary::Sqrt => map(to, x, T::root),
        Unary::Rsqrt => map(to, x, |x| T::ONE / x.root()),
        Unary::Reciprocal => map(to, x, |x| T::ONE / x),
        Unary::Square => map(to, x, |x| x * x),
        Unary::Abs => map(to, x, T::absolute),
        Unary::Sign => map(to, x, sign),
        Unary::AddScalar(c) => map(to, x, |x| x + n(c)),
        Unary::MulScalar(c) => map(to, x, |x| x * n(c)),
        Unary::PowScalar(c) => map(to, x, |x| x.power(n(c))),
        Unary::Clamp(low, high) => map(to, x, |x| {
            let x = if x < n(low) { n(low) } else { x };
            if x > n(high) { n(high) } else { x }
        }),
        Unary::Relu => map(to, x, |x| if x > T::ZERO || x.is_nan() { x } else { T::ZERO }),
        Unary::LeakyRelu(slope) => map(to, x, |x| if x > T::ZERO { x } else { x * n(slope) }),
        Unary::Elu(alpha) => map(to, x, |x| if x > T::ZERO { x } else { x.exp_m1() * n(alpha) }),
        Unary::Gelu => map(to, x, |x| x * below(x)),
        Unary::GeluTanh => map(to, x, |x| {
            let inner = n(ROOT_2_PI) * (x + n(CUBE) * (x * x * x));
            half * x * (T::ONE + inner.tanh())
        }),
        Unary::Silu => map(to, x, |x| x * x.sigmoid()),
        Unary::Sigmoid => map(to, x, T::sigmoid),
        Unary::Tanh => map(to, x, T::tanh),
        Unary::Softplus => {
            map(to, x, |x| larger(x, T::ZERO) + (-x.absolute()).exp().ln_1p());
        }
    }
}

/// The gradient through a function, on the lanes that the machine has.
struct Slopes<'a, T> {
    f: Unary,
    to: &'a mut [T],
    g: &'a [T],
    v: &'a [T],
}

impl<T: Functions> Kernel<T> for Slopes<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        slopes::<T, L>(self.f, self.to, self.g, self.v);
    }
}

/// Writes the gradient `g` times the slope of the function, at its input, or at its output where
/// [`Unary::slope_of_output`] says so.
pub(super) fn unary_gradient<T: Functions>(
    f: Unary,
    to: &mut [T],
    g: &[T],
    v: &[T],
    threads: &dyn Parallel,
) {
    let level = simd::level();
    each_rows(to, 1, 32 * g.len(), threads, &|piece, to| {
        simd::run_at(level, Slopes { f, to, g: &g[piece.clone()], v: &v[piece] });
    });
}

/// As [`values`].
#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "loops of its own for each")]
fn slopes<T: Functions, L: Lanes<T = T>>(f: Unary, to: &mut [T], g: &[T], v: &[T]) {
    let n = T::from_f64;
    let half = n(0.5);
    match f {
        Unary::Neg => map(to, g, |g| -g),
        Unary::Exp => zip(to, g, v, |g, y| g * y),
        Unary::Ln => zip(to, g, v, |g, x| g / x),
        Unary::Sqrt => zip(to, g, v, |g, y| g / (y + y)),
        Unary::Rsqrt => zip(to, g, v, |g, y| g * (-half * (y * y * y))),
        Unary::Reciprocal => zip(to, g, v, |g, y| -g * (y * y)),
        Unary::Square => zip(to, g, v, |g, x| g * (x + x)),
        Unary::Abs => zip(to, g, v, |g, x| g * sign(x)),
        Unary::Sign | Unary::PowScalar(0.0) => to.fill(T::ZERO),
        Unary::AddScalar(_) => to.copy_from_slice(g),
        Unary::MulScalar(c) => map(to, g, |g| g * n(c)),
        Unary::PowScalar(c) => zip(to, g, v, |g, x| g * (n(c) * x.power(n(c - 1.0)))),
        Unary::Clamp(low, high) => {
            zip(to, g, v, |g, x| if x > n(low) && x < n(high) { g } else { T::ZERO });
        }
        Unary::Relu => zip(to, g, v, |g, y| if y > T::ZERO { g } else { T::ZERO }),
        Unary::LeakyRelu(slope) => zip(to, g, v, |g, x| if x > T::ZERO { g } else { g * n(slope) }),
        Unary::Elu(alpha) => {
            zip(to, g, v, |g, x| if x > T::ZERO { g } else { g * (n(alpha) * x.exp()) });
        }
        // The normal density is 1/√(2π) e^(-x²/2).
        Unary::Gelu => zip(to, g, v, |g, x| {
            let density = n(0.398_942_280_401_432_7) * (-half * (x * x)).exp();
            g * (below(x) + x * density)
        }),
        Unary::GeluTanh => zip(to, g, v, |g, x| {
            let square = x * x;
            let t = (n(ROOT_2_PI) * (x + n(CUBE) * (square * x))).tanh();
            let slope = n(ROOT_2_PI) * (T::ONE + n(3.0 * CUBE) * square);
            g * (half * (T::ONE + t) + half * x * ((T::ONE - t * t) * slope))
        }),
        Unary::Silu => zip(to, g, v, |g, x| {
            let s = x.sigmoid();
            g * (s * (T::ONE + x * (T::ONE - s)))
        }),
        Unary::Sigmoid => zip(to, g, v, |g, y| g * (y * (T::ONE - y))),
        Unary::Tanh => zip(to, g, v, |g, y| g * (T::ONE - y * y)),
        Unary::Softplus => zip(to, g, v, |g, x| g * x.sigmoid()),
    }
}

/// Writes the function of each pair of a run; a side's elements are `steps` apart, 0 or 1.
#[inline(always)]
fn pairs<T: Float>(to: &mut [T], a: &[T], b: &[T], steps: [usize; 2], f: impl Fn(T, T) -> T) {
    match steps {
        [1, 1] => zip(to, a, b, f),
        [1, _] => map(to, a, |a| f(a, b[0])),
        [_, 1] => map(to, b, |b| f(a[0], b)),
        _ => to.fill(f(a[0], b[0])),
    }
}

/// The function of pairs in a run, on the lanes that the machine has.
struct Pairs<'a, T> {
    f: Binary,
    to: &'a mut [T],
    a: &'a [T],
    b: &'a [T],
    steps: [usize; 2],
}

impl<T: Functions> Kernel<T> for Pairs<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        combined::<T, L>(self.f, self.to, self.a, self.b, self.steps);
    }
}

/// The function of pairs in a run.
pub(super) fn binary<T: Functions>(f: Binary, to: &mut [T], a: &[T], b: &[T], steps: [usize; 2]) {
    simd::run_at(simd::level(), Pairs { f, to, a, b, steps });
}

#[inline(always)]
#[expect(clippy::extra_unused_type_parameters, reason = "loops of its own for each")]
fn combined<T: Functions, L: Lanes<T = T>>(
    f: Binary,
    to: &mut [T],
    a: &[T],
    b: &[T],
    steps: [usize; 2],
) {
    match f {
        Binary::Add => pairs(to, a, b, steps, |a, b| a + b),
        Binary::Sub => pairs(to, a, b, steps, |a, b| a - b),
        Binary::Mul => pairs(to, a, b, steps, |a, b| a * b),
        Binary::Div => pairs(to, a, b, steps, |a, b| a / b),
        Binary::Pow => pairs(to, a, b, steps, T::power),
        Binary::Max => pairs(to, a, b, steps, larger),
        Binary::Min => pairs(to, a, b, steps, smaller),
        Binary::Bce => pairs(to, a, b, steps, |a, b| {
            larger(a, T::ZERO) - a * b + (-a.absolute()).exp().ln_1p()
        }),
        Binary::Huber(delta) => pairs(to, a, b, steps, |a, b| {
            let (size, delta) = ((a - b).absolute(), T::from_f64(delta));
            let half = T::from_f64(0.5);
            if size > delta { delta * (size - half * delta) } else { half * size * size }
        }),
        Binary::Kl => {
            pairs(to, a, b, steps, |a, b| if b > T::ZERO { b * (b.ln() - a) } else { b * T::ZERO })
        }
    }
}

/// The gradient `g` times the slope of the function along one side, of one element.
#[inline(always)]
fn slope<T: Functions>(f: Binary, side: Side, g: T, a: T, b: T) -> T {
    let is_left = side == Side::Left;
    let sided = |is_here: bool| if is_here == is_left { g } else { T::ZERO };
    match f {
        Binary::Add => g,
        Binary::Sub => {
            if is_left {
                g
            } else {
                -g
            }
        }
        Binary::Mul => {
            if is_left {
                g * b
            } else {
                g * a
            }
        }
        Binary::Div => {
            if is_left {
                g / b
            } else {
                -g * ((a / b) / b)
            }
        }
        Binary::Pow if is_left => {
            if b == T::ZERO {
                T::ZERO
            } else {
                g * (b * a.power(b - T::ONE))
            }
        }
        Binary::Pow => {
            let is_flat = a == T::ZERO && b >= T::ZERO;
            if is_flat { T::ZERO } else { g * (a.power(b) * a.ln()) }
        }
        Binary::Max | Binary::Min if a == b => T::from_f64(0.5) * g,
        Binary::Max => sided(a > b || a.is_nan()),
        Binary::Min => sided(a < b || a.is_nan()),
        Binary::Bce => {
            if is_left {
                (a.sigmoid() - b) * g
            } else {
                -a * g
            }
        }
        Binary::Huber(delta) => {
            let (error, delta) = (a - b, T::from_f64(delta));
            let error = if error > delta { delta } else { error };
            let error = if error < -delta { -delta } else { error };
            if is_left { error * g } else { -error * g }
        }
        Binary::Kl if is_left => -b * g,
        Binary::Kl => {
            if b > T::ZERO {
                g * (b.ln() + T::ONE - a)
            } else {
                T::ZERO
            }
        }
    }
}

/// The gradient `g` times the slope of the function along one side, in a run.
pub(super) fn binary_gradient<T: Functions>(
    (f, side): (Binary, Side),
    to: &mut [T],
    [g, a, b]: [&[T]; 3],
    steps: [usize; 3],
) {
    for (nth, to) in to.iter_mut().enumerate() {
        *to = slope(f, side, g[nth * steps[0]], a[nth * steps[1]], b[nth * steps[2]]);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::kernels::OneThread;
    use crate::kernels::simd::Level;

    fn both(f: Unary, x: &[f32], g: &[f32]) -> Vec<u32> {
        let (mut values, mut slopes) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        unary(f, &mut values, x, &OneThread);
        unary_gradient(f, &mut slopes, g, x, &OneThread);
        let bits = |x: &f32| if x.is_nan() { 0 } else { x.to_bits() };
        values.iter().chain(&slopes).map(bits).collect()
    }

    #[test]
    fn all_lanes_give_the_same_bits() {
        let x: Vec<f32> =
            (0..100_003u32).map(|nth| f32::from_bits(nth.wrapping_mul(42_949))).collect();
        let g: Vec<f32> = (0..100_003u32).map(|nth| (nth % 977) as f32 * 0.01 - 5.0).collect();
        let all = [
            Unary::Exp,
            Unary::Ln,
            Unary::Sqrt,
            Unary::Rsqrt,
            Unary::PowScalar(1.7),
            Unary::Clamp(-1.0, 2.0),
            Unary::LeakyRelu(0.1),
            Unary::Elu(1.5),
            Unary::Gelu,
            Unary::GeluTanh,
            Unary::Silu,
            Unary::Sigmoid,
            Unary::Tanh,
            Unary::Softplus,
        ];
        for f in all {
            let most = simd::limit(Level::Avx512);
            let expected = both(f, &x, &g);
            for level in [Level::Plain, Level::Avx2] {
                simd::limit(level);
                assert_eq!(both(f, &x, &g), expected, "{f:?} on {level:?}");
            }
            simd::limit(most);
        }
    }
}
