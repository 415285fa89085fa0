//! Steps of a secure sum: a message to each node, and what it answers. A node that does not answer
//! as it must is dropped by name.

use std::collections::BTreeMap;

use fedwasm_privacy::Cause;
use fedwasm_protocol::{
    Body, Digest, NodeId, Participant, Reason, SecaggReply, SecaggRequest, SecaggScheme,
    SecaggStep, decode_content,
};
use fedwasm_trust::Roster;
use serde::de::DeserializeOwned;

use crate::job::tell;
use crate::requests::Answer;
use crate::{Error, Events, Job};

/// The sum that a step belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) round: u32,
    pub(crate) scheme: SecaggScheme,
    pub(crate) sum_id: Digest,
}

impl Job {
    /// Asks nodes for a step, each with its content, and returns what they answered.
    ///
    /// # Errors
    /// [`Error::Transport`], [`Error::Cancelled`].
    pub(crate) async fn step(
        &mut self,
        at: Exchange,
        step: SecaggStep,
        contents: BTreeMap<NodeId, Vec<u8>>,
        events: Events<'_>,
    ) -> Result<BTreeMap<NodeId, Vec<u8>>, Error> {
        let Exchange { round, scheme, sum_id } = at;
        let mut requests = Vec::new();
        for (node, content) in contents {
            let Some(member) = self.nodes.member(&node) else { continue };
            let (experiment_id, dataset_id) = (self.id().clone(), member.dataset_id.clone());
            let request =
                SecaggRequest { experiment_id, dataset_id, scheme, sum_id, step, content };
            requests.push((node, Body::Secagg(request)));
        }
        let deadline = self.options.deadline;
        let see = |seen| tell(round, seen, events);
        let answers = self.requests.ask(requests, deadline, || {}, see).await?;
        let mut contents = BTreeMap::new();
        for (node, (answer, _)) in answers {
            match answer {
                Answer::Reply(Body::SecaggReply(SecaggReply { sum_id: of, step: at, content }))
                    if (of, at) == (sum_id, step) =>
                {
                    contents.insert(node, content);
                }
                other => self.drop_for(node, round, other, events),
            }
        }
        Ok(contents)
    }

    /// The same with one content for all, and answers of type `T`.
    pub(crate) async fn step_of_all<T: DeserializeOwned>(
        &mut self,
        at: Exchange,
        step: SecaggStep,
        (nodes, content): (impl IntoIterator<Item = &NodeId>, Vec<u8>),
        events: Events<'_>,
    ) -> Result<BTreeMap<NodeId, T>, Error> {
        let contents = nodes.into_iter().map(|node| (node.clone(), content.clone())).collect();
        let mut read = BTreeMap::new();
        for (node, content) in self.step(at, step, contents, events).await? {
            match decode_content(&content) {
                Ok(content) => _ = read.insert(node, content),
                Err(error) => self.refuse(&node, at.round, &error, events),
            }
        }
        Ok(read)
    }

    /// Drops a node for its own mistake.
    pub(crate) fn refuse(
        &mut self,
        node: &NodeId,
        round: u32,
        error: &dyn std::error::Error,
        events: Events<'_>,
    ) {
        self.refuse_for(node, round, said(error), events);
    }

    /// The same in words.
    pub(crate) fn refuse_for(
        &mut self,
        node: &NodeId,
        round: u32,
        text: String,
        events: Events<'_>,
    ) {
        let out = self.nodes.out(node);
        self.drop_node(node.clone(), round, Reason::Internal, text, out, events);
    }
}

/// Checks signatures of nodes by the roster.
pub(crate) fn verifier(roster: &Roster) -> impl Fn(&NodeId, &[u8], &[u8]) -> Result<(), Cause> {
    |node, statement, signature| {
        let who = Participant::node(node);
        let key = roster.key(&who).ok_or_else(|| format!("{who} is not on the roster"))?;
        Ok(key.verify("the keys", statement, signature)?)
    }
}

/// An error with its causes.
pub(crate) fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
