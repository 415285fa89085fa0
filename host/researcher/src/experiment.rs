//! An experiment: search, then round after round (Fed-BioMed `Experiment` and
//! `Job`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fedwasm_artifact::Component;
use fedwasm_params::Params;
use fedwasm_protocol::{
    Arguments, BlobRef, Body, DataArgs, Digest, Evaluation, ExperimentId, Mode, NodeId, Progress,
    Reason, ResearcherId, RoundReply, RoundRequest, SearchRequest, TrainingArgs, printable,
};
use fedwasm_sandbox::{Cancel, DataFacts, Declaration, Described, Limits, Sandbox};
use fedwasm_training::{Round, initial_params};
use fedwasm_transport::Repository;
use futures_util::future::join_all;
use tokio::sync::watch;

use crate::aggregate::fedavg;
use crate::columns::{Chosen, Member, choose};
use crate::history::combine;
use crate::replies::{GONE, is_sound, update, why_not};
use crate::requests::{Answer, Requests, Seen};
use crate::{
    Error, ExperimentFile, History, NodeRecord, PlanRecord, RoundRecord, RoundTiming, output,
};

/// How long a search waits for nodes that are present.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(10);

/// What happens during an experiment.
#[derive(Clone, Debug)]
pub enum Event {
    /// The nodes are chosen and the rounds begin.
    Started {
        /// The experiment's id at the nodes.
        experiment_id: ExperimentId,
        /// Rows of each node.
        nodes: BTreeMap<NodeId, u64>,
        /// Where all randomness comes from.
        random_seed: u64,
    },
    /// A node does not take part, or no longer.
    Dropped {
        /// The node.
        node: NodeId,
        /// The round; 0 before the first.
        round: u32,
        /// Why.
        reason: String,
    },
    /// A node that was gone takes part again.
    Returned {
        /// The node.
        node: NodeId,
        /// The round.
        round: u32,
    },
    /// A node is at work.
    Progress {
        /// The node.
        node: NodeId,
        /// The round.
        round: u32,
        /// Batches so far.
        steps: u64,
        /// Batches of the round.
        steps_max: u64,
        /// The newest loss.
        loss: Option<f64>,
    },
    /// A round is over.
    Round(RoundRecord),
}

/// What an experiment gives.
#[derive(Clone, Debug)]
pub struct ExperimentResult {
    /// The aggregated parameters.
    pub params: Params,
    /// The SHA-256 of their safetensors bytes.
    pub params_sha256: Digest,
    /// The nodes that took part to the end.
    pub nodes: Vec<NodeId>,
    /// Scores of the parameters on all held-out rows, if asked for.
    pub evaluation: Option<Evaluation>,
    /// What happened.
    pub history: History,
}

/// Runs an experiment; `file.training.random_seed` is given. Files go to
/// `out`, after an error too: what was reached is kept.
///
/// # Errors
/// [`Error`].
pub async fn run_experiment(
    file: ExperimentFile,
    component: Component,
    random_seed: u64,
    out: Option<PathBuf>,
    events: &mut (dyn FnMut(Event) + Send),
    cancelled: watch::Receiver<bool>,
) -> Result<ExperimentResult, Error> {
    let plan = describe(component.clone()).await?;
    check_arguments(&plan, &file)?;
    if let Some(dir) = &out {
        output::prepare(dir)?;
    }
    let internal = |error: getrandom::Error| Error::Internal { reason: error.to_string() };
    let researcher = ResearcherId::random().map_err(internal)?;
    let experiment_id = ExperimentId::random().map_err(internal)?;
    let repository = Repository::new(file.network.repository.parse()?)?;
    let url = file.network.mqtt.parse()?;
    let requests = Requests::connect(url, researcher.clone(), cancelled).await?;
    let history = History {
        name: file.name.clone(),
        plan: PlanRecord {
            name: plan.metadata().name.clone(),
            version: plan.metadata().version.clone(),
            sha256: component.digest(),
        },
        random_seed,
        rounds: Vec::new(),
        steps: Vec::new(),
    };
    let mut experiment = Experiment {
        file,
        plan,
        component: component.clone(),
        random_seed,
        experiment_id,
        requests,
        repository,
        members: BTreeMap::new(),
        away: BTreeMap::new(),
        refused: Vec::new(),
        history,
        params: None,
        events,
    };
    let result = experiment.run().await;
    let Experiment { requests, params, history, .. } = experiment;
    requests.close().await;
    if let (Some(dir), Some(params)) = (&out, &params)
        && !history.rounds.is_empty()
    {
        output::write(dir, researcher.as_str(), params, &history)?;
    }
    let nodes = result?;
    let params = params.ok_or_else(|| Error::Internal { reason: "no parameters".into() })?;
    let (params_sha256, _) = output::params_digest(&params)?;
    let evaluation = history.rounds.last().and_then(|round| round.evaluation.clone());
    Ok(ExperimentResult { params, params_sha256, nodes, evaluation, history })
}

/// Why a node is away, and so whether its presence brings it back.
#[derive(Debug, PartialEq)]
enum Away {
    /// Its will arrived.
    Gone(Member),
    /// It was silent or refused; nothing says that it changed.
    Out,
}

struct Experiment<'a> {
    file: ExperimentFile,
    plan: Described,
    component: Component,
    random_seed: u64,
    experiment_id: ExperimentId,
    requests: Requests,
    repository: Repository,
    members: BTreeMap<NodeId, Member>,
    away: BTreeMap<NodeId, Away>,
    refused: Vec<(NodeId, Reason, String)>,
    history: History,
    params: Option<Params>,
    events: &'a mut (dyn FnMut(Event) + Send),
}

/// What stays the same in all rounds.
struct Setup {
    plan: BlobRef,
    data: DataArgs,
    training: TrainingArgs,
    model: Arguments,
    declaration: Declaration,
}

impl Experiment<'_> {
    async fn run(&mut self) -> Result<Vec<NodeId>, Error> {
        let inputs = self.search().await?;
        self.check_members("have the data")?;
        let facts = DataFacts { n_inputs: Some(inputs.len()), n_classes: None };
        let training =
            TrainingArgs { random_seed: Some(self.random_seed), ..self.file.training.clone() };
        let (plan, model, seed) = (self.plan.clone(), self.file.model.clone(), self.random_seed);
        let (declaration, mut params) = {
            let (model, training) = (model.clone(), training.clone());
            blocking(move || {
                let round = Round::new(&plan, &model, &training, &facts)?;
                let params = initial_params(&plan, &model, &facts, seed, &Cancel::new())?;
                Ok((round.declaration().clone(), params))
            })
            .await?
        };
        let setup = Setup {
            plan: self.store(self.component.bytes().to_vec()).await?,
            data: DataArgs { inputs: Some(inputs), tags: Vec::new(), ..self.file.data.clone() },
            training,
            model,
            declaration,
        };
        (self.events)(Event::Started {
            experiment_id: self.experiment_id.clone(),
            nodes: self.members.iter().map(|(id, member)| (id.clone(), member.n_rows)).collect(),
            random_seed: self.random_seed,
        });
        let mut blob = self.store(output::params_digest(&params)?.1).await?;
        for round in 1..=self.file.rounds {
            let (new, new_blob, record) = self.round(&setup, round, blob).await?;
            (params, blob) = (new, new_blob);
            (self.events)(Event::Round(record.clone()));
            self.history.rounds.push(record);
            self.params = Some(params);
        }
        Ok(self.members.keys().cloned().collect())
    }

    /// Finds the nodes that have the data, and the input columns.
    async fn search(&mut self) -> Result<Vec<String>, Error> {
        let request = || Body::Search(SearchRequest { tags: self.file.data.tags.clone() });
        let asked = self.requests.online().into_iter().map(|node| (node, request())).collect();
        let answers = self.requests.ask(asked, SEARCH_TIME_MAX, || {}, |_, _| {}).await?;
        let (mut found, mut refused) = (BTreeMap::new(), Vec::new());
        for (node, answer) in answers {
            match answer {
                Answer::Reply(Body::SearchReply(reply)) => {
                    found.insert(node, reply.datasets);
                }
                other => {
                    let (reason, text) = why_not(other);
                    refused.push((node, reason, text));
                }
            }
        }
        let (plan, file) = (self.plan.clone(), self.file.clone());
        let chosen: Chosen = blocking(move || {
            let n_inputs = |n: usize| inputs_of_plan(&plan, &file, n).map_err(|e| e.to_string());
            Ok(choose(found, &file.data, n_inputs))
        })
        .await?;
        refused.extend(chosen.refused);
        for (node, reason, text) in refused {
            self.drop_node(node, 0, reason, text, Away::Out);
        }
        self.members = chosen.members;
        Ok(chosen.inputs)
    }

    async fn round(
        &mut self,
        setup: &Setup,
        round: u32,
        blob: BlobRef,
    ) -> Result<(Params, BlobRef, RoundRecord), Error> {
        let start = Instant::now();
        self.take_back(round);
        let before: BTreeSet<NodeId> = self.members.keys().cloned().collect();
        let first_refusal = self.refused.len();
        let mut timing = RoundTiming::default();
        let replies = self.ask(setup, round, Mode::Train, blob, &mut timing.send_ms).await?;
        self.check_members("answered")?;
        let max =
            |value: &dyn Fn(&RoundReply) -> f64| replies.values().map(value).fold(0., f64::max);
        timing.train_ms = max(&|reply| reply.timing.train_ms);
        timing.prepare_ms = max(&|reply| reply.timing.prepare_ms);
        timing.upload_ms = max(&|reply| reply.timing.upload_ms);

        let at = Instant::now();
        let updates = self.fetch_updates(setup, round, &replies).await?;
        self.check_members("sent usable parameters")?;
        timing.download_ms = ms(at);

        let at = Instant::now();
        let params = fedavg(&updates).map_err(Error::Aggregation)?;
        timing.aggregate_ms = ms(at);
        let (params_sha256, bytes) = output::params_digest(&params)?;
        let at = Instant::now();
        let blob = self.store(bytes).await?;
        timing.send_ms += ms(at);

        let at = Instant::now();
        let mut scores = BTreeMap::new();
        if self.file.training.test_on_global_updates {
            let mut send_ms = 0.0;
            scores = self.ask(setup, round, Mode::Validate, blob, &mut send_ms).await?;
            self.check_members("scored the model")?;
        }
        timing.validate_ms = ms(at);
        let evaluations: Vec<&Evaluation> =
            scores.values().filter_map(|reply| reply.evaluation.as_ref()).collect();
        let evaluation = combine(&evaluations);
        let nodes = updates.keys().filter_map(|node| {
            let reply = replies.get(node)?;
            let record = NodeRecord {
                n_samples: reply.n_samples,
                n_steps: reply.n_steps,
                train_loss: reply.train_loss,
                evaluation: reply.evaluation.clone(),
                global_evaluation: scores.get(node).and_then(|reply| reply.evaluation.clone()),
                timing: reply.timing,
            };
            Some((node.clone(), record))
        });
        let nodes = nodes.collect();
        let dropped = self.refused[first_refusal..].iter();
        let dropped = dropped.filter(|(node, _, _)| before.contains(node));
        let dropped = dropped.map(|(node, _, text)| (node.clone(), text.clone())).collect();
        timing.wall_ms = ms(start);
        let record = RoundRecord { round, timing, nodes, dropped, params_sha256, evaluation };
        Ok((params, blob, record))
    }

    /// Asks all members for a round and drops those that do not deliver.
    async fn ask(
        &mut self,
        setup: &Setup,
        round: u32,
        mode: Mode,
        params: BlobRef,
        send_ms: &mut f64,
    ) -> Result<BTreeMap<NodeId, RoundReply>, Error> {
        let request = |member: &Member| RoundRequest {
            mode,
            experiment_id: self.experiment_id.clone(),
            round,
            dataset_id: member.dataset_id.clone(),
            plan: setup.plan,
            params,
            data: setup.data.clone(),
            training: setup.training.clone(),
            model: setup.model.clone(),
        };
        let requests = self.members.iter();
        let requests = requests
            .map(|(node, member)| (node.clone(), Body::Round(Box::new(request(member)))))
            .collect();
        let deadline = Duration::from_secs(self.file.strategy.round_deadline_s);
        let at = Instant::now();
        let events = &mut self.events;
        let seen = |node: &NodeId, seen: Seen| {
            let node = node.clone();
            events(match seen {
                Seen::Progress(Progress { steps, steps_max, loss, .. }) => {
                    Event::Progress { node, round, steps, steps_max, loss }
                }
                Seen::Gone => Event::Dropped { node, round, reason: GONE.to_owned() },
            });
        };
        let answers = self.requests.ask(requests, deadline, || *send_ms += ms(at), seen);
        let mut replies = BTreeMap::new();
        for (node, answer) in answers.await? {
            match answer {
                Answer::Reply(Body::RoundReply(reply))
                    if self.members.get(&node).is_some_and(|m| is_sound(&reply, mode, m)) =>
                {
                    replies.insert(node, *reply);
                }
                other => {
                    let away = match (&other, self.members.get(&node)) {
                        (Answer::Gone, Some(member)) => Away::Gone(member.clone()),
                        _ => Away::Out,
                    };
                    let (reason, text) = why_not(other);
                    self.drop_node(node, round, reason, text, away);
                }
            }
        }
        Ok(replies)
    }

    /// Fetches and checks the parameters of all replies at once.
    async fn fetch_updates(
        &mut self,
        setup: &Setup,
        round: u32,
        replies: &BTreeMap<NodeId, RoundReply>,
    ) -> Result<BTreeMap<NodeId, (u64, Params)>, Error> {
        let bytes_max = setup.declaration.model_bytes() + (1 << 20);
        let deadline = Duration::from_secs(self.file.strategy.round_deadline_s);
        let fetch = replies.iter().map(async |(node, reply)| {
            let params = match reply.params {
                Some(blob) if blob.size <= bytes_max => {
                    match tokio::time::timeout(deadline, self.repository.get(&blob)).await {
                        Ok(Ok(bytes)) => update(&setup.declaration, &bytes),
                        Ok(Err(error)) => Err(error.to_string()),
                        Err(_) => Err("its parameters did not arrive in time".to_owned()),
                    }
                }
                Some(blob) => Err(format!("its parameters have {} bytes", blob.size)),
                None => Err("it sent no parameters".to_owned()),
            };
            (node.clone(), reply.n_samples, params)
        });
        let fetched = tokio::select! {
            fetched = join_all(fetch) => fetched,
            () = self.requests.cancelled() => return Err(Error::Cancelled),
        };
        let mut updates = BTreeMap::new();
        for (node, n_samples, params) in fetched {
            match params {
                Ok(params) => drop(updates.insert(node, (n_samples, params))),
                Err(text) => self.drop_node(node, round, Reason::Blob, text, Away::Out),
            }
        }
        Ok(updates)
    }

    /// Stores a blob, within the deadline of a round.
    async fn store(&self, bytes: Vec<u8>) -> Result<BlobRef, Error> {
        let deadline = Duration::from_secs(self.file.strategy.round_deadline_s);
        let stored = tokio::select! {
            stored = tokio::time::timeout(deadline, self.repository.put(bytes)) => stored,
            () = self.requests.cancelled() => return Err(Error::Cancelled),
        };
        match stored {
            Ok(stored) => Ok(stored?),
            Err(_) => Err(fedwasm_transport::Error::RepositoryUnreachable {
                url: self.file.network.repository.clone(),
                reason: format!("a blob was not stored within {deadline:?}"),
            }
            .into()),
        }
    }

    fn drop_node(&mut self, node: NodeId, round: u32, reason: Reason, text: String, away: Away) {
        // Nodes wrote parts of this.
        let text = printable(&text);
        self.members.remove(&node);
        self.away.insert(node.clone(), away);
        // A node that is gone was announced when its will arrived.
        let announced = matches!(self.away.get(&node), Some(Away::Gone(_)));
        self.refused.push((node.clone(), reason, text.clone()));
        if !announced {
            (self.events)(Event::Dropped { node, round, reason: text });
        }
    }

    /// A node that died takes part again once its presence is back.
    fn take_back(&mut self, round: u32) {
        let is_back = |node: &NodeId, away: &mut Away| {
            matches!(away, Away::Gone(_)) && self.requests.is_online(node)
        };
        let back: Vec<_> = self.away.extract_if(.., is_back).collect();
        for (node, away) in back {
            if let Away::Gone(member) = away {
                self.members.insert(node.clone(), member);
                (self.events)(Event::Returned { node, round });
            }
        }
    }

    fn check_members(&self, when: &'static str) -> Result<(), Error> {
        let (got, min) = (self.members.len(), self.file.strategy.min_nodes);
        if got >= min {
            return Ok(());
        }
        Err(Error::NotEnoughNodes { got, min, when, refused: self.refused.clone() })
    }
}

/// Finds mistakes in the arguments before anybody is asked for anything.
fn check_arguments(plan: &Described, file: &ExperimentFile) -> Result<(), Error> {
    let mut given = file.model.clone();
    given.extend(file.training.optimizer_args.clone());
    // How many columns there are does not matter for the kinds of arguments.
    let facts = DataFacts { n_inputs: Some(1), n_classes: None };
    let checked = plan.metadata().arguments(&given, &facts, &["model.", "optimizer."]);
    checked.map(drop).map_err(|error| fedwasm_sandbox::Error::from(error).into())
}

/// Returns the input columns that the plan takes if the data have `n`.
fn inputs_of_plan(plan: &Described, file: &ExperimentFile, n: usize) -> Result<u64, Error> {
    let facts = DataFacts { n_inputs: Some(n), n_classes: None };
    let round = Round::new(plan, &file.model, &file.training, &facts)?;
    let inputs = round.declaration().inputs.first();
    Ok(inputs.and_then(|inputs| inputs.shape.first().copied()).unwrap_or_default())
}

async fn describe(component: Component) -> Result<Described, Error> {
    blocking(move || Ok(Sandbox::new()?.describe(&component, Limits::default())?)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(|error| Error::Internal { reason: error.to_string() })?
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
