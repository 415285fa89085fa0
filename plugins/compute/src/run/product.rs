//! Products of matrices, and linear layers.

use super::Home;
use super::numbers::Functions;
use crate::error::Rule;
use crate::kernels::parallel::each_rows;
use crate::kernels::{Matrix, OneThread, Parallel, Start, product::product};
use crate::shape::{RANK_MAX, Shape};
use crate::tensor::{Element, Tensor};

/// The matrix [rows, columns] in `data`, or its transpose.
fn matrix<T: Copy>(data: &[T], rows: usize, columns: usize, is_transposed: bool) -> Matrix<'_, T> {
    let matrix = Matrix::new(data, rows, columns);
    if is_transposed { matrix.transposed() } else { matrix }
}

/// Rows and columns as they lie in memory.
fn last(shape: &Shape) -> (usize, usize) {
    (shape.size_from_end(1), shape.size_from_end(0))
}

pub(super) fn matmul<T: Functions + Element>(
    left: bool,
    right: bool,
    inputs: &[&Tensor],
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let (a_shape, b_shape, c_shape) = (*inputs[0].shape(), *inputs[1].shape(), *to.shape());
    let (a, b) = (inputs[0].elements::<T>()?, inputs[1].elements::<T>()?);
    let c = to.elements_mut::<T>()?;
    let ((a_rows, a_columns), (b_rows, b_columns)) = (last(&a_shape), last(&b_shape));
    let columns = c_shape.size_from_end(0);
    if c.is_empty() {
        return Ok(());
    }
    // One matrix on the right: all rows on the left are one matrix, too.
    if !left && b_shape.rank() == 2 {
        let rows = a_shape.len_of(0..a_shape.rank() - 1);
        let (a, b) = (Matrix::new(a, rows, a_columns), matrix(b, b_rows, b_columns, right));
        product(c, columns, Start::Zero, a, b, home.threads);
        return Ok(());
    }
    let batch = c_shape.rank() - 2;
    let sizes = |shape: &Shape| {
        let mut sizes = [1; RANK_MAX];
        for axis in 0..batch {
            sizes[batch - 1 - axis] = shape.size_from_end(axis + 2);
        }
        sizes
    };
    let (a_sizes, b_sizes, c_sizes) = (sizes(&a_shape), sizes(&b_shape), sizes(&c_shape));
    // Which matrix of a side belongs to the matrix `nth` of the output.
    let of = |sizes: &[usize; RANK_MAX], mut nth: usize| {
        let (mut found, mut stride) = (0, 1);
        for axis in (0..batch).rev() {
            found += nth % c_sizes[axis] % sizes[axis] * stride;
            stride *= sizes[axis];
            nth /= c_sizes[axis];
        }
        found
    };
    let size = c_shape.size_from_end(1) * columns;
    let one = |nth: usize, c: &mut [T], threads: &dyn Parallel| {
        let a = &a[of(&a_sizes, nth) * a_rows * a_columns..][..a_rows * a_columns];
        let b = &b[of(&b_sizes, nth) * b_rows * b_columns..][..b_rows * b_columns];
        let (a, b) = (matrix(a, a_rows, a_columns, left), matrix(b, b_rows, b_columns, right));
        product(c, columns, Start::Zero, a, b, threads);
    };
    if c.len() / size < home.threads.threads() {
        c.chunks_exact_mut(size).enumerate().for_each(|(nth, c)| one(nth, c, home.threads));
        return Ok(());
    }
    // Whole products for each thread.
    let depth = if left { a_rows } else { a_columns };
    let work = c.len().saturating_mul(depth);
    each_rows(c, size, work, home.threads, &|products, c| {
        products.zip(c.chunks_exact_mut(size)).for_each(|(nth, c)| one(nth, c, &OneThread));
    });
    Ok(())
}

pub(super) fn linear<T: Functions + Element>(
    inputs: &[&Tensor],
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let (shape, depth) = (inputs[0].shape(), inputs[0].shape().size_from_end(0));
    let rows = shape.len_of(0..shape.rank() - 1);
    let outputs = inputs[1].shape().size(0);
    let bias = inputs.get(2).map(|x| x.elements::<T>()).transpose()?;
    let x = Matrix::new(inputs[0].elements::<T>()?, rows, depth);
    let w = Matrix::new(inputs[1].elements::<T>()?, outputs, depth).transposed();
    let start = bias.map_or(Start::Zero, Start::PerColumn);
    product(to.elements_mut::<T>()?, outputs, start, x, w, home.threads);
    Ok(())
}
