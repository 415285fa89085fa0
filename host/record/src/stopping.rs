//! Scores from time to time: when they say that it is enough, and which parameters are the best.

use fedwasm_protocol::{Digest, Evaluation, Fields, Metric, Metrics, suggestion};
use serde::{Deserialize, Serialize};

/// The metric that decides if none is named.
const LOSS: &str = "loss";

/// Stops when a metric on held-out rows no longer becomes better.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EarlyStopping {
    /// Its key, such as `loss` or `accuracy`.
    pub metric: String,
    /// Scores without a better value before it stops, at least 1.
    pub patience: u32,
    /// A value counts as better if it is so by more than this. Default 0.
    pub min_delta: f64,
    /// Whether larger is better. Default: as for the metric of this name; not
    /// for a `loss`.
    pub maximize: bool,
}

impl EarlyStopping {
    /// Takes the table `early_stopping`; mistakes go to `fields`.
    pub fn take(fields: &mut Fields) -> Option<Self> {
        if !fields.has("early_stopping") {
            return None;
        }
        let mut table = fields.table("early_stopping");
        if !table.has("metric") {
            table.mistake("metric", "is missing, such as \"loss\" or \"accuracy\"");
        }
        let metric = table.text("metric").map(|metric| metric.to_lowercase());
        let patience = table.whole_until("patience", 1, u64::from(u32::MAX)).unwrap_or(1) as u32;
        let min_delta = table.real("min_delta", "a number, at least 0", |delta| delta >= 0.0);
        let usual = metric.as_deref().is_some_and(larger_is_better);
        let maximize = table.boolean("maximize").unwrap_or(usual);
        fields.absorb(table);
        let min_delta = min_delta.unwrap_or(0.0);
        Some(Self { metric: metric?, patience, min_delta, maximize })
    }

    /// Returns why to stop after these values, each with its number, in order, or none. `unit` is
    /// the thing that is counted, such as `round`.
    pub fn decide(
        &self,
        unit: &str,
        values: impl IntoIterator<Item = (u64, f64)>,
    ) -> Option<String> {
        let (mut best, mut since) = (None, 0);
        for (number, value) in values {
            let gain = |best: f64| if self.maximize { value - best } else { best - value };
            match best {
                Some((_, best)) if gain(best) <= self.min_delta => since += 1,
                _ => (best, since) = (Some((number, value)), 0),
            }
        }
        let (number, best) = best?;
        (since >= self.patience).then(|| {
            let Self { metric, patience, min_delta, .. } = self;
            format!(
                "{metric} was {best:.4} after {unit} {number}, with no improvement above \
                 {min_delta} since then (patience {patience})"
            )
        })
    }

    /// Returns the mistake if metrics lack the one that `key` of a file looks at.
    pub fn check(&self, key: &str, metrics: &Metrics) -> Option<String> {
        missing(&self.metric, metrics).map(|hint| format!("`{key}` is `{}`; {hint}", self.metric))
    }
}

/// Which parameters are the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Those at the end.
    #[default]
    Last,
    /// Those with the best score on held-out rows.
    Best,
}

impl Keep {
    /// Takes the key `keep`; mistakes go to `fields`.
    pub fn take(fields: &mut Fields) -> Self {
        match fields.one_of("keep", &["last", "best"]) {
            Some(1) => Self::Best,
            _ => Self::Last,
        }
    }
}

/// How the best parameters are chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    metric: String,
    maximize: bool,
}

impl Choice {
    /// By the metric of early stopping, by `test_metric`, or by the loss.
    pub fn of(stopping: Option<&EarlyStopping>, test_metric: Option<Metric>) -> Self {
        match (stopping, test_metric) {
            (Some(EarlyStopping { metric, maximize, .. }), _) => {
                Self { metric: metric.clone(), maximize: *maximize }
            }
            (None, Some(metric)) => {
                Self { metric: metric.key().into(), maximize: metric.larger_is_better() }
            }
            (None, None) => Self { metric: LOSS.into(), maximize: false },
        }
    }

    /// Returns the mistake if metrics lack the one that is looked at.
    pub fn check(&self, metrics: &Metrics) -> Option<String> {
        missing(&self.metric, metrics).map(|hint| {
            format!(
                "`keep = \"best\"` looks at `{}`, which is not among the scores; {hint}; name one \
                 as `metric` of `early_stopping`, or as `training.test_metric`",
                self.metric
            )
        })
    }

    /// The record of scores that are better than all before; the first of equals stays.
    pub fn better(
        &self,
        best: Option<&BestRecord>,
        at: u64,
        metrics: &Metrics,
        params_sha256: Digest,
    ) -> Option<BestRecord> {
        let value = *metrics.get(&self.metric)?;
        let is_better = best.is_none_or(|best| match self.maximize {
            true => value > best.value,
            false => value < best.value,
        });
        is_better.then(|| BestRecord { at, metric: self.metric.clone(), value, params_sha256 })
    }
}

/// The parameters that are kept as the best ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestRecord {
    /// The round of an experiment, or the epoch of a local job, after which they were scored.
    pub at: u64,
    /// The metric that decides.
    pub metric: String,
    /// Its value.
    pub value: f64,
    /// SHA-256 of the parameters.
    pub params_sha256: Digest,
}

/// Scores of a local job after an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationRecord {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Batches so far.
    pub step: u64,
    /// Scores on the held-out rows.
    pub evaluation: Evaluation,
}

/// Why a metric will not be found, unless scores of some rows may lack it.
fn missing(metric: &str, metrics: &Metrics) -> Option<String> {
    let is_of_classes = metrics.contains_key(Metric::Accuracy.key());
    if metrics.contains_key(metric) || is_of_classes && Metric::may_be_absent(metric) {
        return None;
    }
    let names: Vec<&str> = metrics.keys().map(String::as_str).collect();
    Some(match suggestion(&names, metric) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("there are {}", names.join(", ")),
    })
}

/// Whether more is better, by the name of a metric of the host; not for others.
fn larger_is_better(key: &str) -> bool {
    let mut known = Metric::ALL.into_iter().filter(|metric| metric.key() == key);
    known.next().is_some_and(Metric::larger_is_better)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopping(text: &str) -> EarlyStopping {
        let mut fields = Fields::new("strategy", toml::from_str(text).unwrap());
        let stopping = EarlyStopping::take(&mut fields).unwrap();
        assert!(fields.finish().is_empty());
        stopping
    }

    fn metrics(all: &[(&str, f64)]) -> Metrics {
        all.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn stops_when_nothing_becomes_better() {
        let text = "early_stopping = { metric = \"ACCURACY\", patience = 2, min_delta = 0.01 }";
        let by_accuracy = stopping(text);
        assert!(by_accuracy.maximize && by_accuracy.metric == "accuracy");
        let decide = |stopping: &EarlyStopping, values: &[f64]| {
            stopping.decide("round", (1..).zip(values.iter().copied()))
        };
        assert_eq!(decide(&by_accuracy, &[0.5, 0.6, 0.605]), None);
        let reason = decide(&by_accuracy, &[0.5, 0.6, 0.605, 0.6]).unwrap();
        let expected = "accuracy was 0.6000 after round 2, with no improvement above 0.01 since \
                        then (patience 2)";
        assert_eq!(reason, expected);
        assert_eq!(decide(&by_accuracy, &[0.5, 0.6, 0.605, 0.62]), None);
        let known = metrics(&[("accuracy", 0.5)]);
        assert_eq!(by_accuracy.check("x", &known), None);
        let misspelt = EarlyStopping { metric: "accurracy".into(), ..by_accuracy };
        assert!(misspelt.check("x", &known).unwrap().contains("did you mean `accuracy`?"));
        let by_loss = stopping("early_stopping = { metric = \"loss\", patience = 1 }");
        assert!(!by_loss.maximize && decide(&by_loss, &[1.0, 0.9]).is_none());
        assert!(decide(&by_loss, &[1.0, 0.9, 0.9]).is_some());
        assert_eq!(decide(&by_loss, &[]), None);
    }

    #[test]
    fn the_first_of_the_best_is_kept() {
        let by_loss = Choice::of(None, None);
        let mut best = None;
        for (at, loss) in (1..).zip([0.5, 0.25, 0.25, 0.75]) {
            let found = metrics(&[("loss", loss)]);
            let now = by_loss.better(best.as_ref(), at, &found, Digest::of(b""));
            best = now.or(best);
        }
        assert!(best.is_some_and(|best| best.at == 2 && best.value == 0.25));
        let by_accuracy = Choice::of(None, Some(Metric::Accuracy));
        let better = |best, value| {
            let found = metrics(&[("accuracy", value)]);
            by_accuracy.better(best, 1, &found, Digest::of(b""))
        };
        let first = better(None, 0.5);
        assert!(better(first.as_ref(), 0.6).is_some() && better(first.as_ref(), 0.4).is_none());
        let of_stopping = stopping("early_stopping = { metric = \"x\", maximize = true }");
        assert_eq!(
            Choice::of(Some(&of_stopping), Some(Metric::Recall)),
            Choice { metric: "x".into(), maximize: true }
        );
    }

    #[test]
    fn a_metric_that_never_comes_is_a_mistake_and_one_of_absent_rows_is_not() {
        let of_classes = metrics(&[("accuracy", 1.0), ("loss", 0.1)]);
        let by_f1 = Choice::of(None, Some(Metric::F1Score));
        assert_eq!(by_f1.check(&of_classes), None);
        assert_eq!(by_f1.better(None, 1, &of_classes, Digest::of(b"")), None);
        let wrong = by_f1.check(&metrics(&[("mean_square_error", 1.0)])).unwrap();
        assert!(wrong.contains("there are mean_square_error"), "{wrong}");
    }
}
