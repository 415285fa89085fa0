//! Optimizers: rules that move values along their gradients, one pass over each.

mod clip;
mod rules;
mod schedule;

use crate::apply::Id;
use crate::error::{Mistake, Rule};
use crate::kernels::{self, Decay, Float, Parallel, optimizer};
use crate::session::{Session, mistake};
use crate::shape::Dtype;
use crate::tensor::{Element, Tensor};

pub use schedule::{Schedule, Warmup};

/// The arithmetic of a rule is rounded once an operation; numbers are rounded to the values' dtype.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// Stochastic gradient descent, as `torch.optim.SGD`. The momentum starts from 0.
    Sgd {
        /// How much of the momentum stays, in [0, 1).
        momentum: f64,
        /// Whether the step looks ahead along the momentum.
        is_nesterov: bool,
        /// Times the values, added to the gradient.
        weight_decay: f64,
    },
    /// Adam (Kingma and Ba 2015), as `torch.optim.Adam` and `AdamW`.
    Adam {
        /// Decay of the gradients' mean and of their squares', in [0, 1).
        betas: [f64; 2],
        /// Added to the root of the squares' mean.
        epsilon: f64,
        /// As in `Sgd`, or by itself (Loshchilov and Hutter 2019).
        weight_decay: f64,
        /// Whether values decay by themselves.
        is_decoupled: bool,
    },
    /// Adagrad (Duchi, Hazan and Singer 2011), as `torch.optim.Adagrad`.
    Adagrad {
        /// In step t the rate is divided by `1 + (t - 1) rate_decay`.
        rate_decay: f64,
        /// Added to the root of the squares' sum.
        epsilon: f64,
        /// As in `Sgd`.
        weight_decay: f64,
    },
    /// RMSprop (Tieleman and Hinton 2012), as `torch.optim.RMSprop`.
    RmsProp {
        /// Decay of the squares' mean, in [0, 1).
        alpha: f64,
        /// Added to the root of the squares' mean.
        epsilon: f64,
        /// How much of the momentum stays, in [0, 1).
        momentum: f64,
        /// As in `Sgd`.
        weight_decay: f64,
    },
}

impl Optimizer {
    /// The names of the tensors that it keeps for each value, of its kind; they start from 0.
    #[must_use]
    pub fn buffers(&self) -> &'static [&'static str] {
        match self {
            Self::Sgd { momentum: 0.0, .. } => &[],
            Self::Sgd { .. } => &["momentum"],
            Self::Adam { .. } => &["mean", "squares"],
            Self::Adagrad { .. } | Self::RmsProp { momentum: 0.0, .. } => &["squares"],
            Self::RmsProp { .. } => &["squares", "momentum"],
        }
    }

    /// Checks that all numbers are in range.
    ///
    /// # Errors
    /// [`Rule::Attribute`].
    pub fn check(&self) -> Result<(), Rule> {
        let (fractions, positive, decay) = match *self {
            Self::Sgd { momentum, is_nesterov, weight_decay } => {
                if is_nesterov && momentum == 0.0 {
                    return Err(Rule::Attribute("Nesterov's step needs a momentum"));
                }
                ([momentum, 0.0], 1.0, weight_decay)
            }
            Self::Adam { betas, epsilon, weight_decay, .. } => (betas, epsilon, weight_decay),
            Self::Adagrad { rate_decay, epsilon, weight_decay } => {
                if !(rate_decay >= 0.0 && rate_decay.is_finite()) {
                    return Err(Rule::Attribute("the rate's decay must be at least 0"));
                }
                ([0.0; 2], epsilon, weight_decay)
            }
            Self::RmsProp { alpha, epsilon, momentum, weight_decay } => {
                ([alpha, momentum], epsilon, weight_decay)
            }
        };
        // Also once rounded to float32.
        if !fractions.iter().all(|x| (0.0..1.0).contains(&(*x as f32))) {
            return Err(Rule::Attribute("momentum and betas must be at least 0 and less than 1"));
        }
        if !(positive as f32 > 0.0 && positive.is_finite()) {
            return Err(Rule::Attribute("epsilon must be more than 0"));
        }
        if !(decay >= 0.0 && (decay as f32).is_finite()) {
            return Err(Rule::Attribute("the weight decay must be at least 0"));
        }
        Ok(())
    }

    /// Takes step `nth`, from 1 on, of `value`.
    ///
    /// # Errors
    /// [`Rule::Attribute`], [`Rule::Dtype`], and [`Rule::Sizes`] unless all tensors are of one kind
    /// and there are as many as [`buffers`](Self::buffers) says.
    pub fn step(
        &self,
        rate: f64,
        nth: u64,
        value: &mut Tensor,
        gradient: &Tensor,
        buffers: &mut [Tensor],
        threads: &dyn Parallel,
    ) -> Result<(), Rule> {
        self.check()?;
        if !(rate >= 0.0 && (rate as f32).is_finite()) || nth == 0 {
            return Err(Rule::Attribute("the rate must be at least 0, and steps are from 1 on"));
        }
        let kind = value.kind();
        if gradient.kind() != kind
            || buffers.len() != self.buffers().len()
            || buffers.iter().any(|buffer| buffer.kind() != kind)
        {
            return Err(Rule::Sizes("value, gradient and all buffers must be of one kind"));
        }
        match kind.dtype {
            Dtype::F32 => self.step_of::<f32>(rate, nth, value, gradient, buffers, threads),
            Dtype::F64 => self.step_of::<f64>(rate, nth, value, gradient, buffers, threads),
            _ => Err(Rule::Dtype("f32 or f64")),
        }
    }

    fn step_of<T: Float + Element>(
        &self,
        rate: f64,
        nth: u64,
        value: &mut Tensor,
        gradient: &Tensor,
        buffers: &mut [Tensor],
        threads: &dyn Parallel,
    ) -> Result<(), Rule> {
        let (value, gradient) = (value.elements_mut::<T>()?, gradient.elements::<T>()?);
        let (first, second) = buffers.split_at_mut(buffers.len().min(1));
        let first = first.first_mut().map(Tensor::elements_mut::<T>).transpose()?;
        let second = second.first_mut().map(Tensor::elements_mut::<T>).transpose()?;
        let n = T::from_f64;
        match (*self, first, second) {
            (Self::Sgd { momentum, is_nesterov, weight_decay }, momenta, None) => {
                let rule = kernels::Sgd {
                    rate: n(rate),
                    weight_decay: n(weight_decay),
                    momentum: n(momentum),
                    is_nesterov,
                };
                optimizer::sgd(&rule, value, momenta, gradient, threads);
            }
            (
                Self::Adam { betas, epsilon, weight_decay, is_decoupled },
                Some(means),
                Some(squares),
            ) => {
                let decay = match (weight_decay, is_decoupled) {
                    (0.0, _) => Decay::None,
                    (decay, false) => Decay::Gradient(n(decay)),
                    (decay, true) => Decay::Weights(T::ONE - n(rate) * n(decay)),
                };
                let rule = kernels::Adam::new(n(rate), betas.map(n), n(epsilon), decay, nth);
                optimizer::adam(&rule, value, means, squares, gradient, threads);
            }
            (Self::Adagrad { rate_decay, epsilon, weight_decay }, Some(squares), None) => {
                let rate = rate / (1.0 + (nth - 1) as f64 * rate_decay);
                let rule =
                    rules::Squares { alpha: None, epsilon: n(epsilon), decay: n(weight_decay) };
                rule.step(n(rate), value, gradient, squares);
            }
            (Self::RmsProp { alpha, epsilon, momentum, weight_decay }, Some(squares), momenta) => {
                let (epsilon, decay) = (n(epsilon), n(weight_decay));
                let rule = rules::Squares { alpha: Some(n(alpha)), epsilon, decay };
                match momenta {
                    None => rule.step(n(rate), value, gradient, squares),
                    Some(momenta) => {
                        rule.step_with(n(rate), n(momentum), value, gradient, squares, momenta);
                    }
                }
            }
            _ => return Err(Rule::Sizes("there must be as many buffers as the rule has")),
        }
        Ok(())
    }
}

/// A value that is trained, and what the optimizer keeps for it.
#[derive(Clone, Copy, Debug)]
pub struct Trained<'a> {
    /// The value; its gradient is the one that `backward` left.
    pub value: Id,
    /// As many as [`Optimizer::buffers`] says.
    pub buffers: &'a [Id],
}

impl Session {
    /// Takes a step of each value that has a gradient, and forgets the gradients.
    ///
    /// # Errors
    /// Those of [`Optimizer::step`], [`Rule::NoTensor`], and [`Rule::InUse`] if the tape still
    /// needs a value as it is. Values before the mistake have taken their steps.
    pub fn step(
        &mut self,
        optimizer: &Optimizer,
        rate: f64,
        nth: u64,
        trained: &[Trained],
    ) -> Result<(), Mistake> {
        trained.iter().try_for_each(|trained| self.step_of(optimizer, rate, nth, *trained))
    }

    fn step_of(
        &mut self,
        optimizer: &Optimizer,
        rate: f64,
        nth: u64,
        trained: Trained,
    ) -> Result<(), Mistake> {
        let slot = self.table.held_mut(trained.value).map_err(mistake)?;
        let kind = slot.kind;
        let Some(gradient) = slot.gradient.take() else { return Ok(()) };
        let wrong = |rule| Mistake::new("optimizer", &[kind], rule);
        let units = (2 + trained.buffers.len() as u64) * 4 * kind.shape.len() as u64;
        self.meter.charge(units).map_err(wrong)?;
        let taken = self.take_all(trained);
        let stepped = taken.and_then(|(mut value, mut buffers)| {
            let own = self.unshared(&mut value);
            let own = buffers
                .iter_mut()
                .fold(own, |own, buffer| own.and_then(|()| self.unshared(buffer)));
            let done = own.and_then(|()| {
                optimizer.step(rate, nth, &mut value, &gradient, &mut buffers, &*self.threads)
            });
            let all = core::iter::once(value).chain(buffers);
            for (id, tensor) in core::iter::once(&trained.value).chain(trained.buffers).zip(all) {
                if let Some(slot) = self.table.get_mut(*id) {
                    slot.tensor = Some(tensor);
                }
            }
            done
        });
        self.buffers.give_back(gradient);
        stepped.map_err(wrong)
    }

    /// Takes the tensors of a value and its buffers out of their slots: all or none.
    fn take_all(&mut self, trained: Trained) -> Result<(Tensor, alloc::vec::Vec<Tensor>), Rule> {
        let all = || core::iter::once(&trained.value).chain(trained.buffers);
        for (nth, id) in all().enumerate() {
            let slot = self.table.held(*id)?;
            if slot.pins > 0 {
                return Err(Rule::InUse);
            }
            if slot.tensor.is_none() || all().take(nth).any(|other| other == id) {
                return Err(Rule::NoTensor(*id));
            }
        }
        let mut taken = alloc::vec::Vec::with_capacity(trained.buffers.len());
        for id in trained.buffers {
            taken.extend(self.table.held_mut(*id)?.tensor.take());
        }
        let value = self.table.held_mut(trained.value)?.tensor.take();
        Ok((value.ok_or(Rule::NoTensor(trained.value))?, taken))
    }
}
