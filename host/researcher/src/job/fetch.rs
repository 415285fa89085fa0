//! Training, and the updates that nodes uploaded: fetched one after the other, or all at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use fedwasm_params::{Params, from_shared_safetensors};
use fedwasm_protocol::{Mode, NodeId, Reason};
use fedwasm_sandbox::n_bytes;
use futures_util::StreamExt as _;

use crate::job::replies::{Fetched, accept, check_aux_vars, shared};
use crate::phases::{Replies, TrainedRound};
use crate::{AuxVars, Error, Event, Events, Reply};

use super::watch::Watch;
use super::{Job, ms};

/// Updates are fetched ahead of their turn while they are no larger than this together, and at most
/// so many.
pub(crate) const AHEAD_BYTES: u64 = 4 << 20;
pub(crate) const AHEAD_MAX: usize = 8;

impl Job {
    /// Has `nodes` train a round (Fed-BioMed `start_nodes_training_round`). A node that does not
    /// deliver is no longer among [`Job::nodes`]. Uploads that do not fit into a message are still in
    /// the repository: [`Job::fetch`] or [`Job::fetch_all`] brings them. Until the round counts nothing has changed,
    /// and it can be done again.
    ///
    /// # Errors
    /// [`Error::AuxVars`], [`Error::Transport`], [`Error::Cancelled`].
    pub async fn train(
        &mut self,
        round: u32,
        nodes: &[NodeId],
        aux: &AuxVars,
        events: Events<'_>,
    ) -> Result<TrainedRound, Error> {
        check_aux_vars(self.declaration(), aux, nodes)?;
        let mut send_ms = 0.0;
        let answers = self.ask(round, Mode::Train, nodes, aux, &mut send_ms, events).await?;
        Ok(TrainedRound::new(round, answers, send_ms))
    }

    /// Fetches the updates of a round in ascending order of node ids, few at a time, and hands each
    /// to `take`, which drops it. A node whose update is not usable is dropped from the round;
    /// from the first one on `take` gets no more, the rest is looked at, so that all such nodes are
    /// found at once, and the answer is false. The updates taken so far do not count then; begin
    /// again with the nodes that are left. Each has the deadline of a round or the patience, and all
    /// of them twice that: one update that does not come leaves the others their time.
    ///
    /// # Errors
    /// Those of `take`, and [`Error::Cancelled`].
    pub async fn fetch(
        &mut self,
        trained: &mut TrainedRound,
        take: &mut (dyn FnMut(&NodeId, &Fetched) -> Result<(), Error> + Send),
        events: Events<'_>,
    ) -> Result<bool, Error> {
        let at = Instant::now();
        trained.replies.clear();
        for (_, reply) in trained.answers() {
            self.given_up.add_payload(reply.compressed.as_ref());
        }
        let mut failed = Vec::new();
        {
            let (declaration, repository) = (self.round.declaration(), &self.repository);
            let deadline = self.transfer_time();
            let mut watch = Watch::of(&self.repository, trained.round, deadline);
            let start = self.options.training.compression;
            let start = start.map(|compression| (&self.params, compression));
            let end = at.checked_add(deadline.saturating_mul(2));
            let model_bytes = n_bytes(&declaration.model).max(1);
            let ahead = usize::try_from(AHEAD_BYTES / model_bytes).unwrap_or(AHEAD_MAX);
            let answers = trained.answers.clone();
            let fetch = answers.into_iter().map(async |(node, (reply, time))| {
                let accepted = accept(reply, time, declaration, repository, start);
                let left = end.map(|end| end.saturating_duration_since(Instant::now()));
                let time_max = left.map_or(deadline, |left| left.min(deadline));
                let accepted = tokio::time::timeout(time_max, accepted).await;
                let late =
                    |_| Err((Reason::Blob, "its parameters did not arrive in time".to_owned()));
                (node, accepted.unwrap_or_else(late))
            });
            let fetch = futures_util::stream::iter(fetch).buffered(ahead.clamp(1, AHEAD_MAX));
            let mut fetch = std::pin::pin!(fetch);
            loop {
                let next = tokio::select! {
                    next = watch.during(fetch.next(), events) => next,
                    () = self.requests.cancelled() => return Err(Error::Cancelled),
                };
                match next {
                    None => break,
                    Some((node, Err(why))) => failed.push((node, why)),
                    Some(_) if !failed.is_empty() => {}
                    Some((node, Ok(fetched))) => {
                        take(&node, &fetched)?;
                        let reply = Reply { params: None, ..fetched.reply };
                        trained.replies.insert(node, reply);
                    }
                }
            }
        }
        trained.download_ms += ms(at);
        let is_whole = failed.is_empty();
        for (node, (reason, text)) in failed {
            trained.answers.remove(&node);
            let away = self.nodes.away_because(&node, reason);
            self.drop_node(node, trained.round, reason, text, away, events);
        }
        if !is_whole {
            return Ok(false);
        }
        for node in std::mem::take(&mut self.asked_again) {
            if trained.replies.contains_key(&node) {
                events(Event::Returned { node, round: trained.round });
            }
        }
        Ok(true)
    }

    /// Fetches all updates of a round and keeps them: as many models as there are nodes.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub async fn fetch_all(
        &mut self,
        mut trained: TrainedRound,
        events: Events<'_>,
    ) -> Result<Replies, Error> {
        loop {
            let mut params = BTreeMap::new();
            let mut take = |node: &NodeId, fetched: &Fetched| {
                params.insert(node.clone(), fetched.reply.params.clone());
                Ok(())
            };
            if self.fetch(&mut trained, &mut take, events).await? {
                let mut replies = trained.into_replies();
                for (node, reply) in &mut replies.by_node {
                    reply.params = params.remove(node).flatten();
                }
                return Ok(replies);
            }
        }
    }

    /// Fetches a node's update of the newest round again, while the repository has it.
    ///
    /// # Errors
    /// [`Error::Transport`]; [`Error::Internal`] if the node took no part, or if its update was
    /// compressed: it moved parameters that the job no longer has.
    pub async fn fetch_update(&self, node: &NodeId) -> Result<Params, Error> {
        let reply = self.training_replies.get(node);
        let reply = reply.ok_or_else(|| Error::Internal {
            reason: format!("{node} took no part in the newest round"),
        })?;
        if let Some(params) = &reply.params {
            return Ok(params.clone());
        }
        if self.options.training.compression.is_some() {
            let reason = format!("the update of {node} was compressed, and is used up");
            return Err(Error::Internal { reason });
        }
        let upload = self.uploads.get(node);
        let upload = upload.ok_or_else(|| Error::Internal {
            reason: format!("the upload of {node} was fetched in an earlier run"),
        })?;
        let get = self.repository.get_carried(&upload.blob, upload.inline.as_deref());
        let bytes = self.within_deadline(get).await?;
        let params = from_shared_safetensors(&Arc::new(bytes));
        let params = params.map_err(fedwasm_record::Error::Shapes)?;
        Ok(shared(self.declaration(), params)?)
    }

    /// Says that a round counts: nodes continue from the states that these replies name. After a
    /// round that does not, they continue from those before.
    pub fn count(&mut self, replies: Replies) {
        for (node, reply) in &replies.by_node {
            self.states.update(node, reply.state_id.clone());
        }
        self.uploads = replies.uploads;
        self.training_replies = replies.by_node;
    }
}
