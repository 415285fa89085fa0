//! Normalisation over a batch.

use fedwasm_kernels::{elementwise, reduction};

use super::{Kept, Layer, check_gradient};
use crate::{Parameter, PlanError, Result, Tensor};

/// Normalises each channel over the batch, then scales and shifts it, as `torch.nn.BatchNorm1d`
/// and `BatchNorm2d` (Ioffe and Szegedy 2015): parameters `weight` and `bias`, buffers
/// `running_mean` and `running_var`, all of shape [channels]. Takes [rows, channels] or
/// [rows, channels, height, width].
///
/// In training mean and variance are those of the batch, and the running ones move towards them
/// by a momentum of 0.1 (the variance with n - 1). In prediction the running ones are used.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    weight: Parameter,
    bias: Parameter,
    mean: Parameter,
    variance: Parameter,
    kept: Kept<Normalised>,
}

/// What `backward` needs.
#[derive(Clone, Debug)]
struct Normalised {
    inputs: Tensor,
    /// 1 / √(variance + epsilon) of each channel.
    factors: Vec<f32>,
}

const EPSILON: f32 = 1e-5;
const MOMENTUM: f32 = 0.1;

impl BatchNorm {
    /// Returns a layer that leaves the inputs as they are.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if there are no channels, or too many for memory.
    pub fn new(channels: usize) -> Result<Self> {
        if channels == 0 {
            let text = "BatchNorm of 0 channels: there must be at least 1".to_owned();
            return Err(PlanError::InvalidArgument(text));
        }
        let mut ones = Tensor::zeros(&[channels])?;
        ones.data_mut().fill(1.0);
        let mut weight = Parameter::zeros(&[channels])?;
        weight.value = ones.clone();
        Ok(Self {
            weight,
            bias: Parameter::zeros(&[channels])?,
            mean: Parameter::buffer(Tensor::zeros(&[channels])?),
            variance: Parameter::buffer(ones),
            kept: Kept::default(),
        })
    }

    /// Whether running mean and variance go to the researcher; by default they do (Fed-BioMed
    /// `share_persistent_buffers`). If not, each node keeps its own.
    #[must_use]
    pub fn share_buffers(mut self, is_shared: bool) -> Self {
        self.mean.is_local = !is_shared;
        self.variance.is_local = !is_shared;
        self
    }

    /// Rows, channels, and elements of a channel in a row.
    fn sizes(&self, inputs: &Tensor) -> Result<(usize, usize, usize)> {
        let channels = self.weight.value.data().len();
        match *inputs.shape() {
            [rows, n] if n == channels => Ok((rows, channels, 1)),
            [rows, n, height, width] if n == channels => Ok((rows, channels, height * width)),
            ref shape => Err(PlanError::BadData(format!(
                "BatchNorm takes [rows, {channels}] or [rows, {channels}, height, width], \
                 not {shape:?}"
            ))),
        }
    }
}

/// The elements of one channel, row after row.
fn channel(
    data: &[f32],
    (rows, channels, len): (usize, usize, usize),
    channel: usize,
) -> impl Iterator<Item = &[f32]> + Clone {
    (0..rows).map(move |row| &data[(row * channels + channel) * len..][..len])
}

/// Each row's sum in eight interleaved ones ([`reduction::sum`]), the rows one after the other in
/// float64.
fn total<'a>(rows: impl Iterator<Item = &'a [f32]>, sum: impl Fn(&[f32]) -> f32) -> f64 {
    rows.map(|row| f64::from(sum(row))).sum()
}

impl Layer for BatchNorm {
    fn forward(&mut self, mut inputs: Tensor) -> Result<Tensor> {
        let sizes @ (rows, channels, len) = self.sizes(&inputs)?;
        let count = (rows * len) as f64;
        let is_training = self.kept.is_training();
        if is_training && count < 2.0 {
            let text = format!(
                "BatchNorm trains on at least 2 values a channel, this batch has {count}: choose a \
                 batch_size that leaves no single row"
            );
            return Err(PlanError::BadData(text));
        }
        let mut factors = vec![0.0; channels];
        for (nth, factor) in factors.iter_mut().enumerate() {
            let (mut mean, mut variance) =
                (self.mean.value.data()[nth], self.variance.value.data()[nth]);
            if is_training {
                let elements = channel(inputs.data(), sizes, nth);
                mean = (total(elements.clone(), reduction::sum) / count) as f32;
                let squares = |row: &[f32]| reduction::sum_of_squares_from(mean, row);
                let squares = total(elements, squares);
                variance = (squares / count) as f32;
                let unbiased = (squares / (count - 1.0)) as f32;
                for (running, now) in [(&mut self.mean, mean), (&mut self.variance, unbiased)] {
                    let running = &mut running.value.data_mut()[nth];
                    *running = (1.0 - MOMENTUM) * *running + MOMENTUM * now;
                }
            }
            *factor = 1.0 / (variance + EPSILON).sqrt();
            for row in 0..rows {
                let plane = &mut inputs.data_mut()[(row * channels + nth) * len..][..len];
                elementwise::normalise(plane, mean, *factor);
            }
        }
        let normalised = inputs.clone();
        for (nth, plane) in inputs.data_mut().chunks_exact_mut(len.max(1)).enumerate() {
            let nth = nth % channels;
            let (weight, bias) = (self.weight.value.data()[nth], self.bias.value.data()[nth]);
            elementwise::affine(plane, weight, bias);
        }
        self.kept.keep(Normalised { inputs: normalised, factors }, "BatchNorm")?;
        Ok(inputs)
    }

    fn backward(&mut self, mut gradient: Tensor) -> Result<Tensor> {
        let is_training = self.kept.is_training();
        let Normalised { inputs: normalised, factors } = self.kept.take("BatchNorm")?;
        check_gradient(&gradient, normalised.shape(), "BatchNorm")?;
        let sizes @ (rows, channels, len) = self.sizes(&normalised)?;
        let count = (rows * len) as f64;
        for (nth, factor) in factors.into_iter().enumerate() {
            let shift = total(channel(gradient.data(), sizes, nth), reduction::sum);
            let both = channel(gradient.data(), sizes, nth)
                .zip(channel(normalised.data(), sizes, nth))
                .map(|(g, x)| f64::from(reduction::dot(g, x)));
            let scale: f64 = both.sum();
            self.bias.gradient.data_mut()[nth] += shift as f32;
            self.weight.gradient.data_mut()[nth] += scale as f32;
            // Through the batch's mean and variance, if they were used.
            let through = if is_training { 1.0 } else { 0.0 };
            let (shift, scale) =
                ((through * shift / count) as f32, (through * scale / count) as f32);
            let factor = self.weight.value.data()[nth] * factor;
            for row in 0..rows {
                let at = (row * channels + nth) * len;
                let x = &normalised.data()[at..][..len];
                let plane = &mut gradient.data_mut()[at..][..len];
                elementwise::add_scaled(plane, -scale, x);
                elementwise::normalise(plane, shift, factor);
            }
        }
        Ok(gradient)
    }

    fn parameters(&mut self) -> Vec<(&'static str, &mut Parameter)> {
        vec![
            ("weight", &mut self.weight),
            ("bias", &mut self.bias),
            ("running_mean", &mut self.mean),
            ("running_var", &mut self.variance),
        ]
    }

    fn set_training(&mut self, is_training: bool) {
        self.kept.set_training(is_training);
    }
}
