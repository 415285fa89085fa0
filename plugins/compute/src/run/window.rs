//! Convolutions, pooling and resampling, as the kernels do them.

use alloc::vec;

use super::Home;
use super::numbers::Functions;
use crate::error::Rule;
use crate::kernels::{self, Convolution, Divisor, Sampling, Start, convolution, pooling, resize};
use crate::op::{Pooling, Window, Windows};
use crate::shape::Shape;
use crate::tensor::{Element, Tensor};

/// The sizes behind [n, channels], with ones before them if there are fewer than three.
fn spatial(shape: &Shape) -> [usize; 3] {
    kernels::axes(&shape.array()[2..shape.rank()], 1)
}

/// Attributes of as many axes as `shape` has, with others before them if there are fewer.
fn along(attributes: &[u32; 3], shape: &Shape, other: usize) -> [usize; 3] {
    kernels::axes(&attributes.map(|size| size as usize)[..shape.rank() - 2], other)
}

/// The convolution of an input and weights of these shapes.
fn shapes(window: &Window, x: &Shape, w: &Shape) -> Convolution {
    Convolution {
        images: x.size(0),
        channels: x.size(1),
        filters: w.size(0),
        groups: window.groups as usize,
        windows: kernels::Windows {
            image: spatial(x),
            kernel: spatial(w),
            stride: along(&window.stride, x, 1),
            padding: along(&window.padding, x, 0),
            dilation: along(&window.dilation, x, 1),
        },
    }
}

pub(super) fn conv<T: Functions + Element>(
    window: &Window,
    inputs: &[&Tensor],
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let of = shapes(window, inputs[0].shape(), inputs[1].shape());
    let (x, w) = (inputs[0].elements::<T>()?, inputs[1].elements::<T>()?);
    let bias = inputs.get(2).map(|x| x.elements::<T>()).transpose()?;
    convolution::convolution(to.elements_mut::<T>()?, &of, bias, w, x, home.threads);
    Ok(())
}

pub(super) fn conv_transpose<T: Functions + Element>(
    window: &Window,
    inputs: &[&Tensor],
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let of = shapes(window, to.shape(), inputs[1].shape());
    let (x, w) = (inputs[0].elements::<T>()?, inputs[1].elements::<T>()?);
    let bias = inputs.get(2).map(|x| x.elements::<T>()).transpose()?;
    let start = bias.map_or(Start::Zero, Start::PerRow);
    convolution::input_gradient(to.elements_mut::<T>()?, &of, start, w, x, home.threads);
    Ok(())
}

pub(super) fn conv_weights<T: Functions + Element>(
    window: &Window,
    inputs: &[&Tensor],
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let of = shapes(window, inputs[0].shape(), to.shape());
    let (x, g) = (inputs[0].elements::<T>()?, inputs[1].elements::<T>()?);
    let to = to.elements_mut::<T>()?;
    convolution::weight_gradient(to, &of, Start::Zero, x, g, home.threads);
    Ok(())
}

fn strided(
    image: &Shape,
    kernel: &[u32; 3],
    stride: &[u32; 3],
    padding: &[u32; 3],
) -> kernels::Windows {
    kernels::Windows {
        image: spatial(image),
        kernel: along(kernel, image, 1),
        stride: along(stride, image, 1),
        padding: along(padding, image, 0),
        dilation: [1; 3],
    }
}

fn divisor(counts_padding: bool) -> Divisor {
    if counts_padding { Divisor::Window } else { Divisor::Existing }
}

/// Calls `f` with so many places, counted as buffers are.
fn with_places(
    len: usize,
    home: &mut Home,
    f: impl FnOnce(&mut [u32], &mut Home) -> Result<(), Rule>,
) -> Result<(), Rule> {
    home.buffers.charge(4 * len)?;
    let done = f(&mut vec![0; len], home);
    home.buffers.discharge(4 * len);
    done
}

pub(super) fn pool<T: Functions + Element>(
    how: Pooling,
    windows: &Windows,
    x: &Tensor,
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let (shape, x) = (x.shape(), x.elements::<T>()?);
    let to = to.elements_mut::<T>()?;
    match (how, windows) {
        (Pooling::Max, Windows::Strided { kernel, stride, padding }) => {
            let windows = strided(shape, kernel, stride, padding);
            pooling::max_pool(to, &windows, x, home.threads);
        }
        (Pooling::Max, Windows::Adaptive(sizes)) => {
            let sizes = along(sizes, shape, 1);
            with_places(to.len(), home, |places, home| {
                pooling::adaptive_max_pool(to, places, sizes, spatial(shape), x, home.threads);
                Ok(())
            })?;
        }
        (Pooling::Mean(counts), Windows::Strided { kernel, stride, padding }) => {
            let windows = strided(shape, kernel, stride, padding);
            pooling::mean_pool(to, &windows, divisor(counts), x, home.threads);
        }
        (Pooling::Mean(_), Windows::Adaptive(sizes)) => {
            let sizes = along(sizes, shape, 1);
            pooling::adaptive_mean_pool(to, sizes, spatial(shape), x, home.threads);
        }
    }
    Ok(())
}

pub(super) fn pool_gradient<T: Functions + Element>(
    how: Pooling,
    windows: &Windows,
    inputs: &[&Tensor],
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let (g, shape) = (inputs[0].elements::<T>()?, *to.shape());
    let gradient = to.elements_mut::<T>()?;
    match (how, windows) {
        (Pooling::Max, Windows::Strided { kernel, stride, padding }) => {
            let windows = strided(&shape, kernel, stride, padding);
            let x = inputs[1].elements::<T>()?;
            pooling::max_pool_gradient(gradient, &windows, x, g, home.threads);
        }
        (Pooling::Max, Windows::Adaptive(sizes)) => {
            let (sizes, from) = (along(sizes, &shape, 1), spatial(&shape));
            let (x, plane) = (inputs[1].elements::<T>()?, shape.len_of(2..shape.rank()));
            // The tape keeps no places; they are found again.
            with_places(g.len(), home, |places, home| {
                let mut largest = home.buffers.tensor(inputs[0].kind())?;
                let to = largest.elements_mut::<T>()?;
                pooling::adaptive_max_pool(to, places, sizes, from, x, home.threads);
                home.buffers.give_back(largest);
                pooling::gradient_at_places(gradient, plane, places, g, home.threads);
                Ok(())
            })?;
        }
        (Pooling::Mean(counts), Windows::Strided { kernel, stride, padding }) => {
            let windows = strided(&shape, kernel, stride, padding);
            pooling::mean_pool_gradient(gradient, &windows, divisor(counts), g, home.threads);
        }
        (Pooling::Mean(_), Windows::Adaptive(sizes)) => {
            let (sizes, from) = (along(sizes, &shape, 1), spatial(&shape));
            pooling::adaptive_mean_pool_gradient(gradient, sizes, from, g, home.threads);
        }
    }
    Ok(())
}

pub(super) fn resample<T: Functions + Element>(
    by: Sampling,
    x: &Tensor,
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let (from, sizes) = (spatial(x.shape()), spatial(to.shape()));
    resize::resize(to.elements_mut::<T>()?, sizes, from, by, x.elements::<T>()?, home.threads);
    Ok(())
}

pub(super) fn resample_gradient<T: Functions + Element>(
    by: Sampling,
    g: &Tensor,
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let (sizes, from) = (spatial(g.shape()), spatial(to.shape()));
    let (to, g) = (to.elements_mut::<T>()?, g.elements::<T>()?);
    resize::resize_gradient(to, sizes, from, by, g, home.threads);
    Ok(())
}
