//! How the right side of a product comes to the tiles: in panels of [`WIDTH`] columns.

use crate::Matrix;
use crate::lanes::Lanes;
use crate::transpose::transpose;

/// Columns of a panel: what every backend's lanes divide.
pub(crate) const WIDTH: usize = 16;
/// Rows of a panel at most: with its columns 16 KiB, half of a first-level cache.
pub(crate) const DEPTH_MAX: usize = 256;

/// Rows of a panel one after the other, each [`WIDTH`] elements.
pub(crate) struct Panel([f32; WIDTH * (DEPTH_MAX + 1)]);

impl Panel {
    pub(crate) fn new() -> Self {
        Self([0.0; WIDTH * (DEPTH_MAX + 1)])
    }

    /// Its rows, to be written.
    pub(crate) fn lines(&mut self) -> core::slice::ChunksExactMut<'_, f32> {
        self.0.chunks_exact_mut(WIDTH)
    }

    /// All elements, and a row beyond the last for what is written too much.
    pub(crate) fn with_surplus(&mut self) -> &mut [f32] {
        &mut self.0
    }

    pub(crate) fn rows(&self) -> &[f32] {
        &self.0
    }
}

/// A matrix whose columns can be laid out in panels.
pub(crate) trait Panels {
    fn rows(&self) -> usize;
    fn columns(&self) -> usize;

    /// Lays out the block of `depth` rows from `row` on and `width` columns from `column` on,
    /// all inside the matrix. Columns of the panel that are beyond it become zeros.
    fn lay_out<L: Lanes>(
        &self,
        panel: &mut Panel,
        rows: core::ops::Range<usize>,
        columns: core::ops::Range<usize>,
    );
}

impl Panels for Matrix<'_> {
    fn rows(&self) -> usize {
        Matrix::rows(self)
    }

    fn columns(&self) -> usize {
        Matrix::columns(self)
    }

    #[inline(always)]
    fn lay_out<L: Lanes>(
        &self,
        panel: &mut Panel,
        rows: core::ops::Range<usize>,
        columns: core::ops::Range<usize>,
    ) {
        let (row_stride, column_stride) = self.strides();
        let width = columns.len();
        if column_stride == 1 {
            for (row, line) in rows.zip(panel.lines()) {
                let from = row * row_stride + columns.start;
                if let Some(from) = self.data().get(from..from + WIDTH)
                    && width == WIDTH
                {
                    line.copy_from_slice(from);
                } else {
                    line[..width].copy_from_slice(&self.data()[from..from + width]);
                    line[width..].fill(0.0);
                }
            }
            return;
        }
        if width < WIDTH {
            panel.lines().take(rows.len()).for_each(|line| line.fill(0.0));
        }
        let from = &self.data()[columns.start * column_stride + rows.start..];
        transpose::<L>(from, column_stride, [width, rows.len()], &mut panel.0, WIDTH);
    }
}
