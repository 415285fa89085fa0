//! Operations that move elements and compute nothing.

use super::Home;
use super::broadcast::Runs;
use crate::error::Rule;
use crate::shape::{RANK_MAX, Shape};
use crate::tensor::{Element, Tensor};

/// A shape around an axis: [before, along, after].
fn around(shape: &Shape, axis: usize) -> [usize; 3] {
    [shape.len_of(0..axis), shape.size(axis), shape.len_of(axis + 1..shape.rank())]
}

pub(super) fn concat<T: Element>(
    axis: usize,
    inputs: &[&Tensor],
    to: &mut Tensor,
) -> Result<(), Rule> {
    let [outer, along, inner] = around(to.shape(), axis);
    let to = to.elements_mut::<T>()?;
    let mut first = 0;
    for input in inputs {
        let width = input.shape().size(axis) * inner;
        let x = input.elements::<T>()?;
        for row in 0..outer {
            let to = &mut to[row * along * inner + first..][..width];
            to.copy_from_slice(&x[row * width..][..width]);
        }
        first += width;
    }
    Ok(())
}

pub(super) fn slice<T: Element>(
    [axis, start, step]: [u32; 3],
    x: &Tensor,
    to: &mut Tensor,
) -> Result<(), Rule> {
    let [outer, along, inner] = around(x.shape(), axis as usize);
    let len = to.shape().size(axis as usize);
    let (x, to) = (x.elements::<T>()?, to.elements_mut::<T>()?);
    let (start, step) = (start as usize, step as usize);
    for row in 0..outer {
        let (x, to) = (&x[row * along * inner..], &mut to[row * len * inner..][..len * inner]);
        if step == 1 {
            to.copy_from_slice(&x[start * inner..][..len * inner]);
            continue;
        }
        for nth in 0..len {
            let from = &x[(start + nth * step) * inner..][..inner];
            to[nth * inner..][..inner].copy_from_slice(from);
        }
    }
    Ok(())
}

pub(super) fn slice_gradient<T: Element>(
    [axis, start, step]: [u32; 3],
    g: &Tensor,
    to: &mut Tensor,
) -> Result<(), Rule> {
    let [outer, along, inner] = around(to.shape(), axis as usize);
    let len = g.shape().size(axis as usize);
    let (g, to) = (g.elements::<T>()?, to.elements_mut::<T>()?);
    to.fill(T::default());
    for row in 0..outer {
        for nth in 0..len {
            let at = (row * along + start as usize + nth * step as usize) * inner;
            to[at..at + inner].copy_from_slice(&g[(row * len + nth) * inner..][..inner]);
        }
    }
    Ok(())
}

pub(super) fn pad<T: Element>(
    [axis, before]: [u32; 2],
    value: T,
    x: &Tensor,
    to: &mut Tensor,
) -> Result<(), Rule> {
    let [outer, along, inner] = around(to.shape(), axis as usize);
    let width = x.shape().size(axis as usize) * inner;
    let (x, to) = (x.elements::<T>()?, to.elements_mut::<T>()?);
    to.fill(value);
    for row in 0..outer {
        let at = (row * along + before as usize) * inner;
        to[at..at + width].copy_from_slice(&x[row * width..][..width]);
    }
    Ok(())
}

pub(super) fn permute<T: Element>(
    axes: &[u8; RANK_MAX],
    x: &Tensor,
    to: &mut Tensor,
) -> Result<(), Rule> {
    let (from, rank, sizes) = (x.shape().strides(), x.shape().rank(), to.shape().array());
    let mut strides = [0; RANK_MAX];
    for (stride, axis) in strides.iter_mut().zip(&axes[..rank]) {
        *stride = from[usize::from(*axis)];
    }
    let (x, to) = (x.elements::<T>()?, to.elements_mut::<T>()?);
    if rank == 0 || to.is_empty() {
        to.copy_from_slice(x);
        return Ok(());
    }
    let (width, step) = (sizes[rank - 1], strides[rank - 1]);
    let (mut at, mut start) = ([0; RANK_MAX], 0);
    for to in to.chunks_exact_mut(width) {
        if step == 1 {
            to.copy_from_slice(&x[start..start + width]);
        } else {
            let from = x[start..].iter().step_by(step);
            to.iter_mut().zip(from).for_each(|(to, x)| *to = *x);
        }
        for axis in (0..rank - 1).rev() {
            at[axis] += 1;
            start += strides[axis];
            if at[axis] < sizes[axis] {
                break;
            }
            start -= strides[axis] * sizes[axis];
            at[axis] = 0;
        }
    }
    Ok(())
}

pub(super) fn expand<T: Element>(x: &Tensor, to: &mut Tensor, home: &Home) -> Result<(), Rule> {
    let runs = Runs::new(to.shape(), [x.shape()]);
    let (x, to) = (x.elements::<T>()?, to.elements_mut::<T>()?);
    runs.each(to, 4 * to.len(), home.threads, |to, [start]| match runs.steps {
        [1] => to.copy_from_slice(&x[start..start + to.len()]),
        _ => to.fill(x[start]),
    });
    Ok(())
}
