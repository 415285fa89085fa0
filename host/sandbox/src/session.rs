//! A plan that runs.

use fedwasm_params::{DType, Params, Tensor};
use fedwasm_protocol::{Arguments, Metrics, printable};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use wasmtime::{Store, Trap, UpdateDeadline};

use crate::bindings::types::{self, PlanError};
use crate::bindings::{TrainingPlan, TrainingPlanPre, plan};
use crate::describe::{Declaration, TensorSpec, check_declaration};
use crate::host::{Event, Export, Host, Loader};
use crate::store::Slot;
use crate::{Cancel, Described, Error, Fault, FaultKind, Limits, PlanName, Sandbox};

/// The most bytes that a plan hands to the host in one call: a chunk of a
/// tensor and what goes with it.
const HOSTCALL_BYTES_MAX: usize = 32 << 20;
/// The most metrics of a report, which has to fit into a message.
const METRICS_MAX: usize = 64;
/// The longest name of a metric, in bytes.
const METRIC_BYTES_MAX: usize = 64;

/// What a plan says that it did.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Optimizer steps.
    pub steps: u64,
    /// Rows seen, repetitions counted.
    pub rows: u64,
    /// The plan's own metrics, all finite.
    pub metrics: Metrics,
}

/// What training starts from.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Model parameters.
    pub model: Params,
    /// Auxiliary variables from the researcher.
    pub aux_in: Params,
    /// Node state; zeros if none.
    pub state: Option<Params>,
}

/// What a call left behind.
#[derive(Debug)]
pub struct Outcome {
    /// Model parameters.
    pub model: Params,
    /// Auxiliary variables for the researcher; zeros where training wrote none.
    pub aux_out: Params,
    /// Node state.
    pub state: Params,
    /// What the plan says that it did; none after `init` and `predict`.
    pub report: Option<Report>,
    /// Scores of each batch, float32 [rows, columns]; only after `predict`.
    pub predictions: Vec<Tensor>,
    /// Rows handed out, repetitions counted.
    pub rows: u64,
}

/// A plan whose shapes are known. Each of its calls runs in a fresh store, and
/// blocks: do not call it on an async thread.
#[derive(Clone, Debug)]
pub struct Session {
    described: Described,
    arguments: Arguments,
    declaration: Declaration,
}

impl Described {
    /// Asks the plan for the shapes that follow from `arguments`, which
    /// [`crate::Metadata::arguments`] made.
    ///
    /// # Errors
    /// [`Error::Fault`].
    pub fn session(&self, given: Arguments) -> Result<Session, Error> {
        let arguments = cross(&given);
        let call_with = Call { export: Export::Declare, ..Call::pure(&self.limits) };
        let (declared, _) =
            call(&self.sandbox, &self.pre, &self.plan, call_with, |plan, store| {
                plan.fedwasm_training_plan_plan().call_declare(store, &arguments)
            })?;
        let declared = declared.map_err(|error| gave_up(&self.plan, error))?;
        let declaration = check_declaration(declared, self.limits.declared_bytes_max);
        let bad = |detail| Fault { plan: self.plan.clone(), kind: FaultKind::BadOutput, detail };
        let declaration = declaration.map_err(bad)?;
        Ok(Session { described: self.clone(), arguments: given, declaration })
    }
}

impl Session {
    /// The shapes of everything that the session holds.
    pub fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// The plan, as it described itself.
    pub fn described(&self) -> &Described {
        &self.described
    }

    /// Runs `init`: the initial model parameters from `seed`.
    ///
    /// # Errors
    /// [`Error::Fault`].
    pub fn init(&self, seed: [u8; 32], cancel: &Cancel) -> Result<Params, Error> {
        let zeros = zeros(&self.declaration.model).map_err(|error| self.misfit(error))?;
        let arguments = cross(&self.arguments);
        let run = self.run(Export::Init, Start { model: zeros, ..self.blank()? }, seed, cancel)?;
        let outcome = self.call(run, |plan, store| {
            let result = plan.call_init(store, &arguments)?;
            Ok(result.map(|()| None))
        })?;
        Ok(outcome.model)
    }

    /// Runs `train` on the batches of `loader`.
    ///
    /// # Errors
    /// [`Error::Params`] if the tensors of `start` are not exactly the declared
    /// ones, [`Error::Fault`], [`Error::Loader`].
    pub fn train(
        &self,
        start: Start,
        seed: [u8; 32],
        loader: Box<dyn Loader>,
        events: Box<dyn FnMut(Event) + Send>,
        cancel: &Cancel,
    ) -> Result<Outcome, Error> {
        let arguments = cross(&self.arguments);
        let run = self.run(Export::Train, start, seed, cancel)?;
        let run = Call { loader: Some(loader), events, ..run };
        self.call(run, |plan, store| Ok(plan.call_train(store, &arguments)?.map(Some)))
    }

    /// Runs `predict` on the batches of `loader`, whose targets stay hidden.
    ///
    /// # Errors
    /// As [`Session::train`], and [`FaultKind::BadOutput`] unless every batch
    /// got its scores.
    pub fn predict(
        &self,
        model: Params,
        seed: [u8; 32],
        loader: Box<dyn Loader>,
        cancel: &Cancel,
    ) -> Result<Outcome, Error> {
        let arguments = cross(&self.arguments);
        let start = Start { model, ..self.blank()? };
        let run = self.run(Export::Predict, start, seed, cancel)?;
        let run = Call { loader: Some(loader), ..run };
        self.call(run, |plan, store| Ok(plan.call_predict(store, &arguments)?.map(|()| None)))
    }

    /// Runs `validate` on the batches of `loader`.
    ///
    /// # Errors
    /// As [`Session::train`].
    pub fn validate(
        &self,
        model: Params,
        seed: [u8; 32],
        loader: Box<dyn Loader>,
        cancel: &Cancel,
    ) -> Result<Outcome, Error> {
        let arguments = cross(&self.arguments);
        let start = Start { model, ..self.blank()? };
        let run = self.run(Export::Validate, start, seed, cancel)?;
        let run = Call { loader: Some(loader), ..run };
        self.call(run, |plan, store| Ok(plan.call_validate(store, &arguments)?.map(Some)))
    }

    /// Zeros for everything that only training sees.
    fn blank(&self) -> Result<Start, Error> {
        let aux_in = zeros(&self.declaration.aux_in).map_err(|error| self.misfit(error))?;
        Ok(Start { model: Params::default(), aux_in, state: None })
    }

    fn run(
        &self,
        export: Export,
        start: Start,
        seed: [u8; 32],
        cancel: &Cancel,
    ) -> Result<Call, Error> {
        let slots = || -> Result<[Slot; 4], fedwasm_params::Error> {
            let Declaration { model, aux_in, aux_out, state, .. } = &self.declaration;
            let kept = match start.state {
                Some(kept) => kept,
                None => zeros(state)?,
            };
            Ok([
                slot(model, start.model)?,
                slot(aux_in, start.aux_in)?,
                slot(aux_out, zeros(aux_out)?)?,
                slot(state, kept)?,
            ])
        };
        Ok(Call {
            export,
            limits: self.described.limits.clone(),
            seed,
            cancel: cancel.clone(),
            loader: None,
            events: Box::new(drop),
            slots: slots().map_err(|error| self.misfit(error))?,
        })
    }

    fn call(
        &self,
        run: Call,
        guest: impl FnOnce(
            &plan::Guest,
            &mut Store<Host>,
        ) -> wasmtime::Result<Result<Option<plan::Report>, PlanError>>,
    ) -> Result<Outcome, Error> {
        let Described { sandbox, pre, plan, .. } = &self.described;
        let (result, host) = call(sandbox, pre, plan, run, |instance, store| {
            guest(instance.fedwasm_training_plan_plan(), store)
        })?;
        if let Some(reason) = host.loader_error {
            return Err(Error::Loader { reason });
        }
        let report = result.map_err(|error| gave_up(plan, error))?;
        let bad = |detail| Fault { plan: plan.clone(), kind: FaultKind::BadOutput, detail };
        let report = report.map(check_report).transpose().map_err(bad)?;
        let predictions = match host.export {
            Export::Predict => {
                let mut predictions = host.predictions;
                predictions.resize(host.batch_rows.len(), None);
                let all: Option<Vec<Tensor>> = predictions.into_iter().collect();
                all.ok_or_else(|| bad("a batch has no predictions".into()))?
            }
            _ => Vec::new(),
        };
        let named = |specs: &[TensorSpec], slot: Slot| {
            let names = specs.iter().map(|spec| spec.name.clone());
            Params::new(names.zip(slot.tensors).collect()).map_err(|error| self.misfit(error))
        };
        Ok(Outcome {
            model: named(&self.declaration.model, host.model)?,
            aux_out: named(&self.declaration.aux_out, host.aux_out)?,
            state: named(&self.declaration.state, host.state)?,
            report,
            predictions,
            rows: host.n_rows,
        })
    }

    fn misfit(&self, source: fedwasm_params::Error) -> Error {
        Error::Params { plan: self.described.plan.clone(), source }
    }
}

/// Bytes of these tensors.
pub fn n_bytes(specs: &[TensorSpec]) -> u64 {
    let bytes =
        |spec: &TensorSpec| spec.shape.iter().product::<u64>() * DType::size(spec.dtype) as u64;
    specs.iter().map(bytes).sum()
}

/// Tensors of zeros, as these specifications say.
fn zeros(specs: &[TensorSpec]) -> Result<Params, fedwasm_params::Error> {
    let zero =
        |spec: &TensorSpec| Ok((spec.name.clone(), Tensor::zeros(spec.dtype, spec.shape.clone())?));
    Params::new(specs.iter().map(zero).collect::<Result<_, _>>()?)
}

/// Tensors that must be exactly the declared ones.
fn slot(specs: &[TensorSpec], tensors: Params) -> Result<Slot, fedwasm_params::Error> {
    let wanted = specs.iter();
    let wanted = wanted.map(|spec| (spec.name.as_str(), spec.dtype, spec.shape.as_slice()));
    Ok(Slot::new(specs, tensors.arrange(wanted)?))
}

/// All that one call needs beside the plan.
pub(crate) struct Call {
    export: Export,
    limits: Limits,
    seed: [u8; 32],
    cancel: Cancel,
    loader: Option<Box<dyn Loader>>,
    events: Box<dyn FnMut(Event) + Send>,
    /// Model, auxiliary variables in and out, state.
    slots: [Slot; 4],
}

impl Call {
    /// A call that has nothing to compute.
    pub(crate) fn pure(limits: &Limits) -> Self {
        Self {
            export: Export::Describe,
            limits: limits.pure(),
            seed: [0; 32],
            cancel: Cancel::new(),
            loader: None,
            events: Box::new(drop),
            slots: Default::default(),
        }
    }
}

/// Ends a call from within; wasmtime hands it back to [`fault`].
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("the deadline passed")]
    Deadline,
    #[error("cancelled")]
    Cancelled,
}

/// Instantiates the plan in a fresh store, calls one export, and returns what
/// it said and what the host holds. The store is gone afterwards.
pub(crate) fn call<T>(
    sandbox: &Sandbox,
    pre: &TrainingPlanPre<Host>,
    plan: &PlanName,
    call: Call,
    guest: impl FnOnce(&TrainingPlan, &mut Store<Host>) -> wasmtime::Result<T>,
) -> Result<(T, Host), Error> {
    let random = ChaCha20Rng::from_seed(call.seed);
    let mut host = Host::new(call.export, call.limits, random, call.cancel, call.events);
    let [model, aux_in, aux_out, state] = call.slots;
    (host.model, host.aux_in, host.aux_out, host.state) = (model, aux_in, aux_out, state);
    host.loader = call.loader;
    let mut store = Store::new(&sandbox.engine, host);
    store.limiter(|host| &mut host.meter);
    store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| {
        let host = store.data();
        if host.cancel.is_cancelled() {
            return Err(Stop::Cancelled.into());
        }
        if std::time::Instant::now() >= host.deadline {
            return Err(Stop::Deadline.into());
        }
        Ok(UpdateDeadline::Continue(1))
    });
    let result = pre.instantiate(&mut store).and_then(|instance| guest(&instance, &mut store));
    let host = store.into_data();
    match result {
        Ok(value) => Ok((value, host)),
        Err(error) => match host.loader_error {
            Some(reason) => Err(Error::Loader { reason }),
            None => Err(fault(plan, &host, &error).into()),
        },
    }
}

/// Names what happened inside the engine.
fn fault(plan: &PlanName, host: &Host, error: &wasmtime::Error) -> Fault {
    let limits = &host.limits;
    let out_of_memory = || format!("its limit is {} bytes", limits.memory_bytes_max);
    let (kind, detail) = match (error.downcast_ref::<Stop>(), error.downcast_ref::<Trap>()) {
        (Some(Stop::Deadline), _) => {
            (FaultKind::DeadlineExceeded, format!("its limit is {} ms", limits.time_ms_max))
        }
        (Some(Stop::Cancelled), _) => (FaultKind::Cancelled, "asked to stop".into()),
        (None, Some(Trap::StackOverflow)) => {
            (FaultKind::StackExhausted, "recursion without end?".into())
        }
        (None, Some(Trap::UnreachableCodeReached)) if host.meter.refused => {
            (FaultKind::OutOfMemory, out_of_memory())
        }
        (None, Some(Trap::UnreachableCodeReached)) => {
            let message = host.last_error.clone();
            (FaultKind::Panicked, message.unwrap_or_else(|| "without a message".into()))
        }
        (None, Some(trap)) => (FaultKind::Crashed, trap.to_string()),
        (None, None) if host.meter.refused => (FaultKind::OutOfMemory, out_of_memory()),
        (None, None) => (FaultKind::Crashed, printable(&format!("{error:#}"))),
    };
    Fault { plan: plan.clone(), kind, detail }
}

fn gave_up(plan: &PlanName, error: PlanError) -> Fault {
    let (kind, detail) = match error {
        PlanError::Cancelled => (FaultKind::Cancelled, "asked to stop".to_owned()),
        PlanError::InvalidArgument(text) => (FaultKind::InvalidArgument, text),
        PlanError::BadData(text) => (FaultKind::BadData, text),
        PlanError::NonFinite(text) => {
            let hint = "try a smaller learning rate or standardised inputs";
            (FaultKind::NotFinite, format!("{text}; {hint}"))
        }
        PlanError::Unsupported(text) => (FaultKind::GaveUp, format!("unsupported: {text}")),
        PlanError::Internal(text) => (FaultKind::GaveUp, text),
    };
    Fault { plan: plan.clone(), kind, detail: printable(&detail) }
}

fn check_report(report: plan::Report) -> Result<Report, String> {
    if report.metrics.len() > METRICS_MAX {
        return Err(format!("{} metrics, at most {METRICS_MAX}", report.metrics.len()));
    }
    let mut metrics = Metrics::new();
    for (name, value) in report.metrics {
        if name.is_empty() || name.len() > METRIC_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(format!("`{}` is not the name of a metric", printable(&name)));
        }
        if !value.is_finite() {
            return Err(format!("its metric `{name}` is {value}"));
        }
        metrics.insert(name, value);
    }
    Ok(Report { steps: report.steps, rows: report.rows, metrics })
}

fn cross(arguments: &Arguments) -> Vec<(String, types::Value)> {
    arguments.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect()
}
