//! The product of two matrices.

use super::{Float, Matrix, Parallel, reference};

/// What sums start from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a, T> {
    /// +0.
    Zero,
    /// A number for each column: the bias of a linear layer.
    PerColumn(&'a [T]),
    /// A number for each row; of convolutions, for each filter or channel.
    PerRow(&'a [T]),
    /// What is there.
    There,
}

/// Writes `start + a b` to `c`: `a` [m, k], `b` [k, n], `c` [m, n] with rows `stride` apart.
/// What lies between rows of `c` stays.
///
/// # Panics
/// If the shapes do not fit.
pub fn product<T: Float>(
    c: &mut [T],
    stride: usize,
    start: Start<T>,
    a: Matrix<T>,
    b: Matrix<T>,
    threads: &dyn Parallel,
) {
    let (m, n) = (a.rows(), b.columns());
    assert_eq!(a.columns(), b.rows(), "columns on the left, rows on the right");
    assert!(stride >= n || m <= 1, "rows of {n}, {stride} apart");
    let len = if m == 0 {
        Some(0)
    } else {
        (m - 1).checked_mul(stride).and_then(|len| len.checked_add(n))
    };
    assert!(len.is_some_and(|len| len <= c.len()), "elements of the product");
    match start {
        Start::PerColumn(bias) => assert_eq!(bias.len(), n, "a bias for each column"),
        Start::PerRow(bias) => assert_eq!(bias.len(), m, "a bias for each row"),
        Start::Zero | Start::There => {}
    }
    let _ = threads;
    reference::product(c, stride, start, a, b);
}
