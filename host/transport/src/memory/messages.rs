//! Messages in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use fedwasm_protocol::MESSAGE_BYTES_MAX;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use super::{MemoryHub, NAME, lock};
use crate::Error;
use crate::port::{
    Client, Connection, Event, INCOMING_MAX, Later, Messages, OUTGOING_MAX, Outbox, Publication,
};

/// The most topics with a retained publication; further ones are not kept.
const RETAINED_MAX: usize = 4_096;

/// Carries messages between clients in this process.
#[derive(Clone, Debug)]
pub struct MemoryMessages {
    hub: MemoryHub,
}

/// The connected clients, and the retained messages.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// By the number of their connection, so that the order of deliveries is always the same.
    clients: BTreeMap<u64, Attached>,
    next: u64,
    retained: BTreeMap<String, Bytes>,
}

#[derive(Debug)]
struct Attached {
    client: Client,
    events: mpsc::Sender<Event>,
    /// None while the line is cut.
    line: Option<Line>,
    /// Publications that wait for a line.
    waiting: VecDeque<Publication>,
    /// Tells those who wait for room among them, or for the end.
    room: Arc<Notify>,
    /// Notices that the reader is gone.
    watcher: AbortHandle,
    /// Whether the log has reported dropped messages.
    told: bool,
}

#[derive(Debug)]
struct Line {
    will: Option<Publication>,
}

impl MemoryMessages {
    pub(super) fn new(hub: MemoryHub) -> Self {
        Self { hub }
    }

    fn open(&self, client: Client) -> Result<Connection, Error> {
        if self.hub.lines.is_cut(client.name()) {
            let (url, reason) = (NAME.to_owned(), "its line is cut".into());
            return Err(Error::BrokerUnreachable { url, reason });
        }
        let (sender, events) = mpsc::channel(INCOMING_MAX);
        let mut exchange = lock(&self.hub.exchange);
        let number = exchange.next;
        exchange.next += 1;
        let (hub, closed) = (self.hub.clone(), sender.clone());
        let watcher = tokio::spawn(async move {
            closed.closed().await;
            lock(&hub.exchange).lose(number);
        });
        let room = Arc::new(Notify::new());
        exchange.take_over(&client.id);
        exchange.clients.insert(
            number,
            Attached {
                client,
                events: sender,
                line: None,
                waiting: VecDeque::new(),
                room: Arc::clone(&room),
                watcher: watcher.abort_handle(),
                told: false,
            },
        );
        exchange.attach(number)?;
        let hub = self.hub.clone();
        Ok(Connection { outbox: Arc::new(MemoryOutbox { hub, number, room }), events })
    }
}

impl Messages for MemoryMessages {
    fn connect(&self, client: Client) -> Later<'_, Result<Connection, Error>> {
        Box::pin(async { self.open(client) })
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.watcher.abort();
        self.room.notify_waiters();
    }
}

impl Attached {
    fn tell(&mut self, event: Event) {
        // The newest is dropped; a reader that is gone is noticed elsewhere.
        match self.events.try_send(event) {
            Err(mpsc::error::TrySendError::Full(_)) if !self.told => {
                self.told = true;
                tracing::warn!(
                    "more than {INCOMING_MAX} messages are waiting for {:?}",
                    self.client
                );
            }
            Err(_) => {}
            Ok(()) => self.told = false,
        }
    }

    fn wants(&self, topic: &str) -> bool {
        self.line.is_some() && self.client.subscriptions.iter().any(|filter| fits(filter, topic))
    }
}

impl Exchange {
    /// Gives a client its line: the retained messages, its greeting, and waiting messages.
    fn attach(&mut self, number: u64) -> Result<(), Error> {
        let Some(attached) = self.clients.get_mut(&number) else { return Ok(()) };
        let introduction = match (attached.client.introduce)() {
            Ok(introduction) => introduction,
            Err(error) => {
                self.clients.remove(&number);
                return Err(error);
            }
        };
        attached.line = Some(Line { will: introduction.will });
        attached.tell(Event::Restored);
        for (topic, payload) in &self.retained {
            if attached.wants(topic) {
                attached.tell(Event::Message { topic: topic.clone(), payload: payload.clone() });
            }
        }
        let waiting = std::mem::take(&mut attached.waiting);
        attached.room.notify_waiters();
        for publication in introduction.greeting.into_iter().chain(waiting) {
            self.publish(publication);
        }
        Ok(())
    }

    fn publish(&mut self, Publication { topic, payload, retain }: Publication) {
        if retain && payload.is_empty() {
            self.retained.remove(&topic);
        } else if retain
            && (self.retained.len() < RETAINED_MAX || self.retained.contains_key(&topic))
        {
            self.retained.insert(topic.clone(), payload.clone());
        }
        for attached in self.clients.values_mut().filter(|attached| attached.wants(&topic)) {
            attached.tell(Event::Message { topic: topic.clone(), payload: payload.clone() });
        }
    }

    /// The connection is gone without a word: its will is published.
    fn lose(&mut self, number: u64) {
        let Some(mut lost) = self.clients.remove(&number) else { return };
        if let Some(will) = lost.line.take().and_then(|line| line.will) {
            self.publish(will);
        }
    }

    fn close(&mut self, number: u64) {
        let Some(mut closed) = self.clients.remove(&number) else { return };
        if let Some(will) = closed.line.take().and_then(|line| line.will) {
            self.publish(will);
        }
        closed.tell(Event::Closed(Error::Closed));
    }

    /// The client that has this id leaves.
    fn take_over(&mut self, id: &str) {
        let earlier = self.clients.iter().find(|(_, attached)| attached.client.id == id);
        let Some((number, attached)) = earlier else { return };
        let (number, events) = (*number, attached.events.clone());
        let client_id = attached.client.name().to_owned();
        self.lose(number);
        let _ = events.try_send(Event::Closed(Error::TakenOver { url: NAME.into(), client_id }));
    }

    fn named(&self, name: &str) -> Vec<u64> {
        let named = self.clients.iter().filter(|(_, attached)| attached.client.name() == name);
        named.map(|(number, _)| *number).collect()
    }

    pub(super) fn cut(&mut self, name: &str) {
        for number in self.named(name) {
            let Some(attached) = self.clients.get_mut(&number) else { continue };
            let Some(line) = attached.line.take() else { continue };
            attached.tell(Event::Lost { reason: "its line is cut".into() });
            if let Some(will) = line.will {
                self.publish(will);
            }
        }
    }

    pub(super) fn mend(&mut self, name: &str) {
        for number in self.named(name) {
            let Some(attached) = self.clients.get(&number) else { continue };
            let events = attached.events.clone();
            if attached.line.is_none()
                && let Err(error) = self.attach(number)
            {
                let _ = events.try_send(Event::Closed(error));
            }
        }
    }
}

/// The sending half of one connection.
#[derive(Debug)]
struct MemoryOutbox {
    hub: MemoryHub,
    number: u64,
    room: Arc<Notify>,
}

/// The outcome of a publication.
enum Taken {
    Yes,
    /// The queue is full; the message comes back.
    Full(Publication),
    Closed,
}

impl MemoryOutbox {
    fn take(&self, publication: Publication) -> Taken {
        let mut exchange = lock(&self.hub.exchange);
        match exchange.clients.get_mut(&self.number) {
            None => return Taken::Closed,
            Some(Attached { line: None, waiting, .. }) if waiting.len() >= OUTGOING_MAX => {
                return Taken::Full(publication);
            }
            Some(Attached { line: None, waiting, .. }) => waiting.push_back(publication),
            Some(_) => exchange.publish(publication),
        }
        Taken::Yes
    }

    async fn say(&self, mut publication: Publication) -> Result<(), Error> {
        let bytes = publication.payload.len();
        if bytes > MESSAGE_BYTES_MAX {
            return Err(Error::MessageTooLarge { bytes });
        }
        loop {
            // Before the look, so that no room is missed between look and wait.
            let room = self.room.notified();
            match self.take(publication) {
                Taken::Yes => return Ok(()),
                Taken::Closed => return Err(Error::Closed),
                Taken::Full(back) => publication = back,
            }
            room.await;
        }
    }
}

impl Outbox for MemoryOutbox {
    fn publish(&self, publication: Publication) -> Later<'_, Result<(), Error>> {
        Box::pin(self.say(publication))
    }

    fn offer(&self, publication: Publication) {
        if self.is_connected() && publication.payload.len() <= MESSAGE_BYTES_MAX {
            self.take(publication);
        }
    }

    fn is_connected(&self) -> bool {
        let exchange = lock(&self.hub.exchange);
        exchange.clients.get(&self.number).is_some_and(|attached| attached.line.is_some())
    }

    fn close(&self) -> Later<'_, ()> {
        Box::pin(async { lock(&self.hub.exchange).close(self.number) })
    }
}

/// Whether a topic fits a filter, in which `+` is any one level.
fn fits(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_is_one_level() {
        assert!(fits("a/+/c", "a/b/c") && fits("+", "a") && fits("a/b", "a/b"));
        for (filter, topic) in [("a/+", "a"), ("a/+", "a/b/c"), ("a", "b"), ("a/b", "a")] {
            assert!(!fits(filter, topic), "{filter} {topic}");
        }
    }
}
