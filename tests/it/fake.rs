//! Participants that say what a test wants them to, over a real broker.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fedwasm_protocol::{
    ApprovalReply, ApprovalStatus, Body, DatasetEntry, Digest, Evaluation, Header, Message, Mode,
    Participant, Recipient, RequestId, Role, RoundReply, RoundRequest, Sealed, SearchReply,
};
use fedwasm_transport::{BrokerUrl, Incoming, Link, LinkOptions, Sender, Topics, join, now_ms};
use fedwasm_trust::{Guard, Identity, Member, Outgoing, Refused, Seal};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};

use crate::support::{Federation, wait_for};

/// The node's answer to a round; none: the usual.
pub type Behaviour = Box<dyn Fn(&RoundRequest) -> Option<Vec<Body>> + Send>;

/// Takes a participant in, or finds the one that was taken in before.
pub fn enrol(federation: &Federation, who: &str) -> Arc<Member> {
    enrol_in(federation, &federation.dir.path().join("fakes").join(who), who)
}

/// The same, with a directory of the test's choice.
pub fn enrol_in(federation: &Federation, dir: &Path, who: &str) -> Arc<Member> {
    let identity = Identity::open_or_create(dir, |_| who.parse().unwrap()).unwrap();
    let url = federation.repository.parse().unwrap();
    runtime().block_on(async { join(identity, &url).await.unwrap().0 })
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

/// A participant, in a thread of its own.
pub struct Fake {
    /// All that it was sent and believes, in order.
    pub heard: Arc<Mutex<Vec<Message>>>,
    pub say: Say,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Fake {
    /// A node that offers the columns of breast_cancer.csv and returns the
    /// parameters that it gets, unless `behaviour` says something else.
    pub fn node(
        federation: &Federation,
        id: &str,
        columns: Vec<String>,
        behaviour: Behaviour,
    ) -> Self {
        Self::node_with(federation, id, columns, ApprovalStatus::NotRequired, behaviour)
    }

    /// A node where the plan has this standing.
    pub fn node_with(
        federation: &Federation,
        id: &str,
        columns: Vec<String>,
        status: ApprovalStatus,
        behaviour: Behaviour,
    ) -> Self {
        let member = enrol(federation, &format!("node-{id}"));
        Self::start(federation, member, move |message, say| {
            let bodies = match &message.body {
                Body::Search(_) => {
                    vec![Body::SearchReply(SearchReply {
                        datasets: vec![dataset(&columns)],
                        columns: [].into(),
                    })]
                }
                Body::Approval(_) => {
                    vec![Body::ApprovalReply(ApprovalReply { status, note: String::new() })]
                }
                Body::Ping => vec![Body::Pong],
                Body::Round(request) => behaviour(request).unwrap_or_else(|| vec![usual(request)]),
                _ => Vec::new(),
            };
            bodies.into_iter().for_each(|body| say.answer(message, body));
        })
    }

    /// A node that says this to a search, and nothing else.
    pub fn searched(federation: &Federation, id: &str, reply: Body) -> Self {
        let member = enrol(federation, &format!("node-{id}"));
        Self::start(federation, member, move |message, say| {
            if matches!(message.body, Body::Search(_)) {
                say.answer(message, reply.clone());
            }
        })
    }

    /// Anybody: `take` gets every message that is believed.
    pub fn start(
        federation: &Federation,
        member: Arc<Member>,
        take: impl Fn(&Message, &Say) + Send + 'static,
    ) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let all = Arc::clone(&heard);
        let (mqtt, repository) = (federation.mqtt.clone(), federation.repository.clone());
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let url = repository.parse().unwrap();
                let repository = fedwasm_transport::Repository::new(url, Some(&member)).unwrap();
                let url = mqtt.parse().unwrap();
                let link = Link::connect(LinkOptions::mqtt(url, member, repository)).await;
                let mut link = link.unwrap();
                let say = Say { sender: link.sender(), runtime: tokio::runtime::Handle::current() };
                ready.send(say.clone()).unwrap();
                loop {
                    let incoming = tokio::select! {
                        incoming = link.next() => incoming,
                        _ = &mut stopped => break,
                    };
                    let Some(Incoming::Message(message)) = incoming else { continue };
                    all.lock().unwrap().push((*message).clone());
                    take(&message, &say);
                }
                link.close().await;
            });
        });
        let say = is_ready.recv_timeout(Duration::from_secs(20)).unwrap();
        Self { heard, say, stop: Some(stop), thread: Some(thread) }
    }

    /// A researcher that says nothing by itself.
    pub fn researcher(federation: &Federation, id: &str) -> Self {
        let member = enrol(federation, &format!("researcher-{id}"));
        Self::start(federation, member, |_, _| {})
    }

    /// Where a node listens: its newest presence that was heard.
    fn heard_of(&self, node: &Participant) -> Option<Recipient> {
        let heard = self.heard.lock().unwrap();
        let online = |message: &&Message| {
            message.header.sender == *node
                && matches!(message.body, Body::Presence(presence) if presence.online)
        };
        let session = heard.iter().rev().find(online)?.header.session.clone();
        Some(Recipient { participant: node.clone(), session })
    }

    /// Waits until the node is there.
    pub fn session_of(&self, node: &str) -> Recipient {
        let node = format!("node-{node}").parse().unwrap();
        wait_for("a message", || self.heard_of(&node))
    }

    /// Asks a node for something and returns what it answers. A node that was started anew is
    /// asked again: the question may have gone to the session that ended.
    pub fn ask(&self, node: &str, body: Body) -> Body {
        loop {
            let asked = self.session_of(node);
            let id = RequestId::random().unwrap();
            self.say.send(&asked, id.clone(), None, body.clone());
            let is_answer = |message: &&Message| {
                message.header.request_id == id && !matches!(message.body, Body::Progress(_))
            };
            let outcome = wait_for("a message", || {
                let answer = self.heard.lock().unwrap().iter().find(is_answer).cloned();
                let moved = || self.heard_of(&asked.participant).as_ref() != Some(&asked);
                answer.map(Some).or_else(|| moved().then_some(None))
            });
            if let Some(answer) = outcome {
                return answer.body;
            }
        }
    }

    /// The rounds that it was asked for.
    pub fn rounds(&self) -> Vec<RoundRequest> {
        rounds(self.heard.lock().unwrap().iter())
    }
}

fn rounds<'a>(heard: impl Iterator<Item = &'a Message>) -> Vec<RoundRequest> {
    let round = |message: &Message| match &message.body {
        Body::Round(request) => Some((**request).clone()),
        _ => None,
    };
    heard.filter_map(round).collect()
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends from within a test's closure, or from outside.
#[derive(Clone)]
pub struct Say {
    sender: Sender,
    runtime: tokio::runtime::Handle,
}

impl Say {
    pub fn answer(&self, message: &Message, body: Body) {
        let header = &message.header;
        let to = Recipient { participant: header.sender.clone(), session: header.session.clone() };
        self.send(&to, header.request_id.clone(), Some(message.digest), body);
    }

    pub fn send(
        &self,
        to: &Recipient,
        request_id: RequestId,
        in_reply_to: Option<Digest>,
        body: Body,
    ) {
        let (sender, to) = (self.sender.clone(), to.clone());
        self.runtime.spawn(async move {
            let (deadline, body) = (Duration::from_secs(20), &body);
            let message = Outgoing { recipient: None, request_id, in_reply_to, deadline, body };
            sender.send(&to, message).await.unwrap();
        });
    }
}

/// A node with a clock of its own: it believes and says what is of its time, and greets when it
/// hears what is not, as nodes do.
pub struct Clocked {
    /// Milliseconds ahead of this machine's clock.
    pub ahead_ms: Arc<AtomicI64>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Clocked {
    pub fn node(federation: &Federation, id: &str, ahead_ms: i64) -> Self {
        let member = enrol(federation, &format!("node-{id}"));
        let address = federation.mqtt.strip_prefix("mqtt://").unwrap();
        let (host, port) = address.rsplit_once(':').unwrap();
        let client_id = format!("clocked-{}", RequestId::random().unwrap());
        let (client, mut events) =
            AsyncClient::new(MqttOptions::new(client_id, host, port.parse().unwrap()), 1_000);
        let url = federation.repository.parse().unwrap();
        let repository = fedwasm_transport::Repository::new(url, Some(&member)).unwrap();
        let ahead_ms = Arc::new(AtomicI64::new(ahead_ms));
        let (runtime, ahead) = (runtime(), Arc::clone(&ahead_ms));
        let (ready, is_ready) = std::sync::mpsc::channel();
        let now = move || now_ms().saturating_add_signed(ahead.load(Ordering::SeqCst));
        runtime.spawn(async move {
            let topics = Topics::new(&member.membership().federation);
            let seal = Seal::new(Arc::clone(&member)).unwrap();
            seal.connect();
            let me = member.participant().clone();
            let own = Recipient { participant: me.clone(), session: seal.session().clone() };
            let say = |topic: String, retain, message: Outgoing<'_>| {
                let payload = seal.seal(message, now()).unwrap().0;
                client.try_publish(topic, QoS::AtLeastOnce, retain, payload).unwrap();
            };
            let online = Body::Presence(fedwasm_protocol::Presence { online: true });
            let greet = || say(topics.presence(&me), true, for_everybody(&online));
            let mut guard = Guard::new(Arc::clone(&member), own.session.clone());
            client.try_subscribe(topics.inbox(&own), QoS::AtLeastOnce).unwrap();
            while let Ok(event) = events.poll().await {
                let said = match event {
                    Event::Incoming(Packet::SubAck(_)) => {
                        greet();
                        let _ = ready.send(());
                        continue;
                    }
                    Event::Incoming(Packet::Publish(said)) => said,
                    _ => continue,
                };
                let from = topics.sender(&String::from_utf8_lossy(&said.topic));
                let mut opened = guard.open(&said.payload, from.as_ref(), now());
                if let Err(Refused::Unknown(_)) = opened {
                    repository.refresh_roster(&member).await.unwrap();
                    opened = guard.open(&said.payload, from.as_ref(), now());
                }
                let asked = match opened {
                    Ok(asked) => asked,
                    Err(Refused::Expired { .. } | Refused::Future { .. }) => {
                        greet();
                        continue;
                    }
                    Err(_) => continue,
                };
                let Some(body) = answer(&asked.body, &columns()) else { continue };
                let Header { sender, session, request_id, .. } = asked.header;
                let to = Recipient { participant: sender, session };
                let topic = topics.to(&me, &to);
                let reply = Outgoing {
                    recipient: Some(to),
                    request_id,
                    in_reply_to: Some(asked.digest),
                    ..for_everybody(&body)
                };
                say(topic, false, reply);
            }
        });
        is_ready.recv_timeout(Duration::from_secs(20)).unwrap();
        Self { ahead_ms, runtime: Some(runtime) }
    }
}

/// A message for everybody.
fn for_everybody(body: &Body) -> Outgoing<'_> {
    let request_id = RequestId::random().unwrap();
    let (recipient, in_reply_to, deadline) = (None, None, Duration::ZERO);
    Outgoing { recipient, request_id, in_reply_to, deadline, body }
}

impl Drop for Clocked {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The answers of a node whose data and plans are in order.
pub fn answer(body: &Body, columns: &[String]) -> Option<Body> {
    let status = ApprovalStatus::NotRequired;
    Some(match body {
        Body::Search(_) => {
            let (datasets, columns) = (vec![dataset(columns)], [].into());
            Body::SearchReply(SearchReply { datasets, columns })
        }
        Body::Approval(_) => Body::ApprovalReply(ApprovalReply { status, note: String::new() }),
        Body::Ping => Body::Pong,
        Body::Round(request) => usual(request),
        _ => return None,
    })
}

fn dataset(columns: &[String]) -> DatasetEntry {
    DatasetEntry {
        dataset_id: "d".parse().unwrap(),
        tags: vec!["t".into()],
        n_rows: 100,
        columns: columns.to_vec(),
        shapes: [].into(),
    }
}

/// Topics and what was said there.
type Heard = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Somebody at the broker without a key: hears everything, and may publish any bytes.
pub struct Spy {
    heard: Heard,
    client: AsyncClient,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Spy {
    pub fn start(federation: &Federation) -> Self {
        let address = federation.mqtt.parse::<BrokerUrl>().unwrap().to_string();
        let (host, port) = address.strip_prefix("mqtt://").unwrap().rsplit_once(':').unwrap();
        let id = format!("spy-{}", RequestId::random().unwrap());
        let mut options = MqttOptions::new(id, host, port.parse().unwrap());
        options.set_clean_start(true);
        let mut properties = rumqttc::v5::mqttbytes::v5::ConnectProperties::new();
        properties.max_packet_size = Some(1 << 20);
        options.set_connect_properties(properties);
        let (client, mut events) = AsyncClient::new(options, 1_000);
        let heard = Heard::default();
        let (runtime, all) = (runtime(), Arc::clone(&heard));
        let (ready, is_ready) = std::sync::mpsc::channel();
        let subscriber = client.clone();
        runtime.spawn(async move {
            subscriber.subscribe("fedwasm/#", QoS::AtLeastOnce).await.unwrap();
            while let Ok(event) = events.poll().await {
                match event {
                    Event::Incoming(Packet::Publish(said)) => {
                        let topic = String::from_utf8_lossy(&said.topic).into_owned();
                        all.lock().unwrap().push((topic, said.payload.to_vec()));
                    }
                    Event::Incoming(Packet::SubAck(_)) => drop(ready.send(())),
                    _ => {}
                }
            }
        });
        is_ready.recv_timeout(Duration::from_secs(20)).unwrap();
        Self { heard, client, runtime: Some(runtime) }
    }

    /// Everything that was said so far, as it was.
    pub fn raw(&self) -> Vec<(String, Vec<u8>)> {
        self.heard.lock().unwrap().clone()
    }

    /// All messages so far, of all senders.
    pub fn heard(&self) -> Vec<Message> {
        let read = |(_, payload): &(String, Vec<u8>)| {
            let sealed = Sealed::decode(payload).ok()?;
            let header = sealed.header().ok()?;
            sealed.open(header).ok()
        };
        self.heard.lock().unwrap().iter().filter_map(read).collect()
    }

    /// Those that nodes were sent.
    pub fn to_nodes(&self) -> Vec<Message> {
        let is_to_node = |message: &Message| {
            let recipient = message.header.recipient.as_ref();
            recipient.is_some_and(|recipient| recipient.participant.role == Role::Node)
        };
        self.heard().into_iter().filter(is_to_node).collect()
    }

    /// Forgets what was said.
    pub fn clear(&self) {
        self.heard.lock().unwrap().clear();
    }

    /// The rounds that nodes were asked for.
    pub fn rounds(&self) -> Vec<RoundRequest> {
        rounds(self.heard().iter())
    }

    /// Waits for something that `wanted` accepts.
    pub fn wait_for(&self, wanted: impl Fn(&Message) -> bool) -> (String, Vec<u8>) {
        wait_for("a message", || {
            let is_it = |(_, payload): &&(String, Vec<u8>)| {
                let Ok(sealed) = Sealed::decode(payload) else { return false };
                let Ok(header) = sealed.header() else { return false };
                sealed.open(header).is_ok_and(|message| wanted(&message))
            };
            self.heard.lock().unwrap().iter().find(is_it).cloned()
        })
    }

    /// Publishes any bytes.
    pub fn publish(&self, topic: &str, payload: Vec<u8>) {
        self.client.try_publish(topic, QoS::AtLeastOnce, false, payload).unwrap();
    }
}

impl Drop for Spy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A reply that holds what is asked for: the parameters as they came.
pub fn usual(request: &RoundRequest) -> Body {
    let evaluation = Evaluation { n_rows: 20, metrics: [("loss".into(), 0.5)].into(), sums: None };
    Body::RoundReply(Box::new(RoundReply {
        params: (request.mode == Mode::Train).then_some(request.params),
        params_inline: request.params_inline.clone().filter(|_| request.mode == Mode::Train),
        device: "cpu".into(),
        n_samples: 80,
        n_steps: 3,
        train_loss: Some(0.5),
        evaluation: (request.mode == Mode::Validate).then_some(evaluation),
        ..RoundReply::default()
    }))
}

/// The columns of breast_cancer.csv.
pub fn columns() -> Vec<String> {
    let text = std::fs::read_to_string(crate::support::data("breast_cancer.csv"));
    text.unwrap().lines().next().unwrap().split(',').map(str::to_owned).collect()
}

/// A request id of no request.
pub fn stranger() -> RequestId {
    RequestId::random().unwrap()
}
