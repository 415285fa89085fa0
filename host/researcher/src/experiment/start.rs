//! How an experiment starts: from nothing, or where a breakpoint had arrived.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fedwasm_artifact::Component;
use fedwasm_folder::Folder;
use fedwasm_params::Params;
use fedwasm_record::{
    Keep, ModelFile, NoiseSeed, RUNNING, carried, method, params_digest, prepare, uploads,
};
use serde_json::Value;
use tokio::sync::watch;

use super::given_params::{given_file, given_params, in_file};
use super::watched;
use crate::check::needs_out;
use crate::experiment::job::{job_options, new_history, start_job};
use crate::experiment::noise::{dressed, noise_seed};
use crate::experiment::resume::{
    arguments, check_keep, check_rounds, check_same, find_breakpoint, tell_left_out,
};
use crate::monitor::Monitor;
use crate::secagg::Asked;
use crate::{
    Aggregator, Breakpoint, Connection, Error, Event, Events, Experiment, ExperimentFile,
    ExperimentOptions, History, Job, JobOptions,
};

impl Experiment {
    /// Finds the nodes and makes everything ready for the first round, or for
    /// the one after the newest breakpoint.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Record`] if a breakpoint is of another
    /// experiment, or if there are some and the experiment does not resume.
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

    /// As [`Experiment::start`], over a connection of the caller's own instead of one to the
    /// addresses in the file: another network, such as one in memory, or nodes in this process.
    ///
    /// # Errors
    /// As [`Experiment::start`].
    pub async fn start_on(
        link: impl Into<Connection>,
        options: ExperimentOptions,
        cancelled: watch::Receiver<bool>,
        events: Events<'_>,
    ) -> Result<Self, Error> {
        let aggregator = options.file.aggregator.build();
        Self::start_as(options, (aggregator, false), Some(link.into()), cancelled, events).await
    }

    async fn start_as(
        options: ExperimentOptions,
        (aggregator, is_own): (Box<dyn Aggregator>, bool),
        link: Option<Connection>,
        cancelled: watch::Receiver<bool>,
        events: Events<'_>,
    ) -> Result<Self, Error> {
        let ExperimentOptions { file, component, signatures, sandbox, random_seed, .. } = options;
        let ExperimentOptions { out, resume, change, force, params, .. } = options;
        if let Some(key) = needs_out(&file, out.as_deref()) {
            return Err(Error::NoOut { key });
        }
        let lock = out.as_deref().map(prepare).transpose()?;
        let breakpoint = match &out {
            Some(dir) => find_breakpoint(dir, (resume, force), events)?,
            None => None,
        };
        let noise = noise_seed(&file, out.as_deref(), breakpoint.as_ref())?;
        let mut aggregator = dressed(&file, noise.as_ref(), aggregator)?;
        let (params, given) = given_params(params, &file)?;
        let arguments = arguments(&file, is_own.then(|| aggregator.name()), given.as_ref());
        let random_seed = breakpoint.as_ref().map_or(random_seed, |b| b.random_seed);
        let plan = (&component, &signatures[..], &sandbox);
        let job =
            JobOptions { params, link, ..job_options(&file, plan, &*aggregator, random_seed) };
        let out_dir = out.as_deref().unwrap_or(Path::new(""));
        let wanted = Wanted { file: &file, component: &component, job, arguments, change, out_dir };
        let Begun { job, history, round, best } = match breakpoint {
            Some(breakpoint) => {
                wanted.resume(breakpoint, &mut *aggregator, &cancelled, events).await?
            }
            None => wanted.begin(is_own, &cancelled, events).await?,
        };
        if let Err(error) = check_rounds(&history, &file, &job, change) {
            job.close().await;
            return Err(error);
        }
        let monitor = monitor(&file, out.as_deref(), &history, round)?;
        let history = running(history, &file, round, noise.as_ref());
        let mut experiment = Self {
            file,
            asked: Asked::new(out.clone()),
            out,
            job,
            aggregator,
            noise,
            is_own,
            given,
            history,
            rounds_file: None,
            watched: Vec::new(),
            monitor,
            random_seed,
            round,
            stopped: None,
            is_unscored: false,
            best,
            failed: false,
            warned: BTreeSet::new(),
            written: None,
            _lock: lock,
        };
        experiment.keep_start()?;
        events(experiment.started());
        Ok(experiment)
    }

    fn started(&self) -> Event {
        Event::Started {
            experiment_id: self.job.id().clone(),
            nodes: self.job.n_rows(),
            random_seed: self.random_seed,
            rounds_done: self.round,
        }
    }

    /// Writes what there is before the next round.
    fn keep_start(&mut self) -> Result<(), Error> {
        self.watched = watched(&self.file, &self.history.rounds);
        self.is_unscored = self.ended_before_scores();
        self.open_rounds()?;
        if let Some(dir) = &self.out {
            if let Some(member) = self.job.member() {
                uploads::keep_membership(dir, &member.current_membership()?)?;
            }
            if self.file.keep_uploads {
                let (digest, bytes) = params_digest(self.job.params())?;
                uploads::keep(dir, [(&digest, bytes.as_slice())])?;
            }
            if self.round == 0 {
                uploads::forget_params(dir)?;
                ModelFile::clear(dir)?;
                self.noise.as_ref().map_or(Ok(()), |seed| seed.write(dir))?;
            }
        }
        self.keep_params()?;
        match self.round {
            0 => self.save_breakpoint()?,
            // An earlier run may have had enough already.
            _ => self.stopped = self.is_enough(),
        }
        Ok(())
    }

    /// Whether an earlier run ended after its newest round and before it scored: such a round is in
    /// the breakpoint and not in the file of the rounds.
    fn ended_before_scores(&self) -> bool {
        let in_file = self.history.rounds_file.as_ref().map_or(0, |end| end.rounds);
        let newest = self.history.rounds.last().filter(|last| last.round > in_file);
        self.file.training.test_on_global_updates
            && newest.is_some_and(|last| last.evaluation.is_none())
    }
}

/// The requested experiment, with the arguments of its file.
struct Wanted<'a> {
    file: &'a ExperimentFile,
    component: &'a Component,
    job: JobOptions,
    arguments: BTreeMap<String, Value>,
    /// Whether they may be others than those of the breakpoint.
    change: bool,
    out_dir: &'a Path,
}

/// A job that is ready for the round after `round`.
struct Begun {
    job: Job,
    history: History,
    round: u32,
    /// The best parameters so far, if they are the result.
    best: Option<Params>,
}

impl Wanted<'_> {
    /// Begins with the first round.
    async fn begin(
        self,
        is_own: bool,
        cancelled: &watch::Receiver<bool>,
        events: Events<'_>,
    ) -> Result<Begun, Error> {
        let Self { file, component, job, arguments, .. } = self;
        let of_file = (file, (!is_own).then_some(&file.aggregator));
        let random_seed = job.random_seed;
        let job = start_job(&job, of_file, None, cancelled, events).await;
        let job = job.map_err(|error| in_file(error, given_file(file)))?;
        let history = new_history(file, arguments, component, &job, random_seed);
        Ok(Begun { job, history, round: 0, best: None })
    }

    /// Goes on from a breakpoint.
    async fn resume(
        self,
        breakpoint: Breakpoint,
        aggregator: &mut dyn Aggregator,
        cancelled: &watch::Receiver<bool>,
        events: Events<'_>,
    ) -> Result<Begun, Error> {
        let Self { file, component, job, arguments, change, out_dir } = self;
        let plan = (file.plan.as_path(), component.digest());
        let differences = check_same(&breakpoint, plan, &arguments, out_dir, change)?;
        check_keep(&breakpoint, file.keep, out_dir)?;
        let theirs = breakpoint.arguments;
        if method(theirs.get("aggregator")) == method(arguments.get("aggregator")) {
            aggregator.restore(&breakpoint.aggregator)?;
        } else if let Some(state) = carried(file.privacy.as_ref(), &breakpoint.aggregator)? {
            aggregator.restore(&state)?;
        }
        // Node states must still fit the request.
        let training = theirs.get("training").cloned().unwrap_or_default();
        let training = serde_json::from_value(training);
        let training = training.unwrap_or_else(|_| file.training.clone());
        // The breakpoint has parameters of its own.
        let options = JobOptions { training, params: None, ..job };
        let (of_file, state) = ((file, None), Some(&breakpoint.job));
        let mut job = start_job(&options, of_file, state, cancelled, events).await?;
        let round = breakpoint.round;
        if let Err(error) = job.set_training_args(file.training_in(round + 1)).await {
            job.close().await;
            return Err(error);
        }
        tell_left_out(&breakpoint.history, &job, events);
        let (best, mut history) = match file.keep {
            Keep::Best => (breakpoint.best, breakpoint.history),
            Keep::Last => (None, History { best: None, ..breakpoint.history }),
        };
        history = history.changed(round, differences, arguments);
        if history.expected.is_empty() {
            // An older program did not write it down.
            history.expected = job.known();
        }
        Ok(Begun { job, history, round, best })
    }
}

/// The history of an experiment that goes on after `round`.
fn running(
    history: History,
    file: &ExperimentFile,
    round: u32,
    noise: Option<&NoiseSeed>,
) -> History {
    History {
        status: RUNNING.into(),
        rounds_max: file.rounds.max(round),
        noise_sha256: noise.map(NoiseSeed::commitment),
        ..history
    }
}

/// Event files, if they are wanted.
fn monitor(
    file: &ExperimentFile,
    out: Option<&Path>,
    history: &History,
    round: u32,
) -> Result<Monitor, Error> {
    let Some(dir) = out.filter(|_| file.tensorboard) else { return Ok(Monitor::off()) };
    if round == 0 {
        // Event files of an earlier experiment would be drawn with those of this one.
        Folder::open(dir)?.remove_folder("tensorboard")?;
    }
    Ok(Monitor::new(dir, history))
}
