//! The local job.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fedwasm_dataset::{Dataset, Format, Renames, Volumes};
use fedwasm_explain::{Explained, Kind};
use fedwasm_local::{Cancel, LocalEvent, LocalFile, LocalOptions, resumed_seed, standard_training};
use fedwasm_protocol::seed::random_seed;
use fedwasm_protocol::{DataArgs, FieldSelection};
use fedwasm_record::load_init;
use fedwasm_sandbox::{NativePlan, Sandbox};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::{Value, json};

use crate::eager::PyPlan;

use super::attend::{Sink, Stop, attend, attend_here};
use super::failure::{mistake, raised};
use super::place::sandbox;
use super::values::file;
use super::{Component, Params};

/// A local job whose arguments were checked.
#[pyclass(module = "fedwasm._native", frozen)]
pub(crate) struct LocalJob(Wanted, Option<Py<PyPlan>>);

/// The needs of a local job beside its parameters.
#[derive(Clone)]
struct Wanted {
    component: fedwasm_artifact::Component,
    program: PathBuf,
    file: LocalFile,
    data: PathBuf,
    format: Option<Format>,
    volumes: Volumes,
    renames: Renames,
    out: Option<PathBuf>,
    resume: bool,
    force: bool,
    /// The class that runs in this process in the place of the component.
    plan: Option<Arc<dyn NativePlan>>,
}

/// The result of a local job.
#[pyclass(module = "fedwasm._native", frozen)]
pub(crate) struct LocalResult {
    /// The trained parameters.
    #[pyo3(get)]
    params: Params,
    /// The rest, as JSON.
    #[pyo3(get)]
    json: String,
}

#[pymethods]
impl LocalJob {
    #[new]
    #[pyo3(signature = (component, data, arguments, *, program, format=None, volumes=None, rename=None, out=None, resume=false, force=false, plan=None))]
    #[expect(clippy::too_many_arguments, reason = "the arguments of Python, by name")]
    fn new(
        component: &Component,
        data: PathBuf,
        arguments: &Bound<'_, PyDict>,
        program: PathBuf,
        format: Option<&str>,
        volumes: Option<&Bound<'_, PyDict>>,
        rename: Option<Renames>,
        out: Option<PathBuf>,
        resume: bool,
        force: bool,
        plan: Option<Py<PyPlan>>,
    ) -> PyResult<Self> {
        let file = LocalFile::parse(&file(arguments)?, Path::new("LocalJob")).map_err(raised)?;
        let format = format.map(str::parse).transpose().map_err(|error: String| mistake(error))?;
        let volumes = volumes_of(volumes)?;
        let component = component.component.clone();
        let here = plan.as_ref().map(|plan| plan.get().native());
        let wanted = Wanted {
            component,
            program,
            file,
            data,
            format,
            volumes,
            renames: rename.unwrap_or_default(),
            out,
            resume,
            force,
            plan: here,
        };
        Ok(Self(wanted, plan))
    }

    /// Trains. The first interruption ends training after the batches on their way, the second at
    /// once. Returns the result, if there is one, and the exception of the interruption.
    #[pyo3(signature = (on_event, params=None))]
    fn run(
        &self,
        py: Python<'_>,
        on_event: Py<PyAny>,
        params: Option<&Params>,
    ) -> PyResult<(LocalResult, Option<PyErr>)> {
        let (cancel, stop, is_training) = (Cancel::new(), Cancel::new(), Arc::default());
        let on_stop = on_stop(&cancel, &stop, &is_training);
        let (wanted, params) = (self.0.clone(), params.map(|Params(params)| params.clone()));
        let work = move |sink: Sink| -> Result<fedwasm_local::LocalResult, Explained> {
            let options = wanted.options(params, (&cancel, &stop), &sink)?;
            let mut job = fedwasm_local::LocalJob::new(options)?;
            let tell = move |event| {
                is_training.store(true, Ordering::Relaxed);
                tell(&sink, event);
            };
            Ok(job.start_training(tell, &cancel)?)
        };
        let (done, interrupted) = match &self.1 {
            Some(_) => attend_here(py, on_event, on_stop, work),
            None => attend(py, on_event, on_stop, work)?,
        };
        // The exception of the class says more than the fault that came of it.
        let by_plan = self.1.as_ref().and_then(|plan| plan.get().take_exception());
        if let (Err(_), Some(error)) = (&done, by_plan) {
            return Err(error);
        }
        match (done, interrupted) {
            (Ok(result), interrupted) => Ok((shown(result)?, interrupted)),
            (Err(_), Some(interrupted)) => Err(interrupted),
            (Err(error), None) => Err(raised(error)),
        }
    }
}

/// Before training there is no progress that could be kept.
fn on_stop(cancel: &Cancel, stop: &Cancel, is_training: &Arc<AtomicBool>) -> Stop {
    let (cancel, stop, is_training) = (cancel.clone(), stop.clone(), Arc::clone(is_training));
    Arc::new(move |nth| match nth {
        1 if is_training.load(Ordering::Relaxed) => stop.cancel(),
        _ => cancel.cancel(),
    })
}

impl Wanted {
    /// The options of the job, as the command line makes them of its file.
    fn options(
        self,
        params: Option<fedwasm_params::Params>,
        (cancel, stop): (&Cancel, &Cancel),
        sink: &Sink,
    ) -> Result<LocalOptions, Explained> {
        let Self { component, program, file, data: path, format, volumes, renames, .. } = self;
        let Self { out, resume, force, plan, .. } = self;
        let note = |text: String| sink.tell(json!({ "event": "note", "message": text }));
        if !file.unused.is_empty() {
            note(format!("a local job is one round; not used: {}", file.unused.join(", ")));
        }
        let target = match file.target(None) {
            Some(target) => target,
            None => only_target((&path, format), &volumes, &renames)?,
        };
        let data = match file.data {
            Some(data) => DataArgs { target, ..data },
            None => DataArgs::of(target),
        };
        let mut training = match file.training {
            Some(training) => training,
            None => standard_training()?,
        };
        if training.test_ratio == 0.0 {
            note("no rows are held out (test_ratio is 0), so nothing is scored".into());
        }
        let resumed = || out.as_deref().filter(|_| resume).and_then(resumed_seed);
        let random_seed = match training.random_seed.or_else(resumed) {
            Some(seed) => seed,
            None => random_seed()?,
        };
        training.random_seed = Some(random_seed);
        Ok(LocalOptions {
            sandbox: match plan {
                Some(plan) => Sandbox::native(plan),
                None => sandbox(program, file.strict)?,
            }
            .with_cancel(cancel),
            component,
            limits: file.limits,
            path,
            format,
            volumes,
            renames,
            data,
            training,
            model: file.model,
            params: match (params, &file.init) {
                (None, Some(init)) => Some(load_init(init)?.0),
                (params, _) => params,
            },
            init_only: file.init_only,
            out,
            random_seed,
            local: file.local,
            fold: None,
            resume,
            force,
            stop: stop.clone(),
        })
    }
}

/// How volumes are read: a dict as the file of `--volumes`.
pub(crate) fn volumes_of(volumes: Option<&Bound<'_, PyDict>>) -> PyResult<Volumes> {
    let text = volumes.map(file).transpose()?.unwrap_or_default();
    toml::from_str(&text).map_err(|error| mistake(format!("`volumes`: {error}")))
}

/// The only column that the data can mean, if no argument names one.
fn only_target(
    (path, format): (&Path, Option<Format>),
    volumes: &Volumes,
    renames: &Renames,
) -> Result<FieldSelection, Explained> {
    let data = Dataset::open_with(path, format, volumes).and_then(|data| data.renamed(renames));
    let data = data.map_err(fedwasm_local::Error::from)?;
    data.default_target().map(FieldSelection::from).ok_or_else(|| {
        let text = "the target is missing; name the column to predict with `target`";
        Explained::new(Kind::Usage, text)
    })
}

fn tell(sink: &Sink, event: LocalEvent) {
    match event {
        LocalEvent::Ready { n_train, n_test, per_epoch, batches } => sink.tell(json!({
            "event": "ready", "n_train": n_train, "n_test": n_test, "per_epoch": per_epoch,
            "batches": batches,
        })),
        LocalEvent::Step { step, steps_max, loss } => sink.tell_if_free(json!({
            "event": "step", "step": step, "steps_max": steps_max, "loss": loss,
        })),
        LocalEvent::Validated { record, is_best } => sink.tell(json!({
            "event": "validated", "epoch": record.epoch, "step": record.step,
            "metrics": record.evaluation.metrics, "best": is_best,
        })),
        LocalEvent::Log(level, line) => {
            let level = format!("{level:?}").to_lowercase();
            sink.tell(json!({ "event": "log", "level": level, "message": line }));
        }
        LocalEvent::Warning(text) => sink.tell(json!({ "event": "warning", "message": text })),
    }
}

fn shown(result: fedwasm_local::LocalResult) -> PyResult<LocalResult> {
    let fedwasm_local::LocalResult { params, .. } = result;
    let json: Value = json!({
        "params_sha256": result.params_sha256,
        "preprocessing": result.preprocessing,
        "evaluation": result.evaluation,
        "history": result.history,
        "batches": result.batches,
        "batches_max": result.batches_max,
        "enough": result.enough,
        "best": result.best,
    });
    Ok(LocalResult { params: Params(params), json: json.to_string() })
}
