//! Convolutions along one to three axes.

use fedwasm_compute::{Window, compose};

use super::{Along, fan_in, refuse};
use crate::{Layer, Module, Parameter, Tensor, Visitor, engine};

/// Convolution along `N` axes, or the transposed one: [`Conv2d`] and [`ConvTranspose2d`] and their
/// likes of one and three axes are this.
///
/// ```
/// use fedwasm_sdk::*;
///
/// let conv = Conv2d::new(3, 16, 3).stride(2).padding(1);
/// let wide = Conv2d::new(16, 16, [1, 5]).padding([0, 2]).groups(4).without_bias();
/// let wider = ConvTranspose2d::new(16, 8, 3).stride(2).padding(1).output_padding(1);
/// assert_eq!(conv.weight.shape(), [16, 3, 3, 3]);
/// assert_eq!(wide.weight.shape(), [16, 4, 1, 5]);
/// assert_eq!(wider.weight.shape(), [16, 8, 3, 3]);
/// ```
#[derive(Clone, Debug)]
pub struct Conv<const N: usize, const IS_TRANSPOSED: bool> {
    /// Shape [filters, channels / groups, kernel ..]; [channels, filters / groups, kernel ..] of a
    /// transposed convolution.
    pub weight: Parameter,
    /// Shape `[filters]`.
    pub bias: Option<Parameter>,
    channels: usize,
    filters: usize,
    kernel: [usize; N],
    window: Window,
    longer: [u32; 3],
}

/// `torch.nn.Conv1d`: takes [rows, channels, length], gives [rows, filters, length].
pub type Conv1d = Conv<1, false>;
/// `torch.nn.Conv2d`: takes [rows, channels, height, width], gives [rows, filters, height, width].
pub type Conv2d = Conv<2, false>;
/// `torch.nn.Conv3d`: takes [rows, channels, depth, height, width], gives
/// [rows, filters, depth, height, width].
pub type Conv3d = Conv<3, false>;
/// `torch.nn.ConvTranspose1d`; shapes as of [`Conv1d`].
pub type ConvTranspose1d = Conv<1, true>;
/// `torch.nn.ConvTranspose2d`; shapes as of [`Conv2d`].
pub type ConvTranspose2d = Conv<2, true>;
/// `torch.nn.ConvTranspose3d`; shapes as of [`Conv3d`].
pub type ConvTranspose3d = Conv<3, true>;

impl<const N: usize, const IS_TRANSPOSED: bool> Conv<N, IS_TRANSPOSED> {
    /// The layer with stride 1 and no padding. `kernel` is a number for all axes, or an array.
    /// Weights and biases start from U(-k, k), k = 1/√(weights behind the first axis), PyTorch's
    /// default.
    #[must_use]
    #[track_caller]
    pub fn new(channels: usize, filters: usize, kernel: impl Along<N>) -> Self {
        let (kernel, window) = (kernel.along(), Window::default());
        let (weight, bias) = parameters::<IS_TRANSPOSED>(channels, filters, &kernel, 1);
        let bias = Some(bias);
        Self { weight, bias, channels, filters, kernel, window, longer: [0; 3] }
    }

    /// From one window to the next; 1 unless said.
    #[must_use]
    pub fn stride(mut self, stride: impl Along<N>) -> Self {
        self.window.stride = compose::sizes(&stride.along(), 1);
        self
    }

    /// Zeros around the input (of a transposed convolution: elements that its output lacks at both
    /// ends); 0 unless said.
    #[must_use]
    pub fn padding(mut self, padding: impl Along<N>) -> Self {
        self.window.padding = compose::sizes(&padding.along(), 0);
        self
    }

    /// From one element of the kernel to the next; 1 unless said.
    #[must_use]
    pub fn dilation(mut self, dilation: impl Along<N>) -> Self {
        self.window.dilation = compose::sizes(&dilation.along(), 1);
        self
    }

    /// Groups of channels that have nothing to do with each other; 1 unless said. It must divide
    /// channels and filters. The weights are made anew.
    #[must_use]
    #[track_caller]
    pub fn groups(mut self, groups: usize) -> Self {
        let (channels, filters) = (self.channels, self.filters);
        if [channels, filters].iter().any(|n| n.checked_rem(groups) != Some(0)) {
            engine::note_argument(format!(
                "a convolution of {channels} channels and {filters} filters has no {groups} groups: \
                 the groups must divide both"
            ));
            return self;
        }
        self.window.groups = u32::try_from(groups).unwrap_or(u32::MAX);
        let (weight, bias) = parameters::<IS_TRANSPOSED>(channels, filters, &self.kernel, groups);
        self.weight = weight;
        self.bias = self.bias.map(|_| bias);
        self
    }

    /// The layer without [`bias`](Self::bias).
    #[must_use]
    pub fn without_bias(mut self) -> Self {
        self.bias = None;
        self
    }

    fn name() -> String {
        format!("Conv{}{N}d", if IS_TRANSPOSED { "Transpose" } else { "" })
    }
}

impl<const N: usize> Conv<N, true> {
    /// How much longer the output is behind each axis, less than the stride: of the lengths that the
    /// convolution would have taken to that of the input, which one. 0 unless said.
    #[must_use]
    pub fn output_padding(mut self, longer: impl Along<N>) -> Self {
        self.longer = compose::sizes(&longer.along(), 0);
        self
    }
}

/// Weights and biases.
#[track_caller]
fn parameters<const IS_TRANSPOSED: bool>(
    channels: usize,
    filters: usize,
    kernel: &[usize],
    groups: usize,
) -> (Parameter, Parameter) {
    let of_weight = match IS_TRANSPOSED {
        true => [channels, filters / groups],
        false => [filters, channels / groups],
    };
    let shape = [&of_weight, kernel].concat();
    let init = fan_in(shape[1..].iter().fold(1, |all, size| all.saturating_mul(*size)));
    (Parameter::new(&shape, init), Parameter::new(&[filters], init))
}

impl<const N: usize, const IS_TRANSPOSED: bool> Module for Conv<N, IS_TRANSPOSED> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.field("weight", &self.weight);
        visitor.field("bias", &self.bias);
    }
}

impl<const N: usize, const IS_TRANSPOSED: bool> Layer for Conv<N, IS_TRANSPOSED> {
    fn forward(&self, x: &Tensor) -> Tensor {
        let Self { channels, window, longer, .. } = *self;
        if x.rank() != N + 2 || x.size(1) != channels {
            let takes = format!("[rows, {channels}] and {N} more axes");
            return refuse(x, &Self::name(), &takes);
        }
        let (weight, bias) = (self.weight.tensor(), self.bias.as_ref().map(Parameter::tensor));
        match IS_TRANSPOSED {
            true => x.conv_transpose(&weight, bias.as_ref(), window, longer),
            false => x.conv(&weight, bias.as_ref(), window),
        }
    }
}
