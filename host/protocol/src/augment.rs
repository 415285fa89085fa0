//! Changes of training rows that are drawn anew each time a row is given: `[data.augment]`.

use serde::{Deserialize, Serialize};

use crate::{Fields, Mistake, sentences};

/// The most pixels by which rows are moved along an axis.
pub const CROP_MAX: u32 = 1_024;
/// The largest standard deviation of noise, and the largest factor and shift of intensities.
pub const AUGMENT_MAX: f64 = 1e6;

/// Changes of training rows that are drawn anew each time a row is given. They follow each other in
/// the order of the fields here, and are for inputs with axes of space: height and width, and depth
/// of volumes. Targets on the same grid, such as masks, are moved with them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// The inputs that are changed; all with axes of space if none are named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Axes that are reversed, each with probability 1/2.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flip: Vec<Axis>,
    /// Whether height and width are turned by 0, 90, 180 or 270 degrees, with equal probability.
    #[serde(skip_serializing_if = "is_false")]
    pub rotate90: bool,
    /// By how many pixels rows are moved at most, along each axis and in both directions: the
    /// window of their size that is cut from rows padded with their edges. At most [`CROP_MAX`].
    #[serde(skip_serializing_if = "is_zero")]
    pub crop: u32,
    /// The factor and the shift of all values of an input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intensity: Option<Intensity>,
    /// The standard deviation of normal noise on each value, in units of the scaled input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<f64>,
}

/// An axis of space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// The first of three: from foot to head.
    Depth,
    /// The last but one.
    Height,
    /// The last.
    Width,
}

/// Values become `value * factor + shift`, with a factor and a shift that are drawn for each row
/// and input from these ranges, evenly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Intensity {
    /// The least and the greatest factor.
    pub scale: [f64; 2],
    /// The least and the greatest shift, in units of the scaled input.
    pub shift: [f64; 2],
}

impl Default for Intensity {
    fn default() -> Self {
        Self { scale: [1.0, 1.0], shift: [0.0, 0.0] }
    }
}

const AXES: [(&str, Axis); 3] =
    [("depth", Axis::Depth), ("height", Axis::Height), ("width", Axis::Width)];

impl Augment {
    /// Whether rows stay as they are.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether pixels are moved.
    pub fn is_geometric(&self) -> bool {
        !self.flip.is_empty() || self.rotate90 || self.crop > 0
    }

    /// Checks the numbers of one that another program wrote.
    ///
    /// # Errors
    /// All mistakes.
    pub fn check(&self) -> Result<(), String> {
        let mut fields = Fields::new("data.augment", toml::Table::new());
        self.rules(&mut fields);
        match fields.finish() {
            mistakes if mistakes.is_empty() => Ok(()),
            mistakes => Err(sentences(&mistakes, "; ")),
        }
    }

    /// Reads a table by itself.
    ///
    /// # Errors
    /// All mistakes.
    pub fn parse(table: toml::Table) -> Result<Self, Vec<Mistake>> {
        let mut data =
            Fields::new("data", toml::Table::from_iter([("augment".into(), table.into())]));
        let augment = Self::take(&mut data);
        match data.finish() {
            mistakes if mistakes.is_empty() => Ok(augment),
            mistakes => Err(mistakes),
        }
    }

    /// Takes `augment`.
    pub(crate) fn take(fields: &mut Fields) -> Self {
        let is_given = fields.has("augment");
        let mut table = fields.table("augment");
        let flip = table.texts("flip").unwrap_or_default();
        let mut axes = Vec::new();
        for name in &flip {
            match AXES.iter().find(|(known, _)| known == name) {
                Some((_, axis)) if !axes.contains(axis) => axes.push(*axis),
                Some(_) => table.mistake_in("flip", name, format!("has `{name}` twice")),
                None => {
                    let what = format!("has `{name}`; axes are depth, height and width");
                    table.mistake_in("flip", name, what);
                }
            }
        }
        let augment = Self {
            fields: table.texts("fields").unwrap_or_default(),
            flip: axes,
            rotate90: table.boolean("rotate90").unwrap_or(false),
            crop: table.whole_until("crop", 0, CROP_MAX.into()).unwrap_or(0) as u32,
            intensity: table.read("intensity"),
            noise: table.real("noise", "a number, at least 0", |_| true),
        };
        let mistakes_before = table.is_wrong("flip") || table.is_wrong("intensity");
        augment.rules(&mut table);
        let is_idle = Self { fields: vec![], ..augment.clone() }.is_none();
        if is_given && is_idle && flip.is_empty() && !mistakes_before {
            let what = "says no change of rows; name flip, rotate90, crop, intensity or noise";
            fields.mistake("augment", what);
        }
        fields.absorb(table);
        augment
    }

    /// Adds mistakes about values.
    fn rules(&self, table: &mut Fields) {
        if self.crop > CROP_MAX {
            table.mistake("crop", format!("is {}, at most {CROP_MAX}", self.crop));
        }
        if let Some(noise) = self.noise
            && !(0.0..=AUGMENT_MAX).contains(&noise)
        {
            table.mistake("noise", format!("is {noise}, expected 0 to {AUGMENT_MAX}"));
        }
        let of = self.intensity.unwrap_or_default();
        for (key, [low, high]) in [("intensity.scale", of.scale), ("intensity.shift", of.shift)] {
            let is_bounded = |value: f64| value.abs() <= AUGMENT_MAX;
            if !(is_bounded(low) && is_bounded(high) && low <= high) {
                let what = "expected two numbers, the smaller one first";
                table.mistake(key, format!("is [{low}, {high}], {what}"));
            }
        }
    }
}

// serde's signature.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Augment, String> {
        Augment::parse(toml::from_str(text).unwrap()).map_err(|all| sentences(&all, "\n"))
    }

    #[test]
    fn changes_are_read_and_written_alike() {
        let text = "fields = ['scan']\nflip = ['width', 'depth']\nrotate90 = true\ncrop = 4\n\
                    noise = 0.05\nintensity = { scale = [0.9, 1.1] }";
        let augment = parse(text).unwrap();
        assert_eq!(augment.flip, [Axis::Width, Axis::Depth]);
        let intensity = Intensity { scale: [0.9, 1.1], shift: [0.0, 0.0] };
        assert_eq!(augment.intensity, Some(intensity));
        let json = serde_json::to_string(&augment).unwrap();
        assert_eq!(serde_json::from_str::<Augment>(&json).unwrap(), augment);
        let again = toml::to_string(&augment).unwrap();
        assert_eq!(parse(&again).unwrap(), augment);
        assert_eq!(serde_json::to_string(&Augment::default()).unwrap(), "{}");
        assert!(Augment::default().is_none() && Augment::default().check().is_ok());
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("", "`data.augment` says no change of rows"),
            ("fields = ['a']", "says no change of rows"),
            ("flip = ['left']", "`data.augment.flip` has `left`; axes are depth, height and width"),
            ("flip = ['width', 'width']", "has `width` twice"),
            ("flip = 'width'", "expected a list: [\"width\"]"),
            ("crop = 1025", "expected a whole number from 0 to 1024"),
            ("noise = -0.1", "`data.augment.noise` is -0.1, expected 0 to 1000000"),
            ("intensity = { scale = [1.1, 0.9] }", "`data.augment.intensity.scale` is [1.1, 0.9]"),
            ("intensity = { shfit = [0, 1] }", "unknown field `shfit`"),
            ("rotate = true", "`data.augment.rotate` is unknown; did you mean `rotate90`?"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let noise = Augment { noise: Some(f64::NAN), ..Augment::default() };
        assert!(noise.check().unwrap_err().contains("`data.augment.noise` is NaN"));
        let crop = Augment { crop: u32::MAX, ..Augment::default() };
        assert!(crop.check().unwrap_err().contains("`data.augment.crop` is 4294967295"));
    }
}
