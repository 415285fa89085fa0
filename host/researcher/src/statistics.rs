//! Statistics of a federation's data: nodes sum up their columns, and the sums are pooled in
//! ascending order of node ids. No plan runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fedwasm_protocol::{
    Body, DataArgs, DatasetId, Edges, INLINE_BYTES_MAX, NodeId, Participant, Payload, Reason,
    SUMS_BYTES_MAX, Split, StatisticsReply, StatisticsRequest, Sums, printable,
};
use fedwasm_training::Pooled;
use fedwasm_transport::Repository;
use serde::Serialize;
use tokio::sync::watch;

use crate::identity::enter;
use crate::job::columns::{Chosen, choose};
use crate::job::replies::why_not;
use crate::job::search::found;
use crate::requests::{Answer, Requests};
use crate::{Error, ExperimentFile, Member};

/// The bins of a histogram, if nothing else is asked for.
pub const BINS: u32 = 64;
/// Where no extremes leave, histograms reach so many standard deviations to each side of the mean:
/// beyond are a sixteenth of the values at most (Chebyshev).
const REACH: f64 = 4.0;
/// The most bytes of names of inputs in a request; beyond, nodes sum up all of their columns.
const NAMES_BYTES_MAX: usize = INLINE_BYTES_MAX;

/// Statistics of a federation's data.
#[derive(Clone, Debug, Serialize)]
pub struct Statistics {
    /// All sites together.
    pub pooled: Pooled,
    /// The edges of the histograms, without those of columns that have none.
    pub edges: Option<Edges>,
    /// The answer of each site; none under secure aggregation.
    pub sites: BTreeMap<NodeId, SiteStatistics>,
    /// The nodes that have the data and tell no statistics, and why.
    pub refused: BTreeMap<NodeId, String>,
    /// The nodes without the data, and the reason.
    pub strangers: BTreeMap<NodeId, String>,
}

/// The answer of a site.
#[derive(Clone, Debug, Serialize)]
pub struct SiteStatistics {
    /// The dataset.
    pub dataset_id: DatasetId,
    /// Its sums.
    pub sums: Sums,
}

/// Asks all nodes with the data of an experiment for statistics of their columns.
///
/// * `n_bins` — bins of each histogram; 0: no histograms and no quantiles.
///
/// # Errors
/// [`Error::Transport`], [`Error::Cancelled`]; [`Error::NotEnoughNodes`] if no node tells any;
/// [`Error::Unsummable`] if the file has `[secagg]`, which [`crate::masked_statistics`] takes.
pub async fn statistics(
    file: &ExperimentFile,
    n_bins: u32,
    cancelled: watch::Receiver<bool>,
) -> Result<Statistics, Error> {
    if file.secagg.is_some() {
        let reason = "these statistics are told in the clear, and the file has `[secagg]`";
        return Err(Error::Unsummable { reason: reason.into() });
    }
    let (options, researcher) = enter(&file.network).await?;
    let repository = options.repository.clone();
    let mut requests = Requests::connect(options, researcher, cancelled).await?;
    let asked = ask(&mut requests, &repository, file, n_bins).await;
    requests.close().await;
    asked
}

async fn ask(
    requests: &mut Requests,
    repository: &Repository,
    file: &ExperimentFile,
    n_bins: u32,
) -> Result<Statistics, Error> {
    let (datasets, silent) = found(requests, repository, &file.data.tags).await?;
    let Chosen { inputs, members, mut refused, strangers, .. } =
        choose(datasets, &file.data, |n| Ok(n as u64));
    refused.extend(silent);
    let expected = file.strategy.expected(&members.keys().cloned().collect());
    let members: BTreeMap<NodeId, Member> =
        members.into_iter().filter(|(node, _)| expected.contains(node)).collect();
    let targets = file.data.target.names().into_iter();
    let names: BTreeSet<String> = inputs.iter().chain(targets).cloned().collect();
    let is_wide = names.iter().map(|name| name.len() + 5).sum::<usize>() > NAMES_BYTES_MAX;
    let data = DataArgs {
        tags: Vec::new(),
        dataset: None,
        inputs: (!is_wide).then(|| inputs.into()),
        // Of all rows, however they are split.
        split: Split::default(),
        ..file.data.clone()
    };
    let deadline = Duration::from_secs(file.strategy.round_deadline_s);
    let mut question = Question { requests, repository, data, names, deadline };
    let mut told = question.ask(&members, None, &mut refused).await?;
    let mut pooled = Pooled::new(told.values(), None);
    let edges = edges_of(&pooled, n_bins);
    if let Some(edges) = &edges {
        let is_in = |node: &NodeId| told.contains_key(node);
        let asked: BTreeMap<_, _> = members.into_iter().filter(|(node, _)| is_in(node)).collect();
        told = question.ask(&asked, Some(edges), &mut refused).await?;
        pooled = Pooled::new(told.values(), Some(edges));
        return result(pooled, Some(edges.clone()), told, &asked, refused, strangers);
    }
    result(pooled, None, told, &members, refused, strangers)
}

fn result(
    pooled: Pooled,
    edges: Option<Edges>,
    told: BTreeMap<NodeId, Sums>,
    members: &BTreeMap<NodeId, Member>,
    refused: Vec<(NodeId, Reason, String)>,
    strangers: Vec<(NodeId, String)>,
) -> Result<Statistics, Error> {
    if told.is_empty() {
        let when = "tell statistics";
        return Err(Error::NotEnoughNodes { got: 0, min: 1, when, refused, strangers });
    }
    let site = |(node, sums): (NodeId, Sums)| {
        let dataset_id = members.get(&node)?.dataset_id.clone();
        Some((node, SiteStatistics { dataset_id, sums }))
    };
    Ok(Statistics {
        pooled,
        edges,
        sites: told.into_iter().filter_map(site).collect(),
        refused: refused.into_iter().map(|(node, _, text)| (node, printable(&text))).collect(),
        strangers: strangers.into_iter().collect(),
    })
}

/// The edges of histograms: from the smallest to the largest value, or around the mean where sites
/// do not let those out.
pub(crate) fn edges_of(pooled: &Pooled, n_bins: u32) -> Option<Edges> {
    let ends = pooled.columns.iter().filter_map(|column| {
        let reach = REACH * column.std();
        let ends = column.extremes.unwrap_or([column.mean - reach, column.mean + reach]);
        // Where all whole numbers are counted there is nothing to add.
        let counted: u64 = column.categories.iter().flatten().sum();
        Some((column.name.clone(), ends)).filter(|_| column.varies && counted < column.n)
    });
    let edges = Edges { n_bins, ends: ends.collect() };
    // A range too small for float64, or too large, has no histogram.
    let is_usable = |ends: &[f64; 2]| {
        let one = Edges { n_bins, ends: [(String::new(), *ends)].into() };
        one.check().is_ok()
    };
    let ends: BTreeMap<_, _> = edges.ends.into_iter().filter(|(_, e)| is_usable(e)).collect();
    (n_bins > 0 && !ends.is_empty()).then_some(Edges { n_bins, ends })
}

/// A question to nodes.
struct Question<'a> {
    requests: &'a mut Requests,
    repository: &'a Repository,
    data: DataArgs,
    /// The columns that are wanted.
    names: BTreeSet<String>,
    deadline: Duration,
}

impl Question<'_> {
    /// The sums of each node that tells some; the reasons of the others are added to `refused`.
    async fn ask(
        &mut self,
        members: &BTreeMap<NodeId, Member>,
        edges: Option<&Edges>,
        refused: &mut Vec<(NodeId, Reason, String)>,
    ) -> Result<BTreeMap<NodeId, Sums>, Error> {
        let edges = match edges {
            None => None,
            Some(edges) => Some(self.store(edges, members).await?),
        };
        let body = |member: &Member| {
            Body::Statistics(Box::new(StatisticsRequest {
                dataset_id: member.dataset_id.clone(),
                data: self.data.clone(),
                edges: edges.clone(),
            }))
        };
        let asked = members.iter().map(|(node, member)| (node.clone(), body(member))).collect();
        let answers = self.requests.ask(asked, self.deadline, || {}, |_| {}).await?;
        let mut told = BTreeMap::new();
        for (node, (answer, _)) in answers {
            let n_rows = members.get(&node).map_or(0, |member| member.n_rows);
            let wrong = match answer {
                Answer::Reply(Body::StatisticsReply(reply)) => {
                    match self.sums(&reply, n_rows).await {
                        Ok(sums) => {
                            told.insert(node, sums);
                            continue;
                        }
                        Err(text) => (Reason::Internal, text),
                    }
                }
                other => why_not(other, self.deadline, n_rows),
            };
            refused.push((node, wrong.0, wrong.1));
        }
        Ok(told)
    }

    /// Edges as they travel.
    async fn store(
        &self,
        edges: &Edges,
        members: &BTreeMap<NodeId, Member>,
    ) -> Result<Payload, Error> {
        let bytes = edges.encode().map_err(|reason| Error::Internal { reason })?;
        let readers = members.keys().map(Participant::node).collect();
        let repository = self.repository.for_recipients(readers);
        Ok(repository.put_payload(bytes, &mut INLINE_BYTES_MAX.clone()).await?)
    }

    /// Fetches and checks what a node told, and keeps the wanted columns of it.
    async fn sums(&self, reply: &StatisticsReply, n_rows: u64) -> Result<Sums, String> {
        let blob = &reply.sums.blob;
        if blob.size > SUMS_BYTES_MAX {
            return Err(format!("its statistics have {} bytes, which is too large", blob.size));
        }
        let bytes = tokio::time::timeout(self.deadline, self.repository.get_payload(&reply.sums));
        let bytes = bytes.await.map_err(|_| "its statistics did not arrive".to_owned())?;
        let mut sums = Sums::decode(&bytes.map_err(|error| error.to_string())?, n_rows)?;
        // The name of a value of an array is the column's with a place.
        let is_wanted = |name: &String| {
            let column = name.rfind('[').map_or(name.as_str(), |at| &name[..at]);
            self.names.contains(name) || self.names.contains(column)
        };
        sums.columns.retain(|column| is_wanted(&column.name));
        sums.withheld.retain(is_wanted);
        Ok(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_protocol::{ColumnSums, Moments};

    #[test]
    fn edges_reach_to_the_extremes_or_around_the_mean() {
        // 50 values on each side of 1.
        let column = |name: &str, reach: f64, extremes| {
            let mut moments = Moments::default();
            assert!(moments.add(1.0 - reach, 50) && moments.add(1.0 + reach, 50));
            ColumnSums { extremes, ..ColumnSums::of(name.into(), moments) }
        };
        let columns = vec![
            column("told", 1.0, Some([-3.0, 7.0])),
            column("not", 2.0, None),
            column("constant", 0.0, Some([1.0, 1.0])),
            column("no-spread", 0.0, None),
        ];
        let sums = Sums { n_rows: 100, columns, withheld: Vec::new() };
        let pooled = Pooled::new([&sums], None);
        let found = edges_of(&pooled, 10).unwrap();
        let ends = [("told".to_owned(), [-3.0, 7.0]), ("not".to_owned(), [-7.0, 9.0])];
        assert_eq!(found, Edges { n_bins: 10, ends: ends.into() });
        assert_eq!(edges_of(&pooled, 0), None);
    }
}
