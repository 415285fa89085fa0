//! Sums over rows whose target is a class.

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::ranking::Ranking;
use super::{table, text};
use crate::{Metric, Metrics};

/// The most classes of which every pair of target and prediction is counted: 1,024 numbers.
pub const CONFUSION_CLASSES_MAX: usize = 32;
/// The most classes that are counted: three numbers each fit into a message.
pub const SUMMED_CLASSES_MAX: usize = 1_024;
/// The bins of a calibration, equally wide.
pub const CALIBRATION_BINS: usize = 10;
/// The class that precision, recall and F1 are of where there are two (scikit-learn's `pos_label`).
const POSITIVE: usize = 1;
/// Columns of scores up to which a plan tells two classes apart.
const BINARY_COLUMNS_MAX: usize = 2;
/// The most rows: sums of nodes stay far from 2^64.
pub(super) const ROWS_MAX: u64 = 1 << 53;

/// Sums over rows whose target is a class. With one column of scores there are two classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassSums {
    /// Rows.
    pub rows: u64,
    /// Columns of scores.
    pub columns: usize,
    /// Up to [`CONFUSION_CLASSES_MAX`] classes a row of this table is a class and a column the class
    /// that its rows are said to be of; one more row has all other classes, which only plans with one
    /// column can meet. With more classes there are three rows: how many rows are of a class, how many
    /// are said to be, and how many are both.
    #[serde(with = "text")]
    table: Vec<Vec<u64>>,
    /// The meaning of the scores; none where nodes differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
    /// Sums over probabilities, if the scores are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likelihood: Option<Likelihood>,
    /// Rows by their score of class 1, if there are two classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Histogram>,
}

/// How scores are read as probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// They are some: each row's are in [0, 1] and sum to 1.
    Probabilities,
    /// Their softmax.
    Softmax,
    /// Not at all: one column with values outside [0, 1].
    Scores,
}

/// Sums over probabilities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Likelihood {
    /// Of the negative logarithm of the probability of the row's class, which is limited to
    /// [2^-52, 1 - 2^-52].
    pub log_loss: f64,
    /// Of squared distances between a row's probabilities and 1 at its class, 0 elsewhere; with two
    /// classes of that of class 1 alone.
    pub brier_score: f64,
    /// By probability of class 1, if there are two classes; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calibration: Vec<CalibrationBin>,
}

/// Rows whose probability of class 1 is above `n / 10` and at most `(n + 1) / 10`; 0 is in the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationBin {
    /// Rows.
    pub rows: u64,
    /// Those of class 1.
    pub positives: u64,
    /// The sum of their probabilities.
    pub scores: f64,
}

/// Rows of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassCounts {
    /// Rows of the class (scikit-learn's `support`).
    pub are: u64,
    /// Rows said to be of the class.
    pub said: u64,
    /// Rows of the class and said to be.
    pub both: u64,
}

impl ClassCounts {
    /// The share of the rows said to be of the class that are; 0 of none (`zero_division=0`).
    pub fn precision(&self) -> f64 {
        share(self.both, self.said)
    }

    /// The share of the rows of the class that were found; 0 of none.
    pub fn recall(&self) -> f64 {
        share(self.both, self.are)
    }

    /// The harmonic mean of both; 0 of none.
    pub fn f1_score(&self) -> f64 {
        share(self.both.saturating_mul(2), self.are.saturating_add(self.said))
    }

    /// The share of the rows that are of the class or are said to be that are both (Jaccard); 0 of
    /// none.
    pub fn iou(&self) -> f64 {
        share(self.both, self.are.saturating_add(self.said).saturating_sub(self.both))
    }
}

fn share(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        _ => part as f64 / whole as f64,
    }
}

impl Likelihood {
    /// No rows.
    pub fn new(is_binary: bool) -> Self {
        let n = if is_binary { CALIBRATION_BINS } else { 0 };
        Self { log_loss: 0.0, brier_score: 0.0, calibration: vec![CalibrationBin::default(); n] }
    }

    /// Adds a row of two classes.
    ///
    /// * `probabilities` — of class 0 and of class 1.
    pub fn add_binary(&mut self, probabilities: [f64; 2], is_positive: bool) {
        let before = self.brier_score;
        self.brier_score = 0.0;
        self.add(probabilities.into_iter(), usize::from(is_positive));
        // Of class 1 alone.
        self.brier_score = before + self.brier_score / 2.0;
        let [_, probability] = probabilities;
        // numpy.linspace(0, 1, 11), and searchsorted from the left.
        let edge = |n: usize| n as f64 * 0.1;
        let bin = (1..CALIBRATION_BINS).filter(|n| edge(*n) < probability).count();
        if let Some(bin) = self.calibration.get_mut(bin) {
            bin.rows += 1;
            bin.positives += u64::from(is_positive);
            bin.scores += probability;
        }
    }

    /// Adds a row of more than two classes.
    pub fn add(&mut self, probabilities: impl Iterator<Item = f64>, class: usize) {
        for (nth, probability) in probabilities.enumerate() {
            let expected = if nth == class { 1.0 } else { 0.0 };
            if nth == class {
                self.add_log(probability);
            }
            self.brier_score += (expected - probability) * (expected - probability);
        }
    }

    fn add_log(&mut self, probability: f64) {
        self.log_loss -= libm::log(probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON));
    }

    fn join(&mut self, other: &Self) {
        self.log_loss += other.log_loss;
        self.brier_score += other.brier_score;
        for (own, other) in self.calibration.iter_mut().zip(&other.calibration) {
            own.rows = own.rows.saturating_add(other.rows);
            own.positives = own.positives.saturating_add(other.positives);
            own.scores += other.scores;
        }
    }

    fn is_sound(&self, rows: u64, is_binary: bool) -> bool {
        let total = |of: fn(&CalibrationBin) -> u64| {
            self.calibration.iter().try_fold(0u64, |sum, bin| sum.checked_add(of(bin)))
        };
        let bin = |bin: &CalibrationBin| {
            bin.positives <= bin.rows && (0.0..=bin.rows as f64).contains(&bin.scores)
        };
        let bins = match is_binary {
            true => {
                self.calibration.len() == CALIBRATION_BINS && total(|bin| bin.rows) == Some(rows)
            }
            false => self.calibration.is_empty(),
        };
        let sum = |sum: f64| sum.is_finite() && sum >= 0.0;
        bins && self.calibration.iter().all(bin) && sum(self.log_loss) && sum(self.brier_score)
    }
}

impl ClassSums {
    /// No rows of a plan with so many columns of scores.
    pub fn new(columns: usize) -> Self {
        let k = columns.max(BINARY_COLUMNS_MAX);
        let n = if k <= CONFUSION_CLASSES_MAX { k } else { 3 };
        let table = vec![vec![0; k]; n];
        Self { rows: 0, columns, table, reading: None, likelihood: None, histogram: None }
    }

    /// How many classes there are.
    pub fn n_classes(&self) -> usize {
        self.columns.max(BINARY_COLUMNS_MAX)
    }

    /// Whether there are two.
    pub fn is_binary(&self) -> bool {
        self.columns <= BINARY_COLUMNS_MAX
    }

    /// Counts a row of `class`, said to be of the class `said`; none of the classes is another one.
    pub fn count(&mut self, class: Option<usize>, said: usize) {
        self.rows += 1;
        let k = self.n_classes();
        let class = class.filter(|class| *class < k);
        let [row, column] = [class.unwrap_or(k), said.min(k - 1)];
        if k <= CONFUSION_CLASSES_MAX {
            if row == k && self.table.len() == k {
                self.table.push(vec![0; k]);
            }
            self.table[row][column] += 1;
            return;
        }
        self.table[1][column] += 1;
        if let Some(class) = class {
            self.table[0][class] += 1;
            self.table[2][class] += u64::from(class == column);
        }
    }

    /// Adds the sums of other rows, of equally many columns.
    pub(super) fn join(&mut self, other: &Self) {
        self.rows = self.rows.saturating_add(other.rows);
        if self.table.len() < other.table.len() {
            self.table.resize(other.table.len(), vec![0; self.n_classes()]);
        }
        table::add(&mut self.table, &other.table);
        let reading = match (self.reading, other.reading) {
            (a, b) if a == b => a,
            // One column: the order of scores stays, though some nodes have no probabilities.
            (Some(Reading::Probabilities), Some(Reading::Scores))
            | (Some(Reading::Scores), Some(Reading::Probabilities)) => Some(Reading::Scores),
            _ => None,
        };
        self.likelihood = match (self.likelihood.take(), &other.likelihood) {
            (Some(mut own), Some(other)) if self.reading == reading => {
                own.join(other);
                Some(own)
            }
            _ => None,
        };
        self.histogram = match (self.histogram.take(), &other.histogram) {
            (Some(mut own), Some(other)) if reading.is_some() => {
                own.join(other);
                Some(own)
            }
            _ => None,
        };
        self.reading = reading;
    }

    /// The rows of a class.
    pub fn class(&self, class: usize) -> ClassCounts {
        let at = |row: usize, column: usize| {
            self.table.get(row).and_then(|row| row.get(column)).copied().unwrap_or_default()
        };
        if self.n_classes() > CONFUSION_CLASSES_MAX {
            let [are, said, both] = [0, 1, 2].map(|row| at(row, class));
            return ClassCounts { are, said, both };
        }
        let sum = |counts: &mut dyn Iterator<Item = u64>| counts.fold(0, u64::saturating_add);
        ClassCounts {
            are: sum(&mut self.table.get(class).into_iter().flatten().copied()),
            said: sum(&mut (0..self.table.len()).map(|row| at(row, class))),
            both: at(class, class),
        }
    }

    /// All classes in order.
    pub fn classes(&self) -> Vec<ClassCounts> {
        (0..self.n_classes()).map(|class| self.class(class)).collect()
    }

    /// Rows by class and prediction; none with more than [`CONFUSION_CLASSES_MAX`] classes. A row more
    /// than columns has the rows of other classes.
    pub fn confusion(&self) -> Option<&[Vec<u64>]> {
        (self.n_classes() <= CONFUSION_CLASSES_MAX).then_some(&self.table[..])
    }

    /// Areas under curves from the histogram, with the error of its bins.
    pub fn ranking(&self) -> Ranking {
        self.histogram.as_ref().map(Histogram::ranking).unwrap_or_default()
    }

    /// The metrics of all rows but the areas, which have an error.
    ///
    /// `accuracy`, `balanced_accuracy` (the mean of the recalls of classes with rows), `precision`,
    /// `recall`, `f1_score`, `log_loss`, `brier_score`. The plan's columns decide the meaning of
    /// precision, recall and F1, not the labels that a site happens to have: with one or two columns
    /// they are those of class 1 (`average='binary'`), with more the mean over the classes, weighted
    /// with the rows of each (`average='weighted'`; a class without rows weighs nothing). A share of
    /// no rows is 0 (`zero_division=0`), but where no row at all is of class 1 the three are
    /// meaningless and left out. Fed-BioMed 6 looks at the targets alone, and takes the smaller of
    /// two classes, 0 of 0 and 1, where scikit-learn and this take 1.
    pub(super) fn metrics(&self) -> Metrics {
        if self.rows == 0 {
            return Metrics::new();
        }
        let (n, classes) = (self.rows as f64, self.classes());
        let average = |score: fn(&ClassCounts) -> f64| match self.is_binary() {
            true => classes.get(POSITIVE).filter(|class| class.are > 0).map(score),
            false => {
                let weighted = classes.iter().map(|class| class.are as f64 * score(class));
                Some(weighted.sum::<f64>() / n)
            }
        };
        let right = classes.iter().map(|class| class.both).fold(0, u64::saturating_add);
        let known = classes.iter().map(|class| class.are).fold(0, u64::saturating_add);
        let there: Vec<f64> =
            classes.iter().filter(|class| class.are > 0).map(ClassCounts::recall).collect();
        let balanced = there.iter().sum::<f64>() / there.len() as f64;
        let mean = |of: fn(&Likelihood) -> f64| self.likelihood.as_ref().map(|sums| of(sums) / n);
        let metrics = [
            (Metric::Accuracy, Some(share(right, self.rows))),
            (Metric::BalancedAccuracy, (known == self.rows).then_some(balanced)),
            (Metric::Precision, average(ClassCounts::precision)),
            (Metric::Recall, average(ClassCounts::recall)),
            (Metric::F1Score, average(ClassCounts::f1_score)),
            (Metric::LogLoss, mean(|sums| sums.log_loss)),
            (Metric::BrierScore, mean(|sums| sums.brier_score)),
        ];
        let named =
            |(metric, value): (Metric, Option<f64>)| Some((metric.key().to_owned(), value?));
        metrics.into_iter().filter_map(named).collect()
    }

    /// Whether they can be sums of rows, of few enough classes.
    pub(super) fn is_sound(&self) -> bool {
        let (k, rows) = (self.n_classes(), self.rows);
        if rows == 0 || rows > ROWS_MAX || self.columns == 0 || k > SUMMED_CLASSES_MAX {
            return false;
        }
        let is_confusion = k <= CONFUSION_CLASSES_MAX;
        let has_others = self.columns == 1 && self.table.len() == k + 1;
        let n = if is_confusion { k + usize::from(has_others) } else { 3 };
        if self.table.len() != n || self.table.iter().any(|row| row.len() != k) {
            return false;
        }
        let counted = match is_confusion {
            true => table::total(&self.table) == Some(rows),
            false => {
                let is_part = |class: &ClassCounts| class.both <= class.are.min(class.said);
                let totals =
                    self.table.iter().take(2).map(|row| table::total(std::slice::from_ref(row)));
                totals.into_iter().all(|total| total == Some(rows))
                    && self.classes().iter().all(is_part)
            }
        };
        let histogram = self.histogram.as_ref().is_none_or(|histogram| {
            let positives = self.class(POSITIVE).are;
            self.is_binary()
                && histogram.total().is_some_and(|total| {
                    total.positives == positives && total.others == rows - positives.min(rows)
                })
        });
        let likelihood = self.likelihood.as_ref();
        counted && histogram && likelihood.is_none_or(|sums| sums.is_sound(rows, self.is_binary()))
    }
}
