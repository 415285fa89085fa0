//! What becomes of a value of an input or target by its column's rule, after the cell was read:
//! clip, impute, log1p, scale, in this order, in float64.

use fedwasm_dataset::Field;
use fedwasm_protocol::{ColumnKind, ColumnRule, Encode, Impute, OTHER, Scale, Standardize};

use crate::ColumnScale;

/// The steps of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Treatment {
    pub(crate) clip: Option<[f64; 2]>,
    /// What stands for a missing value.
    pub(crate) fill: Option<f64>,
    pub(crate) log1p: bool,
    pub(crate) mean: f64,
    pub(crate) std: f64,
}

impl Treatment {
    /// Scales alone.
    pub(crate) fn scaled(mean: f64, std: f64) -> Self {
        Self { clip: None, fill: None, log1p: false, mean, std }
    }

    /// The value `at` of a field with a rule. A flag is left as it is.
    pub(crate) fn new(rule: &ColumnRule, at: usize, scale: &ColumnScale) -> Self {
        let ColumnScale { mean, std, fill, .. } = *scale;
        if is_flag(rule, at) {
            return Self::scaled(mean, std);
        }
        Self { clip: rule.clip, fill, log1p: rule.log1p, mean, std }
    }

    /// A value that is not scaled yet; NaN if it is missing and stays so.
    pub(crate) fn number(&self, value: f64) -> f64 {
        let value = match self.clip {
            // NaN stays.
            Some([low, high]) => value.clamp(low, high),
            None => value,
        };
        let value = if value.is_nan() { self.fill.unwrap_or(f64::NAN) } else { value };
        // The same bits on every machine, unlike the logarithm of the operating system.
        if self.log1p { libm::log1p(value) } else { value }
    }

    /// A value for the plan, before it is rounded to float32.
    pub(crate) fn apply(&self, value: f64) -> f64 {
        (self.number(value) - self.mean) / self.std
    }
}

/// Whether the value `at` of a field says that it was missing.
fn is_flag(rule: &ColumnRule, at: usize) -> bool {
    rule.flag_missing && at + 1 == rule.width()
}

/// How a field with a rule is scaled.
pub(crate) fn scale_of(rule: &ColumnRule, standardize: Standardize) -> Scale {
    match (rule.is_measured(), rule.scale, standardize) {
        (false, ..) => Scale::None,
        (true, Some(scale), _) => scale,
        (true, None, Standardize::None) => Scale::None,
        (true, None, Standardize::Site | Standardize::Federation) => Scale::Standard,
    }
}

/// What stands for a missing value, as far as the rule alone says it: a number, or the place of a
/// category. A flag says enough of a one-hot category.
pub(crate) enum Filled {
    /// Nothing: a missing value is an error.
    Nothing,
    /// All values of a one-hot category are 0.
    Zeros,
    /// This number or place.
    With(f64),
    /// A statistic of the training rows.
    Fitted(Statistic),
}

/// A statistic of the values that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statistic {
    Mean,
    Median,
    MostFrequent,
}

impl Filled {
    pub(crate) fn of(rule: &ColumnRule) -> Self {
        match &rule.impute {
            None if rule.flag_missing && is_one_hot(rule) => Self::Zeros,
            None => Self::Nothing,
            Some(Impute::Mean) => Self::Fitted(Statistic::Mean),
            Some(Impute::Median) => Self::Fitted(Statistic::Median),
            Some(Impute::MostFrequent) => Self::Fitted(Statistic::MostFrequent),
            Some(Impute::Constant(constant)) => Self::With(*constant),
            Some(Impute::ConstantText(text)) => match &rule.kind {
                ColumnKind::Category { values, .. } => {
                    let place = values.iter().position(|value| value == text);
                    // The text is listed, or it is `other` and unknown texts are a category.
                    debug_assert!(place.is_some() || text == OTHER);
                    Self::With(place.unwrap_or(values.len()) as f64)
                }
                _ => Self::Nothing,
            },
        }
    }
}

pub(crate) fn is_one_hot(rule: &ColumnRule) -> bool {
    matches!(rule.kind, ColumnKind::Category { encode: Encode::OneHot, .. })
}

/// The fill of each value of a field, of a number or the place of a category; none of a flag.
pub(crate) fn fills(rule: &ColumnRule, field: &Field, with: Option<f64>) -> Vec<Option<f64>> {
    let fill = |at: usize| match (with, is_one_hot(rule)) {
        _ if is_flag(rule, at) => None,
        (None, _) => None,
        (Some(place), true) => Some(f64::from(u8::from(at as f64 == place))),
        (Some(value), false) => Some(value),
    };
    (0..field.width()).map(fill).collect()
}
