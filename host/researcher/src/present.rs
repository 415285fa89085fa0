//! Lists connected nodes (Fed-BioMed `Requests.ping_nodes`, `search`, `list`).

use std::collections::BTreeMap;

use fedwasm_protocol::{Body, DatasetEntry, NodeId, SearchRequest};
use fedwasm_transport::Repository;
use tokio::sync::watch;

use crate::identity::enter;
use crate::job::replies::why_not;
use crate::job::search::{SEARCH_TIME_MAX, datasets};
use crate::requests::{Answer, Requests};
use crate::{Error, NetworkArgs};

/// A node that is connected to the broker.
#[derive(Clone, Debug)]
pub struct NodePresent {
    /// From a question to its answer, in milliseconds; none if it was silent.
    pub latency_ms: Option<f64>,
    /// Its datasets that have all tags, or why it does not tell.
    pub datasets: Result<Vec<DatasetEntry>, String>,
}

/// Asks all nodes that are present for their datasets with these tags.
///
/// # Errors
/// [`Error::Transport`], [`Error::Cancelled`].
pub async fn present(
    network: &NetworkArgs,
    tags: &[String],
    cancelled: watch::Receiver<bool>,
) -> Result<BTreeMap<NodeId, NodePresent>, Error> {
    let (options, researcher) = enter(network).await?;
    let repository = options.repository.clone();
    let mut requests = Requests::connect(options, researcher, cancelled).await?;
    let found = ask(&mut requests, &repository, tags).await;
    requests.close().await;
    found
}

async fn ask(
    requests: &mut Requests,
    repository: &Repository,
    tags: &[String],
) -> Result<BTreeMap<NodeId, NodePresent>, Error> {
    let online = requests.online();
    let to_all = |body: &Body| online.iter().map(|node| (node.clone(), body.clone())).collect();
    let pongs = requests.ask(to_all(&Body::Ping), SEARCH_TIME_MAX, || {}, |_| {}).await?;
    let search = Body::Search(SearchRequest { tags: tags.to_vec() });
    let found = requests.ask(to_all(&search), SEARCH_TIME_MAX, || {}, |_| {}).await?;
    let mut present = BTreeMap::new();
    for (node, (answer, _)) in found {
        let latency_ms = match pongs.get(&node) {
            Some((Answer::Reply(Body::Pong), time)) => Some(time.as_secs_f64() * 1e3),
            _ => None,
        };
        let datasets = match answer {
            Answer::Reply(Body::SearchReply(reply)) => datasets(reply, repository).await,
            other => Err(fedwasm_protocol::printable(&why_not(other, SEARCH_TIME_MAX, 0).1)),
        };
        present.insert(node, NodePresent { latency_ms, datasets });
    }
    Ok(present)
}
