//! Before a job starts: the plan, its arguments, and the nodes that have the
//! data (Fed-BioMed `Requests.search`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fedwasm_protocol::{
    Body, COLUMNS_BYTES_MAX, Columns, DatasetEntry, NodeId, Reason, SearchReply, SearchRequest,
    prefix,
};
use fedwasm_sandbox::{Cancel, DataFacts, Described, Limits};
use fedwasm_training::Round;
use fedwasm_transport::Repository;
use tokio::sync::watch;

use crate::identity::{enter, researcher_of};
use crate::job::blocking;
use crate::job::columns::{Chosen, choose};
use crate::job::replies::why_not;
use crate::requests::{Answer, Requests};
use crate::{Connection, Error, JobOptions};

/// How long a search or a question about approval waits for nodes that are
/// present.
pub(crate) const SEARCH_TIME_MAX: Duration = Duration::from_secs(10);

/// Connects to the broker as the researcher that the file names.
pub(crate) async fn connect(
    options: &JobOptions,
    cancelled: watch::Receiver<bool>,
) -> Result<(Requests, Repository), Error> {
    let (options, researcher) = match &options.link {
        Some(Connection::Here { researcher, nodes, repository }) => {
            let requests = Requests::here(researcher.clone(), Arc::clone(nodes), cancelled);
            return Ok((requests, repository.clone()));
        }
        Some(Connection::Link(link)) => {
            (link.clone(), researcher_of(&link.member, Path::new("(given)"))?)
        }
        None => enter(&options.network).await?,
    };
    let repository = options.repository.clone();
    Ok((Requests::connect(options, researcher, cancelled).await?, repository))
}

/// Finds the nodes that have the data, and the input columns.
pub(crate) async fn search(
    requests: &mut Requests,
    repository: &Repository,
    plan: &Described,
    options: &JobOptions,
) -> Result<Chosen, Error> {
    let (found, refused) = found(requests, repository, &options.data.tags).await?;
    let (plan, options) = (plan.clone(), options.clone());
    let mut chosen: Chosen = blocking(move || {
        // The plan's own error about its arguments is not a failure of a node.
        let mut failed = None;
        let n_inputs = |n: usize| {
            inputs_of_plan(&plan, &options, n).map_err(|error| {
                let text = error.to_string();
                failed.get_or_insert(error);
                text
            })
        };
        let chosen = choose(found, &options.data, n_inputs);
        match failed {
            Some(error) if chosen.members.is_empty() => Err(error),
            _ => Ok(chosen),
        }
    })
    .await?;
    chosen.refused.splice(..0, refused);
    Ok(chosen)
}

/// The datasets of a node, and the reason of one that does not tell.
type Found = (BTreeMap<NodeId, Vec<DatasetEntry>>, Vec<(NodeId, Reason, String)>);

/// The datasets with these tags of all nodes that are there.
pub(crate) async fn found(
    requests: &mut Requests,
    repository: &Repository,
    tags: &[String],
) -> Result<Found, Error> {
    let request = || Body::Search(SearchRequest { tags: tags.to_vec() });
    let asked = requests.online().into_iter().map(|node| (node, request())).collect();
    let answers = requests.ask(asked, SEARCH_TIME_MAX, || {}, |_| {}).await?;
    let (mut found, mut refused) = (BTreeMap::new(), Vec::new());
    for (node, (answer, _)) in answers {
        match answer {
            Answer::Reply(Body::SearchReply(reply)) => match datasets(reply, repository).await {
                Ok(datasets) => drop(found.insert(node, datasets)),
                Err(text) => refused.push((node, Reason::Blob, text)),
            },
            other => {
                let (reason, text) = why_not(other, SEARCH_TIME_MAX, 0);
                refused.push((node, reason, text));
            }
        }
    }
    Ok((found, refused))
}

/// The datasets of an answer, with the columns that did not fit into it.
pub(crate) async fn datasets(
    reply: SearchReply,
    repository: &Repository,
) -> Result<Vec<DatasetEntry>, String> {
    let SearchReply { mut datasets, columns } = reply;
    for (id, payload) in columns {
        let Some(dataset) = datasets.iter_mut().find(|dataset| dataset.dataset_id == id) else {
            continue;
        };
        if payload.blob.size > COLUMNS_BYTES_MAX {
            return Err(format!(
                "dataset {id}: the column names have {} bytes, which is too large",
                payload.blob.size
            ));
        }
        let bytes = tokio::time::timeout(SEARCH_TIME_MAX, repository.get_payload(&payload)).await;
        let bytes = bytes.map_err(|_| format!("dataset {id}: its column names did not arrive"))?;
        let bytes = bytes.map_err(|error| format!("dataset {id}: {error}"))?;
        Columns::decode(&bytes)?.put(dataset);
    }
    Ok(datasets)
}

/// Finds mistakes in the arguments before any node is asked.
pub(crate) fn check_arguments(plan: &Described, options: &JobOptions) -> Result<(), Error> {
    let mut given = options.model.clone();
    given.extend(options.training.optimizer_args.clone());
    given.extend(options.aggregator.clone());
    // How many columns there are does not matter for the kinds of arguments.
    let facts = DataFacts { n_inputs: Some(1), n_classes: options.data.n_classes() };
    let checked = plan.metadata().arguments(&given, &facts, &prefix::ALL);
    checked.map(drop).map_err(|error| fedwasm_sandbox::Error::from(error).into())
}

/// Returns how many input values of a row the plan takes if the data have `n`.
fn inputs_of_plan(plan: &Described, options: &JobOptions, n: usize) -> Result<u64, Error> {
    let facts = DataFacts { n_inputs: Some(n), n_classes: options.data.n_classes() };
    let JobOptions { model, training, aggregator, .. } = options;
    let round = Round::new(plan, model, training, aggregator, &facts)?;
    match &round.declaration().inputs[..] {
        [input] => Ok(input.shape.iter().fold(1, |product, n| product.saturating_mul(*n))),
        // Which field is which input is the node's to check.
        _ => Ok(n as u64),
    }
}

/// Compiles the plan and asks for its description.
pub(crate) async fn describe(options: &JobOptions, cancel: &Cancel) -> Result<Described, Error> {
    let (sandbox, component) = (options.sandbox.with_cancel(cancel), options.component.clone());
    let limits = Limits::default().with(&options.limits);
    blocking(move || Ok(sandbox.describe(&component, limits)?)).await
}

/// Ends calls of a plan here when the job is cancelled.
pub(crate) struct Link {
    pub(crate) cancel: Cancel,
    task: tokio::task::JoinHandle<()>,
}

impl Link {
    pub(crate) fn new(cancelled: &watch::Receiver<bool>) -> Self {
        let (cancel, mut cancelled) = (Cancel::new(), cancelled.clone());
        let linked = cancel.clone();
        let task = tokio::spawn(async move {
            if cancelled.wait_for(|cancelled| *cancelled).await.is_ok() {
                linked.cancel();
            }
        });
        Self { cancel, task }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}
