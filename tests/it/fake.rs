//! A node that answers as a test wants it to, over a real broker.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fedwasm_protocol::{
    ApprovalReply, ApprovalStatus, Body, DatasetEntry, Envelope, Evaluation, Mode, NodeId,
    NodeTiming, PROTOCOL_VERSION, Presence, RequestId, RoundReply, RoundRequest, SearchReply,
};
use fedwasm_transport::{Incoming, Link, LinkOptions, Sender, topic};

/// What the node says to a round; none: the usual.
pub type Behaviour = Box<dyn Fn(&RoundRequest) -> Option<Vec<Body>> + Send>;

/// A node, or anybody else at the broker, in a thread of its own.
pub struct Fake {
    /// All that it was sent, in order.
    pub heard: Arc<Mutex<Vec<Envelope>>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Fake {
    /// A node that offers the columns of breast_cancer.csv and returns the
    /// parameters that it gets, unless `behaviour` says something else.
    pub fn node(mqtt: &str, id: &str, columns: Vec<String>, behaviour: Behaviour) -> Self {
        Self::node_with(mqtt, id, columns, ApprovalStatus::NotRequired, behaviour)
    }

    /// A node where the plan has this standing.
    pub fn node_with(
        mqtt: &str,
        id: &str,
        columns: Vec<String>,
        status: ApprovalStatus,
        behaviour: Behaviour,
    ) -> Self {
        let node: NodeId = id.parse().unwrap();
        let presence = |online| {
            let presence = Presence { node_id: node.clone(), online };
            Some((topic::presence(&node), rmp_serde::to_vec_named(&presence).unwrap()))
        };
        let options = LinkOptions {
            url: mqtt.parse().unwrap(),
            client_id: format!("node-{id}"),
            subscriptions: vec![topic::node(&node)],
            greeting: presence(true),
            farewell: presence(false),
        };
        let id = id.to_owned();
        Self::start(options, move |envelope, sender| {
            let bodies = match &envelope.body {
                Body::Search(_) => {
                    let dataset = DatasetEntry {
                        dataset_id: "d".parse().unwrap(),
                        tags: vec!["t".into()],
                        n_rows: 100,
                        columns: columns.clone(),
                    };
                    vec![Body::SearchReply(SearchReply { datasets: vec![dataset] })]
                }
                Body::Approval(_) => {
                    vec![Body::ApprovalReply(ApprovalReply { status })]
                }
                Body::Ping => vec![Body::Pong],
                Body::Round(request) => behaviour(request).unwrap_or_else(|| vec![usual(request)]),
                _ => Vec::new(),
            };
            let to = topic::researcher(&envelope.sender.parse().unwrap());
            for body in bodies {
                let reply = Envelope {
                    version: PROTOCOL_VERSION,
                    request_id: envelope.request_id.clone(),
                    sender: id.clone(),
                    deadline_ms: 0,
                    body,
                };
                sender.try_send_sure(&to, &reply);
            }
        })
    }

    /// Anybody: `take` gets every message.
    pub fn start(options: LinkOptions, take: impl Fn(&Envelope, &Say) + Send + 'static) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let all = Arc::clone(&heard);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut link = Link::connect(options).await.unwrap();
                let say = Say { sender: link.sender(), runtime: tokio::runtime::Handle::current() };
                ready.send(()).unwrap();
                loop {
                    let incoming = tokio::select! {
                        incoming = link.next() => incoming,
                        _ = &mut stopped => break,
                    };
                    let Some(Incoming::Message { payload, .. }) = incoming else { continue };
                    let Ok(envelope) = Envelope::decode(&payload) else { continue };
                    all.lock().unwrap().push(envelope.clone());
                    take(&envelope, &say);
                }
                link.close().await;
            });
        });
        is_ready.recv_timeout(Duration::from_secs(20)).unwrap();
        Self { heard, stop: Some(stop), thread: Some(thread) }
    }

    /// A node that says this to a search, and nothing else.
    pub fn searched(mqtt: &str, id: &str, reply: Body) -> Self {
        let node: NodeId = id.parse().unwrap();
        let presence = Presence { node_id: node.clone(), online: true };
        let options = LinkOptions {
            url: mqtt.parse().unwrap(),
            client_id: format!("node-{id}"),
            subscriptions: vec![topic::node(&node)],
            greeting: Some((topic::presence(&node), rmp_serde::to_vec_named(&presence).unwrap())),
            farewell: Some((topic::presence(&node), Vec::new())),
        };
        let id = id.to_owned();
        Self::start(options, move |envelope, say| {
            if matches!(envelope.body, Body::Search(_)) {
                let to = topic::researcher(&envelope.sender.parse().unwrap());
                let (sender, body) = (id.clone(), reply.clone());
                say.try_send_sure(&to, &Envelope { sender, body, ..envelope.clone() });
            }
        })
    }

    /// Says something over a connection of its own.
    pub fn say(&self, mqtt: &str, topic: &str, envelope: Envelope) {
        let options = LinkOptions {
            url: mqtt.parse().unwrap(),
            client_id: "say".into(),
            subscriptions: Vec::new(),
            greeting: None,
            farewell: None,
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let link = Link::connect(options).await.unwrap();
            link.sender().send(topic.to_owned(), &envelope).await.unwrap();
            link.close().await;
        });
    }

    /// The rounds that it was asked for.
    pub fn rounds(&self) -> Vec<RoundRequest> {
        let heard = self.heard.lock().unwrap();
        let round = |envelope: &Envelope| match &envelope.body {
            Body::Round(request) => Some((**request).clone()),
            _ => None,
        };
        heard.iter().filter_map(round).collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends from within a test's closure.
pub struct Say {
    sender: Sender,
    runtime: tokio::runtime::Handle,
}

impl Say {
    pub fn try_send_sure(&self, topic: &str, envelope: &Envelope) {
        let (sender, topic, envelope) = (self.sender.clone(), topic.to_owned(), envelope.clone());
        self.runtime.spawn(async move { sender.send(topic, &envelope).await.unwrap() });
    }
}

/// A reply that holds what is asked for: the parameters as they came.
pub fn usual(request: &RoundRequest) -> Body {
    let evaluation = Evaluation { n_rows: 20, metrics: [("loss".to_owned(), 0.5)].into() };
    Body::RoundReply(Box::new(RoundReply {
        params: (request.mode == Mode::Train).then_some(request.params),
        aux: None,
        state_id: None,
        optimizer_args: [].into(),
        encryption_factor: None,
        device: "cpu".into(),
        warnings: Vec::new(),
        n_samples: 80,
        n_steps: 3,
        train_loss: Some(0.5),
        evaluation: (request.mode == Mode::Validate).then_some(evaluation),
        timing: NodeTiming::default(),
    }))
}

/// The columns of breast_cancer.csv.
pub fn columns() -> Vec<String> {
    let text = std::fs::read_to_string(crate::support::data("breast_cancer.csv")).unwrap();
    text.lines().next().unwrap().split(',').map(str::to_owned).collect()
}

/// A request id that nobody made.
pub fn stranger() -> RequestId {
    RequestId::random().unwrap()
}
