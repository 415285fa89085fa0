//! The loop that owns the node's connection.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fedwasm_folder::Folder;
use fedwasm_protocol::{
    ApprovalReply, ApprovalStatus, Body, Envelope, MESSAGE_BYTES_MAX, PROTOCOL_VERSION, Presence,
    Reason, Refusal, RequestId, ResearcherId, RoundRequest, SearchReply,
};
use fedwasm_sandbox::{Cancel, Sandbox, WorkerOptions};
use fedwasm_transport::{Incoming, Link, LinkOptions, Repository, Sender, topic};
use tokio::sync::mpsc;

use crate::round::{Workshop, refusal};
use crate::worker::Worker;
use crate::{Datasets, Error, NodeConfig, demands};

/// Compiled plans, in the node's directory.
const CACHE: &str = "compiled";
/// Rounds that wait for the one that runs.
const QUEUE_MAX: usize = 8;
/// The longest time that a researcher may ask for.
const DEADLINE_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// A round that was asked for.
struct Job {
    request_id: RequestId,
    researcher: ResearcherId,
    request: RoundRequest,
    dataset: crate::Dataset,
    deadline: Instant,
    cancel: Cancel,
}

/// Serves the node in `dir` until `stop` resolves. `ready` is called once,
/// when researchers can find it.
///
/// # Errors
/// [`Error`]; a node that serves stops with one only if its id is taken.
pub async fn serve(
    dir: &Path,
    ready: impl FnOnce(&NodeConfig),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let (config, folder) = NodeConfig::open(dir)?;
    let running = || Error::Running { id: config.id.clone(), dir: dir.to_owned() };
    let _lock = folder.lock("lock")?.ok_or_else(running)?;
    let folder = Arc::new(folder);
    Datasets::load(&folder)?;
    let sandbox = sandbox(&config, dir).await?;
    let repository = Repository::new(config.repository.parse()?)?;
    let options = link_options(&config)?;
    let own_presence = topic::presence(&config.id);
    let greeting = options.greeting.clone();
    let mut link = Link::connect(options).await?;
    let workshop = Workshop::new(sandbox, config.strict, config.limits.clone());
    let worker = Worker {
        node: config.id.clone(),
        folder: Arc::clone(&folder),
        repository,
        workshop: Arc::new(Mutex::new(workshop)),
        params: None,
        params_bytes_max: config.limits.declared_bytes_max as u64 + (1 << 20),
    };
    let (jobs, queue) = mpsc::channel(QUEUE_MAX);
    let work = tokio::spawn(work(worker, queue, link.sender(), config.id.to_string()));
    ready(&config);
    let mut node = Node {
        id: config.id.to_string(),
        folder,
        jobs,
        cancels: HashMap::new(),
        sender: link.sender(),
        force_secagg: config.force_secure_aggregation,
    };
    let mut stop = std::pin::pin!(stop);
    let result = loop {
        let incoming = tokio::select! {
            () = &mut stop => break Ok(()),
            incoming = link.next() => incoming,
        };
        match incoming {
            Some(Incoming::Message { topic, payload }) if topic == own_presence => {
                node.check_presence(&payload, &greeting).await;
            }
            Some(Incoming::Message { topic, payload }) => match topic::who_left(&topic) {
                Some(researcher) => node.call_off(&researcher),
                None => node.handle(&payload).await,
            },
            Some(Incoming::Lost { reason }) => {
                // Our will ends the wait of everybody: nobody waits for these rounds.
                node.cancels.values().for_each(|(_, cancel)| cancel.cancel());
                tracing::warn!("the broker is gone: {reason}");
            }
            Some(Incoming::Restored) => tracing::info!("connected to the broker"),
            Some(Incoming::Closed(error)) => break Err(error.into()),
            None => break Err(fedwasm_transport::Error::Closed.into()),
        }
    };
    node.cancels.values().for_each(|(_, cancel)| cancel.cancel());
    drop(node);
    link.close().await;
    work.abort();
    result
}

/// Where plans run: in workers, whose protections are looked at once, so that
/// a node that cannot run plans does not say that it serves.
async fn sandbox(config: &NodeConfig, dir: &Path) -> Result<Sandbox, Error> {
    // A path is taken from where the configuration lies.
    let program = config.worker.as_ref().map(|program| dir.join(program));
    let program = program.map(std::path::absolute).transpose()?;
    let options = WorkerOptions { program, cache: Some(dir.join(CACHE)) };
    let sandbox = Sandbox::new(options)?;
    let checked = tokio::task::spawn_blocking(move || {
        sandbox.protections()?;
        Ok(sandbox)
    });
    checked.await.map_err(|error| Error::Io(std::io::Error::other(error)))?
}

fn link_options(config: &NodeConfig) -> Result<LinkOptions, Error> {
    let presence = |online| {
        let presence = Presence { node_id: config.id.clone(), online };
        let payload = rmp_serde::to_vec_named(&presence).unwrap_or_default();
        Some((topic::presence(&config.id), payload))
    };
    Ok(LinkOptions {
        url: config.mqtt.parse()?,
        client_id: format!("node-{}", config.id),
        subscriptions: vec![
            topic::node(&config.id),
            topic::presence(&config.id),
            topic::FAREWELLS.into(),
        ],
        greeting: presence(true),
        farewell: presence(false),
    })
}

/// Looks at messages; never waits for a round.
struct Node {
    id: String,
    folder: Arc<Folder>,
    jobs: mpsc::Sender<Job>,
    /// Who waits for each round, and how it is called off.
    cancels: HashMap<RequestId, (ResearcherId, Cancel)>,
    sender: Sender,
    force_secagg: bool,
}

impl Node {
    /// The will of a connection that broke can arrive after the greeting of
    /// the one that followed; then the greeting is said again.
    async fn check_presence(&self, payload: &[u8], greeting: &Option<(String, Vec<u8>)>) {
        let presence = rmp_serde::from_slice::<Presence>(payload);
        if let (Ok(Presence { online: false, .. }), Some((topic, payload))) = (presence, greeting) {
            let _ = self.sender.retain(topic.clone(), payload.clone()).await;
        }
    }

    /// A researcher left or died: nobody waits for its rounds.
    fn call_off(&self, researcher: &ResearcherId) {
        let of_researcher = self.cancels.values().filter(|(who, _)| who == researcher);
        of_researcher.for_each(|(_, cancel)| cancel.cancel());
    }

    async fn handle(&mut self, payload: &[u8]) {
        let envelope = match Envelope::decode(payload) {
            Ok(envelope) => envelope,
            Err(error) => return tracing::warn!("a message is ignored: {error}"),
        };
        let Ok(researcher) = envelope.sender.parse::<ResearcherId>() else {
            return tracing::warn!("a message without a sender is ignored");
        };
        let reply = match envelope.body {
            Body::Search(request) => Some(self.search(&request.tags)),
            Body::Round(request) => {
                let deadline = Duration::from_millis(envelope.deadline_ms).min(DEADLINE_MAX);
                let job = (envelope.request_id.clone(), researcher.clone(), *request, deadline);
                self.enqueue(job).err().map(Body::Refused)
            }
            // Only who asked for a round may call it off.
            Body::Cancel => {
                let asked = self.cancels.get(&envelope.request_id);
                if let Some((_, cancel)) = asked.filter(|(who, _)| *who == researcher) {
                    cancel.cancel();
                }
                None
            }
            Body::Ping => Some(Body::Pong),
            // There is no approval registry: any plan that is admitted runs.
            Body::Approval(_) => {
                Some(Body::ApprovalReply(ApprovalReply { status: ApprovalStatus::NotRequired }))
            }
            _ => return tracing::warn!("a message that is no request is ignored"),
        };
        if let Some(body) = reply {
            send(&self.sender, &self.id, &researcher, envelope.request_id, body).await;
        }
    }

    fn search(&self, tags: &[String]) -> Body {
        let datasets = Datasets::load(&self.folder).map(|datasets| datasets.search(tags));
        match datasets {
            Ok(datasets) => {
                let columns = datasets.iter().flat_map(|dataset| &dataset.columns);
                // Half of a message is room for everything else.
                if columns.map(|column| column.len() + 5).sum::<usize>() > MESSAGE_BYTES_MAX / 2 {
                    let text = "the names of its columns do not fit into a message";
                    return Body::Refused(refusal(Reason::Dataset, text.into()));
                }
                Body::SearchReply(SearchReply { datasets })
            }
            Err(error) => {
                tracing::error!("{error}");
                Body::Refused(refusal(Reason::Internal, "the registry cannot be read".into()))
            }
        }
    }

    fn enqueue(
        &mut self,
        (request_id, researcher, request, deadline): (
            RequestId,
            ResearcherId,
            RoundRequest,
            Duration,
        ),
    ) -> Result<(), Refusal> {
        demands::check(&request, self.force_secagg)?;
        let internal = |_| refusal(Reason::Internal, "the registry cannot be read".into());
        let datasets = Datasets::load(&self.folder).map_err(internal)?;
        let Some(dataset) = datasets.find(&request.dataset_id).cloned() else {
            let message = format!("there is no dataset `{}`", request.dataset_id);
            return Err(refusal(Reason::Dataset, message));
        };
        let columns = request.data.inputs.iter().flatten().chain([&request.data.target]);
        for column in columns {
            if !dataset.columns.contains(column) {
                let message = format!("dataset {} has no column `{column}`", dataset.name);
                return Err(refusal(Reason::Dataset, message));
            }
        }
        let cancel = Cancel::new();
        // Handles of rounds that are over are held by nobody else.
        self.cancels.retain(|_, (_, cancel)| !cancel.is_unused());
        let known = self.cancels.get(&request_id);
        if known.is_some_and(|(_, cancel)| !cancel.is_cancelled()) {
            // Said again after a broken connection; the answer is on its way.
            return Ok(());
        }
        let deadline = Instant::now() + deadline;
        let job = Job {
            request_id: request_id.clone(),
            researcher: researcher.clone(),
            request,
            dataset,
            deadline,
            cancel: cancel.clone(),
        };
        match self.jobs.try_send(job) {
            Ok(()) => {
                self.cancels.insert(request_id, (researcher, cancel));
                Ok(())
            }
            Err(_) => {
                let message = format!("{QUEUE_MAX} rounds wait already; try again later");
                Err(refusal(Reason::Busy, message))
            }
        }
    }
}

/// Runs jobs one after the other.
async fn work(mut worker: Worker, mut queue: mpsc::Receiver<Job>, sender: Sender, id: String) {
    while let Some(job) = queue.recv().await {
        let Job { request_id, researcher, request, dataset, deadline, cancel } = job;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || cancel.is_cancelled() {
            continue;
        }
        tracing::info!(
            "{:?} of round {} of experiment {} for researcher {researcher}, plan {}",
            request.mode,
            request.round,
            request.experiment_id,
            request.plan.sha256,
        );
        let say = {
            let (sender, id, researcher) = (sender.clone(), id.clone(), researcher.clone());
            move |progress: fedwasm_protocol::Progress| {
                let envelope = envelope(&id, progress.request_id.clone(), Body::Progress(progress));
                sender.try_send(topic::researcher(&researcher), &envelope);
            }
        };
        let round = request.round;
        let (asked, who) = (request_id.clone(), researcher.clone());
        let run = worker.run(asked, who, request, dataset, cancel.clone(), say);
        let body = match tokio::time::timeout(left, run).await {
            Ok(Ok(reply)) => Body::RoundReply(Box::new(reply)),
            // It may have been asked for again, under the same id: an answer
            // to the first asking would be taken for one to the second.
            Ok(_) if cancel.is_cancelled() => {
                tracing::info!("the researcher no longer waits for round {round}");
                continue;
            }
            Ok(Err(refused)) => {
                tracing::warn!("refused ({}): {}", refused.reason, refused.message);
                Body::Refused(refused)
            }
            Err(_) => {
                cancel.cancel();
                let message = "the deadline passed before the round was done".to_owned();
                tracing::warn!("{message}");
                Body::Refused(refusal(Reason::Expired, message))
            }
        };
        send(&sender, &id, &researcher, request_id, body).await;
    }
}

fn envelope(id: &str, request_id: RequestId, body: Body) -> Envelope {
    let sender = id.to_owned();
    Envelope { version: PROTOCOL_VERSION, request_id, sender, deadline_ms: 0, body }
}

async fn send(
    sender: &Sender,
    id: &str,
    researcher: &ResearcherId,
    request_id: RequestId,
    body: Body,
) {
    let topic = topic::researcher(researcher);
    let reply = envelope(id, request_id.clone(), body);
    let sent = match sender.send(topic.clone(), &reply).await {
        Err(fedwasm_transport::Error::Envelope(error)) => {
            let body = Body::Refused(refusal(Reason::Internal, format!("its reply: {error}")));
            sender.send(topic, &envelope(id, request_id, body)).await
        }
        sent => sent,
    };
    if let Err(error) = sent {
        tracing::error!("a reply cannot be sent: {error}");
    }
}
