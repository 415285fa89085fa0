//! One round, or one evaluation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fedwasm_params::{Params, SUMMABLE, Tensor};
use fedwasm_protocol::{
    Arguments, Evaluation, LoaderArgs, Metrics, NodeId, Sampling, TrainingArgs, Value, prefix, seed,
};
use fedwasm_sandbox::{
    Argument, CLASS_WEIGHTS, Cancel, DataFacts, Declaration, Default, Described, FaultKind, Level,
    OF_HOST, Outcome, Scope, Session, Start, Usage,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::Error;
use crate::classes::CLASSES_MAX;
use crate::error::not_offered;
use crate::examples::{Examples, target_class};
use crate::layout::Layout;
use crate::loader::{EpochStart, Schedule, Source, TrainLoader, distinct};
use crate::report::{Announced, bad, check_names, check_rows};
use crate::score::score;

/// The most bytes of an input or target of a batch: the bound of the contract for one call.
const BATCH_BYTES_MAX: u64 = 16 << 20;

/// The position of a round in its experiment. A plan that announces the arguments `round` and
/// `rounds` gets them; only the host can give them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The round, from 1; 0 before the first.
    pub round: u32,
    /// The number of rounds.
    pub rounds: u32,
}

/// The arguments that a round is given.
#[derive(Clone, Copy, Debug)]
pub struct RoundArgs<'a> {
    /// Those of the model.
    pub model: &'a Arguments,
    /// How it trains, the optimizer's arguments among it.
    pub training: &'a TrainingArgs,
    /// Those that the aggregator gives.
    pub aggregator: &'a Arguments,
}

/// An event during a round.
#[derive(Clone, Debug, PartialEq)]
pub enum RoundEvent {
    /// A line from the plan.
    Log(Level, String),
    /// The plan reported on a batch.
    Step {
        /// Batches given so far, from 1.
        step: u64,
        /// Batches of the whole round.
        steps_max: u64,
        /// Rows of this batch.
        rows: u64,
        /// The numbers that the plan reports, all finite.
        values: Vec<(String, f64)>,
        /// Whether `log_interval` picks this batch.
        is_logged: bool,
    },
}

/// Takes events while a round runs.
pub type Events = Box<dyn FnMut(RoundEvent) + Send>;

/// A plan with its arguments, ready to train. Cheap to clone. Its calls block.
#[derive(Clone, Debug)]
pub struct Round {
    session: Session,
    training: TrainingArgs,
    stop: Cancel,
    epoch: EpochStart,
    /// The arguments and facts of a plan whose weights of classes are still to be computed.
    unweighted: Option<(Arguments, DataFacts)>,
}

/// The identity of a round, from which its seeds follow.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The experiment's seed.
    pub random_seed: u64,
    /// The round, from 1.
    pub round: u32,
    /// The node that trains.
    pub node: NodeId,
}

/// The tensors that a round starts from.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// Model parameters. Those local to nodes may be absent.
    pub params: Params,
    /// Auxiliary variables from the researcher.
    pub aux: Params,
    /// The tensors that an earlier round left at the node ([`Trained::kept`]).
    pub kept: Option<Params>,
    /// Batches of this round that led here, if it resumes after a break.
    pub batches: u64,
    /// Random bytes that the plan drew in them ([`Trained::drawn`]).
    pub drawn: u64,
    /// The batch after which training takes a break; none: after the last one.
    pub until: Option<u64>,
}

/// How long a round is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// Batches of an epoch.
    pub per_epoch: u64,
    /// Batches of the round.
    pub batches: u64,
    schedule: Schedule,
}

impl Length {
    /// Rows of the first `batches`, repetitions counted.
    pub fn rows_until(&self, batches: u64) -> u64 {
        self.schedule.rows_until(batches)
    }

    /// Different rows that are trained on for certain: those of the first epoch, or of as much
    /// of it as there is. Later epochs may pass over the same ones.
    pub fn rows_of_first_epoch(&self) -> u64 {
        self.rows_until(self.batches.min(self.per_epoch))
    }
}

/// The batches of a round on so many rows: no plan makes more steps.
pub fn batches_max(n_rows: u64, training: &TrainingArgs) -> u64 {
    Schedule::new(n_rows, &training.loader_args, training.effective_budget()).total
}

/// The result of a round of training.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The trained parameters, all finite; those local to nodes among them.
    pub params: Params,
    /// Auxiliary variables for the researcher, all finite.
    pub aux: Params,
    /// The tensors that stay at the node for the next round: its state and the parameters
    /// local to it. None if the plan declares neither.
    pub kept: Option<Params>,
    /// Rows of the training part.
    pub n_samples: u64,
    /// Optimizer steps, at most one a batch.
    pub n_steps: u64,
    /// Batches that the plan took; fewer than those of the round if it was
    /// stopped, or if it ended the round itself.
    pub n_batches: u64,
    /// The plan's own metrics, `loss` among them if it has one.
    pub metrics: Metrics,
    /// The optimizer's numbers that the plan reports, such as `lr`.
    pub optimizer_args: Metrics,
    /// Random bytes that the plan drew so far, those before a break among them.
    pub drawn: u64,
    /// The resources that the call used.
    pub usage: Usage,
}

impl Round {
    /// The only round of an experiment: [`Round::at`] the first place of one.
    ///
    /// # Errors
    /// [`Error::Sandbox`].
    pub fn new(
        plan: &Described,
        model: &Arguments,
        training: &TrainingArgs,
        aggregator: &Arguments,
        facts: &DataFacts,
    ) -> Result<Self, Error> {
        let place = Place { round: 1, rounds: 1 };
        Self::at(place, plan, RoundArgs { model, training, aggregator }, facts)
    }

    /// Resolves the arguments and asks the plan for its shapes.
    ///
    /// # Errors
    /// [`Error::Sandbox`].
    pub fn at(
        place: Place,
        plan: &Described,
        args: RoundArgs<'_>,
        facts: &DataFacts,
    ) -> Result<Self, Error> {
        let RoundArgs { model, training, aggregator } = args;
        let mut given = model.clone();
        given.extend(training.optimizer_args.clone());
        given.extend(aggregator.clone());
        if let Some(mu) = training.fedprox_mu {
            given.insert("aggregator.fedprox_mu".into(), Value::Real(mu));
        }
        // A plan that does not know the argument refuses it: nothing is shared by mistake.
        if !training.share_persistent_buffers {
            given.insert("model.share_persistent_buffers".into(), Value::Boolean(false));
        }
        plan.metadata().check_given(&given).map_err(fedwasm_sandbox::Error::from)?;
        for (name, value) in OF_HOST.into_iter().zip([place.round, place.rounds]) {
            if plan.metadata().arguments.iter().any(|argument| argument.name == name) {
                given.insert(name.into(), Value::Integer(value.into()));
            }
        }
        let (session, training) = (session(plan, &given, facts)?, training.clone());
        let by_host = plan.metadata().arguments.iter().any(|argument| argument.is_by_host(&given));
        let unweighted = by_host.then_some((given, *facts));
        let (stop, epoch) = (Cancel::new(), EpochStart::default());
        Ok(Self { session, training, stop, epoch, unweighted })
    }

    /// The same, but training ends after the batches on their way once `stop`
    /// is used. The progress so far counts, unlike after a [`Cancel`] of the call itself.
    pub fn with_stop(self, stop: &Cancel) -> Self {
        Self { stop: stop.clone(), ..self }
    }

    /// How long training on these rows is.
    pub fn length(&self, examples: &Examples) -> Length {
        let TrainingArgs { loader_args, .. } = &self.training;
        let schedule =
            Schedule::new(examples.n_train() as u64, loader_args, self.training.effective_budget());
        Length { per_epoch: schedule.per_epoch, batches: schedule.total, schedule }
    }

    /// Different rows that are trained on for certain: later epochs may pass over the same ones.
    pub fn rows_of_first_epoch(&self, examples: &Examples, turn: &Turn) -> u64 {
        let n = self.length(examples).rows_of_first_epoch();
        let random = ChaCha20Rng::from_seed(seed::shuffle(turn.random_seed, turn.round));
        distinct(examples.train.clone(), &self.training.loader_args, n, random)
    }

    /// The same with the weights of classes by the training rows, if they are asked for.
    ///
    /// # Errors
    /// [`Error::ClassWeights`], [`Error::Sandbox`].
    pub fn weighted(self, examples: &Examples) -> Result<Self, Error> {
        let Some((given, facts)) = &self.unweighted else { return Ok(self) };
        let in_blocks = matches!(examples.train, Source::Blocks(_));
        let wrong = || Error::ClassWeights { in_blocks };
        let classes = examples.classes().ok_or_else(wrong)?;
        let by_data = |argument: &&Argument| argument.default == Default::TargetClasses;
        let argument = self.plan().metadata().arguments.iter().find(by_data);
        let n = match argument.and_then(|argument| self.arguments().get(&argument.name)) {
            Some(Value::Integer(n)) => usize::try_from(*n).unwrap_or(usize::MAX),
            _ => classes.largest().map_or(0, |largest| largest as usize + 1),
        };
        if n > CLASSES_MAX {
            return Err(wrong());
        }
        let mut given = given.clone();
        given.insert(CLASS_WEIGHTS.into(), Value::Reals(classes.balanced(n)));
        let session = session(self.plan(), &given, facts)?;
        Ok(Self { session, unweighted: None, ..self })
    }

    /// The same of a round that several datasets share: it is copied only if its arguments follow
    /// from the rows.
    ///
    /// # Errors
    /// As [`Round::weighted`].
    pub fn weighted_for(round: Arc<Self>, examples: &Examples) -> Result<Arc<Self>, Error> {
        match &round.unweighted {
            None => Ok(round),
            Some(_) => Self::clone(&round).weighted(examples).map(Arc::new),
        }
    }

    /// The plan's arguments, those that were not given with their defaults.
    pub fn arguments(&self) -> &Arguments {
        self.session.arguments()
    }

    /// The shapes of the session.
    pub fn declaration(&self) -> &Declaration {
        self.session.declaration()
    }

    /// The plan.
    pub fn plan(&self) -> &Described {
        self.session.described()
    }

    /// How it trains.
    pub fn training(&self) -> &TrainingArgs {
        &self.training
    }

    /// Draws the initial parameters, those local to nodes among them.
    ///
    /// # Errors
    /// [`Error::Sandbox`].
    pub fn initial_params(&self, random_seed: u64, cancel: &Cancel) -> Result<Params, Error> {
        let params = self.session.init(seed::init(random_seed), cancel)?;
        self.check_finite(&params)?;
        Ok(params)
    }

    /// Returns the parameters that leave a node: all but those local to it.
    ///
    /// # Errors
    /// Never in practice: names stay unique.
    pub fn shared(&self, params: &Params) -> Result<Params, Error> {
        let wanted = self.declaration().model.iter().filter(|spec| spec.scope == Scope::Shared);
        let found =
            wanted.filter_map(|spec| Some((spec.name.clone(), params.tensor(&spec.name)?.clone())));
        Params::new(found.collect()).map_err(|source| tensors("the parameters", source))
    }

    /// Trains on the training part.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn train(
        &self,
        examples: &Examples,
        before: Before,
        turn: &Turn,
        mut events: Events,
        cancel: &Cancel,
    ) -> Result<Trained, Error> {
        let TrainingArgs { loader_args, log_interval, .. } = &self.training;
        let (source, interval) = (examples.train.clone(), *log_interval);
        check_batch(&source, loader_args.batch_size)?;
        check_sampling(&source, loader_args)?;
        let Length { schedule, .. } = self.length(examples);
        let random = ChaCha20Rng::from_seed(seed::shuffle(turn.random_seed, turn.round));
        let done = before.batches;
        let loader = TrainLoader::new(source, loader_args.clone(), schedule, random);
        let changes = seed::augment(turn.random_seed, turn.round);
        let loader = loader.augmented(examples.augmenter.clone(), changes);
        let loader = loader.until(&self.stop).knowing(&self.epoch);
        let loader = loader.skip(done).up_to(before.until);
        let mut announced = Announced::of(self.plan());
        let events = Box::new(move |event| match event {
            fedwasm_sandbox::PlanEvent::Log(level, line) => events(RoundEvent::Log(level, line)),
            fedwasm_sandbox::PlanEvent::Scalars { step, mut values } => {
                announced.retain(&mut values, &mut events);
                let step = done.saturating_add(step);
                let is_logged = schedule.is_logged(step, interval);
                let before = schedule.rows_until(step.saturating_sub(1));
                let rows = schedule.rows_until(step).saturating_sub(before);
                events(RoundEvent::Step {
                    step,
                    steps_max: schedule.total,
                    rows,
                    values,
                    is_logged,
                });
            }
        });
        let start = self.start(before, turn.random_seed, cancel)?;
        let seed = seed::plan(turn.random_seed, turn.round, &turn.node);
        let Outcome { model, aux_out, state, report, rows, batches, usage, .. } =
            self.session.train(start, seed, Box::new(loader), events, cancel)?;
        [&model, &aux_out, &state].into_iter().try_for_each(|params| self.check_finite(params))?;
        let report = check_rows(self.plan(), report, rows)?;
        if report.steps > batches {
            let text = format!("it reports {} steps on {batches} batches", report.steps);
            return Err(bad(self.plan(), text));
        }
        check_names(self.plan(), &report)?;
        let (optimizer, metrics): (Vec<_>, Vec<_>) =
            report.metrics.into_iter().partition(|(name, _)| name.starts_with(prefix::OPTIMIZER));
        let short =
            |(name, value): (String, f64)| (name[prefix::OPTIMIZER.len()..].to_owned(), value);
        Ok(Trained {
            kept: self.keep(&model, state)?,
            params: model,
            aux: aux_out,
            n_samples: examples.n_train() as u64,
            n_steps: report.steps,
            n_batches: batches,
            drawn: usage.random_bytes,
            usage,
            metrics: metrics.into_iter().collect(),
            optimizer_args: optimizer.into_iter().map(short).collect(),
        })
    }

    /// Scores parameters on the held-out part. Parameters local to nodes are
    /// those of `kept`, of `params`, or the initial ones.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn evaluate(
        &self,
        examples: &Examples,
        params: &Params,
        kept: Option<&Params>,
        random_seed: u64,
        cancel: &Cancel,
    ) -> Result<Evaluation, Error> {
        let (model, _) = self.whole(params.clone(), kept.cloned(), random_seed, cancel)?;
        let batch_size = self.training.test_batch_size.unwrap_or(0);
        score(&self.session, examples, model, batch_size, cancel)
    }

    fn check_finite(&self, params: &Params) -> Result<(), Error> {
        let Some((name, _)) = params.iter().find(|(_, tensor)| !tensor.is_finite()) else {
            return Ok(());
        };
        let text = format!("`{name}` is not finite; try a smaller learning rate");
        Err(fedwasm_sandbox::Error::from(self.plan().fault(FaultKind::NotFinite, text)).into())
    }

    fn start(&self, before: Before, random_seed: u64, cancel: &Cancel) -> Result<Start, Error> {
        let (model, state) = self.whole(before.params, before.kept, random_seed, cancel)?;
        Ok(Start { model, aux_in: before.aux, state, drawn: before.drawn })
    }

    /// Assembles the model, and takes the state out of the kept tensors.
    fn whole(
        &self,
        params: Params,
        kept: Option<Params>,
        random_seed: u64,
        cancel: &Cancel,
    ) -> Result<(Params, Option<Params>), Error> {
        let Declaration { model, state, .. } = self.declaration();
        let local = model.iter().filter(|spec| spec.scope == Scope::Local);
        let local: BTreeSet<&str> = local.map(|spec| spec.name.as_str()).collect();
        let mut of_model: BTreeMap<String, Tensor> = BTreeMap::new();
        let mut of_state = Vec::new();
        for (name, tensor) in kept.iter().flat_map(Params::iter) {
            match name.split_once('/') {
                Some(("local", name)) if local.contains(name) => {
                    of_model.insert(name.to_owned(), tensor.clone());
                }
                Some(("state", name)) => of_state.push((name.to_owned(), tensor.clone())),
                _ => {
                    let source = fedwasm_params::Error::Unknown { name: name.to_owned() };
                    return Err(tensors("the node state", source));
                }
            }
        }
        for (name, tensor) in params.iter() {
            of_model.entry(name.to_owned()).or_insert_with(|| tensor.clone());
        }
        if local.iter().any(|name| !of_model.contains_key(*name)) {
            let initial = self.initial_params(random_seed, cancel)?;
            for name in local {
                if let Some(tensor) = initial.tensor(name) {
                    of_model.entry(name.to_owned()).or_insert_with(|| tensor.clone());
                }
            }
        }
        let model = Params::new(of_model.into_iter().collect());
        let model = model.map_err(|source| tensors("the parameters", source))?;
        let state = match (kept.is_some(), state.is_empty()) {
            (true, _) => Some(Params::new(of_state)),
            (false, true) => Some(Ok(Params::default())),
            (false, false) => None,
        };
        let state = state.transpose().map_err(|source| tensors("the node state", source))?;
        Ok((model, state))
    }

    /// The tensors that stay at the node, as one set.
    fn keep(&self, model: &Params, state: Params) -> Result<Option<Params>, Error> {
        let locals = self.declaration().model.iter().filter(|spec| spec.scope == Scope::Local);
        let locals = locals.filter_map(|spec| {
            Some((format!("local/{}", spec.name), model.tensor(&spec.name)?.clone()))
        });
        let state = state.iter().map(|(name, tensor)| (format!("state/{name}"), tensor.clone()));
        let kept: Vec<(String, Tensor)> = locals.chain(state).collect();
        if kept.is_empty() {
            return Ok(None);
        }
        Params::new(kept).map(Some).map_err(|source| tensors("the node state", source))
    }
}

/// Those of a plan's arguments that are the model's.
pub fn model_arguments(arguments: &Arguments) -> Arguments {
    let of_model = arguments.iter().filter(|(name, _)| name.starts_with(prefix::MODEL));
    of_model.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Asks the plan for its shapes and checks that this version offers them.
pub(crate) fn session(
    plan: &Described,
    given: &Arguments,
    facts: &DataFacts,
) -> Result<Session, Error> {
    let arguments = plan.metadata().arguments(given, facts, &prefix::ALL);
    let session = plan.session(arguments.map_err(fedwasm_sandbox::Error::from)?)?;
    let declaration = session.declaration();
    let shared = declaration.model.iter().filter(|spec| spec.scope == Scope::Shared);
    for spec in shared {
        if !SUMMABLE.contains(&spec.dtype) {
            let what = format!("the parameter `{}` of {}", spec.name, spec.dtype);
            return Err(not_offered(plan, what));
        }
    }
    Ok(session)
}

fn tensors(what: &'static str, source: fedwasm_params::Error) -> Error {
    Error::Tensors { what, source }
}

/// Rows can be drawn by class if all of them are there and have one.
fn check_sampling(source: &Source, args: &LoaderArgs) -> Result<(), Error> {
    let in_blocks = matches!(source, Source::Blocks(_));
    let has_classes = target_class(&source.converter().layout).is_some();
    match args.sampling {
        Sampling::Balanced if in_blocks || !has_classes => Err(Error::Sampling { in_blocks }),
        _ => Ok(()),
    }
}

fn check_batch(source: &Source, batch_size: u32) -> Result<(), Error> {
    let in_batch = u64::from(batch_size).min(source.n_rows());
    let Layout { inputs, targets, .. } = &source.converter().layout;
    let bytes = inputs.iter().chain(targets).map(|part| part.kind.size() * part.width as u64);
    let bytes = in_batch.saturating_mul(bytes.max().unwrap_or_default());
    if bytes > BATCH_BYTES_MAX {
        Err(Error::BatchTooLarge { rows: batch_size, bytes, max: BATCH_BYTES_MAX })
    } else {
        Ok(())
    }
}
