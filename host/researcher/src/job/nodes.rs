//! Which nodes take part: those that may run the plan, those that come back, those that are
//! dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fedwasm_protocol::{
    ApprovalRequest, ApprovalStatus, Body, NodeId, Reason, SIGNATURES_MAX, printable,
};
use fedwasm_trust::SKEW_MS;

use crate::job::membership::Away;
use crate::job::replies::{clock, why_not};
use crate::job::search::SEARCH_TIME_MAX;
use crate::requests::{Answer, Linked};
use crate::{Error, Event, Events};

use super::Job;

/// How long nodes may take to answer whether they would run a plan: those that do not know it
/// fetch it first.
const APPROVAL_TIME_MAX: Duration = Duration::from_secs(60);
/// From this difference on a clock is told of.
const CLOCK_WARNING_MS: u64 = 60_000;
/// The most warnings that are told.
const WARNINGS_MAX: usize = 1_000;

impl Job {
    /// Asks all nodes whether they would run the plan, and drops those that
    /// would not (Fed-BioMed `check_training_plan_is_approved_by_nodes`).
    ///
    /// # Errors
    /// [`Error::Transport`], [`Error::Cancelled`].
    pub async fn check_approval(
        &mut self,
        events: Events<'_>,
    ) -> Result<BTreeMap<NodeId, ApprovalStatus>, Error> {
        let mut signatures = Vec::new();
        for signature in self.options.signatures.iter().take(SIGNATURES_MAX) {
            signatures.push(self.store(signature.clone()).await?);
        }
        let request = || {
            let signatures = signatures.clone();
            let description = self.options.description.clone();
            let columns = self.options.data.columns.clone();
            Body::Approval(ApprovalRequest { plan: self.plan, signatures, description, columns })
        };
        let asked = self.nodes().into_iter().map(|node| (node, request())).collect();
        let answers = self.requests.ask(asked, APPROVAL_TIME_MAX, || {}, |_| {}).await?;
        let mut standing = BTreeMap::new();
        for (node, (answer, _)) in answers {
            match answer {
                Answer::Reply(Body::ApprovalReply(reply)) if reply.status.may_run() => {
                    standing.insert(node, reply.status);
                }
                Answer::Reply(Body::ApprovalReply(reply)) => {
                    let note = if reply.note.is_empty() { "" } else { ": " };
                    let mut text =
                        format!("the plan is {} there{note}{}", reply.status, reply.note);
                    if reply.status == ApprovalStatus::Pending {
                        text += "; its operator decides (`fedwasm node plan approve`)";
                    }
                    standing.insert(node.clone(), reply.status);
                    let away = self.nodes.again(&node);
                    self.drop_node(node, 0, Reason::NotApproved, text, away, events);
                }
                other => self.drop_for(node, 0, other, events),
            }
        }
        self.warn_of_clocks(events);
        Ok(standing)
    }

    /// Tells of nodes whose clocks may soon be too far from ours.
    fn warn_of_clocks(&self, events: Events<'_>) {
        for node in self.nodes() {
            let ahead_ms = self.requests.ahead_ms(&node).unwrap_or_default();
            if ahead_ms.unsigned_abs() > CLOCK_WARNING_MS {
                let (clock, max) = (clock(ahead_ms), SKEW_MS / 1_000);
                let warning =
                    format!("{node}: its clock is {clock}; messages are refused beyond {max} s");
                events(Event::Warning(warning));
            }
        }
    }

    /// Lets nodes that came back take part again, and those that refused be asked again.
    pub fn take_back(&mut self, round: u32, events: Events<'_>) {
        let (requests, asked_again) = (&mut self.requests, &mut self.asked_again);
        self.nodes.begin_round(round);
        let silent = self.nodes.silent();
        let rest: Vec<&NodeId> = silent.iter().filter(|node| self.nodes.rests(node)).collect();
        let back = self.nodes.take_back(|node, away| match away {
            Away::Gone(_) => requests.is_online(node),
            Away::Silent(_) | Away::Slow(_) => !rest.contains(&node) && requests.take_late(node),
            Away::Refused(_) => {
                asked_again.insert(node.clone());
                true
            }
            Away::Out(_) => false,
        });
        for node in back.into_iter().filter(|node| !self.asked_again.contains(node)) {
            events(Event::Returned { node, round });
        }
    }

    /// The nodes that are away and may be back by themselves.
    pub(crate) fn may_return(&self) -> BTreeSet<NodeId> {
        self.nodes.may_return()
    }

    /// Waits for nodes that are gone or silent, until all are back or `time` is over.
    ///
    /// # Errors
    /// [`Error::Transport`], [`Error::Cancelled`].
    pub async fn wait_for_nodes(&mut self, time: Duration) -> Result<(), Error> {
        let (gone, silent) = (self.nodes.gone(), self.nodes.silent());
        self.nodes.is_short();
        let all_back = |requests: &Linked| {
            !(gone.is_empty() && silent.is_empty())
                && gone.iter().all(|node| requests.is_online(node))
                && silent.iter().all(|node| requests.has_late(node))
        };
        self.requests.watch(time, &silent, all_back).await
    }

    /// Tells a warning, the first time.
    pub(super) fn warn_once(&mut self, warning: String, events: Events<'_>) {
        if self.warned.len() < WARNINGS_MAX && self.warned.insert(warning.clone()) {
            events(Event::Warning(warning));
        }
    }

    /// Drops a node for an answer that is not a delivery.
    pub(crate) fn drop_for(
        &mut self,
        node: NodeId,
        round: u32,
        answer: Answer,
        events: Events<'_>,
    ) {
        let away = self.nodes.away_for(&node, &answer);
        let deadline = if round == 0 { SEARCH_TIME_MAX } else { self.options.deadline };
        let n_rows = self.nodes.member(&node).map_or(0, |member| member.n_rows);
        let (reason, text) = why_not(answer, deadline, n_rows);
        self.drop_node(node, round, reason, text, away, events);
    }

    pub(crate) fn drop_node(
        &mut self,
        node: NodeId,
        round: u32,
        reason: Reason,
        text: String,
        away: Away,
        events: Events<'_>,
    ) {
        // Nodes wrote parts of this.
        let text = printable(&text);
        // A node that is gone was announced when its will arrived.
        if !matches!(away, Away::Gone(_)) || round == 0 {
            events(Event::Dropped { node: node.clone(), round, reason: text.clone() });
        }
        self.nodes.drop_node(node, away, reason, text);
    }
}
