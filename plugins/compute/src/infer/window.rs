//! Convolutions and pooling over one to three axes, behind [n, channels].

use super::same_floats;
use crate::error::Rule;
use crate::op::{Pooling, Window, Windows};
use crate::shape::{ELEMENTS_MAX, Kind, Shape};

/// Axes that windows move over.
fn spatial(shape: &Shape) -> Result<usize, Rule> {
    match shape.rank() {
        3..=5 => Ok(shape.rank() - 2),
        _ => Err(Rule::Rank("[n, channels] and then one to three axes")),
    }
}

fn check(window: &Window, n_axes: usize) -> Result<(), Rule> {
    let Window { stride, padding, dilation, groups } = window;
    let in_range = |sizes: &[u32; 3], least: u32| {
        sizes[..n_axes].iter().all(|size| (least..=ELEMENTS_MAX as u32).contains(size))
    };
    if !in_range(stride, 1) || !in_range(dilation, 1) || *groups == 0 {
        return Err(Rule::Attribute("stride, dilation and groups must be at least 1"));
    }
    if !in_range(padding, 0) {
        return Err(Rule::Attribute("the padding must be at most 2^28"));
    }
    Ok(())
}

/// From the first to the last element of a kernel along an axis, less 1.
fn reach(kernel: usize, dilation: u32) -> Result<usize, Rule> {
    let steps = kernel.checked_sub(1).ok_or(Rule::Sizes("the kernel must have elements"))?;
    steps.checked_mul(dilation as usize).filter(|n| *n <= ELEMENTS_MAX).ok_or(Rule::TooLarge)
}

/// How many windows fit along an axis.
fn windows(size: usize, kernel: usize, window: &Window, axis: usize) -> Result<usize, Rule> {
    let padded = size + 2 * window.padding[axis] as usize;
    let beyond = padded.checked_sub(1 + reach(kernel, window.dilation[axis])?);
    let beyond =
        beyond.ok_or(Rule::Sizes("the kernel must not be larger than the padded input"))?;
    Ok(beyond / window.stride[axis] as usize + 1)
}

fn check_bias(bias: Option<&Kind>, channels: usize) -> Result<(), Rule> {
    if bias.is_some_and(|bias| bias.shape.rank() != 1 || bias.shape.size(0) != channels) {
        return Err(Rule::Sizes("the bias must have as many elements as there are channels"));
    }
    Ok(())
}

/// Channels, filters and axes must not be empty; a batch can be.
fn check_not_empty(x: &Kind, w: &Kind) -> Result<(), Rule> {
    if x.shape.sizes().skip(1).chain(w.shape.sizes()).any(|size| size == 0) {
        return Err(Rule::Sizes("channels, filters and axes must have elements"));
    }
    Ok(())
}

/// The matrix of a channel's windows must be one that a tensor could be.
fn check_volume(windows: &[usize], w: &Shape) -> Result<(), Rule> {
    let kernel = w.len_of(2..w.rank());
    let volume = windows.iter().try_fold(kernel, |volume, size| volume.checked_mul(*size));
    volume.filter(|n| *n <= ELEMENTS_MAX).map(drop).ok_or(Rule::TooLarge)
}

/// Input, weights and bias, of one dtype; the weights have as many axes as the input.
fn three(inputs: &[Kind]) -> Result<(Kind, Kind, Option<&Kind>), Rule> {
    let (x, w, bias) = match inputs {
        [x, w] => (x, w, None),
        [x, w, bias] => (x, w, Some(bias)),
        _ => return Err(Rule::Inputs("two or three inputs")),
    };
    same_floats(inputs)?;
    if x.shape.rank() != w.shape.rank() {
        return Err(Rule::Rank("as many axes for the weights as for the input"));
    }
    Ok((*x, *w, bias))
}

pub(super) fn conv(window: &Window, inputs: &[Kind]) -> Result<Kind, Rule> {
    let (x, w, bias) = three(inputs)?;
    let n_axes = spatial(&x.shape)?;
    check(window, n_axes)?;
    let (channels, filters, groups) = (x.shape.size(1), w.shape.size(0), window.groups as usize);
    if w.shape.size(1).checked_mul(groups) != Some(channels) || !filters.is_multiple_of(groups) {
        return Err(Rule::Sizes(
            "the weights must be [filters, channels / groups, ..], groups a part of the filters",
        ));
    }
    check_bias(bias, filters)?;
    check_not_empty(&x, &w)?;
    let mut sizes = x.shape.array();
    sizes[1] = filters;
    for axis in 0..n_axes {
        sizes[2 + axis] = windows(x.shape.size(2 + axis), w.shape.size(2 + axis), window, axis)?;
    }
    check_volume(&sizes[2..2 + n_axes], &w.shape)?;
    Ok(Kind { shape: Shape::new(&sizes[..2 + n_axes])?, ..x })
}

/// The size of a transposed convolution's output along each axis.
fn conv_transpose_sizes(
    window: &Window,
    longer: [u32; 3],
    x: &Shape,
    w: &Shape,
) -> Result<[usize; 3], Rule> {
    let mut sizes = [1; 3];
    for axis in 0..x.rank() - 2 {
        let stride = window.stride[axis] as usize;
        let between = x.size(2 + axis).checked_sub(1);
        let between = between.ok_or(Rule::Sizes("there must be elements along each axis"))?;
        let spread = between.checked_mul(stride).filter(|n| *n <= ELEMENTS_MAX);
        let reach = reach(w.size(2 + axis), window.dilation[axis])?;
        if longer[axis] >= window.stride[axis] {
            return Err(Rule::Attribute("the output can be longer by less than the stride only"));
        }
        let full = spread.ok_or(Rule::TooLarge)? + reach + longer[axis] as usize + 1;
        let inner = full.checked_sub(2 * window.padding[axis] as usize);
        sizes[axis] = inner
            .filter(|size| *size > 0)
            .ok_or(Rule::Sizes("the padding must leave elements of the output"))?;
    }
    Ok(sizes)
}

pub(super) fn conv_transpose(
    window: &Window,
    longer: [u32; 3],
    inputs: &[Kind],
) -> Result<Kind, Rule> {
    let (x, w, bias) = three(inputs)?;
    let n_axes = spatial(&x.shape)?;
    check(window, n_axes)?;
    let (filters, groups) = (x.shape.size(1), window.groups as usize);
    if w.shape.size(0) != filters || !filters.is_multiple_of(groups) {
        return Err(Rule::Sizes(
            "the weights must be [filters, channels / groups, ..], groups a part of the filters",
        ));
    }
    let channels = w.shape.size(1).checked_mul(groups).ok_or(Rule::TooLarge)?;
    check_bias(bias, channels)?;
    check_not_empty(&x, &w)?;
    check_volume(&x.shape.array()[2..2 + n_axes], &w.shape)?;
    let along = conv_transpose_sizes(window, longer, &x.shape, &w.shape)?;
    let mut sizes = x.shape.array();
    sizes[1] = channels;
    sizes[2..2 + n_axes].copy_from_slice(&along[..n_axes]);
    Ok(Kind { shape: Shape::new(&sizes[..2 + n_axes])?, ..x })
}

pub(super) fn conv_weights(
    window: &Window,
    kernel: [u32; 3],
    inputs: &[Kind],
) -> Result<Kind, Rule> {
    let [x, g] = inputs else { return Err(Rule::Inputs("two inputs")) };
    same_floats(inputs)?;
    let n_axes = spatial(&x.shape)?;
    check(window, n_axes)?;
    let (channels, filters, groups) = (x.shape.size(1), g.shape.size(1), window.groups as usize);
    if !channels.is_multiple_of(groups) || !filters.is_multiple_of(groups) {
        return Err(Rule::Sizes("groups must be a part of channels and of filters"));
    }
    let mut sizes = [filters, channels / groups, 1, 1, 1];
    for axis in 0..n_axes {
        sizes[2 + axis] = kernel[axis] as usize;
    }
    let w = Kind { shape: Shape::new(&sizes[..2 + n_axes])?, ..*x };
    if conv(window, &[*x, w])?.shape != g.shape {
        return Err(Rule::Sizes("the gradient must have the shape of the convolution's output"));
    }
    Ok(w)
}

/// Windows along each axis: at least one each.
fn pool_axes(windows: &Windows, x: &Shape) -> Result<[usize; 3], Rule> {
    let n_axes = spatial(x)?;
    let mut sizes = [1; 3];
    for axis in 0..n_axes {
        let size = x.size(2 + axis);
        sizes[axis] = match windows {
            Windows::Adaptive(sizes) => {
                let to = sizes[axis] as usize;
                if to == 0 || to > ELEMENTS_MAX || size == 0 {
                    return Err(Rule::Sizes("there must be elements and windows along each axis"));
                }
                to
            }
            Windows::Strided { kernel, stride, padding } => {
                let window = Window { stride: *stride, padding: *padding, ..Window::default() };
                check(&window, n_axes)?;
                if padding[axis] > kernel[axis] / 2 {
                    return Err(Rule::Attribute("the padding must be at most half of the kernel"));
                }
                self::windows(size, kernel[axis] as usize, &window, axis)?
            }
        };
    }
    Ok(sizes)
}

pub(super) fn pool(_: Pooling, windows: &Windows, x: Kind) -> Result<Kind, Rule> {
    let along = pool_axes(windows, &x.shape)?;
    if x.shape.sizes().skip(2).any(|size| size == 0) {
        return Err(Rule::Sizes("there must be elements along each axis"));
    }
    let mut sizes = x.shape.array();
    let rank = x.shape.rank();
    sizes[2..rank].copy_from_slice(&along[..rank - 2]);
    if let Windows::Strided { kernel, .. } = windows {
        let sizes = along[..rank - 2].iter().copied();
        let kernel = kernel[..rank - 2].iter().map(|size| *size as usize);
        let volume = sizes.chain(kernel).try_fold(1usize, usize::checked_mul);
        volume.filter(|n| *n <= ELEMENTS_MAX).ok_or(Rule::TooLarge)?;
    }
    Ok(Kind { shape: Shape::new(&sizes[..rank])?, ..x })
}

pub(super) fn pool_gradient(
    pooling: Pooling,
    windows: &Windows,
    sizes: [u32; 3],
    inputs: &[Kind],
) -> Result<Kind, Rule> {
    let (g, x) = match (pooling, inputs) {
        (Pooling::Max, [g, x]) => (g, Some(x)),
        (Pooling::Mean(_), [g]) => (g, None),
        (Pooling::Max, _) => return Err(Rule::Inputs("two inputs")),
        (Pooling::Mean(_), _) => return Err(Rule::Inputs("one input")),
    };
    same_floats(inputs)?;
    let n_axes = spatial(&g.shape)?;
    let mut from = g.shape.array();
    for axis in 0..n_axes {
        from[2 + axis] = sizes[axis] as usize;
    }
    let from = Kind { shape: Shape::new(&from[..2 + n_axes])?, ..*g };
    if pool(pooling, windows, from)?.shape != g.shape || x.is_some_and(|x| *x != from) {
        return Err(Rule::Sizes("the gradient must have the shape of the pooling's output"));
    }
    Ok(from)
}

pub(super) fn resample(sizes: [u32; 3], x: Kind) -> Result<Kind, Rule> {
    let n_axes = spatial(&x.shape)?;
    let mut to = x.shape.array();
    for axis in 0..n_axes {
        let size = sizes[axis] as usize;
        if size == 0 || to[2 + axis] == 0 {
            return Err(Rule::Sizes("there must be elements along each axis, before and after"));
        }
        to[2 + axis] = size;
    }
    Ok(Kind { shape: Shape::new(&to[..2 + n_axes])?, ..x })
}
