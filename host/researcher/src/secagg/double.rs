//! A sum with double masking: keys, shares, masked vectors, consents and reveals of one round. Nodes
//! that are lost at any step are survived while the threshold is left.

use std::collections::BTreeMap;
use std::time::Instant;

use fedwasm_privacy::double_masking::{
    Boxes, Consent, Reveal, SealedShares, Setup, Survivors, TakesKeys, TakesShares, TakesVectors,
};
use fedwasm_privacy::{Parties, SignedKeys, Steps, Vectors, binding};
use fedwasm_protocol::{
    NodeId, Participant, Payload, RoundRequest, SecaggArgs, SecaggScheme, SecaggStep,
    encode_content,
};
use fedwasm_trust::Roster;
use serde::Serialize;

use super::context::{check_sender, random};
use super::exchange::{Exchange, verifier};
use super::sum::{ByNode, Masked, Times};
use super::{Demand, Files, Question, Summed};
use crate::job::ask::Asking;
use crate::{Error, Event, Events, Job};

/// The facts of a sum at every step.
struct Base<'a> {
    at: Exchange,
    question: &'a Question,
    demand: Demand,
    roster: &'a Roster,
}

/// The sum in the clear, and the messages that unmasked it.
struct Unmasked {
    sums: Vectors<u64>,
    alive: Parties,
    survivors: Survivors,
    consents: Vec<Consent>,
    reveals: Vec<Reveal>,
}

impl Job {
    /// Has the nodes of `question` agree upon keys and work, adds their parts, and unmasks the sum.
    ///
    /// * `threshold` — how many must be left at every step.
    ///
    /// # Errors
    /// [`Error::Secagg`] if fewer are left or parts do not fit together; [`Error::PartMissing`] if
    /// one is lost of nodes that were asked for the same round before.
    pub(crate) async fn sum_double(
        &mut self,
        question: &Question,
        threshold: usize,
        files: &mut Files<'_>,
        events: Events<'_>,
    ) -> Result<Summed, Error> {
        let (start, mut times) = (Instant::now(), Times::default());
        let (roster, id, round) = (self.roster()?, random()?, question.round);
        let demand = self.demand(question, id)?;
        let setup = Setup {
            id,
            roster: roster.keys_sha256(question.parties.iter().map(Participant::node)),
            parties: question.parties.clone(),
            threshold: u32::try_from(threshold).unwrap_or(u32::MAX),
            binding: binding(&question.request()?, demand.coding.layout())?,
        };
        let at = Exchange { round, scheme: SecaggScheme::DoubleMasking, sum_id: id };
        let base = Base { at, question, demand, roster: &roster };
        let (takes, keys) = self.take_keys(&base, setup.clone(), events).await?;
        let (takes, boxes, shares) = self.take_shares(&base, (takes, &keys), events).await?;
        let shared = Parties::new(boxes.keys().cloned(), 0)?;
        if question.is_fixed && shared != question.parties {
            return Err(self.part_missing(question));
        }
        times.agree_ms = ms(start);
        let (n_nodes, ms) = (shared.len(), times.agree_ms);
        events(Event::Agreed { round, scheme: at.scheme, n_nodes, ms });
        (files.asked)(&shared)?;
        let (takes, mut replies) =
            self.take_vectors(&base, (takes, boxes), &mut times, files, events).await?;
        let start = Instant::now();
        let Unmasked { sums, alive, survivors, consents, reveals } =
            self.unmask(&base, takes, events).await?;
        replies.retain(|node, _| alive.contains(node));
        let decoded = base.demand.coding.decode(&sums, alive.len())?;
        times.unmask_ms = self::ms(start);
        let steps = Steps::DoubleMasking {
            setup: Box::new(setup),
            keys,
            shares,
            survivors,
            consents,
            reveals,
        };
        let (mode, demand, parties) = (question.mode, base.demand, shared);
        Ok(Summed { mode, demand, parties, replies, decoded, steps, times })
    }

    /// Step 1: keys.
    async fn take_keys(
        &mut self,
        base: &Base<'_>,
        setup: Setup,
        events: Events<'_>,
    ) -> Result<(TakesShares, Vec<SignedKeys>), Error> {
        let all = (setup.parties.iter(), content(&setup)?);
        let answers =
            self.step_of_all::<SignedKeys>(base.at, SecaggStep::Keys, all, events).await?;
        let mut takes = TakesKeys::new(setup)?;
        for (node, keys) in answers {
            if let Err(text) = check_sender(&node, &keys.node) {
                self.refuse_for(&node, base.at.round, text, events);
            } else if let Err(error) = takes.take(keys, &verifier(base.roster)) {
                self.refuse(&node, base.at.round, &error, events);
            }
        }
        Ok(takes.close()?)
    }

    /// Step 2: sealed shares.
    async fn take_shares(
        &mut self,
        base: &Base<'_>,
        (mut takes, keys): (TakesShares, &[SignedKeys]),
        events: Events<'_>,
    ) -> Result<(TakesVectors<u64>, BTreeMap<NodeId, Boxes>, Vec<SealedShares>), Error> {
        let all = (keys.iter().map(|keys| &keys.node), content(&keys)?);
        let mut taken = Vec::new();
        let answers =
            self.step_of_all::<SealedShares>(base.at, SecaggStep::Agree, all, events).await?;
        for (node, shares) in answers {
            if let Err(text) = check_sender(&node, &shares.node) {
                self.refuse_for(&node, base.at.round, text, events);
                continue;
            }
            let commitments = SealedShares { boxes: BTreeMap::new(), ..shares.clone() };
            match takes.take(shares) {
                Ok(()) => taken.push(commitments),
                Err(error) => self.refuse(&node, base.at.round, &error, events),
            }
        }
        let (takes, boxes) = takes.close(base.demand.coding.layout().clone())?;
        Ok((takes, boxes, taken))
    }

    /// Step 3: the round itself; masked vectors are fetched and added.
    async fn take_vectors(
        &mut self,
        base: &Base<'_>,
        (mut takes, boxes): (TakesVectors<u64>, BTreeMap<NodeId, Boxes>),
        times: &mut Times,
        files: &mut Files<'_>,
        events: Events<'_>,
    ) -> Result<(TakesVectors<u64>, ByNode), Error> {
        let Base { at: Exchange { round, .. }, question, demand, .. } = base;
        let mut requests = BTreeMap::new();
        for (node, boxes) in &boxes {
            let Some(request) = question.requests.get(node) else { continue };
            let shares = Some(Payload::inline(content(boxes)?));
            let secagg = Some(SecaggArgs { shares, ..demand.args.clone() });
            requests.insert(node.clone(), RoundRequest { secagg, ..request.clone() });
        }
        let (at, send_ms) = (Instant::now(), &mut times.send_ms);
        let asking = Asking { round: *round, mode: question.mode, demand: Some(demand) };
        let answers = self.ask_for(asking, requests, || *send_ms += ms(at), events).await?;
        let (at, layout) = (Instant::now(), demand.coding.layout());
        let mut replies = answers.replies;
        let mut take = |node: &NodeId, masked: Masked| {
            (files.upload)(&masked.digest, &masked.bytes)?;
            Ok(takes.take(node, &masked.vectors)?)
        };
        for (node, why) in self.each_masked(&replies, layout, &mut take).await? {
            replies.remove(&node);
            self.drop_masked(&node, *round, why, events);
        }
        times.download_ms += ms(at);
        Ok((takes, replies))
    }

    /// Steps 4 and 5: survivors sign who survived, and reveal the shares that unmask the sum.
    async fn unmask(
        &mut self,
        base: &Base<'_>,
        takes: TakesVectors<u64>,
        events: Events<'_>,
    ) -> Result<Unmasked, Error> {
        let (at, verify) = (base.at, verifier(base.roster));
        let (mut takes, survivors) = takes.close()?;
        let all = (survivors.alive.iter(), content(&survivors)?);
        let answers = self.step_of_all::<Consent>(at, SecaggStep::Consent, all, events).await?;
        for (node, consent) in answers {
            if let Err(text) = check_sender(&node, &consent.node) {
                self.refuse_for(&node, at.round, text, events);
            } else if let Err(error) = takes.take(consent, &verify) {
                self.refuse(&node, at.round, &error, events);
            }
        }
        let (mut takes, consents) = takes.close()?;
        let all = (consents.iter().map(|consent| &consent.node), content(&consents)?);
        let answers = self.step_of_all::<Reveal>(at, SecaggStep::Reveal, all, events).await?;
        let mut reveals = Vec::new();
        for (node, reveal) in answers {
            if let Err(text) = check_sender(&node, &reveal.node) {
                self.refuse_for(&node, at.round, text, events);
                continue;
            }
            match takes.take(reveal.clone()) {
                Ok(()) => reveals.push(reveal),
                Err(error) => self.refuse(&node, at.round, &error, events),
            }
        }
        let (sums, alive) = takes.close()?;
        Ok(Unmasked { sums, alive, survivors, consents, reveals })
    }
}

fn content(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    Ok(encode_content(value).map_err(fedwasm_privacy::Error::from)?)
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
