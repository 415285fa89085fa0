//! Secure sums at real nodes, asked by a researcher that keeps the rules or breaks them.

mod floors;
mod killed;
mod leaks;
mod masked;
mod refused;

use std::collections::BTreeMap;
use std::path::PathBuf;

use fedwasm_params::{DType, Params, Tensor, from_safetensors};
use fedwasm_privacy::double_masking::{
    Boxes, Consent, Reveal, SealedShares, Setup, Survivors, TakesKeys, TakesVectors, threshold_min,
};
use fedwasm_privacy::masking::Context;
use fedwasm_privacy::{Coding, Parties, SignedKeys, Vectors, binding, vectors_from_params};
use fedwasm_protocol::{
    Body, Digest, Mode, NodeId, Participant, Payload, Progress, Refusal, RoundReply, RoundRequest,
    SecaggArgs, SecaggRequest, SecaggScheme, SecaggStep, decode_content, encode_content,
};
use fedwasm_trust::{Member, Receipt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fake::{Fake, Spy, enrol};
use crate::support::{Edit, Federation, event, fedwasm, part};

/// Nodes, and a researcher with a client of its own.
struct Stage {
    federation: Federation,
    hand: Fake,
    member: std::sync::Arc<Member>,
    nodes: Vec<NodeId>,
    /// A round of each node in the clear, and its result.
    good: BTreeMap<NodeId, RoundRequest>,
    /// What the rounds start from.
    start: Params,
}

impl Stage {
    fn new(n: usize) -> Self {
        Self::with(n, |text| text)
    }

    /// Nodes that ran one round in the clear.
    fn with(n: usize, change: impl Fn(String) -> String) -> Self {
        let mut federation = Federation::start();
        for at in 0..n {
            let file = part(federation.dir.path(), at, n);
            federation.node(&format!("n{at}"), &file);
        }
        let spy = Spy::start(&federation);
        let experiment = federation.experiment(|text| {
            let min = format!("min_nodes = {n}");
            let text = text.edit("min_nodes = 2", &min).edit("rounds = 2", "rounds = 1");
            change(text.edit("test_on_global_updates = true", ""))
        });
        federation.run(&experiment).ok();
        let mut good = BTreeMap::new();
        for message in spy.heard() {
            let Body::Round(mut request) = message.body else { continue };
            let to = message.header.recipient.clone().unwrap().participant;
            request.experiment_id = "hand".parse().unwrap();
            good.insert(to.node_id().unwrap(), *request);
        }
        let nodes: Vec<NodeId> = good.keys().cloned().collect();
        assert_eq!(nodes.len(), n);
        let member = enrol(&federation, "researcher-hand");
        let hand = Fake::start(&federation, std::sync::Arc::clone(&member), |_, _| {});
        let mut stage = Self { federation, hand, member, nodes, good, start: Params::default() };
        let first = &stage.good[&stage.nodes[0]];
        stage.start = stage.fetch(&first.params, first.params_inline.as_deref());
        stage
    }

    fn dir(&self, at: usize) -> PathBuf {
        self.federation.dir.path().join(format!("n{at}"))
    }

    /// Ends a node without a word.
    fn kill(&mut self, at: usize) {
        drop(self.federation.nodes.remove(at));
    }

    /// Starts all nodes again with these lines under `[privacy]`.
    fn restart(&mut self, floors: &str) {
        self.federation.nodes.clear();
        for at in 0..self.nodes.len() {
            let file = self.dir(at).join("node.toml");
            let config = std::fs::read_to_string(&file).unwrap();
            let mut config: toml::Table = config.parse().unwrap();
            let privacy = format!("min_rows = 10\nprogress = true\n{floors}");
            config.insert("privacy".into(), privacy.parse::<toml::Table>().unwrap().into());
            std::fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
            self.start_node(at);
        }
    }

    fn start_node(&mut self, at: usize) {
        let running = fedwasm(&["node", "start"]).arg(self.dir(at)).start();
        running.wait_for(event("ready"));
        self.federation.nodes.insert(at, running);
    }

    /// Parameters that rode along, or lie in the repository.
    fn fetch(&self, blob: &fedwasm_protocol::BlobRef, inline: Option<&[u8]>) -> Params {
        let carried = fedwasm_protocol::carried(blob, inline).unwrap().map(<[u8]>::to_vec);
        from_safetensors(&carried.unwrap_or_else(|| self.bytes(blob))).unwrap()
    }

    fn uploaded(&self, reply: &RoundReply) -> Params {
        self.fetch(&reply.params.unwrap(), reply.params_inline.as_deref())
    }

    fn bytes(&self, blob: &fedwasm_protocol::BlobRef) -> Vec<u8> {
        let url = self.federation.repository.parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let repository = fedwasm_transport::Repository::new(url, Some(&self.member)).unwrap();
            repository.get(blob).await.unwrap()
        })
    }

    /// Makes the rounds another run: a plan that asks for `rounds` could train otherwise.
    fn another_run(&mut self, rounds: u32) {
        self.good.values_mut().for_each(|request| request.rounds = rounds);
    }

    /// The nodes at these places.
    fn parties(&self, at: &[usize]) -> Parties {
        Parties::new(at.iter().map(|at| self.nodes[*at].clone()), 0).unwrap()
    }

    /// A context that no other has.
    fn context(&self, parties: &Parties) -> Context {
        let mut id = [0; 32];
        getrandom(&mut id);
        let roster = self.member.roster().keys_sha256(parties.iter().map(Participant::node));
        Context { id: id.into(), roster, parties: parties.clone() }
    }

    /// Makes a step at a node.
    fn step<T: Serialize, R: DeserializeOwned>(
        &self,
        node: &NodeId,
        (scheme, sum_id, step): (SecaggScheme, Digest, SecaggStep),
        content: &T,
    ) -> Result<R, Refusal> {
        let request = SecaggRequest {
            experiment_id: "hand".parse().unwrap(),
            dataset_id: self.good[node].dataset_id.clone(),
            scheme,
            sum_id,
            step,
            content: encode_content(content).unwrap(),
        };
        match self.hand.ask(short(node), Body::Secagg(request)) {
            Body::SecaggReply(reply) => {
                assert_eq!((reply.sum_id, reply.step), (sum_id, step));
                // The answer to `Agree` has no content with `masking`.
                let content = if reply.content.is_empty() { vec![0xc0] } else { reply.content };
                Ok(decode_content(&content).unwrap())
            }
            Body::Refused(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    /// The keys of all parties of a context.
    fn keys(&self, context: &Context) -> Result<Vec<SignedKeys>, Refusal> {
        let step = (SecaggScheme::Masking, context.id, SecaggStep::Keys);
        context.parties.iter().map(|node| self.step(node, step, context)).collect()
    }

    /// Agrees upon keys for `masking`.
    fn agree(&self, at: &[usize]) -> Result<Context, Refusal> {
        let context = self.context(&self.parties(at));
        let keys = self.keys(&context)?;
        let step = (SecaggScheme::Masking, context.id, SecaggStep::Agree);
        for node in context.parties.iter() {
            let () = self.step(node, step, &keys)?;
        }
        Ok(context)
    }

    /// The arguments of a sum.
    fn args(&self, scheme: SecaggScheme, sum_id: Digest) -> SecaggArgs {
        SecaggArgs { sum_id, ..args(scheme) }
    }

    /// A round of a node under secure aggregation.
    fn request(&self, node: &NodeId, args: &SecaggArgs) -> RoundRequest {
        RoundRequest { secagg: Some(args.clone()), ..self.good[node].clone() }
    }

    fn ask(&self, node: &NodeId, request: &RoundRequest) -> Result<RoundReply, Refusal> {
        match self.hand.ask(short(node), Body::Round(Box::new(request.clone()))) {
            Body::RoundReply(reply) => Ok(*reply),
            Body::Refused(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    /// Has the nodes train a round under secure aggregation.
    fn train(&self, parties: &Parties, args: &SecaggArgs) -> BTreeMap<NodeId, RoundReply> {
        let ask =
            |node: &NodeId| (node.clone(), self.ask(node, &self.request(node, args)).unwrap());
        parties.iter().map(ask).collect()
    }

    /// The coding of a round.
    fn coding(&self, args: &SecaggArgs, parties: usize, mode: Mode) -> Coding {
        let params: Vec<(&str, DType, &[u64])> = match mode {
            Mode::Train => self.specs(),
            Mode::Validate | Mode::Scale | Mode::Statistics => Vec::new(),
        };
        Coding::new(args, parties, &params, &[]).unwrap()
    }

    /// The tensors of the model, as its plan declares them.
    fn specs(&self) -> Vec<(&str, DType, &[u64])> {
        let spec = |name| {
            let tensor = self.start.tensor(name).unwrap();
            (name, tensor.dtype(), tensor.shape())
        };
        ["linear.weight", "linear.bias"].map(spec).to_vec()
    }

    /// The masked vectors of a reply.
    fn vectors(&self, reply: &RoundReply, coding: &Coding) -> Vectors<u64> {
        let mut params: Vec<(String, Tensor)> = self
            .uploaded(reply)
            .iter()
            .map(|(name, tensor)| (name.to_owned(), tensor.clone()))
            .collect();
        if let Some(bytes) = &reply.encryption_factor {
            let lanes = vec![bytes.len() as u64 / 8];
            let tensor = Tensor::new(DType::Int64, lanes, bytes.clone()).unwrap();
            params.push(("check".into(), tensor));
        }
        vectors_from_params(Params::new(params).unwrap(), coding.layout()).unwrap()
    }

    /// The update in the clear, in the order of the vectors, and its rows.
    fn clear_update(&self, node: &NodeId) -> (Vec<f64>, u64) {
        let reply = self.ask(node, &self.good[node]).unwrap();
        let trained = self.uploaded(&reply);
        let mut update = Vec::new();
        for (name, _, _) in self.specs() {
            let values = |params: &Params| params.tensor(name).unwrap().floats().unwrap();
            let both = values(&trained).into_iter().zip(values(&self.start));
            update.extend(both.map(|(after, before)| after - before));
        }
        (update, reply.n_samples)
    }

    /// The mean of updates in the clear, weighted by rows.
    fn clear_mean(&self, parties: &Parties) -> (Vec<f64>, u64) {
        let all: Vec<(Vec<f64>, u64)> =
            parties.iter().map(|node| self.clear_update(node)).collect();
        let rows: u64 = all.iter().map(|(_, rows)| rows).sum();
        let mut mean = vec![0.0; all[0].0.len()];
        for (update, n) in &all {
            let share = *n as f64 / rows as f64;
            mean.iter_mut().zip(update).for_each(|(mean, value)| *mean += share * value);
        }
        (mean, rows)
    }

    /// The setup of a round of `double_masking`.
    fn setup(&self, parties: &Parties, args: &mut SecaggArgs) -> Setup {
        let context = self.context(parties);
        args.sum_id = context.id;
        let coding = self.coding(args, parties.len(), Mode::Train);
        let first = parties.iter().next().unwrap();
        let sent = Receipt::request(&self.request(first, args));
        Setup {
            id: context.id,
            roster: context.roster,
            parties: parties.clone(),
            threshold: threshold_min(parties.len()) as u32,
            binding: binding(&sent, coding.layout()).unwrap(),
        }
    }

    fn double<T: Serialize, R: DeserializeOwned>(
        &self,
        node: &NodeId,
        (setup, step): (&Setup, SecaggStep),
        content: &T,
    ) -> Result<R, Refusal> {
        self.step(node, (SecaggScheme::DoubleMasking, setup.id, step), content)
    }

    fn double_keys(&self, node: &NodeId, setup: &Setup) -> Result<SignedKeys, Refusal> {
        self.double(node, (setup, SecaggStep::Keys), setup)
    }

    fn shares(
        &self,
        node: &NodeId,
        setup: &Setup,
        keys: &[SignedKeys],
    ) -> Result<SealedShares, Refusal> {
        self.double(node, (setup, SecaggStep::Agree), &keys)
    }

    fn consent(&self, node: &NodeId, setup: &Setup, of: &Survivors) -> Result<Consent, Refusal> {
        self.double(node, (setup, SecaggStep::Consent), of)
    }

    fn reveal(&self, node: &NodeId, setup: &Setup, all: &[Consent]) -> Result<Reveal, Refusal> {
        self.double(node, (setup, SecaggStep::Reveal), &all)
    }

    /// Runs the first two steps of a round of `double_masking` at all its nodes.
    fn shared(
        &self,
        parties: &Parties,
        args: &mut SecaggArgs,
    ) -> (Setup, Coding, TakesVectors<u64>, BTreeMap<NodeId, Boxes>) {
        let setup = self.setup(parties, args);
        let (coding, verify) = (self.coding(args, parties.len(), Mode::Train), self.verify());
        let mut takes = TakesKeys::new(setup.clone()).unwrap();
        for node in parties.iter() {
            takes.take(self.double_keys(node, &setup).unwrap(), &verify).unwrap();
        }
        let (mut takes, keys) = takes.close().unwrap();
        for node in parties.iter() {
            takes.take(self.shares(node, &setup, &keys).unwrap()).unwrap();
        }
        let (takes, boxes) = takes.close(coding.layout().clone()).unwrap();
        (setup, coding, takes, boxes)
    }

    /// A round with the shares for a node.
    fn masked_round(
        &self,
        node: &NodeId,
        args: &SecaggArgs,
        boxes: &Boxes,
    ) -> Result<RoundReply, Refusal> {
        let shares = Some(Payload::inline(encode_content(boxes).unwrap()));
        self.ask(node, &self.request(node, &SecaggArgs { shares, ..args.clone() }))
    }

    /// Checks statements by the roster.
    fn verify(
        &self,
    ) -> impl Fn(&NodeId, &[u8], &[u8]) -> Result<(), fedwasm_privacy::Cause> + use<> {
        let roster = self.member.roster();
        move |node, statement, signature| {
            let key = roster.key(&Participant::node(node)).unwrap();
            Ok(key.verify("it", statement, signature)?)
        }
    }

    fn forget_told(&self) {
        let mut heard = self.hand.heard.lock().unwrap();
        heard.retain(|message| !matches!(message.body, Body::Progress(_)));
    }

    /// The numbers that were told while rounds ran.
    fn told(&self) -> Vec<Progress> {
        let heard = self.hand.heard.lock().unwrap();
        let progress = heard.iter().filter_map(|message| match &message.body {
            Body::Progress(progress) => Some(progress.clone()),
            _ => None,
        });
        progress.collect()
    }
}

/// The arguments of a sum with a check value.
pub fn args(scheme: SecaggScheme) -> SecaggArgs {
    SecaggArgs {
        scheme,
        sum_id: Digest::of(b"sum"),
        min_parties: 3,
        clip: 3.0,
        bits: 24,
        rows_max: 569,
        equal_weights: false,
        metrics: vec!["accuracy".into(), "loss".into()],
        metrics_clip: 1_000.0,
        random: Some(0.25),
        servkey_id: Some("servkey".into()),
        biprime_id: Some("biprime".into()),
        shares: None,
    }
}

/// The id of a node without its role.
fn short(node: &NodeId) -> &str {
    node.as_str()
}

fn getrandom(bytes: &mut [u8]) {
    use std::io::Read as _;
    std::fs::File::open("/dev/urandom").unwrap().read_exact(bytes).unwrap();
}
