//! What masks, noise and the accountant cost: the fastest of some rounds and the median, in processor time:
//!
//! ```text
//! cargo bench -p fedwasm-privacy --bench privacy
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "this is what a benchmark is for")]

use fedwasm_privacy::account::{Accountant, Mechanism};
use fedwasm_privacy::double_masking::{Advertised as Drawn, Setup, TakesKeys, threshold_min};
use fedwasm_privacy::masking::{Advertised, Context};
use fedwasm_privacy::{
    Binding, Layout, Parties, Quantiser, Stream, Sum, Variance, Vectors, add_noise,
};
use fedwasm_protocol::{Digest, NodeId};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rustix::time::{ClockId, clock_gettime};

const TIMES: u64 = 15;
const PARAMS: usize = 1_000_000;

fn main() {
    for n in [3, 10] {
        masking(n);
    }
    double_masking(5);
    noise();
    account();
}

/// A round of `n` nodes with a million parameters in 64-bit lanes.
fn masking(n: usize) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let nodes: Vec<NodeId> = (0..n).map(|k| format!("node-{k:02}").parse().unwrap()).collect();
    let parties = Parties::new(nodes.clone(), 3).unwrap();
    let (id, roster) = (Digest::of(b"context"), Digest::of(b"roster"));
    let context = Context { id, roster, parties: parties.clone() };
    let start = now();
    let advertised: Vec<Advertised> = nodes
        .iter()
        .map(|node| Advertised::new(context.clone(), node, &mut rng, &|_| Ok(vec![])).unwrap())
        .collect();
    let keys: Vec<_> = advertised.iter().map(|one| one.keys().clone()).collect();
    let mut agreed: Vec<_> =
        advertised.into_iter().map(|one| one.agree(&keys, &|_, _, _| Ok(())).unwrap()).collect();
    let agree_ms = ms(start) / n as f64;

    let quantiser = Quantiser::new::<u64>(1.0, 24, 1 << 17, 64, 0).unwrap();
    let values: Vec<f64> = (0..PARAMS).map(|k| (k as f64).sin()).collect();
    let layout = Layout::default().with(Stream::Params, PARAMS + 2, &[&quantiser.encoding()]);
    let plan = Digest::of(b"plan");
    let (mut encode_ms, mut mask_ms, mut add_ms, mut decode_ms) = (vec![], vec![], vec![], vec![]);
    for round in 1..=TIMES {
        let layout_digest = layout.digest::<u64>();
        let binding = Binding { round, plan, params: plan, arguments: plan, layout: layout_digest };
        let mut sum = Sum::new(parties.clone(), layout.clone());
        for (node, agreed) in nodes.iter().zip(&mut agreed) {
            let start = now();
            let lanes = quantiser.encode::<u64>(&values, 100).unwrap();
            encode_ms.push(ms(start));
            let start = now();
            let pads = agreed.pads(&binding, &mut |_| Ok(())).unwrap();
            let masked = pads.mask(&layout, Vectors::from([(Stream::Params, lanes)])).unwrap();
            mask_ms.push(ms(start));
            let start = now();
            sum.add(node, &masked).unwrap();
            add_ms.push(ms(start));
        }
        let sums = sum.finish().unwrap();
        let start = now();
        quantiser.decode(&sums[&Stream::Params], n as u32).unwrap();
        decode_ms.push(ms(start));
    }
    let mask_bytes = (n - 1) as f64 * 8.0 * PARAMS as f64;
    let rate = mask_bytes / fastest(&mask_ms) / 1e6;
    let [encode, mask, add, decode] = [encode_ms, mask_ms, add_ms, decode_ms].map(told);
    println!("{n} nodes, {PARAMS} parameters, 64-bit lanes:");
    println!("  a node, once: drawing, signing nothing, agreeing {agree_ms:.2} ms");
    println!("  a node, a round: quantising {encode}, masking {mask}: {rate:.2} GB/s of masks");
    println!("  researcher, a round: adding {add} a node, decoding {decode}");
}

/// A round of `n` nodes, one of which is lost after it shared.
fn double_masking(n: usize) {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let nodes: Vec<NodeId> = (0..n).map(|k| format!("node-{k:02}").parse().unwrap()).collect();
    let layout = Layout::default().with(Stream::Params, PARAMS, &[]);
    let (id, parties) = (Digest::of(b"setup"), Parties::new(nodes.clone(), 3).unwrap());
    let [plan, params, arguments] = [id; 3];
    let binding = Binding { round: 1, plan, params, arguments, layout: layout.digest::<u64>() };
    let threshold = threshold_min(n) as u32;
    let setup = Setup { id, roster: id, parties, threshold, binding };
    let (mut keys_ms, mut mask_ms, mut unmask_ms) = (vec![], vec![], vec![]);
    for _ in 0..TIMES {
        let start = now();
        let mut step = TakesKeys::new(setup.clone()).unwrap();
        let mut draw = |node| Drawn::new(setup.clone(), node, &mut rng, &|_| Ok(vec![])).unwrap();
        let drawn: Vec<_> = nodes.iter().map(&mut draw).collect();
        drawn.iter().for_each(|node| step.take(node.keys().clone(), &|_, _, _| Ok(())).unwrap());
        let (mut step, keys) = step.close().unwrap();
        let mut shared = Vec::new();
        for node in drawn {
            let (node, shares) = node.share(&keys, &mut rng, &|_, _, _| Ok(())).unwrap();
            step.take(shares).unwrap();
            shared.push(node);
        }
        let (mut step, boxes) = step.close::<u64>(layout.clone()).unwrap();
        let received = shared.into_iter().zip(boxes.values());
        let received: Vec<_> = received.map(|(one, boxes)| one.receive(boxes).unwrap()).collect();
        keys_ms.push(ms(start) / n as f64);
        let mut masked = Vec::new();
        for (node, received) in nodes.iter().zip(received).skip(1) {
            let clear = Vectors::from([(Stream::Params, vec![7u64; PARAMS])]);
            let start = now();
            let (one, vectors) = received.mask(&layout, clear, &mut |_| Ok(())).unwrap();
            mask_ms.push(ms(start));
            step.take(node, &vectors).unwrap();
            masked.push(one);
        }
        let (mut step, survivors) = step.close().unwrap();
        let mut consented = Vec::new();
        for one in masked {
            let (one, consent) = one.consent(&survivors, &|_| Ok(vec![])).unwrap();
            step.take(consent, &|_, _, _| Ok(())).unwrap();
            consented.push(one);
        }
        let (mut step, consents) = step.close().unwrap();
        for one in consented {
            step.take(one.reveal(&consents, &|_, _, _| Ok(())).unwrap()).unwrap();
        }
        let start = now();
        let (sums, _) = step.close().unwrap();
        unmask_ms.push(ms(start));
        assert!(sums[&Stream::Params].iter().all(|sum| *sum == 7 * (n as u64 - 1)));
    }
    let [keys, mask, unmask] = [keys_ms, mask_ms, unmask_ms].map(told);
    println!("double masking, {n} nodes, {PARAMS} parameters, one node lost:");
    println!("  a node: keys and shares {keys}, masking {mask}; researcher: unmasking {unmask}");
}

fn noise() {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    for sigma in [1.0, 1e6] {
        let variance = Variance::at_least(sigma).unwrap();
        let mut lanes = vec![0u64; PARAMS];
        let start = now();
        add_noise(&mut lanes, variance, &mut rng);
        println!("noise of sigma {sigma} on {PARAMS} lanes: {:.0} ms", ms(start));
    }
}

fn account() {
    let start = now();
    let mut accountant = Accountant::default();
    let mechanism = Mechanism { noise_multiplier: 1.0, sampling_rate: 0.01, steps: 1_000 };
    accountant.add(&mechanism).unwrap();
    let epsilon = accountant.epsilon(1e-5).unwrap();
    println!("accountant, one sampled mechanism: {:.1} ms (epsilon {epsilon:.6})", ms(start));
}

/// Processor time of this thread in milliseconds: other processes share the cores.
fn now() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

fn ms(start: f64) -> f64 {
    now() - start
}

fn fastest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn told(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    format!("{:.1} ms (median {:.1})", values[0], values[values.len() / 2])
}
