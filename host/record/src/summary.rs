//! Several runs as one row of numbers.

use std::collections::{BTreeMap, BTreeSet};

use fedwasm_protocol::{Metric, Metrics};
use serde::Serialize;

/// Mean and spread of a metric over runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of a sample (divided by n - 1); none of one run.
    pub std: Option<f64>,
    /// Runs that have the metric.
    pub runs: usize,
}

/// Mean and spread of each metric that all runs have, and of those about a class that some runs
/// may have no row of: over the runs that have them.
#[must_use]
pub fn summarise(runs: &[Metrics]) -> BTreeMap<String, Spread> {
    let names: BTreeSet<&String> = runs.iter().flat_map(Metrics::keys).collect();
    let in_all = names.into_iter().filter(|name| {
        Metric::may_be_absent(name) || runs.iter().all(|run| run.contains_key(*name))
    });
    let spread = |name: &String| {
        let values: Vec<f64> = runs.iter().filter_map(|run| run.get(name)).copied().collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let std = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        (name.clone(), Spread { mean, std, runs: values.len() })
    };
    in_all.map(spread).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // numpy: x = [0.9, 0.95, 1.0]; x.mean(), x.std(ddof=1)
    #[test]
    fn mean_and_deviation_equal_numpy() {
        let run = |value: f64, more: bool| {
            let mut run: Metrics = [("accuracy".to_owned(), value)].into();
            more.then(|| run.insert("loss".into(), 1.0));
            run
        };
        let all = summarise(&[run(0.9, true), run(0.95, true), run(1.0, false)]);
        assert_eq!(all.len(), 1);
        let Spread { mean, std, runs } = all["accuracy"];
        assert!((mean - 0.95).abs() < 1e-12 && (std.unwrap() - 0.05).abs() < 1e-12 && runs == 3);
        let one = summarise(&[run(0.5, false)])["accuracy"];
        assert_eq!(one, Spread { mean: 0.5, std: None, runs: 1 });
        assert!(summarise(&[]).is_empty());
    }

    #[test]
    fn runs_without_positives_have_no_part_in_f1() {
        let run = |metrics: &[(&str, f64)]| -> Metrics {
            metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
        };
        let runs = [
            run(&[("accuracy", 1.0)]),
            run(&[("accuracy", 0.5), ("f1_score", 0.5)]),
            run(&[("accuracy", 0.5), ("f1_score", 1.0)]),
        ];
        let all = summarise(&runs);
        assert_eq!((all["accuracy"].runs, all["f1_score"].runs), (3, 2));
        assert_eq!(all["f1_score"].mean, 0.75);
    }
}
