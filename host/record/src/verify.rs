//! Recomputing a finished experiment from what its nodes uploaded: every aggregation again, and
//! every upload against the receipt that its node signed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fedwasm_aggregate::{Aggregator, AggregatorArgs, Update, Updates, transpose};
use fedwasm_folder::Folder;
use fedwasm_params::{Params, mpk, to_safetensors};
use fedwasm_protocol::{
    DataArgs, Digest, Evaluation, Fields, Mode, NodeId, Participant, RoundRequest, TrainingArgs,
};
use fedwasm_trust::{Membership, RECEIPT_BYTES_MAX, Receipt, Roster};
use serde_json::Value;

use crate::history::{FINISHED, combine};
use crate::uploads::{MEMBERSHIP, RECEIPTS, UPLOAD_BYTES_MAX, UPLOADS, load, receipt_name};
use crate::{
    Error, History, LrSchedule, OWN, RoundRecord, ScoreRecord, in_round, load_history, method,
};

const PARAMS: &str = "params.safetensors";
/// The largest file of a membership, in bytes.
const MEMBERSHIP_BYTES_MAX: u64 = 8 << 20;

/// What was found of an experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Rounds whose aggregation was computed again, with the same bytes.
    pub rounds: u32,
    /// Receipts that nodes signed, and that say what the history says.
    pub receipts: u32,
    /// Updates without a receipt.
    pub without_receipt: u32,
    /// The federation whose roster the receipts were checked with.
    pub federation: Option<String>,
    /// The plan.
    pub plan_sha256: Digest,
    /// The parameters that came of it.
    pub params_sha256: Digest,
}

/// Recomputes the experiment whose files are in `dir`.
///
/// # Errors
/// [`Error::Unverified`] naming the first round and part that does not hold; [`Error::NoUploads`],
/// [`Error::Io`].
pub fn verify_experiment(dir: &Path) -> Result<Verified, Error> {
    verify_with(dir, None)
}

/// The same, with what the researcher's own aggregator was at its start, where the history names
/// one.
///
/// # Errors
/// As [`verify_experiment`]; [`Error::OwnAggregator`] if the history names one of another name.
pub fn verify_with(dir: &Path, mut own: Option<Box<dyn Aggregator>>) -> Result<Verified, Error> {
    let history = load_history(dir)?;
    let folder = Folder::open(dir)?;
    let wrong = |round: u32, reason: String| Error::Unverified { round, reason };
    let no_uploads = |reason| Error::NoUploads { dir: dir.to_owned(), reason };
    if history.is_local() {
        return Err(no_uploads(
            "a local run: nothing was aggregated\nhelp: `fedwasm local` with the same plan, data, \
             arguments and seed gives the same bytes",
        ));
    }
    let (Some(initial), true) = (history.initial_sha256, folder.has(UPLOADS)) else {
        let reason = "its nodes' uploads were not kept\nhelp: run the experiment with \
                      `keep_uploads = true`";
        return Err(no_uploads(reason));
    };
    let uploads = folder.folder(UPLOADS)?;
    let roster = roster(&folder)?;
    let names_receipts = history
        .rounds
        .iter()
        .any(|record| record.nodes.values().any(|of_node| of_node.receipt.is_some()));
    if roster.is_none() && names_receipts {
        let text = format!("{RECEIPTS}/{MEMBERSHIP} is missing: the history names receipts");
        return Err(wrong(0, text));
    }
    let done = history.rounds.len() as u32;
    if history.status == FINISHED && done != history.rounds_max {
        let text = format!("the history is finished with {done} of {} rounds", history.rounds_max);
        return Err(wrong(0, text));
    }
    if let Some(ScoreRecord { evaluation, nodes }) = &history.initial {
        if combine(&nodes.values().collect::<Vec<_>>()) != *evaluation {
            return Err(wrong(0, "its scores are not those of its nodes".into()));
        }
        if let Some(roster) = &roster {
            check_other_scores(&folder, roster, &history, (0, &initial), nodes)
                .map_err(|reason| wrong(0, reason))?;
        }
    }
    let mut methods = Methods::default();
    let mut unknown: Option<String> = None;
    let mut not_again = 0;
    let mut global = load(&uploads, &initial).map_err(|reason| wrong(0, reason))?;
    let mut before = initial;
    let mut verified = Verified {
        rounds: 0,
        receipts: 0,
        without_receipt: 0,
        federation: roster.as_ref().map(|roster| roster.federation.to_string()),
        params_sha256: initial,
        plan_sha256: history.plan.sha256,
    };
    for (number, record) in (1..).zip(&history.rounds) {
        let wrong = |reason: String| wrong(record.round, reason);
        if record.round != number {
            return Err(wrong(format!("the history has it in place {number}")));
        }
        let (mut updates, mut aux) = (Updates::new(), BTreeMap::new());
        for (node, of_node) in &record.nodes {
            let upload = of_node.upload.ok_or_else(|| wrong(format!("{node}: no upload")))?;
            let params = load(&uploads, &upload).map_err(|r| wrong(format!("{node}: {r}")))?;
            let of_aux = match &of_node.upload_aux {
                Some(digest) => {
                    load(&uploads, digest).map_err(|r| wrong(format!("{node}: {r}")))?
                }
                None => Params::default(),
            };
            updates.insert(node.clone(), Update { n_samples: of_node.n_samples, params });
            aux.insert(node.clone(), of_aux);
            match &roster {
                Some(roster) => {
                    let is_there = check_receipt(&folder, roster, &history, record, node, &before);
                    match is_there.map_err(|reason| wrong(format!("{node}: {reason}")))? {
                        true => verified.receipts += 1,
                        false => verified.without_receipt += 1,
                    }
                }
                None => verified.without_receipt += 1,
            }
        }
        if let Some(roster) = &roster {
            let of = (record.round, &record.params_sha256);
            check_other_scores(&folder, roster, &history, of, &record.scored).map_err(wrong)?;
        }
        check_scores(record).map_err(wrong)?;
        let arguments = history.arguments_in(number);
        let is_known = methods.go_on(arguments.get("aggregator"), &mut own).map_err(wrong)?;
        if !is_known {
            unknown = unknown.or_else(|| methods.own_name());
        }
        let aggregator = match (&unknown, &mut methods.aggregator) {
            (None, Some(aggregator)) => aggregator,
            // What came of this round cannot be made again, and what follows starts from it.
            _ => {
                not_again += 1;
                before = record.params_sha256;
                continue;
            }
        };
        let again = aggregator.aggregate(&global, &updates);
        let again = again.map_err(|error| wrong(error.to_string()))?;
        let received = transpose(&aux).map_err(|error| wrong(error.to_string()))?;
        aggregator.take_aux_vars(&received).map_err(|error| wrong(error.to_string()))?;
        global = frozen(&history, &global, &again).map_err(|error| wrong(error.to_string()))?;
        let bytes = to_safetensors(&global).map_err(|error| wrong(error.to_string()))?;
        before = Digest::of(&bytes);
        if before != record.params_sha256 {
            let said = record.params_sha256;
            return Err(wrong(format!("its updates give {before}, the history says {said}")));
        }
        verified.rounds += 1;
    }
    if let Some(name) = unknown {
        let receipts = verified.receipts;
        return Err(Error::OwnAggregator { name, rounds: not_again, receipts });
    }
    let result = folder.read(PARAMS, UPLOAD_BYTES_MAX)?;
    if Digest::of(&result) != before {
        let text = format!("{PARAMS} is not what its rounds give, {before}");
        return Err(wrong(done, text));
    }
    let mpk = folder.read("params.mpk", UPLOAD_BYTES_MAX)?;
    match mpk::read_params(&mpk) {
        // Its order is its own.
        Ok(params) if same_tensors(&params, &global) => {}
        _ => return Err(wrong(done, "params.mpk is not what its rounds give".into())),
    }
    verified.params_sha256 = before;
    Ok(verified)
}

/// The aggregators of an experiment, one after the other.
#[derive(Default)]
struct Methods {
    /// The section of the round before.
    section: Value,
    aggregator: Option<Box<dyn Aggregator>>,
}

impl Methods {
    /// Takes the aggregator of the next round: the one of the round before, one of the same method
    /// with other settings that goes on from its state, or a new one. False if it is not known.
    fn go_on(
        &mut self,
        section: Option<&Value>,
        own: &mut Option<Box<dyn Aggregator>>,
    ) -> Result<bool, String> {
        let section = section.cloned().unwrap_or_default();
        if section == self.section && self.aggregator.is_some() {
            return Ok(true);
        }
        let is_same_method = method(Some(&section)) == method(Some(&self.section));
        let state = match self.aggregator.as_ref().filter(|_| is_same_method) {
            Some(old) => Some(old.state().map_err(|error| error.to_string())?),
            None => None,
        };
        self.section = section;
        self.aggregator = match self.own_name() {
            Some(name) => own.take_if(|own| own.name() == name),
            None => Some(aggregator_of(&self.section)?.build()),
        };
        if let (Some(state), Some(new)) = (state, &mut self.aggregator) {
            new.restore(&state).map_err(|error| error.to_string())?;
        }
        Ok(self.aggregator.is_some())
    }

    fn own_name(&self) -> Option<String> {
        Some(self.section.get(OWN)?.as_str()?.to_owned())
    }
}

/// The scores of a round are those of its nodes, put together.
fn check_scores(record: &RoundRecord) -> Result<(), String> {
    let all: Vec<_> = record.scores().into_values().collect();
    // An older history has none of the nodes that scored and did not train.
    let missing = record.evaluation.as_ref().is_some_and(|evaluation| {
        let rows: u64 = all.iter().map(|one| one.n_rows).sum();
        rows != evaluation.n_rows
    });
    match missing || combine(&all) == record.evaluation {
        true => Ok(()),
        false => Err("its scores are not those of its nodes".into()),
    }
}

fn same_tensors(a: &Params, b: &Params) -> bool {
    a.iter().count() == b.iter().count() && a.iter().all(|(name, t)| b.tensor(name) == Some(t))
}

/// What training may not write stays as it was.
pub(crate) fn frozen(
    history: &History,
    global: &Params,
    again: &Params,
) -> Result<Params, fedwasm_params::Error> {
    let names: BTreeSet<&str> = history.frozen.iter().map(String::as_str).collect();
    let tensors = again.iter().map(|(name, tensor)| {
        let kept = global.tensor(name).filter(|_| names.contains(name));
        (name.to_owned(), kept.unwrap_or(tensor).clone())
    });
    Params::new(tensors.collect())
}

/// Who signed receipts, by the roster of the federation.
fn roster(folder: &Folder) -> Result<Option<Roster>, Error> {
    let receipts = folder.folder(RECEIPTS)?;
    if !receipts.has(MEMBERSHIP) {
        return Ok(None);
    }
    let json = receipts.read(MEMBERSHIP, MEMBERSHIP_BYTES_MAX)?;
    let wrong = |reason: String| Error::Unverified { round: 0, reason };
    let membership: Membership =
        serde_json::from_slice(&json).map_err(|error| wrong(format!("{MEMBERSHIP}: {error}")))?;
    let signed = serde_json::to_vec(&membership.roster).unwrap_or_default();
    Ok(Some(Roster::verify(&signed, &membership.authority)?))
}

/// Whether there is a receipt that the node signed; it must say what the history says.
fn check_receipt(
    folder: &Folder,
    roster: &Roster,
    history: &History,
    record: &RoundRecord,
    node: &NodeId,
    before: &Digest,
) -> Result<bool, String> {
    let receipts = folder.folder(RECEIPTS).map_err(|error| error.to_string())?;
    let name = receipt_name(record.round, node, Mode::Train);
    let Some(of_node) = record.nodes.get(node) else { return Ok(false) };
    if !receipts.has(&name) {
        return match of_node.receipt {
            Some(digest) => Err(format!("its receipt {digest} is missing")),
            None => Ok(false),
        };
    }
    let signed = receipts.read(&name, RECEIPT_BYTES_MAX).map_err(|error| error.to_string())?;
    if of_node.receipt != Some(Digest::of(&signed)) {
        return Err("its receipt is not the one that the history names".into());
    }
    let who = Participant::node(node);
    let mut keys = roster.entries.iter().filter(|entry| entry.participant == who);
    let receipt = keys.find_map(|entry| Receipt::verify(&signed, &entry.key).ok());
    let receipt = receipt.ok_or_else(|| format!("no key of {who} signed its receipt"))?;
    let Receipt { request, result, .. } = &receipt;
    let training = training_in(history, record.round);
    let training = training.and_then(|training| serde_json::to_value(training).ok());
    let model = history.arguments.get("model").cloned();
    for (part, same) in [
        ("node", receipt.node == who),
        ("plan", request.plan.sha256 == history.plan.sha256),
        ("round", request.round == record.round && request.mode == Mode::Train),
        ("experiment", request.experiment_id.as_str() == history.experiment_id),
        ("seed", request.training.random_seed == Some(history.random_seed)),
        ("parameters", request.params.sha256 == *before),
        ("upload", result.params.map(|blob| blob.sha256) == of_node.upload),
        ("auxiliary variables", result.aux.map(|blob| blob.sha256) == of_node.upload_aux),
        ("samples", result.n_samples == of_node.n_samples),
        ("steps", result.n_steps == of_node.n_steps),
        ("loss", result.train_loss == of_node.train_loss),
        ("score", result.evaluation == of_node.evaluation),
        ("training arguments", same_arguments(training, &request.training)),
        ("model arguments", same_arguments(model, &request.model)),
        ("target", same_data(history, request)),
    ] {
        if !same {
            return Err(format!("its receipt is of other {part}, or of none"));
        }
    }
    if let Some(said) = record.score_of(node) {
        let of = (record.round, &record.params_sha256);
        check_scored(&receipts, roster, history, of, (node, said))?;
    }
    Ok(true)
}

/// The scores of nodes that did not train are what those signed that sign receipts.
fn check_other_scores(
    folder: &Folder,
    roster: &Roster,
    history: &History,
    (round, params): (u32, &Digest),
    scores: &BTreeMap<NodeId, Evaluation>,
) -> Result<(), String> {
    let receipts = folder.folder(RECEIPTS).map_err(|error| error.to_string())?;
    for (node, said) in scores {
        if receipts.has(&receipt_name(round, node, Mode::Validate)) {
            let checked = check_scored(&receipts, roster, history, (round, params), (node, said));
            checked.map_err(|reason| format!("{node}: {reason}"))?;
        }
    }
    Ok(())
}

/// The score of a model at a node is what the node signed.
fn check_scored(
    receipts: &Folder,
    roster: &Roster,
    history: &History,
    (round, params): (u32, &Digest),
    (node, said): (&NodeId, &Evaluation),
) -> Result<(), String> {
    let name = receipt_name(round, node, Mode::Validate);
    let signed = receipts.read(&name, RECEIPT_BYTES_MAX).map_err(|error| error.to_string())?;
    let who = Participant::node(node);
    let mut keys = roster.entries.iter().filter(|entry| entry.participant == who);
    let receipt = keys.find_map(|entry| Receipt::verify(&signed, &entry.key).ok());
    let receipt = receipt.ok_or_else(|| format!("no key of {who} signed {name}"))?;
    let same = receipt.result.evaluation.as_ref() == Some(said)
        && receipt.request.params.sha256 == *params
        && receipt.request.experiment_id.as_str() == history.experiment_id;
    if same { Ok(()) } else { Err(format!("{name} is of another score")) }
}

/// The training arguments that the history has for a round, with the learning rate of that round.
fn training_in(history: &History, round: u32) -> Option<TrainingArgs> {
    let mut arguments = history.arguments_in(round);
    let training = serde_json::from_value(arguments.remove("training")?).ok()?;
    let schedule = arguments.remove("training.lr_schedule").unwrap_or_default();
    let schedule: Option<LrSchedule> = serde_json::from_value(schedule).ok()?;
    Some(in_round(&training, schedule.as_ref(), round))
}

/// Whether arguments in a receipt are those of the history; the seed is compared apart.
fn same_arguments(said: Option<Value>, asked: &impl serde::Serialize) -> bool {
    let plain = |value: Option<Value>| {
        let mut value = value.unwrap_or_default();
        if let Value::Object(object) = &mut value {
            object.remove("random_seed");
        }
        value
    };
    plain(said) == plain(serde_json::to_value(asked).ok())
}

/// Whether target and scaling are those of the history, and the columns if it names some.
fn same_data(history: &History, request: &RoundRequest) -> bool {
    let RoundRequest { data: asked, wide_inputs, .. } = request;
    let said = history.arguments.get("data").cloned();
    let said: Option<DataArgs> = said.and_then(|said| serde_json::from_value(said).ok());
    said.is_some_and(|said| {
        let same_inputs = match (&said.inputs, &asked.inputs) {
            (None, _) => true,
            (Some(said), Some(asked)) => said.names() == asked.names(),
            (Some(said), None) => wide_inputs
                .as_ref()
                .is_some_and(|wide| said.encode().is_ok_and(|bytes| wide.blob.matches(&bytes))),
        };
        said.target == asked.target
            && same_inputs
            && said.memory_bytes() == asked.memory_bytes()
            && said.standardize == asked.standardize
    })
}

/// The aggregator that a history names.
fn aggregator_of(value: &Value) -> Result<AggregatorArgs, String> {
    let (name, settings) = match value {
        Value::String(name) => (name.clone(), Value::Null),
        Value::Object(object) => match object.iter().next() {
            Some((name, settings)) => (name.clone(), settings.clone()),
            None => return Err("the history names no aggregator".into()),
        },
        _ => return Err("the history names no aggregator".into()),
    };
    let mut table = match settings {
        Value::Object(settings) => {
            let settings = settings.into_iter().filter(|(_, value)| !value.is_null());
            let settings = Value::Object(settings.collect());
            toml::Table::try_from(settings).map_err(|error| error.to_string())?
        }
        _ => toml::Table::new(),
    };
    table.insert("name".into(), toml::Value::String(name));
    let mut fields = Fields::new("aggregator", table);
    let aggregator = AggregatorArgs::take(&mut fields);
    let mistakes = fields.finish();
    match mistakes.is_empty() {
        true => Ok(aggregator),
        false => Err(format!("the history's aggregator: {}", mistakes.join(", "))),
    }
}
