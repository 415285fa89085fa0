//! Normalisation over batches, layers, groups and instances.

use super::refuse;
use crate::{Init, Layer, Mode, Parameter, PlanError, Tensor, engine, module, no_grad};

/// What the variance is increased by, so that it is not 0.
const EPSILON: f64 = 1e-5;

module! {
    /// Normalises each channel over the batch, then scales and shifts it, as `torch.nn.BatchNorm1d`,
    /// `BatchNorm2d` and `BatchNorm3d` (Ioffe and Szegedy 2015). Takes [rows, channels] and up to
    /// three more axes.
    ///
    /// In training, mean and variance are those of the batch, and the running ones move towards them
    /// (the variance with n - 1); a batch of one value a channel is bad data, as it is to PyTorch. In
    /// prediction the running ones are used.
    #[derive(Clone, Debug)]
    pub struct BatchNorm {
        /// Shape `[channels]`, from 1.
        pub weight: Option<Parameter>,
        /// Shape `[channels]`, from 0.
        pub bias: Option<Parameter>,
        /// Shape `[channels]`, from 0; a buffer.
        pub running_mean: Parameter,
        /// Shape `[channels]`, from 1; a buffer.
        pub running_var: Parameter,
        momentum: f64,
        epsilon: f64,
        mode: Mode,
    }
}

impl BatchNorm {
    /// The layer with a momentum of 0.1 and an epsilon of 1e-5.
    #[must_use]
    #[track_caller]
    pub fn new(channels: usize) -> Self {
        let (weight, bias) = affine(&[channels]);
        Self {
            weight,
            bias,
            running_mean: Parameter::buffer(&[channels], Init::Zeros),
            running_var: Parameter::buffer(&[channels], Init::Ones),
            momentum: 0.1,
            epsilon: EPSILON,
            mode: Mode::default(),
        }
    }

    /// The share of the way that the running mean and variance go towards those of a batch.
    #[must_use]
    pub fn momentum(self, momentum: f64) -> Self {
        Self { momentum, ..self }
    }

    /// What the variance is increased by, more than 0.
    #[must_use]
    pub fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// The layer without `weight` and `bias` (`affine=False`).
    #[must_use]
    pub fn without_affine(self) -> Self {
        Self { weight: None, bias: None, ..self }
    }

    /// Whether running mean and variance go to the researcher; by default they do (Fed-BioMed
    /// `share_persistent_buffers`). If not, each node keeps its own.
    #[must_use]
    pub fn share_buffers(self, is_shared: bool) -> Self {
        if !is_shared {
            self.running_mean.set_local();
            self.running_var.set_local();
        }
        self
    }

    /// The way of the running mean and variance towards those of a batch.
    #[track_caller]
    fn follow(&self, x: &Tensor) {
        let axes: Vec<isize> = (0..x.rank() as isize).filter(|axis| *axis != 1).collect();
        let (mean, variance) = no_grad(|| (x.mean(&axes), x.variance(&axes, true)));
        self.running_mean.move_towards(&mean, self.momentum);
        self.running_var.move_towards(&variance, self.momentum);
    }
}

impl Layer for BatchNorm {
    fn forward(&self, x: &Tensor) -> Tensor {
        let (channels, epsilon) = (self.running_mean.size(0), self.epsilon);
        if !(2..=5).contains(&x.rank()) || x.size(1) != channels {
            return refuse(x, "BatchNorm", &format!("[rows, {channels}] and up to 3 more axes"));
        }
        let (weight, bias) = (value(&self.weight), value(&self.bias));
        if !self.mode.is_training() {
            let (mean, variance) = (self.running_mean.tensor(), self.running_var.tensor());
            return x.batch_norm(&mean, &variance, weight.as_ref(), bias.as_ref(), epsilon);
        }
        let count = x.len() / channels;
        if count < 2 {
            engine::note(PlanError::BadData(format!(
                "BatchNorm trains on at least 2 values a channel, this batch has {count}: choose a \
                 batch_size that leaves no single row"
            )));
            return Tensor::failed();
        }
        self.follow(x);
        x.batch_norm_of_itself(weight.as_ref(), bias.as_ref(), epsilon)
    }
}

module! {
    /// Normalises over the last axes, then scales and shifts each element, as `torch.nn.LayerNorm`
    /// (Ba, Kiros and Hinton 2016). Takes and gives [.., sizes ..].
    #[derive(Clone, Debug)]
    pub struct LayerNorm {
        /// Shape [sizes ..], from 1.
        pub weight: Option<Parameter>,
        /// Shape [sizes ..], from 0.
        pub bias: Option<Parameter>,
        sizes: Vec<usize>,
        epsilon: f64,
    }
}

impl LayerNorm {
    /// The layer over the last axis, with an epsilon of 1e-5.
    #[must_use]
    #[track_caller]
    pub fn new(size: usize) -> Self {
        Self::over(&[size])
    }

    /// The layer over as many of the last axes as there are sizes.
    #[must_use]
    #[track_caller]
    pub fn over(sizes: &[usize]) -> Self {
        let (weight, bias) = affine(sizes);
        Self { weight, bias, sizes: sizes.to_vec(), epsilon: EPSILON }
    }

    /// What the variance is increased by, more than 0.
    #[must_use]
    pub fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// The layer without `weight` and `bias` (`elementwise_affine=False`).
    #[must_use]
    pub fn without_affine(self) -> Self {
        Self { weight: None, bias: None, ..self }
    }
}

impl Layer for LayerNorm {
    fn forward(&self, x: &Tensor) -> Tensor {
        if !x.shape().ends_with(&self.sizes) {
            return refuse(x, "LayerNorm", &format!("last axes of {:?}", self.sizes));
        }
        let (weight, bias) = (value(&self.weight), value(&self.bias));
        x.layer_norm(self.sizes.len(), weight.as_ref(), bias.as_ref(), self.epsilon)
    }
}

module! {
    /// Normalises groups of channels of each row, then scales and shifts each channel, as
    /// `torch.nn.GroupNorm` (Wu and He 2018). Takes [rows, channels] and more axes. It knows no
    /// batch, and so suits nodes with small or different ones.
    #[derive(Clone, Debug)]
    pub struct GroupNorm {
        /// Shape `[channels]`, from 1.
        pub weight: Option<Parameter>,
        /// Shape `[channels]`, from 0.
        pub bias: Option<Parameter>,
        groups: usize,
        channels: usize,
        epsilon: f64,
    }
}

impl GroupNorm {
    /// The layer with an epsilon of 1e-5. The groups must divide the channels.
    #[must_use]
    #[track_caller]
    pub fn new(groups: usize, channels: usize) -> Self {
        if channels.checked_rem(groups) != Some(0) {
            let text = format!("GroupNorm of {channels} channels has no {groups} groups");
            engine::note_argument(text + ": the groups must divide the channels");
        }
        let (weight, bias) = affine(&[channels]);
        Self { weight, bias, groups, channels, epsilon: EPSILON }
    }

    /// What the variance is increased by, more than 0.
    #[must_use]
    pub fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// The layer without `weight` and `bias` (`affine=False`).
    #[must_use]
    pub fn without_affine(self) -> Self {
        Self { weight: None, bias: None, ..self }
    }
}

impl Layer for GroupNorm {
    fn forward(&self, x: &Tensor) -> Tensor {
        let Self { groups, channels, epsilon, .. } = *self;
        if x.rank() < 2 || x.size(1) != channels {
            return refuse(x, "GroupNorm", &format!("[rows, {channels}, ..]"));
        }
        let (weight, bias) = (value(&self.weight), value(&self.bias));
        x.group_norm(groups, weight.as_ref(), bias.as_ref(), epsilon)
    }
}

module! {
    /// Normalises each channel of each row, as `torch.nn.InstanceNorm1d`, `InstanceNorm2d` and
    /// `InstanceNorm3d` (Ulyanov, Vedaldi and Lempitsky 2016), without running means. Takes
    /// [rows, channels] and one to three more axes.
    #[derive(Clone, Debug)]
    pub struct InstanceNorm {
        /// Shape `[channels]`, from 1; none unless [`affine`](Self::affine).
        pub weight: Option<Parameter>,
        /// Shape `[channels]`, from 0; none unless [`affine`](Self::affine).
        pub bias: Option<Parameter>,
        channels: usize,
        epsilon: f64,
    }
}

impl InstanceNorm {
    /// The layer with an epsilon of 1e-5 and without `weight` and `bias`.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self { weight: None, bias: None, channels, epsilon: EPSILON }
    }

    /// What the variance is increased by, more than 0.
    #[must_use]
    pub fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// The layer that then scales and shifts each channel (`affine=True`).
    #[must_use]
    #[track_caller]
    pub fn affine(self) -> Self {
        let (weight, bias) = affine(&[self.channels]);
        Self { weight, bias, ..self }
    }
}

impl Layer for InstanceNorm {
    fn forward(&self, x: &Tensor) -> Tensor {
        let Self { channels, epsilon, .. } = *self;
        if !(3..=5).contains(&x.rank()) || x.size(1) != channels {
            return refuse(x, "InstanceNorm", &format!("[rows, {channels}] and 1 to 3 more axes"));
        }
        let (weight, bias) = (value(&self.weight), value(&self.bias));
        x.instance_norm(weight.as_ref(), bias.as_ref(), epsilon)
    }
}

/// Weight and bias that change nothing.
#[track_caller]
fn affine(shape: &[usize]) -> (Option<Parameter>, Option<Parameter>) {
    let (weight, bias) = (Parameter::new(shape, Init::Ones), Parameter::new(shape, Init::Zeros));
    (Some(weight), Some(bias))
}

/// The value of a parameter that may not be there.
fn value(parameter: &Option<Parameter>) -> Option<Tensor> {
    parameter.as_ref().map(Parameter::tensor)
}
