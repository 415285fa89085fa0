//! Several runs as one row of numbers.

use std::collections::BTreeMap;

use fedwasm_protocol::Metrics;
use serde::Serialize;

/// Mean and spread of a metric over runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of a sample (divided by n - 1); none of one run.
    pub std: Option<f64>,
}

/// Mean and spread of each metric that all runs have.
#[must_use]
pub fn summarise(runs: &[Metrics]) -> BTreeMap<String, Spread> {
    let Some((first, rest)) = runs.split_first() else { return BTreeMap::new() };
    let in_all = first.keys().filter(|name| rest.iter().all(|run| run.contains_key(*name)));
    let spread = |name: &String| {
        let values: Vec<f64> = runs.iter().filter_map(|run| run.get(name)).copied().collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let std = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        (name.clone(), Spread { mean, std })
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
        let Spread { mean, std } = all["accuracy"];
        assert!((mean - 0.95).abs() < 1e-12 && (std.unwrap() - 0.05).abs() < 1e-12);
        assert_eq!(summarise(&[run(0.5, false)])["accuracy"], Spread { mean: 0.5, std: None });
        assert!(summarise(&[]).is_empty());
    }
}
