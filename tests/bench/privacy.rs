//! What masks cost: the fastest of some rounds, and the median, which other processes raise:
//!
//! ```text
//! cargo bench -p fedwasm-privacy --bench privacy
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "this is what a benchmark is for")]

use std::time::Instant;

use fedwasm_privacy::masking::{Advertised, Context};
use fedwasm_privacy::{Binding, Layout, Parties, Quantiser, Stream, Sum, Vectors};
use fedwasm_protocol::{Digest, NodeId};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

const TIMES: u64 = 15;
const PARAMS: usize = 1_000_000;

fn main() {
    for n in [3, 10] {
        masking(n);
    }
}

/// A round of `n` nodes with a million parameters in 64-bit lanes.
fn masking(n: usize) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let nodes: Vec<NodeId> = (0..n).map(|k| format!("node-{k:02}").parse().unwrap()).collect();
    let parties = Parties::new(nodes.clone(), 3).unwrap();
    let (id, roster) = (Digest::of(b"context"), Digest::of(b"roster"));
    let context = Context { id, roster, parties: parties.clone() };
    let start = Instant::now();
    let advertised: Vec<Advertised> = nodes
        .iter()
        .map(|node| Advertised::new(context.clone(), node, &mut rng, &|_| Ok(vec![])).unwrap())
        .collect();
    let keys: Vec<_> = advertised.iter().map(|one| one.keys().clone()).collect();
    let mut agreed: Vec<_> =
        advertised.into_iter().map(|one| one.agree(&keys, &|_, _, _| Ok(())).unwrap()).collect();
    let agree_ms = start.elapsed().as_secs_f64() * 1e3 / n as f64;

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
            let start = Instant::now();
            let lanes = quantiser.encode::<u64>(&values, 100).unwrap();
            encode_ms.push(ms(start));
            let start = Instant::now();
            let pads = agreed.pads(&binding, &mut |_| Ok(())).unwrap();
            let masked = pads.mask(&layout, Vectors::from([(Stream::Params, lanes)])).unwrap();
            mask_ms.push(ms(start));
            let start = Instant::now();
            sum.add(node, &masked).unwrap();
            add_ms.push(ms(start));
        }
        let sums = sum.finish().unwrap();
        let start = Instant::now();
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

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn fastest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn told(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    format!("{:.1} ms (median {:.1})", values[0], values[values.len() / 2])
}
