//! Reductions over axes.

use alloc::vec::Vec;

use super::Home;
use super::functions::{larger, smaller};
use super::numbers::Functions;
use crate::error::Rule;
use crate::kernels::reduction;
use crate::op::Reduce;
use crate::shape::{Axes, Dtype, Kind, RANK_MAX, Shape};
use crate::tensor::{Element, Tensor};

/// Axes of a shape that lie side by side and are reduced together: [outer, n, inner] for each
/// group, the last group first. `inner` is without groups that are reduced already.
fn groups(shape: &Shape, axes: Axes) -> impl Iterator<Item = [usize; 3]> {
    let (mut sizes, rank) = (shape.array(), shape.rank());
    let mut found = [[0; 3]; RANK_MAX];
    let mut n_found = 0;
    let mut end = rank;
    while end > 0 {
        if !axes.contains(end - 1) {
            end -= 1;
            continue;
        }
        let mut start = end;
        while start > 0 && axes.contains(start - 1) {
            start -= 1;
        }
        let product = |sizes: &[usize]| sizes.iter().product::<usize>();
        let (before, rest) = sizes[..rank].split_at_mut(start);
        let (here, after) = rest.split_at_mut(end - start);
        found[n_found] = [product(before), product(here), product(after)];
        here.fill(1);
        n_found += 1;
        end = start;
    }
    found.into_iter().take(n_found)
}

/// Reduces group after group by `one`, through tensors of the sizes between.
fn each_group<T: Element>(
    axes: Axes,
    x: &Tensor,
    to: &mut Tensor,
    home: &mut Home,
    one: impl Fn(&mut [T], &[T], [usize; 3], &Home),
) -> Result<(), Rule> {
    let all: Vec<[usize; 3]> = groups(x.shape(), axes).collect();
    let Some((last, before)) = all.split_last() else {
        to.elements_mut::<T>()?.copy_from_slice(x.elements::<T>()?);
        return Ok(());
    };
    let mut from: Option<Tensor> = None;
    for group in before {
        let shape = Shape::new(&[group[0] * group[2]])?;
        let mut between = home.buffers.tensor(Kind { dtype: T::DTYPE, shape })?;
        let source = from.as_ref().unwrap_or(x).elements::<T>()?;
        one(between.elements_mut::<T>()?, source, *group, home);
        if let Some(old) = from.replace(between) {
            home.buffers.give_back(old);
        }
    }
    one(to.elements_mut::<T>()?, from.as_ref().unwrap_or(x).elements::<T>()?, *last, home);
    if let Some(old) = from {
        home.buffers.give_back(old);
    }
    Ok(())
}

/// The sum over these axes, and of a mean over the count.
pub(super) fn sum<T: Functions + Element>(
    axes: Axes,
    is_mean: bool,
    x: &Tensor,
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    each_group::<T>(axes, x, to, home, |to, x, group, home| {
        reduction::sum(to, x, group, home.threads);
    })?;
    if is_mean {
        let count = T::from_f64(axes.count(x.shape()) as f64);
        to.elements_mut::<T>()?.iter_mut().for_each(|sum| *sum = *sum / count);
    }
    Ok(())
}

/// Reductions that are the same group by group.
pub(super) fn by_groups<T: Functions + Element>(
    by: Reduce,
    axes: Axes,
    x: &Tensor,
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    each_group::<T>(axes, x, to, home, |to, x, group, home| match by {
        Reduce::Max => extreme(true, to, x, group),
        Reduce::Min => extreme(false, to, x, group),
        Reduce::LogSumExp => log_sum_exp(to, x, group),
        Reduce::Sum | Reduce::Mean => reduction::sum(to, x, group, home.threads),
    })
}

/// The largest or smallest over the middle axis; NaN if there is one.
fn extreme<T: Functions>(is_largest: bool, to: &mut [T], x: &[T], [_, n, inner]: [usize; 3]) {
    if to.is_empty() || n == 0 {
        return;
    }
    for (to, x) in to.chunks_exact_mut(inner).zip(x.chunks_exact(n * inner)) {
        to.copy_from_slice(&x[..inner]);
        for row in x.chunks_exact(inner).skip(1) {
            let pairs = to.iter_mut().zip(row);
            if is_largest {
                pairs.for_each(|(to, x)| *to = larger(*to, *x));
            } else {
                pairs.for_each(|(to, x)| *to = smaller(*to, *x));
            }
        }
    }
}

/// `ln Σ e^x` over the middle axis: the largest is taken off first, and exponentials are summed
/// ascending. Of no element minus infinity.
fn log_sum_exp<T: Functions>(to: &mut [T], x: &[T], [_, n, inner]: [usize; 3]) {
    if n == 0 {
        to.fill(-T::INFINITY);
        return;
    }
    for (nth, to) in to.iter_mut().enumerate() {
        let (row, column) = (nth / inner, nth % inner);
        let elements = || x[row * n * inner + column..].iter().step_by(inner).take(n);
        let largest = elements().fold(-T::INFINITY, |a, b| larger(a, *b));
        // Infinite ones would give NaN as differences.
        let is_finite = largest.absolute() < T::INFINITY;
        let shift = if is_finite { largest } else { T::ZERO };
        *to = elements().fold(T::ZERO, |sum, x| sum + (*x - shift).exp()).ln() + shift;
    }
}

/// Two passes: the mean, then squares of distances from it.
pub(super) fn variance<T: Functions + Element>(
    axes: Axes,
    correction: u32,
    x: &Tensor,
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let squares = squares_from_mean::<T>(axes, x, home)?;
    let done = each_group::<T>(axes, &squares, to, home, |to, x, group, home| {
        reduction::sum(to, x, group, home.threads);
    });
    home.buffers.give_back(squares);
    done?;
    let count = axes.count(x.shape()) as f64 - f64::from(correction);
    let count = T::from_f64(if count > 0.0 { count } else { 0.0 });
    to.elements_mut::<T>()?.iter_mut().for_each(|sum| *sum = *sum / count);
    Ok(())
}

/// `(x - mean)²`, of the shape of x.
fn squares_from_mean<T: Functions + Element>(
    axes: Axes,
    x: &Tensor,
    home: &mut Home,
) -> Result<Tensor, Rule> {
    let kept = Kind { dtype: T::DTYPE, shape: axes.reduced(x.shape(), true)? };
    let mut mean = home.buffers.tensor(kept)?;
    sum::<T>(axes, true, x, &mut mean, home)?;
    let mut squares = home.buffers.tensor(x.kind())?;
    let runs = super::broadcast::Runs::new(x.shape(), [&kept.shape, x.shape()]);
    let (from, means) = (x.elements::<T>()?, mean.elements::<T>()?);
    let to = squares.elements_mut::<T>()?;
    let step = runs.steps[0];
    runs.each(to, 8 * from.len(), home.threads, |to, [start, at]| {
        for (nth, (to, x)) in to.iter_mut().zip(&from[at..]).enumerate() {
            let distance = *x - means[start + nth * step];
            *to = distance * distance;
        }
    });
    home.buffers.give_back(mean);
    Ok(squares)
}

pub(super) fn arg_max(axis: usize, x: &Tensor, to: &mut Tensor) -> Result<(), Rule> {
    let shape = x.shape();
    let group = [shape.len_of(0..axis), shape.size(axis), shape.len_of(axis + 1..shape.rank())];
    match x.dtype() {
        Dtype::F32 => arg_max_of::<f32>(x, to, group, |x| x.is_nan()),
        Dtype::F64 => arg_max_of::<f64>(x, to, group, |x| x.is_nan()),
        _ => arg_max_of::<i64>(x, to, group, |_| false),
    }
}

fn arg_max_of<T: Element + PartialOrd>(
    x: &Tensor,
    to: &mut Tensor,
    [_, n, inner]: [usize; 3],
    is_nan: fn(T) -> bool,
) -> Result<(), Rule> {
    let x = x.elements::<T>()?;
    for (nth, to) in to.elements_mut::<i64>()?.iter_mut().enumerate() {
        let (row, column) = (nth / inner, nth % inner);
        let at = |nth: usize| x[(row * n + nth) * inner + column];
        let better = |best: usize, nth: usize| {
            let is_better = at(nth) > at(best) || is_nan(at(nth)) && !is_nan(at(best));
            if is_better { nth } else { best }
        };
        *to = (1..n).fold(0, better) as i64;
    }
    Ok(())
}
