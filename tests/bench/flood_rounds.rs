//! Rounds that one researcher asks of nodes as fast as it can: endless ones, ones of ever new
//! experiments, and ones of a plan that nobody has.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fedwasm_protocol::{
    BlobRef, Body, Budget, DataArgs, Digest, LimitArgs, Mode, Participant, Recipient, RequestId,
    RoundRequest, TrainingArgs, Value,
};
use fedwasm_transport::{Incoming, Link, LinkOptions, Repository};
use fedwasm_trust::{Member, Outgoing};

/// Between two requests to each node.
const PAUSE: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_secs(3_600);

/// What rounds are about.
pub(crate) struct About<'a> {
    pub(crate) root: &'a Path,
    /// Where the researcher's key is.
    pub(crate) home: &'a Path,
    pub(crate) mqtt: &'a str,
    pub(crate) http: &'a str,
    /// Parameters of the shipped logistic regression on breast cancer.
    pub(crate) params: Vec<u8>,
}

/// Asks until `stop`; `done` counts the answers that are no refusals.
pub(crate) fn flood(about: &About<'_>, stop: &AtomicBool, tried: &AtomicU64, done: &AtomicU64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let member = Arc::new(Member::open(about.home).unwrap());
        let url = about.http.parse().unwrap();
        let repository = Repository::new(url, Some(&member)).unwrap();
        let nodes = ["a", "b"].map(|id| Participant::node(&id.parse().unwrap()));
        let mine = repository.for_recipients(nodes.to_vec());
        let plan = std::fs::read(about.root.join("plugins/dist/logistic-regression.wasm")).unwrap();
        let plan = mine.put(plan).await.unwrap();
        let params = mine.put(about.params.clone()).await.unwrap();
        let url = about.mqtt.parse().unwrap();
        let mut link = Link::connect(LinkOptions::mqtt(url, member, repository)).await.unwrap();
        let sender = link.sender();
        let (mut there, mut n): (Vec<Recipient>, u64) = (Vec::new(), 0);
        let mut pause = tokio::time::interval(PAUSE);
        while !stop.load(Ordering::Relaxed) {
            tokio::select! {
                incoming = link.next() => match incoming {
                    Some(Incoming::Message(message)) => match message.body {
                        Body::Presence(_) => {
                            let (who, session) = (message.header.sender, message.header.session);
                            there.retain(|known| known.participant != who);
                            there.push(Recipient { participant: who, session });
                        }
                        Body::RoundReply(_) => drop(done.fetch_add(1, Ordering::Relaxed)),
                        _ => {}
                    },
                    Some(_) => {}
                    None => return,
                },
                _ = pause.tick() => {
                    for node in &there {
                        n += 1;
                        let body = Body::Round(Box::new(request(n, plan, params)));
                        let request_id = RequestId::random().unwrap();
                        let message = Outgoing {
                            recipient: None,
                            request_id,
                            in_reply_to: None,
                            deadline: DEADLINE,
                            body: &body,
                        };
                        if sender.send(node, message).await.is_ok() {
                            tried.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            }
        }
    });
}

fn request(n: u64, plan: BlobRef, params: BlobRef) -> RoundRequest {
    let table = toml::from_str("epochs = 1\ntest_ratio = 0.2\nrandom_seed = 42\nlog_interval = 1");
    let mut training = TrainingArgs::parse(table.unwrap()).unwrap();
    let (mut mode, mut plan) = (Mode::Train, plan);
    match n % 4 {
        0 => training.budget = Budget::Updates { num_updates: 1 << 40 },
        1 => mode = Mode::Validate,
        2 => plan = BlobRef { sha256: Digest::of(&n.to_le_bytes()), ..plan },
        _ => {}
    }
    let header = include_str!("../../examples/data/breast_cancer.csv").lines().next().unwrap();
    let inputs: Vec<String> =
        header.split(',').filter(|column| *column != "benign").map(str::to_owned).collect();
    RoundRequest {
        mode,
        experiment_id: format!("flood-{n}").parse().unwrap(),
        round: 1,
        rounds: 1,
        dataset_id: "d".parse().unwrap(),
        plan,
        params,
        params_inline: None,
        data: DataArgs { inputs: Some(inputs.into()), ..DataArgs::of("benign") },
        wide_inputs: None,
        training,
        model: [("model.n_classes".to_owned(), Value::Integer(2))].into(),
        aggregator: [].into(),
        state_id: None,
        kept_state_ids: Vec::new(),
        aux_shared: None,
        aux_own: None,
        scales: None,
        secagg: None,
        strict: false,
        limits: LimitArgs::default(),
    }
}
