//! The local job: the same plan, the same sandbox, one file, no network
//! (Fed-BioMed `localJob`, with the validation that it could not do).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use fedwasm_artifact::Component;
use fedwasm_dataset::{Dataset, Format};
use fedwasm_folder::Lock;
use fedwasm_params::Params;
use fedwasm_protocol::{Arguments, DataArgs, Digest, Evaluation, NodeId, NodeTiming, TrainingArgs};
use fedwasm_record::{
    Error as RecordError, FINISHED, History, NodeRecord, PlanRecord, RoundRecord, RoundTiming,
    StepRecord, Steps, WRITTEN_BY, load_history, params_digest, prepare,
};
use fedwasm_report::TensorBoard;
use fedwasm_sandbox::{Cancel, DataFacts, Described, Level, LimitArgs, Limits, Profile, Sandbox};
use fedwasm_training::{
    Before, Classes, Examples, Fold, Round, RoundEvent, Trained, Turn, facts, fitted,
};
use serde_json::Value;

use crate::Error;
use crate::checkpoint::{self, Checkpoint, Earlier};

/// Where an optimizer of the SDK is told to keep what it has between rounds.
const KEEP_STATE: &str = "optimizer.keep_state";

/// Pieces of a run, after each of which a checkpoint is written; fewer if that were fewer batches.
/// They follow from the arguments and from no clock: a plan may see where they are.
const PIECES: u64 = 20;
const PIECE_BATCHES_MIN: u64 = 256;
/// Checkpoints are further apart than this, and than so many times what writing the last one took.
const CHECKPOINT_PAUSE: Duration = Duration::from_secs(2);
const CHECKPOINT_SHARE: u32 = 20;

/// What the status of a run begins with that ended before its last batch.
const STOPPED: &str = "stopped: ";

/// What a local job does.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// The plan.
    pub component: Component,
    /// Where it runs.
    pub sandbox: Sandbox,
    /// Limits instead of the standard ones; of time, a day a call.
    pub limits: LimitArgs,
    /// The data file or folder.
    pub path: PathBuf,
    /// Its format; found by its content if none.
    pub format: Option<Format>,
    /// Which columns, and how.
    pub data: DataArgs,
    /// How to train; `random_seed` is given.
    pub training: TrainingArgs,
    /// Model arguments.
    pub model: Arguments,
    /// Parameters to start from; drawn by the plan if none.
    pub params: Option<Params>,
    /// Where the files go; none are written if none.
    pub out: Option<PathBuf>,
    /// The `random_seed` of `training`.
    pub random_seed: u64,
    /// The fold that is held out, whatever `test_ratio` says.
    pub fold: Option<Fold>,
    /// Whether to go on from what `out` holds.
    pub resume: bool,
    /// Whether to write over a run that `out` holds.
    pub force: bool,
    /// Ends training after the batches on their way; what was reached is scored and written.
    pub stop: Cancel,
}

/// What happens during a local job.
#[derive(Clone, Debug, PartialEq)]
pub enum LocalEvent {
    /// Plan and data are ready.
    Ready {
        /// Rows of the training part.
        n_train: usize,
        /// Rows that are held out.
        n_test: usize,
        /// Batches of an epoch.
        per_epoch: u64,
        /// Batches that were trained on before a break.
        batches: u64,
    },
    /// The plan reported on a batch.
    Step {
        /// Batches so far, from 1.
        step: u64,
        /// Batches in all.
        steps_max: u64,
        /// The loss, if the plan reports one.
        loss: Option<f64>,
    },
    /// A line from the plan.
    Log(Level, String),
    /// Something about the data that should be known before a score is believed.
    Warning(String),
}

/// What a local job gives.
#[derive(Clone, Debug)]
pub struct LocalResult {
    /// The trained parameters.
    pub params: Params,
    /// The SHA-256 of their safetensors bytes.
    pub params_sha256: Digest,
    /// Scores on the held-out rows, if there are some.
    pub evaluation: Option<Evaluation>,
    /// What happened.
    pub history: History,
    /// Batches that were trained on, those before a break among them.
    pub batches: u64,
    /// Batches that were asked for.
    pub batches_max: u64,
}

/// A local job that is ready to train (Fed-BioMed `localJob`). Its calls block.
///
/// ```no_run
/// use std::path::Path;
/// use fedwasm_local::{
///     Cancel, LocalFile, LocalJob, LocalOptions, Sandbox, WorkerOptions, load_plan,
///     standard_training,
/// };
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let file = LocalFile::read(Path::new("experiment.toml"))?;
/// let mut job = LocalJob::new(LocalOptions {
///     component: load_plan(Path::new("logistic-regression.wasm"))?,
///     sandbox: Sandbox::new(WorkerOptions::of_user())?,
///     limits: file.limits,
///     path: "breast_cancer.csv".into(),
///     format: None,
///     data: file.data.expect("the file says which columns"),
///     training: standard_training()?,
///     model: file.model,
///     params: None,
///     out: None,
///     random_seed: 42,
///     fold: None,
///     resume: false,
///     force: false,
///     stop: Cancel::new(),
/// })?;
/// let result = job.start_training(|event| println!("{event:?}"), &Cancel::new())?;
/// println!("{} {:?}", result.params_sha256, result.evaluation);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LocalJob {
    options: LocalOptions,
    round: Round,
    examples: Examples,
    turn: Turn,
    /// Of the data, if a later run may go on from this one.
    data: Option<Digest>,
    /// What is odd about the data.
    warnings: Vec<String>,
    prepare_ms: f64,
    /// Held as long as files are written.
    _lock: Option<Lock>,
}

impl LocalJob {
    /// Reads the data and makes the plan ready.
    ///
    /// # Errors
    /// [`Error`]; [`Error::DpArgs`], since a local job enforces no
    /// differential privacy.
    pub fn new(options: LocalOptions) -> Result<Self, Error> {
        let start = Instant::now();
        if options.training.dp_args.is_some() {
            return Err(Error::DpArgs);
        }
        let lock = options.out.as_deref().map(prepare).transpose()?;
        if let Some(dir) = options.out.as_ref().filter(|_| !options.resume) {
            if !options.force {
                keep_earlier(dir)?;
            }
            checkpoint::clear(dir)?;
        }
        let file = Dataset::open(&options.path, options.format)?;
        // Whoever waits at the terminal decides when it is enough; a day bounds it all the same.
        let limits = Limits { time_ms_max: 24 * 3_600_000, ..Limits::default() };
        let limits = limits.with(&options.limits);
        let plan = options.sandbox.describe(&options.component, limits)?;
        let facts: DataFacts = facts(&file, &options.data, plan.metadata(), &options.model)?;
        let aggregator = Arguments::new();
        let mut training = options.training.clone();
        // What the optimizer keeps belongs to what a run goes on from.
        let keeps = |argument: &&fedwasm_sandbox::Argument| {
            argument.name == KEEP_STATE && argument.kind == fedwasm_protocol::ValueKind::Boolean
        };
        if options.out.is_some() && plan.metadata().arguments.iter().any(|a| keeps(&a)) {
            let given = training.optimizer_args.entry(KEEP_STATE.into());
            given.or_insert(fedwasm_protocol::Value::Boolean(true));
        }
        let round = Round::new(&plan, &options.model, &training, &aggregator, &facts)?;
        let round = round.with_stop(&options.stop);
        // The first round of a federation of one: equal seeds, equal bits.
        let node: NodeId = "local".parse().map_err(|error: fedwasm_protocol::IdError| {
            Error::Internal { reason: error.to_string() }
        })?;
        let turn = Turn { random_seed: options.random_seed, round: 1, node };
        let examples = match options.fold {
            None => Examples::read(&file, &options.data, &round, &turn)?,
            Some(fold) => Examples::read_fold(&file, &options.data, &round, &turn, fold)?,
        };
        let data =
            options.out.as_ref().map(|_| checkpoint::data_digest(&options.path)).transpose()?;
        let mut warnings = file.remarks();
        warnings.extend(examples.classes().map(Classes::remarks).unwrap_or_default());
        let prepare_ms = ms(start);
        Ok(Self { options, round, examples, turn, data, warnings, prepare_ms, _lock: lock })
    }

    /// The plan (Fed-BioMed `localJob.training_plan`).
    pub fn training_plan(&self) -> &Described {
        self.round.plan()
    }

    /// How it trains (Fed-BioMed `localJob.training_args`).
    pub fn training_args(&self) -> &TrainingArgs {
        self.round.training()
    }

    /// Model arguments, as they were given (Fed-BioMed `localJob.model_args`).
    pub fn model_args(&self) -> &Arguments {
        &self.options.model
    }

    /// Trains, scores, and writes the files (Fed-BioMed
    /// `localJob.start_training`).
    ///
    /// # Errors
    /// [`Error`].
    pub fn start_training(
        &mut self,
        mut events: impl FnMut(LocalEvent) + Send + 'static,
        cancel: &Cancel,
    ) -> Result<LocalResult, Error> {
        let start = Instant::now();
        let now = self.data.map(|data| self.checkpoint(data, (0, 0), Digest::of(b"")));
        let earlier = match (&self.options.out, now, self.options.resume) {
            (Some(dir), Some(now), true) => Some(Earlier::read(dir, &now)?),
            (_, _, true) => return Err(Error::ResumeWhat),
            (_, _, false) => None,
        };
        let Self { options, round, examples, turn, .. } = &*self;
        self.warnings.iter().for_each(|text| events(LocalEvent::Warning(text.clone())));
        let seed = options.random_seed;
        let length = round.length(examples);
        let before = match &earlier {
            Some(Earlier { params, kept, checkpoint, .. }) => Before {
                params: params.clone(),
                kept: kept.clone(),
                batches: checkpoint.batches,
                drawn: checkpoint.drawn,
                ..Before::default()
            },
            None => Before {
                params: match &options.params {
                    Some(params) => {
                        let params = fitted(round.declaration(), params.clone());
                        params.map_err(RecordError::Shapes)?
                    }
                    None => round.initial_params(seed, cancel)?,
                },
                ..Before::default()
            },
        };
        let done = before.batches;
        if let (Some(dir), true) = (&options.out, done > length.batches) {
            let reason = format!(
                "{done} batches are done, and {} are asked for (`epochs` or `num_updates`)",
                length.batches
            );
            return Err(Error::Resume { dir: dir.clone(), reason });
        }
        let initial_sha256 = match &earlier {
            Some(earlier) => earlier.initial_sha256(),
            None => Some(params_digest(&before.params)?.0),
        };
        let steps = Arc::new(Mutex::new(Steps::new()));
        events(LocalEvent::Ready {
            n_train: examples.n_train(),
            n_test: examples.n_test(),
            per_epoch: length.per_epoch,
            batches: done,
        });
        let tensorboard = match (&options.out, &earlier) {
            (Some(dir), None) => TensorBoard::anew(dir, &turn.node).ok(),
            (Some(dir), Some(_)) => Some(TensorBoard::new(dir)),
            (None, _) => None,
        };
        let tensorboard = Arc::new(Mutex::new(tensorboard));
        let collect = collect(events, Arc::clone(&steps), Arc::clone(&tensorboard), &turn.node);
        let so_far =
            SoFar { start, steps: &steps, earlier: earlier.as_ref(), initial_sha256, done };
        let start_train = Instant::now();
        let trained = self.train(before, collect, &so_far, cancel)?;
        let train_ms = ms(start_train);
        let evaluation = match examples.n_test() {
            0 => None,
            _ => Some(round.evaluate(examples, &trained.params, None, seed, cancel)?),
        };
        let (params_sha256, _) = params_digest(&trained.params)?;
        let history = self.history_of(&trained, &so_far, train_ms, evaluation.clone())?;
        let batches = done + trained.n_batches;
        if let Some(dir) = &options.out {
            let folder = fedwasm_report::write(dir, "local", &trained.params, &history)?;
            let json = serde_json::to_vec_pretty(self.examples.preprocessing());
            folder.write("preprocessing.json", &json.map_err(std::io::Error::from)?)?;
            if let Some(data) = self.data {
                let checkpoint = self.checkpoint(data, (batches, trained.drawn), params_sha256);
                checkpoint.write(&folder, trained.kept.as_ref())?;
            }
            checkpoint::clear_pieces(&folder)?;
            let mut tensorboard = tensorboard.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(board) = tensorboard.as_mut() {
                // For people: what cannot be written costs no result.
                let at = u32::try_from(batches).unwrap_or(u32::MAX);
                if let Some(Evaluation { metrics, .. }) = &evaluation {
                    let _ = board.on_local_updates(&turn.node, at, metrics, SystemTime::now());
                }
                let _ = board.flush();
            }
        }
        let batches_max = length.batches;
        let params = trained.params;
        Ok(LocalResult { params, params_sha256, evaluation, history, batches, batches_max })
    }

    /// Trains to the end, piece by piece where what a plan has between batches is known: then a
    /// checkpoint can be written after each, and the result is the same as in one piece.
    fn train<E: FnMut(RoundEvent) + Send + 'static>(
        &self,
        mut before: Before,
        collect: E,
        so_far: &SoFar<'_>,
        cancel: &Cancel,
    ) -> Result<Trained, Error> {
        let Self { options, round, examples, turn, .. } = self;
        let length = round.length(examples);
        let piece = (options.out.is_some() && self.keeps_state())
            .then(|| length.batches.div_ceil(PIECES).max(PIECE_BATCHES_MIN));
        let collect = Arc::new(Mutex::new(collect));
        let (start_train, mut whole) = (Instant::now(), None);
        // When the last one was written, and how long that took.
        let (mut written, mut took) = (Instant::now(), Duration::ZERO);
        loop {
            before.until = piece.map(|piece| (before.batches / piece + 1).saturating_mul(piece));
            let (end, batches) = (before.until, before.batches);
            let collect = Arc::clone(&collect);
            let events = Box::new(move |event| {
                (collect.lock().unwrap_or_else(PoisonError::into_inner))(event);
            });
            let trained = round.train(examples, before, turn, events, cancel)?;
            let at = batches + trained.n_batches;
            let rows = |until| length.rows_until(until) - length.rows_until(so_far.done);
            let trained = match whole {
                Some(whole) => join(whole, trained, rows(batches), rows(at)),
                None => trained,
            };
            let is_over = end.is_none_or(|end| at < end) || at >= length.batches;
            if is_over || options.stop.is_cancelled() {
                return Ok(trained);
            }
            if written.elapsed() > CHECKPOINT_PAUSE.max(CHECKPOINT_SHARE * took) {
                let begun = Instant::now();
                self.write_piece(&trained, so_far, ms(start_train))?;
                (written, took) = (Instant::now(), begun.elapsed());
            }
            let (params, kept, drawn) =
                (trained.params.clone(), trained.kept.clone(), trained.drawn);
            before = Before { params, kept, drawn, batches: at, ..Before::default() };
            whole = Some(trained);
        }
    }

    /// Whether what the optimizer has is kept from one piece to the next.
    fn keeps_state(&self) -> bool {
        let given = self.round.arguments().get(KEEP_STATE);
        given == Some(&fedwasm_protocol::Value::Boolean(true))
    }

    fn write_piece(
        &self,
        trained: &Trained,
        so_far: &SoFar<'_>,
        train_ms: f64,
    ) -> Result<(), Error> {
        let (Some(dir), Some(data)) = (&self.options.out, self.data) else { return Ok(()) };
        let history = self.history_of(trained, so_far, train_ms, None)?;
        let (sha256, params) = params_digest(&trained.params)?;
        let batches = so_far.done + trained.n_batches;
        let checkpoint = self.checkpoint(data, (batches, trained.drawn), sha256);
        checkpoint.write_piece(dir, &params, trained.kept.as_ref(), &history)
    }

    /// What happened until now, before a break as well.
    fn history_of(
        &self,
        trained: &Trained,
        so_far: &SoFar<'_>,
        train_ms: f64,
        evaluation: Option<Evaluation>,
    ) -> Result<History, Error> {
        let SoFar { start, steps, earlier, initial_sha256, done } = so_far;
        let length = self.round.length(&self.examples);
        let steps = steps.lock().unwrap_or_else(PoisonError::into_inner).points().to_vec();
        let timing = NodeTiming { prepare_ms: self.prepare_ms, train_ms, ..NodeTiming::default() };
        let mut history = self.history(trained, steps, timing, ms(*start), evaluation)?;
        history.initial_sha256 = *initial_sha256;
        let batches = done + trained.n_batches;
        if batches < length.batches {
            history.status = format!("{STOPPED}after {batches} of {} batches", length.batches);
        }
        if let Some(earlier) = earlier {
            earlier.prepend_to(&mut history, length.rows_until(*done), length.rows_until(batches));
        }
        Ok(history)
    }

    fn checkpoint(
        &self,
        data: Digest,
        (batches, drawn): (u64, u64),
        params_sha256: Digest,
    ) -> Checkpoint {
        Checkpoint {
            plan: self.options.component.digest(),
            data,
            arguments: self.arguments(),
            random_seed: self.options.random_seed,
            fold: self.options.fold,
            per_epoch: self.round.length(&self.examples).per_epoch,
            batches,
            drawn,
            params_sha256,
        }
    }

    fn arguments(&self) -> BTreeMap<String, Value> {
        let json = |value: serde_json::Result<Value>| value.unwrap_or_default();
        let options = &self.options;
        let LocalOptions { data, training, model, .. } = options;
        [
            ("data", json(serde_json::to_value(data))),
            ("training", json(serde_json::to_value(training))),
            ("model", json(serde_json::to_value(model))),
            ("strict", Value::from(options.sandbox.profile() == Profile::Strict)),
        ]
        .map(|(section, value)| (section.to_owned(), value))
        .into()
    }

    fn history(
        &self,
        trained: &Trained,
        steps: Vec<StepRecord>,
        timing: NodeTiming,
        total_ms: f64,
        evaluation: Option<Evaluation>,
    ) -> Result<History, Error> {
        let metadata = self.training_plan().metadata();
        let record = NodeRecord {
            upload: None,
            upload_aux: None,
            receipt: None,
            n_samples: trained.n_samples,
            n_steps: trained.n_steps,
            train_loss: trained.metrics.get("loss").copied(),
            optimizer_args: trained.optimizer_args.clone(),
            device: "cpu".into(),
            warnings: self.warnings.clone(),
            evaluation: evaluation.clone(),
            global_evaluation: None,
            timing,
            total_ms,
        };
        let timing = RoundTiming {
            wall_ms: self.prepare_ms + total_ms,
            prepare_ms: self.prepare_ms,
            train_ms: timing.train_ms,
            ..RoundTiming::default()
        };
        let round = RoundRecord {
            round: 1,
            timing,
            nodes: [(self.turn.node.clone(), record)].into(),
            dropped: [].into(),
            params_sha256: params_digest(&trained.params)?.0,
            evaluation,
            scored: [].into(),
        };
        Ok(History {
            name: "local".into(),
            plan: PlanRecord {
                name: metadata.name.clone(),
                version: metadata.version.clone(),
                sha256: self.options.component.digest(),
            },
            random_seed: self.options.random_seed,
            written_by: WRITTEN_BY.into(),
            experiment_id: String::new(),
            arguments: self.arguments(),
            changes: Vec::new(),
            status: FINISHED.into(),
            rounds_max: 1,
            initial_sha256: None,
            expected: [].into(),
            left_out: [].into(),
            frozen: Vec::new(),
            initial: None,
            rounds: vec![round],
            steps,
        })
    }
}

/// What was before this call, and what it collects.
struct SoFar<'a> {
    start: Instant,
    steps: &'a Mutex<Steps>,
    earlier: Option<&'a Earlier>,
    initial_sha256: Option<Digest>,
    /// Batches before a break.
    done: u64,
}

/// Puts two pieces of one training together, the first of `rows_before` of the `rows` of both.
fn join(first: Trained, then: Trained, rows_before: u64, rows: u64) -> Trained {
    let mut metrics = then.metrics;
    for (name, value) in &mut metrics {
        if let Some(before) = first.metrics.get(name) {
            let share = rows_before as f64 / rows.max(1) as f64;
            *value = before * share + *value * (1.0 - share);
        }
    }
    Trained {
        n_steps: first.n_steps.saturating_add(then.n_steps),
        n_batches: first.n_batches + then.n_batches,
        metrics,
        ..then
    }
}

/// Refuses to write over a run: one that can be gone on with, or one that is finished.
fn keep_earlier(dir: &std::path::Path) -> Result<(), Error> {
    let history = load_history(dir).ok();
    if let Some(when) = history.as_ref().and_then(|history| history.status.strip_prefix(STOPPED)) {
        return Err(Error::Interrupted { dir: dir.to_owned(), when: when.to_owned() });
    }
    if let Some(batches) = checkpoint::unfinished(dir) {
        let when = format!("by force; a checkpoint has its first {batches} batches");
        return Err(Error::Interrupted { dir: dir.to_owned(), when });
    }
    match history {
        Some(_) => Err(Error::Finished { dir: dir.to_owned() }),
        None => Ok(()),
    }
}

/// Passes events on, keeps the losses, and writes those that are worth it for TensorBoard, until
/// that fails: it is for people, never a result.
fn collect<E: FnMut(LocalEvent) + Send + 'static>(
    mut events: E,
    steps: Arc<Mutex<Steps>>,
    tensorboard: Arc<Mutex<Option<TensorBoard>>>,
    node: &NodeId,
) -> impl FnMut(RoundEvent) + Send + use<E> {
    let node = node.clone();
    move |event| match event {
        RoundEvent::Log(level, line) => events(LocalEvent::Log(level, line)),
        RoundEvent::Step { step, steps_max, values, is_logged, .. } => {
            let loss = values.iter().find(|(name, _)| name == "loss").map(|(_, loss)| *loss);
            if let Some(loss) = loss {
                steps.lock().unwrap_or_else(PoisonError::into_inner).push(step, loss);
            }
            let mut board = tensorboard.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(open) = board.as_mut().filter(|_| is_logged) {
                let now = SystemTime::now();
                let mut written = values
                    .iter()
                    .map(|(name, value)| open.training(&node, step, name, *value, now));
                if written.any(|written| written.is_err()) {
                    *board = None;
                }
            }
            events(LocalEvent::Step { step, steps_max, loss });
        }
    }
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
