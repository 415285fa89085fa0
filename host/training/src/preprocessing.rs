//! Scaling of inputs, and the file that tells how.

use fedwasm_dataset::Scale;
use serde::{Deserialize, Serialize};

use crate::Error;

/// How inputs were scaled before a plan saw them, column by column, an image
/// channel by channel;
/// `preprocessing.json`. Without it the parameters cannot be used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// The input columns in order.
    pub columns: Vec<ColumnScale>,
}

/// How one column was scaled: `(x - mean) / std`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnScale {
    /// The column.
    pub name: String,
    /// What is taken off.
    pub mean: f64,
    /// What is divided by; not 0.
    pub std: f64,
}

impl Preprocessing {
    /// Scales that change nothing.
    pub fn identity(scales: &[Scale]) -> Self {
        let column = |scale: &Scale| ColumnScale { name: scale.name.clone(), mean: 0.0, std: 1.0 };
        Self { columns: scales.iter().map(column).collect() }
    }

    /// Fits mean and standard deviation (divisor n, as scikit-learn's
    /// `StandardScaler`) of each column over rows of float64; the numbers of an
    /// image's channel count as one column. `rows` hands every row to what it
    /// is given, in the same order each time. Two passes in float64 in
    /// ascending row; a constant column has std 1.
    ///
    /// # Errors
    /// Those of `rows`.
    pub fn fit<E>(
        scales: &[Scale],
        mut rows: impl FnMut(&mut dyn FnMut(&[f64])) -> Result<(), E>,
    ) -> Result<Self, E> {
        // Sums start where an empty sum of floats does.
        let mut sums = vec![-0.0; scales.len()];
        let mut first: Vec<Option<f64>> = vec![None; scales.len()];
        let mut constant = vec![true; scales.len()];
        let mut n_rows = 0_u64;
        rows(&mut |row| {
            n_rows += 1;
            for (column, values) in of_columns(scales, row).enumerate() {
                let first = *first[column].get_or_insert(values.first().copied().unwrap_or(0.0));
                for value in values {
                    sums[column] += value;
                    constant[column] &= *value == first;
                }
            }
        })?;
        let n = |column: usize| n_rows as f64 * scales[column].n_values as f64;
        let means: Vec<f64> = sums.iter().enumerate().map(|(at, sum)| sum / n(at)).collect();
        sums.fill(-0.0);
        rows(&mut |row| {
            for (column, values) in of_columns(scales, row).enumerate() {
                let mean = means[column];
                values.iter().for_each(|x| sums[column] += (x - mean) * (x - mean));
            }
        })?;
        let columns = scales.iter().enumerate().map(|(at, scale)| {
            let std = (sums[at] / n(at)).sqrt();
            // Rounding can leave a trace of spread in a constant column.
            let std = if constant[at] || !std.is_normal() { 1.0 } else { std };
            ColumnScale { name: scale.name.clone(), mean: means[at], std }
        });
        Ok(Self { columns: columns.collect() })
    }

    /// Returns the scales of these columns, in this order.
    ///
    /// # Errors
    /// [`Error::Preprocessing`] if one is absent or cannot be divided by.
    pub fn arranged(&self, scales: &[Scale]) -> Result<Self, Error> {
        let scale = |Scale { name, .. }: &Scale| {
            let usable = |scale: &&ColumnScale| {
                scale.name == *name && scale.mean.is_finite() && scale.std.is_normal()
            };
            let found = self.columns.iter().find(usable).cloned();
            found.ok_or_else(|| Error::Preprocessing { column: name.clone() })
        };
        Ok(Self { columns: scales.iter().map(scale).collect::<Result<_, _>>()? })
    }

    /// Scales one row in float64 and rounds once to float32.
    pub(crate) fn apply(&self, scales: &[Scale], row: &[f64], into: &mut Vec<f32>) {
        for (values, ColumnScale { mean, std, .. }) in of_columns(scales, row).zip(&self.columns) {
            into.extend(values.iter().map(|x| ((x - mean) / std) as f32));
        }
    }
}

/// The numbers of a row, column by column.
fn of_columns<'a>(scales: &'a [Scale], row: &'a [f64]) -> impl Iterator<Item = &'a [f64]> {
    let mut rest = row;
    scales.iter().map(move |scale| {
        let (values, others) = rest.split_at(scale.n_values.min(rest.len()));
        rest = others;
        values
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Vec<Scale> {
        names.iter().map(|name| Scale { name: (*name).into(), n_values: 1 }).collect()
    }

    fn fit(scales: &[Scale], rows: &[&[f64]]) -> Preprocessing {
        let each = |take: &mut dyn FnMut(&[f64])| {
            rows.iter().for_each(|row| take(row));
            Ok::<(), std::convert::Infallible>(())
        };
        Preprocessing::fit(scales, each).unwrap()
    }

    // sklearn.preprocessing.StandardScaler().fit([[1., 5.], [2., 5.], [4., 5.]])
    // mean_ [2.33333333, 5.], scale_ [1.24721913, 1.]
    #[test]
    fn fit_equals_scikit_learn() {
        let fitted = fit(&columns(&["a", "b"]), &[&[1.0, 5.0], &[2.0, 5.0], &[4.0, 5.0]]);
        let [a, b] = &fitted.columns[..] else { panic!("two columns") };
        assert!((a.mean - 2.333_333_333_333).abs() < 1e-12, "{}", a.mean);
        assert!((a.std - 1.247_219_128_924_6).abs() < 1e-12, "{}", a.std);
        assert_eq!((b.mean, b.std), (5.0, 1.0));
    }

    #[test]
    fn pixels_of_a_channel_share_mean_and_std() {
        let channel = |name: &str| Scale { name: name.into(), n_values: 2 };
        let scales = [channel("x[0]"), channel("x[1]")];
        let rows: [&[f64]; 2] = [&[1.0, 2.0, 7.0, 7.0], &[3.0, 6.0, 7.0, 7.0]];
        let fitted = fit(&scales, &rows);
        assert_eq!((fitted.columns[0].mean, fitted.columns[0].std), (3.0, 3.5_f64.sqrt()));
        assert_eq!((fitted.columns[1].mean, fitted.columns[1].std), (7.0, 1.0));
        let mut scaled = Vec::new();
        fitted.apply(&scales, rows[1], &mut scaled);
        assert_eq!(scaled, [0.0, (3.0 / 3.5_f64.sqrt()) as f32, 0.0, 0.0]);
    }

    #[test]
    fn constant_column_that_rounds_badly_has_std_1() {
        let fitted = fit(&columns(&["a"]), &[&[0.1][..]; 7]);
        assert_eq!(fitted.columns[0].std, 1.0);
    }

    #[test]
    fn scales_follow_the_names() {
        let fitted = fit(&columns(&["a", "b"]), &[&[1.0, 2.0], &[3.0, 6.0]]);
        let swapped = fitted.arranged(&columns(&["b", "a"])).unwrap();
        assert_eq!(swapped.columns[0].mean, 4.0);
        assert!(matches!(
            fitted.arranged(&columns(&["c"])),
            Err(Error::Preprocessing { column }) if column == "c"
        ));
    }
}
