//! The values kept from round to round, and the steps to a prepared round.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fedwasm_artifact::Component;
use fedwasm_folder::Folder;
use fedwasm_protocol::{
    DatasetId, Digest, ExperimentId, NodeId, Reason, Refusal, ResearcherId, RoundRequest,
};
use fedwasm_sandbox::{Cancel, DataFacts, Described, Limits, Profile, Sandbox};
use fedwasm_training::{Examples, Place, Preprocessing, Round, RoundArgs, Turn};

use super::data::{data_digest, examples_key, read};
use super::keeping::{Keeping, OnDisk};
use super::prepared::Prepared;
use crate::approval::ApprovedPlan;
use crate::experiments::{Owner, Room, check_data, check_owner};
use crate::kept::Kept;
use crate::privacy::{Terms, check_compression, check_plan};
use crate::refusal::{pure_refusal, refusal, training_refusal};
use crate::{Database, Dataset};

/// Compiled plans that are kept, those used last: more than the queue has room for experiments,
/// so that experiments that take turns do not throw each other's out.
const PLANS_MAX: usize = 16;
/// And of one researcher.
const PLANS_OF_ONE_MAX: usize = 12;
/// Prepared datasets that are kept, those used last: as many as plans, and this many bytes of rows
/// in memory; the newest one stays however large it is.
const EXAMPLES_MAX: usize = PLANS_MAX;
const EXAMPLES_BYTES_MAX: u64 = 1 << 30;

/// The parts of a round.
#[derive(Debug)]
pub(crate) struct Preparation<'a> {
    pub(crate) request: &'a RoundRequest,
    pub(crate) approved: &'a ApprovedPlan,
    pub(crate) plan: PlanSource,
    pub(crate) node: &'a NodeId,
    pub(crate) researcher: &'a ResearcherId,
    pub(crate) dataset: &'a Dataset,
    pub(crate) folder: &'a Arc<Folder>,
    pub(crate) cancel: &'a Cancel,
    /// Differential privacy; none in the clear.
    pub(crate) terms: Option<&'a Terms>,
    /// The scales of the federation, as JSON.
    pub(crate) scales: Option<&'a [u8]>,
}

/// Where a round's plan comes from. One that is known is held from here on: workers of plans that
/// were not used for a while can be dropped at any time.
#[derive(Clone, Debug)]
pub(crate) enum PlanSource {
    /// Its bytes; digests were checked.
    Fetched(Vec<u8>),
    /// It was compiled for an earlier round.
    Known(Component),
}

impl PlanSource {
    /// The bytes that were fetched.
    pub(crate) fn fetched(&self) -> Option<&[u8]> {
        match self {
            Self::Fetched(bytes) => Some(bytes),
            Self::Known(_) => None,
        }
    }
}

/// An experiment, and the facts that its scales follow from.
pub(super) type Written = Arc<Mutex<Option<(ExperimentId, String)>>>;

/// The values kept from round to round, so that a second round neither compiles
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
    /// The receipts, which name the states that rounds left.
    receipts: Option<Database>,
    /// The experiment whose scales were written last, and the facts they follow from.
    written: Written,
}

/// The experiment, data and settings that a compiled plan and its worker belong to.
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

    /// The plan, if it need not be fetched.
    pub(crate) fn component(&self, digest: &Digest) -> Option<Component> {
        let (_, known) = self.plans.iter().find(|(known, _)| known.plan == *digest)?;
        Some(known.component().clone())
    }

    /// Ends the workers of plans that were not used for so long.
    pub(crate) fn drop_unused(&mut self, time: Duration) {
        self.plans.drop_unused(time);
    }

    /// Returns the plan with the worker that belongs to this dataset. The compiled plan is the
    /// very bytes whose digest was approved.
    fn plan(&mut self, preparation: &Preparation<'_>) -> Result<Described, Refusal> {
        let &Preparation { request, approved, researcher, dataset, cancel, .. } = preparation;
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
        let component = match &preparation.plan {
            PlanSource::Fetched(bytes) => Component::admit_as(bytes.clone(), approved.digest())
                .map_err(|error| refusal(Reason::PlanRefused, error.to_string()))?,
            PlanSource::Known(component) => component.clone(),
        };
        let profile = if strict { Profile::Strict } else { Profile::Standard };
        // Whether fuel is counted is a matter of how the plan is compiled.
        let fuel_max = self.limits.fuel_max.or(counts_fuel.then_some(u64::MAX));
        let Limits { compile_ms_max, compile_bytes_max, .. } = self.limits.lowered(&request.limits);
        let limits = Limits { fuel_max, compile_ms_max, compile_bytes_max, ..self.limits.clone() };
        let sandbox = self.sandbox.with_profile(profile).with_cancel(cancel);
        let described = sandbox.describe(&component, limits);
        let described = described.map_err(|error| pure_refusal(&error))?;
        // The kept values outlive the cancel handle of this round.
        let kept = described.with_cancel(&Cancel::new());
        let of_one = |known: &PlanKey| known.researcher == *researcher;
        self.plans.insert_within(key, kept, PLANS_OF_ONE_MAX, of_one);
        Ok(described)
    }

    /// Makes plan and data ready.
    pub(crate) fn prepare(&mut self, preparation: Preparation<'_>) -> Result<Prepared, Refusal> {
        let Preparation { request, approved, node, .. } = preparation;
        let Preparation { researcher, dataset, folder, cancel, .. } = preparation;
        let bad = |text: &str| refusal(Reason::BadRequest, text.to_owned());
        let random_seed = request.training.random_seed;
        let random_seed = random_seed.ok_or_else(|| bad("random_seed is missing"))?;
        let inputs = request.data.inputs.as_ref().ok_or_else(|| bad("data.inputs is missing"))?;
        let plan = self.plan(&preparation)?.with_limits(&request.limits);
        let inputs: Vec<String> = inputs.names().into_iter().cloned().collect();
        let n_inputs =
            usize::try_from(dataset.entry().n_values(&inputs, &request.data.columns)).ok();
        let facts = DataFacts { n_inputs, n_classes: request.data.n_classes() };
        let RoundRequest { model, training, aggregator, .. } = request;
        let place = Place { round: request.round, rounds: request.rounds };
        let round = Round::at(place, &plan, RoundArgs { model, training, aggregator }, &facts);
        let round = round.map_err(|error| match &error {
            fedwasm_training::Error::Sandbox(error) => pure_refusal(error),
            error => training_refusal(error),
        })?;
        approved.check_arguments(request, round.arguments())?;
        check_compression(request, round.declaration())?;
        if let Some(terms) = preparation.terms {
            check_plan(terms, round.declaration(), request.mode)?;
        }
        let (digest, id) = (&request.plan.sha256, &request.dataset_id);
        check_owner(
            folder,
            &request.experiment_id,
            &Owner { researcher, plan: digest, dataset: id },
        )?;
        // From here on an outcome can tell of rows.
        let turn = Turn { random_seed, round: request.round, node: node.clone() };
        let key = examples_key(request, dataset, &round)?;
        let (examples, file) = match self.examples.get(&key) {
            Some(known) => known,
            None => {
                let scales = preparation.scales.map(scales).transpose()?;
                let examples = read(request, dataset, &round, &turn, scales.as_ref())?;
                let read = (examples, data_digest(dataset, cancel)?);
                self.examples.insert(key, read.clone());
                self.examples.keep_within(EXAMPLES_BYTES_MAX, |(examples, _)| examples.n_bytes());
                read
            }
        };
        check_data(folder, &request.experiment_id, &file)?;
        let round = round.weighted(&examples).map_err(|error| training_refusal(&error))?;
        let written = (request.experiment_id.clone(), format!("{researcher} {digest} {key}"));
        let state_bytes_max = self.limits.declared_bytes_max as u64 + (1 << 20);
        let (folder, researcher) = (Arc::clone(folder), researcher.clone());
        let strict = self.strict || request.strict;
        Ok(Prepared {
            dataset: file,
            profile: if strict { Profile::Strict } else { Profile::Standard },
            limits: self.limits.lowered(&request.limits),
            round: Arc::new(round),
            examples: Arc::new(examples),
            turn,
            keeping: Keeping::Disk(OnDisk {
                folder,
                researcher,
                state_bytes_max,
                room: Arc::clone(&self.room),
                receipts: self.receipts.clone(),
                dataset: file,
                written: (written, Arc::clone(&self.written)),
            }),
        })
    }
}

/// The scales that came with a request; those of columns that are absent are found when rows are
/// read.
fn scales(bytes: &[u8]) -> Result<Preprocessing, Refusal> {
    serde_json::from_slice(bytes)
        .map_err(|error| refusal(Reason::BadRequest, format!("the scales: {error}")))
}
