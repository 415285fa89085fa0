//! Updates of parameters, each in one pass.

use super::elementwise::each;
use super::parallel::Shared;
use super::simd::{self, Kernel, Lanes};
use super::{Float, Parallel};

/// Stochastic gradient descent, as `torch.optim.SGD`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd<T> {
    /// Learning rate.
    pub rate: T,
    /// Times the weights, added to the gradient; 0 adds nothing.
    pub weight_decay: T,
    /// How much of the momentum stays.
    pub momentum: T,
    /// Whether the step looks ahead along the momentum (Nesterov).
    pub is_nesterov: bool,
}

/// Adam and AdamW, as in `torch.optim`, for one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam<T> {
    /// Learning rate over `1 - beta1^step`.
    pub rate: T,
    /// `1 / √(1 - beta2^step)`.
    pub unbias: T,
    /// Decay of the gradients' mean.
    pub beta1: T,
    /// Decay of their squares' mean.
    pub beta2: T,
    /// Added to the root of the squares' mean.
    pub epsilon: T,
    /// How weights decay.
    pub decay: Decay<T>,
}

/// How weights decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decay<T> {
    /// Not at all.
    None,
    /// Times the weights, added to the gradient (Adam).
    Gradient(T),
    /// The weights are multiplied with it: `1 - rate · decay` (AdamW).
    Weights(T),
}

impl<T: Float> Adam<T> {
    /// Adam for the step `step`, from 1 on: what is constant in a step, computed in float64.
    #[must_use]
    pub fn new(rate: T, [beta1, beta2]: [T; 2], epsilon: T, decay: Decay<T>, step: u64) -> Self {
        let left = |beta: T| 1.0 - power(beta.to_f64(), step);
        Self {
            rate: T::from_f64(rate.to_f64() / left(beta1)),
            unbias: T::from_f64(1.0 / left(beta2).root()),
            beta1,
            beta2,
            epsilon,
            decay,
        }
    }
}

/// By squares, so that every machine takes the same way.
fn power(base: f64, mut n: u64) -> f64 {
    let (mut square, mut result) = (base, 1.0);
    while n > 0 {
        if n & 1 == 1 {
            result *= square;
        }
        square *= square;
        n >>= 1;
    }
    result
}

impl<T: Float> Sgd<T> {
    /// The new value, without momentum: `value - rate · g`, where
    /// `g = gradient + weight_decay · value` if there is a decay.
    #[inline(always)]
    pub(crate) fn step(&self, value: T, gradient: T) -> T {
        value + (-self.rate) * self.decayed(value, gradient)
    }

    /// The new value and momentum: `m' = momentum · m + g`, and `value - rate · m'`, or with
    /// Nesterov `value - rate · (g + momentum · m')`.
    #[inline(always)]
    pub(crate) fn step_with(&self, value: T, gradient: T, momentum: T) -> (T, T) {
        let gradient = self.decayed(value, gradient);
        let momentum = self.momentum * momentum + gradient;
        let ahead = gradient + self.momentum * momentum;
        let along = if self.is_nesterov { ahead } else { momentum };
        (value + (-self.rate) * along, momentum)
    }

    #[inline(always)]
    fn decayed(&self, value: T, gradient: T) -> T {
        let decayed = gradient + self.weight_decay * value;
        if self.weight_decay > T::ZERO { decayed } else { gradient }
    }
}

impl<T: Float> Adam<T> {
    /// The new value, mean and squares' mean:
    /// `mean' = beta1 · mean + (1 - beta1) · g`,
    /// `squares' = beta2 · squares + (1 - beta2) · (g · g)`,
    /// `value - (rate · mean') / (√squares' · unbias + epsilon)`.
    #[inline(always)]
    pub(crate) fn step(&self, value: T, gradient: T, mean: T, squares: T) -> [T; 3] {
        let (value, gradient) = match self.decay {
            Decay::None => (value, gradient),
            Decay::Gradient(decay) => (value, gradient + decay * value),
            Decay::Weights(factor) => (value * factor, gradient),
        };
        let mean = self.beta1 * mean + (T::ONE - self.beta1) * gradient;
        let squares = self.beta2 * squares + (T::ONE - self.beta2) * (gradient * gradient);
        let root = squares.root() * self.unbias;
        [value - self.rate * mean / (root + self.epsilon), mean, squares]
    }
}

/// Part of [`sgd`].
pub struct SgdPart<'a, T> {
    rule: &'a Sgd<T>,
    values: &'a mut [T],
    momenta: Option<&'a mut [T]>,
    gradients: &'a [T],
}

impl<T: Float> Kernel<T> for SgdPart<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        let (rule, len) = (*self.rule, self.values.len());
        let gradients = &self.gradients[..len];
        let Some(momenta) = self.momenta else {
            for (value, gradient) in self.values.iter_mut().zip(gradients) {
                *value = rule.step(*value, *gradient);
            }
            return;
        };
        for ((value, momentum), gradient) in self.values.iter_mut().zip(momenta).zip(gradients) {
            (*value, *momentum) = rule.step_with(*value, *gradient, *momentum);
        }
    }
}

/// Updates values; with momenta if the rule has a momentum.
///
/// # Panics
/// If the slices have different lengths.
pub fn sgd<T: Float>(
    rule: &Sgd<T>,
    values: &mut [T],
    momenta: Option<&mut [T]>,
    gradients: &[T],
    threads: &dyn Parallel,
) {
    let len = values.len();
    assert_eq!(len, gradients.len(), "a gradient for each value");
    assert!(momenta.as_ref().is_none_or(|all| all.len() == len), "a momentum for each value");
    let momenta = momenta.map(|all| Shared(all.as_mut_ptr()));
    let (level, values) = (simd::level(), Shared(values.as_mut_ptr()));
    each(len, threads, &|piece| {
        // SAFETY: pieces are disjoint.
        let (values, momenta) = unsafe {
            (values.slice(piece.clone()), momenta.map(|momenta| momenta.slice(piece.clone())))
        };
        T::sgd(level, SgdPart { rule, values, momenta, gradients: &gradients[piece] });
    });
}

/// Part of [`adam`].
pub struct AdamPart<'a, T> {
    rule: &'a Adam<T>,
    values: &'a mut [T],
    means: &'a mut [T],
    squares: &'a mut [T],
    gradients: &'a [T],
}

impl<T: Float> Kernel<T> for AdamPart<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        // One loop for each decay, without a branch inside.
        let rule = *self.rule;
        match rule.decay {
            Decay::None => self.run(&Adam { decay: Decay::None, ..rule }),
            Decay::Gradient(decay) => self.run(&Adam { decay: Decay::Gradient(decay), ..rule }),
            Decay::Weights(factor) => self.run(&Adam { decay: Decay::Weights(factor), ..rule }),
        }
    }
}

impl<T: Float> AdamPart<'_, T> {
    #[inline(always)]
    fn run(self, rule: &Adam<T>) {
        let len = self.values.len();
        let (means, squares) = (&mut self.means[..len], &mut self.squares[..len]);
        let gradients = &self.gradients[..len];
        for nth in 0..len {
            [self.values[nth], means[nth], squares[nth]] =
                rule.step(self.values[nth], gradients[nth], means[nth], squares[nth]);
        }
    }
}

/// Updates values and both means.
///
/// # Panics
/// If the slices have different lengths.
pub fn adam<T: Float>(
    rule: &Adam<T>,
    values: &mut [T],
    means: &mut [T],
    squares: &mut [T],
    gradients: &[T],
    threads: &dyn Parallel,
) {
    let lens = [means.len(), squares.len(), gradients.len()];
    assert_eq!(lens, [values.len(); 3], "means and a gradient for each value");
    let (level, len) = (simd::level(), values.len());
    let [values, means, squares] = [values, means, squares].map(|all| Shared(all.as_mut_ptr()));
    each(len, threads, &|piece| {
        // SAFETY: pieces are disjoint.
        let [values, means, squares] =
            [values, means, squares].map(|all| unsafe { all.slice(piece.clone()) });
        let gradients = &gradients[piece.clone()];
        T::adam(level, AdamPart { rule, values, means, squares, gradients });
    });
}
