//! Nodes of a secure sum: the state machines of `fedwasm-privacy` over a real broker, but for what a
//! test has them do otherwise.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fedwasm_params::{from_safetensors, to_safetensors};
use fedwasm_privacy::{
    Cause, Coding, Parties, Results, SignedKeys, Stream, VectorSpec, Vectors, binding,
    double_masking, lanes_to_bytes, masking, vectors_to_params,
};
use fedwasm_protocol::{
    BlobRef, Body, Digest, Evaluation, ExperimentId, Mode, NodeId, Participant, Reason, Refusal,
    RoundReply, RoundRequest, SecaggReply, SecaggRequest, SecaggScheme, SecaggStep, SecaggTerms,
    decode_content, encode_content,
};
use fedwasm_transport::Repository;
use fedwasm_trust::{Member, Receipt};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

use crate::fake::{Fake, answer, columns, enrol};
use crate::support::Federation;

/// Rows that each node trains on and scores.
pub const N_TRAINED: u64 = 80;
pub const N_SCORED: u64 = 20;

/// Changes a node's answer; none: silence.
pub type Change = Box<dyn Fn(&Body, Body) -> Option<Body> + Send>;
/// Changes a node's vectors before they are masked or after.
pub type ChangeVectors = Box<dyn Fn(&mut Vectors<u64>) + Send>;

/// What a node does otherwise than the protocol says.
pub struct Otherwise {
    pub answer: Change,
    pub masked: ChangeVectors,
}

impl Default for Otherwise {
    fn default() -> Self {
        Self { answer: Box::new(|_, body| Some(body)), masked: Box::new(|_| {}) }
    }
}

impl Otherwise {
    pub fn answers(change: impl Fn(&Body, Body) -> Option<Body> + Send + 'static) -> Self {
        Self { answer: Box::new(change), ..Self::default() }
    }

    pub fn masks(change: impl Fn(&mut Vectors<u64>) + Send + 'static) -> Self {
        Self { masked: Box::new(change), ..Self::default() }
    }
}

/// What a node's training adds to a tensor.
pub fn change_of(name: &str, change: f64) -> f64 {
    if name.ends_with("bias") { 2.0 * change } else { change }
}

/// A node that keeps to the protocol.
pub fn secure(federation: &Federation, id: &str) -> Fake {
    secure_node(federation, id, 0.5, Otherwise::default())
}

/// Starts a node whose training adds `change` to every value.
pub fn secure_node(federation: &Federation, id: &str, change: f64, otherwise: Otherwise) -> Fake {
    let member = enrol(federation, &format!("node-{id}"));
    let url = federation.repository.parse().unwrap();
    let repository = Repository::new(url, Some(&member)).unwrap();
    let machine = Machine {
        node: id.parse().unwrap(),
        member: Arc::clone(&member),
        repository,
        change,
        rng: ChaCha20Rng::from_seed(*Digest::of(id.as_bytes()).as_bytes()),
        waiting: BTreeMap::new(),
        agreed: BTreeMap::new(),
        double: BTreeMap::new(),
    };
    let (machine, columns) = (Mutex::new(machine), columns());
    Fake::start(federation, member, move |message, say| {
        let mut machine = machine.lock().unwrap();
        let body = match &message.body {
            Body::Secagg(request) => Some(machine.step(request)),
            Body::Round(request) => Some(machine.round(request, &otherwise.masked)),
            other => answer(other, &columns),
        };
        let body = body.and_then(|body| (otherwise.answer)(&message.body, body));
        if let Some(body) = body {
            say.answer(message, body);
        }
    })
}

enum Double {
    Advertised(double_masking::Advertised),
    Shared(double_masking::Shared),
    Masked(double_masking::Masked),
    Consented(double_masking::Consented),
}

struct Machine {
    node: NodeId,
    member: Arc<Member>,
    repository: Repository,
    change: f64,
    rng: ChaCha20Rng,
    waiting: BTreeMap<Digest, (masking::Advertised, Parties)>,
    agreed: BTreeMap<Digest, (masking::Agreed, Parties)>,
    double: BTreeMap<Digest, (Double, Parties)>,
}

fn refused(reason: Reason, message: impl ToString) -> Body {
    Body::Refused(Refusal { reason, message: message.to_string() })
}

impl Machine {
    fn step(&mut self, request: &SecaggRequest) -> Body {
        let SecaggRequest { scheme, sum_id, step, .. } = *request;
        let content = match scheme {
            SecaggScheme::Masking => self.mask_step(request),
            SecaggScheme::DoubleMasking => self.double_step(request),
        };
        match content {
            Ok(content) => Body::SecaggReply(SecaggReply { sum_id, step, content }),
            Err(error) => refused(Reason::Privacy, error),
        }
    }

    fn sign(&self) -> impl Fn(&[u8]) -> Result<Vec<u8>, Cause> + use<> {
        let member = Arc::clone(&self.member);
        move |statement| Ok(member.key().sign(statement)?)
    }

    fn verify(&self) -> impl Fn(&NodeId, &[u8], &[u8]) -> Result<(), Cause> + use<> {
        let member = Arc::clone(&self.member);
        blocking(self.repository.refresh_roster(&self.member)).unwrap();
        move |node, statement, signature| {
            let who = Participant::node(node);
            Ok(member.roster().key(&who).ok_or("no key")?.verify("it", statement, signature)?)
        }
    }

    fn mask_step(&mut self, request: &SecaggRequest) -> Result<Vec<u8>, Cause> {
        let (sign, verify) = (self.sign(), self.verify());
        match request.step {
            SecaggStep::Keys => {
                let context: masking::Context = decode_content(&request.content)?;
                let parties = context.parties.iter().map(Participant::node);
                let roster = self.member.roster().keys_sha256(parties);
                assert_eq!((context.id, context.roster), (request.sum_id, roster));
                let parties = context.parties.clone();
                let advertised =
                    masking::Advertised::new(context, &self.node, &mut self.rng, &sign)?;
                let keys = encode_content(advertised.keys())?;
                self.waiting.insert(request.sum_id, (advertised, parties));
                Ok(keys)
            }
            SecaggStep::Agree => {
                let keys: Vec<SignedKeys> = decode_content(&request.content)?;
                let (waiting, parties) = self.waiting.remove(&request.sum_id).ok_or("no keys")?;
                let agreed = waiting.agree(&keys, &verify)?;
                self.agreed.insert(request.sum_id, (agreed, parties));
                Ok(Vec::new())
            }
            _ => Err("no such step".into()),
        }
    }

    fn double_step(&mut self, request: &SecaggRequest) -> Result<Vec<u8>, Cause> {
        let (sign, verify, id) = (self.sign(), self.verify(), request.sum_id);
        if request.step == SecaggStep::Keys {
            let setup: double_masking::Setup = decode_content(&request.content)?;
            let parties = setup.parties.clone();
            let advertised =
                double_masking::Advertised::new(setup, &self.node, &mut self.rng, &sign)?;
            let keys = encode_content(advertised.keys())?;
            self.double.insert(id, (Double::Advertised(advertised), parties));
            return Ok(keys);
        }
        let (double, parties) = self.double.remove(&id).ok_or("no setup")?;
        match (request.step, double) {
            (SecaggStep::Agree, Double::Advertised(advertised)) => {
                let keys: Vec<SignedKeys> = decode_content(&request.content)?;
                let (shared, shares) = advertised.share(&keys, &mut self.rng, &verify)?;
                self.double.insert(id, (Double::Shared(shared), parties));
                Ok(encode_content(&shares)?)
            }
            (SecaggStep::Consent, Double::Masked(masked)) => {
                let survivors = decode_content(&request.content)?;
                let (consented, consent) = masked.consent(&survivors, &sign)?;
                self.double.insert(id, (Double::Consented(consented), parties));
                Ok(encode_content(&consent)?)
            }
            (SecaggStep::Reveal, Double::Consented(consented)) => {
                let consents: Vec<double_masking::Consent> = decode_content(&request.content)?;
                Ok(encode_content(&consented.reveal(&consents, &verify)?)?)
            }
            _ => Err("no such step now".into()),
        }
    }

    fn round(&mut self, request: &RoundRequest, change: &ChangeVectors) -> Body {
        let Some(args) = &request.secagg else {
            return refused(Reason::Privacy, "only sums leave this node");
        };
        let inline = request.params_inline.as_deref();
        let params = blocking(self.repository.get_carried(&request.params, inline)).unwrap();
        let params = from_safetensors(&params).unwrap();
        let is_training = request.mode == Mode::Train;
        let mut specs: Vec<VectorSpec<'_>> = params
            .iter()
            .filter(|_| is_training)
            .map(|(name, tensor)| (name, tensor.dtype(), tensor.shape()))
            .collect();
        // The plan declares its weights first, files are sorted by name.
        specs.reverse();
        let parties = self.agreed.get(&args.sum_id).map(|(_, parties)| parties.clone());
        let parties =
            parties.or_else(|| self.double.get(&args.sum_id).map(|(_, parties)| parties.clone()));
        let Some(parties) = parties else {
            return refused(Reason::State, "the keys of this sum are not here");
        };
        let coding = Coding::new(args, parties.len(), &specs, &[]).unwrap();
        let update = specs.iter().flat_map(|(name, _, shape)| {
            let n = shape.iter().product::<u64>();
            std::iter::repeat_n(change_of(name, self.change), n as usize)
        });
        let update: Vec<f64> = update.collect();
        let metrics = [("loss".to_owned(), 0.5), ("accuracy".to_owned(), self.change.abs())];
        let evaluation = Evaluation { n_rows: N_SCORED, metrics: metrics.into(), sums: None };
        let results = Results {
            update: &update,
            aux: &[],
            n_samples: N_TRAINED,
            n_steps: if is_training { 3 } else { 0 },
            train_loss: is_training.then_some(0.25),
            evaluation: (!is_training).then_some(&evaluation),
            numbers: &[],
        };
        let vectors = coding.encode(&results).unwrap().vectors;
        let binding = binding(&Receipt::request(request), coding.layout()).unwrap();
        let masked = match self.double.remove(&args.sum_id) {
            Some((Double::Shared(shared), parties)) => {
                let shares = args.shares.as_ref().unwrap().bytes().unwrap().unwrap();
                let boxes = decode_content(shares).unwrap();
                let received = shared.receive(&boxes).unwrap();
                let (masked, vectors) =
                    received.mask(coding.layout(), vectors, &mut |_| Ok(())).unwrap();
                self.double.insert(args.sum_id, (Double::Masked(masked), parties));
                vectors
            }
            Some(_) => return refused(Reason::State, "not now"),
            None => {
                let (agreed, _) = self.agreed.get_mut(&args.sum_id).unwrap();
                match agreed.pads(&binding, &mut |_| Ok(())) {
                    Ok(pads) => pads.mask(coding.layout(), vectors).unwrap(),
                    Err(error) => return refused(Reason::State, error),
                }
            }
        };
        self.reply(request, &parties, masked, change)
    }

    fn reply(
        &self,
        request: &RoundRequest,
        parties: &Parties,
        mut masked: Vectors<u64>,
        change: &ChangeVectors,
    ) -> Body {
        change(&mut masked);
        let args = request.secagg.as_ref().unwrap();
        let factor = masked.remove(&Stream::Check).map(|lanes| lanes_to_bytes(&lanes));
        let bytes = to_safetensors(&vectors_to_params(&masked).unwrap()).unwrap();
        Body::RoundReply(Box::new(RoundReply {
            params: Some(self.put(&request.experiment_id, bytes)),
            encryption_factor: factor,
            secagg: Some(SecaggTerms {
                scheme: args.scheme,
                sum_id: args.sum_id,
                parties: parties.len() as u32,
                min_parties: args.min_parties,
                clip: args.clip,
                noise_multiplier: None,
                honest_parties: None,
            }),
            device: "cpu".into(),
            ..RoundReply::default()
        }))
    }

    fn put(&self, experiment: &ExperimentId, bytes: Vec<u8>) -> BlobRef {
        blocking(self.repository.of_experiment(experiment).put(bytes)).unwrap()
    }
}

/// Waits for a future beside the runtime that answers messages.
fn blocking<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let run = || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_all().build().unwrap().block_on(future)
        };
        scope.spawn(run).join().unwrap()
    })
}
