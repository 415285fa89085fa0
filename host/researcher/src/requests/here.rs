//! Requests to nodes in this process: bodies in, bodies out, without messages.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use fedwasm_protocol::{Body, NodeId, ResearcherId};
use fedwasm_sandbox::Cancel;
use tokio::sync::watch;

use crate::Error;

use super::Answer;

/// The answer of a node in this process.
#[derive(Debug)]
pub struct AnswerHere {
    /// The node.
    pub node: NodeId,
    /// Its answer; none if it does not answer before the deadline.
    pub body: Option<Body>,
    /// How long it took, by whatever clock the nodes have.
    pub time: Duration,
}

/// Nodes in this process, such as those of a simulation.
pub trait NodesHere: Debug + Send + Sync {
    /// Their ids.
    fn nodes(&self) -> Vec<NodeId>;

    /// Asks nodes, and returns an answer of each. The blobs that answers name are in the repository
    /// by then. Blocks, until `cancel` is used at the latest.
    ///
    /// * `deadline` — how long the researcher would wait.
    fn ask(
        &self,
        requests: Vec<(NodeId, Body)>,
        deadline: Duration,
        cancel: &Cancel,
    ) -> Vec<AnswerHere>;
}

/// Asks nodes of this process.
pub(crate) struct Here {
    researcher: ResearcherId,
    nodes: Arc<dyn NodesHere>,
    cancelled: watch::Receiver<bool>,
}

impl Here {
    pub(super) fn new(
        researcher: ResearcherId,
        nodes: Arc<dyn NodesHere>,
        cancelled: watch::Receiver<bool>,
    ) -> Self {
        Self { researcher, nodes, cancelled }
    }

    pub(super) fn researcher(&self) -> &ResearcherId {
        &self.researcher
    }

    /// All of them, in ascending order.
    pub(super) fn nodes(&self) -> Vec<NodeId> {
        let mut nodes = self.nodes.nodes();
        nodes.sort_unstable();
        nodes
    }

    pub(super) async fn ask(
        &self,
        requests: Vec<(NodeId, Body)>,
        deadline: Duration,
    ) -> Result<BTreeMap<NodeId, (Answer, Duration)>, Error> {
        let (nodes, cancel) = (Arc::clone(&self.nodes), Cancel::new());
        let stop = cancel.clone();
        let work = tokio::task::spawn_blocking(move || nodes.ask(requests, deadline, &stop));
        let answers = tokio::select! {
            biased;
            () = self.cancelled() => {
                // Their calls end within a tick, and their answers are dropped.
                cancel.cancel();
                return Err(Error::Cancelled);
            }
            answers = work => answers,
        };
        let answers = answers.map_err(|error| Error::Internal { reason: error.to_string() })?;
        let answer = |AnswerHere { node, body, time }: AnswerHere| {
            let answer = match body {
                Some(Body::Refused(refusal)) => Answer::Refused(refusal),
                Some(body) => Answer::Reply(body),
                None => Answer::Silent { progress: None },
            };
            (node, (answer, time))
        };
        Ok(answers.into_iter().map(answer).collect())
    }

    pub(super) fn check_cancelled(&self) -> Result<(), Error> {
        if *self.cancelled.borrow() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Resolves when the stop is requested.
    pub(super) async fn cancelled(&self) {
        let mut cancelled = self.cancelled.clone();
        if cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
            // The sender is gone.
            std::future::pending::<()>().await;
        }
    }
}
