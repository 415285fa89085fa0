//! The local job: the same plan, the same sandbox, one file, no network
//! (Fed-BioMed `localJob`, with the validation that it could not do).

mod events;
mod history;
mod options;
mod pieces;
mod validated;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use fedwasm_dataset::Dataset;
use fedwasm_folder::Lock;
use fedwasm_params::Params;
use fedwasm_protocol::{Arguments, Digest, NodeId, TrainingArgs};
use fedwasm_record::{
    Error as RecordError, History, ModelFile, ModelParts, Steps, load_history, params_digest,
    prepare,
};
use fedwasm_report::TensorBoard;
use fedwasm_sandbox::{Cancel, DataFacts, Described, Limits};
use fedwasm_training::{
    Before, Classes, Examples, Round, Trained, Turn, facts, fitted, model_arguments,
};

use crate::Error;
use crate::checkpoint::{self, Earlier};

use self::events::{collect, write_scores};
use self::history::SoFar;

pub(crate) use self::validated::Validated;

pub use self::options::{LocalEvent, LocalOptions, LocalResult};

/// The argument that tells an optimizer of the SDK to keep its state between rounds.
const KEEP_STATE: &str = "optimizer.keep_state";

/// The prefix of the status of a run that ended before its last batch.
const STOPPED: &str = "stopped: ";

/// A local job that is ready to train (Fed-BioMed `localJob`). Its calls block.
///
/// ```no_run
/// use std::path::Path;
/// use fedwasm_local::{
///     Cancel, LocalFile, LocalJob, LocalOptions, Renames, Sandbox, Volumes, WorkerOptions, load_plan,
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
///     volumes: Volumes::default(),
///     renames: Renames::new(),
///     data: file.data.expect("the file says which columns"),
///     training: standard_training()?,
///     model: file.model,
///     params: None,
///     init_only: Vec::new(),
///     out: None,
///     random_seed: 42,
///     local: file.local,
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
    /// The digest of the data, if a later run may continue this one.
    data: Option<Digest>,
    /// The names of the target's classes, if the data have some.
    classes: Vec<String>,
    /// Warnings about the data.
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
            ModelFile::clear(dir)?;
        }
        let file = Dataset::open_with(&options.path, options.format, &options.volumes)?;
        let file = file.renamed(&options.renames)?;
        // The user at the terminal decides when to stop; a day bounds it all the same.
        let limits = Limits { time_ms_max: 24 * 3_600_000, ..Limits::default() };
        let limits = limits.with(&options.limits);
        let plan = options.sandbox.describe(&options.component, limits)?;
        let facts: DataFacts = facts(&file, &options.data, plan.metadata(), &options.model)?;
        let aggregator = Arguments::new();
        let mut training = options.training.clone();
        // The optimizer's state goes on after a checkpoint, and after scores between epochs.
        let keeps = |argument: &&fedwasm_sandbox::Argument| {
            argument.name == KEEP_STATE && argument.kind == fedwasm_protocol::ValueKind::Boolean
        };
        let scores = options.local.validate_every != Some(0)
            && (training.test_ratio > 0.0 || options.fold.is_some());
        if (options.out.is_some() || scores) && plan.metadata().arguments.iter().any(|a| keeps(&a))
        {
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
        let round = round.weighted(&examples)?;
        let digest = |_| checkpoint::data_digest(&options.path, &options.volumes, &options.renames);
        let data = options.out.as_ref().map(digest).transpose()?;
        let mut warnings = file.remarks();
        warnings.extend(examples.classes().map(Classes::remarks).unwrap_or_default());
        warnings.extend(examples.prepared().remarks());
        let prepare_ms = ms(start);
        let is_label =
            file.default_target().is_some_and(|label| options.data.target.names() == [label]);
        let classes = if is_label { file.class_names() } else { Vec::new() };
        Ok(Self {
            options,
            round,
            examples,
            turn,
            data,
            classes,
            warnings,
            prepare_ms,
            _lock: lock,
        })
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
        let length = round.length(examples);
        let before = self.before(earlier.as_ref(), cancel)?;
        let done = before.batches;
        self.check_done(done, length.batches)?;
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
        let (trained, validated) = self.train(before, collect, &so_far, cancel)?;
        let train_ms = ms(start_train);
        let history = self.history_of((&trained, &validated), &so_far, train_ms)?;
        let batches = done + trained.n_batches;
        if let Some(dir) = &options.out {
            self.write(dir, (&trained, &validated), &history, batches)?;
            let mut board = tensorboard.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(scores) = validated.last.as_ref().filter(|_| !validated.is_scored(batches))
            {
                write_scores(&mut board, &turn.node, batches, scores);
            }
            board.as_mut().map(TensorBoard::flush);
        }
        let batches_max = length.batches;
        let (params, evaluation) = validated.result(&trained);
        Ok(LocalResult {
            params_sha256: params_digest(params)?.0,
            params: params.clone(),
            preprocessing: examples.preprocessing().clone(),
            evaluation: evaluation.cloned(),
            history,
            batches,
            batches_max,
            enough: validated.enough,
            best: validated.best.map(|(best, _)| best),
        })
    }

    /// Checks that no more batches are done than are asked for.
    fn check_done(&self, done: u64, batches: u64) -> Result<(), Error> {
        match &self.options.out {
            Some(dir) if done > batches => {
                let reason = format!(
                    "{done} batches are done, and only {batches} are asked for (`epochs` or \
                     `num_updates`)"
                );
                Err(Error::Resume { dir: dir.clone(), reason })
            }
            _ => Ok(()),
        }
    }

    /// The start of training: the state of an earlier run, the given parameters, or
    /// those that the plan draws.
    fn before(&self, earlier: Option<&Earlier>, cancel: &Cancel) -> Result<Before, Error> {
        if let Some(Earlier { params, kept, checkpoint, .. }) = earlier {
            return Ok(Before {
                params: params.clone(),
                kept: kept.clone(),
                batches: checkpoint.batches,
                drawn: checkpoint.drawn,
                ..Before::default()
            });
        }
        let Self { options, round, .. } = self;
        let params = match &options.params {
            Some(params) if options.init_only.is_empty() => {
                let params = fitted(round.declaration(), params.clone());
                params.map_err(RecordError::Shapes)?
            }
            Some(params) => {
                let (only, seed) = (&options.init_only, options.random_seed);
                round.start_from(params.clone(), only, seed, cancel)?
            }
            None => round.initial_params(options.random_seed, cancel)?,
        };
        Ok(Before { params, ..Before::default() })
    }

    /// Writes the files of the result, after `batches`.
    fn write(
        &self,
        dir: &Path,
        (trained, validated): (&Trained, &Validated),
        history: &History,
        batches: u64,
    ) -> Result<(), Error> {
        let (result, _) = validated.result(trained);
        let folder = fedwasm_report::write(dir, "local", result, history)?;
        let json = serde_json::to_vec_pretty(self.examples.preprocessing());
        let json = json.map_err(std::io::Error::from)?;
        folder.write("preprocessing.json", &json)?;
        self.write_model(dir, result, history, &json)?;
        if let Some(data) = self.data {
            let (sha256, last) = params_digest(&trained.params)?;
            let checkpoint = self.checkpoint(data, (batches, trained.drawn), sha256);
            let last = validated.best.is_some().then_some(&last[..]);
            checkpoint.write(&folder, last, trained.kept.as_ref())?;
        }
        checkpoint::clear_pieces(&folder)
    }
}

impl LocalJob {
    /// Writes the model: the files that its use needs.
    fn write_model(
        &self,
        dir: &Path,
        params: &Params,
        history: &History,
        preprocessing: &[u8],
    ) -> Result<(), Error> {
        let (_, params) = params_digest(params)?;
        let model = model_arguments(self.round.arguments());
        let inputs = self.examples.inputs();
        let mut about = ModelFile::of_run(history, &model, &self.options.data, &inputs);
        about.volumes.clone_from(&self.options.volumes);
        about.classes.clone_from(&self.classes);
        let plan = self.options.component.bytes();
        let parts = ModelParts { plan, params: &params, preprocessing: Some(preprocessing) };
        Ok(about.write(dir, parts, None)?)
    }
}

/// Refuses to overwrite a run: one that can be continued, or one that is finished.
fn keep_earlier(dir: &Path) -> Result<(), Error> {
    let history = load_history(dir).ok();
    if let Some(when) = history.as_ref().and_then(|history| history.status.strip_prefix(STOPPED)) {
        return Err(Error::Interrupted { dir: dir.to_owned(), when: when.to_owned() });
    }
    if let Some(batches) = checkpoint::unfinished(dir) {
        let when = format!("by force; its checkpoint has the first {batches} batches");
        return Err(Error::Interrupted { dir: dir.to_owned(), when });
    }
    match history {
        Some(_) => Err(Error::Finished { dir: dir.to_owned() }),
        None => Ok(()),
    }
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
