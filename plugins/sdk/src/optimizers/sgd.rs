//! Stochastic gradient descent.

use crate::{Argument, Arguments, Parameter, PlanError, Result};

/// Stochastic gradient descent with optional momentum, as `torch.optim.SGD`:
/// `b = momentum * b + g` from `b = 0`, `w = w - lr * b`.
///
/// The buffers `b` start anew in every round, unless `optimizer.keep_momentum`
/// is true: then they are node state.
#[derive(Clone, Debug)]
pub struct Sgd {
    lr: f32,
    momentum: f32,
    keep: bool,
    buffers: Vec<Vec<f32>>,
}

impl Sgd {
    /// The arguments that [`Sgd::from_arguments`] reads.
    pub fn arguments() -> Vec<Argument> {
        let keep = "whether momentum goes on from round to round, kept at the node";
        vec![
            Argument::real("optimizer.lr", 0.01, "learning rate, more than 0"),
            Argument::real("optimizer.momentum", 0.0, "momentum, 0 <= momentum < 1"),
            Argument::boolean("optimizer.keep_momentum", false, keep),
        ]
    }

    /// Builds the optimizer from its arguments.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if one is out of range.
    pub fn from_arguments(args: &Arguments) -> Result<Self> {
        let (lr, momentum) = (args.real("optimizer.lr")?, args.real("optimizer.momentum")?);
        let keep = args.boolean("optimizer.keep_momentum")?;
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
        Ok(Self { lr: lr as f32, momentum: momentum as f32, keep, buffers: Vec::new() })
    }

    /// The learning rate.
    pub fn lr(&self) -> f32 {
        self.lr
    }

    /// What the buffers are called as node state, or none if they are not kept.
    pub(crate) fn state_name(&self) -> Option<&'static str> {
        (self.keep && self.momentum > 0.0).then_some("momentum")
    }

    /// The buffers, one a parameter and of its length, made if need be.
    pub(crate) fn buffers(&mut self, parameters: &[&mut Parameter]) -> &mut [Vec<f32>] {
        if self.buffers.len() != parameters.len() {
            self.buffers = parameters.iter().map(|p| vec![0.0; p.value.data().len()]).collect();
        }
        &mut self.buffers
    }

    /// Takes one step and sets the gradients back to zero. `parameters` are
    /// the same ones in the same order at every call.
    pub fn step(&mut self, parameters: &mut [&mut Parameter]) {
        let (lr, momentum) = (self.lr, self.momentum);
        if momentum > 0.0 {
            let buffers = self.buffers(parameters);
            for (buffer, parameter) in buffers.iter_mut().zip(parameters.iter_mut()) {
                for (b, g) in buffer.iter_mut().zip(parameter.gradient.data_mut()) {
                    *b = momentum * *b + *g;
                    *g = *b;
                }
            }
        }
        for parameter in parameters.iter_mut() {
            let Parameter { value, gradient } = &mut **parameter;
            for (w, d) in value.data_mut().iter_mut().zip(gradient.data()) {
                *w -= lr * *d;
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
        let mut sgd = Sgd { lr: 0.1, momentum: 0.9, keep: false, buffers: Vec::new() };
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
