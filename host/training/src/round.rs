//! One round, or one evaluation.

use std::sync::Arc;

use fedwasm_params::{Params, SUMMABLE};
use fedwasm_protocol::{Arguments, Evaluation, LoaderArgs, NodeId, TrainingArgs, seed};
use fedwasm_sandbox::{
    Cancel, DataFacts, Declaration, Described, Level, Outcome, Report, Scope, Session, Task,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::examples::{Examples, Rows};
use crate::loader::{TestLoader, TrainLoader, n_batches};
use crate::{Error, metrics};

/// The most bytes of a batch's inputs, what the contract lets cross at once.
const BATCH_BYTES_MAX: u64 = 16 << 20;

/// What happens during a round.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A line from the plan.
    Log(Level, String),
    /// The plan reported on a batch.
    Step {
        /// Batches handed out so far, from 1.
        step: u64,
        /// Batches of the whole round.
        steps_max: u64,
        /// The plan's `loss`, if it reports one.
        loss: Option<f64>,
    },
}

/// Takes events while a round runs.
pub type Events = Box<dyn FnMut(Event) + Send>;

/// A plan with its arguments, ready to train. Cheap to clone. Its calls block.
#[derive(Clone, Debug)]
pub struct Round {
    session: Session,
    arguments: Arguments,
    training: TrainingArgs,
}

/// Whose turn it is: what the seeds of a round follow from.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The experiment's seed.
    pub random_seed: u64,
    /// The round, from 1.
    pub round: u32,
    /// Who trains.
    pub node: NodeId,
}

/// What a round of training gives.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The trained parameters, all finite.
    pub params: Params,
    /// Rows of the training part.
    pub n_samples: u64,
    /// What the plan says.
    pub report: Report,
}

/// Draws the initial parameters of a plan.
///
/// # Errors
/// [`Error::Sandbox`], [`Error::NotOffered`].
pub fn initial_params(
    plan: &Described,
    model: &Arguments,
    facts: &DataFacts,
    random_seed: u64,
    cancel: &Cancel,
) -> Result<Params, Error> {
    let session = session(plan, model, facts)?;
    let params = session.init(seed::init(random_seed), cancel)?;
    check_finite(&params)?;
    Ok(params)
}

impl Round {
    /// Resolves the arguments and asks the plan for its shapes.
    ///
    /// # Errors
    /// [`Error::Sandbox`], [`Error::NotOffered`].
    pub fn new(
        plan: &Described,
        model: &Arguments,
        training: &TrainingArgs,
        facts: &DataFacts,
    ) -> Result<Self, Error> {
        let mut given = model.clone();
        given.extend(training.optimizer_args.clone());
        let prefixes = ["model.", "optimizer."];
        let arguments = plan.metadata().arguments(&given, facts, &prefixes);
        let arguments = arguments.map_err(fedwasm_sandbox::Error::from)?;
        Ok(Self { session: session(plan, model, facts)?, arguments, training: training.clone() })
    }

    /// The shapes of the session.
    pub fn declaration(&self) -> &Declaration {
        self.session.declaration()
    }

    /// The plan.
    pub fn plan(&self) -> &Described {
        self.session.described()
    }

    /// Trains on the training part.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn train(
        &self,
        examples: &Examples,
        params: Params,
        turn: &Turn,
        mut events: Events,
        cancel: &Cancel,
    ) -> Result<Trained, Error> {
        let args: &LoaderArgs = &self.training.loader_args;
        let rows = Arc::clone(&examples.train);
        check_batch(&rows, args)?;
        let steps_max = n_batches(rows.len(), args, self.training.budget());
        let random = ChaCha20Rng::from_seed(seed::shuffle(turn.random_seed, turn.round));
        let loader = TrainLoader::new(rows, args.clone(), self.training.budget(), random);
        let events = Box::new(move |event| match event {
            fedwasm_sandbox::Event::Log(level, line) => events(Event::Log(level, line)),
            fedwasm_sandbox::Event::Scalars { step, values } => {
                let loss = values.iter().find(|(name, _)| name == "loss").map(|(_, loss)| *loss);
                events(Event::Step { step, steps_max, loss });
            }
        });
        let seed = seed::plan(turn.random_seed, turn.round, &turn.node);
        let Outcome { model, report, rows, .. } =
            self.session.train(&self.arguments, params, seed, Box::new(loader), events, cancel)?;
        check_finite(&model)?;
        let report = report.ok_or(Error::RowCount { got: 0, given: rows })?;
        if report.rows != rows {
            return Err(Error::RowCount { got: report.rows, given: rows });
        }
        Ok(Trained { params: model, n_samples: examples.n_train() as u64, report })
    }

    /// Scores parameters on the held-out part.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn evaluate(
        &self,
        examples: &Examples,
        params: &Params,
        cancel: &Cancel,
    ) -> Result<Evaluation, Error> {
        score(&self.session, &self.arguments, examples, params, cancel)
    }
}

/// Scores parameters on the held-out part, without training arguments.
///
/// # Errors
/// Any [`Error`].
pub fn evaluate(
    plan: &Described,
    model: &Arguments,
    facts: &DataFacts,
    params: &Params,
    read: impl FnOnce(&Declaration) -> Result<Examples, Error>,
    cancel: &Cancel,
) -> Result<Evaluation, Error> {
    let prefixes = ["model.", "optimizer."];
    let arguments = plan.metadata().arguments(model, facts, &prefixes);
    let arguments = arguments.map_err(fedwasm_sandbox::Error::from)?;
    let session = session(plan, model, facts)?;
    let examples = read(session.declaration())?;
    score(&session, &arguments, &examples, params, cancel)
}

fn score(
    session: &Session,
    arguments: &Arguments,
    examples: &Examples,
    params: &Params,
    cancel: &Cancel,
) -> Result<Evaluation, Error> {
    let rows = &examples.test;
    if rows.len() == 0 {
        return Err(Error::NothingHeldOut);
    }
    // Scores are the same whoever asks and whenever: one seed for all.
    let seed = [0; 32];
    let loader = || Box::new(TestLoader::new(Arc::clone(rows)));
    let all = |seen: u64| match seen == rows.len() as u64 {
        true => Ok(()),
        false => Err(Error::RowCount { got: seen, given: rows.len() as u64 }),
    };
    let own = session.validate(arguments, params.clone(), seed, loader(), cancel)?;
    all(own.rows)?;
    all(own.report.as_ref().map_or(0, |report| report.rows))?;
    let mut metrics = own.report.map(|report| report.metrics).unwrap_or_default();
    if !matches!(session.described().metadata().task, Task::Other(_)) {
        let scores = session.predict(arguments, params.clone(), seed, loader(), cancel)?;
        // A plan must not choose the rows that it is scored on.
        all(scores.rows)?;
        // The host's own numbers win over a plan that uses their names.
        metrics.extend(metrics::standard(&scores.predictions, &rows.targets)?);
    }
    Ok(Evaluation { n_rows: rows.len() as u64, metrics })
}

/// Asks the plan for its shapes and checks that this version offers them.
fn session(plan: &Described, model: &Arguments, facts: &DataFacts) -> Result<Session, Error> {
    let model: Arguments =
        model.iter().filter(|(key, _)| key.starts_with("model.")).map(clone_pair).collect();
    let arguments = plan.metadata().arguments(&model, facts, &["model."]);
    let session = plan.session(arguments.map_err(fedwasm_sandbox::Error::from)?)?;
    let declaration = session.declaration();
    let not_offered = |what: String| Err(Error::NotOffered { what });
    for (what, specs) in [
        ("auxiliary variables", &declaration.aux_in),
        ("auxiliary variables", &declaration.aux_out),
        ("node state", &declaration.state),
    ] {
        if !specs.is_empty() {
            return not_offered(what.into());
        }
    }
    for spec in &declaration.model {
        if spec.scope == Scope::Local {
            return not_offered(format!("the parameter `{}` local to nodes", spec.name));
        }
        if !SUMMABLE.contains(&spec.dtype) {
            return not_offered(format!("the parameter `{}` of {}", spec.name, spec.dtype));
        }
    }
    Ok(session)
}

fn clone_pair<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}

fn check_batch(rows: &Rows, args: &LoaderArgs) -> Result<(), Error> {
    let in_batch = u64::from(args.batch_size).min(rows.len() as u64);
    let bytes = in_batch.saturating_mul(4 * rows.n_inputs as u64);
    match bytes > BATCH_BYTES_MAX {
        true => Err(Error::BatchTooLarge { rows: args.batch_size, bytes, max: BATCH_BYTES_MAX }),
        false => Ok(()),
    }
}

fn check_finite(params: &Params) -> Result<(), Error> {
    match params.iter().find(|(_, tensor)| !tensor.is_finite()) {
        Some((name, _)) => Err(Error::NotFinite { name: name.to_owned() }),
        None => Ok(()),
    }
}
