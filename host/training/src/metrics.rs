//! Metrics on held-out rows, from scores and targets that the plan never saw
//! together. They are scikit-learn's: sums run in float64 in ascending row, and
//! a number that is not finite is left out. Rows may come in several chunks:
//! classes are counted; sums of reals are added up chunk by chunk.

use fedwasm_params::Tensor;
use fedwasm_protocol::{ClassSums, MaskSums, Metric, Metrics, RealSums, ScoreSums};

use crate::probabilities::Probabilities;

/// The reason why scores do not fit the targets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadScores {
    #[error("it returned scores for {got} rows, expected {given}")]
    Rows { got: usize, given: usize },
    #[error("it predicts {got} numbers a row, expected one for each of {expected} targets")]
    Outputs { got: usize, expected: usize },
    #[error("its scores have {got} columns, after {before} in an earlier batch")]
    Columns { got: usize, before: usize },
    #[error("its scores have {got} numbers a row, expected as many for each of {voxels} voxels")]
    Voxels { got: usize, voxels: usize },
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
    /// A mask a row, int64, batch after batch.
    Masks(Vec<Tensor>),
}

/// The kind of targets that metrics use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetKind {
    /// One class a row.
    Class,
    /// Reals.
    Reals,
    /// A mask a row.
    Mask,
}

/// The counts and sums from which the standard metrics are computed.
///
/// Classes: [`Metric::OF_CLASSES`]. A row is said to be of the class with the largest score, the
/// first of equals; with one column, a score above 0.5 is class 1. `roc_auc` and `pr_auc` rank rows by
/// the score of class 1, with two columns by its distance from that of class 0; `log_loss` and
/// `brier_score` are of the scores where these are probabilities, else of their softmax.
///
/// Reals: [`Metric::OF_REALS`] of every output by itself. The names of several outputs end in `_1`,
/// `_2` and so on, as with Fed-BioMed.
///
/// Masks: [`Metric::OF_MASKS`]. The scores of a row are those of class 0 for all voxels, then those of
/// class 1, and so on; a voxel is said to be of a class as a row is.
#[derive(Debug)]
pub(crate) enum Scores {
    /// Sums over rows with a class; none before the first row.
    Classes(Option<Box<Classes>>),
    /// Sums by output.
    Reals(Vec<RealSums>),
    /// Sums over rows with a mask of so many voxels; none before the first row.
    Masks(usize, Option<MaskSums>),
}

/// Sums over rows with a class.
#[derive(Debug)]
pub(crate) struct Classes {
    sums: ClassSums,
    probabilities: Probabilities,
}

impl Scores {
    /// No rows with a class each.
    pub(crate) fn classes() -> Self {
        Self::Classes(None)
    }

    /// No rows of `n_outputs` reals each.
    pub(crate) fn reals(n_outputs: usize) -> Self {
        Self::Reals(vec![RealSums::default(); n_outputs])
    }

    /// No rows of so many voxels each.
    pub(crate) fn masks(voxels: usize) -> Self {
        Self::Masks(voxels, None)
    }

    /// The kind of their targets.
    pub(crate) fn kind(&self) -> TargetKind {
        match self {
            Self::Classes(_) => TargetKind::Class,
            Self::Reals(_) => TargetKind::Reals,
            Self::Masks(..) => TargetKind::Mask,
        }
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
                let mut targets = classes.iter();
                let mut n_rows = 0;
                for scores in predictions {
                    n_rows += add_classes(all, scores, &mut targets)?;
                }
                check_rows(n_rows, classes.len())?;
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
            (Self::Masks(voxels, all), Targets::Masks(masks)) => {
                let rows = |of: &Tensor| of.shape().first().map_or(0, |rows| *rows as usize);
                let total = |all: &[Tensor]| all.iter().map(rows).sum();
                check_rows(total(predictions), total(masks))?;
                for (scores, mask) in predictions.iter().zip(masks) {
                    check_rows(rows(scores), rows(mask))?;
                    add_masks(all, *voxels, scores, mask)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The metrics of all rows, and the sums that they follow from, if these are within the bounds of
    /// [`ScoreSums::checked`].
    pub(crate) fn finish(self) -> (Metrics, Option<ScoreSums>) {
        let (sums, areas) = match self {
            Self::Classes(None) => return (Metrics::new(), None),
            Self::Classes(Some(all)) => {
                let Classes { sums, probabilities } = *all;
                let (sums, areas) = probabilities.finish(sums);
                (ScoreSums::Classes(sums), areas)
            }
            Self::Reals(outputs) => (ScoreSums::Reals(outputs), None),
            Self::Masks(_, None) => return (Metrics::new(), None),
            Self::Masks(_, Some(sums)) => (ScoreSums::Masks(sums), None),
        };
        let mut metrics = match &areas {
            Some(_) => sums.metrics_but_areas(),
            None => sums.metrics(),
        };
        metrics.extend(areas.unwrap_or_default());
        metrics.retain(|_, value| value.is_finite());
        (metrics, sums.checked())
    }
}

/// Adds a batch; returns its rows. All are counted even if they are too many, for the error.
fn add_classes<'a>(
    all: &mut Option<Box<Classes>>,
    scores: &Tensor,
    targets: &mut impl Iterator<Item = &'a i64>,
) -> Result<usize, BadScores> {
    let columns = n_columns(scores).max(1);
    let scores = scores.floats().unwrap_or_default();
    let (mut rows, n_rows) = (scores.chunks_exact(columns), scores.len() / columns);
    let all = match n_rows {
        0 => return Ok(0),
        _ => all.get_or_insert_with(|| {
            let (sums, probabilities) = (ClassSums::new(columns), Probabilities::new(columns));
            Box::new(Classes { sums, probabilities })
        }),
    };
    if all.sums.columns != columns {
        return Err(BadScores::Columns { got: columns, before: all.sums.columns });
    }
    for (row, class) in rows.by_ref().zip(targets) {
        let known = usize::try_from(*class).ok().filter(|class| *class < all.sums.n_classes());
        if columns > 1 && known.is_none_or(|class| class >= columns) {
            return Err(BadScores::NoColumn { columns, class: *class });
        }
        all.sums.count(known, predicted_class(row));
        all.probabilities.add(row, known);
    }
    Ok(n_rows)
}

/// Adds a batch of masks of `voxels` voxels each.
fn add_masks(
    all: &mut Option<MaskSums>,
    voxels: usize,
    scores: &Tensor,
    masks: &Tensor,
) -> Result<(), BadScores> {
    let got = n_columns(scores);
    let columns = got.checked_div(voxels).filter(|n| *n > 0 && n * voxels == got);
    let columns = columns.ok_or(BadScores::Voxels { got, voxels })?;
    let all = all.get_or_insert_with(|| MaskSums::new(columns));
    if all.columns != columns {
        return Err(BadScores::Columns { got: columns, before: all.columns });
    }
    let scores = scores.floats().unwrap_or_default();
    let (masks, _) = masks.data().as_chunks();
    let mut row_of_voxel = vec![0.0; columns];
    for (scores, mask) in scores.chunks_exact(got).zip(masks.chunks_exact(voxels)) {
        all.rows += 1;
        for (at, class) in mask.iter().enumerate() {
            for (score, of_class) in
                row_of_voxel.iter_mut().zip(scores.iter().skip(at).step_by(voxels))
            {
                *score = *of_class;
            }
            let class = i64::from_le_bytes(*class);
            let known = usize::try_from(class).ok().filter(|class| *class < all.n_classes());
            let known = known.ok_or(BadScores::NoColumn { columns, class })?;
            all.count(known, predicted_class(&row_of_voxel));
        }
    }
    Ok(())
}

pub(crate) fn predicted_class(scores: &[f64]) -> usize {
    match scores {
        [score] => usize::from(*score > 0.5),
        _ => {
            let mut best = 0;
            for (class, score) in scores.iter().enumerate() {
                if *score > scores[best] {
                    best = class;
                }
            }
            best
        }
    }
}

/// The names of the metrics of classes.
pub(crate) fn of_classes() -> impl Iterator<Item = String> {
    Metric::OF_CLASSES.into_iter().map(|metric| metric.key().to_owned())
}

/// The names of the metrics of masks.
pub(crate) fn of_masks() -> impl Iterator<Item = String> {
    Metric::OF_MASKS.into_iter().map(|metric| metric.key().to_owned())
}

/// The names of the metrics of so many outputs.
pub(crate) fn of_reals(n_outputs: usize) -> impl Iterator<Item = String> {
    let of = move |at: usize| Metric::OF_REALS.map(|metric| metric.of_output(at, n_outputs));
    (0..n_outputs).flat_map(of)
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
        pooled: Vec<Pooled>,
    }

    #[derive(serde::Deserialize)]
    struct Pooled {
        name: String,
        columns: usize,
        sites: Vec<Site>,
        metrics: Metrics,
        report: Option<Report>,
    }

    #[derive(serde::Deserialize)]
    struct Site {
        scores: Vec<f64>,
        targets: Vec<f64>,
    }

    #[derive(serde::Deserialize)]
    struct Report {
        confusion: Vec<Vec<u64>>,
        classes: Vec<[f64; 4]>,
        averages: std::collections::BTreeMap<String, [f64; 3]>,
        calibration: Vec<[f64; 3]>,
    }

    impl Report {
        fn check(&self, name: &str, sums: &ScoreSums) {
            let got = sums.report().unwrap();
            if let Some(confusion) = &got.confusion {
                assert_eq!(*confusion, self.confusion, "{name}");
            }
            let of_class = got
                .classes
                .iter()
                .map(|of| [of.precision, of.recall, of.f1_score, of.support as f64]);
            near(name, &of_class.collect::<Vec<_>>(), &self.classes);
            let averages = got.averages.iter().map(|of| [of.precision, of.recall, of.f1_score]);
            let expected = got.averages.iter().map(|of| self.averages[of.average]);
            assert_eq!(got.averages.len(), self.averages.len());
            near(name, &averages.collect::<Vec<_>>(), &expected.collect::<Vec<_>>());
            let bins = got.calibration.iter();
            let bins = bins.map(|bin| [bin.rows as f64, bin.mean_score, bin.positives]);
            near(name, &bins.collect::<Vec<_>>(), &self.calibration);
        }
    }

    fn near<const N: usize>(name: &str, got: &[[f64; N]], expected: &[[f64; N]]) {
        assert_eq!(got.len(), expected.len(), "{name}: {got:?}");
        for (got, expected) in got.iter().flatten().zip(expected.iter().flatten()) {
            assert!((got - expected).abs() < 1e-9, "{name}: {got} {expected}");
        }
    }

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        columns: usize,
        scores: Vec<f64>,
        targets: Vec<f64>,
        metrics: Metrics,
        #[serde(default)]
        report: Option<Report>,
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

    /// The metrics of all rows at once; reals have one output.
    fn standard(predictions: &[Tensor], targets: &Targets) -> Result<Metrics, BadScores> {
        let mut scores = match targets {
            Targets::Classes(_) => Scores::classes(),
            Targets::Reals(_) => Scores::reals(1),
            Targets::Masks(_) => Scores::masks(1),
        };
        scores.add(predictions, targets)?;
        Ok(scores.finish().0)
    }

    fn regression(said: &[f64], targets: &[f64], n_outputs: usize) -> Metrics {
        let mut outputs = vec![RealSums::default(); n_outputs];
        for (at, output) in outputs.iter_mut().enumerate() {
            let of = |values: &[f64]| {
                values.iter().skip(at).step_by(n_outputs).copied().collect::<Vec<_>>()
            };
            output.add(of(targets).into_iter(), of(said).into_iter());
        }
        Scores::Reals(outputs).finish().0
    }

    fn batch_of(columns: usize, scores: &[f64]) -> Tensor {
        let scores: Vec<f32> = scores.iter().map(|score| *score as f32).collect();
        tensor(columns, &scores)
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
        assert_eq!(cases.len(), 34);
        for case in cases {
            let classes = case.targets.iter().map(|class| *class as i64).collect();
            case.check(&standard(&case.batches(), &Targets::Classes(classes)).unwrap());
            let mut scores = Scores::classes();
            let batches = case.batches();
            for (batch, targets) in batches.iter().zip(case.targets.chunks(7)) {
                let classes = targets.iter().map(|class| *class as i64).collect();
                scores.add(std::slice::from_ref(batch), &Targets::Classes(classes)).unwrap();
            }
            let (metrics, sums) = scores.finish();
            case.check(&metrics);
            if let Some(report) = &case.report {
                report.check(&case.name, &sums.unwrap());
            }
        }
    }

    /// Sums of five sites have the metrics of all rows, one site without class 1 among them; areas are
    /// off by their error at most.
    #[test]
    fn sums_of_sites_have_the_metrics_of_all_rows() {
        let cases = oracle().pooled;
        assert_eq!(cases.len(), 7);
        for Pooled { name, columns, sites, metrics, report } in cases {
            let sums_of = |site: &Site| {
                let is_classes = site.scores.len() == columns * site.targets.len();
                let mut scores =
                    if is_classes { Scores::classes() } else { Scores::reals(columns) };
                let targets = match is_classes {
                    true => Targets::Classes(site.targets.iter().map(|t| *t as i64).collect()),
                    false => Targets::Reals(site.targets.iter().map(|t| *t as f32).collect()),
                };
                scores.add(&[batch_of(columns, &site.scores)], &targets).unwrap();
                scores.finish().1.unwrap()
            };
            let sites: Vec<ScoreSums> = sites.iter().map(sums_of).collect();
            assert_eq!(sites.len(), 5);
            let all = ScoreSums::joined(sites.iter()).unwrap();
            let mut got = all.metrics();
            for key in ["roc_auc", "pr_auc"] {
                let Some(expected) = metrics.get(key) else { continue };
                let (value, error) =
                    (got.remove(key).unwrap(), got.remove(&format!("{key}_error")).unwrap());
                let apart = (value - expected).abs();
                assert!(apart <= error + 1e-12, "{name}: {key} {value} ± {error}");
                // Scores outside [0, 1] share the first and the last bin.
                let most = if name.contains("one column") { 0.3 } else { 0.05 };
                assert!(error < most, "{name}: {key} {error}");
            }
            for (key, expected) in metrics.iter().filter(|(key, _)| !key.ends_with("_auc")) {
                let value = got.remove(key).unwrap();
                assert!((value - expected).abs() < 1e-9, "{name}: {key} {value} {expected}");
            }
            assert!(got.is_empty(), "{name}: {got:?}");
            if let Some(report) = report {
                report.check(&name, &all);
            }
        }
    }

    #[derive(serde::Deserialize)]
    struct MaskCase {
        name: String,
        columns: usize,
        voxels: usize,
        sites: Vec<MaskSite>,
        metrics: Metrics,
        classes: Vec<[f64; 5]>,
        averages: std::collections::BTreeMap<String, [f64; 4]>,
    }

    #[derive(serde::Deserialize)]
    struct MaskSite {
        scores: Vec<f64>,
        masks: Vec<i64>,
    }

    /// Scores and masks of rows of so many voxels.
    fn masks_of(columns: usize, voxels: usize, site: &MaskSite) -> (Tensor, Tensor) {
        let n_rows = (site.masks.len() / voxels) as u64;
        let scores: Vec<f32> = site.scores.iter().map(|score| *score as f32).collect();
        let width = (columns * voxels) as u64;
        let masks = Tensor::from_i64(vec![n_rows, voxels as u64], &site.masks).unwrap();
        (Tensor::from_f32(vec![n_rows, width], &scores).unwrap(), masks)
    }

    /// Made by tests/oracles/masks_sklearn.py: the sums of five sites have the Dice and IoU of all
    /// voxels in one place.
    #[test]
    fn sums_of_masks_have_the_dice_and_iou_of_all_rows() {
        let cases = include_str!("../../../tests/data/masks_sklearn.json");
        let cases: Vec<MaskCase> = serde_json::from_str(cases).unwrap();
        assert_eq!(cases.len(), 7);
        for case in cases {
            let MaskCase { name, columns, voxels, sites, metrics, .. } = &case;
            let sums = sites.iter().map(|site| {
                let mut all = Scores::masks(*voxels);
                let (scores, masks) = masks_of(*columns, *voxels, site);
                all.add(&[scores], &Targets::Masks(vec![masks])).unwrap();
                all.finish().1.unwrap()
            });
            let sums: Vec<ScoreSums> = sums.collect();
            assert_eq!(sums.len(), 5);
            let all = ScoreSums::joined(sums.iter()).unwrap().checked().unwrap();
            let got = all.metrics();
            assert!(got.keys().eq(metrics.keys()), "{name}: {got:?}");
            for (key, expected) in metrics {
                assert!(
                    (got[key] - expected).abs() < 1e-12,
                    "{name}: {key} {} {expected}",
                    got[key]
                );
            }
            let report = all.report().unwrap();
            let of_class = report.classes.iter().map(|of| {
                let support = of.support as f64;
                [of.precision, of.recall, of.f1_score, of.iou.unwrap(), support]
            });
            near(name, &of_class.collect::<Vec<_>>(), &case.classes);
            for of in &report.averages {
                let got = [of.precision, of.recall, of.f1_score, of.iou.unwrap()];
                near(name, &[got], &[case.averages[of.average]]);
            }
            assert_eq!(report.averages.len(), 3);
        }
    }

    #[test]
    fn masks_that_do_not_fit_are_refused() {
        let add = |columns: usize, voxels: usize, masks: &[i64]| {
            let site = MaskSite { scores: vec![0.0; columns * masks.len()], masks: masks.to_vec() };
            let (scores, masks) = masks_of(columns, voxels, &site);
            Scores::masks(4).add(&[scores], &Targets::Masks(vec![masks]))
        };
        assert_eq!(add(2, 4, &[0, 1, 1, 0]), Ok(()));
        assert_eq!(add(2, 4, &[0, 1, 2, 0]), Err(BadScores::NoColumn { columns: 2, class: 2 }));
        assert_eq!(add(2, 4, &[0, -1, 0, 0]), Err(BadScores::NoColumn { columns: 2, class: -1 }));
        assert_eq!(add(2, 3, &[0, 1, 1]), Err(BadScores::Voxels { got: 6, voxels: 4 }));
        let (scores, masks) = masks_of(2, 4, &MaskSite { scores: vec![0.0; 8], masks: vec![0; 4] });
        let two = Targets::Masks(vec![masks.clone(), masks]);
        let said = Scores::masks(4).add(&[scores], &two);
        assert_eq!(said, Err(BadScores::Rows { got: 1, given: 2 }));
    }

    /// Every class has its column, and the sums stay within their bound.
    #[test]
    fn sums_of_a_thousand_classes_are_bounded() {
        for (k, leave) in [(1_000, true), (1_024, true), (1_025, false)] {
            let mut scores = Scores::classes();
            for class in 0..k as i64 {
                let mut row = vec![0.0; k];
                row[class as usize] = 1.0;
                scores.add(&[batch_of(k, &row)], &Targets::Classes(vec![class])).unwrap();
            }
            let (metrics, sums) = scores.finish();
            assert_eq!((metrics["accuracy"], metrics["balanced_accuracy"]), (1.0, 1.0));
            assert_eq!(sums.is_some(), leave);
            if let Some(sums) = sums {
                let bytes = serde_json::to_vec(&sums).unwrap().len();
                assert!(bytes < 8 << 10, "{bytes}");
                assert_eq!(sums.report().unwrap().confusion, None);
            }
        }
    }

    #[test]
    fn areas_of_more_rows_than_are_kept_have_an_error() {
        let half = |n: usize| (0..n).map(|row| (row % 97) as f64 / 97.0).collect::<Vec<_>>();
        let mut scores = Scores::classes();
        for _ in 0..3 {
            let classes = (0..400_000).map(|row| i64::from(row % 97 % 3 == 0)).collect();
            scores.add(&[batch_of(1, &half(400_000))], &Targets::Classes(classes)).unwrap();
        }
        let (metrics, _) = scores.finish();
        assert!(metrics["roc_auc_error"] < 0.01 && metrics["roc_auc"] < 0.6, "{metrics:?}");
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
            case.check(&scores.finish().0);
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
            let names = ["accuracy", "balanced_accuracy", "precision", "recall", "f1_score"];
            assert!(names.into_iter().all(|name| metrics[name] == 1.0), "{metrics:?}");
            assert!(metrics["brier_score"] == 0.0 && metrics.len() == 7, "{metrics:?}");
        }
    }

    #[test]
    fn without_positives_there_is_no_f1() {
        for scores in [[1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]] {
            let metrics = classes(2, &scores, &[0, 0]).unwrap();
            let names = ["accuracy", "balanced_accuracy", "brier_score", "log_loss"];
            assert_eq!(metrics.keys().collect::<Vec<_>>(), names);
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
    fn batches_with_other_columns_are_an_error() {
        let batches = [tensor(2, &[0.0, 1.0]), tensor(3, &[0.0, 1.0, 0.0])];
        let result = standard(&batches, &Targets::Classes(vec![1, 1]));
        assert_eq!(result, Err(BadScores::Columns { got: 3, before: 2 }));
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
            let mask = Targets::Masks(vec![Tensor::from_i64(vec![1, 1], &[0]).unwrap()]);
            for targets in [Targets::Classes(vec![0]), Targets::Reals(vec![0.0]), mask] {
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
        let metrics = regression(&[f64::NAN, 1.0, 0.0, 2.0], &[0.0, 0.0, 0.0, 1.0], 2);
        assert!(metrics.keys().all(|key| key.ends_with("_2")) && metrics.len() == 4);
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
