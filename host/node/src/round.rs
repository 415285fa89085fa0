//! What a node does when a researcher asks for a round: everything but the
//! network. Blocks.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fedwasm_artifact::Component;
use fedwasm_folder::Folder;
use fedwasm_params::{Params, from_safetensors, from_shared_safetensors, to_safetensors};
use fedwasm_protocol::{
    DatasetId, Digest, Evaluation, ExperimentId, Metrics, Mode, NodeId, Reason, Refusal,
    ResearcherId, RoundRequest, StateId,
};
use fedwasm_sandbox::{
    Cancel, DataFacts, Declaration, Described, Limits, Profile, Sandbox, Scope, TensorSpec,
};
use fedwasm_training::{Before, Classes, Events, Examples, Length, Place, Round, Turn};

use crate::approval::ApprovedPlan;
use crate::experiments::{Owner, Room, check_owner, claim};
use crate::kept::Kept;
use crate::refusal::{pure_refusal, refusal, training_refusal, unwritable};
use crate::state::States;
use crate::{Database, Dataset};

/// Compiled plans that are kept, those used last: more than the queue has room for experiments,
/// so that experiments that take turns do not throw each other's out.
const PLANS_MAX: usize = 16;
/// And of one researcher.
const PLANS_OF_ONE_MAX: usize = 6;
/// How inputs were scaled, beside the parameters.
const PREPROCESSING: &str = "preprocessing.json";
/// Prepared datasets that are kept.
const EXAMPLES_MAX: usize = 2;

/// What a round is made of.
#[derive(Debug)]
pub(crate) struct Preparation<'a> {
    pub(crate) request: &'a RoundRequest,
    pub(crate) approved: &'a ApprovedPlan,
    /// The plan's bytes, if they had to be fetched.
    pub(crate) plan: Option<Vec<u8>>,
    pub(crate) node: &'a NodeId,
    pub(crate) researcher: &'a ResearcherId,
    pub(crate) dataset: &'a Dataset,
    pub(crate) folder: &'a Arc<Folder>,
    pub(crate) cancel: &'a Cancel,
}

/// What is kept from round to round, so that a second round neither compiles
/// nor reads again. Its contents never change a result.
#[derive(Debug)]
pub(crate) struct Workshop {
    sandbox: Sandbox,
    strict: bool,
    limits: Limits,
    /// Each with workers of its own: one that saw data of one experiment sees no
    /// others.
    plans: Kept<PlanKey, Described>,
    /// With the digests of the files that they were read from.
    examples: Kept<Digest, (Examples, Digest)>,
    room: Arc<Room>,
    /// What knows the states that rounds left.
    receipts: Option<Database>,
    /// Whose scales were written last, and what they follow from.
    written: Written,
}

/// An experiment, and what its scales follow from.
type Written = Arc<Mutex<Option<(ExperimentId, String)>>>;

/// What a compiled plan and its worker belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PlanKey {
    researcher: ResearcherId,
    experiment: ExperimentId,
    plan: Digest,
    dataset: DatasetId,
    path: PathBuf,
    strict: bool,
    counts_fuel: bool,
}

/// What a round gives, before it is sent.
#[derive(Debug)]
pub(crate) struct Done {
    /// The trained parameters as safetensors.
    pub(crate) params: Option<Vec<u8>>,
    /// Auxiliary variables for the researcher as safetensors.
    pub(crate) aux: Option<Vec<u8>>,
    pub(crate) state_id: Option<StateId>,
    /// The state that it started from, and the digest of the one that it left.
    pub(crate) state_in: Option<Vec<u8>>,
    pub(crate) state_out: Option<Digest>,
    pub(crate) used: Used,
    pub(crate) optimizer_args: Metrics,
    pub(crate) n_samples: u64,
    pub(crate) n_steps: u64,
    pub(crate) train_loss: Option<f64>,
    pub(crate) evaluation: Option<Evaluation>,
}

/// Memory and fuel of training, each rounded up to a power of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) fuel: Option<u64>,
}

impl Used {
    fn rounded(memory_bytes: u64, fuel: Option<u64>) -> Self {
        let rounded = |n: u64| n.checked_next_power_of_two().unwrap_or(u64::MAX);
        Self { memory_bytes: Some(rounded(memory_bytes)), fuel: fuel.map(rounded) }
    }
}

/// A round whose plan and data are ready.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// SHA-256 of the data file.
    pub(crate) dataset: Digest,
    pub(crate) profile: Profile,
    /// The limits that hold in this round.
    pub(crate) limits: Limits,
    round: Round,
    examples: Examples,
    turn: Turn,
    folder: Arc<Folder>,
    researcher: ResearcherId,
    state_bytes_max: u64,
    room: Arc<Room>,
    receipts: Option<Database>,
    /// What its scales are of, and of which they were written last.
    written: ((ExperimentId, String), Written),
}

/// What was fetched for a round; digests were checked.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) params: Arc<Vec<u8>>,
    pub(crate) aux_shared: Option<Vec<u8>>,
    pub(crate) aux_own: Option<Vec<u8>>,
}

impl Workshop {
    pub(crate) fn new(
        sandbox: Sandbox,
        strict: bool,
        limits: Limits,
        experiments_bytes_max: u64,
        receipts: Option<Database>,
    ) -> Self {
        let (plans, examples) = (Kept::new(PLANS_MAX), Kept::new(EXAMPLES_MAX));
        let (room, written) = (Arc::new(Room::new(experiments_bytes_max)), Written::default());
        Self { sandbox, strict, limits, plans, examples, room, written, receipts }
    }

    /// Whether the plan need not be fetched.
    pub(crate) fn has_plan(&self, digest: &Digest) -> bool {
        self.plans.iter().any(|(known, _)| known.plan == *digest)
    }

    /// Ends the workers of plans that were not used for so long.
    pub(crate) fn drop_unused(&mut self, time: Duration) {
        self.plans.drop_unused(time);
    }

    /// Returns the plan with the worker that belongs to this dataset. What is compiled is the
    /// very bytes whose digest was approved.
    fn plan(&mut self, preparation: &mut Preparation<'_>) -> Result<Described, Refusal> {
        let fetched = preparation.plan.take();
        let &mut Preparation { request, approved, researcher, dataset, cancel, .. } = preparation;
        let strict = self.strict || request.strict;
        let counts_fuel = request.limits.fuel_max.is_some();
        let key = PlanKey {
            researcher: researcher.clone(),
            experiment: request.experiment_id.clone(),
            plan: *approved.digest(),
            dataset: request.dataset_id.clone(),
            path: dataset.path.clone(),
            strict,
            counts_fuel,
        };
        if let Some(plan) = self.plans.get(&key) {
            return Ok(plan.with_cancel(cancel));
        }
        let known = self.plans.iter().find(|(known, _)| known.plan == key.plan);
        let component = match (fetched, known) {
            (Some(bytes), _) => Component::admit_as(bytes, approved.digest())
                .map_err(|error| refusal(Reason::PlanRefused, error.to_string()))?,
            (None, Some((_, known))) => known.component().clone(),
            (None, None) => {
                return Err(refusal(Reason::Internal, "the plan is not at hand".into()));
            }
        };
        let profile = if strict { Profile::Strict } else { Profile::Standard };
        // Whether fuel is counted is a matter of how the plan is compiled.
        let fuel_max = self.limits.fuel_max.or(counts_fuel.then_some(u64::MAX));
        let Limits { compile_ms_max, compile_bytes_max, .. } = self.limits.lowered(&request.limits);
        let limits = Limits { fuel_max, compile_ms_max, compile_bytes_max, ..self.limits.clone() };
        let sandbox = self.sandbox.with_profile(profile).with_cancel(cancel);
        let described = sandbox.describe(&component, limits);
        let described = described.map_err(|error| pure_refusal(&error))?;
        // What is kept outlives whoever may call this round off.
        let kept = described.with_cancel(&Cancel::new());
        let of_one = |known: &PlanKey| known.researcher == *researcher;
        self.plans.insert_within(key, kept, PLANS_OF_ONE_MAX, of_one);
        Ok(described)
    }

    /// Makes plan and data ready.
    pub(crate) fn prepare(
        &mut self,
        mut preparation: Preparation<'_>,
    ) -> Result<Prepared, Refusal> {
        let Preparation { request, approved, node, .. } = preparation;
        let Preparation { researcher, dataset, folder, cancel, .. } = preparation;
        let bad = |text: &str| refusal(Reason::BadRequest, text.to_owned());
        let random_seed = request.training.random_seed;
        let random_seed = random_seed.ok_or_else(|| bad("random_seed is missing"))?;
        let inputs = request.data.inputs.as_ref().ok_or_else(|| bad("data.inputs is missing"))?;
        let plan = self.plan(&mut preparation)?.with_limits(&request.limits);
        let inputs: Vec<String> = inputs.names().into_iter().cloned().collect();
        let n_inputs = usize::try_from(dataset.entry().n_values(&inputs)).ok();
        let facts = DataFacts { n_inputs, n_classes: None };
        let RoundRequest { model, training, aggregator, .. } = request;
        let place = Place { round: request.round, rounds: request.rounds };
        let round = Round::at(place, &plan, (model, training, aggregator), &facts);
        let round = round.map_err(|error| match &error {
            fedwasm_training::Error::Sandbox(error) => pure_refusal(error),
            error => training_refusal(error),
        })?;
        approved.check_arguments(request, round.arguments())?;
        let turn = Turn { random_seed, round: request.round, node: node.clone() };
        let key = examples_key(request, dataset, &round)?;
        let (examples, file) = match self.examples.get(&key) {
            Some(known) => known,
            None => {
                let examples = read(request, dataset, &round, &turn)?;
                let read = (examples, data_digest(dataset, cancel)?);
                self.examples.insert(key, read.clone());
                read
            }
        };
        if request.mode == Mode::Train {
            approved.check_length(&round.length(&examples))?;
        }
        let (plan, dataset) = (&request.plan.sha256, &request.dataset_id);
        let owner = Owner { researcher, plan, dataset };
        check_owner(folder, &request.experiment_id, &owner)?;
        let written = (request.experiment_id.clone(), format!("{researcher} {plan} {key}"));
        let state_bytes_max = self.limits.declared_bytes_max as u64 + (1 << 20);
        let (folder, researcher) = (Arc::clone(folder), researcher.clone());
        let strict = self.strict || request.strict;
        Ok(Prepared {
            dataset: file,
            profile: if strict { Profile::Strict } else { Profile::Standard },
            limits: self.limits.lowered(&request.limits),
            round,
            examples,
            turn,
            folder,
            researcher,
            state_bytes_max,
            room: Arc::clone(&self.room),
            receipts: self.receipts.clone(),
            written: (written, Arc::clone(&self.written)),
        })
    }
}

impl Prepared {
    /// Rows of the training part, and rows held out.
    pub(crate) fn n_rows(&self) -> (u64, u64) {
        (self.examples.n_train() as u64, self.examples.n_test() as u64)
    }

    /// How long training is.
    pub(crate) fn length(&self) -> Length {
        self.round.length(&self.examples)
    }

    /// Processor time of the plan so far, in milliseconds.
    pub(crate) fn processor_ms(&self) -> f64 {
        self.round.plan().processor_ms()
    }

    /// Runs the round.
    pub(crate) fn run(
        &self,
        request: &RoundRequest,
        fetched: Fetched,
        events: Events,
        cancel: &Cancel,
    ) -> Result<Done, Refusal> {
        let failed = |error: fedwasm_training::Error| training_refusal(&error);
        // What was fetched is kept anyway: the tensors are parts of it.
        let params = from_shared_safetensors(&fetched.params)
            .map_err(|error| refusal(Reason::BadRequest, format!("the parameters: {error}")))?;
        let (kept, state_in) = match &request.state_id {
            Some(id) => {
                let (params, bytes) = self.states(request)?.load(id)?;
                (Some(params), Some(bytes))
            }
            None => (None, None),
        };
        let evaluate = |params: &Params, kept: Option<&Params>| {
            let seed = self.turn.random_seed;
            self.round.evaluate(&self.examples, params, kept, seed, cancel).map_err(failed)
        };
        if request.mode == Mode::Validate {
            let evaluation = evaluate(&params, kept.as_ref())?;
            self.store_preprocessing(request)?;
            return Ok(Done {
                params: None,
                aux: None,
                state_id: None,
                state_in,
                state_out: None,
                used: Used::default(),
                optimizer_args: Metrics::new(),
                n_samples: self.examples.n_train() as u64,
                n_steps: 0,
                train_loss: None,
                evaluation: Some(evaluation),
            });
        }
        let aux = self.aux(&fetched)?;
        let before = Before { params, aux, kept, ..Before::default() };
        let trained = self.round.train(&self.examples, before, &self.turn, events, cancel);
        let trained = trained.map_err(failed)?;
        let evaluation = if request.training.test_on_local_updates {
            Some(evaluate(&trained.params, trained.kept.as_ref())?)
        } else {
            None
        };
        let bytes = |params: &Params| {
            to_safetensors(params).map_err(|error| refusal(Reason::Internal, error.to_string()))
        };
        if cancel.is_cancelled() {
            // The next round may run already: what is kept for it must stay.
            return Err(refusal(Reason::Expired, "the round was called off".into()));
        }
        self.store_preprocessing(request)?;
        let (state_id, state_out) = match &trained.kept {
            Some(kept) => {
                let (from, needed) = (request.state_id.as_ref(), &request.kept_state_ids);
                let (id, digest, bytes) = self.states(request)?.store(kept, from, needed)?;
                self.wrote(request, bytes)?;
                (Some(id), Some(digest))
            }
            None => (None, None),
        };
        Ok(Done {
            params: Some(bytes(&self.round.shared(&trained.params).map_err(failed)?)?),
            aux: (!trained.aux.is_empty()).then(|| bytes(&trained.aux)).transpose()?,
            state_id,
            state_in,
            state_out,
            used: Used::rounded(trained.usage.memory_bytes, trained.usage.fuel),
            optimizer_args: trained.optimizer_args,
            n_samples: trained.n_samples,
            n_steps: trained.n_steps,
            train_loss: trained.metrics.get("loss").copied(),
            evaluation,
        })
    }

    fn owner<'a>(&'a self, request: &'a RoundRequest) -> Owner<'a> {
        let (plan, dataset) = (&request.plan.sha256, &request.dataset_id);
        Owner { researcher: &self.researcher, plan, dataset }
    }

    /// What a researcher should know of the classes here. No row is told by it, nor that there is
    /// one: a class of fewer than `min_rows` rows is as one without.
    pub(crate) fn warnings(&self, min_rows: u64) -> Vec<String> {
        let Some(classes) = self.examples.classes() else { return Vec::new() };
        let mut warnings = Vec::new();
        let few = min_rows.max(1);
        if classes.n_rows(0) < few {
            warnings.push(format!(
                "fewer than {few} rows are of class 0; classes are numbered from 0, and \
                 labels such as 1, 2 make a class that nothing is learned about"
            ));
        }
        if classes.lacks_positives() {
            let text = "no held-out row is of class 1: precision, recall and F1 are left out";
            warnings.push(text.to_owned());
        }
        warnings
    }

    /// The states of the experiment; nothing is made for plans without one.
    fn states(&self, request: &RoundRequest) -> Result<States, Refusal> {
        let owner = self.owner(request);
        let (bytes_max, receipts) = (self.state_bytes_max, self.receipts.clone());
        States::open(&self.folder, &request.experiment_id, &owner, bytes_max, receipts)
    }

    /// Counts what was written for the experiment.
    fn wrote(&self, request: &RoundRequest, bytes: u64) -> Result<(), Refusal> {
        let experiment = &request.experiment_id;
        self.room.wrote(&self.folder, &self.researcher, experiment, bytes).map_err(unwritable)
    }

    /// Writes the scales of the round, unless they were written last: without them the
    /// parameters could not be used here. Nothing is written for a round that gave nothing.
    fn store_preprocessing(&self, request: &RoundRequest) -> Result<(), Refusal> {
        let (of, last) = &self.written;
        if last.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(of) {
            return Ok(());
        }
        let folder = claim(&self.folder, &request.experiment_id, &self.owner(request))?;
        let bytes = store_preprocessing(&folder, &self.examples)?;
        *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(of.clone());
        self.wrote(request, bytes)
    }

    /// Puts the auxiliary variables together: shared ones are those that the
    /// plan declares as such, and so are the node's own.
    fn aux(&self, fetched: &Fetched) -> Result<Params, Refusal> {
        let Declaration { aux_in, .. } = self.round.declaration();
        let bad = |error: fedwasm_params::Error| {
            refusal(Reason::BadRequest, format!("the auxiliary variables: {error}"))
        };
        let part = |bytes: &Option<Vec<u8>>, scope| {
            let specs: Vec<&TensorSpec> =
                aux_in.iter().filter(|spec| spec.scope == scope).collect();
            let params = match bytes {
                Some(bytes) => parse("the auxiliary variables", bytes)?,
                None => Params::default(),
            };
            let wanted = specs.iter();
            let wanted = wanted.map(|spec| (spec.name.as_str(), spec.dtype, spec.shape.as_slice()));
            let tensors = params.arrange(wanted).map_err(bad)?;
            let names = specs.into_iter().map(|spec| spec.name.clone());
            Ok::<_, Refusal>(names.zip(tensors))
        };
        let shared = part(&fetched.aux_shared, Scope::Shared)?;
        let own = part(&fetched.aux_own, Scope::Local)?;
        let aux = Params::new(shared.chain(own).collect()).map_err(bad)?;
        if let Some((name, _)) = aux.iter().find(|(_, tensor)| !tensor.is_finite()) {
            let message = format!("the auxiliary variable `{name}` is not finite");
            return Err(refusal(Reason::BadRequest, message));
        }
        Ok(aux)
    }
}

fn parse(what: &str, bytes: &[u8]) -> Result<Params, Refusal> {
    from_safetensors(bytes).map_err(|error| refusal(Reason::BadRequest, format!("{what}: {error}")))
}

fn read(
    request: &RoundRequest,
    dataset: &Dataset,
    round: &Round,
    turn: &Turn,
) -> Result<Examples, Refusal> {
    // Paths and cells are the node's business: what is wrong with a file stays
    // in its log.
    let hide = |error: fedwasm_training::Error| match error {
        fedwasm_training::Error::Dataset(error) => {
            tracing::warn!("{error}");
            let name = &dataset.name;
            let message = format!("dataset {name} cannot be read; the node's log says more");
            refusal(Reason::Dataset, message)
        }
        error => training_refusal(&error),
    };
    let file = dataset.open().map_err(|error| hide(error.into()))?;
    if let Some(change) = dataset.change(&file) {
        tracing::warn!("{change}");
        return Err(refusal(Reason::Dataset, change));
    }
    let examples = Examples::read(&file, &request.data, round, turn).map_err(hide)?;
    for remark in examples.classes().map(Classes::remarks).unwrap_or_default() {
        tracing::warn!("dataset {}, target {:?}: {remark}", dataset.name, request.data.target);
    }
    Ok(examples)
}

fn data_digest(dataset: &Dataset, cancel: &Cancel) -> Result<Digest, Refusal> {
    dataset_digest(dataset, cancel).map_err(|error| {
        tracing::warn!("{}: {error}", dataset.path.display());
        let name = &dataset.name;
        let message = format!("dataset {name} cannot be read; the node's log says more");
        refusal(Reason::Dataset, message)
    })
}

/// The SHA-256 of a dataset: that of its file, or of a text with a line for each of
/// its files in their order, which has its digest and its quoted path from the
/// dataset's folder on.
pub(crate) fn dataset_digest(dataset: &Dataset, cancel: &Cancel) -> std::io::Result<Digest> {
    let files = dataset.format.files(&dataset.path).map_err(std::io::Error::other)?;
    if let [file] = &files[..] {
        return file_digest(file, cancel);
    }
    let mut hasher = fedwasm_protocol::Hasher::default();
    let folder = dataset.path.parent().filter(|_| !dataset.path.is_dir());
    for file in files {
        let name = file.strip_prefix(folder.unwrap_or(&dataset.path)).unwrap_or(&file);
        hasher.update(format!("{} {name:?}\n", file_digest(&file, cancel)?).as_bytes());
    }
    Ok(hasher.finish())
}

/// The SHA-256 of a file, however large, unless it is called off.
fn file_digest(path: &std::path::Path, cancel: &Cancel) -> std::io::Result<Digest> {
    struct Until<'a>(std::fs::File, &'a Cancel);
    impl std::io::Read for Until<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.1.is_cancelled() {
                return Err(std::io::Error::other("it was called off"));
            }
            self.0.read(buffer)
        }
    }
    Digest::of_reader(Until(std::fs::File::open(path)?, cancel))
}

/// Names everything that prepared rows depend on.
fn examples_key(
    request: &RoundRequest,
    dataset: &Dataset,
    round: &Round,
) -> Result<Digest, Refusal> {
    let stamp = |file: &std::path::PathBuf| {
        let file = std::fs::metadata(file).ok()?;
        Some((file.len(), file.modified().ok()?))
    };
    let files = dataset.format.files(&dataset.path).unwrap_or_default();
    let changed: Vec<_> = files.iter().map(|file| (file, stamp(file))).collect();
    let declaration = round.declaration();
    let split_of = request.training.shuffle_testing_dataset.then_some(request.round);
    let key = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {split_of:?} {changed:?}",
        round.plan().metadata().dependencies,
        dataset,
        request.data,
        request.training.test_ratio,
        request.training.random_seed,
        declaration.inputs,
        declaration.targets,
    );
    Ok(Digest::of(key.as_bytes()))
}

/// Writes `experiments/ID/preprocessing.json`; returns its length.
fn store_preprocessing(experiment: &Folder, examples: &Examples) -> Result<u64, Refusal> {
    let store = || -> std::io::Result<u64> {
        let json = serde_json::to_vec_pretty(examples.preprocessing())?;
        let known = experiment.read(PREPROCESSING, json.len() as u64);
        if !known.is_ok_and(|known| known == json) {
            experiment.write(PREPROCESSING, &json)?;
        }
        Ok(json.len() as u64)
    };
    store().map_err(unwritable)
}
