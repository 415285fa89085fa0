//! A running plan, and the checks on the results of its calls.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use fedwasm_params::{DType, Params, Tensor};
use fedwasm_protocol::{Arguments, Limits, Metrics, printable};

use crate::batch::{Batch, Loader};
use crate::declaration::{Declaration, TensorSpec};
use crate::event::PlanEvent;
use crate::imports::are_scores;
use crate::request::{Export, PlainReport, PlainSlot, Request, Response, Returned, Said, Usage};
use crate::{Cancel, Described, Error, Fault, FaultKind};

/// The most metrics of a report, which has to fit into a message.
const METRICS_MAX: usize = 64;
/// The longest name of a metric, in bytes.
const METRIC_BYTES_MAX: usize = 64;

/// A plan's own report of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Optimizer steps.
    pub steps: u64,
    /// Rows seen, repetitions counted.
    pub rows: u64,
    /// The plan's own metrics, all finite.
    pub metrics: Metrics,
}

/// The tensors that training starts from.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Model parameters.
    pub model: Params,
    /// Auxiliary variables from the researcher.
    pub aux_in: Params,
    /// Node state; zeros if none.
    pub state: Option<Params>,
    /// Bytes of the random stream that were drawn before, where training resumes after a break.
    pub drawn: u64,
}

/// The results of a call.
#[derive(Debug)]
pub struct Outcome {
    /// Model parameters; only after `init` and `train`, other calls write none.
    pub model: Params,
    /// Auxiliary variables for the researcher, zeros where training wrote none;
    /// only after `train`.
    pub aux_out: Params,
    /// Node state; only after `train`.
    pub state: Params,
    /// The plan's own report; none after `init` and `predict`.
    pub report: Option<Report>,
    /// Scores of each batch, float32 [rows, columns]; only after `predict`.
    pub predictions: Vec<Tensor>,
    /// Rows given, repetitions counted.
    pub rows: u64,
    /// Batches that the plan took.
    pub batches: u64,
    /// The resources that the call used.
    pub usage: Usage,
}

/// A plan whose shapes are known. Each of its calls runs in a fresh store, and
/// blocks: do not call it on an async thread.
#[derive(Clone, Debug)]
pub struct Session {
    described: Described,
    arguments: Arguments,
    declaration: Declaration,
}

/// The newest declaration, with the arguments and the limits that it follows from: round after round
/// asks for the same one.
pub(crate) type Declared = Arc<Mutex<Option<(Arguments, Limits, Declaration)>>>;

impl Described {
    /// Asks the plan for the shapes that follow from `arguments`, which
    /// [`crate::Metadata::arguments`] made, unless these were the newest.
    ///
    /// # Errors
    /// [`Error::Fault`].
    pub fn session(&self, arguments: Arguments) -> Result<Session, Error> {
        let newest = || self.declared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, limits, declaration)) = &*newest()
            && (known, limits) == (&arguments, &self.limits)
        {
            let (described, declaration) = (self.clone(), declaration.clone());
            return Ok(Session { described, arguments, declaration });
        }
        let request = Request::pure(Export::Declare, self.limits.of_declare(), arguments.clone());
        let answer = self.runner.run(&self.plan, request, None, Box::new(drop), &self.cancel)?;
        let Said::Declaration(declaration) = answer.said else {
            return Err(self.bad("it does not declare its shapes".into()).into());
        };
        declaration.check(self.limits.declared_bytes_max).map_err(|detail| self.bad(detail))?;
        *newest() = Some((arguments.clone(), self.limits.clone(), declaration.clone()));
        Ok(Session { described: self.clone(), arguments, declaration })
    }

    /// A fault of this plan.
    pub fn fault(&self, kind: FaultKind, detail: impl std::fmt::Display) -> Fault {
        Fault { plan: self.plan.clone(), kind, detail: printable(&detail.to_string()) }
    }

    /// The plan's result differs from its announcement.
    fn bad(&self, detail: String) -> Fault {
        self.fault(FaultKind::BadOutput, detail)
    }
}

impl Session {
    /// The plan's arguments, those that were not given with their defaults.
    pub fn arguments(&self) -> &Arguments {
        &self.arguments
    }

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
        let model = zeros(&self.declaration.model).map_err(|error| self.misfit(error))?;
        let start = Start { model, ..self.blank()? };
        Ok(self.call(Export::Init, start, seed, None, Box::new(drop), cancel)?.model)
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
        events: Box<dyn FnMut(PlanEvent) + Send>,
        cancel: &Cancel,
    ) -> Result<Outcome, Error> {
        self.call(Export::Train, start, seed, Some(loader), events, cancel)
    }

    /// Runs `predict` on the batches of `loader`, whose targets stay hidden:
    /// they do not even reach the plan's process.
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
        self.score(Export::Predict, model, seed, loader, cancel)
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
        self.score(Export::Validate, model, seed, loader, cancel)
    }

    /// Runs an export that writes no tensor, and drops its events.
    fn score(
        &self,
        export: Export,
        model: Params,
        seed: [u8; 32],
        loader: Box<dyn Loader>,
        cancel: &Cancel,
    ) -> Result<Outcome, Error> {
        let start = Start { model, ..self.blank()? };
        self.call(export, start, seed, Some(loader), Box::new(drop), cancel)
    }

    /// Zeros for everything that only training sees.
    fn blank(&self) -> Result<Start, Error> {
        let aux_in = zeros(&self.declaration.aux_in).map_err(|error| self.misfit(error))?;
        Ok(Start { aux_in, ..Start::default() })
    }

    fn call(
        &self,
        export: Export,
        start: Start,
        seed: [u8; 32],
        loader: Option<Box<dyn Loader>>,
        mut events: Box<dyn FnMut(PlanEvent) + Send>,
        cancel: &Cancel,
    ) -> Result<Outcome, Error> {
        let Declaration { model, aux_in, aux_out, state, .. } = &self.declaration;
        let tensors = || -> Result<[Vec<Tensor>; 4], fedwasm_params::Error> {
            let kept = match start.state {
                Some(kept) => kept,
                None => zeros(state)?,
            };
            Ok([
                arranged(model, start.model)?,
                arranged(aux_in, start.aux_in)?,
                arranged(aux_out, zeros(aux_out)?)?,
                arranged(state, kept)?,
            ])
        };
        let [of_model, of_aux_in, of_aux_out, of_state] =
            tensors().map_err(|error| self.misfit(error))?;
        // Tensors that a call may not write are taken from here, not from the response.
        let is_init = export == Export::Init;
        let kept = [
            constants(model, &of_model, is_init),
            constants(aux_out, &of_aux_out, false),
            constants(state, &of_state, false),
        ];
        let request = Request {
            export,
            arguments: self.arguments.clone(),
            limits: self.described.limits.clone(),
            seed,
            drawn: start.drawn,
            model: PlainSlot::new(model, of_model),
            aux_in: PlainSlot::new(aux_in, of_aux_in),
            aux_out: PlainSlot::new(aux_out, of_aux_out),
            state: PlainSlot::new(state, of_state),
        };
        let handed = Arc::new(Mutex::new(Vec::new()));
        let loader = loader.map(|loader| {
            let handed = Arc::clone(&handed);
            Box::new(Counted { loader, handed, hides_targets: export == Export::Predict }) as _
        });
        let Described { runner, plan, processor_us, .. } = &self.described;
        let steps = Arc::clone(&handed);
        let events = Box::new(move |event| match event {
            // The number of steps cannot exceed that of batches, even if the plan counts more.
            PlanEvent::Scalars { step, values } => {
                let n = steps.lock().unwrap_or_else(PoisonError::into_inner).len();
                events(PlanEvent::Scalars { step: step.min(n as u64), values });
            }
            log => events(log),
        });
        let start = Instant::now();
        let mut answer = runner.run(plan, request, loader, events, cancel)?;
        let wall_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        answer.usage.processor_us = answer.usage.processor_us.min(wall_us);
        processor_us.fetch_add(answer.usage.processor_us, Ordering::Relaxed);
        let handed = std::mem::take(&mut *handed.lock().unwrap_or_else(PoisonError::into_inner));
        let checked = self.check(export, answer, &handed, kept);
        checked.map_err(|detail| self.described.bad(detail).into())
    }

    /// Checks the results of a call: they may come from a process that the plan has taken over.
    fn check(
        &self,
        export: Export,
        answer: Response,
        handed: &[u32],
        kept: [Vec<Option<Tensor>>; 3],
    ) -> Result<Outcome, String> {
        let n_taken = usize::try_from(answer.n_batches).ok().and_then(|n| handed.get(..n));
        let taken = n_taken.ok_or("it took more batches than the loader has")?;
        let predictions = match export {
            Export::Predict => {
                let max = self.described.limits.prediction_bytes_max;
                check_predictions(answer.predictions, taken, max)?
            }
            _ => Vec::new(),
        };
        let report = match (export, answer.said) {
            (Export::Train | Export::Validate, Said::Report(report)) => Some(check_report(report)?),
            (Export::Init | Export::Predict, Said::Nothing) => None,
            _ => return Err("its result belongs to another export than the one called".into()),
        };
        let Declaration { model, aux_out, state, .. } = &self.declaration;
        let [of_model, of_aux_out, of_state] = kept;
        let (in_init, in_train) = (export == Export::Init, export == Export::Train);
        let whole = |specs, returned: Vec<Returned>, constants, is_written| {
            if is_written {
                whole(specs, returned, constants)
            } else if returned.is_empty() {
                Ok(Params::default())
            } else {
                Err(format!("it returned {} tensors that it may not write", returned.len()))
            }
        };
        Ok(Outcome {
            model: whole(model, answer.model, of_model, in_init || in_train)?,
            aux_out: whole(aux_out, answer.aux_out, of_aux_out, in_train)?,
            state: whole(state, answer.state, of_state, in_train)?,
            report,
            predictions,
            rows: taken.iter().map(|rows| u64::from(*rows)).sum(),
            batches: taken.len() as u64,
            usage: answer.usage,
        })
    }

    fn misfit(&self, source: fedwasm_params::Error) -> Error {
        Error::Params { plan: self.described.plan.clone(), source }
    }
}

/// A loader that remembers the rows of each batch that it gave.
struct Counted {
    loader: Box<dyn Loader>,
    handed: Arc<Mutex<Vec<u32>>>,
    hides_targets: bool,
}

impl Loader for Counted {
    fn next(&mut self) -> Result<Option<Batch>, String> {
        let Some(mut batch) = self.loader.next()? else { return Ok(None) };
        self.handed.lock().unwrap_or_else(PoisonError::into_inner).push(batch.rows);
        if self.hides_targets {
            batch.targets.clear();
        }
        Ok(Some(batch))
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
fn arranged(specs: &[TensorSpec], tensors: Params) -> Result<Vec<Tensor>, fedwasm_params::Error> {
    let wanted = specs.iter();
    let wanted = wanted.map(|spec| (spec.name.as_str(), spec.dtype, spec.shape.as_slice()));
    tensors.arrange(wanted)
}

/// The tensors that a call cannot write.
fn constants(specs: &[TensorSpec], tensors: &[Tensor], any: bool) -> Vec<Option<Tensor>> {
    let writable = specs.iter().map(|spec| spec.trainable || any);
    let pairs = tensors.iter().zip(writable);
    pairs.map(|(tensor, writable)| (!writable).then(|| tensor.clone())).collect()
}

/// Assembles a slot from the returned tensors and those that a call cannot write.
fn whole(
    specs: &[TensorSpec],
    returned: Vec<Returned>,
    constants: Vec<Option<Tensor>>,
) -> Result<Params, String> {
    if returned.len() != specs.len() {
        return Err(format!(
            "it returned {} tensors, {} were declared",
            returned.len(),
            specs.len()
        ));
    }
    let mut tensors = Vec::with_capacity(specs.len());
    for ((spec, Returned(elements)), constant) in specs.iter().zip(returned).zip(constants) {
        let tensor = match (constant, elements) {
            (Some(constant), _) => constant,
            (None, Some(elements)) => {
                let tensor = Tensor::new(spec.dtype, spec.shape.clone(), elements.bytes);
                tensor.map_err(|error| format!("`{}`: {error}", spec.name))?
            }
            (None, None) => return Err(format!("it did not return `{}`", spec.name)),
        };
        tensors.push((spec.name.clone(), tensor));
    }
    Params::new(tensors).map_err(|error| error.to_string())
}

fn check_predictions(
    predictions: Vec<Option<crate::request::PlainTensor>>,
    taken: &[u32],
    bytes_max: usize,
) -> Result<Vec<Tensor>, String> {
    let bytes: usize = predictions.iter().flatten().map(|scores| scores.data.len()).sum();
    if bytes > bytes_max {
        return Err(format!(
            "{bytes} bytes of predictions, at most {bytes_max} (`prediction_bytes_max`)"
        ));
    }
    if predictions.len() != taken.len() {
        return Err(format!(
            "it returned predictions for {} batches, expected {}",
            predictions.len(),
            taken.len()
        ));
    }
    let scores = |(scores, rows): (Option<crate::request::PlainTensor>, &u32)| {
        let scores = scores.ok_or("a batch has no predictions")?;
        let scores = Tensor::try_from(scores).map_err(|error| error.to_string())?;
        if are_scores(&scores, *rows) {
            Ok(scores)
        } else {
            Err("its predictions are not scores".to_owned())
        }
    };
    predictions.into_iter().zip(taken).map(scores).collect()
}

fn check_report(report: PlainReport) -> Result<Report, String> {
    if report.metrics.len() > METRICS_MAX {
        return Err(format!("{} metrics, at most {METRICS_MAX}", report.metrics.len()));
    }
    let mut metrics = Metrics::new();
    for (name, value) in report.metrics {
        if name.is_empty() || name.len() > METRIC_BYTES_MAX || printable(&name) != name {
            return Err(format!("`{}` is not the name of a metric", printable(&name)));
        }
        if !value.is_finite() {
            return Err(format!("its metric `{name}` is {value}"));
        }
        metrics.insert(name, value);
    }
    Ok(Report { steps: report.steps, rows: report.rows, metrics })
}

#[cfg(test)]
mod tests {
    use fedwasm_artifact::Component;
    use fedwasm_protocol::Limits;

    use super::*;
    use crate::request::PlainTensor;
    use crate::{DataFacts, Sandbox};

    const PLAN: &[u8] = include_bytes!("../../../plugins/dist/logistic-regression.wasm");

    /// A session with `linear.weight`, float32 [2, 3], and `linear.bias`, float32 [2].
    fn session() -> Session {
        let component = Component::admit(PLAN.to_vec()).unwrap();
        let described = Sandbox::in_process().unwrap().describe(&component, Limits::default());
        let described = described.unwrap();
        let facts = DataFacts { n_inputs: Some(3), n_classes: Some(2) };
        let arguments = described.metadata().arguments(
            &Arguments::new(),
            &facts,
            &fedwasm_protocol::prefix::ALL,
        );
        described.session(arguments.unwrap()).unwrap()
    }

    fn returned(lens: &[usize]) -> Vec<Returned> {
        lens.iter().map(|len| Returned(Some(vec![0; *len].into()))).collect()
    }

    /// A correct result of training.
    fn answer() -> Response {
        let report = PlainReport { steps: 2, rows: 5, metrics: vec![("loss".into(), 0.5)] };
        Response {
            said: Said::Report(report),
            model: returned(&[24, 8]),
            aux_out: Vec::new(),
            state: Vec::new(),
            predictions: Vec::new(),
            n_batches: 2,
            usage: Usage::default(),
        }
    }

    /// Two batches were given, of three rows and of two.
    const HANDED: [u32; 2] = [3, 2];

    fn check(answer: Response) -> Result<Outcome, String> {
        let kept = [vec![None, None], Vec::new(), Vec::new()];
        session().check(Export::Train, answer, &HANDED, kept)
    }

    #[test]
    fn a_good_answer_is_taken() {
        let outcome = check(answer()).unwrap();
        assert_eq!((outcome.rows, outcome.model.len()), (5, 2));
        assert_eq!(check(Response { n_batches: 1, ..answer() }).unwrap().rows, 3);
    }

    /// Answers that a process could give which a plan has taken over.
    #[test]
    fn an_answer_that_lies_is_bad_output() {
        let metric = |name: &str, value| {
            let metrics = vec![(name.to_owned(), value)];
            Said::Report(PlainReport { steps: 1, rows: 5, metrics })
        };
        let many = (0..=METRICS_MAX).map(|n| (n.to_string(), 0.0)).collect();
        let many = Said::Report(PlainReport { steps: 1, rows: 5, metrics: many });
        for (lie, answer) in [
            ("more batches than the loader has", Response { n_batches: 3, ..answer() }),
            ("more batches than the loader has", Response { n_batches: u64::MAX, ..answer() }),
            ("it returned 3 tensors", Response { model: returned(&[24, 8, 8]), ..answer() }),
            ("it returned 1 tensors", Response { model: returned(&[24]), ..answer() }),
            ("do not fill", Response { model: returned(&[24, 9]), ..answer() }),
            ("do not fill", Response { model: returned(&[0, 8]), ..answer() }),
            (
                "did not return",
                Response { model: vec![Returned(None), Returned(None)], ..answer() },
            ),
            ("it returned 1 tensors, 0", Response { state: returned(&[4]), ..answer() }),
            ("it returned 1 tensors, 0", Response { aux_out: returned(&[4]), ..answer() }),
            ("another export", Response { said: Said::Nothing, ..answer() }),
            ("is NaN", Response { said: metric("loss", f64::NAN), ..answer() }),
            ("not the name of a metric", Response { said: metric("\u{202e}", 0.0), ..answer() }),
            (
                "not the name of a metric",
                Response { said: metric(&"m".repeat(65), 0.0), ..answer() },
            ),
            ("65 metrics", Response { said: many, ..answer() }),
        ] {
            let error = check(answer).unwrap_err();
            assert!(error.contains(lie), "{lie}: {error}");
        }
    }

    #[test]
    fn scoring_writes_nothing_and_nothing_comes_back() {
        let check = |model| {
            let kept = [vec![None, None], Vec::new(), Vec::new()];
            session().check(Export::Validate, Response { model, ..answer() }, &HANDED, kept)
        };
        assert!(check(Vec::new()).unwrap().model.is_empty());
        let error = check(returned(&[24, 8])).unwrap_err();
        assert_eq!(error, "it returned 2 tensors that it may not write");
    }

    #[test]
    fn what_a_call_cannot_write_is_never_taken_from_it() {
        let ones = Tensor::from_f32(vec![2], &[1.0, 1.0]).unwrap();
        let kept = [vec![None, Some(ones.clone())], Vec::new(), Vec::new()];
        let answer = Response { model: returned(&[24, 8]), ..answer() };
        let outcome = session().check(Export::Train, answer, &HANDED, kept).unwrap();
        assert_eq!(outcome.model.tensor("linear.bias"), Some(&ones));
    }

    #[test]
    fn predictions_are_those_of_the_rows_that_were_handed_out() {
        let scores = |shape: Vec<u64>, value: f32| {
            let n = shape.iter().product::<u64>() as usize;
            Some(PlainTensor::from(Tensor::from_f32(shape, &vec![value; n]).unwrap()))
        };
        let check = |predictions| {
            let kept = [vec![None, None], Vec::new(), Vec::new()];
            let model = Vec::new();
            let answer = Response { said: Said::Nothing, model, predictions, ..answer() };
            session().check(Export::Predict, answer, &HANDED, kept)
        };
        assert!(check(vec![scores(vec![3, 2], 0.5), scores(vec![2, 2], 0.5)]).is_ok());
        for predictions in [
            vec![],
            vec![scores(vec![3, 2], 0.5)],
            vec![scores(vec![3, 2], 0.5), None],
            vec![scores(vec![2, 2], 0.5), scores(vec![3, 2], 0.5)],
            vec![scores(vec![3, 2], f32::NAN), scores(vec![2, 2], 0.5)],
            vec![scores(vec![3, 2], 0.5), scores(vec![2, 2], 0.5), scores(vec![1, 2], 0.5)],
            vec![
                Some(PlainTensor { dtype: DType::Float32, shape: vec![3, 2], data: vec![0; 8] }),
                scores(vec![2, 2], 0.5),
            ],
        ] {
            assert!(check(predictions).is_err());
        }
    }
}
