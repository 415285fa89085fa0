//! Metrics on held-out rows, from scores and targets that the plan never saw
//! together.

use fedwasm_params::Tensor;
use fedwasm_protocol::{Metric, Metrics};

use crate::Error;
use crate::examples::Targets;

/// Computes the standard metrics of `predictions`, float32 [rows, columns]
/// batch after batch, in the order of `targets`. Sums run in float64 in
/// ascending row.
///
/// Classes: `accuracy`, the share of rows whose largest score (the first of
/// equals) is at the target; with one column, a score above 0.5 is class 1.
/// Reals: `mean_square_error` and `mean_absolute_error` of the first column.
pub(crate) fn standard(predictions: &[Tensor], targets: &Targets) -> Result<Metrics, Error> {
    let rows = predictions.iter().flat_map(|scores| {
        let columns = scores.shape().last().map_or(1, |columns| *columns as usize).max(1);
        let floats = scores.floats().unwrap_or_default();
        floats.chunks_exact(columns).map(<[f64]>::to_vec).collect::<Vec<_>>()
    });
    match targets {
        Targets::Classes(classes) => {
            let mut right = 0u64;
            for (scores, class) in rows.zip(classes) {
                if scores.len() > 1 && *class as usize >= scores.len() {
                    return Err(Error::Scores { columns: scores.len(), class: *class });
                }
                right += u64::from(predicted_class(&scores) == *class);
            }
            let accuracy = right as f64 / classes.len() as f64;
            Ok(Metrics::from([(Metric::Accuracy.key().to_owned(), accuracy)]))
        }
        Targets::Reals(reals) => {
            let (mut squares, mut absolutes) = (0.0, 0.0);
            for (scores, real) in rows.zip(reals) {
                let difference = scores[0] - f64::from(*real);
                squares += difference * difference;
                absolutes += difference.abs();
            }
            let n = reals.len() as f64;
            Ok(Metrics::from([
                (Metric::MeanSquareError.key().to_owned(), squares / n),
                (Metric::MeanAbsoluteError.key().to_owned(), absolutes / n),
            ]))
        }
    }
}

fn predicted_class(scores: &[f64]) -> i64 {
    match scores {
        [score] => i64::from(*score > 0.5),
        _ => {
            let mut best = 0;
            for (class, score) in scores.iter().enumerate() {
                if *score > scores[best] {
                    best = class;
                }
            }
            best as i64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(columns: u64, values: &[f32]) -> Tensor {
        Tensor::from_f32(vec![values.len() as u64 / columns, columns], values).unwrap()
    }

    // sklearn.metrics.accuracy_score([1, 0, 2], [1, 0, 0]) = 2/3
    #[test]
    fn accuracy_takes_the_largest_score_and_the_first_of_equals() {
        let batches = [scores(3, &[0.1, 0.7, 0.2, 0.5, 0.5, 0.0]), scores(3, &[3.0, 1.0, 2.0])];
        let metrics = standard(&batches, &Targets::Classes(vec![1, 0, 2])).unwrap();
        assert!((metrics["accuracy"] - 2.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn one_column_is_a_threshold() {
        let metrics =
            standard(&[scores(1, &[0.5, 0.51, -1.0])], &Targets::Classes(vec![0, 1, 1])).unwrap();
        assert!((metrics["accuracy"] - 2.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn class_without_a_column_is_an_error() {
        let result = standard(&[scores(2, &[0.0, 1.0])], &Targets::Classes(vec![2]));
        assert!(matches!(result, Err(Error::Scores { columns: 2, class: 2 })));
    }

    // sklearn.metrics.mean_squared_error([1, 2], [1.5, 4]) = 2.125
    // sklearn.metrics.mean_absolute_error([1, 2], [1.5, 4]) = 1.25
    #[test]
    fn errors_equal_scikit_learn() {
        let metrics = standard(&[scores(1, &[1.5, 4.0])], &Targets::Reals(vec![1.0, 2.0])).unwrap();
        assert_eq!((metrics["mean_square_error"], metrics["mean_absolute_error"]), (2.125, 1.25));
    }
}
