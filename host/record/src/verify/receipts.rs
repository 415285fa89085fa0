//! Compares the receipts of nodes with the history.

use std::collections::BTreeMap;

use fedwasm_folder::Folder;
use fedwasm_protocol::{
    DataArgs, Digest, Evaluation, Mode, NodeId, Participant, RoundRequest, TrainingArgs,
};
use fedwasm_trust::{Membership, RECEIPT_BYTES_MAX, Receipt, Roster};
use serde_json::Value;

use crate::uploads::{MEMBERSHIP, RECEIPTS, receipt_name};
use crate::{Error, History, LrSchedule, RoundRecord, in_round};

/// The largest file of a membership, in bytes.
const MEMBERSHIP_BYTES_MAX: u64 = 8 << 20;

/// The signers of receipts, by the roster of the federation.
pub(super) fn roster(folder: &Folder) -> Result<Option<Roster>, Error> {
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

/// Whether there is a receipt that the node signed; it must agree with the history.
pub(super) fn check_receipt(
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
        return Err("its receipt does not have the digest that the history names".into());
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
        ("scales", request.scales.as_ref().map(|s| s.blob.sha256) == history.scales_sha256),
    ] {
        if !same {
            return Err(format!("its receipt has another value for {part}, or none"));
        }
    }
    if let Some(said) = record.score_of(node) {
        let of = (record.round, &record.params_sha256);
        check_scored(&receipts, roster, history, of, (node, said))?;
    }
    Ok(true)
}

/// The scores of nodes that did not train match their receipts, for nodes that sign receipts.
pub(super) fn check_other_scores(
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

/// The score of a model at a node matches the signed one.
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
    if same { Ok(()) } else { Err(format!("{name} belongs to another score")) }
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

/// Whether target, scaling, split and rules of columns are those of the history, and the columns if it names some.
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
            && said.columns == asked.columns
            && said.missing == asked.missing
            && said.split == asked.split
    })
}
