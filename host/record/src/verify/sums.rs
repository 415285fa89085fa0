//! Makes secure sums again: signatures by the roster, masks by the transcript, results from the masked
//! vectors that nodes uploaded.

use fedwasm_aggregate::{Aggregator, RoundSum, Updates};
use fedwasm_folder::Folder;
use fedwasm_params::Params;
use fedwasm_privacy::{
    Cause, Replayed, Steps, Summand, Transcript, VectorSpec, binding, moved_where, tensors_of,
};
use fedwasm_protocol::{Digest, Mode, NodeId, Participant, SecaggArgs};
use fedwasm_trust::{RECEIPT_BYTES_MAX, Receipt, Roster};

use super::{Again, NodeParams, SCORES_DIFFER, Walk, aggregated, check_scores, frozen};
use crate::secagg::{load_asked_in, load_transcript, numbers_sha256};
use crate::uploads::{RECEIPTS, load, receipt_name};
use crate::{History, RoundRecord, SecaggRecord};

/// The updates or the sum that a round is computed again from.
pub(super) enum OfRound {
    Updates(Updates, NodeParams),
    Sum(Box<SumAgain>),
}

impl OfRound {
    /// The model that the aggregator makes of it.
    pub(super) fn model(
        &self,
        aggregator: &mut dyn Aggregator,
        history: &History,
        global: &Params,
    ) -> Result<Params, String> {
        match self {
            Self::Updates(updates, aux) => {
                aggregated(aggregator, history, global, updates, aux).map_err(text)
            }
            Self::Sum(sum) => {
                let again = aggregator.take_sum(global, &sum.round_sum(global)?).map_err(text)?;
                frozen(history, global, &again).map_err(text)
            }
        }
    }
}

impl Walk<'_> {
    /// The updates of a round, or their sum; receipts are checked beside them.
    pub(super) fn of_round(&mut self, record: &RoundRecord) -> Result<OfRound, String> {
        let Some(sum) = &record.secagg else {
            let (updates, aux) = self.updates(record)?;
            return Ok(OfRound::Updates(updates, aux));
        };
        if !record.nodes.keys().eq(&sum.sum_of) {
            return Err("its nodes are not those of its sum".into());
        }
        let before = self.found.params_sha256;
        let again = self.again.sum((record.round, Mode::Train), sum, &before)?;
        self.found.receipts += again.receipts;
        self.found.without_receipt += (record.nodes.len() as u32).saturating_sub(again.receipts);
        Ok(OfRound::Sum(Box::new(again)))
    }
}

/// A sum that was made again, and the tensors that it is of.
pub(super) struct SumAgain {
    replayed: Replayed,
    params: Vec<Summand>,
    aux: Vec<Summand>,
    /// Receipts of its nodes that agree with it.
    pub(super) receipts: u32,
}

impl SumAgain {
    /// The sum for the aggregator.
    pub(super) fn round_sum(&self, global: &Params) -> Result<RoundSum, String> {
        let params: Vec<VectorSpec<'_>> = self.params.iter().map(Summand::spec).collect();
        let aux: Vec<VectorSpec<'_>> = self.aux.iter().map(Summand::spec).collect();
        let decoded = &self.replayed.decoded;
        Ok(RoundSum {
            nodes: self.replayed.sum_of.iter().cloned().collect(),
            n_samples: decoded.n_samples,
            params: moved_where(global, &params, &decoded.mean).map_err(text)?,
            aux: tensors_of(&aux, &decoded.aux).map_err(text)?,
        })
    }
}

impl Again {
    /// Makes a sum again, and compares its results with the record.
    ///
    /// * `started_from` — the parameters that nodes were sent.
    pub(super) fn sum(
        &self,
        (round, mode): (u32, Mode),
        record: &SecaggRecord,
        started_from: &Digest,
    ) -> Result<SumAgain, String> {
        let digest = record.transcript.ok_or("the history names no transcript of its sum")?;
        let json = load_transcript(&self.folder, (round, mode), &digest)?;
        let transcript: Transcript = serde_json::from_slice(&json).map_err(text)?;
        let roster = self.roster.as_ref().ok_or("the roster of its nodes was not kept")?;
        let SecaggRecord { args, parties, sum_of, .. } = record;
        if transcript.args != *args || (record.scheme, record.sum_id) != (args.scheme, args.sum_id)
        {
            return Err("the transcript of its sum has other arguments".into());
        }
        if !parties.iter().all(|node| transcript.asked().contains(node)) {
            return Err("the transcript of its sum names other nodes".into());
        }
        let again = transcript.clone().replay(&verifier(roster), &mut |_, sha256| {
            load(&self.uploads, sha256).map_err(Cause::from)
        });
        let replayed = again.map_err(said)?;
        let decoded = &replayed.decoded;
        for (part, same) in [
            ("nodes", replayed.sum_of.iter().eq(sum_of)),
            ("rows", decoded.n_samples == record.n_samples),
            ("steps", decoded.n_steps == record.n_steps),
            ("the training loss", decoded.train_loss == record.train_loss),
            ("scores", decoded.evaluation == record.evaluation),
            ("statistics", numbers_sha256(&decoded.numbers) == record.numbers_sha256),
        ] {
            if !same {
                return Err(format!("its masked vectors sum to other {part} than the history has"));
            }
        }
        let asked = load_asked_in(&self.folder, (round, mode)).map_err(text)?;
        let asked = asked.ok_or("the nodes that were asked for its sum were not kept")?;
        if asked.parties != *parties {
            return Err("other nodes were asked than masked for its sum".into());
        }
        let mut receipts = 0;
        for node in sum_of {
            let at = (node, round, mode);
            let receipt = self.sum_receipt(roster, at, &transcript, started_from);
            let receipt = receipt.map_err(|reason| format!("{node}: {reason}"))?;
            let Some(receipt) = receipt else { continue };
            receipts += 1;
            let binding = binding(&receipt.request, &replayed.layout).map_err(text)?;
            if binding.run() != asked.run {
                return Err(format!("{node}: its receipt is of another run than was asked for"));
            }
            if let Steps::DoubleMasking { setup, .. } = &transcript.steps
                && binding != setup.binding
            {
                return Err(format!("{node}: its keys were signed for another round"));
            }
        }
        let Transcript { params, aux, .. } = transcript;
        Ok(SumAgain { replayed, params, aux, receipts })
    }

    /// A node's receipt of its part in a sum, if there is one; it must agree with the transcript.
    fn sum_receipt(
        &self,
        roster: &Roster,
        (node, round, mode): (&NodeId, u32, Mode),
        transcript: &Transcript,
        started_from: &Digest,
    ) -> Result<Option<Receipt>, String> {
        let receipts: Folder = self.folder.folder(RECEIPTS).map_err(text)?;
        let name = receipt_name(round, node, mode);
        if !receipts.has(&name) {
            return Ok(None);
        }
        let signed = receipts.read(&name, RECEIPT_BYTES_MAX).map_err(text)?;
        let who = Participant::node(node);
        let mut keys = roster.entries.iter().filter(|entry| entry.participant == who);
        let receipt = keys.find_map(|entry| Receipt::verify(&signed, &entry.key).ok());
        let receipt = receipt.ok_or_else(|| format!("no key of {who} signed {name}"))?;
        let Receipt { request, result, .. } = &receipt;
        let upload = transcript.uploads.get(node);
        let asked = request.secagg.clone().map(|args| SecaggArgs { shares: None, ..args });
        let terms = result.secagg.as_ref();
        for (part, same) in [
            ("arguments of the sum", asked.as_ref() == Some(&transcript.args)),
            ("sum", terms.map(|terms| terms.sum_id) == Some(transcript.args.sum_id)),
            ("scheme", terms.map(|terms| terms.scheme) == Some(transcript.args.scheme)),
            ("parameters", request.params.sha256 == *started_from),
            ("experiment", request.experiment_id.as_str() == self.history.experiment_id),
            ("round", (request.round, request.mode) == (round, mode)),
            ("upload", result.params.map(|blob| blob.sha256) == upload.map(|one| one.sha256)),
            (
                "check value",
                result.encryption_factor.as_ref() == upload.and_then(|one| one.check.as_ref()),
            ),
        ] {
            if !same {
                return Err(format!("{name} has another value for {part}, or none"));
            }
        }
        Ok(Some(receipt))
    }

    /// The scores of the model after a round match those of its nodes, or their sum.
    pub(super) fn check_global_scores(&self, record: &RoundRecord) -> Result<(), String> {
        match &record.scored_secagg {
            Some(sum) => {
                let of = (&record.params_sha256, record.evaluation.as_ref());
                self.check_scored_sum(record.round, sum, of)
            }
            None => check_scores(record),
        }
    }

    /// The scores of a model match the sum of its nodes' scores.
    pub(super) fn check_scored_sum(
        &self,
        round: u32,
        record: &SecaggRecord,
        (params, said): (&Digest, Option<&fedwasm_protocol::Evaluation>),
    ) -> Result<(), String> {
        self.sum((round, Mode::Validate), record, params)?;
        match record.evaluation.as_ref() == said {
            true => Ok(()),
            false => Err(SCORES_DIFFER.into()),
        }
    }
}

/// Checks signatures by any key that the roster has of a node: one that was revoked later counted.
fn verifier(roster: &Roster) -> impl Fn(&NodeId, &[u8], &[u8]) -> Result<(), Cause> {
    |node, statement, signature| {
        let who = Participant::node(node);
        let mut keys = roster.entries.iter().filter(|entry| entry.participant == who);
        match keys.any(|entry| entry.key.verify("the keys", statement, signature).is_ok()) {
            true => Ok(()),
            false => Err(format!("no key of {who} signed it").into()),
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// An error with its cause.
fn said(error: fedwasm_privacy::Error) -> String {
    match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
