//! Questions without a run: which nodes there are, what a model scores on files, how two runs differ,
//! and curves.

use std::path::PathBuf;

use fedwasm_local::{Cancel, EvaluateOptions, LocalFile, Renames};
use fedwasm_protocol::{BINS_MAX, DataArgs, ScoreSums, Standardize};
use fedwasm_report::{compare_curves, draw_history, draw_lines};
use fedwasm_researcher::{ExperimentFile, History, NetworkArgs, NodePresent, present};
use fedwasm_transport::{BrokerUrl, Security, discover};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::attend::{Sink, Stop, attend};
use super::failure::{mistake, raised};
use super::local::volumes_of;
use super::place::sandbox;
use super::slot::runtime;
use super::values::file;
use super::{Component, Params};

/// The connected nodes and their datasets with all of these tags, as JSON.
#[pyfunction]
#[pyo3(signature = (tags, mqtt, repository=None, identity=None))]
pub(crate) fn nodes(
    py: Python<'_>,
    tags: Vec<String>,
    mqtt: String,
    repository: Option<String>,
    identity: Option<PathBuf>,
) -> PyResult<String> {
    let (stop, stopped) = watch::channel(false);
    let on_stop: Stop = std::sync::Arc::new(move |_| {
        stop.send_replace(true);
    });
    let work = move |_: Sink| {
        runtime().map(|runtime| {
            runtime.block_on(async {
                let repository = match repository {
                    Some(repository) => repository,
                    None => repository_of(&mqtt).await?,
                };
                let network = NetworkArgs { mqtt, repository, identity };
                present(&network, &tags, stopped).await.map_err(raised)
            })
        })
    };
    let nothing = py.eval(c"lambda event: None", None, None)?.unbind();
    let (found, interrupted) = attend(py, nothing, on_stop, work)?;
    if let Some(interrupted) = interrupted {
        return Err(interrupted);
    }
    let node = |(node, NodePresent { latency_ms, datasets })| {
        let of = |datasets: &Vec<fedwasm_protocol::DatasetEntry>| -> Vec<Value> {
            let one = |dataset: &fedwasm_protocol::DatasetEntry| {
                json!({
                    "name": dataset.dataset_id, "tags": dataset.tags, "n_rows": dataset.n_rows,
                    "columns": dataset.columns,
                })
            };
            datasets.iter().map(one).collect()
        };
        json!({
            "node": node, "latency_ms": latency_ms,
            "datasets": datasets.as_ref().map(of).unwrap_or_default(),
            "error": datasets.as_ref().err(),
        })
    };
    let nodes: Vec<Value> = found??.into_iter().map(node).collect();
    Ok(Value::from(nodes).to_string())
}

/// The repository is known only for a broker on this machine.
async fn repository_of(mqtt: &str) -> PyResult<String> {
    let mqtt: BrokerUrl = mqtt.parse().map_err(|error: fedwasm_transport::Error| raised(error))?;
    if mqtt.security() != Security::Loopback {
        let text = "the repository is known only for a broker on this machine; give `repository`";
        return Err(mistake(text));
    }
    Ok(discover(&mqtt).await.map_err(raised)?.to_string())
}

/// Statistics of the data of a federation, as JSON; `arguments` are those of an experiment.
#[pyfunction]
pub(crate) fn statistics(
    py: Python<'_>,
    arguments: &Bound<'_, PyDict>,
    bins: u32,
) -> PyResult<String> {
    let text = file(arguments)?;
    let file = ExperimentFile::parse(&text, std::path::Path::new("statistics")).map_err(raised)?;
    if bins as usize > BINS_MAX {
        return Err(mistake(format!("`bins` is {bins}, at most {BINS_MAX}")));
    }
    let (stop, stopped) = watch::channel(false);
    let on_stop: Stop = std::sync::Arc::new(move |_| {
        stop.send_replace(true);
    });
    let work = move |_: Sink| {
        runtime().map(|runtime| {
            let asked = fedwasm_researcher::statistics(&file, bins, stopped);
            runtime.block_on(asked).map_err(raised)
        })
    };
    let nothing = py.eval(c"lambda event: None", None, None)?.unbind();
    let (found, interrupted) = attend(py, nothing, on_stop, work)?;
    if let Some(interrupted) = interrupted {
        return Err(interrupted);
    }
    serde_json::to_string(&found??).map_err(mistake)
}

/// Scores parameters on all rows of a file, scaled by the JSON of a run; the evaluation as JSON.
#[pyfunction]
#[pyo3(signature = (component, params, data, arguments, *, program, format=None, volumes=None, rename=None, preprocessing=None))]
#[expect(clippy::too_many_arguments, reason = "the arguments of Python, by name")]
pub(crate) fn evaluate(
    py: Python<'_>,
    component: &Component,
    params: &Params,
    data: PathBuf,
    arguments: &Bound<'_, PyDict>,
    program: PathBuf,
    format: Option<&str>,
    volumes: Option<&Bound<'_, PyDict>>,
    rename: Option<Renames>,
    preprocessing: Option<&str>,
) -> PyResult<String> {
    let text = file(arguments)?;
    let file = LocalFile::parse(&text, std::path::Path::new("evaluate")).map_err(raised)?;
    let format = format.map(str::parse).transpose().map_err(|error: String| mistake(error))?;
    let preprocessing = preprocessing.map(serde_json::from_str).transpose();
    let preprocessing =
        preprocessing.map_err(|error| mistake(format!("`preprocessing`: {error}")))?;
    let args = file.data.ok_or_else(|| mistake("name the column to predict with `target`"))?;
    if args.standardize != Standardize::None && preprocessing.is_none() {
        let text = "`data` sets `standardize`, but the scales are missing: name the \
                    preprocessing.json of a run with `preprocessing`";
        return Err(mistake(text));
    }
    let options = EvaluateOptions {
        component: component.component.clone(),
        sandbox: sandbox(program, file.strict).map_err(raised)?,
        limits: file.limits,
        params: params.0.clone(),
        data: DataArgs { tags: Vec::new(), standardize: Standardize::None, ..args },
        format,
        volumes: volumes_of(volumes)?,
        renames: rename.unwrap_or_default(),
        model: file.model,
        parts: vec![(data, preprocessing)],
    };
    let cancel = Cancel::new();
    let on_stop: Stop = {
        let cancel = cancel.clone();
        std::sync::Arc::new(move |_| cancel.cancel())
    };
    let nothing = py.eval(c"lambda event: None", None, None)?.unbind();
    let work = move |_: Sink| fedwasm_local::evaluate(&options, &cancel);
    let (scored, interrupted) = attend(py, nothing, on_stop, work)?;
    if let Some(interrupted) = interrupted {
        return Err(interrupted);
    }
    serde_json::to_string(&scored.map_err(raised)?).map_err(mistake)
}

/// The confusion matrix, the scores of classes and the calibration of sums of scores, from JSON to
/// JSON; `{}` for reals.
#[pyfunction]
pub(crate) fn score_report(sums: &str) -> PyResult<String> {
    let sums: ScoreSums = serde_json::from_str(sums).map_err(mistake)?;
    match sums.report() {
        Some(report) => serde_json::to_string(&report).map_err(mistake),
        None => Ok("{}".to_owned()),
    }
}

/// The differences of the runs in two directories, as JSON.
#[pyfunction]
pub(crate) fn compare(py: Python<'_>, a: PathBuf, b: PathBuf) -> PyResult<String> {
    let found = py.detach(|| fedwasm_record::compare(&a, &b)).map_err(raised)?;
    serde_json::to_string(&found).map_err(mistake)
}

/// The losses of two runs in one chart, as SVG.
#[pyfunction]
pub(crate) fn compare_svg(py: Python<'_>, a: PathBuf, b: PathBuf) -> PyResult<String> {
    py.detach(|| compare_curves(&[a.as_path(), b.as_path()])).map_err(raised)
}

/// The history of the run in a directory, as JSON.
#[pyfunction]
pub(crate) fn load_history(py: Python<'_>, dir: PathBuf) -> PyResult<String> {
    let history = py.detach(|| fedwasm_record::load_history(&dir)).map_err(raised)?;
    serde_json::to_string(&history).map_err(mistake)
}

/// The curve of a history, as SVG.
#[pyfunction]
pub(crate) fn history_svg(py: Python<'_>, history: &str) -> PyResult<String> {
    let history: History = serde_json::from_str(history).map_err(mistake)?;
    py.detach(|| draw_history(&history)).map_err(raised)
}

/// Lines over whole numbers, as SVG.
#[pyfunction]
pub(crate) fn lines_svg(
    py: Python<'_>,
    title: &str,
    x_label: &str,
    y_label: &str,
    lines: Vec<(String, Vec<(f64, f64)>)>,
) -> PyResult<String> {
    py.detach(|| draw_lines(title, [x_label, y_label], lines)).map_err(raised)
}
