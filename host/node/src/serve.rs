//! The loop that owns the node's connection.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fedwasm_folder::Folder;
use fedwasm_protocol::{
    ApprovalRequest, Body, Columns, DatasetId, Digest, Header, MESSAGE_BYTES_MAX, Message,
    Participant, Payload, Presence, Reason, Recipient, Refusal, RequestId, ResearcherId,
    RoundRequest, SearchReply, SessionId,
};
use fedwasm_sandbox::{Cancel, Sandbox};
use fedwasm_transport::{
    BrokerUrl, Incoming, Link, LinkOptions, Mqtt, Repository, Sender, join, now_ms,
};
use fedwasm_trust::{Member, Outgoing, Refused, SKEW_MS, Standing};
use serde_json::json;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::approval::Approvals;
use crate::ask::Clerk;
use crate::compiler::{self, Compiler, profile};
use crate::queue::Queue;
use crate::rate::{Rate, Turn};
use crate::reach::reach;
use crate::receipt::Receipts;
use crate::round::{Workshop, refusal};
use crate::trace::{End, Trace};
use crate::worker::{Worker, blob_refusal};
use crate::{Database, Datasets, Error, NodeConfig, demands};

/// How often leases are looked at while one lasts.
const LEASE_LOOKS: u32 = 8;
/// Questions about plans that are answered at once.
const QUESTIONS_MAX: usize = 8;
/// How long names of columns may take to the repository: a search waits no longer.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(8);
/// How long workers of a plan that nobody asks for stay.
const UNUSED_TIME_MAX: Duration = Duration::from_secs(300);
/// How long a transfer is tried again while the repository does not answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between greetings that show the clock.
const GREETING_PAUSE: Duration = Duration::from_secs(1);
/// From this difference of clocks on the log says so.
const CLOCK_WARNING_MS: u64 = 60_000;
/// The longest time that a researcher may ask for.
const DEADLINE_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Who asked for something, and for what.
#[derive(Clone, Debug)]
struct Asked {
    /// Whom the answer is for.
    from: Recipient,
    /// The connection that it came over.
    connection: u64,
    /// The researcher's id.
    researcher: ResearcherId,
    request_id: RequestId,
    /// What the answer names.
    digest: Digest,
}

impl Asked {
    fn session(&self) -> (Participant, SessionId) {
        (self.from.participant.clone(), self.from.session.clone())
    }

    fn of(header: &Header, digest: Digest) -> Option<Self> {
        let Header { sender, session, connection, request_id, .. } = header;
        let from = Recipient { participant: sender.clone(), session: session.clone() };
        let (connection, request_id) = (*connection, request_id.clone());
        let researcher = sender.researcher_id()?;
        Some(Self { from, connection, researcher, request_id, digest })
    }
}

/// A round that was asked for.
struct Job {
    asked: Asked,
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
    serve_in(None, dir, ready, stop).await
}

/// As [`serve`], over a connection and in a sandbox of the caller's own instead of those that the
/// configuration names: another network, such as one in memory.
///
/// # Errors
/// As [`serve`].
pub async fn serve_on(
    (link, sandbox): (LinkOptions, Sandbox),
    dir: &Path,
    ready: impl FnOnce(&NodeConfig),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    serve_in(Some((link, sandbox)), dir, ready, stop).await
}

async fn serve_in(
    given: Option<(LinkOptions, Sandbox)>,
    dir: &Path,
    ready: impl FnOnce(&NodeConfig),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let (config, folder) = NodeConfig::open(dir)?;
    // What opens commitments lies in it, and scales and states that follow from rows.
    folder.check_private()?;
    let running = || Error::Running { id: config.id.clone(), dir: dir.to_owned() };
    let _lock = folder.lock("lock")?.ok_or_else(running)?;
    let folder = Arc::new(folder);
    Datasets::load(&folder)?;
    let mut stop = std::pin::pin!(stop);
    let (options, sandbox) = match given {
        Some((options, sandbox)) => (Some(options), sandbox.with_profile(profile(&config))),
        None => {
            let sandbox = sandbox(&config, dir).await?;
            (take_part(&config, dir, &mut stop).await?, sandbox)
        }
    };
    let Some(options) = options else { return Ok(()) };
    let LinkOptions { member, repository, .. } = options.clone();
    if member.roster().key(member.participant()) != Some(member.key().public()) {
        return Err(Error::Revoked { id: config.id.clone() });
    }
    if let Some(age) = config.roster_age_max_s {
        member.set_roster_age_max(Duration::from_secs(age));
    }
    let database = Database::of_member(dir, &member)?;
    database.check_decisions()?;
    let approvals = Approvals::new(dir, config.approval.clone(), database.clone())?;
    let rules = json!({
        "approval": approvals.rules(), "limits": config.limits, "strict": config.strict,
        "force_secure_aggregation": config.force_secure_aggregation,
        "privacy": config.privacy,
    });
    database.record_policy(&rules, now_ms())?;
    let connected = reach(&mut stop, || {
        let options = options.clone();
        async move { Ok(Link::connect(options).await?) }
    });
    let Some(mut link) = connected.await? else { return Ok(()) };
    let compiler = Compiler::new(sandbox.clone(), config.limits.clone());
    let (limits, room) = (config.limits.clone(), config.experiments_bytes_max);
    let workshop = Workshop::new(sandbox, config.strict, limits, room, Some(database.clone()));
    let worker = Worker {
        node: config.id.clone(),
        folder: Arc::clone(&folder),
        // A repository that is started anew costs no round.
        repository: repository.patient(PATIENCE),
        workshop: Arc::new(Mutex::new(workshop)),
        compiler: compiler.clone(),
        params: Mutex::default(),
        params_bytes_max: config.limits.declared_bytes_max as u64 + (1 << 20),
        approvals: approvals.clone(),
        receipts: Receipts::new(database.clone(), config.inputs_bytes_max),
        federation: member.membership().federation.clone(),
        free_bytes_min: config.free_bytes_min,
        privacy: config.privacy,
    };
    let clerk = Clerk {
        approvals,
        database,
        repository: repository.clone(),
        compiler: compiler.clone(),
        expecting: Arc::new(Semaphore::new(1)),
        noted: Arc::default(),
    };
    let jobs = Arc::new(Queue::new());
    let round_time_max = Duration::from_secs(config.round_s_max);
    let work = Work {
        worker,
        queue: Arc::clone(&jobs),
        running: Mutex::default(),
        freed: Notify::new(),
        sender: link.sender(),
        database: clerk.database.clone(),
        refused: Mutex::default(),
        round_time_max,
        rounds_max: config.rounds_max.max(1),
        turn: Duration::from_secs(config.turn_s.max(1)),
    };
    let work = tokio::spawn(Arc::new(work).run());
    let pause = Duration::from_secs(config.roster_refresh_s.max(1));
    let revoked = Arc::new(Notify::new());
    let changed = Arc::clone(&revoked);
    member.on_roster_change(move |_| changed.notify_one());
    let refresh = tokio::spawn(refresh_roster(repository, Arc::clone(&member), pause));
    ready(&config);
    let mut node = Node {
        folder,
        jobs,
        cancels: HashMap::new(),
        clerk,
        questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
        refused: Rate::default(),
        member,
        heard: HashMap::new(),
        lease: Duration::from_secs(config.lease_s.max(1)),
        greeted: None,
        started_ms: now_ms(),
        sender: link.sender(),
        force_secagg: config.force_secure_aggregation,
        memory_mib_max: config.memory_mib_max,
    };
    let mut leases = tokio::time::interval(node.lease / LEASE_LOOKS);
    leases.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let result = loop {
        let incoming = tokio::select! {
            () = &mut stop => break Ok(()),
            _ = leases.tick() => {
                node.end_leases();
                continue;
            }
            () = revoked.notified() => {
                node.call_off_revoked();
                continue;
            }
            incoming = link.next() => incoming,
        };
        match incoming {
            Some(Incoming::Message(message)) if node.is_rival(&message) => {
                break Err(Error::Copy { id: config.id.clone(), dir: dir.to_owned() });
            }
            Some(Incoming::Message(message)) => node.handle(*message).await,
            Some(Incoming::Refused { topic, refused }) => {
                if matches!(refused, Refused::Expired { .. } | Refused::Future { .. }) {
                    node.show_clock().await;
                }
                let who = topic.map_or("somebody".to_owned(), |topic| topic.to_string());
                node.note_refused(&who, &refused.to_string());
            }
            Some(Incoming::Lost { reason }) => {
                // Our will ends the wait of everybody: nobody waits for these rounds.
                node.cancel_all();
                tracing::warn!("the broker is gone: {reason}");
            }
            Some(Incoming::Restored) => tracing::info!("connected to the broker"),
            Some(Incoming::Closed(error)) => break Err(error.into()),
            None => break Err(fedwasm_transport::Error::Closed.into()),
        }
    };
    node.cancel_all();
    compiler.stop();
    drop(node);
    link.close().await;
    work.abort();
    refresh.abort();
    result
}

/// Joins the federation that the configuration names; none if `stop` resolves before.
async fn take_part(
    config: &NodeConfig,
    dir: &Path,
    stop: &mut Pin<&mut impl Future<Output = ()>>,
) -> Result<Option<LinkOptions>, Error> {
    let mqtt: BrokerUrl = config.mqtt.parse()?;
    let url = config.repository.parse()?;
    let joined = reach(stop, || {
        let (identity, url) = (config.identity(dir), &url);
        async move { Ok(join(identity?, url).await?) }
    });
    let Some((member, repository)) = joined.await? else { return Ok(None) };
    let messages = Arc::new(Mqtt::new(mqtt, Arc::clone(&member)));
    Ok(Some(LinkOptions::new(messages, member, repository)))
}

/// Where plans run: in workers, whose protections are looked at once, so that
/// a node that cannot run plans does not say that it serves.
async fn sandbox(config: &NodeConfig, dir: &Path) -> Result<Sandbox, Error> {
    let sandbox = compiler::sandbox(config, dir)?;
    let checked = tokio::task::spawn_blocking(move || {
        sandbox.protections()?;
        Ok(sandbox)
    });
    checked.await.map_err(|error| Error::Io(std::io::Error::other(error)))?
}

/// Learns who was revoked.
async fn refresh_roster(repository: Repository, member: Arc<Member>, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        match repository.refresh_roster(&member).await {
            Ok(true) => {
                let roster = member.roster();
                tracing::info!("the roster is now number {}", roster.serial);
                if roster.key(member.participant()) != Some(member.key().public()) {
                    tracing::error!(
                        "the key of this node was revoked: nobody believes it any more; the \
                         operator's guide says how to make and enrol another one"
                    );
                }
            }
            Ok(false) => {}
            Err(error) => tracing::warn!("the roster stays as it is: {error}"),
        }
        // Whoever serves the roster may hold a newer one back, and with it who was revoked.
        match member.standing(now_ms()) {
            Standing::Fresh => {}
            Standing::Ageing { age } => tracing::warn!(
                "the roster was signed {} hours ago; its authority or the repository gives no \
                 newer one",
                age.as_secs() / 3_600
            ),
            Standing::Expired { age } => {
                let error = fedwasm_trust::Error::ExpiredRoster { age };
                tracing::error!("{error}; until then nobody is believed");
            }
        }
    }
}

/// Looks at messages; never waits for a round.
struct Node {
    folder: Arc<Folder>,
    jobs: Arc<Queue<Job>>,
    /// Who waits for each round, and how it is called off.
    cancels: HashMap<RequestId, (Asked, Cancel)>,
    clerk: Clerk,
    /// Questions about plans that may be under way.
    questions: Arc<Semaphore>,
    /// Messages that were refused, by topic.
    refused: Rate,
    /// Who is believed.
    member: Arc<Member>,
    /// When each session that waits for a round was last heard.
    heard: HashMap<(Participant, SessionId), Instant>,
    /// How long a round is worked for without a sign of life from who asked for it.
    lease: Duration,
    /// When it last greeted for the sake of its clock.
    greeted: Option<Instant>,
    /// When it began to serve.
    started_ms: u64,
    sender: Sender,
    force_secagg: bool,
    memory_mib_max: u64,
}

impl Node {
    /// Writes down that a message was refused; a flood is counted and does not fill the log.
    fn note_refused(&mut self, who: &str, why: &str) {
        let Turn::Write { is_last, left_out } = self.refused.take(who, now_ms() / 60_000) else {
            return;
        };
        tracing::warn!("a message over the topic of {who} is refused: {why}");
        let database = self.clerk.database.clone();
        let fields = json!({
            "topic": who, "reason": why, "more_are_not_recorded": is_last, "left_out": left_out,
        });
        tokio::task::spawn_blocking(move || {
            if let Err(error) = database.record(now_ms(), "message-refused", &fields) {
                tracing::error!("the log: {error}");
            }
        });
    }

    /// Calls rounds off whose researchers were not heard for too long: they left without a
    /// word, and others wait.
    fn end_leases(&mut self) {
        self.cancels.retain(|_, (_, cancel)| !cancel.is_unused());
        for (asked, cancel) in self.cancels.values().filter(|(_, cancel)| !cancel.is_cancelled()) {
            let heard = self.heard.get(&asked.session());
            if heard.is_none_or(|heard| heard.elapsed() > self.lease) {
                let (who, s) = (&asked.from.participant, self.lease.as_secs());
                tracing::warn!("{who} was not heard for {s} s: its round is called off");
                cancel.cancel();
            }
        }
        let waits: HashSet<_> = self.cancels.values().map(|(asked, _)| asked.session()).collect();
        self.heard.retain(|session, _| waits.contains(session));
        self.jobs.retain(|job| !job.cancel.is_cancelled());
    }

    /// Calls rounds off whose researchers' keys count no longer: nothing more is sent to them.
    fn call_off_revoked(&self) {
        let roster = self.member.roster();
        for (asked, cancel) in self.cancels.values() {
            if roster.key(&asked.from.participant).is_none() && !cancel.is_cancelled() {
                let who = &asked.from.participant;
                tracing::warn!("the key of {who} was revoked: its round is called off");
                cancel.cancel();
            }
        }
        self.jobs.retain(|job| !job.cancel.is_cancelled());
    }

    /// Whether another program with this node's key, of another directory, was here before
    /// this one. Each throws the other out of the broker, so both have connected anew since
    /// this one started; the one that came first counts more connections. Anything older than
    /// this program is no sign of life.
    fn is_rival(&self, message: &Message) -> bool {
        let Header { session, connection, issued_ms, .. } = &message.header;
        let own = self.sender.connection();
        matches!(message.body, Body::Presence(_))
            && *session != self.sender.me().session
            && own > 1
            && *connection >= own
            && *issued_ms > self.started_ms
    }

    /// Greets, so that whoever says what is of another time for this node learns what time it
    /// is here.
    async fn show_clock(&mut self) {
        if self.greeted.is_some_and(|at| at.elapsed() < GREETING_PAUSE) {
            return;
        }
        self.greeted = Some(Instant::now());
        self.greet().await;
    }

    async fn greet(&self) {
        if let Err(error) = self.sender.greet().await {
            tracing::warn!("no presence: {error}");
        }
    }

    fn cancel_all(&self) {
        self.cancels.values().for_each(|(_, cancel)| cancel.cancel());
    }

    /// A researcher left or lost its connection: nobody waits for what was asked over it.
    fn call_off(&self, header: &Header) {
        let is_over = |asked: &Asked| {
            asked.from.participant == header.sender
                && asked.from.session == header.session
                && asked.connection <= header.connection
        };
        let over = self.cancels.values().filter(|(asked, _)| is_over(asked));
        over.for_each(|(_, cancel)| cancel.cancel());
    }

    async fn handle(&mut self, message: Message) {
        let Message { header, digest, body } = message;
        match body {
            // The will of a connection that broke can arrive after the greeting
            // of the one that followed, and a presence of long ago can be said again; then the
            // greeting is.
            Body::Presence(Presence { online }) => {
                if !online || header.session != self.sender.me().session {
                    self.greet().await;
                }
                return;
            }
            Body::Farewell => return self.call_off(&header),
            _ => {}
        }
        if let Some(heard) = self.heard.get_mut(&(header.sender.clone(), header.session.clone())) {
            *heard = Instant::now();
        }
        let Some(asked) = Asked::of(&header, digest) else {
            return tracing::warn!("a {} of {} is ignored", header.kind, header.sender);
        };
        let reply = match body {
            Body::Search(request) => {
                let ms = now_ms().abs_diff(header.issued_ms);
                if ms > CLOCK_WARNING_MS {
                    let (who, s) = (&header.sender, ms / 1_000);
                    let side = if header.issued_ms > now_ms() { "ahead of" } else { "behind" };
                    tracing::warn!(
                        "the clock of {who} is {s} s {side} this one; beyond {} s nothing is believed",
                        SKEW_MS / 1_000
                    );
                }
                self.search(&asked, &request.tags)
            }
            Body::Round(request) => {
                let deadline = Duration::from_millis(header.deadline_ms).min(DEADLINE_MAX);
                self.enqueue(asked.clone(), *request, deadline).err().map(Body::Refused)
            }
            // Only who asked for a round may call it off.
            Body::Cancel => {
                let known = self.cancels.get(&asked.request_id);
                if let Some((_, cancel)) = known.filter(|(known, _)| known.from == asked.from) {
                    cancel.cancel();
                }
                None
            }
            Body::Ping => Some(Body::Pong),
            Body::Approval(request) => self.ask(&asked, request),
            _ => return tracing::warn!("a {} is ignored", header.kind),
        };
        if let Some(body) = reply {
            let _ = send(&self.sender, &asked, body).await;
        }
    }

    /// Has a question about a plan answered, which may take a while.
    fn ask(&self, asked: &Asked, request: ApprovalRequest) -> Option<Body> {
        let Ok(permit) = Arc::clone(&self.questions).try_acquire_owned() else {
            let text = format!("{QUESTIONS_MAX} questions about plans wait already");
            return Some(Body::Refused(refusal(Reason::Busy, text)));
        };
        let (clerk, sender, asked) = (self.clerk.clone(), self.sender.clone(), asked.clone());
        tokio::spawn(async move {
            let plan = request.plan.sha256;
            let answer = clerk.answer(asked.researcher.clone(), request).await;
            clerk.note_asked(&asked.from.participant, &plan, &answer);
            let _ = send(&sender, &asked, answer).await;
            drop(permit);
        });
        None
    }

    /// Answers at once, or later if names of columns have to be stored first.
    fn search(&self, asked: &Asked, tags: &[String]) -> Option<Body> {
        let mut datasets = match Datasets::load(&self.folder) {
            Ok(datasets) => datasets.search(tags),
            Err(error) => {
                tracing::error!("{error}");
                let text = "the registry cannot be read".to_owned();
                return Some(Body::Refused(refusal(Reason::Internal, text)));
            }
        };
        // Half of a message is room for everything else.
        let (mut room, mut wide) = (MESSAGE_BYTES_MAX / 2, Vec::new());
        for dataset in &mut datasets {
            match room.checked_sub(dataset.columns_bytes()) {
                Some(left) => room = left,
                None => wide.push((dataset.dataset_id.clone(), Columns::take(dataset))),
            }
        }
        if wide.is_empty() {
            return Some(Body::SearchReply(SearchReply { datasets, columns: [].into() }));
        }
        let Ok(permit) = Arc::clone(&self.questions).try_acquire_owned() else {
            let text = format!("{QUESTIONS_MAX} questions wait already");
            return Some(Body::Refused(refusal(Reason::Busy, text)));
        };
        let (sender, asked) = (self.sender.clone(), asked.clone());
        let reader = Participant::researcher(&asked.researcher);
        let repository = self.clerk.repository.for_recipients(vec![reader]);
        tokio::spawn(async move {
            let stored = tokio::time::timeout(SEARCH_TIME_MAX, store_columns(&repository, wide));
            let body = match stored.await {
                Ok(Ok(columns)) => Body::SearchReply(SearchReply { datasets, columns }),
                Ok(Err(refused)) => Body::Refused(refused),
                Err(_) => {
                    let text = "the names of its columns could not be stored in time".to_owned();
                    Body::Refused(refusal(Reason::Blob, text))
                }
            };
            let _ = send(&sender, &asked, body).await;
            drop(permit);
        });
        None
    }

    fn enqueue(
        &mut self,
        asked: Asked,
        request: RoundRequest,
        deadline: Duration,
    ) -> Result<(), Refusal> {
        demands::check(&request, self.force_secagg, self.memory_mib_max)?;
        let internal = |_| refusal(Reason::Internal, "the registry cannot be read".into());
        let datasets = Datasets::load(&self.folder).map_err(internal)?;
        let Some(dataset) = datasets.find(&request.dataset_id).cloned() else {
            let message = format!("there is no dataset `{}`", request.dataset_id);
            return Err(refusal(Reason::Dataset, message));
        };
        dataset.check_columns(&request.data)?;
        let cancel = Cancel::new();
        // Handles of rounds that are over are held by nobody else.
        self.cancels.retain(|_, (_, cancel)| !cancel.is_unused());
        if let Some((known, cancel)) = self.cancels.get_mut(&asked.request_id)
            && !cancel.is_cancelled()
        {
            // Said again after a broken connection, which no longer matters; the answer is on
            // its way.
            if known.from == asked.from {
                known.connection = known.connection.max(asked.connection);
            }
            return Ok(());
        }
        let deadline = Instant::now() + deadline;
        let job = Job { asked: asked.clone(), request, dataset, deadline, cancel: cancel.clone() };
        let pushed = self.jobs.push(&asked.researcher, job);
        pushed.map_err(|full| refusal(Reason::Busy, full.to_string()))?;
        self.heard.insert(asked.session(), Instant::now());
        self.cancels.insert(asked.request_id.clone(), (asked, cancel));
        Ok(())
    }
}

/// Stores the columns of datasets that have too many for a message.
async fn store_columns(
    repository: &Repository,
    wide: Vec<(DatasetId, Columns)>,
) -> Result<BTreeMap<DatasetId, Payload>, Refusal> {
    let mut stored = BTreeMap::new();
    for (dataset, columns) in wide {
        let bytes = columns.encode().map_err(|text| refusal(Reason::Dataset, text))?;
        let blob = repository.put(bytes).await.map_err(blob_refusal)?;
        stored.insert(dataset, Payload::stored(blob));
    }
    Ok(stored)
}

/// Runs rounds: some at once, of each researcher one.
struct Work {
    worker: Worker,
    queue: Arc<Queue<Job>>,
    running: Mutex<Vec<Running>>,
    /// A round ended.
    freed: Notify,
    sender: Sender,
    database: Database,
    /// Rounds that never began, by researcher.
    refused: Mutex<Rate>,
    /// The most time of a round, whatever its deadline.
    round_time_max: Duration,
    /// Rounds that run at once.
    rounds_max: usize,
    /// How long a round runs while nobody else's can.
    turn: Duration,
}

/// The place of a round among those that run: given back however the round ends, or its
/// researcher would have no other one.
struct Slot {
    researcher: ResearcherId,
    work: Arc<Work>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.work.running().retain(|running| running.researcher != self.researcher);
        self.work.freed.notify_one();
    }
}

/// A round that runs.
struct Running {
    researcher: ResearcherId,
    since: Instant,
    /// Its turn is over.
    over: Arc<Notify>,
}

impl Work {
    async fn run(self: Arc<Self>) {
        let mut rounds = JoinSet::new();
        loop {
            let next = tokio::time::timeout(UNUSED_TIME_MAX, self.next()).await;
            // Those that are done are nobody's any more.
            while rounds.try_join_next().is_some() {}
            let this = Arc::clone(&self);
            // Beside: a round that reads its data has the workshop for a while.
            rounds.spawn(async move { this.worker.drop_unused(UNUSED_TIME_MAX).await });
            let Ok((job, over)) = next else { continue };
            let this = Arc::clone(&self);
            rounds.spawn(async move {
                let slot = Slot { researcher: job.asked.researcher.clone(), work: this };
                slot.work.round(job, &over).await;
            });
        }
    }

    /// The next round that may begin, once there is one. A round that took its turn makes room if
    /// somebody waits who has none.
    async fn next(&self) -> (Job, Arc<Notify>) {
        loop {
            let (arrived, freed) = (self.queue.arrived(), self.freed.notified());
            let mut wait = Duration::MAX;
            {
                let mut running = self.running();
                let may = |who: &ResearcherId| running.iter().all(|r| r.researcher != *who);
                if running.len() < self.rounds_max {
                    if let Some(job) = self.queue.try_pop(may) {
                        let (since, over) = (Instant::now(), Arc::new(Notify::new()));
                        let researcher = job.asked.researcher.clone();
                        running.push(Running { researcher, since, over: Arc::clone(&over) });
                        return (job, over);
                    }
                } else if self.queue.has(may)
                    && let Some(oldest) = running.iter().min_by_key(|running| running.since)
                {
                    wait = self.turn.saturating_sub(oldest.since.elapsed());
                    if wait.is_zero() {
                        oldest.over.notify_one();
                        wait = self.turn;
                    }
                }
            }
            tokio::select! {
                () = arrived => {}
                () = freed => {}
                () = tokio::time::sleep(wait.min(DEADLINE_MAX)) => {}
            }
        }
    }

    fn running(&self) -> MutexGuard<'_, Vec<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn round(&self, job: Job, over: &Notify) {
        let Job { asked, request, dataset, deadline, cancel } = job;
        let left = deadline.saturating_duration_since(Instant::now()).min(self.round_time_max);
        tracing::info!(
            "{:?} of round {} of experiment {} for {}, plan {}",
            request.mode,
            request.round,
            request.experiment_id,
            asked.from.participant,
            request.plan.sha256,
        );
        let say = {
            let (sender, asked) = (self.sender.clone(), asked.clone());
            move |progress: fedwasm_protocol::Progress| {
                let body = Body::Progress(progress);
                sender.try_send(&asked.from, answer(&asked, &body));
            }
        };
        let round = request.round;
        let who = &asked.from.participant;
        let trace = Arc::new(Trace::new(self.database.clone(), who, &asked.digest, &request));
        if cancel.is_cancelled() {
            return self.end(&asked, &trace, End::Refused, None, None).await;
        }
        if left.is_zero() {
            let message = "the deadline passed before the round began".to_owned();
            let body = Body::Refused(refusal(Reason::Expired, message.clone()));
            return self.end(&asked, &trace, End::Refused, Some(message), Some(body)).await;
        }
        let id = (asked.request_id.clone(), asked.digest, left);
        let (who, ends) = (asked.researcher.clone(), (cancel.clone(), Arc::clone(&trace)));
        let run = self.worker.run(id, who, request, dataset, ends, say);
        let run = async {
            tokio::select! {
                done = run => Some(done),
                () = over.notified() => None,
            }
        };
        let (end, reason, body) = match tokio::time::timeout(left, run).await {
            Ok(None) => {
                cancel.cancel();
                let s = self.turn.as_secs();
                let message = format!("the round took its turn of {s} s, and others wait");
                tracing::warn!("{message}");
                let refused = refusal(Reason::Busy, message.clone());
                (End::CalledOff, Some(message), Some(Body::Refused(refused)))
            }
            // It may have been asked for again, under the same id: an answer
            // to the first asking would be taken for one to the second.
            Ok(Some(_)) if cancel.is_cancelled() => {
                tracing::info!("the researcher no longer waits for round {round}");
                (End::CalledOff, None, None)
            }
            Ok(Some(Ok(reply))) => (End::Delivered, None, Some(Body::RoundReply(Box::new(reply)))),
            Ok(Some(Err(refused))) => {
                tracing::warn!("refused ({}): {}", refused.reason, refused.message);
                let reason = refused.message.clone();
                (trace.end_of(&refused), Some(reason), Some(Body::Refused(refused)))
            }
            Err(_) => {
                cancel.cancel();
                let message = "the deadline passed before the round was done".to_owned();
                tracing::warn!("{message}");
                let refused = refusal(Reason::Expired, message.clone());
                (End::Expired, Some(message), Some(Body::Refused(refused)))
            }
        };
        self.end(&asked, &trace, end, reason, body).await;
    }

    /// Says how a round ended, and writes it down.
    async fn end(
        &self,
        asked: &Asked,
        trace: &Arc<Trace>,
        end: End,
        reason: Option<String>,
        body: Option<Body>,
    ) {
        // What is told from now on would be in no entry.
        trace.close();
        let sent = match body {
            Some(body) => send(&self.sender, asked, body).await,
            None => Ok(()),
        };
        let (end, reason) = match (end, sent) {
            (End::Delivered, Err(error)) => (End::NotDelivered, Some(error.to_string())),
            (end, _) => (end, reason),
        };
        let mut left_out = 0;
        if end == End::Refused {
            let who = asked.researcher.as_str();
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            match refused.take(who, now_ms() / 60_000) {
                Turn::Write { left_out: n, .. } => left_out = n,
                Turn::Count => return,
            }
        }
        let trace = Arc::clone(trace);
        // Before the next round: entries are in the order in which things happened.
        let ended =
            tokio::task::spawn_blocking(move || trace.end(end, reason.as_deref(), left_out)).await;
        if let Ok(Err(error)) = ended {
            tracing::error!("the log: {error}");
        }
    }
}

fn answer<'a>(asked: &Asked, body: &'a Body) -> Outgoing<'a> {
    Outgoing {
        recipient: Some(asked.from.clone()),
        request_id: asked.request_id.clone(),
        in_reply_to: Some(asked.digest),
        deadline: Duration::ZERO,
        body,
    }
}

async fn send(sender: &Sender, asked: &Asked, body: Body) -> Result<(), fedwasm_transport::Error> {
    let sent = match sender.send(&asked.from, answer(asked, &body)).await {
        // Too large: whoever waits must learn that nothing else comes.
        Err(fedwasm_transport::Error::Trust(error)) => {
            let text = format!("its reply: {error}");
            let body = Body::Refused(refusal(Reason::Internal, text.clone()));
            let sent = sender.send(&asked.from, answer(asked, &body)).await;
            sent.and(Err(fedwasm_transport::Error::Trust(error)))
        }
        sent => sent,
    };
    if let Err(error) = &sent {
        tracing::warn!("a reply is lost: {error}");
    }
    sent.map(drop)
}
