//! The sums of columns with rules, which sites also tell for the scales of a federation.

use fedwasm_dataset::Field;
use fedwasm_protocol::{ColumnSums, Scale};

use super::{ColumnFit, Scales};
use crate::prepared::Prepared;
use crate::preprocessing::scale_names;
use crate::treatment::Filled;

/// Scales of inputs with rules by their place in the layout, their sums, and what was done.
pub(super) type Fitted = (Scales, Vec<ColumnSums>, Prepared);

/// The scale of a column; with the sums that it is made of if it is that of a standard deviation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) mean: f64,
    pub(super) std: f64,
    pub(super) n: u64,
    pub(super) squares: f64,
    pub(super) varies: bool,
}

impl Default for Measured {
    fn default() -> Self {
        Self { mean: 0.0, std: 1.0, n: 0, squares: 0.0, varies: false }
    }
}

impl Measured {
    /// The sums of each value of a field: those of no values for all but the first, which alone is
    /// scaled.
    pub(super) fn sums(self, field: &Field) -> impl Iterator<Item = ColumnSums> {
        let names = scale_names([field]).into_iter().enumerate();
        names.map(move |(at, name)| {
            let Self { mean, n, squares, varies, .. } =
                if at == 0 { self } else { Self::default() };
            ColumnSums {
                name,
                n,
                missing: 0,
                mean,
                squares,
                varies,
                extremes: None,
                histogram: Vec::new(),
                categories: Vec::new(),
            }
        })
    }
}

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
    /// Why sums of sites do not make the scales of these columns, if they do not.
    pub(crate) fn unsummable(&self) -> Option<String> {
        self.columns.iter().filter(|column| !column.is_target).find_map(|column| {
            let what = if matches!(Filled::of(column.rule), Filled::Fitted(_)) {
                "`impute` by a statistic; write a number"
            } else if column.rule.scale == Some(Scale::MinMax) {
                "`scale = \"min-max\"`, which needs the values of single rows"
            } else {
                return None;
            };
            let name = &column.field.name;
            Some(format!(
                "`standardize` is \"federation\", and the rule of column `{name}` has {what}; \
                 or write `standardize = \"site\"`"
            ))
        })
    }
}
