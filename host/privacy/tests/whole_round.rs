//! From trained parameters at the nodes to the parameters after a round, next to the mean in the clear.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use fedwasm_params::{Params, Tensor, weighted_mean};
use fedwasm_privacy::masking::{Advertised, Context};
use fedwasm_privacy::{
    CHECK_LANES, Clip, Counts, Error, Layout, Quantiser, Stream, Sum, Variance, Vectors, moved,
    update, vectors_from_params, vectors_to_params,
};
use fedwasm_protocol::{Digest, NodeId};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use support::{binding, parties, rng, sign, verify};

const CLIP: f64 = 2.0;

/// How the numbers of a federation become lanes.
struct Coding {
    quantiser: Quantiser,
    correct: Counts,
    layout: Layout,
}

impl Coding {
    fn new(received: &Params, weight_max: u64, noise_max: u64) -> Self {
        let quantiser = Quantiser::new::<u64>(CLIP, 24, weight_max, 16, noise_max).unwrap();
        let correct = Counts::new::<u64>(weight_max, 16).unwrap();
        let n = received.iter().map(|(_, tensor)| tensor.data().len() / 4).sum::<usize>();
        let meaning =
            format!("{:?}", received.iter().map(|(name, t)| (name, t.shape())).collect::<Vec<_>>());
        let layout = Layout::default()
            .with(Stream::Params, n + CHECK_LANES, &[&quantiser.encoding(), meaning.as_bytes()])
            .with(Stream::Metrics, 3, &[&correct.encoding(), b"rows, correct"]);
        Self { quantiser, correct, layout }
    }
}

/// What a node trained, on how many rows, and how many of them it got right.
struct Trained {
    params: Params,
    rows: u64,
    correct: u64,
}

fn params(weights: &[f32], frozen: f32) -> Params {
    let weights = Tensor::from_f32(vec![weights.len() as u64], weights).unwrap();
    let frozen = Tensor::from_f32(vec![], &[frozen]).unwrap();
    Params::new(vec![("weights".into(), weights), ("frozen".into(), frozen)]).unwrap()
}

/// Any parameters, and what nodes made of them; none moves by more than the clip.
fn trained(rng: &mut ChaCha20Rng, nodes: usize, values: usize) -> (Params, Vec<Trained>) {
    let mut real = |scale: f64| (rng.next_u32() as f64 / f64::from(u32::MAX) - 0.5) * scale;
    let start: Vec<f32> = (0..values).map(|_| real(20.0) as f32).collect();
    let step = CLIP / (values as f64).sqrt();
    let one = |_| {
        let weights: Vec<f32> = start.iter().map(|value| value + real(step) as f32).collect();
        let rows = 1 + ((real(1.0) + 0.5) * 999.0) as u64;
        Trained { params: params(&weights, 0.1), rows, correct: rows / 2 }
    };
    let trained = (0..nodes).map(one).collect();
    (params(&start, 0.1), trained)
}

/// Runs the round: a node's part is what it hands to the repository, the researcher's what it reads.
fn round(
    received: &Params,
    coding: &Coding,
    trained: &[Trained],
    noise: Option<Variance>,
    rng: &mut ChaCha20Rng,
) -> Result<(Params, u64, Vec<u64>), Error> {
    let (id, roster, parties) =
        (Digest::of(b"context"), Digest::of(b"roster"), parties(trained.len()));
    let context = Context { id, roster, parties: parties.clone() };
    let draw = |node: &NodeId| Advertised::new(context.clone(), node, rng, &sign(node));
    let advertised: Vec<_> = parties.iter().map(draw).collect::<Result<_, _>>()?;
    let keys: Vec<_> = advertised.iter().map(|one| one.keys().clone()).collect();
    let binding = binding(1, &coding.layout);

    let mut sum = Sum::<u64>::new(parties.clone(), coding.layout.clone());
    for ((node, advertised), trained) in parties.iter().zip(advertised).zip(trained) {
        let mut update = update(&trained.params, received)?;
        Clip::new(CLIP)?.apply(&mut update)?;
        let weight = if noise.is_some() { 1 } else { trained.rows };
        let mut lanes = coding.quantiser.encode::<u64>(&update, weight)?;
        if let Some(share) = noise {
            coding.quantiser.add_noise(&mut lanes, share, 16, rng)?;
        }
        let metrics = coding.correct.encode(&[trained.rows, trained.correct])?;
        let clear: Vectors<u64> = [(Stream::Params, lanes), (Stream::Metrics, metrics)].into();
        let pads = advertised.agree(&keys, &verify)?.pads(&binding, &mut |_| Ok(()))?;
        let uploaded = vectors_to_params(&pads.mask(&coding.layout, clear)?)?;
        sum.add(node, &vectors_from_params(uploaded, &coding.layout)?)?;
    }
    let (sums, n) = (sum.finish()?, trained.len() as u32);
    let (mean, weight) = coding.quantiser.decode(&sums[&Stream::Params], n)?;
    let metrics = coding.correct.decode(&sums[&Stream::Metrics], n)?;
    Ok((moved(received, &mean)?, weight, metrics))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn a_masked_round_gives_the_mean_in_the_clear(seed: u64, nodes in 3usize..7, values in 1usize..700) {
        let mut rng = rng(seed);
        let (received, trained) = trained(&mut rng, nodes, values);
        let coding = Coding::new(&received, 1_000, 0);
        let (after, rows, metrics) = round(&received, &coding, &trained, None, &mut rng).unwrap();
        let sets: Vec<(f64, &Params)> =
            trained.iter().map(|one| (one.rows as f64, &one.params)).collect();
        let clear = weighted_mean(&sets).unwrap();
        for ((_, after), (_, clear)) in after.iter().zip(clear.iter()) {
            for (after, clear) in after.floats().unwrap().iter().zip(clear.floats().unwrap()) {
                // Either is rounded to float32 once.
                let rounding = f64::from(f32::EPSILON) * clear.abs();
                prop_assert!((after - clear).abs() <= coding.quantiser.error_max() + rounding);
            }
        }
        prop_assert_eq!(after.tensor("frozen"), received.tensor("frozen"));
        let expected = trained.iter().fold((0, 0), |sum, one| (sum.0 + one.rows, sum.1 + one.correct));
        prop_assert_eq!((rows, metrics), (expected.0, vec![expected.0, expected.1]));
    }
}

#[test]
fn a_noised_round_gives_the_unweighted_mean_and_noise() {
    let mut rng = rng(1);
    let (received, trained) = trained(&mut rng, 5, 2_000);
    // z = 0.001 of an update of 2,000 values: enough to be seen, too little to hide anything.
    let quantiser = Coding::new(&received, 1, 0).quantiser;
    let sigma = 1e-3 * quantiser.norm_max(CLIP, 2_001);
    let share = Variance::at_least(sigma).unwrap().share(5).unwrap();
    let coding = Coding::new(&received, 1_000, share.noise_max(16));
    let (after, weight, _) = round(&received, &coding, &trained, Some(share), &mut rng).unwrap();
    assert_eq!(weight, 5);
    let sets: Vec<(f64, &Params)> = trained.iter().map(|one| (1.0, &one.params)).collect();
    let clear = weighted_mean(&sets).unwrap().tensor("weights").unwrap().floats().unwrap();
    let after = after.tensor("weights").unwrap().floats().unwrap();
    let squares = after.iter().zip(&clear).map(|(after, clear)| (after - clear).powi(2));
    let deviation = (squares.sum::<f64>() / 2_000.0).sqrt();
    let expected = sigma * coding.quantiser.step() / 5.0;
    assert!((deviation / expected - 1.0).abs() < 0.1, "{deviation}, {expected}");
}
