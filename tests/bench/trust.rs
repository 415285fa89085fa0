//! What signing and checking cost, as medians of one run:
//!
//! ```text
//! cargo bench -p fedwasm --bench trust
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "this is what a benchmark is for")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use fedwasm_protocol::{
    BlobRef, Body, DataArgs, LimitArgs, Limits, Mode, NodeTiming, Recipient, RequestId, RoundReply,
    RoundRequest, TrainingArgs,
};
use fedwasm_trust::{
    Authority, Engine, Guard, Identity, KeyPair, Member, Opening, Outgoing, RECEIPT_VERSION,
    Receipt, RunResult, Seal,
};

const TIMES: usize = 2_000;
const NOW: u64 = 1_800_000_000_000;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::create(&dir.path().join("net"), "bench").unwrap();
    // Whatever time it is.
    authority.renew(Some(Duration::from_secs(1_000_000_000))).unwrap();
    let member = |who: &str| -> Arc<Member> {
        let identity = Identity::create(&dir.path().join(who), who.parse().unwrap()).unwrap();
        let membership = authority.enrol(&identity.participant, identity.key.public()).unwrap();
        Arc::new(identity.join(&membership).unwrap())
    };
    let (researcher, node) = (member("researcher-r"), member("node-n"));
    let roster = authority.signed_roster().unwrap();
    researcher.take_roster(&roster).unwrap();
    let (asks, answers) =
        (Seal::new(Arc::clone(&researcher)).unwrap(), Seal::new(Arc::clone(&node)).unwrap());
    let mut at_node = Guard::new(Arc::clone(&node), answers.session().clone());
    let mut at_researcher = Guard::new(Arc::clone(&researcher), asks.session().clone());
    let to = |seal: &Seal| Recipient {
        participant: seal.member().participant().clone(),
        session: seal.session().clone(),
    };

    let (mut seal_us, mut open_us, mut sign_us, mut verify_us) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (request, reply) = (request(), reply());
    let receipt = receipt(&node, &researcher, &request);
    let key: &KeyPair = node.key();
    for _ in 0..TIMES {
        for (seal, guard, recipient, body) in [
            (&asks, &mut at_node, to(&answers), Body::Round(Box::new(request.clone()))),
            (&answers, &mut at_researcher, to(&asks), Body::RoundReply(Box::new(reply.clone()))),
        ] {
            let request_id = RequestId::random().unwrap();
            let deadline = Duration::from_secs(60);
            let recipient = Some(recipient);
            let message =
                Outgoing { recipient, request_id, in_reply_to: None, deadline, body: &body };
            let start = Instant::now();
            let (bytes, _) = seal.seal(message, NOW).unwrap();
            seal_us.push(us(start));
            let start = Instant::now();
            guard.open(&bytes, None, NOW).unwrap();
            open_us.push(us(start));
        }
        let start = Instant::now();
        let signed = receipt.sign(key).unwrap();
        sign_us.push(us(start));
        let start = Instant::now();
        Receipt::verify(&signed, key.public()).unwrap();
        verify_us.push(us(start));
    }
    let [seal, open, sign, verify] = [seal_us, open_us, sign_us, verify_us].map(median);
    println!("message: signing {seal:.0} us, checking and reading {open:.0} us");
    println!("receipt: signing {sign:.0} us, checking {verify:.0} us");
    // Asked to train and to score: two requests, two replies, two receipts.
    let round = 2.0 * (2.0 * (seal + open) + sign + verify);
    println!("a round of one node, trained and scored: {:.2} ms", round / 1e3);
}

fn us(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn request() -> RoundRequest {
    let training = "epochs = 1\ntest_ratio = 0.2\nrandom_seed = 42\n";
    let training = TrainingArgs::parse(toml::from_str(training).unwrap()).unwrap();
    let inputs: Vec<String> = (0..30).map(|n| format!("column_{n}")).collect();
    let inputs = Some(inputs.into());
    RoundRequest {
        mode: Mode::Train,
        experiment_id: "e".parse().unwrap(),
        round: 1,
        rounds: 1,
        dataset_id: "d".parse().unwrap(),
        plan: BlobRef::of(b"plan"),
        params: BlobRef::of(b"params"),
        params_inline: None,
        data: DataArgs { inputs, ..DataArgs::of("y") },
        training,
        model: [].into(),
        aggregator: [].into(),
        state_id: None,
        kept_state_ids: Vec::new(),
        wide_inputs: None,
        aux_shared: None,
        aux_own: None,
        scales: None,
        secagg: None,
        strict: false,
        limits: LimitArgs::default(),
    }
}

fn reply() -> RoundReply {
    RoundReply {
        params: Some(BlobRef::of(b"trained")),
        params_inline: None,
        compressed: None,
        aux: None,
        sums: None,
        state_id: None,
        optimizer_args: [("lr".into(), 0.1)].into(),
        encryption_factor: None,
        secagg: None,
        device: "cpu".into(),
        warnings: Vec::new(),
        n_samples: 100,
        n_steps: 4,
        train_loss: Some(0.5),
        evaluation: None,
        receipt: None,
        timing: NodeTiming::default(),
    }
}

fn receipt(node: &Member, researcher: &Member, request: &RoundRequest) -> Receipt {
    let opening = Opening::new(BlobRef::of(b"data").sha256, None, None).unwrap();
    Receipt {
        version: RECEIPT_VERSION,
        federation: node.membership().federation.clone(),
        node: node.participant().clone(),
        researcher: researcher.participant().clone(),
        request_sha256: BlobRef::of(b"header").sha256,
        request: request.clone(),
        approved_by: "policy any".into(),
        engine: Engine {
            fedwasm: "0.1.0".into(),
            wasmtime: "48".into(),
            profile: "standard".into(),
            target: "x86_64".into(),
        },
        limits: Limits::default(),
        dataset: opening.dataset(),
        state_in: None,
        result: RunResult {
            params: Some(BlobRef::of(b"trained")),
            aux: None,
            sums: None,
            memory_bytes: Some(1 << 20),
            fuel: None,
            state_out: None,
            n_samples: 100,
            n_steps: 4,
            train_loss: Some(0.5),
            evaluation: None,
            optimizer_args: [].into(),
            encryption_factor: None,
            secagg: None,
            masks: None,
        },
        time_ms: NOW,
        previous: None,
    }
}
