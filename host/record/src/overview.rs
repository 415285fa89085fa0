//! Any number of runs side by side, one by one or as the folds and seeds of a method, and the tests
//! of their differences.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fedwasm_protocol::Metrics;
use serde::Serialize;

use crate::compare::{Marks, compare_loaded, metrics};
use crate::{Difference, Error, History, Paired, RunFold, Spread, load_history, summarise};

/// The most runs that are compared.
pub const RUNS_MAX: usize = 10_000;
/// The beginning of the status of a run that was interrupted.
const STOPPED: &str = "stopped: after";

/// One or several runs of one method.
#[derive(Clone, Debug)]
pub struct Method {
    /// Its directory.
    pub label: String,
    /// Its runs, in the order of their folds or seeds.
    pub runs: Vec<Run>,
    /// Those that were interrupted, and count for nothing.
    pub stopped: Vec<String>,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Such as `fold 1/5` or `seed 42`; empty of a single run.
    pub name: String,
    /// Scores of its result on held-out rows, and the training loss.
    pub metrics: Metrics,
    /// Its history.
    pub history: History,
    marks: Option<Marks>,
}

/// Methods side by side.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    /// A line for each.
    pub methods: Vec<MethodLine>,
    /// The tests of each against the first, where their runs are of the same rows.
    pub tests: Vec<Test>,
    /// What was left out or could not be tested, and why.
    pub notes: Vec<String>,
}

/// A method in a table.
#[derive(Clone, Debug, Serialize)]
pub struct MethodLine {
    /// Its directory.
    pub label: String,
    /// The number of its runs.
    pub runs: usize,
    /// Mean and spread of each metric.
    pub metrics: BTreeMap<String, Spread>,
    /// How its first run differs from that of the first method, but for its fold and rows.
    pub differences: Vec<Difference>,
}

/// A paired test of two methods.
#[derive(Clone, Debug, Serialize)]
pub struct Test {
    /// The first method.
    pub a: String,
    /// The method that is tested against it; differences are its values less those of the first.
    pub b: String,
    /// Such as `folds` or `seeds`.
    pub over: &'static str,
    /// The metric.
    pub metric: String,
    /// The test.
    #[serde(flatten)]
    pub paired: Paired,
}

impl Method {
    /// Reads a run, or the runs in the directories of `--folds` or `--repeat`.
    ///
    /// # Errors
    /// Those of [`load_history`]; [`Error::Io`] if there are more than [`RUNS_MAX`].
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let label = dir.display().to_string();
        let inner = runs_in(dir)?;
        if inner.is_empty() {
            let runs = vec![Run::load(dir, String::new())?];
            return Ok(Self { label, runs, stopped: Vec::new() });
        }
        let (mut runs, mut stopped) = (Vec::new(), Vec::new());
        for (kind, number, path) in inner {
            let run = Run::load(&path, String::new())?;
            let name = match run.marks.as_ref().and_then(|marks| marks.fold) {
                Some(RunFold { index, count }) => format!("fold {index}/{count}"),
                None => format!("{kind} {number}"),
            };
            match run.history.status.starts_with(STOPPED) {
                true => stopped.push(name),
                false => runs.push(Run { name, ..run }),
            }
        }
        Ok(Self { label, runs, stopped })
    }

    /// Whether it has several runs.
    pub fn has_several(&self) -> bool {
        self.runs.len() + self.stopped.len() > 1
    }
}

impl Run {
    fn load(dir: &Path, name: String) -> Result<Self, Error> {
        let history = load_history(dir)?;
        Ok(Self { name, metrics: metrics(&history), marks: Marks::of(dir), history })
    }

    /// The held-out rows over those that it trained on.
    fn test_over_train(&self) -> f64 {
        let last = self.history.rounds.last();
        let held_out = last.and_then(|round| round.evaluation.as_ref()).map_or(0, |e| e.n_rows);
        let trained = last.map_or(0, |round| round.n_samples());
        held_out as f64 / trained.max(1) as f64
    }

    /// What two runs must share to have held out the same rows; none of an experiment.
    fn rows(&self) -> Option<(Vec<u8>, Option<RunFold>, u64, String)> {
        let marks = self.marks.as_ref()?;
        let data = self.history.arguments.get("data");
        let training = self.history.arguments.get("training");
        let of = |section: Option<&serde_json::Value>, key: &str| {
            section.and_then(|section| section.get(key)).cloned().unwrap_or_default().to_string()
        };
        let split = [
            of(data, "split"),
            of(data, "memory_mib"),
            of(training, if marks.fold.is_some() { "" } else { "test_ratio" }),
        ];
        Some((
            marks.data.as_bytes().to_vec(),
            marks.fold,
            self.history.random_seed,
            split.join(" "),
        ))
    }
}

/// The directories of runs in one, with their kind and number, in order.
fn runs_in(dir: &Path) -> Result<Vec<(&'static str, u64, PathBuf)>, Error> {
    if dir.join("history.json").is_file() || !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for name in fedwasm_folder::Folder::open(dir)?.names()? {
        for kind in ["fold", "seed"] {
            let number = name.strip_prefix(kind).and_then(|rest| rest.strip_prefix('-'));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                found.push((kind, number, dir.join(&name)));
            }
        }
    }
    if found.len() > RUNS_MAX {
        let text = format!("{} holds more than {RUNS_MAX} runs", dir.display());
        return Err(std::io::Error::other(text).into());
    }
    found.sort();
    Ok(found)
}

/// Puts methods side by side, and tests each against the first.
pub fn overview(methods: &[Method]) -> Overview {
    let (mut tests, mut notes) = (Vec::new(), Vec::new());
    let first = methods.first();
    for method in methods {
        if !method.stopped.is_empty() {
            let stopped = method.stopped.join(", ");
            notes.push(format!("{}: interrupted, and left out: {stopped}", method.label));
        }
    }
    for method in methods.iter().skip(1) {
        let Some(first) = first.filter(|first| first.has_several() && method.has_several()) else {
            continue;
        };
        match pairs(first, method) {
            Ok(pairs) => tests.extend(test(first, method, &pairs)),
            Err(why) => {
                let (a, b) = (&first.label, &method.label);
                notes.push(format!("{b} is not tested against {a}: {why}"));
            }
        }
    }
    let line = |(nth, method): (usize, &Method)| {
        let all: Vec<Metrics> = method.runs.iter().map(|run| run.metrics.clone()).collect();
        let pair = first.and_then(|first| first.runs.first()).zip(method.runs.first());
        let differences = match pair {
            Some((a, b)) if nth > 0 => between(a, b),
            _ => Vec::new(),
        };
        let (label, metrics) = (method.label.clone(), summarise(&all));
        MethodLine { label, runs: all.len(), metrics, differences }
    };
    let methods = methods.iter().enumerate().map(line).collect();
    Overview { methods, tests, notes }
}

/// How two runs differ, but for the fold and its rows.
fn between(a: &Run, b: &Run) -> Vec<Difference> {
    let found = compare_loaded((&a.history, a.marks.as_ref()), (&b.history, b.marks.as_ref()));
    let is_told = |difference: &Difference| !["fold", "rows"].contains(&&*difference.name);
    found.differences.into_iter().filter(is_told).collect()
}

/// The runs of two methods that held out the same rows.
fn pairs<'a>(a: &'a Method, b: &'a Method) -> Result<Vec<(&'a Run, &'a Run)>, String> {
    let mut pairs = Vec::new();
    for run in &a.runs {
        let rows = run.rows().ok_or("the data of a run are not known")?;
        let other = b.runs.iter().find(|other| other.rows().as_ref() == Some(&rows));
        pairs.extend(other.map(|other| (run, other)));
    }
    match pairs.len() {
        0 | 1 => {
            Err("no two of their runs held out the same rows of the same data: folds and seeds \
                      pair by number, seed, data and split"
                .to_owned())
        }
        _ => Ok(pairs),
    }
}

fn test(a: &Method, b: &Method, pairs: &[(&Run, &Run)]) -> Vec<Test> {
    let names: BTreeSet<&String> = pairs.iter().flat_map(|(run, _)| run.metrics.keys()).collect();
    let is_of_folds = pairs.iter().any(|(run, _)| run.name.starts_with("fold"));
    let over = if is_of_folds { "folds" } else { "seeds" };
    let ratios = pairs.iter().map(|(run, _)| run.test_over_train());
    let ratio = ratios.sum::<f64>() / pairs.len() as f64;
    let test = |metric: &String| {
        let value = |(a, b): &(&Run, &Run)| Some(b.metrics.get(metric)? - a.metrics.get(metric)?);
        let differences: Vec<f64> = pairs.iter().filter_map(value).collect();
        (!differences.is_empty()).then(|| Test {
            a: a.label.clone(),
            b: b.label.clone(),
            over,
            metric: metric.clone(),
            paired: Paired::of(&differences, ratio),
        })
    };
    names.into_iter().filter_map(test).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::empty_history;
    use fedwasm_protocol::Digest;

    fn run(index: u32, accuracy: f64, data: &[u8]) -> Run {
        let fold = Some(RunFold { index, count: 3 });
        Run {
            name: format!("fold {index}/3"),
            metrics: [("accuracy".to_owned(), accuracy)].into(),
            history: empty_history(),
            marks: Some(Marks { data: Digest::of(data), fold }),
        }
    }

    fn method(label: &str, data: &[u8], accuracies: [f64; 3]) -> Method {
        let runs = (1..).zip(accuracies).map(|(index, value)| run(index, value, data)).collect();
        Method { label: label.into(), runs, stopped: Vec::new() }
    }

    #[test]
    fn folds_of_the_same_rows_are_paired() {
        let a = method("a", b"x", [0.5, 0.6, 0.7]);
        let mut b = method("b", b"x", [0.6, 0.7, 0.9]);
        b.runs.reverse();
        let found = overview(&[a.clone(), b]);
        let [test] = &found.tests[..] else { panic!("one test") };
        assert_eq!((test.paired.n, &*test.metric, test.over), (3, "accuracy", "folds"));
        assert!((test.paired.mean - 0.4 / 3.0).abs() < 1e-12);
        assert_eq!(found.methods[0].metrics["accuracy"].runs, 3);
        let other = overview(&[a.clone(), method("c", b"y", [0.6, 0.7, 0.9])]);
        assert!(other.tests.is_empty());
        assert!(other.notes[0].starts_with("c is not tested against a: no two of"), "{other:?}");
        assert!(other.methods[1].differences.iter().any(|difference| difference.name == "data"));
        let mut seed = method("d", b"x", [0.6, 0.7, 0.9]);
        seed.runs.iter_mut().for_each(|run| run.history.random_seed += 1);
        assert!(overview(&[a, seed]).tests.is_empty());
    }
}
