//! A volume from the slices of a DICOM series, by their places in the patient.

use std::path::{Path, PathBuf};

use super::dicom::{self, Slice};
use super::layout::is_slice;
use super::volume::{Grid, Volume};
use crate::Error;
use crate::array::Order;
use crate::bounds::{SLICES_MAX, VOLUME_BYTES_MAX};
use crate::images::names;

/// How far a direction may be from another one, as the distance of two unit vectors.
const DIRECTION_TOLERANCE: f64 = 1e-3;
/// How far a slice may be from its place among evenly spaced ones, in distances between slices.
const GAP_TOLERANCE: f64 = 0.02;

/// The slices of a folder, in byte order of their names.
///
/// # Errors
/// [`Error::Read`], [`Error::TooLarge`].
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let found = names(folder, |kind| kind.is_file(), SLICES_MAX)?;
    let named = found.into_iter().filter_map(|(name, _)| name.into_string().ok());
    let mut files: Vec<PathBuf> =
        named.filter(|name| is_slice(name)).map(|name| folder.join(name)).collect();
    files.sort();
    Ok(files)
}

/// Reads a series.
///
/// # Errors
/// Those of a slice, [`Error::TooLarge`], and [`Error::Unsupported`] for slices that are not one
/// volume.
pub(crate) fn read(folder: &Path) -> Result<Volume, Error> {
    let unsupported = |what: String| Error::Unsupported { path: folder.to_owned(), what };
    let mut slices: Vec<Slice> = Vec::new();
    let mut total = 0u64;
    for file in files(folder)? {
        let slice = dicom::read(&file)?;
        total += slice.pixels.len() as u64;
        if total > VOLUME_BYTES_MAX {
            let (path, what) = (folder.to_owned(), "bytes of a volume".to_owned());
            return Err(Error::TooLarge { path, what, got: total, max: VOLUME_BYTES_MAX });
        }
        if let Some(first) = slices.first() {
            belongs(first, &slice)
                .map_err(|what| Error::Unsupported { path: file.clone(), what })?;
        }
        slices.push(slice);
    }
    let Some(first) = slices.first() else { return Err(unsupported("it has no slices".into())) };
    let [along, down] = first.directions;
    let normal: [f64; 3] = std::array::from_fn(|at| {
        let (a, b) = ((at + 1) % 3, (at + 2) % 3);
        along[a] * down[b] - along[b] * down[a]
    });
    let height = |slice: &Slice| (0..3).map(|at| slice.position[at] * normal[at]).sum::<f64>();
    slices.sort_by(|a, b| height(a).total_cmp(&height(b)));
    let step = step(&slices, &normal, height).map_err(unsupported)?;
    let first = &slices[0];
    // From the patient's left and back to right and front: the signs of two axes.
    let signs = [-1.0, -1.0, 1.0];
    let affine = std::array::from_fn(|line| {
        let sign = signs[line];
        [
            sign * along[line] * first.spacing[0],
            sign * down[line] * first.spacing[1],
            sign * step[line],
            sign * first.position[line],
        ]
    });
    let lengths = [first.lengths[0], first.lengths[1], slices.len()];
    let (stored, scales) = (first.stored, slices.iter().map(|slice| slice.scale).collect());
    let mut bytes = Vec::with_capacity(total as usize);
    slices.into_iter().for_each(|slice| bytes.extend(slice.pixels));
    Ok(Volume { grid: Grid { lengths, affine }, stored, order: Order::Little, bytes, scales })
}

/// Says how a slice differs from the first one, if both cannot be of one volume.
fn belongs(first: &Slice, slice: &Slice) -> Result<(), String> {
    if slice.series != first.series {
        return Err("a slice of another series; a folder has one".into());
    }
    if (slice.lengths, slice.stored) != (first.lengths, first.stored) {
        let ([width, height], [columns, rows]) = (slice.lengths, first.lengths);
        return Err(format!(
            "a slice of {width} x {height} pixels, the first has {columns} x {rows}, or another type"
        ));
    }
    let apart =
        |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let turned = slice.directions.iter().zip(&first.directions).map(|(a, b)| apart(a, b));
    if turned.fold(0.0, f64::max) > DIRECTION_TOLERANCE
        || apart(&slice.spacing, &first.spacing) > DIRECTION_TOLERANCE
    {
        return Err("a slice of another orientation or spacing than the first, a localizer?".into());
    }
    Ok(())
}

/// From one slice to the next, in millimetres.
fn step(
    slices: &[Slice],
    normal: &[f64; 3],
    height: impl Fn(&Slice) -> f64,
) -> Result<[f64; 3], String> {
    let (first, last) = (&slices[0], &slices[slices.len() - 1]);
    let n = slices.len() as f64 - 1.0;
    if slices.len() == 1 {
        let thickness = first.thickness.filter(|thickness| *thickness > 0.0).unwrap_or(1.0);
        return Ok(normal.map(|part| part * thickness));
    }
    let distance = (height(last) - height(first)) / n;
    if !distance.is_normal() {
        return Err("slices without a distance; they lie at one place".into());
    }
    for (at, slice) in slices.iter().enumerate() {
        let place = (height(slice) - height(first)) / distance;
        if (place - at as f64).abs() > GAP_TOLERANCE {
            return Err(format!(
                "slices at uneven distances: slice {} of {} lies where number {:.2} belongs; one is \
                 missing or twice there",
                at + 1,
                slices.len(),
                place + 1.0
            ));
        }
    }
    Ok(std::array::from_fn(|at| (last.position[at] - first.position[at]) / n))
}
