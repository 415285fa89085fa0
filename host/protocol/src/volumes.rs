//! How a site wants its volumes read: said once when a folder is registered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The least spacing of voxels, in millimetres.
const SPACING_MIN: f64 = 1e-3;
/// The greatest.
const SPACING_MAX: f64 = 1e3;
/// Modalities that are masks unless a setting says otherwise: the names of Fed-BioMed's examples, and the
/// suffixes of BIDS.
const MASKS: [&str; 4] = ["label", "mask", "seg", "dseg"];

/// How a folder of subjects becomes rows: which volumes, on which grid, with which values. Axes are
/// depth (from foot to head), height (from back to front) and width (from left to right).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Volumes {
    /// Voxels along depth, height and width; those of the files if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<[u32; 3]>,
    /// Millimetres from one voxel to the next, along depth, height and width. Without a shape, it
    /// follows from the extent of each volume; with one, volumes are cut or padded around their middle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spacing: Option<[f64; 3]>,
    /// What becomes of a subject that lacks a modality, or a line of the table.
    pub missing: Missing,
    /// The table of the subjects, a file in the folder. `participants.tsv` of BIDS if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The column of the table that has the subjects' folders. `participant_id` of BIDS if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The modalities that are read; all of the folder if empty.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub modalities: BTreeMap<String, Modality>,
    /// Modalities that are not read though a folder has them; never in a file.
    #[serde(skip)]
    pub without: Vec<String>,
}

/// What becomes of a subject that lacks something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// The folder is refused, with the number of such subjects.
    #[default]
    Refuse,
    /// The subject is left out, and their number is told.
    Skip,
}

/// How the volumes of a modality are read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Modality {
    /// Whether values are classes of voxels. If absent, by the name: `label`, `mask`, `seg` and
    /// `dseg` are, alone or behind a low line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<VolumeKind>,
    /// Values below the first become the first, those above the second the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<[f64; 2]>,
    /// How values are scaled, volume by volume, after the window.
    pub normalize: Normalize,
    /// Which volume of a series in one file, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<u64>,
}

/// The meaning of the values of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeKind {
    /// Measurements: values between voxels are interpolated.
    Image,
    /// Classes of voxels: whole numbers, from the nearest voxel.
    Mask,
}

/// How values of a volume are scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalize {
    /// As they are.
    #[default]
    None,
    /// Mean 0 and standard deviation 1 (divisor n) over the voxels of the volume that is read.
    ZScore,
}

impl Volumes {
    /// Whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The same without the modalities of these names, which new subjects need not have.
    #[must_use]
    pub fn without(mut self, names: &[&String]) -> Self {
        self.modalities.retain(|name, _| !names.contains(&name));
        self.without = names.iter().map(|name| (*name).clone()).collect();
        self
    }

    /// Says which setting cannot be, and why.
    ///
    /// # Errors
    /// A text about the first mistake.
    pub fn check(&self) -> Result<(), String> {
        if let Some(shape) = self.shape.filter(|shape| shape.contains(&0)) {
            return Err(format!("`shape` is {shape:?}; each length is 1 or more"));
        }
        let is_length = |length: &f64| (SPACING_MIN..=SPACING_MAX).contains(length);
        if let Some(spacing) = self.spacing.filter(|spacing| !spacing.iter().all(is_length)) {
            let text = format!("`spacing` is {spacing:?}, in millimetres; each length is from");
            return Err(format!("{text} {SPACING_MIN} to {SPACING_MAX}"));
        }
        if let Some(table) = self.table.as_ref().filter(|table| table.contains(['/', '\\'])) {
            return Err(format!(
                "`table` is `{table}`; it must be the name of a file in the folder"
            ));
        }
        for (name, modality) in &self.modalities {
            if let Some([low, high]) = modality.window
                && !(low.is_finite() && high.is_finite() && low < high)
            {
                return Err(format!("`window` of `{name}` is [{low}, {high}]; low comes first"));
            }
            if modality.is_mask(name)
                && (modality.window.is_some() || modality.normalize != Normalize::None)
            {
                let text = format!("`{name}` is a mask, whose values are classes");
                return Err(format!("{text}: `window` and `normalize` do not go with it"));
            }
        }
        Ok(())
    }
}

impl Modality {
    /// Whether the values of a modality of this name are classes of voxels.
    pub fn is_mask(&self, name: &str) -> bool {
        let last = name.rsplit('_').next().unwrap_or(name);
        let by_name = MASKS.iter().any(|known| last.eq_ignore_ascii_case(known));
        self.kind.map_or(by_name, |kind| kind == VolumeKind::Mask)
    }
}
