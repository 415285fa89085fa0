//! A network at its worst: messages come twice, late, and in another order between topics, as the
//! promises of [`crate::port`] allow, and not otherwise. The faults follow from a seed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::Error;
use crate::port::{Client, Connection, Event, INCOMING_MAX, Later, Messages, Outbox, Publication};

/// The most events that are held back at a time, and for how long at most.
const HELD_MAX: usize = 16;
const HELD_TIME_MAX: Duration = Duration::from_millis(20);

/// A network whose clients get messages at the worst that is promised.
#[derive(Debug)]
pub struct Faulty {
    network: Arc<dyn Messages>,
    seed: u64,
    connections: AtomicU64,
    faults: Arc<AtomicU64>,
}

impl Faulty {
    /// Disturbs what comes over `network`.
    pub fn new(network: Arc<dyn Messages>, seed: u64) -> Self {
        Self { network, seed, connections: AtomicU64::new(0), faults: Arc::default() }
    }

    /// How many messages came twice, or were overtaken, so far.
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    async fn open(&self, client: Client) -> Result<Connection, Error> {
        let Connection { outbox, events } = self.network.connect(client).await?;
        let (sender, disturbed) = mpsc::channel(INCOMING_MAX);
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let random = Random(self.seed ^ (number << 32));
        tokio::spawn(disturb(events, sender, random.clone(), Arc::clone(&self.faults)));
        let outbox = Arc::new(Lossy { outbox, random: Mutex::new(random) });
        Ok(Connection { outbox, events: disturbed })
    }
}

impl Messages for Faulty {
    fn connect(&self, client: Client) -> Later<'_, Result<Connection, Error>> {
        Box::pin(self.open(client))
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): faults, and no secrets.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    /// True once in `n` times.
    fn once_in(&mut self, n: u64) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).is_multiple_of(n)
    }
}

/// Loses half of what may be lost.
#[derive(Debug)]
struct Lossy {
    outbox: Arc<dyn Outbox>,
    random: Mutex<Random>,
}

impl Outbox for Lossy {
    fn publish(&self, publication: Publication) -> Later<'_, Result<(), Error>> {
        self.outbox.publish(publication)
    }

    fn offer(&self, publication: Publication) {
        if !self.random.lock().unwrap_or_else(PoisonError::into_inner).once_in(2) {
            self.outbox.offer(publication);
        }
    }

    fn is_connected(&self) -> bool {
        self.outbox.is_connected()
    }

    fn close(&self) -> Later<'_, ()> {
        self.outbox.close()
    }
}

/// A message that is held back.
struct Held {
    topic: String,
    payload: bytes::Bytes,
}

/// Passes events on until either end is gone.
async fn disturb(
    mut events: mpsc::Receiver<Event>,
    sender: mpsc::Sender<Event>,
    mut random: Random,
    faults: Arc<AtomicU64>,
) {
    let count = |n: usize| faults.fetch_add(n as u64, Ordering::Relaxed);
    let mut held: VecDeque<Held> = VecDeque::new();
    loop {
        let event = tokio::select! {
            () = sender.closed() => return,
            event = events.recv() => event,
            () = tokio::time::sleep(HELD_TIME_MAX), if !held.is_empty() => {
                release(&mut held, &sender, usize::MAX);
                continue;
            }
        };
        match event {
            Some(Event::Message { topic, payload }) => {
                let is_behind = held.iter().any(|held| held.topic == topic);
                if is_behind || random.once_in(3) {
                    if held.len() >= HELD_MAX {
                        release(&mut held, &sender, 1);
                    }
                    if random.once_in(4) {
                        count(1);
                        held.push_back(Held { topic: topic.clone(), payload: payload.clone() });
                    }
                    held.push_back(Held { topic, payload });
                } else {
                    count(held.len());
                    let (again, twice) = (topic.clone(), payload.clone());
                    pass_on(&sender, topic, payload);
                    if random.once_in(3) {
                        count(1);
                        pass_on(&sender, again, twice);
                    }
                }
            }
            Some(other) => {
                release(&mut held, &sender, usize::MAX);
                // The reader may be gone; then the loop ends.
                let _ = sender.try_send(other);
            }
            None => return release(&mut held, &sender, usize::MAX),
        }
        if random.once_in(3) {
            release(&mut held, &sender, 1);
        }
    }
}

fn release(held: &mut VecDeque<Held>, sender: &mpsc::Sender<Event>, count: usize) {
    for Held { topic, payload } in held.drain(..count.min(held.len())) {
        pass_on(sender, topic, payload);
    }
}

/// A reader that does not read loses the newest messages, as at every network.
fn pass_on(sender: &mpsc::Sender<Event>, topic: String, payload: bytes::Bytes) {
    let _ = sender.try_send(Event::Message { topic, payload });
}
