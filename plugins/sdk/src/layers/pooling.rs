//! Pooling of images.

use fedwasm_kernels::pooling::{self, Pool};

use super::{Kept, Layer, check_gradient};
use crate::{PlanError, Result, Tensor};

/// The pool over planes of inputs, and the shape of its outputs.
fn pool_of(inputs: &Tensor, window: usize, layer: &str) -> Result<(Pool, [usize; 4])> {
    let &[rows, channels, height, width] = inputs.shape() else {
        let text =
            format!("{layer} takes [rows, channels, height, width], not {:?}", inputs.shape());
        return Err(PlanError::BadData(text));
    };
    let pool = Pool { height, width, window: [window; 2], stride: [window; 2] };
    let too_small = || {
        let text = format!("{layer}: images of {height} x {width} have no window of {window}");
        PlanError::BadData(text)
    };
    let [height, width] = pool.output().ok_or_else(too_small)?;
    Ok((pool, [rows, channels, height, width]))
}

/// The largest element of each window of `window` x `window`, side by side, as
/// `torch.nn.MaxPool2d(window)`. Takes [rows, channels, height, width].
#[derive(Clone, Debug)]
pub struct MaxPool2d {
    window: usize,
    /// The inputs' shape, and for each output the place of its input.
    places: Kept<(Vec<usize>, Vec<u32>)>,
}

impl MaxPool2d {
    /// Returns the layer.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self { window, places: Kept::default() }
    }
}

impl Layer for MaxPool2d {
    fn forward(&mut self, inputs: Tensor) -> Result<Tensor> {
        let (pool, shape) = pool_of(&inputs, self.window, "MaxPool2d")?;
        let mut outputs = Tensor::zeros(&shape)?;
        let mut places = vec![0; outputs.data().len()];
        if u32::try_from(inputs.data().len()).is_err() {
            return Err(PlanError::BadData("MaxPool2d: the batch is too large".into()));
        }
        pooling::max(outputs.data_mut(), &mut places, &pool, inputs.data());
        self.places.keep((inputs.shape().to_vec(), places), "MaxPool2d")?;
        Ok(outputs)
    }

    /// Of equal elements the first of a window takes the gradient.
    fn backward(&mut self, gradient: Tensor) -> Result<Tensor> {
        let (shape, places) = self.places.take("MaxPool2d")?;
        let mut back = Tensor::zeros(&shape)?;
        let (_, outputs) = pool_of(&back, self.window, "MaxPool2d")?;
        check_gradient(&gradient, &outputs, "MaxPool2d")?;
        pooling::add_max_gradient(back.data_mut(), &places, gradient.data());
        Ok(back)
    }

    fn set_training(&mut self, is_training: bool) {
        self.places.set_training(is_training);
    }
}

/// The mean of each window of `window` x `window`, side by side, as
/// `torch.nn.AvgPool2d(window)`. Takes [rows, channels, height, width].
#[derive(Clone, Debug)]
pub struct AvgPool2d {
    window: usize,
    shape: Kept<Vec<usize>>,
}

impl AvgPool2d {
    /// Returns the layer.
    #[must_use]
    pub fn new(window: usize) -> Self {
        Self { window, shape: Kept::default() }
    }
}

impl Layer for AvgPool2d {
    fn forward(&mut self, inputs: Tensor) -> Result<Tensor> {
        let (pool, shape) = pool_of(&inputs, self.window, "AvgPool2d")?;
        let mut outputs = Tensor::zeros(&shape)?;
        pooling::mean(outputs.data_mut(), &pool, inputs.data());
        self.shape.keep(inputs.shape().to_vec(), "AvgPool2d")?;
        Ok(outputs)
    }

    fn backward(&mut self, gradient: Tensor) -> Result<Tensor> {
        let mut back = Tensor::zeros(&self.shape.take("AvgPool2d")?)?;
        let (pool, shape) = pool_of(&back, self.window, "AvgPool2d")?;
        check_gradient(&gradient, &shape, "AvgPool2d")?;
        pooling::add_mean_gradient(back.data_mut(), &pool, gradient.data());
        Ok(back)
    }

    fn set_training(&mut self, is_training: bool) {
        self.shape.set_training(is_training);
    }
}
