//! Convolution of images.

use fedwasm_kernels::Matrix;
use fedwasm_kernels::convolution::{self, Windows};
use fedwasm_kernels::reduction;

use super::{Kept, Layer, check_gradient};
use crate::{Parameter, PlanError, Random, Result, Tensor};

/// Cross-correlation of images with a square kernel, as `torch.nn.Conv2d`: `weight` of shape
/// [filters, channels, kernel, kernel] and `bias` of shape [filters]. Takes
/// [rows, channels, height, width], gives [rows, filters, output height, output width].
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: Parameter,
    bias: Parameter,
    channels: usize,
    filters: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    inputs: Kept<Tensor>,
}

impl Conv2d {
    /// Returns a layer of zeros with a `kernel` x `kernel` window, stride 1 and no padding.
    ///
    /// # Errors
    /// [`PlanError::InvalidArgument`] if a number is 0 or the number of weights overflows.
    pub fn new(channels: usize, filters: usize, kernel: usize) -> Result<Self> {
        if channels == 0 || filters == 0 || kernel == 0 {
            let text = format!(
                "Conv2d of {channels} channels, {filters} filters, kernel {kernel}: all must be at \
                 least 1"
            );
            return Err(PlanError::InvalidArgument(text));
        }
        let weight = Parameter::zeros(&[filters, channels, kernel, kernel])?;
        let bias = Parameter::zeros(&[filters])?;
        let (stride, padding) = (1, 0);
        let inputs = Kept::default();
        Ok(Self { weight, bias, channels, filters, kernel, stride, padding, inputs })
    }

    /// From one window to the next, down and across; at least 1.
    #[must_use]
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Zeros around the image, on each side.
    #[must_use]
    pub fn padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// Rows, the windows of an image, and lines and columns of the output.
    fn windows(&self, inputs: &Tensor) -> Result<(usize, Windows, [usize; 2])> {
        let wrong = |why: String| PlanError::BadData(format!("Conv2d {why}"));
        let (rows, height, width) = match *inputs.shape() {
            [rows, channels, height, width] if channels == self.channels => (rows, height, width),
            ref shape => {
                let n = self.channels;
                return Err(wrong(format!("takes [rows, {n}, height, width], not {shape:?}")));
            }
        };
        let windows = Windows {
            channels: self.channels,
            height,
            width,
            kernel: [self.kernel; 2],
            stride: [self.stride; 2],
            padding: [self.padding; 2],
        };
        let none = || {
            let Self { kernel, stride, padding, .. } = self;
            wrong(format!(
                "has no window of {kernel} x {kernel} in images of {height} x {width}, stride \
                 {stride}, padding {padding}"
            ))
        };
        let is_image = height > 0 && width > 0;
        let output = windows.output().filter(|_| is_image).ok_or_else(none)?;
        Ok((rows, windows, output))
    }

    /// Takes the inputs that were kept, adds the gradients of weights and bias, and those of the
    /// inputs to `back`, if there is one.
    fn gradients(&mut self, gradient: &Tensor, wants_inputs: bool) -> Result<Tensor> {
        let inputs = self.inputs.take("Conv2d")?;
        let (rows, windows, [height, width]) = self.windows(&inputs)?;
        check_gradient(gradient, &[rows, self.filters, height, width], "Conv2d")?;
        let (depth, positions, filters) = (windows.depth(), height * width, self.filters);
        let mut padded = self.padded(&windows)?;
        let mut laid_out = Tensor::zeros(&[depth, positions])?;
        // The transpose, as the product gives it.
        let mut weights = Tensor::zeros(&[depth, filters])?;
        let mut back = Tensor::empty();
        if wants_inputs {
            back = Tensor::zeros(inputs.shape())?;
        }
        let weight = Matrix::new(self.weight.value.data(), filters, depth);
        let image_len = self.channels * windows.height * windows.width;
        for row in 0..rows {
            let image = &inputs.data()[row * image_len..][..image_len];
            let output = &gradient.data()[row * filters * positions..][..filters * positions];
            windows.pad(image, padded.data_mut());
            convolution::lay_out_windows(laid_out.data_mut(), &windows, padded.data());
            let (to, laid_out_now) = (weights.data_mut(), laid_out.data());
            convolution::add_weight_gradient(to, &windows, laid_out_now, output);
            for (bias, plane) in
                self.bias.gradient.data_mut().iter_mut().zip(output.chunks_exact(positions))
            {
                *bias += reduction::sum(plane);
            }
            if wants_inputs {
                let back = &mut back.data_mut()[row * image_len..][..image_len];
                let output = Matrix::new(output, filters, positions);
                laid_out.data_mut().fill(0.0);
                fedwasm_kernels::add_product(laid_out.data_mut(), weight.transposed(), output);
                padded.data_mut().fill(0.0);
                convolution::add_windows_back(padded.data_mut(), &windows, laid_out.data());
                convolution::unpad(back, &windows, padded.data());
                padded.data_mut().fill(0.0);
            }
        }
        let gradients = self.weight.gradient.data_mut();
        for (filter, gradients) in gradients.chunks_exact_mut(depth).enumerate() {
            let column = weights.data().iter().skip(filter).step_by(filters);
            gradients.iter_mut().zip(column).for_each(|(to, from)| *to += from);
        }
        Ok(back)
    }

    fn padded(&self, windows: &Windows) -> Result<Tensor> {
        let len = windows.padded_len();
        let too_large = || PlanError::BadData("Conv2d: images are too large".into());
        Tensor::zeros(&[len.ok_or_else(too_large)?])
    }
}

impl Layer for Conv2d {
    fn forward(&mut self, inputs: Tensor) -> Result<Tensor> {
        let (rows, windows, [height, width]) = self.windows(&inputs)?;
        let mut outputs = Tensor::zeros(&[rows, self.filters, height, width])?;
        let mut padded = self.padded(&windows)?;
        let weight = Matrix::new(self.weight.value.data(), self.filters, windows.depth());
        let image_len = self.channels * windows.height * windows.width;
        let planes = outputs.data_mut().chunks_exact_mut(self.filters * height * width);
        for (image, planes) in inputs.data().chunks_exact(image_len).zip(planes) {
            let filters = planes.chunks_exact_mut(height * width);
            filters.zip(self.bias.value.data()).for_each(|(plane, bias)| plane.fill(*bias));
            windows.pad(image, padded.data_mut());
            convolution::add_convolution(planes, weight, &windows, padded.data());
        }
        self.inputs.keep(inputs, "Conv2d")?;
        Ok(outputs)
    }

    fn backward(&mut self, gradient: Tensor) -> Result<Tensor> {
        self.gradients(&gradient, true)
    }

    fn backward_first(&mut self, gradient: Tensor) -> Result<()> {
        self.gradients(&gradient, false).map(drop)
    }

    fn parameters(&mut self) -> Vec<(&'static str, &mut Parameter)> {
        vec![("weight", &mut self.weight), ("bias", &mut self.bias)]
    }

    /// Draws weights and biases from U(-k, k) with k = 1/√(channels · kernel²), the default of
    /// `torch.nn.Conv2d`.
    fn init(&mut self, random: &mut Random) -> Result<()> {
        let bound = 1.0 / ((self.channels * self.kernel * self.kernel) as f32).sqrt();
        for parameter in [&mut self.weight, &mut self.bias] {
            random.fill_uniform(parameter.value.data_mut(), bound)?;
        }
        Ok(())
    }

    fn set_training(&mut self, is_training: bool) {
        self.inputs.set_training(is_training);
    }
}
