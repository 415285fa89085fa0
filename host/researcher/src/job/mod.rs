//! The job: what a researcher and the nodes of an experiment do together
//! (Fed-BioMed `Job`). It finds the nodes, holds the parameters, sends rounds
//! and collects replies; what becomes of the replies is the experiment's.

mod ask;
mod fetch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use fedwasm_artifact::Component;
use fedwasm_params::{Params, to_safetensors};
use fedwasm_protocol::{
    ApprovalRequest, ApprovalStatus, Arguments, BlobRef, Body, DataArgs, Digest, ExperimentId,
    KEPT_STATES_MAX, Mode, NodeId, Participant, Reason, ResearcherId, RoundReply, SIGNATURES_MAX,
    SecaggArgs, TrainingArgs, printable,
};
use fedwasm_sandbox::{DataFacts, Declaration, Described, LimitArgs, Sandbox};
use fedwasm_training::{Place, Round, RoundArgs};
use fedwasm_transport::{LinkOptions, Repository};
use fedwasm_trust::SKEW_MS;
use tokio::sync::watch;

use crate::columns::Chosen;
use crate::membership::{Away, Membership};
use crate::replies::{clock, kept, shared, why_not};
use crate::requests::{Answer, Requests};
use crate::search::{Link, SEARCH_TIME_MAX, check_arguments, connect, describe, search};
use crate::{
    AuxVars, Error, Event, Events, JobState, Member, NetworkArgs, NodeStates, Reply, load_params,
};

/// How long nodes may take to say whether they would run a plan: those that do not know it
/// fetch it first.
const APPROVAL_TIME_MAX: Duration = Duration::from_secs(60);
/// From this difference on a clock is told of.
const CLOCK_WARNING_MS: u64 = 60_000;

/// What a job is about.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// The plan.
    pub component: Component,
    /// Its signatures, Sigstore bundles as JSON.
    pub signatures: Vec<Vec<u8>>,
    /// What it is for, for whoever decides at a node whether it may run (Fed-BioMed
    /// `training_plan_approve(description)`); may be empty.
    pub description: String,
    /// Where the researcher asks it for its shapes and initial parameters.
    pub sandbox: Sandbox,
    /// Whether nodes run it in the strict profile.
    pub strict: bool,
    /// Limits that nodes are asked to keep, below their own.
    pub limits: LimitArgs,
    /// Which columns of which datasets, and how.
    pub data: DataArgs,
    /// How a round trains.
    pub training: TrainingArgs,
    /// Model arguments, keys starting with `model.`.
    pub model: Arguments,
    /// Aggregator arguments, keys starting with `aggregator.`.
    pub aggregator: Arguments,
    /// Secure aggregation, if it is asked for; `random` is drawn in every round unless it is
    /// given.
    pub secagg: Option<SecaggArgs>,
    /// Where the federation is.
    pub network: NetworkArgs,
    /// A connection of the caller's own, instead of one to the addresses in `network`.
    pub link: Option<LinkOptions>,
    /// Whether replies without a signed receipt are refused.
    pub require_receipts: bool,
    /// With fewer nodes it does not start, at least 1; none: with fewer than all that have data
    /// with the tags.
    pub min_nodes: Option<usize>,
    /// How long a round waits for a node, and for the repository.
    pub deadline: Duration,
    /// Where all randomness comes from.
    pub random_seed: u64,
    /// How many rounds there are to be; plans that ask for it are told.
    pub rounds: u32,
    /// The parameters to start from; drawn by the plan if none.
    pub params: Option<Params>,
}

/// A researcher's side of an experiment: nodes, parameters, rounds.
pub struct Job {
    options: JobOptions,
    id: ExperimentId,
    requests: Requests,
    repository: Repository,
    plan: BlobRef,
    round: Round,
    inputs: Vec<String>,
    n_inputs: usize,
    nodes: Membership,
    found: BTreeSet<NodeId>,
    strangers: Vec<(NodeId, String)>,
    /// Nodes that refused the last time and are asked again.
    asked_again: BTreeSet<NodeId>,
    /// What nodes do otherwise than asked for, told once.
    warned: BTreeSet<String>,
    states: NodeStates,
    /// What the breakpoints that are kept name, the newest last.
    saved: VecDeque<NodeStates>,
    params: Params,
    params_blob: BlobRef,
    training_replies: BTreeMap<NodeId, Reply>,
    /// How large what they uploaded is.
    upload_sizes: BTreeMap<NodeId, u64>,
    /// When the roster was fetched last.
    refreshed: Instant,
    /// The receipts of the replies of the newest question.
    receipts: BTreeMap<NodeId, Vec<u8>>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("id", &self.id).field("nodes", &self.nodes).finish()
    }
}

impl Job {
    /// Connects, finds the nodes that have the data and may run the plan, draws
    /// the initial parameters, and stores plan and parameters.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn start(
        options: JobOptions,
        cancelled: watch::Receiver<bool>,
        events: Events<'_>,
    ) -> Result<Self, Error> {
        let mut job = Self::find(options, cancelled, events).await?;
        job.check_approval(events).await?;
        job.nodes.leave_out();
        let (got, when) = (job.nodes().len(), "may run the plan");
        let min = job.options.min_nodes.unwrap_or(job.found.len()).max(1);
        if got < min {
            let (refused, strangers) = (job.refused(), Vec::new());
            job.close().await;
            return Err(Error::NotEnoughNodes { got, min, when, refused, strangers });
        }
        Ok(job)
    }

    /// The same until nodes are asked whether they would run the plan.
    pub(crate) async fn find(
        mut options: JobOptions,
        cancelled: watch::Receiver<bool>,
        events: Events<'_>,
    ) -> Result<Self, Error> {
        let link = Link::new(&cancelled);
        let plan = describe(&options, &link.cancel).await?;
        check_arguments(&plan, &options)?;
        let internal = |error: getrandom::Error| Error::Internal { reason: error.to_string() };
        let id = ExperimentId::random().map_err(internal)?;
        let (mut requests, repository) = connect(&options, cancelled).await?;
        let chosen = match search(&mut requests, &repository, &plan, &options).await {
            Ok(chosen) => chosen,
            Err(error) => {
                requests.close().await;
                return Err(error);
            }
        };
        for (node, _, text) in &chosen.refused {
            let (node, reason) = (node.clone(), printable(text));
            events(Event::Dropped { node, round: 0, reason });
        }
        let got = chosen.members.len();
        let min = options.min_nodes.unwrap_or(chosen.found.len()).max(1);
        if got < min {
            requests.close().await;
            let Chosen { refused, strangers, .. } = chosen;
            let when = "have the data";
            return Err(Error::NotEnoughNodes { got, min, when, refused, strangers });
        }
        let nodes = Membership::found(chosen.members, chosen.refused);
        let at = (requests, repository, nodes);
        let inputs = (chosen.inputs, chosen.n_inputs);
        let params = options.params.take();
        let job = Self::with(options, (plan, &link), at, id, inputs, params).await?;
        Ok(Self { found: chosen.found, strangers: chosen.strangers, ..job })
    }

    /// Goes on where another job had arrived (Fed-BioMed
    /// `Job.load_state_breakpoint`). Nodes that are not present are waited for
    /// as the experiment's strategy says.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn resume(
        options: JobOptions,
        state: JobState,
        cancelled: watch::Receiver<bool>,
        events: Events<'_>,
    ) -> Result<Self, Error> {
        let link = Link::new(&cancelled);
        let plan = describe(&options, &link.cancel).await?;
        check_arguments(&plan, &options)?;
        let JobState {
            experiment_id,
            researcher_id,
            nodes,
            away,
            node_states,
            saved,
            params,
            replies,
            ..
        } = state;
        let (inputs, saved) = ((state.inputs, state.n_inputs), VecDeque::from(saved));
        let (requests, repository) = connect(&options, cancelled).await?;
        if *requests.researcher() != researcher_id {
            let (theirs, ours) = (researcher_id, requests.researcher().clone());
            requests.close().await;
            return Err(Error::OtherResearcher { theirs, ours });
        }
        let nodes = Membership::resumed(nodes, |node| requests.is_online(node));
        for node in nodes.gone() {
            events(Event::Warning(format!("{node} of the breakpoint is not connected")));
        }
        for (node, why) in away.iter().filter(|(node, _)| nodes.member(node).is_some()) {
            let why = printable(why);
            events(Event::Warning(format!(
                "{node} did not take part to the end ({why}); it is asked again"
            )));
        }
        let (plan, params) = ((plan, &link), Some(params));
        let at = (requests, repository, nodes);
        let job = Self::with(options, plan, at, experiment_id, inputs, params).await?;
        let replies = replies.into_iter();
        let replies = replies.filter_map(|(n, reply)| Some((n, kept(job.declaration(), reply)?)));
        let training_replies = replies.collect();
        let mut job = Self { states: node_states, saved, training_replies, ..job };
        job.check_approval(events).await?;
        Ok(job)
    }

    async fn with(
        mut options: JobOptions,
        (plan, link): (Described, &Link),
        (requests, repository, nodes): (Requests, Repository, Membership),
        id: ExperimentId,
        (inputs, n_inputs): (Vec<String>, usize),
        params: Option<Params>,
    ) -> Result<Self, Error> {
        options.training.random_seed = Some(options.random_seed);
        // Those that are away for a while may come back.
        let readers = nodes.known().keys().map(Participant::node).collect();
        let repository = repository.of_experiment(&id).for_recipients(readers);
        // A round's deadline bounds all of it.
        let repository = repository.patient(options.deadline);
        let facts = DataFacts { n_inputs: Some(n_inputs), n_classes: None };
        let (round, params) = {
            let (options, seed) = (options.clone(), options.random_seed);
            let cancel = link.cancel.clone();
            blocking(move || {
                let round = round_of(&plan, &options, &facts)?;
                let params = match params {
                    Some(params) => shared(round.declaration(), params)?,
                    None => round.shared(&round.initial_params(seed, &cancel)?)?,
                };
                Ok((round, params))
            })
            .await?
        };
        let nothing = BlobRef::of(&[]);
        let mut job = Self {
            plan: nothing,
            params_blob: nothing,
            options,
            id,
            requests,
            repository,
            round,
            inputs,
            n_inputs,
            found: nodes.known().into_keys().collect(),
            nodes,
            strangers: Vec::new(),
            asked_again: BTreeSet::new(),
            warned: BTreeSet::new(),
            states: NodeStates::default(),
            saved: VecDeque::new(),
            params,
            training_replies: BTreeMap::new(),
            upload_sizes: BTreeMap::new(),
            refreshed: Instant::now(),
            receipts: BTreeMap::new(),
        };
        // One that goes on may have been over.
        job.within_deadline(job.repository.reopen()).await?;
        job.plan = job.store(job.options.component.bytes().to_vec()).await?;
        job.update_parameters(None, None).await?;
        Ok(job)
    }

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

    /// The nodes that have no data for it, and what says so.
    pub fn strangers(&self) -> &[(NodeId, String)] {
        &self.strangers
    }

    /// The nodes that take part, or will when they are back.
    pub(crate) fn known(&self) -> BTreeSet<NodeId> {
        self.nodes.known().into_keys().collect()
    }

    /// What a node takes part with, if it does.
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
        self.params_blob.sha256
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

    /// What another job would need to go on from here.
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

    /// The same, with other arguments of the aggregator, too.
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
        let facts = DataFacts { n_inputs: Some(self.n_inputs), n_classes: None };
        let (round, options) =
            blocking(move || Ok((round_of(&plan, &options, &facts)?, options))).await?;
        let (old, new) = (self.declaration(), round.declaration());
        if (&old.model, &old.state) != (&new.model, &new.state) {
            let reason = "with them the plan has other tensors in its model, or in what nodes keep \
                          from round to round (such as `keep_state`)";
            return Err(Error::Change { reason: reason.into() });
        }
        (self.round, self.options) = (round, options);
        Ok(())
    }

    /// How many rounds there are to be, and how long each waits for a node, from here on.
    pub(crate) fn set_rounds(&mut self, rounds: u32, deadline: Duration) {
        (self.options.rounds, self.options.deadline) = (rounds, deadline);
    }

    /// Asks all nodes whether they would run the plan, and drops those that
    /// would not (Fed-BioMed `check_training_plan_is_approved_by_nodes`).
    ///
    /// # Errors
    /// [`Error::Transport`], [`Error::Cancelled`].
    pub async fn check_approval(
        &mut self,
        events: Events<'_>,
    ) -> Result<BTreeMap<NodeId, ApprovalStatus>, Error> {
        let mut signatures = Vec::new();
        for signature in self.options.signatures.iter().take(SIGNATURES_MAX) {
            signatures.push(self.store(signature.clone()).await?);
        }
        let request = || {
            let signatures = signatures.clone();
            let description = self.options.description.clone();
            Body::Approval(ApprovalRequest { plan: self.plan, signatures, description })
        };
        let asked = self.nodes().into_iter().map(|node| (node, request())).collect();
        let answers = self.requests.ask(asked, APPROVAL_TIME_MAX, || {}, |_, _| {}).await?;
        let mut standing = BTreeMap::new();
        for (node, (answer, _)) in answers {
            match answer {
                Answer::Reply(Body::ApprovalReply(reply)) if reply.status.may_run() => {
                    standing.insert(node, reply.status);
                }
                Answer::Reply(Body::ApprovalReply(reply)) => {
                    let note = if reply.note.is_empty() { "" } else { ": " };
                    let mut text =
                        format!("the plan is {} there{note}{}", reply.status, reply.note);
                    if reply.status == ApprovalStatus::Pending {
                        text += "; its operator decides (`fedwasm node plan approve`)";
                    }
                    standing.insert(node.clone(), reply.status);
                    let away = self.nodes.again(&node);
                    self.drop_node(node, 0, Reason::NotApproved, text, away, events);
                }
                other => self.drop_for(node, 0, other, events),
            }
        }
        for node in self.nodes() {
            let ahead_ms = self.requests.ahead_ms(&node).unwrap_or_default();
            if ahead_ms.unsigned_abs() > CLOCK_WARNING_MS {
                let (clock, max) = (clock(ahead_ms), SKEW_MS / 1_000);
                let warning =
                    format!("{node}: its clock is {clock}; beyond {max} s nothing is believed");
                events(Event::Warning(warning));
            }
        }
        Ok(standing)
    }

    /// Replaces the parameters and stores them for the nodes (Fed-BioMed
    /// `Job.update_parameters`): by `params`, by those of a file (`.mpk` or
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
        self.params_blob = self.store(bytes).await?;
        self.params = params;
        Ok(self.params_blob.sha256)
    }

    /// Says that [`Job::state`] was saved, and that the newest `keep` of what
    /// was saved may still be gone on from: nodes keep the states for it.
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

    /// The receipts of the newest round or scores, as nodes signed them; each says what
    /// was asked for and what came.
    pub fn take_receipts(&mut self) -> BTreeMap<NodeId, Vec<u8>> {
        std::mem::take(&mut self.receipts)
    }

    /// Who the researcher is, and whom it knows.
    pub fn member(&self) -> &fedwasm_trust::Member {
        self.requests.member()
    }

    /// Lets nodes that came back take part again, and those that refused be asked again.
    pub fn take_back(&mut self, round: u32, events: Events<'_>) {
        let (requests, asked_again) = (&mut self.requests, &mut self.asked_again);
        self.nodes.begin_round(round);
        let silent = self.nodes.silent();
        let rest: Vec<&NodeId> = silent.iter().filter(|node| self.nodes.rests(node)).collect();
        let back = self.nodes.take_back(|node, away| match away {
            Away::Gone(_) => requests.is_online(node),
            Away::Silent(_) => !rest.contains(&node) && requests.take_late(node),
            Away::Refused(_) => {
                asked_again.insert(node.clone());
                true
            }
            Away::Out(_) => false,
        });
        for node in back.into_iter().filter(|node| !self.asked_again.contains(node)) {
            events(Event::Returned { node, round });
        }
    }

    /// Waits for nodes that are gone or silent, until all are back or `time` is over.
    ///
    /// # Errors
    /// [`Error::Transport`], [`Error::Cancelled`].
    pub async fn wait_for_nodes(&mut self, time: Duration) -> Result<(), Error> {
        let (gone, silent) = (self.nodes.gone(), self.nodes.silent());
        self.nodes.is_short();
        let all_back = |requests: &Requests| {
            !(gone.is_empty() && silent.is_empty())
                && gone.iter().all(|node| requests.is_online(node))
                && silent.iter().all(|node| requests.has_late(node))
        };
        self.requests.watch(time, &silent, all_back).await
    }

    /// Tells the repository that the experiment is over: its blobs may be
    /// pruned.
    ///
    /// # Errors
    /// [`Error::Transport`].
    pub async fn finish(&self) -> Result<(), Error> {
        Ok(self.repository.finish().await?)
    }

    /// Leaves; nodes call off what they still do for this job.
    pub async fn close(self) {
        self.requests.close().await;
    }

    async fn store(&self, bytes: Vec<u8>) -> Result<BlobRef, Error> {
        self.within_deadline(self.repository.put(bytes)).await
    }

    /// Talks to the repository, within the deadline of a round.
    async fn within_deadline<T>(
        &self,
        talk: impl Future<Output = Result<T, fedwasm_transport::Error>>,
    ) -> Result<T, Error> {
        let deadline = self.options.deadline;
        let done = tokio::select! {
            done = tokio::time::timeout(deadline, talk) => done,
            () = self.requests.cancelled() => return Err(Error::Cancelled),
        };
        match done {
            Ok(done) => Ok(done?),
            Err(_) => Err(fedwasm_transport::Error::RepositoryUnreachable {
                url: self.options.network.repository.clone(),
                reason: format!("a blob was not stored within {deadline:?}"),
            }
            .into()),
        }
    }

    /// Drops a node for an answer that is no delivery.
    fn drop_for(&mut self, node: NodeId, round: u32, answer: Answer, events: Events<'_>) {
        let away = self.nodes.away_for(&node, &answer);
        let deadline = if round == 0 { SEARCH_TIME_MAX } else { self.options.deadline };
        let n_rows = self.nodes.member(&node).map_or(0, |member| member.n_rows);
        let (reason, text) = why_not(answer, deadline, n_rows);
        self.drop_node(node, round, reason, text, away, events);
    }

    fn drop_node(
        &mut self,
        node: NodeId,
        round: u32,
        reason: Reason,
        text: String,
        away: Away,
        events: Events<'_>,
    ) {
        // Nodes wrote parts of this.
        let text = printable(&text);
        // A node that is gone was announced when its will arrived.
        if !matches!(away, Away::Gone(_)) || round == 0 {
            events(Event::Dropped { node: node.clone(), round, reason: text.clone() });
        }
        self.nodes.drop_node(node, away, reason, text);
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
