//! Statistics under secure aggregation: two secure sums without a plan, the second for histograms, of
//! the same nodes.

use std::collections::BTreeMap;

use fedwasm_privacy::Parties;
use fedwasm_privacy::double_masking::threshold_min;
use fedwasm_protocol::{
    DataArgs, Edges, INLINE_BYTES_MAX, Mode, NodeId, SecaggScheme, Split, Standardize, printable,
};
use fedwasm_training::{Pooled, SiteNumbers};
use tokio::sync::watch;

use super::round::check_n;
use super::{Files, Question};
use crate::experiment::job::job_options;
use crate::statistics::edges_of;
use crate::{
    AuxVars, Error, Event, Events, ExperimentFile, ExperimentOptions, Job, JobOptions,
    SecaggSettings, Statistics,
};

/// Asks all nodes with the data of an experiment for masked statistics of their columns, and sums them
/// up: the same integers as in the clear, without the smallest and the largest value, and without
/// those of a single site. The plan does not run, but nodes must have approved it.
///
/// * `n_bins` — bins of each histogram; 0: no histograms and no quantiles.
///
/// # Errors
/// Those of an experiment's start; [`Error::Unsummable`] if its file has no `[secagg]`.
pub async fn masked_statistics(
    options: ExperimentOptions,
    n_bins: u32,
    cancelled: watch::Receiver<bool>,
) -> Result<Statistics, Error> {
    let ExperimentOptions { file, component, signatures, sandbox, random_seed, .. } = options;
    let Some(settings) = file.secagg.clone() else {
        let reason = "the file has no `[secagg]`, which says how statistics are masked".to_owned();
        return Err(Error::Unsummable { reason });
    };
    let aggregator = file.aggregator.build();
    let plan = (&component, &signatures[..], &sandbox);
    let of_run = job_options(&file, plan, &*aggregator, random_seed);
    // Of all rows, as they are read, however a round splits and scales them.
    let data =
        DataArgs { split: Split::default(), standardize: Standardize::None, ..of_run.data.clone() };
    let options = JobOptions { data, params: None, min_nodes: Some(1), ..of_run };
    let mut untold = |_: Event| {};
    let mut job = Job::find(options, cancelled, &mut untold).await?;
    let asked = ask(&mut job, (&file, &settings), n_bins, &mut untold).await;
    let strangers = job.strangers().iter().cloned().collect();
    let refused = job.refused().into_iter();
    let refused = refused.map(|(node, _, text)| (node, printable(&text))).collect();
    let closed = job.finish().await;
    job.close().await;
    let (pooled, edges) = asked?;
    closed?;
    Ok(Statistics { pooled, edges, sites: BTreeMap::new(), refused, strangers })
}

async fn ask(
    job: &mut Job,
    (file, settings): (&ExperimentFile, &SecaggSettings),
    n_bins: u32,
    events: Events<'_>,
) -> Result<(Pooled, Option<Edges>), Error> {
    let expected = file.strategy.expected(&job.nodes().into_iter().collect());
    let mut nodes: Vec<NodeId> = expected.into_iter().collect();
    let pooled = job.sum_statistics((0, None), &mut nodes, settings, events).await?;
    let Some(edges) = edges_of(&pooled, n_bins) else { return Ok((pooled, None)) };
    let of = (1, Some(edges.clone()));
    let pooled = job.sum_statistics(of, &mut nodes, settings, events).await?;
    Ok((pooled, Some(edges)))
}

impl Job {
    /// One secure sum of statistics. `nodes` become those that were asked; with edges no other nodes
    /// are asked than those.
    async fn sum_statistics(
        &mut self,
        (round, edges): (u32, Option<Edges>),
        nodes: &mut Vec<NodeId>,
        settings: &SecaggSettings,
        events: Events<'_>,
    ) -> Result<Pooled, Error> {
        let layout = SiteNumbers::of_statistics(self.column_names.clone(), edges.clone());
        self.statistics = Some(layout.clone());
        let edges = match edges {
            None => None,
            Some(edges) => {
                let bytes = edges.encode().map_err(|reason| Error::Internal { reason })?;
                let mut room = INLINE_BYTES_MAX / 2;
                let put = self.repository.put_payload(bytes, &mut room);
                Some(self.within_deadline(put).await?)
            }
        };
        let mut files = Files { asked: &mut |_| Ok(()), upload: &mut |_, _| Ok(()) };
        loop {
            check_n(settings, nodes.len())?;
            let aux = AuxVars::default();
            let mut requests = self.requests_of(round, Mode::Statistics, nodes, &aux).await?;
            for request in requests.values_mut() {
                request.scales.clone_from(&edges);
            }
            let question = Question {
                round,
                mode: Mode::Statistics,
                parties: Parties::new(nodes.iter().cloned(), 0)?,
                requests,
                equal_weights: false,
                // Sums of two sets of nodes would tell those of single ones.
                is_fixed: edges.is_some(),
            };
            let summed = match settings.scheme {
                SecaggScheme::Masking => self.sum_masked(&question, &mut files, events).await?,
                SecaggScheme::DoubleMasking => {
                    let n = question.parties.len();
                    let least = threshold_min(n).max(settings.min_parties as usize).min(n);
                    Some(self.sum_double(&question, least, &mut files, events).await?)
                }
            };
            let Some(summed) = summed else {
                nodes.retain(|node| self.member_of(node).is_some());
                continue;
            };
            *nodes = summed.parties.iter().cloned().collect();
            let (n_sites, n_rows) = (summed.replies.len(), summed.decoded.n_samples);
            return Ok(layout.pooled(n_sites, n_rows, &summed.decoded.numbers)?);
        }
    }
}
