//! Metrics on held-out rows, from scores and targets that the plan never saw
//! together. They are scikit-learn's: sums run in float64 in ascending row, and
//! a number that is not finite is left out. Rows may come in several chunks:
//! classes are counted; sums of reals are added up chunk by chunk.

use std::collections::BTreeMap;

use fedwasm_params::Tensor;
use fedwasm_protocol::{Metric, Metrics};

use crate::variance::RunningVariance;

/// The class that precision, recall and F1 are of where there are two
/// (scikit-learn's `pos_label`).
const POSITIVE: i64 = 1;
/// Columns of scores up to which a plan tells two classes apart.
const BINARY_COLUMNS_MAX: usize = 2;

/// The reason why scores do not fit the targets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadScores {
    #[error("it returned scores for {got} rows, expected {given}")]
    Rows { got: usize, given: usize },
    #[error("it predicts {got} numbers a row, expected one for each of {expected} targets")]
    Outputs { got: usize, expected: usize },
    /// The class comes from a row: this text stays at the node.
    #[error("its scores have {columns} columns, but the target has class {class}")]
    NoColumn { columns: usize, class: i64 },
}

/// Targets of some rows.
#[derive(Clone, Debug)]
pub(crate) enum Targets {
    /// A class a row.
    Classes(Vec<i64>),
    /// Some reals a row, row-major.
    Reals(Vec<f32>),
}

/// The counts and sums from which the standard metrics are computed.
///
/// Classes: `accuracy`, `precision`, `recall` and `f1_score`. A row is said to
/// be of the class with the largest score, the first of equals; with one
/// column, a score above 0.5 is class 1. The plan's columns decide what the
/// last three metrics are, not the labels that a site happens to have: with one or
/// two columns they are those of class 1 (`average='binary'`), with more the
/// mean over the classes, weighted with the rows of each
/// (`average='weighted'`; a class without rows weighs nothing). A share of no
/// rows is 0 (`zero_division=0`), but where no row at all is of class 1 the
/// three are meaningless and left out.
/// Fed-BioMed 6 looks at the targets alone, and takes the smaller of two
/// classes, 0 of 0 and 1, where scikit-learn and this take 1.
///
/// Reals: `mean_square_error`, `mean_absolute_error` and `explained_variance`
/// of every output by itself. The names of several outputs end in `_1`, `_2`
/// and so on, as with Fed-BioMed.
#[derive(Clone, Debug)]
pub(crate) enum Scores {
    /// Rows by class.
    Classes(Labels),
    /// Sums by output.
    Reals(Vec<Output>),
}

impl Scores {
    /// No rows of `n_outputs` reals each.
    pub(crate) fn reals(n_outputs: usize) -> Self {
        Self::Reals(vec![Output::default(); n_outputs])
    }

    /// Adds `predictions`, float32 [rows, columns] batch after batch, in the
    /// order of `targets`.
    ///
    /// # Errors
    /// [`BadScores`].
    pub(crate) fn add(
        &mut self,
        predictions: &[Tensor],
        targets: &Targets,
    ) -> Result<(), BadScores> {
        match (self, targets) {
            (Self::Classes(all), Targets::Classes(classes)) => {
                let columns = predictions.iter().map(n_columns).max().unwrap_or_default();
                all.columns = all.columns.max(columns);
                for (class, label) in labels(predictions, classes)? {
                    let all = all.by_class.entry(class).or_default();
                    all.are += label.are;
                    all.said += label.said;
                    all.both += label.both;
                }
            }
            (Self::Reals(all), Targets::Reals(reals)) => {
                let n = all.len().max(1);
                let said = outputs(predictions, n)?;
                check_rows(said.len() / n, reals.len() / n)?;
                for (at, output) in all.iter_mut().enumerate() {
                    let targets = reals.iter().skip(at).step_by(n).map(|real| f64::from(*real));
                    output.add(targets, said.iter().skip(at).step_by(n).copied());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The metrics of all rows.
    pub(crate) fn finish(&self) -> Metrics {
        match self {
            Self::Classes(labels) => classification(labels),
            Self::Reals(outputs) => regression(outputs),
        }
    }
}

/// Rows by class, as a plan with so many columns of scores sees them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    columns: usize,
    by_class: BTreeMap<i64, Label>,
}

/// Rows of one class.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Label {
    /// Rows of the class.
    are: u64,
    /// Rows said to be of the class.
    said: u64,
    /// Rows of the class and said to be.
    both: u64,
}

impl Label {
    fn precision(&self) -> f64 {
        share(self.both, self.said)
    }

    fn recall(&self) -> f64 {
        share(self.both, self.are)
    }

    fn f1_score(&self) -> f64 {
        share(2 * self.both, self.are + self.said)
    }
}

fn share(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        _ => part as f64 / whole as f64,
    }
}

/// Counts the rows of every class that occurs among targets or predictions.
fn labels(predictions: &[Tensor], classes: &[i64]) -> Result<BTreeMap<i64, Label>, BadScores> {
    let mut labels: BTreeMap<i64, Label> = BTreeMap::new();
    let mut n_rows = 0;
    for scores in predictions {
        let n_columns = n_columns(scores).max(1);
        for row in scores.floats().unwrap_or_default().chunks_exact(n_columns) {
            n_rows += 1;
            // All rows are counted even if they are too many, for the error.
            let Some(&class) = classes.get(n_rows - 1) else { continue };
            let has_column = usize::try_from(class).is_ok_and(|class| class < n_columns);
            if n_columns > 1 && !has_column {
                return Err(BadScores::NoColumn { columns: n_columns, class });
            }
            let said = predicted_class(row);
            labels.entry(class).or_default().are += 1;
            let label = labels.entry(said).or_default();
            label.said += 1;
            label.both += u64::from(said == class);
        }
    }
    check_rows(n_rows, classes.len())?;
    Ok(labels)
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

fn classification(Labels { columns, by_class }: &Labels) -> Metrics {
    let n: u64 = by_class.values().map(|label| label.are).sum();
    if n == 0 {
        return Metrics::new();
    }
    let average = |score: fn(&Label) -> f64| match columns {
        0..=BINARY_COLUMNS_MAX => by_class.get(&POSITIVE).filter(|label| label.are > 0).map(score),
        _ => {
            let weighted = by_class.values().map(|label| label.are as f64 * score(label));
            Some(weighted.sum::<f64>() / n as f64)
        }
    };
    let right: u64 = by_class.values().map(|label| label.both).sum();
    let metrics = [
        (Metric::Accuracy, Some(share(right, n))),
        (Metric::Precision, average(Label::precision)),
        (Metric::Recall, average(Label::recall)),
        (Metric::F1Score, average(Label::f1_score)),
    ];
    let named = |(metric, value): (Metric, Option<f64>)| Some((metric.key().to_owned(), value?));
    metrics.into_iter().filter_map(named).collect()
}

/// The names of the metrics of classes.
pub(crate) fn of_classes() -> impl Iterator<Item = String> {
    let all = [Metric::Accuracy, Metric::Precision, Metric::Recall, Metric::F1Score];
    all.into_iter().map(|metric| metric.key().to_owned())
}

/// The names of the metrics of so many outputs.
pub(crate) fn of_reals(n_outputs: usize) -> impl Iterator<Item = String> {
    let of = move |at: usize| {
        let all = [Metric::MeanSquareError, Metric::MeanAbsoluteError, Metric::ExplainedVariance];
        all.map(|metric| of_output(metric, at, n_outputs))
    };
    (0..n_outputs).flat_map(of)
}

/// The name of a metric of the output `at` of `n`.
fn of_output(metric: Metric, at: usize, n: usize) -> String {
    match n {
        1 => metric.key().to_owned(),
        _ => format!("{}_{}", metric.key(), at + 1),
    }
}

/// Returns all rows of `predictions`, row-major.
fn outputs(predictions: &[Tensor], n_outputs: usize) -> Result<Vec<f64>, BadScores> {
    let mut outputs = Vec::new();
    for scores in predictions {
        let got = n_columns(scores);
        if got != n_outputs {
            return Err(BadScores::Outputs { got, expected: n_outputs });
        }
        outputs.extend(scores.floats().unwrap_or_default());
    }
    Ok(outputs)
}

/// Sums over the rows of one output.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Output {
    n: u64,
    squares: f64,
    absolutes: f64,
    differences: RunningVariance,
    targets: RunningVariance,
}

impl Output {
    fn add(
        &mut self,
        targets: impl Iterator<Item = f64> + Clone,
        said: impl Iterator<Item = f64> + Clone,
    ) {
        let differences = targets.clone().zip(said).map(|(target, said)| target - said);
        self.n += targets.clone().count() as u64;
        self.squares += differences.clone().map(|value| value * value).sum::<f64>();
        self.absolutes += differences.clone().map(f64::abs).sum::<f64>();
        self.differences.join(spread(differences));
        self.targets.join(spread(targets));
    }
}

fn regression(outputs: &[Output]) -> Metrics {
    let mut metrics = Metrics::new();
    for (at, output) in outputs.iter().enumerate() {
        let n = output.n as f64;
        let (left, total) = (output.differences.variance(), output.targets.variance());
        for (metric, value) in [
            (Metric::MeanSquareError, output.squares / n),
            (Metric::MeanAbsoluteError, output.absolutes / n),
            (Metric::ExplainedVariance, explained_variance(left, total)),
        ] {
            metrics.insert(of_output(metric, at, outputs.len()), value);
        }
    }
    metrics.retain(|_, value| value.is_finite());
    metrics
}

/// Returns the explained share of a variance that is `total`, of which `left`
/// is not explained (`force_finite=True`); NaN if either overflowed.
fn explained_variance(left: f64, total: f64) -> f64 {
    if !left.is_finite() || !total.is_finite() {
        return f64::NAN;
    }
    match (left == 0.0, total == 0.0) {
        (true, _) => 1.0,
        (false, true) => 0.0,
        (false, false) => 1.0 - left / total,
    }
}

/// Sums up some values.
fn spread(values: impl Iterator<Item = f64> + Clone) -> RunningVariance {
    // Counted from the first value, so that equal values have variance zero,
    // however their sum is rounded.
    let first = values.clone().next().unwrap_or_default();
    let from_first = values.map(|value| value - first);
    let (sum, n) = from_first.clone().fold((0.0, 0u64), |(sum, n), value| (sum + value, n + 1));
    let middle = sum / n as f64;
    let squares = from_first.map(|value| (value - middle) * (value - middle)).sum();
    RunningVariance { n: n as f64, mean: first + middle, squares }
}

fn n_columns(scores: &Tensor) -> usize {
    scores.shape().last().map_or(1, |columns| *columns as usize)
}

fn check_rows(got: usize, given: usize) -> Result<(), BadScores> {
    if got == given { Ok(()) } else { Err(BadScores::Rows { got, given }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by tests/oracles/metrics_sklearn.py.
    const SKLEARN: &str = include_str!("../../../tests/data/metrics_sklearn.json");

    #[derive(serde::Deserialize)]
    struct Oracle {
        classification: Vec<Case>,
        regression: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        columns: usize,
        scores: Vec<f64>,
        targets: Vec<f64>,
        metrics: Metrics,
    }

    impl Case {
        /// The scores in batches of seven rows.
        fn batches(&self) -> Vec<Tensor> {
            let scores: Vec<f32> = self.scores.iter().map(|score| *score as f32).collect();
            scores.chunks(7 * self.columns).map(|batch| tensor(self.columns, batch)).collect()
        }

        fn check(&self, got: &Metrics) {
            let name = &self.name;
            assert!(got.keys().eq(self.metrics.keys()), "{name}: {got:?}");
            for (key, expected) in &self.metrics {
                let distance = (got[key] - expected).abs();
                let far = distance.is_nan() || distance > 1e-9 * expected.abs().max(1.0);
                assert!(!far, "{name}: {key} is {}, expected {expected}", got[key]);
            }
        }
    }

    /// The metrics of all rows at once; reals have as many outputs as columns.
    fn standard(predictions: &[Tensor], targets: &Targets) -> Result<Metrics, BadScores> {
        let mut scores = match targets {
            Targets::Classes(_) => Scores::Classes(Labels::default()),
            Targets::Reals(_) => Scores::reals(1),
        };
        scores.add(predictions, targets)?;
        Ok(scores.finish())
    }

    fn regression(said: &[f64], targets: &[f64], n_outputs: usize) -> Metrics {
        let mut outputs = vec![Output::default(); n_outputs];
        for (at, output) in outputs.iter_mut().enumerate() {
            let of = |values: &[f64]| {
                values.iter().skip(at).step_by(n_outputs).copied().collect::<Vec<_>>()
            };
            output.add(of(targets).into_iter(), of(said).into_iter());
        }
        super::regression(&outputs)
    }

    fn oracle() -> Oracle {
        serde_json::from_str(SKLEARN).unwrap()
    }

    fn tensor(columns: usize, values: &[f32]) -> Tensor {
        let rows = (values.len() / columns) as u64;
        Tensor::from_f32(vec![rows, columns as u64], values).unwrap()
    }

    fn classes(columns: usize, scores: &[f32], classes: &[i64]) -> Result<Metrics, BadScores> {
        standard(&[tensor(columns, scores)], &Targets::Classes(classes.to_vec()))
    }

    #[test]
    fn classification_equals_scikit_learn() {
        let cases = oracle().classification;
        assert_eq!(cases.len(), 29);
        for case in cases {
            let classes = case.targets.iter().map(|class| *class as i64).collect();
            case.check(&standard(&case.batches(), &Targets::Classes(classes)).unwrap());
            let mut scores = Scores::Classes(Labels::default());
            let batches = case.batches();
            for (batch, targets) in batches.iter().zip(case.targets.chunks(7)) {
                let classes = targets.iter().map(|class| *class as i64).collect();
                scores.add(std::slice::from_ref(batch), &Targets::Classes(classes)).unwrap();
            }
            case.check(&scores.finish());
        }
    }

    #[test]
    fn regression_equals_scikit_learn() {
        let cases = oracle().regression;
        assert_eq!(cases.len(), 15);
        for case in cases {
            case.check(&regression(&case.scores, &case.targets, case.columns));
            // Also in chunks of one batch each.
            let mut scores = Scores::reals(case.columns);
            let batches = case.batches();
            for (batch, targets) in batches.iter().zip(case.targets.chunks(7 * case.columns)) {
                let reals = targets.iter().map(|real| *real as f32).collect();
                scores.add(std::slice::from_ref(batch), &Targets::Reals(reals)).unwrap();
            }
            case.check(&scores.finish());
        }
    }

    #[test]
    fn accuracy_takes_the_largest_score_and_the_first_of_equals() {
        let scores = [0.1, 0.7, 0.2, 0.5, 0.5, 0.0, 3.0, 1.0, 2.0];
        let metrics = classes(3, &scores, &[1, 0, 2]).unwrap();
        assert_eq!(metrics["accuracy"], 2.0 / 3.0);
    }

    #[test]
    fn one_column_is_a_threshold() {
        let metrics = classes(1, &[0.5, 0.51, -1.0], &[0, 1, 1]).unwrap();
        assert_eq!(metrics["accuracy"], 2.0 / 3.0);
        assert_eq!((metrics["precision"], metrics["recall"]), (1.0, 0.5));
    }

    /// The meaning of a metric does not follow from the labels that a site happens to have.
    #[test]
    fn labels_of_a_site_do_not_change_what_a_metric_means() {
        // A plan of three classes, all of the site's rows right.
        let of_0 = classes(3, &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0], &[0, 0]).unwrap();
        let of_1_and_2 = classes(3, &[0.0, 1.0, 0.0, 0.0, 0.0, 1.0], &[1, 2]).unwrap();
        for metrics in [of_0, of_1_and_2] {
            assert!(metrics.len() == 4 && metrics.values().all(|value| *value == 1.0));
        }
    }

    #[test]
    fn without_positives_there_is_no_f1() {
        for scores in [[1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]] {
            let metrics = classes(2, &scores, &[0, 0]).unwrap();
            assert_eq!(metrics.keys().collect::<Vec<_>>(), ["accuracy"]);
        }
        let none_said = classes(2, &[1.0, 0.0, 1.0, 0.0], &[0, 1]).unwrap();
        assert_eq!((none_said["f1_score"], none_said["precision"]), (0.0, 0.0));
    }

    #[test]
    fn class_without_a_column_is_an_error() {
        for class in [2, -1, i64::MAX] {
            let result = classes(2, &[0.0, 1.0], &[class]);
            assert!(
                matches!(result, Err(BadScores::NoColumn { columns: 2, class: got }) if got == class)
            );
        }
    }

    #[test]
    fn other_columns_than_outputs_are_an_error() {
        for columns in [0, 2, 3] {
            let scores = Tensor::from_f32(vec![1, columns as u64], &vec![0.5; columns]).unwrap();
            let result = standard(&[scores], &Targets::Reals(vec![1.0]));
            assert!(
                matches!(result, Err(BadScores::Outputs { got, expected: 1 }) if got == columns)
            );
        }
    }

    #[test]
    fn other_rows_than_targets_are_an_error() {
        for targets in [Targets::Classes(vec![0, 1]), Targets::Reals(vec![0.0, 1.0])] {
            for n_rows in [0, 1, 3] {
                let scores = tensor(1, &vec![0.5; n_rows]);
                let Err(BadScores::Rows { got, given: 2 }) = standard(&[scores], &targets) else {
                    panic!("{n_rows} rows for {targets:?}");
                };
                assert_eq!(got, n_rows);
            }
            assert!(standard(&[], &targets).is_err());
        }
    }

    #[test]
    fn scores_of_any_shape_and_type_do_not_panic() {
        let hostile = [
            Tensor::from_f32(vec![], &[f32::NAN]),
            Tensor::from_f32(vec![1], &[f32::INFINITY]),
            Tensor::from_f32(vec![1, 0], &[]),
            Tensor::from_f32(vec![1, 2], &[f32::NAN, f32::NEG_INFINITY]),
            Tensor::from_f32(vec![1, 2, 1], &[0.0, 1.0]),
            Tensor::from_i64(vec![1, 1], &[1]),
        ];
        for scores in hostile.map(Result::unwrap) {
            for targets in [Targets::Classes(vec![0]), Targets::Reals(vec![0.0])] {
                if let Ok(metrics) = standard(std::slice::from_ref(&scores), &targets) {
                    assert!(metrics.values().all(|value| value.is_finite()), "{metrics:?}");
                }
            }
        }
    }

    #[test]
    fn number_that_is_not_finite_is_left_out() {
        let metrics = regression(&[-1e200, 0.0], &[1e200, 0.0], 1);
        assert_eq!(metrics, Metrics::from([("mean_absolute_error".to_owned(), 1e200)]));
        let metrics = regression(&[f64::NAN, 1.0], &[0.0, 0.0], 2);
        assert!(metrics.keys().all(|key| key.ends_with("_2")) && metrics.len() == 3);
    }

    #[test]
    fn no_rows_have_no_metrics() {
        for targets in [Targets::Classes(vec![]), Targets::Reals(vec![])] {
            assert_eq!(standard(&[], &targets).unwrap(), Metrics::new());
        }
    }

    // explained_variance_score([0.1] * 13, [0.4] * 13) = -63, as the means are
    // rounded. A target of float32 has an exact mean.
    #[test]
    fn equal_differences_have_no_variance() {
        let metrics = regression(&[0.4; 13], &[0.1; 13], 1);
        assert_eq!(metrics["explained_variance"], 1.0);
    }
}
