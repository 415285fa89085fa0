//! Normalisations with given weights and biases.

use fedwasm_compute::{Apply, Id, Mistake, compose};

use super::{Tensor, apply};

/// A normalisation of inputs, a weight and a bias.
type Normalise<'a> =
    &'a mut dyn FnMut(&mut dyn Apply, &[Id], Option<Id>, Option<Id>) -> Result<Id, Mistake>;

/// Does it with the weight and the bias that there are.
#[track_caller]
fn with_affine(
    inputs: &[&Tensor],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    normalise: Normalise<'_>,
) -> Tensor {
    let n = inputs.len();
    let inputs: Vec<&Tensor> = inputs.iter().copied().chain(weight).chain(bias).collect();
    let (has_weight, has_bias) = (weight.is_some(), bias.is_some());
    apply(&inputs, &mut |apply, ids| {
        let weight = has_weight.then(|| ids[n]);
        let bias = has_bias.then(|| ids[n + usize::from(has_weight)]);
        normalise(apply, ids, weight, bias)
    })
}

impl Tensor {
    /// Normalises over the last axes, as many as `n_axes`, then scales and shifts each element, as
    /// `torch.nn.functional.layer_norm`; `weight` and `bias` have the shape of these axes.
    #[must_use]
    #[track_caller]
    pub fn layer_norm(
        &self,
        n_axes: usize,
        weight: Option<&Self>,
        bias: Option<&Self>,
        epsilon: f64,
    ) -> Self {
        with_affine(&[self], weight, bias, &mut |apply, ids, weight, bias| {
            compose::layer_norm(apply, ids[0], n_axes, weight, bias, epsilon)
        })
    }

    /// Normalises groups of channels of each row of [rows, channels, ..], then scales and shifts each
    /// channel, as `torch.nn.functional.group_norm`; `weight` and `bias` are `[channels]`.
    #[must_use]
    #[track_caller]
    pub fn group_norm(
        &self,
        groups: usize,
        weight: Option<&Self>,
        bias: Option<&Self>,
        epsilon: f64,
    ) -> Self {
        with_affine(&[self], weight, bias, &mut |apply, ids, weight, bias| {
            compose::group_norm(apply, ids[0], groups, weight, bias, epsilon)
        })
    }

    /// Normalises each channel of each row of [rows, channels, ..], then scales and shifts it, as
    /// `torch.nn.functional.instance_norm`; `weight` and `bias` are `[channels]`.
    #[must_use]
    #[track_caller]
    pub fn instance_norm(&self, weight: Option<&Self>, bias: Option<&Self>, epsilon: f64) -> Self {
        with_affine(&[self], weight, bias, &mut |apply, ids, weight, bias| {
            compose::instance_norm(apply, ids[0], weight, bias, epsilon)
        })
    }

    /// Normalises each channel of [rows, channels, ..] by a mean and a variance, then scales and
    /// shifts it, as `torch.nn.functional.batch_norm` in prediction; all four are `[channels]`.
    #[must_use]
    #[track_caller]
    pub fn batch_norm(
        &self,
        mean: &Self,
        variance: &Self,
        weight: Option<&Self>,
        bias: Option<&Self>,
        epsilon: f64,
    ) -> Self {
        with_affine(&[self, mean, variance], weight, bias, &mut |apply, ids, weight, bias| {
            let moments = compose::Moments { mean: ids[1], variance: ids[2] };
            compose::batch_norm_by(apply, ids[0], moments, weight, bias, epsilon)
        })
    }

    /// As [`batch_norm`](Self::batch_norm), by mean and variance of this batch, as in training.
    #[track_caller]
    pub(crate) fn batch_norm_of_itself(
        &self,
        weight: Option<&Self>,
        bias: Option<&Self>,
        epsilon: f64,
    ) -> Self {
        with_affine(&[self], weight, bias, &mut |apply, ids, weight, bias| {
            compose::batch_norm(apply, ids[0], weight, bias, epsilon)
        })
    }
}
