//! Starts a job: finds the nodes, or continues where another job had arrived.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use fedwasm_params::Params;
use fedwasm_protocol::{BlobRef, ExperimentId, Participant, printable};
use fedwasm_sandbox::{DataFacts, Described};
use fedwasm_transport::Repository;
use tokio::sync::watch;

use crate::job::columns::Chosen;
use crate::job::give::Given;
use crate::job::given_up::GivenUp;
use crate::job::membership::Membership;
use crate::job::replies::{kept, shared};
use crate::job::search::{Link, check_arguments, connect, describe, search};
use crate::requests::Requests;
use crate::secagg::Contexts;
use crate::{Error, Event, Events, JobState, NodeStates};

use super::{Job, JobOptions, blocking, round_of};

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
        let Chosen { found, strangers, scale_names, column_names, .. } = chosen;
        Ok(Self { found, strangers, scale_names, column_names, ..job })
    }

    /// Continues where another job had arrived (Fed-BioMed
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
            scales,
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
                "{node} had stopped taking part ({why}); it is asked again"
            )));
        }
        let (plan, params) = ((plan, &link), Some(params));
        let at = (requests, repository, nodes);
        let job = Self::with(options, plan, at, experiment_id, inputs, params).await?;
        let replies = replies.into_iter();
        let replies = replies.filter_map(|(n, reply)| Some((n, kept(job.declaration(), reply)?)));
        let training_replies = replies.collect();
        let mut job = Self { states: node_states, saved, training_replies, ..job };
        if let Some(scales) = scales {
            job.set_scales(scales).await?;
        }
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
        let facts = DataFacts { n_inputs: Some(n_inputs), n_classes: options.data.n_classes() };
        let (round, params) = {
            let (options, seed) = (options.clone(), options.random_seed);
            let (cancel, only) = (link.cancel.clone(), options.init_only.clone());
            blocking(move || {
                let round = round_of(&plan, &options, &facts)?;
                let params = match params {
                    Some(params) if only.is_empty() => shared(round.declaration(), params)?,
                    Some(params) => round.shared_start_from(params, &only, seed, &cancel)?,
                    None => round.shared(&round.initial_params(seed, &cancel)?)?,
                };
                Ok((round, params))
            })
            .await?
        };
        let mut job = Self {
            plan: BlobRef::of(&[]),
            given: Given::nothing(),
            given_up: GivenUp::default(),
            options,
            id,
            requests,
            repository,
            round,
            inputs,
            n_inputs,
            scale_names: Vec::new(),
            column_names: Vec::new(),
            statistics: None,
            found: nodes.known().into_keys().collect(),
            nodes,
            strangers: Vec::new(),
            asked_again: BTreeSet::new(),
            warned: BTreeSet::new(),
            states: NodeStates::default(),
            saved: VecDeque::new(),
            params,
            scales: None,
            training_replies: BTreeMap::new(),
            uploads: BTreeMap::new(),
            refreshed: Instant::now(),
            receipts: BTreeMap::new(),
            approvals: BTreeMap::new(),
            contexts: Contexts::default(),
        };
        let patience = job.options.patience;
        job.be_patient(patience);
        // A resumed experiment may have been finished.
        job.within_deadline(job.repository.reopen()).await?;
        job.plan = job.store(job.options.component.bytes().to_vec()).await?;
        job.update_parameters(None, None).await?;
        Ok(job)
    }
}
