//! An experiment: round after round, with a strategy, an aggregator, and the
//! files that it leaves (Fed-BioMed `Experiment`).

mod files;
mod round;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fedwasm_artifact::Component;
use fedwasm_folder::{Folder, Lock};
use fedwasm_params::Params;
use fedwasm_protocol::{Digest, Evaluation, Mode, NodeId};
use fedwasm_record::{
    Error as RecordError, FINISHED, RUNNING, combine, load_params_and_digest, method,
    params_digest, prepare, uploads,
};
use fedwasm_sandbox::Sandbox;
use tokio::sync::watch;

use crate::check::needs_out;
use crate::monitor::Monitor;
use crate::resume::{
    arguments, check_rounds, check_same, differences, find_breakpoint, may_change, sentence,
    tell_left_out,
};
use crate::starting::{is_worth_a_retry, job_options, missing, new_history, start_job};
use crate::{
    AggregateError, Aggregator, Breakpoint, Difference, Error, Event, Events, ExperimentFile,
    History, Job, JobOptions, RoundRecord, ScoreRecord,
};

/// How long it may take to say that an experiment is over that failed.
const ABANDON_TIME_MAX: Duration = Duration::from_secs(1);

/// What an experiment needs beside its file.
#[derive(Clone, Debug)]
pub struct ExperimentOptions {
    /// What `experiment.toml` says.
    pub file: ExperimentFile,
    /// The plan.
    pub component: Component,
    /// Its signatures, Sigstore bundles as JSON.
    pub signatures: Vec<Vec<u8>>,
    /// Where the researcher asks it for its shapes and initial parameters.
    pub sandbox: Sandbox,
    /// Where all randomness comes from; a breakpoint's own wins.
    pub random_seed: u64,
    /// Where files go; none are written if none.
    pub out: Option<PathBuf>,
    /// Whether to go on from the newest breakpoint in `out`, if there is one.
    pub resume: bool,
    /// Whether training arguments, aggregator and strategy may be others than those of the
    /// breakpoint; each that is goes into the history.
    pub change: bool,
    /// The parameters that the first round starts from, instead of those in the file that `file`
    /// names; drawn by the plan if there are neither.
    pub params: Option<Params>,
}

/// What an experiment gives.
#[derive(Clone, Debug)]
pub struct ExperimentResult {
    /// The aggregated parameters.
    pub params: Params,
    /// The SHA-256 of their safetensors bytes.
    pub params_sha256: Digest,
    /// The nodes that took part in the last round.
    pub nodes: Vec<NodeId>,
    /// Scores of the parameters on all held-out rows, if asked for.
    pub evaluation: Option<Evaluation>,
    /// What happened.
    pub history: History,
}

/// A running experiment.
///
/// ```no_run
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use std::path::Path;
/// use fedwasm_researcher::{
///     Event, Experiment, ExperimentFile, ExperimentOptions, Sandbox, WorkerOptions, load_plan,
/// };
///
/// let file = ExperimentFile::read(Path::new("experiment.toml"))?;
/// let component = load_plan(&file.plan)?;
/// let sandbox = Sandbox::new(WorkerOptions::of_user())?;
/// let options = ExperimentOptions {
///     file,
///     component,
///     signatures: Vec::new(),
///     sandbox,
///     random_seed: 42,
///     out: None,
///     resume: false,
///     change: false,
///     params: None,
/// };
/// let (_stop, stopped) = tokio::sync::watch::channel(false);
/// let mut events = |event: Event| println!("{event:?}");
/// let mut experiment = Experiment::start(options, stopped, &mut events).await?;
/// while let Some(record) = experiment.run_once(&mut events).await? {
///     println!("round {}: {:?}", record.round, record.evaluation);
/// }
/// let result = experiment.finish().await?;
/// println!("{}", result.params_sha256);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Experiment {
    file: ExperimentFile,
    out: Option<PathBuf>,
    job: Job,
    aggregator: Box<dyn Aggregator>,
    /// Whether it is the caller's own, and not the file's.
    is_own: bool,
    /// The SHA-256 of the parameters that were given to start from.
    given: Option<Digest>,
    history: History,
    monitor: Monitor,
    random_seed: u64,
    /// Rounds that are done.
    round: u32,
    stopped: Option<String>,
    /// Whether an error ended it.
    failed: bool,
    warned: BTreeSet<String>,
    written: Option<Instant>,
    /// Held as long as files are written.
    _lock: Option<Lock>,
}

/// Runs an experiment to its end. Files go to `out`, after an error too: what
/// was reached is kept.
///
/// # Errors
/// [`Error`].
pub async fn run_experiment(
    options: ExperimentOptions,
    cancelled: watch::Receiver<bool>,
    events: Events<'_>,
) -> Result<ExperimentResult, Error> {
    let mut experiment = Experiment::start(options, cancelled, events).await?;
    match experiment.run(events).await {
        Ok(()) => experiment.finish().await,
        Err(error) => {
            experiment.abandon(&error).await;
            Err(error)
        }
    }
}

impl Experiment {
    /// Finds the nodes and makes everything ready for the first round, or for
    /// the one after the newest breakpoint.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Record`] if a breakpoint is of another
    /// experiment, or if there are some and nobody wants to go on from them.
    pub async fn start(
        options: ExperimentOptions,
        cancelled: watch::Receiver<bool>,
        events: Events<'_>,
    ) -> Result<Self, Error> {
        let aggregator = options.file.aggregator.build();
        Self::start_as(options, (aggregator, false), None, cancelled, events).await
    }

    /// As [`Experiment::start`], with an aggregator of the caller's own instead
    /// of the one that the file names. History and breakpoints record its name.
    ///
    /// # Errors
    /// As [`Experiment::start`].
    pub async fn start_with(
        options: ExperimentOptions,
        aggregator: Box<dyn Aggregator>,
        cancelled: watch::Receiver<bool>,
        events: Events<'_>,
    ) -> Result<Self, Error> {
        Self::start_as(options, (aggregator, true), None, cancelled, events).await
    }

    pub(crate) async fn start_as(
        options: ExperimentOptions,
        (mut aggregator, is_own): (Box<dyn Aggregator>, bool),
        link: Option<fedwasm_transport::LinkOptions>,
        cancelled: watch::Receiver<bool>,
        events: Events<'_>,
    ) -> Result<Self, Error> {
        let ExperimentOptions { file, component, signatures, sandbox, random_seed, .. } = options;
        let ExperimentOptions { out, resume, change, params, .. } = options;
        if let Some(key) = needs_out(&file, out.as_deref()) {
            return Err(Error::NoOut { key });
        }
        let lock = out.as_deref().map(prepare).transpose()?;
        let breakpoint = match &out {
            Some(dir) => find_breakpoint(dir, resume, events)?,
            None => None,
        };
        let (params, given) = given_params(params, file.params.as_deref())?;
        let arguments = arguments(&file, is_own.then(|| aggregator.name()), given.as_ref());
        let random_seed = breakpoint.as_ref().map_or(random_seed, |b| b.random_seed);
        let plan = (&component, &signatures[..], &sandbox);
        let job_options =
            JobOptions { params, link, ..job_options(&file, plan, &*aggregator, random_seed) };
        let (job, history, round) = match breakpoint {
            Some(breakpoint) => {
                let dir = out.as_deref().unwrap_or(Path::new(""));
                let plan = (file.plan.as_path(), component.digest());
                let differences = check_same(&breakpoint, plan, &arguments, dir, change)?;
                let theirs = breakpoint.arguments.clone();
                if method(theirs.get("aggregator")) == method(arguments.get("aggregator")) {
                    aggregator.restore(&breakpoint.aggregator)?;
                }
                let Breakpoint { round, job, history, .. } = breakpoint;
                // What nodes keep must still fit what they are asked for.
                let training = theirs.get("training").cloned().unwrap_or_default();
                let training = serde_json::from_value(training);
                let training = training.unwrap_or_else(|_| file.training.clone());
                // The breakpoint has parameters of its own.
                let options = JobOptions { training, params: None, ..job_options };
                let of_file = (&file, None);
                let mut job = start_job(&options, of_file, Some(&job), &cancelled, events).await?;
                if let Err(error) = job.set_training_args(file.training_in(round + 1)).await {
                    job.close().await;
                    return Err(error);
                }
                tell_left_out(&history, &job, events);
                let mut history = history.changed(round, differences, arguments);
                if history.expected.is_empty() {
                    // An older program did not write it down.
                    history.expected = job.known();
                }
                (job, history, round)
            }
            None => {
                let of_file = (!is_own).then_some(&file.aggregator);
                let job = start_job(&job_options, (&file, of_file), None, &cancelled, events).await;
                let job = job.map_err(|error| in_file(error, file.params.as_deref()))?;
                let history = new_history(&file, arguments, &component, &job, random_seed);
                (job, history, 0)
            }
        };
        if let Err(error) = check_rounds(&history, &file, &job, change) {
            job.close().await;
            return Err(error);
        }
        let monitor = match &out {
            Some(dir) if file.tensorboard => {
                if round == 0 {
                    // Event files of an earlier experiment would be drawn with those of this one.
                    Folder::open(dir)?.remove_folder("tensorboard")?;
                }
                Monitor::new(dir, &history)
            }
            _ => Monitor::off(),
        };
        let history =
            History { status: RUNNING.into(), rounds_max: file.rounds.max(round), ..history };
        let mut experiment = Self {
            file,
            out,
            job,
            aggregator,
            is_own,
            given,
            history,
            monitor,
            random_seed,
            round,
            stopped: None,
            failed: false,
            warned: BTreeSet::new(),
            written: None,
            _lock: lock,
        };
        if let Some(dir) = &experiment.out {
            let membership = experiment.job.member().current_membership()?;
            uploads::keep_membership(dir, &membership)?;
            if experiment.file.keep_uploads {
                let (digest, bytes) = params_digest(experiment.job.params())?;
                uploads::keep(dir, [(&digest, bytes.as_slice())])?;
            }
            if round == 0 {
                uploads::forget_params(dir)?;
            }
        }
        experiment.keep_params()?;
        match round {
            0 => experiment.save_breakpoint()?,
            // An earlier run may have had enough already.
            _ => experiment.stopped = experiment.is_enough(),
        }
        events(Event::Started {
            experiment_id: experiment.job.id().clone(),
            nodes: experiment.job.n_rows(),
            random_seed,
            rounds_done: round,
        });
        Ok(experiment)
    }

    /// The job: nodes, parameters, replies.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Its file.
    pub fn file(&self) -> &ExperimentFile {
        &self.file
    }

    /// What happened so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Rounds that are done (Fed-BioMed `round_current`).
    pub fn round(&self) -> u32 {
        self.round
    }

    /// Runs all rounds that are left (Fed-BioMed `Experiment.run`).
    ///
    /// # Errors
    /// As [`Experiment::run_once`].
    pub async fn run(&mut self, events: Events<'_>) -> Result<(), Error> {
        while self.run_once(events).await?.is_some() {}
        Ok(())
    }

    /// Runs the next round (Fed-BioMed `Experiment.run_once`); none if all are
    /// done, or early stopping says that it is enough.
    ///
    /// # Errors
    /// [`Error`]. The rounds before are kept.
    pub async fn run_once(&mut self, events: Events<'_>) -> Result<Option<RoundRecord>, Error> {
        if self.failed {
            return Err(Error::Failed);
        }
        if self.round >= self.file.rounds || self.stopped.is_some() {
            return Ok(None);
        }
        let round = self.round + 1;
        let mut left = self.file.strategy.retries;
        if let Err(error) = self.score_initial(&mut left, events).await {
            return Err(self.fail(error));
        }
        if let Err(error) = self.job.set_training_args(self.file.training_in(round)).await {
            return Err(self.fail(error));
        }
        let mut dropped = BTreeMap::new();
        let (record, failed) = loop {
            match self.attempt(round, &mut dropped, &mut left, events).await {
                Err(error) if left > 0 && is_worth_a_retry(&error) => {
                    self.pause(round, &error, &mut left, events).await?;
                }
                Err(error) => return Err(self.fail(error)),
                Ok(done) => break done,
            }
        };
        self.round = round;
        self.history.rounds.push(record.clone());
        self.keep_params()?;
        self.save_breakpoint()?;
        self.write_history()?;
        let event = Event::Round(Box::new(record.clone()));
        if let Some(warning) = self.monitor.see(&event) {
            events(Event::Warning(warning));
        }
        events(event);
        // The round counts, whatever became of its scores.
        if let Some(error) = failed {
            self.failed = true;
            return Err(error);
        }
        self.check_early_stopping(&record)?;
        if let Some(reason) = self.is_enough() {
            events(Event::Stopped { reason: reason.clone() });
            self.stopped = Some(reason);
        }
        Ok(Some(record))
    }

    /// Goes on with what another file says from the next round on: other training arguments,
    /// another aggregator or strategy, other deadlines and numbers of rounds (Fed-BioMed's
    /// setters). What differs goes into the history. An aggregator of the caller's own stays; the
    /// state of the file's goes on if the method is the same, otherwise the new one starts afresh.
    ///
    /// # Errors
    /// [`Error::Change`] if something else differs, or if nodes would have to keep other tensors;
    /// then nothing has changed.
    pub async fn change(&mut self, file: ExperimentFile) -> Result<(), Error> {
        let own = self.is_own.then(|| self.aggregator.name());
        let arguments = arguments(&file, own, self.given.as_ref());
        let differences = differences(&self.history.arguments, &arguments);
        let fixed = differences.iter().filter(|difference| !may_change(&difference.name));
        let fixed: Vec<&Difference> = fixed.collect();
        if !fixed.is_empty() || file.plan != self.file.plan {
            let reason = match fixed.is_empty() {
                true => format!("the plan is {}", self.file.plan.display()),
                false => sentence(&fixed),
            };
            return Err(Error::Change { reason });
        }
        let aggregator = match self.is_own || file.aggregator == self.file.aggregator {
            true => None,
            false => {
                let mut new = file.aggregator.build();
                if new.name() == self.aggregator.name() {
                    new.restore(&self.aggregator.state()?)?;
                }
                Some(new)
            }
        };
        let told =
            aggregator.as_ref().map_or_else(|| self.aggregator.arguments(), |a| a.arguments());
        self.job.change(file.training_in(self.round + 1), told).await?;
        let deadline = Duration::from_secs(file.strategy.round_deadline_s);
        self.job.set_rounds(file.rounds, deadline);
        if let Some(aggregator) = aggregator {
            self.aggregator = aggregator;
        }
        let history = self.history.clone().changed(self.round, differences, arguments);
        self.history = History { rounds_max: file.rounds.max(self.round), ..history };
        self.file = file;
        self.stopped = self.is_enough();
        Ok(())
    }

    /// Leaves, and writes the files of a finished experiment.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn finish(mut self) -> Result<ExperimentResult, Error> {
        self.history.status = match &self.stopped {
            Some(reason) => format!("stopped: {reason}"),
            None => FINISHED.into(),
        };
        if let Err(error) = self.job.finish().await {
            tracing::warn!("the repository does not know that the experiment is over: {error}");
        }
        let written = self.write_results();
        let Self { job, history, .. } = self;
        let (params, params_sha256) = (job.params().clone(), job.params_sha256());
        job.close().await;
        written?;
        let last = history.rounds.last();
        let nodes = last.map(|round| round.nodes.keys().cloned().collect()).unwrap_or_default();
        let evaluation = last.and_then(|round| round.evaluation.clone());
        Ok(ExperimentResult { params, params_sha256, nodes, evaluation, history })
    }

    /// Leaves without a result; what was reached is written all the same.
    pub async fn abandon(mut self, error: &Error) {
        self.history.status = match error {
            Error::Cancelled => "cancelled".into(),
            error => format!("failed: {error}"),
        };
        if let Err(error) = self.write_results() {
            tracing::warn!("what was reached cannot be written: {error}");
        }
        // Its blobs are for nobody any more; a resume stores again what it needs.
        let finish = tokio::time::timeout(ABANDON_TIME_MAX, self.job.finish()).await;
        if !matches!(finish, Ok(Ok(()))) {
            tracing::warn!("the repository does not know that the experiment is over");
        }
        self.job.close().await;
    }

    /// Waits before something is tried again.
    async fn pause(
        &mut self,
        round: u32,
        error: &Error,
        left: &mut u32,
        events: Events<'_>,
    ) -> Result<(), Error> {
        *left = left.saturating_sub(1);
        events(Event::Retry { round, reason: error.to_string(), left: *left });
        let pause = Duration::from_secs(self.file.strategy.retry_pause_s);
        self.job.wait_for_nodes(pause).await
    }

    /// Stores the parameters of a round. The aggregator has taken the updates already, so what is
    /// tried again is this step alone.
    async fn store_params(
        &mut self,
        round: u32,
        mut params: Params,
        left: &mut u32,
        events: Events<'_>,
    ) -> Result<Digest, Error> {
        loop {
            let kept = (*left > 0).then(|| params.clone());
            match (self.job.update_parameters(Some(params), None).await, kept) {
                (Err(error), Some(kept)) if is_worth_a_retry(&error) => {
                    self.pause(round, &error, left, events).await?;
                    params = kept;
                }
                (stored, _) => return stored,
            }
        }
    }

    /// Has the parameters scored that the first round starts from, if asked to.
    async fn score_initial(&mut self, left: &mut u32, events: Events<'_>) -> Result<(), Error> {
        if !self.file.score_initial || self.round > 0 || self.history.initial.is_some() {
            return Ok(());
        }
        let nodes = self.file.strategy.eligible(&self.job.nodes());
        let replies = loop {
            match self.job.validate(0, &nodes, events).await {
                Err(error) if *left > 0 && is_worth_a_retry(&error) => {
                    self.pause(0, &error, left, events).await?;
                }
                replies => break replies?,
            }
        };
        let receipts = self.job.take_receipts();
        self.keep_receipts(0, Mode::Validate, &receipts)?;
        let scores = replies.into_iter();
        let nodes: BTreeMap<NodeId, Evaluation> =
            scores.filter_map(|(node, reply)| Some((node, reply.evaluation?))).collect();
        let evaluation = combine(&nodes.values().collect::<Vec<_>>());
        let record = ScoreRecord { evaluation, nodes };
        self.history.initial = Some(record.clone());
        let event = Event::Initial(Box::new(record));
        if let Some(warning) = self.monitor.see(&event) {
            events(Event::Warning(warning));
        }
        events(event);
        Ok(())
    }

    /// Says that it failed. Where no round is done, nothing is there to go on from.
    fn fail(&mut self, error: Error) -> Error {
        self.failed = true;
        let is_start = self.round == 0 && !matches!(error, Error::Cancelled);
        if let Some(dir) = self.out.as_deref().filter(|_| is_start && self.file.save_breakpoints)
            && let Err(left) = Breakpoint::discard(dir)
        {
            tracing::warn!("what the first round started from stays in {}: {left}", dir.display());
        }
        error
    }

    /// Whether so many nodes are enough for the aggregator of the file.
    fn check_nodes(&self, got: usize) -> Result<(), AggregateError> {
        if self.is_own { Ok(()) } else { self.file.aggregator.check_nodes(got) }
    }

    fn check_enough(&self, when: &'static str, got: usize) -> Result<(), Error> {
        let min = self.file.strategy.needed(self.history.expected.len());
        if got >= min {
            return Ok(());
        }
        let (refused, strangers) = (missing(&self.file, &self.job), Vec::new());
        Err(Error::NotEnoughNodes { got, min, when, refused, strangers })
    }

    fn is_enough(&self) -> Option<String> {
        let stopping = self.file.strategy.early_stopping.as_ref()?;
        let value = |round: &RoundRecord| {
            Some((round.round, *round.evaluation.as_ref()?.metrics.get(&stopping.metric)?))
        };
        stopping.decide(self.history.rounds.iter().filter_map(value))
    }

    /// A metric that there is not would never stop anything.
    fn check_early_stopping(&mut self, record: &RoundRecord) -> Result<(), Error> {
        let stopping = self.file.strategy.early_stopping.as_ref();
        let metrics = record.evaluation.as_ref().map(|evaluation| &evaluation.metrics);
        let wrong = stopping.zip(metrics).and_then(|(stopping, metrics)| stopping.check(metrics));
        match wrong {
            Some(text) => {
                self.failed = true;
                Err(Error::EarlyStopping(text))
            }
            None => Ok(()),
        }
    }
}

/// The parameters to start from, and the SHA-256 of what was given: of the file, or of safetensors
/// with the same tensors.
pub(crate) fn given_params(
    params: Option<Params>,
    file: Option<&Path>,
) -> Result<(Option<Params>, Option<Digest>), Error> {
    match (params, file) {
        (Some(_), Some(file)) => Err(Error::BothParameters { file: file.to_owned() }),
        (Some(params), None) => {
            let (digest, _) = params_digest(&params)?;
            Ok((Some(params), Some(digest)))
        }
        (None, Some(file)) => {
            let (params, digest) = load_params_and_digest(file)?;
            Ok((Some(params), Some(digest)))
        }
        (None, None) => Ok((None, None)),
    }
}

/// Names the file of parameters that do not fit.
pub(crate) fn in_file(error: Error, file: Option<&Path>) -> Error {
    match (error, file) {
        (Error::Record(RecordError::Shapes(source)), Some(file)) => {
            RecordError::Params { path: file.to_owned(), source }.into()
        }
        (error, _) => error,
    }
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
