//! One question to simulated nodes, such as a round: what they share is read once, then each node
//! answers for itself. Several threads may ask, each from a seat of its own.

use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Instant;

use fedwasm_protocol::{
    BlobRef, Digest, Mode, NodeId, NodeTiming, Payload, Reason, Refusal, RoundReply, RoundRequest,
    seed,
};
use fedwasm_sandbox::{Cancel, DataFacts, Profile};
use fedwasm_training::{Examples, Place, Preprocessing, Round, RoundArgs, Turn};

use super::SimulatedNodes;
use crate::demands;
use crate::executor::{ms, with_inputs};
use crate::privacy::{self, Begun, Floor, Terms, check_compression, check_plan};
use crate::refusal::{pure_refusal, refusal, training_refusal};
use crate::round::{Done, Fetched, InMemory, Keeping, Left, Prepared};

/// Finds the bytes of a blob.
type Fetch<'a> = dyn Fn(&BlobRef) -> Option<Vec<u8>> + Sync + 'a;

/// A question, ready to be answered by node after node.
#[derive(Debug)]
pub struct Question<'a> {
    nodes: &'a SimulatedNodes,
    /// Of the first node; the others differ in their states and their own auxiliary variables.
    request: RoundRequest,
    /// The names of the inputs, if they came as a blob.
    names: Option<Vec<u8>>,
    params: Arc<Vec<u8>>,
    aux_shared: Option<Vec<u8>>,
    scales: Option<(Vec<u8>, Preprocessing)>,
    facts: DataFacts,
    terms: Option<Terms>,
    floor: Floor,
    /// All that prepared rows follow from beside the node.
    key: Digest,
    /// The plan with its arguments, at each seat that was used.
    rounds: Vec<OnceLock<Result<Arc<Round>, Refusal>>>,
    cancel: Cancel,
}

/// The answer of a node, with the blobs that its reply names.
#[derive(Debug)]
pub struct Ran {
    /// The reply, without a receipt.
    pub reply: RoundReply,
    /// Parameters, auxiliary variables and sums, as far as there are some.
    pub blobs: Vec<Vec<u8>>,
}

impl SimulatedNodes {
    /// Reads what a question's requests share.
    ///
    /// * `first` — the request to any of the nodes.
    /// * `fetch` — finds the blobs that requests name.
    ///
    /// # Errors
    /// A refusal that holds for all nodes.
    pub fn question(
        &self,
        first: &RoundRequest,
        fetch: &Fetch<'_>,
        cancel: &Cancel,
    ) -> Result<Question<'_>, Refusal> {
        let bad = |text: &str| refusal(Reason::BadRequest, text.to_owned());
        let options = &self.options;
        demands::check(first, options.memory_mib_max)?;
        if first.secagg.is_some() || first.mode == Mode::Statistics {
            let text = "simulated nodes take part in no secure sum";
            return Err(refusal(Reason::Unsupported, text.into()));
        }
        if first.plan.sha256 != options.component.digest() {
            return Err(bad("simulated nodes have one plan, and the request names another"));
        }
        let names = first.wide_inputs.as_ref().map(|names| payload(fetch, names)).transpose()?;
        let request = with_inputs(first.clone(), names.as_deref())?;
        let data = self.sites.values().next().ok_or_else(|| bad("there are no nodes"))?;
        let entry = self.entry(data);
        let inputs = request.data.inputs.as_ref().ok_or_else(|| bad("data.inputs is missing"))?;
        let inputs: Vec<String> = inputs.names().into_iter().cloned().collect();
        let n_inputs = usize::try_from(entry.n_values(&inputs, &request.data.columns)).ok();
        let facts = DataFacts { n_inputs, n_classes: request.data.n_classes() };
        let floors = options.privacy.floors_of(request.dataset_id.as_str());
        let terms = Terms::of(&floors, request.training.dp_args);
        let min_rows = options.privacy.min_rows;
        let of = (&floors, terms.is_some(), false);
        let floor = Floor::of(&options.privacy, min_rows, &request, of)?;
        let optional = |of: &Option<Payload>| of.as_ref().map(|of| payload(fetch, of)).transpose();
        let scales = optional(&request.scales)?.map(|bytes| {
            let read = serde_json::from_slice(&bytes);
            let read = read.map_err(|error| bad(&format!("the scales: {error}")))?;
            Ok::<_, Refusal>((bytes, read))
        });
        Ok(Question {
            nodes: self,
            key: rows_key(&request),
            params: Arc::new(blob(fetch, &request.params)?),
            aux_shared: optional(&request.aux_shared)?,
            scales: scales.transpose()?,
            facts,
            terms,
            floor,
            rounds: self.plans.iter().map(|_| OnceLock::new()).collect(),
            cancel: cancel.clone(),
            request,
            names,
        })
    }
}

impl Question<'_> {
    /// Has a node do its round. Only one caller at a time may use a seat. Blocks.
    ///
    /// # Errors
    /// The refusal of the node, with all details: the rows are the caller's own.
    pub fn run(
        &self,
        seat: usize,
        node: &NodeId,
        request: RoundRequest,
        fetch: &Fetch<'_>,
    ) -> Result<Ran, Refusal> {
        let start = Instant::now();
        let nodes = self.nodes;
        let request = with_inputs(request, self.names.as_deref())?;
        self.check_same(&request)?;
        let aux_own = request.aux_own.as_ref().map(|aux| payload(fetch, aux)).transpose()?;
        let prepared = self.prepare(seat, node, &request)?;
        privacy::check(&prepared, &request, self.floor)?;
        let begun = Begun::again(self.terms.clone().map(|terms| {
            let seed = seed::noise(nodes.options.random_seed, request.round, node);
            (terms, seed)
        }));
        let prepare_ms = ms(start);
        let start = Instant::now();
        let fetched = Fetched {
            params: Arc::clone(&self.params),
            aux_shared: self.aux_shared.clone(),
            aux_own,
            scales: self.scales.as_ref().map(|(bytes, _)| bytes.clone()),
        };
        let mut done = prepared.run(&request, fetched, Box::new(drop), &self.cancel)?;
        if !self.floor.score_sums {
            done.without_sums();
        }
        let travels = prepared.compressing(&request);
        let declaration = prepared.declaration();
        let released = begun.release(done, &self.params, declaration, &request, travels);
        let released = released.map_err(|error| refusal(Reason::PlanFailed, error.to_string()))?;
        let (mut done, _) = released.into_parts();
        let Done { params, compressed, aux, sums, .. } = &mut done;
        let (params, compressed) = (params.take(), compressed.take());
        let (aux, sums) = (aux.take(), sums.take());
        let left = Left {
            params: params.as_deref(),
            compressed: compressed.as_deref(),
            aux: aux.as_deref(),
            sums: sums.as_deref(),
        };
        // Warnings are for a researcher who does not see the rows.
        let reply = done.reply(left, Vec::new());
        let timing = NodeTiming { prepare_ms, train_ms: ms(start), ..NodeTiming::default() };
        let blobs = [params, compressed, aux, sums].into_iter().flatten().collect();
        Ok(Ran { reply: RoundReply { timing, ..reply }, blobs })
    }

    /// The requests of a question differ in little: the rest was read once.
    fn check_same(&self, request: &RoundRequest) -> Result<(), Refusal> {
        let of = |r: &RoundRequest| {
            (r.mode, r.round, r.rounds, r.plan, r.params, r.strict, r.secagg.is_some())
        };
        let first = &self.request;
        let is_same = of(request) == of(first)
            && request.experiment_id == first.experiment_id
            && request.dataset_id == first.dataset_id
            && request.data == first.data
            && request.training == first.training
            && request.model == first.model
            && request.aggregator == first.aggregator
            && request.limits == first.limits
            && request.scales == first.scales
            && request.aux_shared == first.aux_shared;
        match is_same {
            true => Ok(()),
            false => {
                let text = "nodes of one question were asked for different rounds";
                Err(refusal(Reason::BadRequest, text.into()))
            }
        }
    }

    /// Makes plan and rows of a node ready.
    fn prepare(
        &self,
        seat: usize,
        node: &NodeId,
        request: &RoundRequest,
    ) -> Result<Prepared, Refusal> {
        let nodes = self.nodes;
        let bad = |text: &str| refusal(Reason::BadRequest, text.to_owned());
        let random_seed =
            request.training.random_seed.ok_or_else(|| bad("random_seed is missing"))?;
        let data = nodes.sites.get(node).ok_or_else(|| bad("there is no such node"))?;
        let round = self.rounds.get(seat).ok_or_else(|| bad("there is no such seat"))?;
        let round =
            Arc::clone(round.get_or_init(|| self.round(seat)).as_ref().map_err(Clone::clone)?);
        check_compression(request, round.declaration())?;
        if let Some(terms) = &self.terms {
            check_plan(terms, round.declaration(), request.mode)?;
        }
        let turn = Turn { random_seed, round: request.round, node: node.clone() };
        let known = nodes.rows.lock().unwrap_or_else(PoisonError::into_inner).get(&self.key, node);
        let examples = match known {
            Some(examples) => examples,
            None => {
                let scales = self.scales.as_ref().map(|(_, scales)| scales);
                let read = Examples::read_scaled(data, &request.data, &round, &turn, scales);
                let read = Arc::new(read.map_err(|error| match error {
                    fedwasm_training::Error::Dataset(error) => {
                        refusal(Reason::Dataset, error.to_string())
                    }
                    error => training_refusal(&error),
                })?);
                let mut rows = nodes.rows.lock().unwrap_or_else(PoisonError::into_inner);
                rows.put(&self.key, node, &read, data);
                read
            }
        };
        let round = Round::weighted_for(round, &examples);
        let round = round.map_err(|error| training_refusal(&error))?;
        let profile = if nodes.options.strict { Profile::Strict } else { Profile::Standard };
        Ok(Prepared {
            // The rows are a part of a file, which has no digest of its own.
            dataset: self.key,
            profile,
            limits: nodes.options.limits.lowered(&request.limits),
            round,
            examples,
            turn,
            keeping: Keeping::Memory(InMemory {
                node: node.clone(),
                states: Arc::clone(&nodes.states),
            }),
        })
    }

    /// The plan with the arguments of the round.
    fn round(&self, seat: usize) -> Result<Arc<Round>, Refusal> {
        let RoundRequest { model, training, aggregator, limits, round, rounds, .. } = &self.request;
        let plan = self.nodes.plans[seat].with_cancel(&self.cancel).with_limits(limits);
        let place = Place { round: *round, rounds: *rounds };
        let args = RoundArgs { model, training, aggregator };
        let round = Round::at(place, &plan, args, &self.facts);
        round.map(Arc::new).map_err(|error| match &error {
            fedwasm_training::Error::Sandbox(error) => pure_refusal(error),
            error => training_refusal(error),
        })
    }
}

/// Names everything that prepared rows follow from beside the node: the plan's shapes follow from
/// its arguments.
fn rows_key(request: &RoundRequest) -> Digest {
    let RoundRequest { data, training, model, aggregator, .. } = request;
    let split_of = training.shuffle_testing_dataset.then_some(request.round);
    let scales = request.scales.as_ref().map(|scales| scales.blob.sha256);
    let (ratio, seed) = (training.test_ratio, training.random_seed);
    let is_summed = request.mode == Mode::Scale;
    let key = format!(
        "{data:?} {ratio:?} {seed:?} {split_of:?} {scales:?} {model:?} {aggregator:?} {is_summed}"
    );
    Digest::of(key.as_bytes())
}

fn blob(fetch: &Fetch<'_>, blob: &BlobRef) -> Result<Vec<u8>, Refusal> {
    fetch(blob).ok_or_else(|| {
        refusal(Reason::Blob, format!("the blob {} is not in the repository", blob.sha256))
    })
}

fn payload(fetch: &Fetch<'_>, of: &Payload) -> Result<Vec<u8>, Refusal> {
    match of.bytes() {
        Ok(Some(bytes)) => Ok(bytes.to_vec()),
        Ok(None) => blob(fetch, &of.blob),
        Err(error) => Err(refusal(Reason::BadRequest, error.to_string())),
    }
}
