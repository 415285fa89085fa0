//! An experiment: round after round, with a strategy, an aggregator, and the
//! files that it leaves (Fed-BioMed `Experiment`).

mod change;
mod end;
mod files;
pub(crate) mod given_params;
pub(crate) mod job;
pub(crate) mod noise;
mod options;
pub(crate) mod resume;
mod retry;
mod round;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use fedwasm_folder::Lock;
use fedwasm_params::Params;
use fedwasm_protocol::{Digest, Evaluation, Mode, NodeId, Reason};
use fedwasm_record::{Choice, Keep, NoiseSeed, RoundsFile, write_scales};
use tokio::sync::watch;

pub use self::options::ExperimentOptions;
use crate::experiment::job::missing;
use crate::experiment::retry::{Outage, Trial};
use crate::monitor::Monitor;
use crate::phases::Scores;
use crate::secagg::Asked;

use crate::{
    AggregateError, Aggregator, Breakpoint, Error, Event, Events, ExperimentFile, History, Job,
    RoundRecord, ScoreRecord,
};

/// The result of an experiment.
#[derive(Clone, Debug)]
pub struct ExperimentResult {
    /// The aggregated parameters: of the last round, or of the best.
    pub params: Params,
    /// The SHA-256 of their safetensors bytes.
    pub params_sha256: Digest,
    /// The nodes that took part in the last round.
    pub nodes: Vec<NodeId>,
    /// Scores of these parameters on all held-out rows, if asked for.
    pub evaluation: Option<Evaluation>,
    /// The history, round by round.
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
///     force: false,
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
    pub(crate) file: ExperimentFile,
    pub(crate) out: Option<PathBuf>,
    pub(crate) job: Job,
    pub(crate) aggregator: Box<dyn Aggregator>,
    /// The seed of its noise.
    noise: Option<NoiseSeed>,
    /// Whether it is the caller's own, and not the file's.
    pub(crate) is_own: bool,
    /// The SHA-256 of the parameters that were given to start from.
    given: Option<Digest>,
    /// Its history; of the rounds that `rounds_file` has, the newest alone.
    pub(crate) history: History,
    /// Where rounds are appended, with a directory for files.
    rounds_file: Option<RoundsFile>,
    /// The values that early stopping looks at, each with its round.
    watched: Vec<(u64, f64)>,
    /// Who was asked for sums.
    pub(crate) asked: Asked,
    monitor: Monitor,
    random_seed: u64,
    /// Rounds that are done.
    round: u32,
    stopped: Option<String>,
    /// Whether the newest round has yet to be scored.
    is_unscored: bool,
    /// The parameters of [`History::best`], with `keep = "best"`.
    best: Option<Params>,
    /// Whether an error ended it.
    failed: bool,
    pub(crate) warned: BTreeSet<String>,
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
    /// The job: nodes, parameters, replies.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Its file.
    pub fn file(&self) -> &ExperimentFile {
        &self.file
    }

    /// The history so far, with all rounds.
    ///
    /// # Errors
    /// [`Error::Record`] if the file of the rounds cannot be read.
    pub fn history(&self) -> Result<History, Error> {
        let (mut history, rounds) = (self.history.clone(), self.all_rounds()?);
        history.rounds = rounds;
        Ok(history)
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
    /// done, early stopping says that it is enough, or `privacy.epsilon` has no room for it.
    ///
    /// # Errors
    /// [`Error`]. The rounds before are kept.
    pub async fn run_once(&mut self, events: Events<'_>) -> Result<Option<RoundRecord>, Error> {
        if self.failed {
            return Err(Error::Failed);
        }
        let mut trial = Trial::new(&self.file.strategy);
        if let Err(error) = self.score_unscored(&mut trial, events).await {
            return Err(self.fail(error));
        }
        if self.round >= self.file.rounds || self.stopped.is_some() {
            return Ok(None);
        }
        if let Some(reason) = self.file.privacy.as_ref().and_then(|p| p.is_spent(self.round)) {
            events(Event::Stopped { reason: reason.clone() });
            self.stopped = Some(reason);
            return Ok(None);
        }
        let round = self.round + 1;
        if let Err(error) = self.make_scales(&mut trial, events).await {
            return Err(self.fail(error));
        }
        if let Err(error) = self.score_initial(&mut trial, events).await {
            return Err(self.fail(error));
        }
        if let Err(error) = self.job.set_training_args(self.file.training_in(round)).await {
            return Err(self.fail(error));
        }
        let mut dropped = BTreeMap::new();
        let (record, failed) = loop {
            let error = match self.attempt(round, &mut dropped, &mut trial, events).await {
                Ok(done) => break done,
                Err(error) => error,
            };
            if let Err(error) = self.again(round, error, &mut trial, events).await {
                return Err(self.fail(error));
            }
        };
        self.round = round;
        self.is_unscored = failed.is_some() && self.file.training.test_on_global_updates;
        self.history.rounds.push(record.clone());
        self.watched.extend(watched(&self.file, std::slice::from_ref(&record)));
        self.append_rounds()?;
        self.choose_best(&record);
        self.keep_params()?;
        self.save_breakpoint()?;
        self.write_history()?;
        let event = Event::Round(Box::new(record.clone()));
        if let Some(warning) = self.monitor.see(&event) {
            events(Event::Warning(warning));
        }
        events(event);
        // The round counts, with or without scores.
        if let Some(error) = failed {
            return Err(self.fail(error));
        }
        self.check_early_stopping(&record)?;
        if let Some(reason) = self.is_enough() {
            events(Event::Stopped { reason: reason.clone() });
            self.stopped = Some(reason);
        }
        Ok(Some(record))
    }

    /// Stores the parameters of a round. The aggregator has taken the updates already, so what is
    /// tried again is this step alone. If a repository stays away, they are kept, and it is said why.
    async fn store_params(
        &mut self,
        round: u32,
        params: Params,
        trial: &mut Trial,
        events: Events<'_>,
    ) -> Result<(Digest, Option<Error>), Error> {
        loop {
            let mut watch = self.job.watch(round);
            let store = self.job.update_parameters(Some(params.clone()), None);
            let error = match watch.during(store, events).await {
                Ok(digest) => return Ok((digest, None)),
                Err(error @ (Error::Transport(_) | Error::Cancelled)) => error,
                Err(error) => return Err(error),
            };
            if let Err(error) = self.again(round, error, trial, events).await {
                return Ok((self.job.hold_parameters(params)?, Some(error)));
            }
        }
    }

    /// Makes the scales of the federation before the first round, if they are wanted: all nodes that
    /// may take part are asked, and all rounds scale by them.
    async fn make_scales(&mut self, trial: &mut Trial, events: Events<'_>) -> Result<(), Error> {
        if !self.job.needs_scales() {
            return Ok(());
        }
        let scales = loop {
            match self.try_scales(events).await {
                Ok(scales) => break scales,
                Err(error) => self.again(0, error, trial, events).await?,
            }
        };
        let receipts = self.job.take_receipts();
        self.keep_receipts(0, Mode::Scale, &receipts)?;
        if let Some(dir) = &self.out {
            write_scales(dir, &scales)?;
        }
        self.job.set_scales(scales).await?;
        self.history.scales_sha256 = self.job.scales_sha256();
        self.save_breakpoint()
    }

    async fn try_scales(&mut self, events: Events<'_>) -> Result<Vec<u8>, Error> {
        let nodes = self.file.strategy.eligible(&self.job.nodes());
        let (scales, n_sites) = match self.file.secagg {
            Some(_) => self.scale_sum(&nodes, events).await?,
            None => self.job.make_scales(&nodes, events).await?,
        };
        self.check_enough("told sums for scales", n_sites)?;
        Ok(scales)
    }

    /// Has the parameters scored that the first round starts from, if asked to.
    async fn score_initial(&mut self, trial: &mut Trial, events: Events<'_>) -> Result<(), Error> {
        if !self.file.score_initial || self.round > 0 || self.history.initial.is_some() {
            return Ok(());
        }
        let nodes = self.file.strategy.eligible(&self.job.nodes());
        let scores = self.validate_again(0, &nodes, trial, events).await?;
        let receipts = self.job.take_receipts();
        self.keep_receipts(0, Mode::Validate, &receipts)?;
        let evaluation = scores.evaluation();
        let of_nodes = scores.of_nodes.into_iter();
        let nodes: BTreeMap<NodeId, Evaluation> =
            of_nodes.filter_map(|(node, reply)| Some((node, reply.evaluation?))).collect();
        let record = ScoreRecord { evaluation, nodes, secagg: scores.sum };
        self.history.initial = Some(record.clone());
        let event = Event::Initial(Box::new(record));
        if let Some(warning) = self.monitor.see(&event) {
            events(Event::Warning(warning));
        }
        events(event);
        Ok(())
    }

    /// Has the newest parameters scored, if an earlier run, or this one, ended before it was done.
    async fn score_unscored(&mut self, trial: &mut Trial, events: Events<'_>) -> Result<(), Error> {
        if !self.is_unscored {
            return Ok(());
        }
        let (round, mut dropped) = (self.round, BTreeMap::new());
        self.job.take_back(round, events);
        let nodes = self.file.strategy.eligible(&self.job.nodes());
        let scores = match self.validate_again(round, &nodes, trial, events).await {
            Ok(scores) => scores,
            Err(error) if error.is_resumable() => return Err(error),
            // As in its round.
            Err(error) => {
                events(Event::Warning(format!("round {round} stays without scores: {error}")));
                Scores::default()
            }
        };
        self.is_unscored = false;
        let receipts = self.job.take_receipts();
        self.keep_receipts(round, Mode::Validate, &receipts)?;
        self.note_dropped(&nodes, &mut dropped);
        let Some(record) = self.history.rounds.last_mut() else { return Ok(()) };
        scores.put(record);
        record.dropped.extend(dropped);
        let record = record.clone();
        self.watched.extend(watched(&self.file, std::slice::from_ref(&record)));
        self.append_rounds()?;
        self.choose_best(&record);
        self.save_breakpoint()?;
        self.write_history()?;
        self.check_early_stopping(&record)?;
        self.stopped = self.is_enough();
        Ok(())
    }

    /// Reports that it failed. Without a finished round, it cannot be resumed, unless something was
    /// away: then it can, whether breakpoints are asked for or not. A round that was cancelled has
    /// changed nothing, and may run again.
    fn fail(&mut self, error: Error) -> Error {
        self.failed = !matches!(error, Error::Cancelled);
        if self.outage(&error) != Outage::No {
            if !self.file.save_breakpoints
                && let Err(left) = self.write_breakpoint()
            {
                tracing::warn!("the experiment cannot be resumed: {left}");
            }
            return error;
        }
        let is_start = self.round == 0 && self.failed;
        if let Some(dir) = self.out.as_deref().filter(|_| is_start && self.file.save_breakpoints)
            && let Err(left) = Breakpoint::discard(dir)
        {
            tracing::warn!("the start of the first round stays in {}: {left}", dir.display());
        }
        error
    }

    /// Whether so many nodes are enough for the aggregator of the file.
    pub(crate) fn check_nodes(&self, got: usize) -> Result<(), AggregateError> {
        if self.is_own { Ok(()) } else { self.file.aggregator.check_nodes(got) }
    }

    pub(crate) fn check_enough(&self, when: &'static str, got: usize) -> Result<(), Error> {
        let min = self.file.strategy.needed(self.history.expected.len());
        if got >= min {
            return Ok(());
        }
        let (refused, strangers) = (self.missing(), Vec::new());
        Err(Error::NotEnoughNodes { got, min, when, refused, strangers })
    }

    /// The nodes that could take part and do not, and why.
    pub(crate) fn missing(&self) -> Vec<(NodeId, Reason, String)> {
        missing(&self.file, &self.job)
    }

    /// How the best parameters are chosen, if they are the result.
    fn choice(&self) -> Option<Choice> {
        let ExperimentFile { keep, strategy, training, .. } = &self.file;
        let of = || Choice::of(strategy.early_stopping.as_ref(), training.test_metric);
        (*keep == Keep::Best).then(of)
    }

    /// Keeps the parameters of a round with the best score so far.
    fn choose_best(&mut self, record: &RoundRecord) {
        let (Some(choice), Some(evaluation)) = (self.choice(), &record.evaluation) else { return };
        let (at, best) = (u64::from(record.round), self.history.best.as_ref());
        let metrics = &evaluation.metrics;
        if let Some(better) = choice.better(best, at, metrics, record.params_sha256) {
            self.history.best = Some(better);
            self.best = Some(self.job.params().clone());
        }
    }

    fn is_enough(&self) -> Option<String> {
        let stopping = self.file.strategy.early_stopping.as_ref()?;
        stopping.decide("round", self.watched.iter().copied())
    }

    /// A metric that does not exist would never stop anything.
    fn check_early_stopping(&mut self, record: &RoundRecord) -> Result<(), Error> {
        let stopping = self.file.strategy.early_stopping.as_ref();
        let metrics = record.evaluation.as_ref().map(|evaluation| &evaluation.metrics);
        let key = "strategy.early_stopping.metric";
        let wrong =
            stopping.zip(metrics).and_then(|(stopping, metrics)| stopping.check(key, metrics));
        let choice = self.choice();
        let wrong = wrong.or_else(|| choice.zip(metrics).and_then(|(choice, m)| choice.check(m)));
        match wrong {
            Some(text) => {
                self.failed = true;
                Err(Error::EarlyStopping(text))
            }
            None => Ok(()),
        }
    }
}

/// The values that early stopping looks at, each with its round.
fn watched(file: &ExperimentFile, rounds: &[RoundRecord]) -> Vec<(u64, f64)> {
    let Some(stopping) = &file.strategy.early_stopping else { return Vec::new() };
    let value = |record: &RoundRecord| {
        let metrics = &record.evaluation.as_ref()?.metrics;
        Some((u64::from(record.round), *metrics.get(&stopping.metric)?))
    };
    rounds.iter().filter_map(value).collect()
}

pub(crate) fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
