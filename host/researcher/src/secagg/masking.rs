//! A sum with pairwise masks: the parts of all nodes, or no sum.

use std::collections::BTreeMap;
use std::time::Instant;

use fedwasm_privacy::{Steps, Sum};
use fedwasm_protocol::{NodeId, RoundRequest, SecaggArgs};

use super::sum::{Masked, Times};
use super::{Demand, Files, Question, Summed};
use crate::job::ask::{Answers, Asking};
use crate::requests::Answer;
use crate::{Error, Events, Job};

/// How often keys are agreed upon for one try of a round: nodes that start anew have forgotten theirs.
const AGREEMENTS_MAX: usize = 3;

impl Job {
    /// Has the nodes of `question` work, and adds their parts. None if nodes were lost before any was
    /// asked for the round: a smaller set may be asked then.
    ///
    /// # Errors
    /// [`Error::PartMissing`] if one does not deliver; [`Error::Secagg`] if parts do not fit
    /// together.
    pub(crate) async fn sum_masked(
        &mut self,
        question: &Question,
        files: &mut Files<'_>,
        events: Events<'_>,
    ) -> Result<Option<Summed>, Error> {
        let parties = &question.parties;
        let summed = self.try_masked(question, files, events).await;
        if !matches!(summed, Ok(Some(_))) {
            // Its pads may be used up: the same round needs others.
            self.contexts.forget(parties);
        }
        summed
    }

    async fn try_masked(
        &mut self,
        question: &Question,
        files: &mut Files<'_>,
        events: Events<'_>,
    ) -> Result<Option<Summed>, Error> {
        let Question { round, mode, parties, requests, .. } = question;
        let (mut times, mut is_fixed) = (Times::default(), question.is_fixed);
        for left in (0..AGREEMENTS_MAX).rev() {
            let at = Instant::now();
            let agreed = self.agree(*round, parties, events).await?;
            times.agree_ms += ms(at);
            let Some(agreed) = agreed else {
                return if is_fixed { Err(self.part_missing(question)) } else { Ok(None) };
            };
            let demand = self.demand(question, agreed.context.id)?;
            (files.asked)(parties)?;
            is_fixed = true;
            let (at, send_ms) = (Instant::now(), &mut times.send_ms);
            let asking = Asking { round: *round, mode: *mode, demand: Some(&demand) };
            let requests = with_args(requests, &demand.args);
            let answers = self.ask_for(asking, requests, || *send_ms += ms(at), events).await?;
            let Answers { replies, forgot } = answers;
            if replies.len() + forgot.len() < parties.len() || (left == 0 && !forgot.is_empty()) {
                for (node, refusal) in forgot {
                    self.drop_for(node, *round, Answer::Refused(refusal), events);
                }
                return Err(self.part_missing(question));
            }
            if forgot.is_empty() {
                let steps =
                    Steps::Masking { context: agreed.context.clone(), keys: agreed.keys.clone() };
                let made = (demand, steps);
                return self.add_masked(question, made, (replies, times), files, events).await;
            }
            self.contexts.forget(parties);
        }
        Err(self.part_missing(question))
    }

    async fn add_masked(
        &mut self,
        question: &Question,
        (demand, steps): (Demand, Steps),
        (replies, mut times): (super::sum::ByNode, Times),
        files: &mut Files<'_>,
        events: Events<'_>,
    ) -> Result<Option<Summed>, Error> {
        let at = Instant::now();
        let (parties, layout) = (question.parties.clone(), demand.coding.layout());
        let mut sum = Sum::<u64>::new(parties.clone(), layout.clone());
        let mut take = |node: &NodeId, masked: Masked| {
            (files.upload)(&masked.digest, &masked.bytes)?;
            Ok(sum.add(node, &masked.vectors)?)
        };
        for (node, why) in self.each_masked(&replies, layout, &mut take).await? {
            self.drop_masked(&node, question.round, why, events);
        }
        times.download_ms += ms(at);
        if sum.took().len() < parties.len() {
            return Err(self.part_missing(question));
        }
        let at = Instant::now();
        let decoded = demand.coding.decode(&sum.finish()?, parties.len())?;
        times.unmask_ms += ms(at);
        let mode = question.mode;
        Ok(Some(Summed { mode, demand, parties, replies, decoded, steps, times }))
    }

    /// Which of the nodes of a sum are lost, and why.
    pub(crate) fn part_missing(&self, question: &Question) -> Error {
        let mut missing: BTreeMap<NodeId, String> = BTreeMap::new();
        let refused = self.refused();
        for node in question.parties.iter().filter(|node| self.nodes.member(node).is_none()) {
            let why = refused.iter().find(|(other, ..)| other == node);
            let why = why.map_or("it is not connected", |(_, _, why)| why.as_str());
            missing.insert(node.clone(), why.to_owned());
        }
        let (round, n) = (question.round, question.parties.len());
        Error::PartMissing { round, n, missing: missing.into_iter().collect() }
    }
}

/// The requests with their part about secure aggregation.
fn with_args(
    requests: &BTreeMap<NodeId, RoundRequest>,
    args: &SecaggArgs,
) -> BTreeMap<NodeId, RoundRequest> {
    let with = |(node, request): (&NodeId, &RoundRequest)| {
        (node.clone(), RoundRequest { secagg: Some(args.clone()), ..request.clone() })
    };
    requests.iter().map(with).collect()
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
