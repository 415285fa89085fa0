//! Requests to nodes and the wait for their answers (Fed-BioMed `Requests`, with deadlines): over a
//! network, or within this process.

mod here;
mod linked;
mod patience;
mod presence;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fedwasm_protocol::{Body, Digest, NodeId, ResearcherId};
use fedwasm_transport::{LinkOptions, Repository};
use fedwasm_trust::Member;
use tokio::sync::watch;

use crate::Error;

use self::here::Here;

pub use self::here::{AnswerHere, NodesHere};
pub(crate) use self::linked::Linked;
pub(crate) use self::waiting::{Answer, Seen};

/// How a job reaches its nodes, if not by the addresses in its file.
#[derive(Clone, Debug)]
pub enum Connection {
    /// Over a network of the caller's own, such as one in memory.
    Link(LinkOptions),
    /// In this process, without messages. No participant has a key, so there are neither receipts nor
    /// secure aggregation.
    Here {
        /// Who asks.
        researcher: ResearcherId,
        /// The nodes.
        nodes: Arc<dyn NodesHere>,
        /// Where both keep blobs.
        repository: Repository,
    },
}

impl From<LinkOptions> for Connection {
    fn from(link: LinkOptions) -> Self {
        Self::Link(link)
    }
}

/// Asks nodes and collects their answers.
pub(crate) enum Requests {
    Linked(Box<Linked>),
    Here(Here),
}

impl Requests {
    /// Connects and learns which nodes are there.
    pub(crate) async fn connect(
        options: LinkOptions,
        researcher: ResearcherId,
        cancelled: watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        let linked = Linked::connect(options, researcher, cancelled).await?;
        Ok(Self::Linked(Box::new(linked)))
    }

    /// Asks nodes of this process.
    pub(crate) fn here(
        researcher: ResearcherId,
        nodes: Arc<dyn NodesHere>,
        cancelled: watch::Receiver<bool>,
    ) -> Self {
        Self::Here(Here::new(researcher, nodes, cancelled))
    }

    /// Waits so long for a connection that is lost; deadlines of nodes stand still meanwhile. Here none
    /// is.
    pub(crate) fn be_patient(&mut self, patience: Duration) {
        match self {
            Self::Linked(linked) => linked.be_patient(patience),
            Self::Here(_) => {}
        }
    }

    /// The researcher of the requests.
    pub(crate) fn researcher(&self) -> &ResearcherId {
        match self {
            Self::Linked(linked) => linked.researcher(),
            Self::Here(here) => here.researcher(),
        }
    }

    /// The researcher as a member of its federation; none within one process.
    pub(crate) fn member(&self) -> Option<&Arc<Member>> {
        match self {
            Self::Linked(linked) => Some(linked.member()),
            Self::Here(_) => None,
        }
    }

    /// The digest of the request that a node's newest reply answers.
    pub(crate) fn answered(&self, node: &NodeId) -> Option<Digest> {
        match self {
            Self::Linked(linked) => linked.answered(node),
            Self::Here(_) => None,
        }
    }

    /// The nodes that are online, in ascending order.
    pub(crate) fn online(&self) -> Vec<NodeId> {
        match self {
            Self::Linked(linked) => linked.online(),
            Self::Here(here) => here.nodes(),
        }
    }

    pub(crate) fn is_online(&self, node: &NodeId) -> bool {
        match self {
            Self::Linked(linked) => linked.is_online(node),
            Self::Here(_) => true,
        }
    }

    /// Whether a sign of life of the node came since this was last asked. Here all live.
    pub(crate) fn take_late(&mut self, node: &NodeId) -> bool {
        match self {
            Self::Linked(linked) => linked.take_late(node),
            Self::Here(_) => true,
        }
    }

    /// Whether requests are messages, which carry small blobs.
    pub(crate) fn are_messages(&self) -> bool {
        matches!(self, Self::Linked(_))
    }

    /// By how many milliseconds a node's clock is ahead of ours, if it said something lately.
    pub(crate) fn ahead_ms(&self, node: &NodeId) -> Option<i64> {
        match self {
            Self::Linked(linked) => linked.ahead_ms(node),
            Self::Here(_) => None,
        }
    }

    /// Asks nodes for a sign of life without waiting for it.
    pub(crate) async fn ping<'a>(
        &mut self,
        nodes: impl IntoIterator<Item = &'a NodeId>,
    ) -> Result<(), Error> {
        match self {
            Self::Linked(linked) => linked.ping(nodes).await,
            Self::Here(_) => Ok(()),
        }
    }

    /// Lets presence arrive until `is_enough`, for `time` at most; `silent` nodes are asked for a
    /// sign of life. Nothing arrives here, and no time passes.
    pub(crate) async fn watch(
        &mut self,
        time: Duration,
        silent: &[NodeId],
        is_enough: impl Fn(&Linked) -> bool,
    ) -> Result<(), Error> {
        match self {
            Self::Linked(linked) => linked.watch(time, silent, is_enough).await,
            Self::Here(here) => here.check_cancelled(),
        }
    }

    /// Sends every node its request and waits until all answered, are gone, or `deadline` has
    /// passed. `sent` is called when all is sent. Each answer comes with the time that it took.
    pub(crate) async fn ask(
        &mut self,
        requests: Vec<(NodeId, Body)>,
        deadline: Duration,
        sent: impl FnOnce(),
        seen: impl FnMut(Seen),
    ) -> Result<BTreeMap<NodeId, (Answer, Duration)>, Error> {
        match self {
            Self::Linked(linked) => linked.ask(requests, deadline, sent, seen).await,
            Self::Here(here) => {
                sent();
                here.ask(requests, deadline).await
            }
        }
    }

    /// Resolves when the stop is requested.
    pub(crate) async fn cancelled(&self) {
        match self {
            Self::Linked(linked) => linked.cancelled().await,
            Self::Here(here) => here.cancelled().await,
        }
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Linked(linked) => linked.close().await,
            Self::Here(_) => {}
        }
    }
}
