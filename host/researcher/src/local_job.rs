//! The local job: the same plan, the same sandbox, one file, no network
//! (Fed-BioMed `localJob`, with the validation that it could not do).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use fedwasm_artifact::Component;
use fedwasm_dataset::CsvFile;
use fedwasm_params::Params;
use fedwasm_protocol::{Arguments, DataArgs, Digest, Evaluation, NodeId, NodeTiming, TrainingArgs};
use fedwasm_sandbox::{Cancel, DataFacts, Level, Limits, Sandbox};
use fedwasm_training::{Before, Event, Examples, Round, Turn, facts};

use crate::history::{FINISHED, Steps};
use crate::{Error, History, NodeRecord, PlanRecord, RoundRecord, RoundTiming, output};

/// What a local job does.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// The plan.
    pub component: Component,
    /// The data file.
    pub path: PathBuf,
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
}

/// Runs a local job. Blocks.
///
/// # Errors
/// [`Error`].
pub fn run_local(
    options: &LocalOptions,
    events: impl FnMut(LocalEvent) + Send + 'static,
    cancel: &Cancel,
) -> Result<LocalResult, Error> {
    let start = Instant::now();
    if let Some(dir) = &options.out {
        output::prepare(dir)?;
    }
    let file = CsvFile::open(&options.path)?;
    // Whoever waits at the terminal decides when it is enough; a day bounds it all the same.
    let limits = Limits { time_ms_max: 24 * 3_600_000, ..Limits::default() };
    let plan = Sandbox::new()?.describe(&options.component, limits)?;
    let facts: DataFacts = facts(&file, &options.data, plan.metadata(), &options.model)?;
    let aggregator = Arguments::new();
    let round = Round::new(&plan, &options.model, &options.training, &aggregator, &facts)?;
    let (metadata, seed) = (plan.metadata(), options.random_seed);
    // The first round of a federation of one: equal seeds, equal bits.
    let node: NodeId = "local".parse().map_err(|error: fedwasm_protocol::IdError| {
        Error::Internal { reason: error.to_string() }
    })?;
    let turn = Turn { random_seed: seed, round: 1, node: node.clone() };
    let examples = Examples::read(&file, &options.data, &round, &turn)?;
    let params = match &options.params {
        Some(params) => params.clone(),
        None => round.initial_params(seed, cancel)?,
    };
    let steps = Arc::new(Mutex::new(Steps::new()));
    let mut events = events;
    events(LocalEvent::Ready { n_train: examples.n_train(), n_test: examples.n_test() });
    let collect = {
        let steps = Arc::clone(&steps);
        move |event| match event {
            Event::Log(level, line) => events(LocalEvent::Log(level, line)),
            Event::Step { step, steps_max, values, .. } => {
                let loss = values.iter().find(|(name, _)| name == "loss").map(|(_, loss)| *loss);
                if let Some(loss) = loss {
                    steps.lock().unwrap_or_else(PoisonError::into_inner).push(step, loss);
                }
                events(LocalEvent::Step { step, steps_max, loss });
            }
        }
    };
    let prepare_ms = start.elapsed().as_secs_f64() * 1e3;
    let start_train = Instant::now();
    let before = Before { params, ..Before::default() };
    let trained = round.train(&examples, before, &turn, Box::new(collect), cancel)?;
    let train_ms = start_train.elapsed().as_secs_f64() * 1e3;
    let evaluation = match examples.n_test() {
        0 => None,
        _ => Some(round.evaluate(&examples, &trained.params, None, seed, cancel)?),
    };
    let (params_sha256, _) = output::params_digest(&trained.params)?;
    let timing = NodeTiming { prepare_ms, train_ms, ..NodeTiming::default() };
    let record = NodeRecord {
        n_samples: trained.n_samples,
        n_steps: trained.n_steps,
        train_loss: trained.metrics.get("loss").copied(),
        optimizer_args: trained.optimizer_args.clone(),
        device: "cpu".into(),
        warnings: Vec::new(),
        evaluation: evaluation.clone(),
        global_evaluation: None,
        timing,
        total_ms: start.elapsed().as_secs_f64() * 1e3,
    };
    let wall_ms = start.elapsed().as_secs_f64() * 1e3;
    let history = History {
        name: "local".into(),
        plan: PlanRecord {
            name: metadata.name.clone(),
            version: metadata.version.clone(),
            sha256: options.component.digest(),
        },
        random_seed: seed,
        status: FINISHED.into(),
        rounds_max: 1,
        rounds: vec![RoundRecord {
            round: 1,
            timing: RoundTiming { wall_ms, prepare_ms, train_ms, ..RoundTiming::default() },
            nodes: [(node, record)].into(),
            dropped: [].into(),
            params_sha256,
            evaluation: evaluation.clone(),
        }],
        steps: steps.lock().unwrap_or_else(PoisonError::into_inner).points().to_vec(),
    };
    if let Some(dir) = &options.out {
        let folder = output::write(dir, "local", &trained.params, &history)?;
        let json = serde_json::to_vec_pretty(examples.preprocessing());
        folder.write("preprocessing.json", &json.map_err(std::io::Error::from)?)?;
    }
    Ok(LocalResult { params: trained.params, params_sha256, evaluation, history })
}
