//! A volume on the grid that a site wants: along the patient's axes, and with its spacing and shape.

use super::volume::{Axis, Grid, Volume};
use crate::bounds::ROW_VALUES_MAX;
use fedwasm_protocol::{Modality, Normalize, Volumes};

/// Beyond it float32 does not represent every whole number.
const CLASS_MAX: f64 = (1 << 24) as f64;

/// How far beyond the outermost voxels' centres a place may lie, in voxels: half of one, and what
/// float64 may be wrong by.
const OUTSIDE: f64 = 0.5 + 1e-6;

/// Where the values along an axis of the result come from.
#[derive(Debug)]
struct Line {
    /// The axis of the file.
    of: usize,
    /// The voxel before a place, the one behind it and the share of the latter; none outside.
    places: Vec<Option<(usize, usize, f64)>>,
}

/// The shape of a volume once it is read: depth, height, width.
///
/// # Errors
/// A text, if the grid spans no space or has too many voxels.
pub(crate) fn shape(grid: &Grid, settings: &Volumes) -> Result<[usize; 3], String> {
    Ok(steps(grid, settings)?.map(|(_, length, _)| length))
}

/// Axis of the file, length of the result, and voxels of the file from one voxel of the result to
/// the next, along depth, height and width.
fn steps(grid: &Grid, settings: &Volumes) -> Result<[(Axis, usize, f64); 3], String> {
    let [width, height, depth] = grid.axes().ok_or("the axes of its affine do not span space")?;
    let axes = [depth, height, width];
    let steps: [(Axis, usize, f64); 3] = std::array::from_fn(|at| {
        let axis = axes[at];
        let n = axis.length as f64;
        let step = settings.spacing.map(|spacing| spacing[at] / axis.spacing);
        let (length, step) = match (settings.shape, step) {
            (Some(shape), step) => {
                let length = shape[at] as usize;
                (length, step.unwrap_or(n / length as f64))
            }
            (None, Some(step)) => (((n / step).round() as usize).max(1), step),
            (None, None) => (axis.length, 1.0),
        };
        (axis, length, step)
    });
    let lengths = steps.each_ref().map(|(_, length, _)| *length as u64);
    let n = lengths.iter().fold(1, |n: u64, length| n.saturating_mul(*length));
    match n > ROW_VALUES_MAX {
        true => Err(format!(
            "values of a row: {n}, at most {ROW_VALUES_MAX}; its grid is {lengths:?} (depth, height, \
             width), and `spacing` or `shape` of the settings make it smaller"
        )),
        false => Ok(steps),
    }
}

/// Reads the values of a volume: depth, height, width, the last one fastest. They are interpolated
/// linearly, those of masks taken from the nearest voxel; outside of the volume lie zeros, or the lower
/// end of the window.
///
/// # Errors
/// A text: a value that is not finite as float32, or not a class in a mask.
pub(crate) fn values(
    volume: &Volume,
    settings: &Volumes,
    modality: &Modality,
    is_mask: bool,
) -> Result<Vec<f32>, String> {
    let lines = steps(&volume.grid, settings)?.map(|step| line(step, is_mask));
    let [depth, height, width] = &lines;
    let outside = modality.window.map_or(0.0, |[low, _]| low);
    let n = lines.iter().map(|line| line.places.len()).product();
    let mut values = Vec::with_capacity(n);
    for z in &depth.places {
        for y in &height.places {
            for x in &width.places {
                values.push(match (z, y, x) {
                    (Some(z), Some(y), Some(x)) => {
                        let mut at = [(0, 0, 0.0); 3];
                        (at[depth.of], at[height.of], at[width.of]) = (*z, *y, *x);
                        interpolated(volume, at)
                    }
                    _ => outside,
                });
            }
        }
    }
    finished(values, modality, is_mask)
}

fn line((axis, length, step): (Axis, usize, f64), is_nearest: bool) -> Line {
    let n = axis.length as f64;
    let place = |at: usize| {
        // The middles of both lie on one another.
        let place = (at as f64 - (length as f64 - 1.0) / 2.0) * step + (n - 1.0) / 2.0;
        if place < -OUTSIDE || place > n - 1.0 + OUTSIDE {
            return None;
        }
        let place = if is_nearest { (place + 0.5).floor() } else { place }.clamp(0.0, n - 1.0);
        let (before, share) = (place.floor() as usize, place.fract());
        let behind = (before + 1).min(axis.length - 1);
        let turned = |at: usize| if axis.is_flipped { axis.length - 1 - at } else { at };
        Some((turned(before), turned(behind), share))
    };
    Line { of: axis.of, places: (0..length).map(place).collect() }
}

/// The value between eight voxels.
fn interpolated(volume: &Volume, at: [(usize, usize, f64); 3]) -> f64 {
    if at.iter().all(|(_, _, share)| *share == 0.0) {
        return volume.value(at.map(|(before, _, _)| before));
    }
    let mut sum = 0.0;
    for corner in 0..8usize {
        let (mut weight, mut voxel) = (1.0, [0; 3]);
        for (axis, (before, behind, share)) in at.iter().enumerate() {
            let is_behind = corner >> axis & 1 == 1;
            weight *= if is_behind { *share } else { 1.0 - share };
            voxel[axis] = if is_behind { *behind } else { *before };
        }
        if weight > 0.0 {
            sum += weight * volume.value(voxel);
        }
    }
    sum
}

fn finished(mut values: Vec<f64>, modality: &Modality, is_mask: bool) -> Result<Vec<f32>, String> {
    if let Some(wrong) = values.iter().find(|value| !(**value as f32).is_finite()) {
        return Err(format!("a voxel is {wrong}, which is not a finite float32"));
    }
    if is_mask {
        let is_class = |value: &&f64| value.fract() != 0.0 || !(0.0..=CLASS_MAX).contains(*value);
        if let Some(wrong) = values.iter().find(is_class) {
            let text = format!("a voxel of the mask is {wrong}, but classes are whole numbers");
            return Err(format!("{text} from 0 on; `kind = \"image\"` reads it as measurements"));
        }
    }
    if let Some([low, high]) = modality.window {
        values.iter_mut().for_each(|value| *value = value.clamp(low, high));
    }
    if modality.normalize == Normalize::ZScore {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        // A volume of equal values becomes zeros.
        let deviation = Some((squares / n).sqrt()).filter(|std| *std > 0.0).unwrap_or(1.0);
        values.iter_mut().for_each(|value| *value = (*value - mean) / deviation);
    }
    Ok(values.into_iter().map(|value| value as f32).collect())
}
