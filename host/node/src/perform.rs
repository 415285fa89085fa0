//! Carries out the handler's decisions: sends, runs rounds, reads, writes. The result of each task
//! goes back to the handler as an event. Decides nothing.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fedwasm_folder::Folder;
use fedwasm_protocol::{
    ApprovalRequest, Body, Columns, DatasetId, Participant, Payload, Progress, Reason, Refusal,
    SearchReply, SecaggRequest, StatisticsRequest,
};
use fedwasm_sandbox::Cancel;
use fedwasm_transport::{Repository, Sender, now_ms};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, Id, JoinSet};

use crate::ask::Clerk;
use crate::asked::Asked;
use crate::executor::{Assignment, Executor};
use crate::handler::{
    About, Action, Ending, Entry, Event, Handler, Inquiry, Now, Ran, Start, Ticket,
    UNUSED_TIME_MAX, WideSearch,
};
use crate::refusal::{blob_refusal, refusal};
use crate::secagg::Summer;
use crate::statistics::Statistician;
use crate::trace::{End, Trace};
use crate::{Database, Datasets};

/// How long names of columns may take to the repository: a search waits no longer.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(8);
/// How long an entry of the log waits for the next one.
const LATER_TIME_MAX: Duration = Duration::from_secs(1);

/// Another program serves as this node.
#[derive(Debug)]
pub(crate) struct Rival;

/// Carries out actions.
pub(crate) struct Performer {
    handler: Handler,
    folder: Arc<Folder>,
    executor: Arc<Executor>,
    clerk: Clerk,
    summer: Summer,
    statistician: Statistician,
    repository: Repository,
    database: Database,
    sender: Sender,
    /// Told when an entry of the log waits for the next one.
    later: Arc<Notify>,
    /// Rounds that run: as many as the handler starts.
    rounds: HashMap<Ticket, Round>,
    tasks: JoinSet<Option<Event>>,
    /// The event of a task that ends early.
    unsaid: HashMap<Id, Event>,
}

/// A round that runs.
struct Round {
    asked: Asked,
    trace: Arc<Trace>,
    cancel: Cancel,
    task: Option<AbortHandle>,
}

/// The current time.
pub(crate) fn now() -> Now {
    Now { at: Instant::now(), unix_ms: now_ms() }
}

impl Performer {
    pub(crate) fn new(
        handler: Handler,
        folder: Arc<Folder>,
        executor: Executor,
        (clerk, summer, statistician): (Clerk, Summer, Statistician),
        sender: Sender,
    ) -> Self {
        let (database, repository) = (clerk.database.clone(), clerk.repository.clone());
        Self {
            handler,
            folder,
            executor: Arc::new(executor),
            clerk,
            summer,
            statistician,
            repository,
            database,
            sender,
            later: Arc::default(),
            rounds: HashMap::new(),
            tasks: JoinSet::new(),
            unsaid: HashMap::new(),
        }
    }

    /// Writes the entries of the log that wait, a moment after the first one began to.
    pub(crate) fn write_later(&self) -> impl Future<Output = ()> + Send + 'static {
        let (database, later) = (self.database.clone(), Arc::clone(&self.later));
        async move {
            loop {
                later.notified().await;
                tokio::time::sleep(LATER_TIME_MAX).await;
                flush(&database).await;
            }
        }
    }

    /// Writes the entries of the log that wait.
    pub(crate) async fn flush(&self) {
        flush(&self.database).await;
    }

    /// When time has to pass if nothing else happens.
    pub(crate) fn next(&self) -> tokio::time::Instant {
        self.handler.next().into()
    }

    /// The event of the next task that is done; none without tasks. Dropping the future loses
    /// nothing.
    pub(crate) async fn done(&mut self) -> Option<Event> {
        while let Some(done) = self.tasks.join_next_with_id().await {
            let event = match done {
                Ok((id, event)) => {
                    self.unsaid.remove(&id);
                    event
                }
                // One that was aborted has nothing left to say.
                Err(error) => {
                    let unsaid = self.unsaid.remove(&error.id());
                    if unsaid.is_some() {
                        tracing::error!("a task ended early: {error}");
                    }
                    unsaid
                }
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// Lets the handler decide about an event, and carries out its actions.
    pub(crate) async fn feed(&mut self, event: Event) -> Result<(), Rival> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            if let Event::Ended(ticket) = &event {
                self.rounds.remove(ticket);
            }
            for action in self.handler.handle(event, now()) {
                match action {
                    Action::Greet => self.greet().await,
                    Action::Send { asked, body } => {
                        let _ = send(&self.sender, &asked, body).await;
                    }
                    Action::ReadDatasets(inquiry) => events.push_back(self.read_datasets(inquiry)),
                    Action::AnswerApproval { asked, request } => self.answer(asked, request),
                    Action::AnswerStep { asked, request } => self.answer_step(asked, request),
                    Action::AnswerStatistics { asked, request } => {
                        self.answer_statistics(asked, *request);
                    }
                    Action::StoreColumns(search) => self.store_columns(search),
                    Action::Start(start) => self.start(*start),
                    Action::CallOff(ticket) => {
                        if let Some(round) = self.rounds.get(&ticket) {
                            round.cancel.cancel();
                        }
                    }
                    Action::End(ending) => self.end(ending),
                    Action::Record { kind, fields } => self.record(kind, fields),
                    Action::DropUnused => self.drop_unused(),
                    Action::GiveWay => return Err(Rival),
                }
            }
        }
        Ok(())
    }

    fn spawn(
        &mut self,
        unsaid: Option<Event>,
        task: impl Future<Output = Option<Event>> + Send + 'static,
    ) -> AbortHandle {
        let handle = self.tasks.spawn(task);
        if let Some(unsaid) = unsaid {
            self.unsaid.insert(handle.id(), unsaid);
        }
        handle
    }

    async fn greet(&self) {
        if let Err(error) = self.sender.greet().await {
            tracing::warn!("the presence could not be sent: {error}");
        }
    }

    fn read_datasets(&self, inquiry: Inquiry) -> Event {
        Event::Datasets { inquiry, datasets: Datasets::load(&self.folder) }
    }

    /// Has a question about a plan answered, which may take a while.
    fn answer(&mut self, asked: Asked, request: ApprovalRequest) {
        let clerk = self.clerk.clone();
        self.spawn(Some(Event::Unanswered), async move {
            let about = About::Plan(request.plan.sha256);
            let answer = clerk.answer(asked.researcher.clone(), request).await;
            Some(Event::Answered { asked, about, answer })
        });
    }

    /// Has a step of a secure sum answered.
    fn answer_step(&mut self, asked: Asked, request: SecaggRequest) {
        let summer = self.summer.clone();
        self.spawn(Some(Event::Unanswered), async move {
            let answer = summer.answer(asked.researcher.clone(), request).await;
            Some(Event::Answered { asked, about: About::Sum, answer })
        });
    }

    /// Has columns of a dataset summed up.
    fn answer_statistics(&mut self, asked: Asked, request: StatisticsRequest) {
        let statistician = self.statistician.clone();
        self.spawn(Some(Event::Unanswered), async move {
            let answer = statistician.answer(&asked, request).await;
            Some(Event::Answered { asked, about: About::Statistics, answer })
        });
    }

    fn store_columns(&mut self, search: WideSearch) {
        let WideSearch { asked, datasets, wide } = search;
        let reader = Participant::researcher(&asked.researcher);
        let repository = self.repository.for_recipients(vec![reader]);
        self.spawn(Some(Event::Unanswered), async move {
            let stored = tokio::time::timeout(SEARCH_TIME_MAX, store_columns(&repository, wide));
            let answer = match stored.await {
                Ok(Ok(columns)) => Body::SearchReply(SearchReply { datasets, columns }),
                Ok(Err(refused)) => Body::Refused(refused),
                Err(_) => {
                    let text = "the column names could not be stored in time".to_owned();
                    Body::Refused(refusal(Reason::Blob, text))
                }
            };
            Some(Event::Answered { asked, about: About::Datasets, answer })
        });
    }

    fn start(&mut self, start: Start) {
        let Start { ticket, asked, request, dataset, left } = start;
        let who = &asked.from.participant;
        let trace = Arc::new(Trace::new(self.database.clone(), who, &asked.digest, &request));
        let (cancel, mut task) = (Cancel::new(), None);
        if let Some(left) = left {
            let assignment = Assignment {
                request_id: asked.request_id.clone(),
                request_sha256: asked.digest,
                left,
                researcher: asked.researcher.clone(),
                request: *request,
                dataset,
                cancel: cancel.clone(),
                trace: Arc::clone(&trace),
            };
            let (sender, to) = (self.sender.clone(), asked.clone());
            let say = move |progress: Progress| {
                sender.try_send(&to.from, to.answer(&Body::Progress(progress)));
            };
            let (executor, trace) = (Arc::clone(&self.executor), Arc::clone(&trace));
            task = Some(self.spawn(Some(Event::Ended(ticket)), async move {
                let ran = match executor.run(assignment, say).await {
                    Ok(reply) => Ran::Done(Box::new(reply)),
                    Err(refused) => {
                        let end = trace.end_of(&refused);
                        Ran::Refused(refused, end)
                    }
                };
                Some(Event::Ran { ticket, ran })
            }));
        }
        self.rounds.insert(ticket, Round { asked, trace, cancel, task });
    }

    /// Says how a round ended, and writes it down.
    fn end(&mut self, ending: Ending) {
        let Ending { ticket, mut end, mut reason, reply, entry } = ending;
        let Some(Round { asked, trace, task, .. }) = self.rounds.remove(&ticket) else { return };
        if let Some(task) = task {
            self.unsaid.remove(&task.id());
            task.abort();
        }
        // Progress sent from now on would be in no entry.
        trace.close();
        let (sender, later) = (self.sender.clone(), Arc::clone(&self.later));
        self.spawn(Some(Event::Ended(ticket)), async move {
            let sent = match reply {
                Some(body) => send(&sender, &asked, body).await,
                None => Ok(()),
            };
            if let (End::Delivered, Err(error)) = (end, sent) {
                (end, reason) = (End::NotDelivered, Some(error.to_string()));
            }
            if let Entry::Write { left_out } = entry {
                // Before the next round: entries are in the order in which things happened.
                let write = move || trace.end(end, reason.as_deref(), left_out);
                if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await {
                    tracing::error!("the log could not be written: {error}");
                }
                later.notify_one();
            }
            Some(Event::Ended(ticket))
        });
    }

    fn record(&self, kind: &'static str, fields: Value) {
        let database = self.database.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = database.record(now_ms(), kind, &fields) {
                tracing::error!("the log could not be written: {error}");
            }
        });
    }

    /// Beside: a round that reads its data has the workshop for a while.
    fn drop_unused(&mut self) {
        let executor = Arc::clone(&self.executor);
        self.spawn(None, async move {
            executor.drop_unused(UNUSED_TIME_MAX).await;
            None
        });
    }
}

async fn flush(database: &Database) {
    let database = database.clone();
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || database.flush()).await {
        tracing::error!("the log could not be written: {error}");
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

async fn send(sender: &Sender, asked: &Asked, body: Body) -> Result<(), fedwasm_transport::Error> {
    let sent = match sender.send(&asked.from, asked.answer(&body)).await {
        // Too large: the researcher must learn that no other answer will come.
        Err(fedwasm_transport::Error::Trust(error)) => {
            let text = format!("the reply could not be sent: {error}");
            let body = Body::Refused(refusal(Reason::Internal, text));
            let sent = sender.send(&asked.from, asked.answer(&body)).await;
            sent.and(Err(fedwasm_transport::Error::Trust(error)))
        }
        sent => sent,
    };
    if let Err(error) = &sent {
        tracing::warn!("a reply could not be sent: {error}");
    }
    sent.map(drop)
}
