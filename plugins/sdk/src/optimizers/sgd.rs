//! Stochastic gradient descent.

use crate::{Argument, Arguments, Parameter, PlanError, Result};

/// Stochastic gradient descent with optional momentum, as `torch.optim.SGD`:
/// `b = momentum * b + g` (`b = g` at the first step), `w = w - lr * b`.
///
/// The buffers `b` start anew in every round.
#[derive(Clone, Debug)]
pub struct Sgd {
    lr: f32,
    momentum: f32,
    buffers: Vec<Vec<f32>>,
}

impl Sgd {
    /// The arguments that [`Sgd::from_arguments`] reads.
    pub fn arguments() -> Vec<Argument> {
        vec![
            Argument::real("optimizer.lr", 0.01, "learning rate, more than 0"),
            Argument::real("optimizer.momentum", 0.0, "momentum, 0 <= momentum < 1"),
        ]
    }

    /// Builds the optimizer from `optimizer.lr` and `optimizer.momentum`.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if one is out of range.
    pub fn from_arguments(args: &Arguments) -> Result<Self> {
        let (lr, momentum) = (args.real("optimizer.lr")?, args.real("optimizer.momentum")?);
        if !(lr > 0.0 && lr.is_finite()) {
            return Err(PlanError::InvalidArgument(format!(
                "optimizer.lr is {lr}, expected more than 0"
            )));
        }
        if !(0.0..1.0).contains(&momentum) {
            return Err(PlanError::InvalidArgument(format!(
                "optimizer.momentum is {momentum}, expected 0 <= momentum < 1"
            )));
        }
        Ok(Self { lr: lr as f32, momentum: momentum as f32, buffers: Vec::new() })
    }

    /// Takes one step and sets the gradients back to zero. `parameters` are
    /// the same ones in the same order at every call.
    pub fn step(&mut self, parameters: &mut [&mut Parameter]) {
        let first = self.buffers.is_empty();
        if first && self.momentum > 0.0 {
            self.buffers = parameters.iter().map(|p| p.gradient.data().to_vec()).collect();
        }
        for (i, parameter) in parameters.iter_mut().enumerate() {
            let Parameter { value, gradient } = &mut **parameter;
            if let (Some(buffer), false) = (self.buffers.get_mut(i), first) {
                for (b, g) in buffer.iter_mut().zip(gradient.data()) {
                    *b = self.momentum * *b + *g;
                }
            }
            let direction = self.buffers.get(i).map_or(gradient.data(), Vec::as_slice);
            for (w, d) in value.data_mut().iter_mut().zip(direction) {
                *w -= self.lr * *d;
            }
            gradient.data_mut().fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // p = torch.nn.Parameter(torch.tensor([1.0]))
    // o = torch.optim.SGD([p], lr=0.1, momentum=0.9)
    // for g in (1.0, 1.0, -2.0): p.grad = torch.tensor([g]); o.step(); print(p.item())
    #[test]
    fn momentum_equals_torch() {
        let mut sgd = Sgd { lr: 0.1, momentum: 0.9, buffers: Vec::new() };
        let mut parameter = Parameter::zeros(&[1]).unwrap();
        parameter.value.data_mut()[0] = 1.0;
        for (gradient, expected) in [(1.0, 0.9), (1.0, 0.71), (-2.0, 0.739)] {
            parameter.gradient.data_mut()[0] = gradient;
            sgd.step(&mut [&mut parameter]);
            assert!((parameter.value.data()[0] - expected).abs() < 1e-6);
            assert_eq!(parameter.gradient.data()[0], 0.0);
        }
    }
}
