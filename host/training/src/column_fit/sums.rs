//! Columns with rules whose scales are those of a federation.

use std::collections::HashMap;

use fedwasm_protocol::{Scale, Standardize};

use super::ColumnFit;
use crate::exact_fit::Steps;
use crate::treatment::{Filled, Statistic, scale_of};

/// A sum that loses no more than a rounding (Neumaier 1974).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) n: u64,
    sum: f64,
    lost: f64,
}

impl Sum {
    pub(super) fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost += if self.sum.abs() >= value.abs() {
            (self.sum - sum) + value
        } else {
            (value - sum) + self.sum
        };
        (self.sum, self.n) = (sum, self.n + 1);
    }

    pub(super) fn total(&self) -> f64 {
        self.sum + self.lost
    }

    pub(super) fn mean(&self) -> f64 {
        self.total() / self.n as f64
    }
}

impl ColumnFit<'_> {
    /// What becomes of the values of inputs with rules before they are added up, by place in the layout.
    /// A value that only a statistic of all sites replaces stays missing.
    pub(crate) fn steps(&self) -> HashMap<usize, Steps> {
        let of = |column: &super::Column<'_>| match scale_of(column.rule, Standardize::Federation) {
            Scale::None => Steps::Still,
            Scale::Standard => Steps::Number(column.treatment()),
            Scale::MinMax => Steps::Range(column.treatment()),
        };
        let inputs = self.columns.iter().filter(|column| !column.is_target);
        inputs.map(|column| (column.at, of(column))).collect()
    }

    /// Why sums of sites do not make the scales of these columns, if they do not.
    pub(crate) fn unsummable(&self) -> Option<String> {
        self.columns.iter().filter(|column| !column.is_target).find_map(|column| {
            let scale = scale_of(column.rule, Standardize::Federation);
            let what = match Filled::of(column.rule) {
                Filled::Fitted(Statistic::Mean) if scale != Scale::None && !column.rule.log1p => {
                    None
                }
                Filled::Fitted(Statistic::Mean) => {
                    Some("`impute = \"mean\"` beside `log1p` or without a scale; write a number")
                }
                Filled::Fitted(_) => Some(
                    "`impute` by a statistic that sums do not tell; write a number, or `\"mean\"`",
                ),
                _ => None,
            };
            let (name, what) = (&column.field.name, what?);
            Some(format!(
                "`standardize` is \"federation\", and the rule of column `{name}` has {what}; \
                 or write `standardize = \"site\"`"
            ))
        })
    }
}
