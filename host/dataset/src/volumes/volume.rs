//! A volume as its file has it: voxels on a grid, and where that grid lies in the patient.

use crate::array::{Order, Stored};

/// Rounds of Newton's iteration for the rotation of an affine; it doubles its digits each round.
const ROTATION_ROUNDS: usize = 64;

/// Lengths of the axes of a file, the fastest one first, and the place of each voxel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grid {
    pub(crate) lengths: [usize; 3],
    /// From places of voxels to millimetres: towards the patient's right, front and head, a line each.
    pub(crate) affine: [[f64; 4]; 3],
}

/// Which axis of a file runs along each axis of the patient: from left to right, from back to front, from
/// foot to head (RAS+).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Axis {
    /// The axis of the file.
    pub(crate) of: usize,
    /// Whether it runs the other way.
    pub(crate) is_flipped: bool,
    /// Voxels along it.
    pub(crate) length: usize,
    /// From one voxel to the next, in millimetres.
    pub(crate) spacing: f64,
}

/// A volume, whose voxels stay as the file has them.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    pub(crate) grid: Grid,
    pub(crate) stored: Stored,
    pub(crate) order: Order,
    /// The voxels, the first axis fastest.
    pub(crate) bytes: Vec<u8>,
    /// Slope and intercept of the values: one, or one for each place along the third axis.
    pub(crate) scales: Vec<(f64, f64)>,
}

impl Grid {
    /// The axes of the patient, by nibabel's rule (`nibabel.orientations.io_orientation`): the axis of
    /// the file that is nearest to one of the patient takes it first. None if the axes span no space.
    pub(crate) fn axes(&self) -> Option<[Axis; 3]> {
        let column = |axis: usize| [0, 1, 2].map(|line| self.affine[line][axis]);
        let norm = |axis: usize| column(axis).iter().map(|v| v * v).sum::<f64>().sqrt();
        let spacing = [0, 1, 2].map(norm);
        if spacing.iter().any(|length| !length.is_normal()) {
            return None;
        }
        let unit = |line: usize| [0, 1, 2].map(|axis| self.affine[line][axis] / spacing[axis]);
        let mut rotation = nearest_rotation([0, 1, 2].map(unit))?;
        let nearness = |rotation: &[[f64; 3]; 3], axis: usize| {
            rotation.iter().map(|line| line[axis].abs()).fold(0.0, f64::max)
        };
        let mut order = [0, 1, 2];
        order.sort_by(|a, b| nearness(&rotation, *b).total_cmp(&nearness(&rotation, *a)));
        let mut axes = [None; 3];
        for of in order {
            let near = |line: &usize| rotation[*line][of].abs();
            let line = (0..3).rev().max_by(|a, b| near(a).total_cmp(&near(b)))?;
            let is_flipped = rotation[line][of] < 0.0;
            rotation[line] = [0.0; 3];
            axes[line] =
                Some(Axis { of, is_flipped, length: self.lengths[of], spacing: spacing[of] });
        }
        let [Some(x), Some(y), Some(z)] = axes else { return None };
        Some([x, y, z])
    }

    /// Where the eight corners of the grid lie, in millimetres; by the patient's axes, so that the
    /// order of the file does not matter.
    pub(crate) fn corners(&self) -> Option<[[f64; 3]; 8]> {
        let axes = self.axes()?;
        Some(std::array::from_fn(|corner| {
            let mut at = [0.0; 3];
            for (bit, axis) in axes.iter().enumerate() {
                let is_far = (corner >> bit & 1 == 1) != axis.is_flipped;
                at[axis.of] = if is_far { axis.length as f64 - 0.5 } else { -0.5 };
            }
            self.affine.map(|line| line[3] + (0..3).map(|axis| line[axis] * at[axis]).sum::<f64>())
        }))
    }
}

impl Volume {
    /// The value at a place along the axes of the file, in float64.
    ///
    /// # Panics
    /// If it is not within the lengths.
    pub(crate) fn value(&self, at: [usize; 3]) -> f64 {
        let [width, height, _] = self.grid.lengths;
        let voxel = (at[2] * height + at[1]) * width + at[0];
        let size = self.stored.size() as usize;
        let raw = self.stored.number(self.order, &self.bytes[voxel * size..(voxel + 1) * size]);
        let (slope, intercept) = self.scales[if self.scales.len() == 1 { 0 } else { at[2] }];
        raw * slope + intercept
    }
}

/// The orthogonal matrix that is nearest to a matrix: Newton's iteration for the polar
/// decomposition (Higham 1986). None for a matrix that cannot be inverted.
fn nearest_rotation(mut matrix: [[f64; 3]; 3]) -> Option<[[f64; 3]; 3]> {
    for _ in 0..ROTATION_ROUNDS {
        let inverse = inverse(&matrix)?;
        let mut moved = 0.0f64;
        let next: [[f64; 3]; 3] = std::array::from_fn(|line| {
            std::array::from_fn(|axis| {
                let value = 0.5 * (matrix[line][axis] + inverse[axis][line]);
                moved = moved.max((value - matrix[line][axis]).abs());
                value
            })
        });
        matrix = next;
        if moved < 1e-13 {
            return Some(matrix);
        }
    }
    None
}

/// The inverse of a matrix with columns of length 1. None if it has none that float64 tells.
fn inverse(m: &[[f64; 3]; 3]) -> Option<[[f64; 3]; 3]> {
    let minor = |line: usize, axis: usize| {
        let (a, b) = ((line + 1) % 3, (line + 2) % 3);
        let (c, d) = ((axis + 1) % 3, (axis + 2) % 3);
        m[a][c] * m[b][d] - m[a][d] * m[b][c]
    };
    let determinant: f64 = (0..3).map(|axis| m[0][axis] * minor(0, axis)).sum();
    let is_usable = determinant.is_finite() && determinant.abs() > 1e-9;
    is_usable.then(|| {
        std::array::from_fn(|line| std::array::from_fn(|axis| minor(axis, line) / determinant))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes(affine: [[f64; 4]; 3]) -> Option<[(usize, bool); 3]> {
        let grid = Grid { lengths: [2, 3, 4], affine };
        grid.axes().map(|axes| axes.map(|axis| (axis.of, axis.is_flipped)))
    }

    #[test]
    fn axes_go_to_the_nearest_of_the_patient() {
        let plain = [[2.0, 0.0, 0.0, 5.0], [0.0, 1.0, 0.0, 6.0], [0.0, 0.0, 3.0, 7.0]];
        assert_eq!(axes(plain), Some([(0, false), (1, false), (2, false)]));
        let lps = [[-2.0, 0.0, 0.0, 5.0], [0.0, -1.0, 0.0, 6.0], [0.0, 0.0, 3.0, 7.0]];
        assert_eq!(axes(lps), Some([(0, true), (1, true), (2, false)]));
        let sagittal = [[0.0, 0.1, 3.0, 0.0], [-1.0, 0.0, 0.2, 0.0], [0.0, -1.0, 0.0, 0.0]];
        assert_eq!(axes(sagittal), Some([(2, false), (0, true), (1, true)]));
    }

    #[test]
    fn axes_without_space_have_no_order() {
        for bad in [0.0, f64::NAN, f64::INFINITY] {
            let flat = [[1.0, 0.0, bad, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]];
            assert_eq!(axes(flat), None, "{bad}");
        }
        let same = [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
        assert_eq!(axes(same), None);
    }
}
