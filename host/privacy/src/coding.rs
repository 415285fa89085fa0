//! How the results of a round become vectors, and sums of vectors the results of all. Equal at all
//! nodes and at the researcher: its layout is part of what masks are bound to.

use std::collections::BTreeMap;

use fedwasm_params::DType;
use fedwasm_protocol::{Digest, Evaluation, Metrics, SECAGG_METRICS_MAX, SecaggArgs};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::{CHECK_LANES, Counts, Error, Layout, Quantiser, Stream, Variance, Vectors};

/// The most that the noise of all nodes adds to a lane, where there may be noise. With it a wrong mask
/// still passes the range check of a lane with a chance of at most 2^-12.
const NOISE_MAX: u64 = 1 << 50;
/// Bits of sums, and the most of a metric.
const SUM_BITS: u32 = 51;
const METRIC_BITS_MAX: u32 = 32;
/// Bits of the check value.
const CHECK_BITS: u32 = 24;
/// The largest count of a node: 64 of them stay below 2^51.
const COUNT_MAX: u64 = 1 << 44;
/// Counts of a node: rows of the training part, steps, rows that were scored.
const COUNTS: usize = 3;
/// The most values of a vector: check lanes and bytes beside them stay far from 2^64.
const VALUES_MAX: usize = 1 << 40;
/// Lanes of a metric: one value, its weight, and a 1.
const METRIC_LANES: usize = 1 + CHECK_LANES;
/// The training loss stands before the metrics.
const LOSSES: usize = 1;

/// A tensor of a vector: its name, element type and shape.
pub type VectorSpec<'a> = (&'a str, DType, &'a [u64]);

/// Whole numbers that are summed exactly beside everything else, each of a node up to 2^44.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    /// How many.
    pub n: u64,
    /// The digest of their meanings, in order: equal at all nodes.
    pub meaning: Digest,
}

/// The results of a node.
#[derive(Clone, Copy, Debug)]
pub struct Results<'a> {
    /// The update, clipped; empty when a model is scored.
    pub update: &'a [f64],
    /// The change of auxiliary variables that stay at the node, or those that leave; may be empty.
    pub aux: &'a [f64],
    /// Rows of the training part.
    pub n_samples: u64,
    /// Optimizer steps.
    pub n_steps: u64,
    /// Mean training loss.
    pub train_loss: Option<f64>,
    /// Scores on held-out rows.
    pub evaluation: Option<&'a Evaluation>,
    /// [`Numbers`]; empty without some.
    pub numbers: &'a [u64],
}

/// The vectors of a node, in the clear: they must not leave without masks.
pub struct Encoded {
    /// The vectors.
    pub vectors: Vectors<u64>,
    /// Metrics that are not in them: the request does not name them, or they are too large.
    pub left_out: Vec<String>,
}

/// The results of all nodes together.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The mean update; empty if a model was scored.
    pub mean: Vec<f64>,
    /// The sum of weights of that mean.
    pub weight: u64,
    /// The sums of auxiliary variables.
    pub aux: Vec<f64>,
    /// Rows of all training parts.
    pub n_samples: u64,
    /// All optimizer steps.
    pub n_steps: u64,
    /// The mean training loss, weighted by rows.
    pub train_loss: Option<f64>,
    /// Scores on all held-out rows, weighted by rows.
    pub evaluation: Option<Evaluation>,
    /// The sums of [`Numbers`], of any 64 bits each.
    pub numbers: Vec<u64>,
}

/// The coding of a round.
#[derive(Clone, Debug)]
pub struct Coding {
    update: Quantiser,
    aux: Quantiser,
    metric: Quantiser,
    check: Option<(Quantiser, f64)>,
    counts: Counts,
    metrics: Vec<String>,
    equal_weights: bool,
    n_update: usize,
    n_aux: usize,
    n_numbers: usize,
    layout: Layout,
}

impl Coding {
    /// Returns the coding of a round.
    ///
    /// * `parties` — the nodes that are asked.
    /// * `params` — the parameters that training changes, float32 or float64; none when a model is
    ///   scored.
    /// * `aux` — the auxiliary variables that are summed.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings whose sums could be wrong, element types that have no mean, and
    /// metrics that are too many or named twice.
    pub fn new(
        args: &SecaggArgs,
        parties: usize,
        params: &[VectorSpec<'_>],
        aux: &[VectorSpec<'_>],
    ) -> Result<Self, Error> {
        let parties = u32::try_from(parties).unwrap_or(u32::MAX);
        let (weight_max, noise_max) = match args.equal_weights {
            true => (1, NOISE_MAX),
            false => (args.rows_max, 0),
        };
        check_metrics(&args.metrics)?;
        let quantiser = |range, bits, weight_max, noise_max| {
            Quantiser::new::<u64>(range, bits, weight_max, parties, noise_max)
        };
        let rows = u128::from(args.rows_max) * u128::from(parties);
        let rows_bits = u128::BITS - rows.leading_zeros();
        let bits = METRIC_BITS_MAX.min(SUM_BITS.saturating_sub(rows_bits));
        let update = quantiser(args.clip, args.bits, weight_max, noise_max)?;
        let of_aux = quantiser(args.clip, args.bits, 1, 0)?;
        let metric = quantiser(args.metrics_clip, bits, args.rows_max, 0)?;
        let check = match args.random {
            Some(random) => Some((quantiser(1.0, CHECK_BITS, 1, 0)?, random)),
            None => None,
        };
        let counts = Counts::new::<u64>(COUNT_MAX, parties)?;
        let (n_update, n_aux) = (n_values(params)?, n_values(aux)?);

        let mut layout = Layout::default();
        for (stream, n, coding, specs) in
            [(Stream::Params, n_update, update, params), (Stream::AuxVars, n_aux, of_aux, aux)]
        {
            if !specs.is_empty() {
                let meaning = [coding.encoding(), encoding(specs)];
                layout = layout.with(stream, n + CHECK_LANES, &meaning.each_ref().map(|m| &m[..]));
            }
        }
        layout = layout.with(Stream::Counts, COUNTS + 1, &[&counts.encoding()]);
        let n_metrics = LOSSES + args.metrics.len();
        let mut meaning = vec![metric.encoding()];
        meaning.extend(args.metrics.iter().map(|name| name.clone().into_bytes()));
        let meaning: Vec<&[u8]> = meaning.iter().map(Vec::as_slice).collect();
        layout = layout.with(Stream::Metrics, n_metrics * METRIC_LANES, &meaning);
        if let Some((check, random)) = &check {
            let meaning = [check.encoding(), random.to_bits().to_be_bytes().to_vec()];
            let meaning = meaning.each_ref().map(|m| &m[..]);
            layout = layout.with(Stream::Check, 1 + CHECK_LANES, &meaning);
        }
        let (metrics, equal_weights) = (args.metrics.clone(), args.equal_weights);
        let aux = of_aux;
        Ok(Self {
            update,
            aux,
            metric,
            check,
            counts,
            metrics,
            equal_weights,
            n_update,
            n_aux,
            n_numbers: 0,
            layout,
        })
    }

    /// The same with whole numbers beside the rest.
    ///
    /// # Errors
    /// [`Error::Setting`] for too many.
    pub fn with_numbers(mut self, numbers: &Numbers) -> Result<Self, Error> {
        let n = usize::try_from(numbers.n).ok().filter(|n| (1..=VALUES_MAX).contains(n));
        let Some(n) = n else {
            return Err(Error::setting("numbers", numbers.n, "at least one, and fewer"));
        };
        let meaning = [self.counts.encoding(), numbers.meaning.as_bytes().to_vec()];
        let meaning = meaning.each_ref().map(|meaning| &meaning[..]);
        self.layout = self.layout.with(Stream::Numbers, n + 1, &meaning);
        self.n_numbers = n;
        Ok(self)
    }

    /// The layout of the vectors.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The quantiser of the update: its step, and the sensitivity that noise is measured by.
    pub fn update(&self) -> &Quantiser {
        &self.update
    }

    /// Whether noise can be added: updates that weigh by rows would scale it.
    pub fn takes_noise(&self) -> bool {
        self.equal_weights
    }

    /// Returns a node's vectors.
    ///
    /// # Errors
    /// [`Error::Length`] for other numbers of values than the layout has; those of
    /// [`Quantiser::encode`] and [`Counts::encode`].
    pub fn encode(&self, results: &Results<'_>) -> Result<Encoded, Error> {
        let Results { update, aux, n_samples, n_steps, train_loss, evaluation, numbers } = *results;
        for (what, got, expected) in [
            ("values of the update", update.len(), self.n_update),
            ("auxiliary variables", aux.len(), self.n_aux),
            ("numbers", numbers.len(), self.n_numbers),
        ] {
            if got != expected {
                return Err(Error::Length { what, got, expected });
            }
        }
        let weight = if self.equal_weights { 1 } else { n_samples };
        let n_rows = evaluation.map_or(0, |evaluation| evaluation.n_rows);
        let mut vectors = Vectors::new();
        for (stream, _) in self.layout.lengths() {
            let lanes = match stream {
                Stream::Params => self.update.encode(update, weight)?,
                Stream::AuxVars => self.aux.encode(aux, 1)?,
                Stream::Counts => self.counts.encode(&[n_samples, n_steps, n_rows])?,
                Stream::Numbers => self.counts.encode(numbers)?,
                Stream::Metrics | Stream::Check => continue,
            };
            vectors.insert(stream, lanes);
        }
        if let Some((check, random)) = &self.check {
            vectors.insert(Stream::Check, check.encode(&[*random], 1)?);
        }
        let (lanes, left_out) = self.encode_metrics(n_samples, train_loss, evaluation)?;
        vectors.insert(Stream::Metrics, lanes);
        Ok(Encoded { vectors, left_out })
    }

    fn encode_metrics(
        &self,
        n_samples: u64,
        train_loss: Option<f64>,
        evaluation: Option<&Evaluation>,
    ) -> Result<(Vec<u64>, Vec<String>), Error> {
        let empty = Metrics::new();
        let (all, n_rows) = evaluation.map_or((&empty, 0), |e| (&e.metrics, e.n_rows));
        let asked = |name: &String| self.metrics.contains(name);
        let mut left_out: Vec<String> = all.keys().filter(|name| !asked(name)).cloned().collect();
        let loss = ("train_loss", train_loss, n_samples);
        let scores =
            self.metrics.iter().map(|name| (name.as_str(), all.get(name).copied(), n_rows));
        let mut lanes = Vec::new();
        for (name, value, rows) in [loss].into_iter().chain(scores) {
            // A metric that a node does not have weighs nothing.
            let encoded = match self.metric.encode::<u64>(&[value.unwrap_or_default()], rows) {
                Err(Error::BeyondRange { .. } | Error::NotFiniteAt { .. }) => {
                    left_out.push(name.to_owned());
                    self.metric.encode(&[0.0], 0)?
                }
                Ok(_) if value.is_none() => self.metric.encode(&[0.0], 0)?,
                encoded => encoded?,
            };
            lanes.extend(encoded);
        }
        Ok((lanes, left_out))
    }

    /// Adds a node's noise to its update.
    ///
    /// * `share` — the variance of its part.
    /// * `nodes` — how many nodes add such a part at most.
    ///
    /// # Errors
    /// Those of [`Quantiser::add_noise`]; [`Error::Stream`] without an update.
    pub fn add_noise(
        &self,
        vectors: &mut Vectors<u64>,
        share: Variance,
        nodes: u32,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), Error> {
        let stream = Stream::Params;
        let lanes =
            vectors.get_mut(&stream).ok_or(Error::Stream { stream, fault: "is missing" })?;
        self.update.add_noise(lanes, share, nodes, rng)
    }

    /// Returns the results of `parties` nodes from the sums of their vectors.
    ///
    /// # Errors
    /// [`Error::Stream`] and [`Error::Length`] for other vectors than those of the layout;
    /// [`Error::Count`], [`Error::Weight`], [`Error::Sum`], [`Error::Check`] if they cannot be sums of
    /// that many nodes; [`Error::NoWeight`].
    pub fn decode(&self, sums: &Vectors<u64>, parties: usize) -> Result<Decoded, Error> {
        self.layout.check(sums)?;
        let parties = u32::try_from(parties).unwrap_or(u32::MAX);
        let of = |stream| sums.get(&stream).map(Vec::as_slice);
        let (mean, weight) = match of(Stream::Params) {
            Some(lanes) => self.update.decode(lanes, parties)?,
            None => (Vec::new(), 0),
        };
        let mut aux = match of(Stream::AuxVars) {
            Some(lanes) => self.aux.decode(lanes, parties)?.0,
            None => Vec::new(),
        };
        aux.iter_mut().for_each(|value| *value *= f64::from(parties));
        let counts = self.counts.decode(of(Stream::Counts).unwrap_or_default(), parties)?;
        let &[n_samples, n_steps, n_rows] = &counts[..] else {
            return Err(Error::Length { what: "counts", got: counts.len(), expected: COUNTS });
        };
        if let (Some((check, expected)), Some(lanes)) = (&self.check, of(Stream::Check)) {
            let (got, _) = check.decode(lanes, parties)?;
            let got = got.first().copied().unwrap_or(f64::NAN);
            // Written so that a NaN does not match.
            if !matches!((got - expected).abs().partial_cmp(&check.step()), Some(o) if o.is_le()) {
                return Err(Error::Check { got, expected: *expected });
            }
        }
        let mut means = BTreeMap::new();
        let lanes = of(Stream::Metrics).unwrap_or_default();
        let (lanes, _) = lanes.as_chunks::<METRIC_LANES>();
        let names = [None].into_iter().chain(self.metrics.iter().map(Some));
        for (name, lanes) in names.zip(lanes) {
            match self.metric.decode(lanes, parties) {
                Ok((mean, _)) => _ = means.insert(name, mean[0]),
                // None of the nodes has it.
                Err(Error::NoWeight) => {}
                Err(error) => return Err(error),
            }
        }
        let train_loss = means.remove(&None);
        let metrics = means.into_iter();
        let metrics: Metrics = metrics.filter_map(|(name, v)| Some((name?.clone(), v))).collect();
        let evaluation = (n_rows > 0).then_some(Evaluation { n_rows, metrics, sums: None });
        let numbers = match of(Stream::Numbers) {
            Some(lanes) => self.counts.decode(lanes, parties)?,
            None => Vec::new(),
        };
        Ok(Decoded { mean, weight, aux, n_samples, n_steps, train_loss, evaluation, numbers })
    }
}

fn check_metrics(metrics: &[String]) -> Result<(), Error> {
    if metrics.len() > SECAGG_METRICS_MAX {
        return Err(Error::setting("metrics", metrics.len(), "at most 64 names"));
    }
    let twice = |(at, name): &(usize, &String)| metrics[..*at].contains(name);
    match metrics.iter().enumerate().find(twice) {
        Some((_, name)) => Err(Error::setting("metrics", name, "a list that names each once")),
        None => Ok(()),
    }
}

/// How many values tensors have, all of them real.
fn n_values(specs: &[VectorSpec<'_>]) -> Result<usize, Error> {
    let mut sum = 0usize;
    for (name, dtype, shape) in specs {
        if !matches!(dtype, DType::Float32 | DType::Float64) {
            let rule = "float32 or float64, or it has no mean";
            return Err(Error::setting("element type", format!("{dtype:?} of `{name}`"), rule));
        }
        let n = shape.iter().try_fold(1u64, |n, dim| n.checked_mul(*dim));
        let n = n.and_then(|n| usize::try_from(n).ok());
        let all = n.and_then(|n| sum.checked_add(n)).filter(|sum| *sum <= VALUES_MAX);
        sum = all.ok_or_else(|| Error::setting("shape", format!("that of `{name}`"), "smaller"))?;
    }
    Ok(sum)
}

/// Names, element types and shapes as bytes.
fn encoding(specs: &[VectorSpec<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, dtype, shape) in specs {
        bytes.extend((name.len() as u64).to_be_bytes());
        bytes.extend(name.as_bytes());
        bytes.push(if *dtype == DType::Float64 { 64 } else { 32 });
        bytes.extend((shape.len() as u64).to_be_bytes());
        shape.iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
    }
    bytes
}

crate::secret!(Encoded);

#[cfg(test)]
mod tests {
    use fedwasm_protocol::{Digest, SecaggScheme};

    use super::*;

    fn args(metrics: &[&str]) -> SecaggArgs {
        SecaggArgs {
            scheme: SecaggScheme::Masking,
            sum_id: Digest::of(b"sum"),
            min_parties: 3,
            clip: 3.0,
            bits: 24,
            rows_max: 1_000,
            equal_weights: false,
            metrics: metrics.iter().map(|name| (*name).to_owned()).collect(),
            metrics_clip: 1_000.0,
            random: Some(0.123),
            servkey_id: None,
            biprime_id: None,
            shares: None,
        }
    }

    fn specs() -> [VectorSpec<'static>; 1] {
        [("w", DType::Float32, &[2])]
    }

    fn scores(n_rows: u64, metrics: &[(&str, f64)]) -> Evaluation {
        let metrics = metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Evaluation { n_rows, metrics, sums: None }
    }

    fn sum(all: &[Encoded]) -> Vectors<u64> {
        let mut sums = all[0].vectors.clone();
        for other in &all[1..] {
            for (stream, lanes) in &other.vectors {
                let sum = sums.get_mut(stream).unwrap();
                sum.iter_mut().zip(lanes).for_each(|(a, b)| *a = a.wrapping_add(*b));
            }
        }
        sums
    }

    #[test]
    fn results_of_all_are_weighted_by_rows() {
        let args = args(&["accuracy", "recall"]);
        let coding = Coding::new(&args, 3, &specs(), &[("c", DType::Float32, &[1])]).unwrap();
        let node = |n_samples, update: &[f64], aux: f64, loss, evaluation: &Evaluation| {
            let (aux, evaluation) = (&[aux][..], Some(evaluation));
            let n_steps = 7;
            let train_loss = loss;
            let numbers = &[];
            let results =
                Results { update, aux, n_samples, n_steps, train_loss, evaluation, numbers };
            coding.encode(&results).unwrap()
        };
        let all = [
            node(100, &[1.0, -2.0], 0.5, Some(0.5), &scores(10, &[("accuracy", 0.9)])),
            node(300, &[0.0, 2.0], -1.5, None, &scores(30, &[("accuracy", 0.5), ("recall", 1.0)])),
            node(600, &[3.0, 0.0], 0.25, Some(1.5), &scores(60, &[("accuracy", 1.0)])),
        ];
        assert!(all.iter().all(|encoded| encoded.left_out.is_empty()));
        let decoded = coding.decode(&sum(&all), 3).unwrap();
        let near = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-6, "{got}");
        near(decoded.mean[0], 1.9);
        near(decoded.mean[1], 0.4);
        near(decoded.aux[0], -0.75);
        assert_eq!((decoded.weight, decoded.n_samples, decoded.n_steps), (1_000, 1_000, 21));
        near(decoded.train_loss.unwrap(), (100.0 * 0.5 + 600.0 * 1.5) / 700.0);
        let evaluation = decoded.evaluation.unwrap();
        assert_eq!(evaluation.n_rows, 100);
        near(evaluation.metrics["accuracy"], 0.84);
        near(evaluation.metrics["recall"], 1.0);
        // One node fewer than is said.
        assert!(matches!(coding.decode(&sum(&all[..2]), 3), Err(Error::Count { .. })));
    }

    #[test]
    fn metrics_that_do_not_fit_stay_at_the_node() {
        let coding = Coding::new(&args(&["mse", "loss"]), 3, &[], &[]).unwrap();
        let evaluation = scores(10, &[("mse", 1e9), ("loss", 2.0), ("other", 1.0)]);
        let results = Results {
            update: &[],
            aux: &[],
            n_samples: 5,
            n_steps: 0,
            train_loss: None,
            evaluation: Some(&evaluation),
            numbers: &[],
        };
        let encoded = coding.encode(&results).unwrap();
        assert_eq!(encoded.left_out, ["other", "mse"]);
        let all = [(); 3].map(|()| coding.encode(&results).unwrap());
        let decoded = coding.decode(&sum(&all), 3).unwrap();
        let metrics = decoded.evaluation.unwrap().metrics;
        assert_eq!(metrics.keys().collect::<Vec<_>>(), ["loss"]);
        assert!(decoded.mean.is_empty());
    }

    #[test]
    fn whole_numbers_are_summed_exactly_and_mean_the_same_to_all() {
        let numbers = Numbers { n: 3, meaning: Digest::of(b"sums of a") };
        let coding =
            |numbers: &Numbers| Coding::new(&args(&[]), 3, &[], &[]).unwrap().with_numbers(numbers);
        let none = Results {
            update: &[],
            aux: &[],
            n_samples: 5,
            n_steps: 0,
            train_loss: None,
            evaluation: None,
            numbers: &[],
        };
        let own = coding(&numbers).unwrap();
        assert!(matches!(own.encode(&none), Err(Error::Length { .. })));
        let all = [[1, 1 << 44, 0], [2, 1 << 44, 7], [3, (1 << 44) - 1, 0]]
            .map(|numbers| own.encode(&Results { numbers: &numbers, ..none }).unwrap());
        let decoded = own.decode(&sum(&all), 3).unwrap();
        assert_eq!(decoded.numbers, [6, (3 << 44) - 1, 7]);
        let large = [0, (1 << 44) + 1, 0];
        assert!(own.encode(&Results { numbers: &large, ..none }).is_err());
        let other = Numbers { meaning: Digest::of(b"sums of b"), ..numbers };
        let layouts =
            [&own, &coding(&other).unwrap()].map(|coding| coding.layout().digest::<u64>());
        assert_ne!(layouts[0], layouts[1]);
        for n in [0, u64::MAX] {
            assert!(coding(&Numbers { n, ..numbers }).is_err());
        }
    }

    #[test]
    fn another_check_value_is_seen() {
        let coding = |random| {
            let args = SecaggArgs { random: Some(random), ..args(&[]) };
            Coding::new(&args, 3, &[], &[]).unwrap()
        };
        let results = Results {
            update: &[],
            aux: &[],
            n_samples: 5,
            n_steps: 0,
            train_loss: None,
            evaluation: None,
            numbers: &[],
        };
        let all = [0.5, 0.5, 0.6].map(|random| coding(random).encode(&results).unwrap());
        let error = coding(0.5).decode(&sum(&all), 3).unwrap_err();
        assert!(matches!(error, Error::Check { .. }), "{error}");
        assert_ne!(coding(0.5).layout().digest::<u64>(), coding(0.6).layout().digest::<u64>());
    }

    #[test]
    fn settings_that_cannot_be_summed_are_refused() {
        let new =
            |args: &SecaggArgs, dtype| Coding::new(args, 3, &[("w", dtype, &[2])], &[]).map(|_| ());
        let good = args(&["a"]);
        assert!(new(&good, DType::Float64).is_ok());
        assert!(matches!(new(&good, DType::Int64), Err(Error::Setting { .. })));
        let bad = [
            SecaggArgs { metrics: vec!["a".into(), "a".into()], ..good.clone() },
            SecaggArgs { metrics: vec!["a".into(); 65], ..good.clone() },
            SecaggArgs { rows_max: 0, ..good.clone() },
            SecaggArgs { rows_max: u64::MAX, ..good.clone() },
            SecaggArgs { clip: f64::NAN, ..good.clone() },
            SecaggArgs { metrics_clip: 0.0, ..good.clone() },
            SecaggArgs { bits: 1, ..good.clone() },
        ];
        for args in bad {
            assert!(matches!(new(&args, DType::Float32), Err(Error::Setting { .. })), "{args:?}");
        }
        let huge: VectorSpec<'_> = ("w", DType::Float32, &[u64::MAX, 2]);
        assert!(Coding::new(&good, 3, &[huge], &[]).is_err());
        // Alone it fits into a number; its check lanes do not.
        let most: VectorSpec<'_> = ("w", DType::Float32, &[u64::MAX]);
        assert!(Coding::new(&good, 3, &[most], &[]).is_err());
    }
}
