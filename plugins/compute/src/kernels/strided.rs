//! Elements that lie in any order: broadcast, permuted, or every so many.

use core::ops::Range;

use super::elementwise::{Map, Operand};
use super::parallel::{Shared, pieces};
use super::{Binary, Float, Parallel, simd};

/// The most axes of a shape.
pub const AXES_MAX: usize = 8;

/// Asserts that an index of the shape is within `len` elements.
fn check(shape: &[usize], strides: &[usize], len: usize) {
    assert_eq!(shape.len(), strides.len(), "a stride for each axis");
    assert!(shape.len() <= AXES_MAX, "at most {AXES_MAX} axes");
    if shape.contains(&0) {
        return;
    }
    let last = shape.iter().zip(strides).try_fold(0usize, |last, (size, stride)| {
        last.checked_add((size - 1).checked_mul(*stride)?)
    });
    assert!(last.is_some_and(|last| last < len), "elements at {strides:?} of {shape:?}");
}

/// Calls `f` with some of the lines along the last axis, in row-major order, and where they start
/// on both sides.
fn lines(
    shape: &[usize],
    strides: [&[usize]; 2],
    some: Range<usize>,
    mut f: impl FnMut(usize, [usize; 2]),
) {
    let outer = &shape[..shape.len().saturating_sub(1)];
    let (mut at, mut starts, mut rest) = ([0; AXES_MAX], [0; 2], some.start);
    for axis in (0..outer.len()).rev() {
        at[axis] = rest % outer[axis];
        rest /= outer[axis];
        for (start, strides) in starts.iter_mut().zip(strides) {
            *start += strides[axis] * at[axis];
        }
    }
    for line in some {
        f(line, starts);
        for axis in (0..outer.len()).rev() {
            at[axis] += 1;
            for (start, strides) in starts.iter_mut().zip(strides) {
                *start += strides[axis];
            }
            if at[axis] < outer[axis] {
                break;
            }
            for (start, strides) in starts.iter_mut().zip(strides) {
                *start -= strides[axis] * outer[axis];
            }
            at[axis] = 0;
        }
    }
}

/// Cuts lines of `width` elements for threads.
fn each_line(
    n_lines: usize,
    width: usize,
    threads: &dyn Parallel,
    f: &(dyn Fn(Range<usize>) + Sync),
) {
    let is_shared = threads.threads() > 1 && n_lines * width >= threads.work_min() / 8;
    let cut = pieces(n_lines, if is_shared { threads.threads() } else { 1 }, 1);
    threads.run(cut.len(), &|part| f(cut.piece(part)));
}

/// Lines from which on they are computed in lanes.
const WIDTH_MIN: usize = 16;

/// Copies `x`, seen with this shape and these strides (0 repeats an element), to `to`, row-major.
///
/// # Panics
/// If the shape does not fit, or has more than [`AXES_MAX`] axes.
pub fn copy_strided<T: Float>(
    to: &mut [T],
    shape: &[usize],
    x: &[T],
    strides: &[usize],
    threads: &dyn Parallel,
) {
    check(shape, strides, x.len());
    assert_eq!(to.len(), shape.iter().product::<usize>(), "elements of {shape:?}");
    let (width, step) = (shape.last().copied().unwrap_or(1), strides.last().copied().unwrap_or(1));
    if to.is_empty() {
        return;
    }
    let (n_lines, to) = (to.len() / width, Shared(to.as_mut_ptr()));
    each_line(n_lines, width, threads, &|some| {
        lines(shape, [strides; 2], some, |line, [start, _]| {
            // SAFETY: lines are this part's.
            let to = unsafe { to.slice(line * width..(line + 1) * width) };
            match step {
                1 => to.copy_from_slice(&x[start..start + width]),
                0 => to.fill(x[start]),
                _ => {
                    let every = x[start..].iter().step_by(step);
                    to.iter_mut().zip(every).for_each(|(to, x)| *to = *x);
                }
            }
        });
    });
}

/// Writes the operation on `x` and `y`, both seen with this shape and their strides (0 repeats an
/// element), to `to`, row-major.
///
/// # Panics
/// If the shape does not fit, or has more than [`AXES_MAX`] axes.
pub fn binary_strided<T: Float>(
    op: Binary,
    to: &mut [T],
    shape: &[usize],
    (x, x_strides): (&[T], &[usize]),
    (y, y_strides): (&[T], &[usize]),
    threads: &dyn Parallel,
) {
    check(shape, x_strides, x.len());
    check(shape, y_strides, y.len());
    assert_eq!(to.len(), shape.iter().product::<usize>(), "elements of {shape:?}");
    let last = |all: &[usize]| all.last().copied().unwrap_or(1);
    let (width, x_step, y_step) = (last(shape), last(x_strides), last(y_strides));
    if to.is_empty() {
        return;
    }
    let (level, n_lines) = (simd::level(), to.len() / width);
    let in_lanes = width >= WIDTH_MIN && x_step <= 1 && y_step <= 1;
    let to = Shared(to.as_mut_ptr());
    each_line(n_lines, width, threads, &|some| {
        lines(shape, [x_strides, y_strides], some, |line, [x_start, y_start]| {
            // SAFETY: lines are this part's.
            let to = unsafe { to.slice(line * width..(line + 1) * width) };
            if in_lanes {
                let operand = |all: &[T], start: usize, step| match step {
                    0 => Operand::Number(all[start]),
                    _ => Operand::At(all[start..start + width].as_ptr()),
                };
                let (x, y) = (operand(x, x_start, x_step), operand(y, y_start, y_step));
                T::map(level, Map::binary(op, to, x, y));
                return;
            }
            for (nth, to) in to.iter_mut().enumerate() {
                *to = op.of(x[x_start + nth * x_step], y[y_start + nth * y_step]);
            }
        });
    });
}
