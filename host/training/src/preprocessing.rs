//! Scaling of inputs, and the file that tells how.

use serde::{Deserialize, Serialize};

use crate::Error;

/// How inputs were scaled before a plan saw them, column by column;
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
    pub fn identity(names: &[String]) -> Self {
        let scale = |name: &String| ColumnScale { name: name.clone(), mean: 0.0, std: 1.0 };
        Self { columns: names.iter().map(scale).collect() }
    }

    /// Fits mean and standard deviation (divisor n, as scikit-learn's
    /// `StandardScaler`) of each column over the rows `rows` of `inputs`,
    /// row-major float64. Two passes in float64 in ascending row; a constant
    /// column has std 1.
    pub fn fit(names: &[String], inputs: &[f64], rows: &[usize]) -> Self {
        let n = names.len();
        let mean_of = |column: usize, term: &dyn Fn(f64) -> f64| {
            let terms = rows.iter().map(|row| term(inputs[row * n + column]));
            terms.sum::<f64>() / rows.len() as f64
        };
        let scale = |(column, name): (usize, &String)| {
            let mean = mean_of(column, &|x| x);
            let std = mean_of(column, &|x| (x - mean) * (x - mean)).sqrt();
            // Rounding can leave a trace of spread in a constant column.
            let first = rows.first().map(|row| inputs[row * n + column]);
            let constant = rows.iter().all(|row| Some(inputs[row * n + column]) == first);
            let std = if constant || !std.is_normal() { 1.0 } else { std };
            ColumnScale { name: name.clone(), mean, std }
        };
        Self { columns: names.iter().enumerate().map(scale).collect() }
    }

    /// Returns the scales of these columns, in this order.
    ///
    /// # Errors
    /// [`Error::Preprocessing`] if one is absent or cannot be divided by.
    pub fn arranged(&self, names: &[String]) -> Result<Self, Error> {
        let scale = |name: &String| {
            let usable = |scale: &&ColumnScale| {
                scale.name == *name && scale.mean.is_finite() && scale.std.is_normal()
            };
            let found = self.columns.iter().find(usable).cloned();
            found.ok_or_else(|| Error::Preprocessing { column: name.clone() })
        };
        Ok(Self { columns: names.iter().map(scale).collect::<Result<_, _>>()? })
    }

    /// Scales one row in float64 and rounds once to float32.
    pub(crate) fn apply(&self, row: &[f64], into: &mut Vec<f32>) {
        let scaled = row.iter().zip(&self.columns);
        into.extend(scaled.map(|(x, scale)| ((x - scale.mean) / scale.std) as f32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // sklearn.preprocessing.StandardScaler().fit([[1., 5.], [2., 5.], [4., 5.]])
    // mean_ [2.33333333, 5.], scale_ [1.24721913, 1.]
    #[test]
    fn fit_equals_scikit_learn() {
        let names = ["a".to_owned(), "b".to_owned()];
        let inputs = [1.0, 5.0, 2.0, 5.0, 4.0, 5.0, 1e9, 1e9];
        let fitted = Preprocessing::fit(&names, &inputs, &[0, 1, 2]);
        let [a, b] = &fitted.columns[..] else { panic!("two columns") };
        assert!((a.mean - 2.333_333_333_333).abs() < 1e-12, "{}", a.mean);
        assert!((a.std - 1.247_219_128_924_6).abs() < 1e-12, "{}", a.std);
        assert_eq!((b.mean, b.std), (5.0, 1.0));
    }

    #[test]
    fn constant_column_that_rounds_badly_has_std_1() {
        let fitted = Preprocessing::fit(&["a".to_owned()], &[0.1; 7], &[0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(fitted.columns[0].std, 1.0);
    }

    #[test]
    fn scales_follow_the_names() {
        let names = ["a".to_owned(), "b".to_owned()];
        let fitted = Preprocessing::fit(&names, &[1.0, 2.0, 3.0, 6.0], &[0, 1]);
        let swapped = fitted.arranged(&["b".to_owned(), "a".to_owned()]).unwrap();
        assert_eq!(swapped.columns[0].mean, 4.0);
        assert!(matches!(
            fitted.arranged(&["c".to_owned()]),
            Err(Error::Preprocessing { column }) if column == "c"
        ));
    }
}
