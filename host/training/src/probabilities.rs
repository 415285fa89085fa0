//! Scores of classes as probabilities: as they are if all rows' are some, else their softmax. Which of
//! the two is known after the last row, so both are summed until one is ruled out.

use fedwasm_protocol::{
    ClassSums, Group, Histogram, Likelihood, Metric, Metrics, Ranking, Reading,
};

/// How far the scores of a row may sum from 1 to be probabilities: those of float32 with thousands of
/// classes do not sum to 1 exactly.
const SUM_ERROR_MAX: f64 = 1e-3;
/// The most rows whose single scores are kept, in 8 MiB: areas of more are those of the histogram.
const RANKED_ROWS_MAX: usize = 1 << 20;

/// Sums over probabilities of the rows so far.
#[derive(Debug)]
pub(crate) struct Probabilities {
    /// Of scores as they are; none once a row has scores that are not probabilities.
    given: Option<Likelihood>,
    /// Of their softmax, with two columns or more.
    softmax: Option<Likelihood>,
    /// With two classes.
    binary: Option<Binary>,
}

/// Scores of class 1.
#[derive(Debug, Default)]
struct Binary {
    given: Histogram,
    softmax: Histogram,
    /// Single scores of rows of class 1, and of others; none if they are too many.
    ranked: Option<[Vec<f64>; 2]>,
}

impl Probabilities {
    /// No rows of so many columns.
    pub(crate) fn new(columns: usize) -> Self {
        let is_binary = columns <= 2;
        Self {
            given: Some(Likelihood::new(is_binary)),
            softmax: (columns > 1).then(|| Likelihood::new(is_binary)),
            binary: is_binary
                .then(|| Binary { ranked: Some(Default::default()), ..Binary::default() }),
        }
    }

    /// Adds a row.
    ///
    /// * `scores` — one a column.
    /// * `class` — the class of the row; none of another one.
    pub(crate) fn add(&mut self, scores: &[f64], class: Option<usize>) {
        let within = scores.iter().all(|score| (0.0..=1.0).contains(score));
        let sum = scores.iter().sum::<f64>();
        if !within || (scores.len() > 1 && (sum - 1.0).abs() > SUM_ERROR_MAX) {
            self.given = None;
        }
        let (class, is_positive) = (class.unwrap_or_default(), class == Some(1));
        match *scores {
            [score] => {
                if let Some(given) = &mut self.given {
                    given.add_binary([1.0 - score, score], is_positive);
                }
                self.rank([score, score], score, is_positive);
            }
            [other, score] => {
                let ahead = score - other;
                let softmax = [ahead, -ahead].map(|ahead| 1.0 / (1.0 + libm::exp(ahead)));
                for (sums, pair) in
                    [(&mut self.given, [other, score]), (&mut self.softmax, softmax)]
                {
                    if let Some(sums) = sums {
                        sums.add_binary(pair, is_positive);
                    }
                }
                self.rank([score, softmax[1]], ahead, is_positive);
            }
            _ => {
                if let Some(given) = &mut self.given {
                    given.add(scores.iter().copied(), class);
                }
                if let Some(sums) = &mut self.softmax {
                    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let exps: Vec<f64> = scores.iter().map(|s| libm::exp(s - most)).collect();
                    let sum = exps.iter().sum::<f64>();
                    sums.add(exps.iter().map(|exp| exp / sum), class);
                }
            }
        }
    }

    fn rank(&mut self, [given, softmax]: [f64; 2], score: f64, is_positive: bool) {
        let Some(binary) = &mut self.binary else { return };
        binary.given.add(given, is_positive);
        binary.softmax.add(softmax, is_positive);
        let room = |[positives, others]: &&mut [Vec<f64>; 2]| {
            score.is_finite() && positives.len() + others.len() < RANKED_ROWS_MAX
        };
        match binary.ranked.as_mut().filter(room) {
            Some([positives, others]) => if is_positive { positives } else { others }.push(score),
            None => binary.ranked = None,
        }
    }

    /// Adds them to the sums of all rows; also the areas under curves, if the single scores are known.
    pub(crate) fn finish(self, mut sums: ClassSums) -> (ClassSums, Option<Metrics>) {
        let (reading, likelihood) = match (self.given, self.softmax) {
            (Some(given), _) => (Reading::Probabilities, Some(given)),
            (None, Some(softmax)) => (Reading::Softmax, Some(softmax)),
            (None, None) => (Reading::Scores, None),
        };
        (sums.reading, sums.likelihood) = (Some(reading), likelihood);
        let Some(Binary { given, softmax, ranked }) = self.binary else { return (sums, None) };
        sums.histogram = Some(if reading == Reading::Softmax { softmax } else { given });
        (sums, ranked.map(areas))
    }
}

/// The exact areas of single scores.
fn areas(mut scores: [Vec<f64>; 2]) -> Metrics {
    scores.iter_mut().for_each(|scores| scores.sort_unstable_by(|a, b| b.total_cmp(a)));
    let [positives, others] = scores.each_ref().map(Vec::as_slice);
    let Ranking { roc_auc, pr_auc } = Ranking::of(Ties { positives, others });
    let areas = [(Metric::RocAuc, roc_auc), (Metric::PrAuc, pr_auc)];
    areas
        .into_iter()
        .filter_map(|(metric, area)| Some((metric.key().to_owned(), area?.value)))
        .collect()
}

/// Rows with equal scores, in descending order of these.
#[derive(Clone, Debug)]
struct Ties<'a> {
    positives: &'a [f64],
    others: &'a [f64],
}

impl Iterator for Ties<'_> {
    type Item = Group;

    fn next(&mut self) -> Option<Group> {
        let heads = [self.positives.first(), self.others.first()];
        let top = heads.into_iter().flatten().copied().reduce(f64::max)?;
        let take = |scores: &mut &[f64]| {
            let n = scores.iter().take_while(|score| **score == top).count();
            *scores = &scores[n..];
            n as u64
        };
        let positives = take(&mut self.positives);
        Some(Group { others: take(&mut self.others), positives })
    }
}
