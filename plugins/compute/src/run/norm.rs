//! Softmax along an axis, and normalisation over axes.

use super::Home;
use super::broadcast::Runs;
use super::functions::larger;
use super::numbers::Functions;
use super::planes::Planes;
use super::reduce;
use super::rows::{Row, rows, share};
use crate::error::Rule;
use crate::kernels::{self, elementwise};
use crate::shape::{Axes, Kind};
use crate::tensor::{Element, Tensor};

/// Calls `f` with the start of each line along `axis`; elements of a line are `inner` apart.
fn each_line(x: &Tensor, axis: usize, mut f: impl FnMut(usize)) -> (usize, usize) {
    let shape = x.shape();
    let (n, inner) = (shape.size(axis), shape.len_of(axis + 1..shape.rank()));
    if !shape.is_empty() {
        for row in 0..shape.len_of(0..axis) {
            (0..inner).for_each(|column| f(row * n * inner + column));
        }
    }
    (n, inner)
}

/// Size of the axis and the distance of its elements.
fn line(x: &Tensor, axis: usize) -> (usize, usize) {
    (x.shape().size(axis), x.shape().len_of(axis + 1..x.shape().rank()))
}

fn largest<T: Functions>(line: impl Iterator<Item = T>) -> T {
    line.fold(-T::INFINITY, |a, b| larger(a, b))
}

/// Exponentials are summed as the kernels sum along the last axis, and ascending along others.
pub(super) fn softmax<T: Functions + Element>(
    axis: usize,
    from: &Tensor,
    to: &mut Tensor,
    home: &Home,
) -> Result<(), Rule> {
    let (x, to) = (from.elements::<T>()?, to.elements_mut::<T>()?);
    let (n, inner) = line(from, axis);
    if inner == 1 && n > 0 {
        rows(Row::Shift, to, x, x, n, home.threads);
        elementwise::unary_in_place(kernels::Unary::Exp, to, home.threads);
        share(to, n, home.threads);
        return Ok(());
    }
    each_line(from, axis, |start| {
        let places = || (0..n).map(|nth| start + nth * inner);
        let largest = largest(places().map(|at| x[at]));
        let mut sum = T::ZERO;
        for at in places() {
            to[at] = (x[at] - largest).exp();
            sum = sum + to[at];
        }
        places().for_each(|at| to[at] = to[at] / sum);
    });
    Ok(())
}

/// `y (g - Σ g y)`, summed as [`softmax`] sums.
pub(super) fn softmax_gradient<T: Functions + Element>(
    axis: usize,
    inputs: &[&Tensor],
    to: &mut Tensor,
    home: &Home,
) -> Result<(), Rule> {
    let (g, y) = (inputs[0].elements::<T>()?, inputs[1].elements::<T>()?);
    let to = to.elements_mut::<T>()?;
    let (n, inner) = line(inputs[0], axis);
    if inner == 1 && n > 0 {
        rows(Row::SoftmaxGradient, to, g, y, n, home.threads);
        return Ok(());
    }
    each_line(inputs[0], axis, |start| {
        let places = || (0..n).map(|nth| start + nth * inner);
        let sum = places().fold(T::ZERO, |sum, at| sum + g[at] * y[at]);
        places().for_each(|at| to[at] = y[at] * (g[at] - sum));
    });
    Ok(())
}

pub(super) fn log_softmax<T: Functions + Element>(
    axis: usize,
    from: &Tensor,
    to: &mut Tensor,
) -> Result<(), Rule> {
    let (x, to) = (from.elements::<T>()?, to.elements_mut::<T>()?);
    let (n, inner) = line(from, axis);
    each_line(from, axis, |start| {
        let places = || (0..n).map(|nth| start + nth * inner);
        let largest = largest(places().map(|at| x[at]));
        let sum = places().fold(T::ZERO, |sum, at| sum + (x[at] - largest).exp());
        let log = sum.ln();
        places().for_each(|at| to[at] = (x[at] - largest) - log);
    });
    Ok(())
}

/// `g - e^y Σ g`, the sum ascending.
pub(super) fn log_softmax_gradient<T: Functions + Element>(
    axis: usize,
    inputs: &[&Tensor],
    to: &mut Tensor,
) -> Result<(), Rule> {
    let (g, y) = (inputs[0].elements::<T>()?, inputs[1].elements::<T>()?);
    let to = to.elements_mut::<T>()?;
    let (n, inner) = line(inputs[0], axis);
    each_line(inputs[0], axis, |start| {
        let places = || (0..n).map(|nth| start + nth * inner);
        let sum = places().fold(T::ZERO, |sum, at| sum + g[at]);
        places().for_each(|at| to[at] = g[at] - y[at].exp() * sum);
    });
    Ok(())
}

/// Elements of a row if the axes are the last ones, so that they lie side by side.
fn row_len(axes: Axes, x: &Tensor) -> Option<usize> {
    let (shape, rank) = (x.shape(), x.shape().rank());
    let first = (0..rank).find(|axis| axes.contains(*axis))?;
    let n = shape.len_of(first..rank);
    (n > 0 && (first..rank).all(|axis| axes.contains(axis))).then_some(n)
}

/// Mean and `1 / √(variance + epsilon)`, of the shape that keeps the axes with size 1.
fn moments<T: Functions + Element>(
    axes: Axes,
    epsilon: f64,
    x: &Tensor,
    home: &mut Home,
) -> Result<(Tensor, Tensor), Rule> {
    let kept = Kind { dtype: T::DTYPE, shape: axes.reduced(x.shape(), true)? };
    let mut mean = home.buffers.tensor(kept)?;
    reduce::sum::<T>(axes, true, x, &mut mean, home)?;
    let mut scale = home.buffers.tensor(kept)?;
    reduce::variance::<T>(axes, 0, x, &mut scale, home)?;
    let epsilon = T::from_f64(epsilon);
    for scale in scale.elements_mut::<T>()? {
        *scale = T::ONE / (*scale + epsilon).root();
    }
    Ok((mean, scale))
}

pub(super) fn normalise<T: Functions + Element>(
    axes: Axes,
    epsilon: f64,
    x: &Tensor,
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    if let Some(n) = row_len(axes, x) {
        let x = x.elements::<T>()?;
        let row = Row::Normalise(T::from_f64(epsilon));
        rows(row, to.elements_mut::<T>()?, x, x, n, home.threads);
        return Ok(());
    }
    if let Some(planes) = Planes::new(x.shape(), axes) {
        return planes.normalise(epsilon, x.elements::<T>()?, to.elements_mut::<T>()?, home);
    }
    let (mean, scale) = moments::<T>(axes, epsilon, x, home)?;
    let runs = Runs::new(x.shape(), [mean.shape(), x.shape()]);
    let (from, to) = (x.elements::<T>()?, to.elements_mut::<T>()?);
    let (means, scales) = (mean.elements::<T>()?, scale.elements::<T>()?);
    let step = runs.steps[0];
    runs.each(to, 8 * from.len(), home.threads, |to, [start, at]| {
        for (nth, (to, x)) in to.iter_mut().zip(&from[at..]).enumerate() {
            *to = (*x - means[start + nth * step]) * scales[start + nth * step];
        }
    });
    home.buffers.give_back(mean);
    home.buffers.give_back(scale);
    Ok(())
}

/// With `y` the output and `s` the scale: `s (g - mean(g) - y mean(g y))`.
pub(super) fn normalise_gradient<T: Functions + Element>(
    axes: Axes,
    epsilon: f64,
    inputs: &[&Tensor],
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let (g, x) = (inputs[0], inputs[1]);
    if let Some(n) = row_len(axes, x) {
        let (g, x) = (g.elements::<T>()?, x.elements::<T>()?);
        let row = Row::NormaliseGradient(T::from_f64(epsilon));
        rows(row, to.elements_mut::<T>()?, g, x, n, home.threads);
        return Ok(());
    }
    if let Some(planes) = Planes::new(x.shape(), axes) {
        let both = (g.elements::<T>()?, x.elements::<T>()?);
        return planes.normalise_gradient(epsilon, both, to.elements_mut::<T>()?, home);
    }
    let (mean, scale) = moments::<T>(axes, epsilon, x, home)?;
    let runs = Runs::new(x.shape(), [mean.shape(), x.shape()]);
    let step = runs.steps[0];
    let mut products = home.buffers.tensor(x.kind())?;
    let (from, gradient) = (x.elements::<T>()?, g.elements::<T>()?);
    {
        let (means, scales) = (mean.elements::<T>()?, scale.elements::<T>()?);
        let products = products.elements_mut::<T>()?;
        runs.each(products, 8 * from.len(), home.threads, |to, [start, at]| {
            for (nth, to) in to.iter_mut().enumerate() {
                let of = start + nth * step;
                *to = gradient[at + nth] * ((from[at + nth] - means[of]) * scales[of]);
            }
        });
    }
    let kept = mean.kind();
    let (mut along, mut mean_gradient) = (home.buffers.tensor(kept)?, home.buffers.tensor(kept)?);
    reduce::sum::<T>(axes, true, &products, &mut along, home)?;
    reduce::sum::<T>(axes, true, g, &mut mean_gradient, home)?;
    let to = to.elements_mut::<T>()?;
    let (means, scales) = (mean.elements::<T>()?, scale.elements::<T>()?);
    let (alongs, gradients) = (along.elements::<T>()?, mean_gradient.elements::<T>()?);
    runs.each(to, 8 * from.len(), home.threads, |to, [start, at]| {
        for (nth, to) in to.iter_mut().enumerate() {
            let of = start + nth * step;
            let y = (from[at + nth] - means[of]) * scales[of];
            *to = scales[of] * ((gradient[at + nth] - gradients[of]) - y * alongs[of]);
        }
    });
    for tensor in [mean, scale, products, along, mean_gradient] {
        home.buffers.give_back(tensor);
    }
    Ok(())
}
