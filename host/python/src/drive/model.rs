//! A model in use.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use fedwasm_local::{
    Cancel, EvaluateRows, PredictRows, PredictionColumn, PredictionTable, Renames, TableFormat,
    TableWriter, UsableModel,
};
use fedwasm_report::{card_html, card_markdown};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Params;
use super::attend::{Sink, Stop, attend};
use super::failure::{mistake, raised};
use super::local::volumes_of;
use super::place::sandbox;

/// A model, read and checked.
#[pyclass(module = "fedwasm._native", frozen, name = "Model")]
pub(crate) struct PyModel(Arc<UsableModel>);

/// Predictions, column by column.
#[pyclass(module = "fedwasm._native", frozen)]
pub(crate) struct Predictions(PredictionTable);

#[pymethods]
impl PyModel {
    /// Reads a model, with the JSON of scales instead of its own.
    #[new]
    #[pyo3(signature = (path, *, program, scales=None))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        program: PathBuf,
        scales: Option<&str>,
    ) -> PyResult<Self> {
        let scales = scales.map(serde_json::from_str).transpose();
        let scales = scales.map_err(|error| mistake(format!("`scales`: {error}")))?;
        let sandbox = sandbox(program, false).map_err(raised)?;
        let model = py.detach(|| UsableModel::open(&path, scales, &sandbox));
        model.map(|model| Self(Arc::new(model))).map_err(raised)
    }

    /// `model.json`.
    #[getter]
    fn json(&self) -> PyResult<String> {
        serde_json::to_string(self.0.about()).map_err(mistake)
    }

    /// Its directory.
    #[getter]
    fn path(&self) -> PathBuf {
        self.0.model.dir.clone()
    }

    /// Its parameters.
    #[getter]
    fn params(&self) -> Params {
        Params(self.0.model.params.clone())
    }

    /// Its card: Markdown, or a page.
    fn card(&self, html: bool) -> String {
        let about = self.0.about();
        if html { card_html(about) } else { card_markdown(about) }
    }

    /// Predicts for all rows of a file.
    #[expect(clippy::too_many_arguments, reason = "the arguments of Python, by name")]
    #[pyo3(signature = (data, *, format=None, volumes=None, rename=None, id=None, scores=false))]
    fn predict(
        &self,
        py: Python<'_>,
        data: PathBuf,
        format: Option<&str>,
        volumes: Option<&Bound<'_, PyDict>>,
        rename: Option<Renames>,
        id: Option<String>,
        scores: bool,
    ) -> PyResult<Predictions> {
        let format = format.map(str::parse).transpose().map_err(|error: String| mistake(error))?;
        let volumes = volumes.map(|volumes| volumes_of(Some(volumes))).transpose()?;
        let (path, renames, raw) = (data, rename.unwrap_or_default(), scores);
        let rows = PredictRows { path, format, volumes, renames, id, raw };
        let model = Arc::clone(&self.0);
        let all = move |cancel: &Cancel| {
            let mut all = PredictionTable::default();
            model.predict(&rows, cancel, |table| {
                all.append(table);
                Ok(())
            })?;
            Ok(all)
        };
        attended(py, all).map(Predictions)
    }

    /// Scores it on all rows of a file; the evaluation as JSON.
    #[pyo3(signature = (data, *, format=None, volumes=None, rename=None))]
    fn evaluate(
        &self,
        py: Python<'_>,
        data: PathBuf,
        format: Option<&str>,
        volumes: Option<&Bound<'_, PyDict>>,
        rename: Option<Renames>,
    ) -> PyResult<String> {
        let format = format.map(str::parse).transpose().map_err(|error: String| mistake(error))?;
        let volumes = volumes.map(|volumes| volumes_of(Some(volumes))).transpose()?;
        let (model, renames) = (Arc::clone(&self.0), rename.unwrap_or_default());
        let rows = EvaluateRows { path: data, format, volumes, renames };
        let scored = attended(py, move |cancel| model.evaluate(rows, cancel))?;
        serde_json::to_string(&scored).map_err(mistake)
    }
}

#[pymethods]
impl Predictions {
    /// The names of the columns.
    fn names(&self) -> Vec<&str> {
        self.0.columns.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The values of a column; none where a score gives no probability.
    fn column(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        let column = self.0.columns.iter().find(|(known, _)| known == name);
        let (_, column) = column.ok_or_else(|| mistake(format!("no column is called {name}")))?;
        let list = match column {
            PredictionColumn::Integers(values) => values.into_pyobject(py)?,
            PredictionColumn::Reals(values) => values.into_pyobject(py)?,
            PredictionColumn::Texts(values) => values.into_pyobject(py)?,
        };
        Ok(list.unbind())
    }

    /// Writes the table: Parquet by the name of the file, otherwise CSV.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| {
            let format = TableFormat::of(&path).unwrap_or(TableFormat::Csv);
            let write = |into: &mut (dyn Write + Send)| {
                let mut writer = TableWriter::new(into, format);
                writer.write(&self.0)?;
                writer.finish()
            };
            fedwasm_folder::write_file_with(&path, write).map_err(raised)
        })
    }
}

/// Does work that Ctrl-C ends.
fn attended<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce(&Cancel) -> Result<T, fedwasm_local::Error> + Send + 'static,
) -> PyResult<T> {
    let cancel = Cancel::new();
    let on_stop: Stop = {
        let cancel = cancel.clone();
        Arc::new(move |_| cancel.cancel())
    };
    let nothing = py.eval(c"lambda event: None", None, None)?.unbind();
    let (done, interrupted) = attend(py, nothing, on_stop, move |_: Sink| work(&cancel))?;
    match interrupted {
        Some(interrupted) => Err(interrupted),
        None => done.map_err(raised),
    }
}
