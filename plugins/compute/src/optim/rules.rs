//! Rules that scale a gradient by the root of its squares: Adagrad and RMSprop.

use crate::kernels::Float;

/// `g = gradient + decay · value`; `s = s + g · g`, or `s = alpha · s + (1 - alpha) · (g · g)`; the
/// gradient is divided by `√s + epsilon`.
pub(super) struct Squares<T> {
    pub(super) alpha: Option<T>,
    pub(super) epsilon: T,
    pub(super) decay: T,
}

impl<T: Float> Squares<T> {
    /// The decayed gradient and the root.
    #[inline(always)]
    fn scaled(&self, value: T, gradient: T, squares: &mut T) -> (T, T) {
        let decayed = gradient + self.decay * value;
        let g = if self.decay > T::ZERO { decayed } else { gradient };
        *squares = match self.alpha {
            None => *squares + g * g,
            Some(alpha) => alpha * *squares + (T::ONE - alpha) * (g * g),
        };
        (g, squares.root() + self.epsilon)
    }

    /// `value - (rate · g) / (√s + epsilon)`.
    pub(super) fn step(&self, rate: T, values: &mut [T], gradients: &[T], squares: &mut [T]) {
        for ((value, gradient), squares) in values.iter_mut().zip(gradients).zip(squares) {
            let (g, root) = self.scaled(*value, *gradient, squares);
            *value = *value - rate * g / root;
        }
    }

    /// `b = momentum · b + g / (√s + epsilon)`, `value - rate · b`.
    pub(super) fn step_with(
        &self,
        rate: T,
        momentum: T,
        values: &mut [T],
        gradients: &[T],
        squares: &mut [T],
        momenta: &mut [T],
    ) {
        let all = values.iter_mut().zip(gradients).zip(squares).zip(momenta);
        for (((value, gradient), squares), kept) in all {
            let (g, root) = self.scaled(*value, *gradient, squares);
            *kept = momentum * *kept + g / root;
            *value = *value - rate * *kept;
        }
    }
}
