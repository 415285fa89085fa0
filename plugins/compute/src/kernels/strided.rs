//! Elements that lie in any order: broadcast, permuted, or every so many.

use super::{Binary, Float, Parallel};

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

/// Calls `f` with where each line along the last axis starts on both sides, in row-major order.
fn lines(shape: &[usize], strides: [&[usize]; 2], mut f: impl FnMut(usize, [usize; 2])) {
    let outer = &shape[..shape.len().saturating_sub(1)];
    let n_lines: usize = outer.iter().product();
    let mut at = [0; AXES_MAX];
    let mut starts = [0; 2];
    for line in 0..n_lines {
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
    let _ = threads;
    let (width, step) = (shape.last().copied().unwrap_or(1), strides.last().copied().unwrap_or(0));
    if to.is_empty() {
        return;
    }
    lines(shape, [strides; 2], |line, [start, _]| {
        for (nth, to) in to[line * width..][..width].iter_mut().enumerate() {
            *to = x[start + nth * step];
        }
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
    let _ = threads;
    let last = |all: &[usize], none: usize| all.last().copied().unwrap_or(none);
    let (width, x_step, y_step) = (last(shape, 1), last(x_strides, 0), last(y_strides, 0));
    if to.is_empty() {
        return;
    }
    lines(shape, [x_strides, y_strides], |line, [x_start, y_start]| {
        for (nth, to) in to[line * width..][..width].iter_mut().enumerate() {
            *to = op.of(x[x_start + nth * x_step], y[y_start + nth * y_step]);
        }
    });
}
