//! Promises of [`Messages`] and [`Outbox`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fedwasm_protocol::{MESSAGE_BYTES_MAX, Participant, Recipient, Role, SessionId};

use crate::port::{
    Client, Connection, Event, INCOMING_MAX, Introduction, Messages, Outbox, Publication,
};
use crate::{Error, Topics};

/// How long anything may take. Two clients with one id need some attempts.
const TIME_MAX: Duration = Duration::from_secs(60);

/// A network that carries messages, and whose lines can be cut.
pub trait MessagesUnderTest: Sync {
    /// The network as this participant reaches it, who may be a new one.
    fn messages(&self, who: &Participant) -> Arc<dyn Messages>;
    /// Names of topics; a broker may restrict each participant to its own.
    fn topics(&self) -> Topics;
    /// Cuts the line of a participant.
    fn cut(&self, who: &Participant);
    /// Mends it.
    fn mend(&self, who: &Participant);
}

/// Holds a network to all promises.
pub async fn messages(net: &impl MessagesUnderTest) {
    a_message_reaches_its_recipient_alone(net).await;
    messages_of_one_client_keep_their_order(net).await;
    the_largest_message_arrives_and_a_larger_one_is_refused(net).await;
    a_late_subscriber_gets_the_newest_retained_publication(net).await;
    a_lost_connection_leaves_its_own_will(net).await;
    a_dropped_connection_leaves_its_will(net).await;
    close_says_farewell(net).await;
    a_connection_comes_back_with_its_subscriptions(net).await;
    the_earlier_of_two_clients_with_one_id_ends(net).await;
    a_client_that_does_not_read_stays_connected(net).await;
}

/// A client that greets with `up N` and leaves `down N` on its Nth connection.
struct Peer {
    me: Recipient,
    topics: Topics,
    connection: Connection,
    /// The newest payload under each topic: one that follows itself came twice.
    newest: BTreeMap<String, Bytes>,
}

fn id(who: &str) -> String {
    format!("{who}.{}", SessionId::random().unwrap())
}

async fn peer(net: &impl MessagesUnderTest, who: &str) -> Peer {
    peer_with_id(net, who, id(who)).await
}

async fn peer_with_id(net: &impl MessagesUnderTest, who: &str, id: String) -> Peer {
    let participant: Participant = who.parse().unwrap();
    let (messages, topics) = (net.messages(&participant), net.topics());
    let me = Recipient { participant, session: SessionId::random().unwrap() };
    let subscriptions = vec![topics.inbox(&me), topics.presence_all(), topics.farewell_all()];
    let (said_by, own) = (me.participant.clone(), topics.clone());
    let n = AtomicU64::new(0);
    let introduce = move || {
        let n = n.fetch_add(1, Ordering::Relaxed) + 1;
        let is_node = said_by.role == Role::Node;
        let topic = if is_node { own.presence(&said_by) } else { own.farewell(&said_by) };
        let say = |text: String| {
            let payload = Bytes::from(text);
            Publication { topic: topic.clone(), payload, retain: is_node }
        };
        let greeting = is_node.then(|| say(format!("up {n}")));
        Ok(Introduction { greeting, will: Some(say(format!("down {n}"))) })
    };
    let client = Client { id, subscriptions, introduce: Box::new(introduce) };
    let connected = tokio::time::timeout(TIME_MAX, messages.connect(client)).await;
    Peer { me, topics, connection: connected.unwrap().unwrap(), newest: BTreeMap::new() }
}

impl Peer {
    fn outbox(&self) -> &dyn Outbox {
        &*self.connection.outbox
    }

    fn publication(&self, to: &Recipient, payload: impl Into<Bytes>) -> Publication {
        let topic = self.topics.to(&self.me.participant, to);
        Publication { topic, payload: payload.into(), retain: false }
    }

    async fn try_say(&self, to: &Recipient, payload: impl Into<Bytes>) -> Result<(), Error> {
        self.outbox().publish(self.publication(to, payload)).await
    }

    async fn say(&self, to: &Recipient, payload: impl Into<Bytes>) {
        self.try_say(to, payload).await.unwrap();
    }

    /// The next event that is wanted.
    async fn until<T>(&mut self, wanted: impl Fn(Event) -> Option<T>) -> T {
        let found = async {
            loop {
                let event = self.connection.events.recv().await.expect("the connection is over");
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(TIME_MAX, found).await.expect("nothing came")
    }

    /// The next payload from this participant.
    async fn heard(&mut self, from: &Peer) -> Bytes {
        let (topics, from) = (self.topics.clone(), from.me.participant.clone());
        loop {
            let said = self.until(|event| match event {
                Event::Message { topic, payload }
                    if topics.sender(&topic).as_ref() == Some(&from) =>
                {
                    Some((topic, payload))
                }
                _ => None,
            });
            let (topic, payload) = said.await;
            if self.newest.insert(topic, payload.clone()).as_ref() != Some(&payload) {
                return payload;
            }
        }
    }

    /// Waits for this payload from a participant, skipping others before it.
    async fn hears(&mut self, from: &Peer, text: &str) {
        while self.heard(from).await != text {}
    }
}

/// A message arrives as it was published, and at its recipient only.
pub async fn a_message_reaches_its_recipient_alone(net: &impl MessagesUnderTest) {
    let a = peer(net, "researcher-alone-a").await;
    let mut b = peer(net, "researcher-alone-b").await;
    let mut c = peer(net, "researcher-alone-c").await;
    a.say(&b.me, vec![0, 255, 7]).await;
    assert_eq!(b.heard(&a).await, [0, 255, 7].as_slice());
    a.say(&c.me, "second").await;
    assert_eq!(c.heard(&a).await, "second");
}

/// Messages under one topic arrive in the order in which they were published; none is missing.
pub async fn messages_of_one_client_keep_their_order(net: &impl MessagesUnderTest) {
    let (a, mut b) = (peer(net, "node-order-a").await, peer(net, "researcher-order-b").await);
    b.hears(&a, "up 1").await;
    const N: u64 = 500;
    let to = b.me.clone();
    let sent = async {
        for n in 0..N {
            a.say(&to, n.to_string()).await;
        }
    };
    let heard = async {
        let mut next = 0;
        while next < N {
            let payload = b.heard(&a).await;
            let n: u64 = std::str::from_utf8(&payload).unwrap().parse().unwrap();
            assert!(n <= next, "{next} is missing before {n}");
            next = next.max(n + 1);
        }
    };
    tokio::join!(sent, heard);
}

/// The largest message arrives; one byte more is an error of the sender, and changes nothing.
pub async fn the_largest_message_arrives_and_a_larger_one_is_refused(net: &impl MessagesUnderTest) {
    let (a, mut b) = (peer(net, "node-size-a").await, peer(net, "researcher-size-b").await);
    b.hears(&a, "up 1").await;
    let refused = a.try_say(&b.me, vec![7; MESSAGE_BYTES_MAX + 1]).await.unwrap_err();
    assert!(matches!(refused, Error::MessageTooLarge { .. }), "{refused}");
    a.say(&b.me, vec![7; MESSAGE_BYTES_MAX]).await;
    assert!(b.heard(&a).await == vec![7; MESSAGE_BYTES_MAX]);
    a.say(&b.me, "").await;
    assert_eq!(b.heard(&a).await, "");
}

/// A subscriber that comes later gets the newest retained publication of each topic.
pub async fn a_late_subscriber_gets_the_newest_retained_publication(net: &impl MessagesUnderTest) {
    let mut a = peer(net, "node-late-a").await;
    let topic = a.topics.presence(&a.me.participant);
    let retained = Publication { topic, payload: "newest".into(), retain: true };
    a.outbox().publish(retained).await.unwrap();
    // Its own messages also come back.
    let own = a.topics.presence(&a.me.participant);
    a.until(|event| match event {
        Event::Message { topic, payload } if topic == own => (payload == "newest").then_some(()),
        _ => None,
    })
    .await;
    let mut b = peer(net, "researcher-late-b").await;
    assert_eq!(b.heard(&a).await, "newest");
}

/// Everybody gets the will of a connection that is lost, early or late, and not the will of the
/// connection before.
pub async fn a_lost_connection_leaves_its_own_will(net: &impl MessagesUnderTest) {
    let (mut a, mut b) = (peer(net, "node-will-a").await, peer(net, "researcher-will-b").await);
    let who = a.me.participant.clone();
    let mut up = b.heard(&a).await;
    for n in 1..=2 {
        // Attempts to connect in between also count.
        let down = String::from_utf8_lossy(&up).replace("up", "down");
        net.cut(&who);
        a.until(|event| matches!(event, Event::Lost { .. }).then_some(())).await;
        assert!(!a.outbox().is_connected());
        assert_eq!(b.heard(&a).await, down);
        let mut late = peer(net, &format!("researcher-will-late-{n}")).await;
        assert_eq!(late.heard(&a).await, down);
        net.mend(&who);
        a.until(|event| matches!(event, Event::Restored).then_some(())).await;
        up = b.heard(&a).await;
        assert!(up.starts_with(b"up "), "{up:?}");
    }
}

/// A connection that is dropped without a word is lost.
pub async fn a_dropped_connection_leaves_its_will(net: &impl MessagesUnderTest) {
    let (a, mut b) = (peer(net, "node-drop-a").await, peer(net, "researcher-drop-b").await);
    b.hears(&a, "up 1").await;
    let Peer { connection: Connection { outbox, events }, .. } = peer(net, "node-drop-c").await;
    let c: Participant = "node-drop-c".parse().unwrap();
    let presence = b.topics.presence(&c);
    let says = |wanted: &'static str| {
        let presence = presence.clone();
        move |event| match event {
            Event::Message { topic, payload } if topic == presence && payload == wanted => Some(()),
            _ => None,
        }
    };
    b.until(says("up 1")).await;
    drop(events);
    b.until(says("down 1")).await;
    assert!(!matches!(
        tokio::time::timeout(TIME_MAX, outbox.publish(b.publication(&a.me, "x"))).await,
        Ok(Ok(()))
    ));
}

/// `close` publishes the will, and then nothing more is sent.
pub async fn close_says_farewell(net: &impl MessagesUnderTest) {
    let a = peer(net, "researcher-close-a").await;
    let (c, mut b) = (peer(net, "node-close-c").await, peer(net, "node-close-b").await);
    b.hears(&c, "up 1").await;
    a.outbox().close().await;
    b.hears(&a, "down 1").await;
    assert!(a.try_say(&b.me, "late").await.is_err());
    c.outbox().close().await;
    b.hears(&c, "down 1").await;
}

/// After an interruption the same subscriptions hold, waiting messages are sent, and those offered
/// meanwhile are not.
pub async fn a_connection_comes_back_with_its_subscriptions(net: &impl MessagesUnderTest) {
    let (mut a, mut b) = (peer(net, "node-back-a").await, peer(net, "node-back-b").await);
    a.hears(&b, "up 1").await;
    net.cut(&b.me.participant.clone());
    b.until(|event| matches!(event, Event::Lost { .. }).then_some(())).await;
    b.outbox().offer(b.publication(&a.me, "offered"));
    for n in 0..10 {
        b.say(&a.me, format!("waited {n}")).await;
    }
    net.mend(&b.me.participant.clone());
    b.until(|event| matches!(event, Event::Restored).then_some(())).await;
    let mut next = 0;
    while next < 10 {
        let payload = a.heard(&b).await;
        assert_ne!(payload, "offered");
        if payload == format!("waited {next}") {
            next += 1;
        }
    }
    a.say(&b.me, "after").await;
    b.hears(&a, "after").await;
    assert!(b.outbox().is_connected());
}

/// Of two clients with one id the earlier one ends with the reason.
pub async fn the_earlier_of_two_clients_with_one_id_ends(net: &impl MessagesUnderTest) {
    let id = id("node-twice");
    let mut first = peer_with_id(net, "node-twice", id.clone()).await;
    let second = peer_with_id(net, "node-twice", id).await;
    let closed = first.until(|event| match event {
        Event::Closed(Error::TakenOver { client_id, .. }) => Some(client_id),
        Event::Closed(error) => panic!("{error}"),
        _ => None,
    });
    assert_eq!(closed.await, "node-twice");
    second.outbox().close().await;
}

/// A client that does not read loses messages, keeps its connection, and hears what comes once
/// it reads again.
pub async fn a_client_that_does_not_read_stays_connected(net: &impl MessagesUnderTest) {
    let (mut a, mut b) = (peer(net, "node-slow-a").await, peer(net, "researcher-slow-b").await);
    b.hears(&a, "up 1").await;
    for n in 0..INCOMING_MAX + 200 {
        a.say(&b.me, n.to_string()).await;
    }
    let own = a.me.clone();
    a.say(&own, "done").await;
    a.until(|event| match event {
        Event::Message { payload, .. } => (payload == "done").then_some(()),
        _ => None,
    })
    .await;
    let (mut last, mut n_after) = (None, 0u32);
    loop {
        a.try_say(&b.me, "after").await.unwrap();
        let heard = tokio::time::timeout(Duration::from_millis(200), b.heard(&a)).await;
        let Ok(payload) = heard else { continue };
        if payload == "after" {
            n_after += 1;
            assert!(b.outbox().is_connected());
            break;
        }
        let n: usize = std::str::from_utf8(&payload).unwrap().parse().unwrap();
        assert!(last.is_none_or(|last| n >= last), "{n} after {last:?}");
        last = Some(n);
    }
    assert_eq!((last.is_some(), n_after), (true, 1));
}
