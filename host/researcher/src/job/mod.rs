//! The job: the joint work of a researcher and the nodes of an experiment
//! (Fed-BioMed `Job`). It finds the nodes, holds the parameters, sends rounds
//! and collects replies; the experiment decides about the replies.

pub(crate) mod ask;
pub(crate) mod columns;
pub(crate) mod fetch;
mod give;
mod given_up;
pub(crate) mod membership;
mod nodes;
mod options;
pub(crate) mod replies;
mod scales;
pub(crate) mod search;
mod start;
pub(crate) mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use fedwasm_params::{Params, to_safetensors};
use fedwasm_protocol::{
    Arguments, BlobRef, Digest, ExperimentId, KEPT_STATES_MAX, Mode, NodeId, Payload, Reason,
    ResearcherId, RoundReply, TrainingArgs,
};
use fedwasm_record::ModelFile;
use fedwasm_sandbox::{DataFacts, Declaration, Described};
use fedwasm_training::{Place, Round, RoundArgs, SiteNumbers, model_arguments};
use fedwasm_transport::Repository;

use crate::job::give::Given;
use crate::job::given_up::GivenUp;
use crate::job::membership::Membership;
use crate::job::replies::shared;
use crate::job::search::check_arguments;
use crate::job::watch::Watch;
use crate::phases::Uploaded;
use crate::requests::Requests;
use crate::secagg::Contexts;
use crate::{AuxVars, Error, Events, JobState, Member, NodeStates, Reply, load_params};

pub(crate) use self::ask::tell;
pub use self::options::JobOptions;
pub use self::replies::Fetched;

/// A researcher's side of an experiment: nodes, parameters, rounds.
pub struct Job {
    pub(crate) options: JobOptions,
    id: ExperimentId,
    pub(crate) requests: Requests,
    pub(crate) repository: Repository,
    plan: BlobRef,
    round: Round,
    inputs: Vec<String>,
    n_inputs: usize,
    /// The columns that are scaled, in order.
    scale_names: Vec<String>,
    /// The columns of statistics, targets among them, in order.
    pub(crate) column_names: Vec<String>,
    /// The statistics that are asked for.
    pub(crate) statistics: Option<SiteNumbers>,
    pub(crate) nodes: Membership,
    found: BTreeSet<NodeId>,
    strangers: Vec<(NodeId, String)>,
    /// Nodes that refused the last time and are asked again.
    asked_again: BTreeSet<NodeId>,
    /// The ways in which nodes depart from the request, reported once.
    warned: BTreeSet<String>,
    states: NodeStates,
    /// The states that the kept breakpoints name, the newest last.
    saved: VecDeque<NodeStates>,
    params: Params,
    /// How nodes get them.
    given: Given,
    /// Blobs of earlier rounds.
    given_up: GivenUp,
    /// The scales of the federation as JSON, and as they travel.
    scales: Option<(Vec<u8>, Payload)>,
    training_replies: BTreeMap<NodeId, Reply>,
    /// What they uploaded.
    uploads: BTreeMap<NodeId, Uploaded>,
    /// When the roster was fetched last.
    refreshed: Instant,
    /// The receipts of the replies of the newest question.
    receipts: BTreeMap<NodeId, Vec<u8>>,
    /// Why each node ran the plan, as its newest receipt says.
    approvals: BTreeMap<NodeId, String>,
    /// The keys that sets of nodes agreed upon.
    pub(crate) contexts: Contexts,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("id", &self.id).field("nodes", &self.nodes).finish()
    }
}

impl Job {
    /// Its id, at the nodes that of the experiment (Fed-BioMed `Job.id`).
    pub fn id(&self) -> &ExperimentId {
        &self.id
    }

    /// The researcher's id.
    pub fn researcher_id(&self) -> &ResearcherId {
        self.requests.researcher()
    }

    /// The nodes that take part, in ascending order (Fed-BioMed `Job.nodes`).
    pub fn nodes(&self) -> Vec<NodeId> {
        self.nodes.nodes()
    }

    /// The rows that each of them announced.
    pub fn n_rows(&self) -> BTreeMap<NodeId, u64> {
        let rows = |node: NodeId| {
            let n_rows = self.nodes.member(&node)?.n_rows;
            Some((node, n_rows))
        };
        self.nodes().into_iter().filter_map(rows).collect()
    }

    /// The nodes that had data with the tags when it started, those that take no part among them.
    pub fn found(&self) -> &BTreeSet<NodeId> {
        &self.found
    }

    /// The nodes without data for it, and the reason.
    pub fn strangers(&self) -> &[(NodeId, String)] {
        &self.strangers
    }

    /// The nodes that take part, or will when they are back.
    pub(crate) fn known(&self) -> BTreeSet<NodeId> {
        self.nodes.known().into_keys().collect()
    }

    /// The dataset of a node that takes part.
    pub fn member_of(&self, node: &NodeId) -> Option<&Member> {
        self.nodes.member(node)
    }

    /// The nodes that do not take part, and why.
    pub fn refused(&self) -> Vec<(NodeId, Reason, String)> {
        self.nodes.refused()
    }

    /// The plan (Fed-BioMed `Job.training_plan`).
    pub fn training_plan(&self) -> &Described {
        self.round.plan()
    }

    /// How a round trains (Fed-BioMed `Job.training_args`).
    pub fn training_args(&self) -> &TrainingArgs {
        &self.options.training
    }

    /// The shapes of everything that the plan holds.
    pub fn declaration(&self) -> &Declaration {
        self.round.declaration()
    }

    /// The current parameters: those that the next round starts from.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The SHA-256 of their safetensors bytes.
    pub fn params_sha256(&self) -> Digest {
        self.given.blob.sha256
    }

    /// The replies of the newest training round that counts (Fed-BioMed
    /// `Job.training_replies`), in an experiment without their parameters:
    /// [`Job::fetch_update`] has them. Those of earlier rounds are in the history:
    /// kept whole, they would fill the memory. After [`Job::resume`] from a breakpoint they are
    /// those whose uploads were kept (`keep_uploads`); without them there are none here, and the
    /// history has all of them but the parameters.
    pub fn training_replies(&self) -> &BTreeMap<NodeId, Reply> {
        &self.training_replies
    }

    /// The state that another job would need to continue from here.
    pub fn state(&self) -> JobState {
        JobState { replies: self.training_replies.clone(), ..self.position() }
    }

    /// The same without replies, which a breakpoint has elsewhere.
    pub(crate) fn position(&self) -> JobState {
        JobState {
            experiment_id: self.id.clone(),
            researcher_id: self.researcher_id().clone(),
            inputs: self.inputs.clone(),
            n_inputs: self.n_inputs,
            nodes: self.nodes.known(),
            away: self.nodes.standing(),
            node_states: self.states.clone(),
            saved: self.saved.iter().cloned().collect(),
            params: self.params.clone(),
            scales: self.scales_json().map(<[u8]>::to_vec),
            replies: BTreeMap::new(),
        }
    }

    /// Lets the rounds from here on train otherwise (Fed-BioMed's setter of `training_args`). The
    /// random seed stays.
    ///
    /// # Errors
    /// Those of [`Job::start`] about arguments; [`Error::Change`] if nodes would have to keep
    /// other tensors. Then nothing has changed.
    pub async fn set_training_args(&mut self, training: TrainingArgs) -> Result<(), Error> {
        let aggregator = self.options.aggregator.clone();
        self.change(training, aggregator).await
    }

    /// The same, also with other arguments of the aggregator.
    pub(crate) async fn change(
        &mut self,
        training: TrainingArgs,
        aggregator: Arguments,
    ) -> Result<(), Error> {
        let training = TrainingArgs { random_seed: self.options.training.random_seed, ..training };
        if (&training, &aggregator) == (&self.options.training, &self.options.aggregator) {
            return Ok(());
        }
        let options = JobOptions { training, aggregator, ..self.options.clone() };
        let plan = self.training_plan().clone();
        check_arguments(&plan, &options)?;
        let facts =
            DataFacts { n_inputs: Some(self.n_inputs), n_classes: options.data.n_classes() };
        let (round, options) =
            blocking(move || Ok((round_of(&plan, &options, &facts)?, options))).await?;
        let (old, new) = (self.declaration(), round.declaration());
        if (&old.model, &old.state) != (&new.model, &new.state) {
            let reason = "with them the plan has other tensors in its model or node state (such as \
                          `keep_state`)";
            return Err(Error::Change { reason: reason.into() });
        }
        (self.round, self.options) = (round, options);
        Ok(())
    }

    /// The number of rounds, how long each waits for a node, and how long for what is away, from
    /// here on.
    pub(crate) fn set_rounds(&mut self, rounds: u32, deadline: Duration, patience: Duration) {
        (self.options.rounds, self.options.deadline) = (rounds, deadline);
        self.be_patient(patience);
    }

    fn be_patient(&mut self, patience: Duration) {
        self.options.patience = patience;
        self.requests.be_patient(patience);
        self.repository = self.repository.patient(self.transfer_time());
    }

    /// Watches the repository in a round.
    pub(crate) fn watch(&self, round: u32) -> Watch {
        Watch::of(&self.repository, round, self.transfer_time())
    }

    /// How long a transfer may take: a repository that is away for a while costs no round.
    pub(crate) fn transfer_time(&self) -> Duration {
        self.options.deadline.max(self.options.patience)
    }

    /// Replaces the parameters, and stores them for the nodes unless they are so small that they ride
    /// in requests (Fed-BioMed `Job.update_parameters`): by `params`, by those of a file (`.mpk` or
    /// `.safetensors`), or, if neither is given, by what they are.
    ///
    /// # Errors
    /// [`Error::BothParameters`]; [`Error::Record`] unless they are exactly
    /// what the plan declares; [`Error::Transport`].
    pub async fn update_parameters(
        &mut self,
        params: Option<Params>,
        file: Option<&Path>,
    ) -> Result<Digest, Error> {
        let params = match (params, file) {
            (Some(_), Some(file)) => return Err(Error::BothParameters { file: file.to_owned() }),
            (Some(params), None) => shared(self.declaration(), params)?,
            (None, Some(file)) => shared(self.declaration(), load_params(file)?)?,
            (None, None) => self.params.clone(),
        };
        let bytes = to_safetensors(&params).map_err(fedwasm_record::Error::Shapes)?;
        let given = self.give(bytes).await?;
        let before = std::mem::replace(&mut self.given, given);
        if let Some(blob) = before.stored() {
            self.given_up.add(blob.sha256, blob.size);
        }
        self.params = params;
        Ok(self.params_sha256())
    }

    /// Replaces the parameters while the repository is away: they are stored before nodes are asked
    /// for anything, by this job or by one that continues where it had arrived.
    pub(crate) fn hold_parameters(&mut self, params: Params) -> Result<Digest, Error> {
        let params = shared(self.declaration(), params)?;
        let bytes = to_safetensors(&params).map_err(fedwasm_record::Error::Shapes)?;
        (self.params, self.given) = (params, Given::held(BlobRef::of(&bytes)));
        Ok(self.params_sha256())
    }

    /// Stores parameters that the repository does not have.
    async fn store_unstored(&mut self) -> Result<(), Error> {
        if self.given.is_held() {
            self.update_parameters(None, None).await?;
        }
        Ok(())
    }

    /// Says that [`Job::state`] was saved, and that jobs may still resume from the newest `keep` of
    /// the saved states: nodes keep the node states for it.
    pub fn saved(&mut self, keep: usize) {
        self.saved.push_back(self.states.clone());
        while self.saved.len() > keep.clamp(1, KEPT_STATES_MAX) {
            self.saved.pop_front();
        }
    }

    /// Has `nodes` score the current parameters on their held-out rows.
    ///
    /// # Errors
    /// [`Error::Transport`], [`Error::Cancelled`].
    pub async fn validate(
        &mut self,
        round: u32,
        nodes: &[NodeId],
        events: Events<'_>,
    ) -> Result<BTreeMap<NodeId, RoundReply>, Error> {
        let (mut send_ms, aux) = (0.0, AuxVars::default());
        let answers = self.ask(round, Mode::Validate, nodes, &aux, &mut send_ms, events).await?;
        Ok(answers.into_iter().map(|(node, (reply, _))| (node, reply)).collect())
    }

    /// The receipts of the newest round or scores, as nodes signed them; each names the request and
    /// the result.
    pub fn take_receipts(&mut self) -> BTreeMap<NodeId, Vec<u8>> {
        std::mem::take(&mut self.receipts)
    }

    /// The model after the rounds of a history: what a directory of it says.
    pub(crate) fn model(&self, history: &fedwasm_record::History) -> ModelFile {
        let model = model_arguments(self.round.arguments());
        let mut about = ModelFile::of_run(history, &model, &self.options.data, &self.inputs);
        about.run.researcher = Some(self.researcher_id().clone());
        for (node, site) in &mut about.sites {
            site.approved_by = self.approvals.get(node).cloned();
        }
        about
    }

    /// The researcher as a member of its federation; none if the nodes are in this process
    /// ([`crate::Connection::Here`]).
    pub fn member(&self) -> Option<&fedwasm_trust::Member> {
        self.requests.member().map(|member| &**member)
    }

    /// Tells the repository that the experiment is over: its blobs may be
    /// pruned.
    ///
    /// # Errors
    /// [`Error::Transport`].
    pub async fn finish(&self) -> Result<(), Error> {
        Ok(self.repository.finish().await?)
    }

    /// Leaves; nodes cancel the rounds that they still run for this job.
    pub async fn close(self) {
        self.requests.close().await;
    }

    async fn store(&self, bytes: Vec<u8>) -> Result<BlobRef, Error> {
        self.within_deadline(self.repository.put(bytes)).await
    }

    /// Talks to the repository, within the deadline of a round or the patience.
    pub(crate) async fn within_deadline<T>(
        &self,
        talk: impl Future<Output = Result<T, fedwasm_transport::Error>>,
    ) -> Result<T, Error> {
        let deadline = self.transfer_time();
        let done = tokio::select! {
            done = tokio::time::timeout(deadline, talk) => done,
            () = self.requests.cancelled() => return Err(Error::Cancelled),
        };
        match done {
            Ok(done) => Ok(done?),
            Err(_) => Err(fedwasm_transport::Error::RepositoryUnreachable {
                url: self.options.network.repository.clone(),
                reason: format!("a blob was not stored within {deadline:?}").into(),
            }
            .into()),
        }
    }
}

/// The plan with its arguments, as the researcher needs it.
fn round_of(
    plan: &Described,
    options: &JobOptions,
    facts: &DataFacts,
) -> Result<Round, fedwasm_training::Error> {
    let JobOptions { model, training, aggregator, .. } = options;
    let place = Place { round: 1, rounds: options.rounds };
    Round::at(place, plan, RoundArgs { model, training, aggregator }, facts)
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(|error| Error::Internal { reason: error.to_string() })?
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
