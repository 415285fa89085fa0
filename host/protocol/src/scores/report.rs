//! Sums of scores as people and programs read them.

use serde::Serialize;

use super::classes::{ClassCounts, ClassSums, Reading};
use super::masks::MaskSums;
use super::{ScoreSums, classes::CALIBRATION_BINS};

/// Scores of classes, of which metrics are means.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreReport {
    /// Rows by class (one a row) and by the class that they are said to be of; absent with many
    /// classes. One row more than classes has the rows of other classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Vec<Vec<u64>>>,
    /// The things that are counted: `rows`, or the `voxels` of masks.
    pub of: &'static str,
    /// Each class.
    pub classes: Vec<ClassScores>,
    /// Means over the classes.
    pub averages: Vec<Average>,
    /// The meaning of the scores; absent where nodes differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
    /// How probabilities of class 1 match the rows, in bins that have some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calibration: Vec<Calibrated>,
}

/// Scores of a class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClassScores {
    /// The class.
    pub class: usize,
    /// The share of the rows said to be of it that are; 0 of none.
    pub precision: f64,
    /// The share of its rows that were found; 0 of none.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1_score: f64,
    /// Of masks, the share of the voxels of either that are of both; 0 of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iou: Option<f64>,
    /// Its rows, or voxels.
    pub support: u64,
}

/// A mean over the classes that have rows or were said.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Average {
    /// `micro`: all rows count alike; `macro`: all classes do; `weighted`: by their rows.
    pub average: &'static str,
    /// Of precisions.
    pub precision: f64,
    /// Of recalls.
    pub recall: f64,
    /// Of F1 scores.
    pub f1_score: f64,
    /// Of masks, of the shares that both have of either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iou: Option<f64>,
}

/// Rows with probabilities in a bin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Calibrated {
    /// The upper edge of the bin; it is 0.1 wide.
    pub until: f64,
    /// Rows.
    pub rows: u64,
    /// The mean of their probabilities of class 1.
    pub mean_score: f64,
    /// The share of them that are of class 1.
    pub positives: f64,
}

impl ScoreSums {
    /// The scores of classes that metrics are means of; none of reals.
    pub fn report(&self) -> Option<ScoreReport> {
        match self {
            Self::Classes(sums) => Some(ScoreReport::of(sums)),
            Self::Masks(sums) => Some(ScoreReport::of_masks(sums)),
            Self::Reals(_) => None,
        }
    }
}

impl ScoreReport {
    fn of(sums: &ClassSums) -> Self {
        let counts = sums.classes();
        let bins = sums.likelihood.iter().flat_map(|sums| sums.calibration.iter().enumerate());
        let calibrated = bins.filter(|(_, bin)| bin.rows > 0).map(|(nth, bin)| Calibrated {
            until: (nth + 1) as f64 / CALIBRATION_BINS as f64,
            rows: bin.rows,
            mean_score: bin.scores / bin.rows as f64,
            positives: bin.positives as f64 / bin.rows as f64,
        });
        Self {
            confusion: sums.confusion().map(<[Vec<u64>]>::to_vec),
            of: "rows",
            classes: scores(&counts, false),
            averages: averages(sums.rows, &counts, false),
            reading: sums.reading,
            calibration: calibrated.collect(),
        }
    }

    fn of_masks(sums: &MaskSums) -> Self {
        let counts = sums.classes();
        let n = counts.iter().map(|class| class.are).fold(0, u64::saturating_add);
        Self {
            confusion: None,
            of: "voxels",
            classes: scores(&counts, true),
            averages: averages(n, &counts, true),
            reading: None,
            calibration: Vec::new(),
        }
    }
}

fn scores(counts: &[ClassCounts], of_masks: bool) -> Vec<ClassScores> {
    let of = |(class, counts): (usize, &ClassCounts)| ClassScores {
        class,
        precision: counts.precision(),
        recall: counts.recall(),
        f1_score: counts.f1_score(),
        iou: of_masks.then(|| counts.iou()),
        support: counts.are,
    };
    counts.iter().enumerate().map(of).collect()
}

/// scikit-learn's averages over the labels that occur among targets or predictions of `n` rows.
fn averages(n: u64, counts: &[ClassCounts], of_masks: bool) -> Vec<Average> {
    let there: Vec<&ClassCounts> =
        counts.iter().filter(|one| one.are > 0 || one.said > 0).collect();
    let average = |average, weight: &dyn Fn(&ClassCounts) -> f64, whole: f64| {
        let mean = |of: fn(&ClassCounts) -> f64| {
            there.iter().map(|class| weight(class) * of(class)).sum::<f64>() / whole
        };
        Average {
            average,
            precision: mean(ClassCounts::precision),
            recall: mean(ClassCounts::recall),
            f1_score: mean(ClassCounts::f1_score),
            iou: of_masks.then(|| mean(ClassCounts::iou)),
        }
    };
    if n == 0 || there.is_empty() {
        return Vec::new();
    }
    // Every row has one class and one prediction, so all three are the share of rows that are right.
    let right = there.iter().map(|class| class.both as f64).sum::<f64>() / n as f64;
    // Of n rows in one class only, 2 n less those that are right are in either.
    let iou = of_masks.then(|| right / (2.0 - right));
    let micro = Average { average: "micro", precision: right, recall: right, f1_score: right, iou };
    let of_rows = there.iter().map(|class| class.are as f64).sum::<f64>();
    let mut all = vec![micro, average("macro", &|_| 1.0, there.len() as f64)];
    if of_rows > 0.0 {
        all.push(average("weighted", &|class| class.are as f64, of_rows));
    }
    all
}
