//! Noise measured, bounds that follow a quantile, the same bytes from the same seed, epsilons
//! against Python.

use fedwasm_aggregate::{AggregatorArgs, RoundSum, Update, Updates};
use fedwasm_params::{Params, Tensor, to_f64};
use fedwasm_protocol::{NodeId, sentences};

use super::*;

fn aggregator(text: &str) -> Box<dyn Aggregator> {
    AggregatorArgs::take(&mut Fields::new("aggregator", toml::from_str(text).unwrap())).build()
}

fn read(text: &str) -> Result<CentralArgs, String> {
    let table = toml::from_str(&format!("[privacy]\n{text}")).unwrap();
    let mut fields = Fields::new("", table);
    let args = CentralArgs::take(&mut fields);
    match &fields.finish()[..] {
        [] => Ok(args.unwrap()),
        mistakes => Err(sentences(mistakes, "\n")),
    }
}

fn args(noise_multiplier: f64, clip: f64) -> CentralArgs {
    read(&format!("noise_multiplier = {noise_multiplier:?}\nclip = {clip:?}")).unwrap()
}

fn of(args: &CentralArgs, seed: u8, inner: &str) -> Box<dyn Aggregator> {
    noised(args, &NoiseSeed::new([seed; 32]), aggregator(inner)).unwrap()
}

fn params(values: &[f32]) -> Params {
    let tensor = Tensor::from_f32(vec![values.len() as u64], values).unwrap();
    Params::new(vec![("w".into(), tensor)]).unwrap()
}

fn values(params: &Params) -> Vec<f64> {
    to_f64(params, params).unwrap()
}

/// A node for each vector; rows differ and must not count.
fn updates(vectors: &[Vec<f32>]) -> Updates {
    let update = |(n, values): (usize, &Vec<f32>)| {
        let node: NodeId = format!("n{n:03}").parse().unwrap();
        (node, Update { n_samples: 1 + 10 * n as u64, params: params(values) })
    };
    vectors.iter().enumerate().map(update).collect()
}

fn deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (squares / values.len() as f64).sqrt()
}

#[test]
fn noise_on_the_mean_has_the_deviation_of_multiplier_times_clip_over_nodes() {
    let d = 4_000;
    for (z, clip, n) in [(1.0, 0.5, 4), (0.01, 2.0, 1), (100.0, 1e-3, 7)] {
        // Far beyond the clip, and not at all.
        for trained in [30.0, 0.0] {
            let mut private = of(&args(z, clip), 1, "name = \"fedavg\"");
            let all = updates(&vec![vec![trained; d]; n]);
            let out = values(&private.aggregate(&params(&vec![0.0; d]), &all).unwrap());
            let ratio = deviation(&out) / (z * clip / n as f64);
            assert!((0.95..1.05).contains(&ratio), "{z} {clip} {n}: {ratio}");
            // All updates are the same, so their clipped mean has the length of the clip.
            let expected = if trained == 0.0 { 0.0 } else { clip / (d as f64).sqrt() };
            let mean = out.iter().sum::<f64>() / d as f64;
            let slack = 4.0 * z * clip / n as f64 / (d as f64).sqrt() + 1e-3 * clip;
            assert!((mean - expected).abs() < slack, "{z} {clip} {n}: {mean} {expected}");
            assert_eq!(private.numbers()["clip"], clip);
        }
    }
}

#[test]
fn nodes_weigh_alike_and_each_is_clipped() {
    // Norms 0.5 and 50; the second counts as 1 in its direction.
    let mut private = of(&args(0.01, 1.0), 2, "name = \"fedavg\"");
    let all = updates(&[vec![0.5, 0.0], vec![30.0, 40.0]]);
    let out = values(&private.aggregate(&params(&[0.0, 0.0]), &all).unwrap());
    for (got, expected) in out.iter().zip([(0.5 + 0.6) / 2.0, 0.4]) {
        assert!((got - expected).abs() < 0.03, "{got} {expected}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_other_updates_get_other_noise() {
    let d = 1_000;
    let start = params(&vec![0.25; d]);
    let run = |seed: u8, last: f32| {
        let mut private = of(&args(1.0, 1.0), seed, "name = \"fedavg\"");
        let all = updates(&[vec![0.25; d], vec![0.26; d], vec![last; d]]);
        values(&private.aggregate(&start, &all).unwrap())
    };
    assert_eq!(run(3, 0.25), run(3, 0.25));
    assert_ne!(run(3, 0.25), run(4, 0.25));
    // Had both the same noise, their difference would be the last update alone.
    let difference: Vec<f64> =
        run(3, 0.25).iter().zip(run(3, 0.2501)).map(|(a, b)| a - b).collect();
    let expected = std::f64::consts::SQRT_2 / 3.0;
    assert!((deviation(&difference) / expected - 1.0).abs() < 0.1, "{}", deviation(&difference));
}

#[test]
fn noise_does_not_follow_the_order_of_tensors() {
    let named = |values: &[f32], names: [&str; 2]| {
        let tensor = |name: &str| {
            let value = values[usize::from(name == "b")];
            (name.to_owned(), Tensor::from_f32(vec![1], &[value]).unwrap())
        };
        Params::new(names.map(tensor).into()).unwrap()
    };
    let run = |names| {
        let mut private = of(&args(1.0, 1.0), 10, "name = \"fedadam\"");
        let mut all = updates(&[vec![0.0], vec![0.0]]);
        all.values_mut().for_each(|one| one.params = named(&[0.5, -0.25], names));
        private.aggregate(&named(&[0.25, 0.5], names), &all).unwrap()
    };
    let (straight, reversed) = (run(["a", "b"]), run(["b", "a"]));
    assert!(straight.iter().all(|(name, tensor)| reversed.tensor(name) == Some(tensor)));
    assert_eq!(reversed.iter().next().unwrap().0, "b");
}

/// Nodes with the norms 0.05, 0.1, ..., 2: the median is 1.
fn settle(start: f64, quantile: f64) -> f64 {
    let text = format!(
        "noise_multiplier = 0.5\nclip = {start:?}\nadaptive = {{ quantile = {quantile:?} }}"
    );
    let mut private = of(&read(&text).unwrap(), 5, "name = \"fedavg\"");
    let all = updates(&(1..=40).map(|k| vec![k as f32 / 20.0]).collect::<Vec<_>>());
    let mut bounds = Vec::new();
    for round in 0..500 {
        // Another start, so that noise is another one too.
        let mut all = all.clone();
        let x = round as f32;
        all.values_mut().for_each(|one| {
            one.params = params(&[x + values(&one.params)[0] as f32]);
        });
        private.aggregate(&params(&[x]), &all).unwrap();
        bounds.push(private.numbers()["clip"]);
    }
    assert_eq!(bounds[0], start);
    bounds[250..].iter().sum::<f64>() / 250.0
}

#[test]
fn an_adaptive_clip_finds_the_quantile_from_both_sides() {
    for (quantile, norm) in [(0.5, 1.0), (0.9, 1.8)] {
        for start in [0.1, 5.0] {
            let bound = settle(start, quantile);
            assert!((bound - norm).abs() < 0.1, "{start}, {quantile}: {bound}");
        }
    }
}

#[test]
fn a_restored_state_goes_on_with_the_same_bytes() {
    let adaptive = read("noise_multiplier = 0.5\nclip = 1\nadaptive = {}").unwrap();
    for args in [args(0.5, 1.0), adaptive] {
        let fresh = || of(&args, 6, "name = \"fedadam\"");
        let (mut whole, mut global) = (fresh(), params(&[0.5, -0.5, 1.0]));
        for round in 0..4 {
            let mut resumed = fresh();
            resumed.restore(&whole.state().unwrap()).unwrap();
            let moved = |k: usize| -> Vec<f32> {
                values(&global).iter().map(|x| (x + 0.3 * k as f64) as f32).collect()
            };
            let all = updates(&(0..3 + round).map(moved).collect::<Vec<_>>());
            let after = whole.aggregate(&global, &all).unwrap();
            assert_eq!(resumed.aggregate(&global, &all).unwrap(), after);
            assert_eq!(resumed.state().unwrap(), whole.state().unwrap());
            assert_eq!(resumed.numbers(), whole.numbers());
            global = after;
        }
        // A state of something else.
        let mut other = of(&args, 6, "name = \"fedadam\"");
        let before = other.state().unwrap();
        assert!(other.restore(&params(&[1.0])).is_err());
        assert_eq!(other.state().unwrap(), before);
    }
}

fn sum(vectors: &[f32], n: usize) -> RoundSum {
    let nodes = updates(&vec![vec![0.0]; n]).into_keys().collect();
    RoundSum { nodes, n_samples: 9, params: params(vectors), aux: Params::default() }
}

#[test]
fn a_sum_of_clipped_updates_gets_the_same_noise_and_an_unclipped_one_is_refused() {
    let d = 4_000;
    let mut private = of(&args(1.0, 0.5), 7, "name = \"fedavg\"");
    assert_eq!(private.of_sums(), Some(Weights::Equal));
    private.expect_sums().unwrap();
    let start = params(&vec![0.1; d]);
    let out = private.take_sum(&start, &sum(&vec![0.1; d], 4)).unwrap();
    let ratio = deviation(&values(&out)) / (0.5 / 4.0);
    assert!((0.95..1.05).contains(&ratio), "{ratio}");
    let error = private.take_sum(&start, &sum(&vec![0.11; d], 4)).unwrap_err().to_string();
    assert!(error.ends_with("a node did not clip its update"), "{error}");
    assert!(private.take_sum(&start, &sum(&vec![f32::NAN; d], 4)).is_err());
    assert!(private.take_sum(&start, &sum(&vec![0.1; d], 0)).is_err());

    let adaptive = read("noise_multiplier = 0.5\nclip = 1\nadaptive = {}").unwrap();
    let mut private = of(&adaptive, 7, "name = \"fedavg\"");
    let error = private.expect_sums().unwrap_err().to_string();
    assert!(error.starts_with("[privacy]: `adaptive` needs the norm"), "{error}");
    assert!(private.of_sums().is_none() && private.take_sum(&start, &sum(&[0.1], 1)).is_err());
}

#[test]
fn methods_that_see_more_than_a_mean_are_refused_by_name() {
    let seed = NoiseSeed::new([8; 32]);
    for name in ["fedavg", "fedavgm", "fedadagrad", "fedadam", "fedyogi"] {
        assert!(noised(&args(1.0, 1.0), &seed, aggregator(&format!("name = \"{name}\""))).is_ok());
    }
    for text in ["name = \"scaffold\"", "name = \"median\"", "name = \"krum\"\nf = 1"] {
        let error = noised(&args(1.0, 1.0), &seed, aggregator(text)).unwrap_err().to_string();
        assert!(error.contains("a mean is enough for fedavg, fedprox"), "{error}");
    }
}

/// A step of the grid of a clip such as the first is 0.
#[test]
fn numbers_of_a_history_that_are_out_of_range_are_refused() {
    let good = args(1.0, 1.0);
    for (key, wrong) in [
        ("clip", CentralArgs { clip: 1e-320, ..good.clone() }),
        ("clip", CentralArgs { clip: f64::NAN, ..good.clone() }),
        ("clip", CentralArgs { clip: 1e300, ..good.clone() }),
        ("noise_multiplier", CentralArgs { noise_multiplier: 0.0, ..good.clone() }),
        ("noise_multiplier", CentralArgs { noise_multiplier: 1e300, ..good.clone() }),
    ] {
        let inner = aggregator("name = \"fedavg\"");
        let error = noised(&wrong, &NoiseSeed::new([1; 32]), inner).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        let text = format!("{error} {}", source.unwrap_or_default());
        assert!(text.contains(&format!("`{key}` is")), "{text}");
    }
}

#[test]
fn updates_that_do_not_fit_or_come_out_of_turn_are_refused() {
    let mut private = of(&args(1.0, 1.0), 9, "name = \"fedavg\"");
    let start = params(&[0.0, 0.0]);
    assert!(private.aggregate(&start, &Updates::new()).is_err());
    for bad in [vec![0.0], vec![f32::NAN, 0.0], vec![f32::INFINITY, 0.0]] {
        assert!(private.aggregate(&start, &updates(&[bad])).is_err());
    }
    let all = updates(&[vec![0.0, 1.0], vec![1.0, 0.0]]);
    let samples = all.iter().map(|(node, one)| (node.clone(), one.n_samples)).collect();
    let (first, second) = (all.first_key_value().unwrap(), all.last_key_value().unwrap());
    let mut private = of(&args(1.0, 1.0), 9, "name = \"fedavg\"");
    assert!(private.add(first.0, &first.1.params).is_err());
    private.begin(&start, &samples).unwrap();
    assert!(private.add(second.0, &second.1.params).is_err());
    private.add(first.0, &first.1.params).unwrap();
    let error = private.finish().unwrap_err().to_string();
    assert_eq!(error, "[privacy]: the update of `n001` is missing");
    private.aggregate(&start, &all).unwrap();
}

#[test]
fn epsilons_are_those_of_dp_accounting() {
    let text = include_str!("../../../../tests/data/privacy_account.json");
    let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut seen = 0;
    for row in vectors["settings"].as_array().unwrap() {
        let (Some(expected), Some(steps)) = (row["gaussian"].as_f64(), row["steps"].as_u64())
        else {
            continue;
        };
        let (z, delta) = (row["z"].as_f64().unwrap(), row["delta"].as_f64().unwrap());
        let args = CentralArgs { delta, ..args(z, 1.0) };
        let got = args.epsilon_after(steps as u32);
        assert!((got - expected).abs() < 1e-6 * expected.max(1.0), "{row}: {got}");
        seen += 1;
    }
    assert!(seen > 2, "{seen}");
}

#[test]
fn a_budget_has_room_for_whole_rounds_alone() {
    let four = args(1.0, 1.0).epsilon_after(4);
    let args = CentralArgs { epsilon: Some(four * 1.001), ..args(1.0, 1.0) };
    assert_eq!(args.is_spent(3), None);
    let reason = args.is_spent(4).unwrap();
    assert!(reason.contains("the next round would take epsilon from") && reason.contains("above"));
    assert_eq!(CentralArgs { epsilon: None, ..args.clone() }.is_spent(1_000), None);
    let record = args.record(3, &Metrics::from([("clip".into(), 0.25)]));
    assert_eq!((record.clip, record.epsilon), (0.25, args.epsilon_after(3)));
}

#[test]
fn mistakes_of_the_table_are_named() {
    let good = read("noise_multiplier = 1\nclip = 0.5\ndelta = 1e-5\nepsilon = 8").unwrap();
    assert_eq!((good.delta, good.epsilon, good.adaptive), (1e-5, Some(8.0), None));
    let adaptive = read("noise_multiplier = 1\nclip = 0.5\nadaptive = {}").unwrap();
    let expected = AdaptiveArgs { quantile: 0.5, learning_rate: 0.2, count_sigma: None };
    assert_eq!((adaptive.adaptive, adaptive.delta), (Some(expected), 1e-6));
    assert!(good.at_nodes().is_some_and(|dp| dp.sigma == 0.0 && dp.clip == 0.5));
    assert_eq!(adaptive.at_nodes(), None);
    for (text, expected) in [
        ("clip = 1", "`privacy.noise_multiplier` is missing"),
        ("noise_multiplier = 1", "`privacy.clip` is missing"),
        ("noise_multiplier = 0\nclip = 1", "expected 0.01 to 100"),
        ("noise_multiplier = 1\nclip = 0", "expected 1e-9 to 1e9"),
        ("noise_multiplier = 1\nclip = 1\ndelta = 0", "above 0 and at most 0.5"),
        ("noise_multiplier = 1\nclip = 1\nepsilon = 1", "a single round is worth 4.8866"),
        ("noise_multiplier = 1\nclip = 1\nsigma = 1", "`privacy.sigma` is unknown"),
        ("noise_multiplier = 1\nclip = 1\nadaptive = { quantile = 1 }", "between 0 and 1"),
        ("noise_multiplier = 1\nclip = 1\nadaptive = { rate = 1 }", "`privacy.adaptive.rate`"),
        ("noise_multiplier = 4\nclip = 1\nadaptive = { count_sigma = 2 }", "more than half"),
        ("noise_multiplier = 1\nclip = 1\nadaptive = 3", "`privacy.adaptive` is 3"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let dp = |sigma, clip| CentralArgs::of_dp_args(DpArgs { kind: DpKind::Central, sigma, clip });
    assert_eq!(dp(1.0, 0.5).unwrap(), args(1.0, 0.5));
    assert_eq!(dp(0.0, 0.5).unwrap_err().0, "sigma");
    assert_eq!(dp(1.0, 1e10).unwrap_err().0, "clip");
}

#[test]
fn the_file_of_a_seed_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(NoiseSeed::read(dir.path()).unwrap(), None);
    for byte in [1, 0xfe] {
        let seed = NoiseSeed::new([byte; 32]);
        seed.write(dir.path()).unwrap();
        assert_eq!(NoiseSeed::read(dir.path()).unwrap(), Some(seed));
    }
    let path = dir.path().join(NOISE_SEED);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("# A reader of this file can take the noise"), "{text}");
    for damaged in ["", "# x\n", "# x\nabc\n", &text.replace("fe", "fé"), &text.replace("fe", "+e")]
    {
        std::fs::write(&path, damaged).unwrap();
        let error = NoiseSeed::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("64 hexadecimal digits"), "{error}");
    }
    assert_eq!(format!("{:?}", NoiseSeed::new([7; 32])), "NoiseSeed");
}
