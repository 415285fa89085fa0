//! What is done to each element by itself.
//!
//! Slices of different lengths are a mistake of the caller and panic.

use crate::lanes::{self, Kernel, Lanes};
use crate::math;

/// Declares a function on `to` (changed in place) and further slices (read), and numbers.
macro_rules! elementwise {
    ($($(#[$doc:meta])* $name:ident($($number:ident: f32,)* |$to:ident $(, $from:ident)*| $value:expr);)*) => {$(
        $(#[$doc])*
        pub fn $name(to: &mut [f32] $(, $number: f32)* $(, $from: &[f32])*) {
            struct Each<'a> {
                to: &'a mut [f32],
                $($number: f32,)*
                $($from: &'a [f32],)*
            }
            impl Kernel for Each<'_> {
                type Output = ();
                // Plain code on whole slices: the compiler puts it into lanes of the backend.
                #[inline(always)]
                fn on<L: Lanes>(self) {
                    let Self { to, $($number,)* $($from,)* } = self;
                    $(let $from = &$from[..to.len()];)*
                    for (nth, to) in to.iter_mut().enumerate() {
                        let $to = *to;
                        $(let $from = $from[nth];)*
                        let _ = nth;
                        *to = $value;
                    }
                }
            }
            $(assert_eq!(to.len(), $from.len(), "elements of {}", stringify!($from));)*
            lanes::run(Each { to, $($number,)* $($from,)* });
        }
    )*};
}

elementwise! {
    /// `to + from`.
    add(|to, from| to + from);
    /// `to · from`.
    multiply(|to, from| to * from);
    /// `to · factor`.
    scale(factor: f32, |to| to * factor);
    /// `to + factor · from`.
    add_scaled(factor: f32, |to, from| to + factor * from);
    /// `decay · to + gain · from`, an exponential mean if they add up to 1.
    decay(decay: f32, gain: f32, |to, from| decay * to + gain * from);
    /// `decay · to + gain · from²`.
    decay_squares(decay: f32, gain: f32, |to, from| decay * to + gain * (from * from));
    /// `to - rate · from / (root + epsilon)`: a step along `from`, scaled by roots.
    step_scaled(rate: f32, epsilon: f32, |to, from, root| to - rate * from / (root + epsilon));
    /// Rectified linear: 0 where `to` is not positive.
    relu(|to| if to > 0.0 { to } else { 0.0 });
    /// The gradient through [`relu`]: 0 where its `output` is not positive.
    relu_gradient(|to, output| if output > 0.0 { to } else { 0.0 });
    /// The exponential, as [`math::exp`].
    exp(|to| math::exp(to));
    /// `exp(to - shift)`.
    exp_less(shift: f32, |to| math::exp(to - shift));
    /// The natural logarithm, as [`math::ln`].
    ln(|to| math::ln(to));
    /// The hyperbolic tangent, as [`math::tanh`].
    tanh(|to| math::tanh(to));
    /// The gradient through [`tanh`] with this `output`: `to · (1 - output²)`.
    tanh_gradient(|to, output| to * (1.0 - output * output));
    /// The logistic function, as [`math::sigmoid`].
    sigmoid(|to| math::sigmoid(to));
    /// The gradient through [`sigmoid`] with this `output`: `to · output (1 - output)`.
    sigmoid_gradient(|to, output| to * (output * (1.0 - output)));
    /// `(to - mean) · factor`: what normalises one channel.
    normalise(mean: f32, factor: f32, |to| (to - mean) * factor);
    /// `to · factor + shift`.
    affine(factor: f32, shift: f32, |to| to * factor + shift);
}

/// The square root, correctly rounded.
pub fn sqrt(to: &mut [f32]) {
    struct Roots<'a>(&'a mut [f32]);
    impl Kernel for Roots<'_> {
        type Output = ();
        #[inline(always)]
        fn on<L: Lanes>(self) {
            let whole = self.0.len() - self.0.len() % L::N;
            let (lanes, rest) = self.0.split_at_mut(whole);
            for lanes in lanes.chunks_exact_mut(L::N) {
                // SAFETY: as many as there are lanes.
                unsafe { L::read(lanes.as_ptr()).sqrt().write(lanes.as_mut_ptr()) }
            }
            for element in rest {
                *element = crate::root::sqrt(*element);
            }
        }
    }
    lanes::run(Roots(to));
}

/// Adds `row` [n] to each row of `to` [rows, n].
///
/// # Panics
/// If `to` does not consist of such rows.
pub fn add_row(to: &mut [f32], row: &[f32]) {
    assert!(!row.is_empty() && to.len().is_multiple_of(row.len()), "rows of {}", row.len());
    struct Rows<'a>(&'a mut [f32], &'a [f32]);
    impl Kernel for Rows<'_> {
        type Output = ();
        #[inline(always)]
        fn on<L: Lanes>(self) {
            for line in self.0.chunks_exact_mut(self.1.len()) {
                for (element, addend) in line.iter_mut().zip(self.1) {
                    *element += addend;
                }
            }
        }
    }
    lanes::run(Rows(to, row));
}
