//! Gradients that are cut before a step.

use crate::apply::Id;
use crate::error::{Mistake, Rule};
use crate::kernels::Float;
use crate::session::{Session, mistake};
use crate::shape::Dtype;
use crate::tensor::{Element, Tensor};

/// The sum of squares in float64: eight interleaved sums, as those of the kernels.
fn squares<T: Float>(x: &[T]) -> f64 {
    let mut sums = [0.0; 8];
    for eight in x.chunks(8) {
        for (sum, x) in sums.iter_mut().zip(eight) {
            let x = x.to_f64();
            *sum += x * x;
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    let [a, b, c, d] = [a + e, b + f, c + g, d + h];
    let [a, b] = [a + c, b + d];
    a + b
}

fn each<T: Float + Element>(gradient: &mut Tensor, f: impl Fn(T) -> T) -> Result<(), Rule> {
    gradient.elements_mut::<T>()?.iter_mut().for_each(|x| *x = f(*x));
    Ok(())
}

impl Session {
    /// Changes the gradients of these tensors; those without one are passed over.
    fn change_gradients(
        &mut self,
        ids: &[Id],
        change: impl Fn(&mut Tensor) -> Result<(), Rule>,
    ) -> Result<(), Mistake> {
        for id in ids {
            let slot = self.table.held_mut(*id).map_err(mistake)?;
            let Some(mut gradient) = slot.gradient.take() else { continue };
            let kind = gradient.kind();
            let units = 2 * kind.shape.len() as u64;
            let done = self.meter.charge(units).and_then(|()| self.unshared(&mut gradient));
            let done = done.and_then(|()| change(&mut gradient));
            self.table.held_mut(*id).map_err(mistake)?.gradient = Some(gradient);
            done.map_err(|rule| Mistake::new("clipping", &[kind], rule))?;
        }
        Ok(())
    }

    /// Cuts each element of the gradients of these tensors to `-most..=most`, as
    /// `torch.nn.utils.clip_grad_value_`.
    ///
    /// # Errors
    /// [`Rule::Attribute`] unless `most` is at least 0, [`Rule::NoTensor`], [`Rule::Memory`].
    pub fn clip_by_value(&mut self, ids: &[Id], most: f64) -> Result<(), Mistake> {
        if !(0.0..).contains(&most) {
            let rule = Rule::Attribute("the most must be at least 0");
            return Err(Mistake::new("clipping", &[], rule));
        }
        fn cut<T: Float>(most: f64) -> impl Fn(T) -> T {
            let most = T::from_f64(most);
            move |x| {
                if x > most {
                    most
                } else if x < -most {
                    -most
                } else {
                    x
                }
            }
        }
        self.change_gradients(ids, |gradient| match gradient.dtype() {
            Dtype::F64 => each(gradient, cut::<f64>(most)),
            _ => each(gradient, cut::<f32>(most)),
        })
    }

    /// Scales the gradients of these tensors so that their norm together is at most `most`, as
    /// `torch.nn.utils.clip_grad_norm_`, and returns the norm that they had.
    ///
    /// # Errors
    /// As [`clip_by_value`](Self::clip_by_value).
    pub fn clip_by_norm(&mut self, ids: &[Id], most: f64) -> Result<f64, Mistake> {
        if !(0.0..).contains(&most) {
            let rule = Rule::Attribute("the most must be at least 0");
            return Err(Mistake::new("clipping", &[], rule));
        }
        let mut sum = 0.0;
        for id in ids {
            let slot = self.table.held(*id).map_err(mistake)?;
            let Some(gradient) = &slot.gradient else { continue };
            let kind = gradient.kind();
            let charged = self.meter.charge(kind.shape.len() as u64);
            charged.map_err(|rule| Mistake::new("clipping", &[kind], rule))?;
            let single = gradient.get::<f32>().map(squares);
            sum += single.or_else(|| gradient.get::<f64>().map(squares)).unwrap_or_default();
        }
        let norm = Float::root(sum);
        // PyTorch's guard against a norm of 0.
        let factor = most / (norm + 1e-6);
        if factor < 1.0 {
            self.change_gradients(ids, |gradient| match gradient.dtype() {
                Dtype::F64 => each(gradient, |x: f64| x * factor),
                _ => each(gradient, |x: f32| x * factor as f32),
            })?;
        }
        Ok(norm)
    }
}
