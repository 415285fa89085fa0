//! Everything that an experiment does before its first round, and no round: its file, its plan,
//! the nodes that are connected and would run it, and the parts that are missing.

use std::collections::BTreeMap;
use std::path::Path;

use fedwasm_protocol::{ApprovalStatus, DatasetId, Digest, NodeId};
use tokio::sync::watch;

use crate::experiment::given_params::{given_file, given_params, in_file};
use crate::experiment::job::{check_first_round, job_options, missing};
use crate::{Error, Event, ExperimentOptions, Job, JobOptions, PlanRecord};

/// The findings before the first round of an experiment.
#[derive(Debug)]
pub struct Checked {
    /// The plan, which is admitted and takes the arguments.
    pub plan: PlanRecord,
    /// SHA-256 of the parameters that the first round would start from.
    pub initial_sha256: Digest,
    /// Numbers in them.
    pub n_parameters: u64,
    /// The nodes that would be asked, or have data for it.
    pub nodes: BTreeMap<NodeId, NodeChecked>,
    /// The nodes without these data, and the reason.
    pub strangers: Vec<(NodeId, String)>,
    /// The updates that a round needs.
    pub needed: usize,
    /// Why it would not begin, if it would not.
    pub obstacle: Option<Error>,
}

/// A node's answer to the question whether it would run the plan.
#[derive(Clone, Debug)]
pub struct NodeChecked {
    /// Its dataset, if it can be used.
    pub dataset_id: Option<DatasetId>,
    /// The rows of that.
    pub n_rows: Option<u64>,
    /// The plan's standing there, if it was asked.
    pub standing: Option<ApprovalStatus>,
    /// Why it would not take part, if it would not.
    pub reason: Option<String>,
}

/// Does everything short of the first round of an experiment. Writes no files. Nodes are asked
/// whether they would run the plan, and those that do not know it register it, as for a run.
/// It does not see facts that only a round shows: bounds of approvals, and demands that a node
/// cannot enforce.
///
/// # Errors
/// Those of a run, of the file, the plan, the network, or of a federation where no node has the
/// data; if some nodes have them, the missing part is the `obstacle` of the result.
pub async fn check_experiment(
    options: ExperimentOptions,
    cancelled: watch::Receiver<bool>,
) -> Result<Checked, Error> {
    let ExperimentOptions { file, component, signatures, sandbox, random_seed, params, .. } =
        options;
    let (params, _) = given_params(params, &file)?;
    let aggregator = file.aggregator.build();
    let plan = (&component, &signatures[..], &sandbox);
    let of_run = job_options(&file, plan, &*aggregator, random_seed);
    // All nodes with the data are asked, and reported below.
    let options = JobOptions { params, min_nodes: Some(1), ..of_run };
    let mut untold = |_: Event| {};
    let found = Job::find(options, cancelled, &mut untold).await;
    let mut job = found.map_err(|error| in_file(error, given_file(&file)))?;
    let members: BTreeMap<NodeId, (DatasetId, u64)> = job
        .nodes()
        .into_iter()
        .filter_map(|node| {
            let member = job.member_of(&node)?;
            Some((node, (member.dataset_id.clone(), member.n_rows)))
        })
        .collect();
    let standing = match job.check_approval(&mut untold).await {
        Ok(standing) => standing,
        Err(error) => {
            job.close().await;
            return Err(error);
        }
    };
    let mut nodes: BTreeMap<NodeId, NodeChecked> = BTreeMap::new();
    for (node, (dataset_id, n_rows)) in members {
        let standing = standing.get(&node).copied();
        let (dataset_id, n_rows) = (Some(dataset_id), Some(n_rows));
        nodes.insert(node, NodeChecked { dataset_id, n_rows, standing, reason: None });
    }
    for (node, _, reason) in missing(&file, &job) {
        let unknown = NodeChecked { dataset_id: None, n_rows: None, standing: None, reason: None };
        nodes.entry(node).or_insert(unknown).reason = Some(reason);
    }
    let eligible = file.strategy.expected(&nodes.keys().cloned().collect());
    for (node, checked) in &mut nodes {
        if !eligible.contains(node) {
            checked.reason = Some("`strategy.nodes` does not list it".into());
        }
    }
    let obstacle = check_first_round(&file, Some(&file.aggregator), &job, random_seed).err();
    let metadata = job.training_plan().metadata();
    let checked = Checked {
        plan: PlanRecord {
            name: metadata.name.clone(),
            version: metadata.version.clone(),
            sha256: component.digest(),
        },
        initial_sha256: job.params_sha256(),
        n_parameters: job.params().iter().map(|(_, tensor)| n_elements(tensor.shape())).sum(),
        nodes,
        strangers: job.strangers().to_vec(),
        needed: file.strategy.needed(file.strategy.expected(job.found()).len()),
        obstacle,
    };
    if let Err(error) = job.finish().await {
        tracing::warn!(
            "the repository could not be told that these blobs are no longer needed: {error}"
        );
    }
    job.close().await;
    Ok(checked)
}

fn n_elements(shape: &[u64]) -> u64 {
    shape.iter().fold(1, |product, axis| product.saturating_mul(*axis))
}

/// The setting of the file that needs a directory for results.
pub fn needs_out(file: &crate::ExperimentFile, out: Option<&Path>) -> Option<&'static str> {
    let wants = [
        ("save_breakpoints", file.save_breakpoints),
        ("tensorboard", file.tensorboard),
        ("keep_uploads", file.keep_uploads),
        ("keep_params", file.keep_params.is_some()),
    ];
    let first = wants.into_iter().find(|(_, is_set)| *is_set && out.is_none());
    first.map(|(key, _)| key)
}
