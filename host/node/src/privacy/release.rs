//! The step between training and the receipt. A [`Released`] is all that may leave, and only
//! [`Begun::release`] makes one: a round that was not begun in the ledger, or whose noise was
//! forgotten, does not compile.

use fedwasm_params::{DType, Params, from_safetensors, to_safetensors};
use fedwasm_privacy::{
    Clip, Encoded, Quantiser, Results, Variance, Vectors, clamp_each, moved, update,
};
use fedwasm_protocol::{Digest, Metrics, Mode, Reason, Refusal, RoundRequest};
use fedwasm_sandbox::{Declaration, Scope, TensorSpec};
use fedwasm_training::batches_max;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::compress::Compressing;
use super::ledger::{Entry, Passed};
use super::terms::{Terms, clip_alone};
use crate::Database;
use crate::refusal::refusal;
use crate::round::{Done, Used};
use crate::secagg::{Masked, SumRules, summed};

/// Bits of a quantised value. Noise of the least multiplier is 5,000 steps, so discrete noise is worth
/// as much as continuous noise; that of the largest is within the sampler's range.
const BITS: u32 = 20;
/// The most characters of a warning.
const WARNING_CHARS_MAX: usize = 400;

/// A round that may run: if it is to have noise, the ledger says so on the disk.
#[derive(Clone, Debug)]
pub(crate) enum Begun {
    Clear,
    Private {
        terms: Terms,
        /// Where the noise comes from. Secret: a reader of it can take the noise away.
        seed: [u8; 32],
    },
}

/// The result of a round as it may leave.
#[derive(Clone, Debug)]
pub(crate) struct Released {
    done: Done,
    masked: Option<Masked>,
}

impl Released {
    fn clear(done: Done) -> Self {
        Self::of(done, None)
    }

    pub(super) fn of(done: Done, masked: Option<Masked>) -> Self {
        Self { done, masked }
    }

    /// The result, and the vectors of a secure sum instead of its parameters.
    pub(crate) fn into_parts(self) -> (Done, Option<Masked>) {
        (self.done, self.masked)
    }
}

/// A result for a secure sum, which must be masked before it leaves.
pub(crate) struct Summand {
    /// The rest of it, which tells nothing.
    done: Done,
    pub(crate) vectors: Vectors<u64>,
    /// The ways in which the vectors depart from the result, in words.
    pub(crate) warnings: Vec<String>,
}

impl Summand {
    /// With its vectors masked, it may leave.
    pub(crate) fn masked(self, masked: Masked) -> Released {
        Released { done: self.done, masked: Some(masked) }
    }
}

/// Refuses a plan whose results the terms cannot protect, before it sees a row.
pub(crate) fn check_plan(
    terms: &Terms,
    declaration: &Declaration,
    mode: Mode,
) -> Result<(), Refusal> {
    let refused = |text: String| {
        let text = format!("under differential privacy, which this round is subject to, {text}");
        Err(refusal(Reason::Privacy, text))
    };
    if mode == Mode::Validate {
        return match terms.metrics.is_empty() {
            true => refused(
                "this node tells no metric (`metrics` under [privacy] of its node.toml), so it \
                 scores no model: set `test_on_global_updates = false`"
                    .into(),
            ),
            false => Ok(()),
        };
    }
    if let Some(spec) = declaration.aux_out.first() {
        return refused(format!(
            "the auxiliary variable `{}` may not leave this node: use a plan and an aggregator \
             without any, such as `fedavg`",
            spec.name
        ));
    }
    let is_real = |spec: &&TensorSpec| matches!(spec.dtype, DType::Float32 | DType::Float64);
    match summed(declaration).find(|spec| !is_real(spec)) {
        Some(spec) => refused(format!(
            "`{}` may not leave this node, since noise is added to float32 and float64 alone",
            spec.name
        )),
        None => Ok(()),
    }
}

/// How many values an update has.
pub(crate) fn n_values(declaration: &Declaration) -> u64 {
    let sizes = summed(declaration).map(|spec| spec.shape.iter().product::<u64>());
    sizes.fold(0, u64::saturating_add)
}

/// A round that is not begun yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning<'a> {
    pub(crate) request: &'a RoundRequest,
    pub(crate) request_sha256: &'a Digest,
    pub(crate) researcher: &'a fedwasm_protocol::ResearcherId,
    /// The digest of the dataset; none if it could not be read.
    pub(crate) content: Option<&'a Digest>,
    pub(crate) n_values: u64,
    pub(crate) time_ms: u64,
}

impl Begun {
    /// Writes the round into the ledger: it has spent, however it ends.
    ///
    /// * `terms` — none in the clear.
    pub(crate) fn begin(
        terms: Option<Terms>,
        database: &Database,
        of: Beginning<'_>,
    ) -> Result<Self, Refusal> {
        let Some(terms) = terms else { return Ok(Self::Clear) };
        let unwritten = |error: &dyn std::fmt::Display| {
            tracing::error!("the ledger of privacy could not be written: {error}");
            let text = "the node cannot write its ledger of privacy; its log says more".to_owned();
            refusal(Reason::Internal, text)
        };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| unwritten(&error))?;
        let Beginning { request, request_sha256, researcher, content, n_values, time_ms } = of;
        let entry = Entry {
            time_ms,
            dataset: &request.dataset_id,
            content,
            researcher,
            experiment: &request.experiment_id,
            round: request.round,
            mode: request.mode,
            request: request_sha256,
            n_values,
            terms: &terms,
            seed: &seed,
        };
        match database.spend(entry).map_err(|error| unwritten(&error))? {
            Ok(()) => Ok(Self::Private { terms, seed }),
            Err(passed) => Err(over(&request.dataset_id, passed)),
        }
    }

    /// The same round once more, with the noise of its entry in the ledger.
    pub(crate) fn again(noise: Option<(Terms, [u8; 32])>) -> Self {
        match noise {
            Some((terms, seed)) => Self::Private { terms, seed },
            None => Self::Clear,
        }
    }

    pub(crate) fn terms(&self) -> Option<&Terms> {
        match self {
            Self::Clear => None,
            Self::Private { terms, .. } => Some(terms),
        }
    }

    /// Makes a result fit to leave.
    ///
    /// * `received` — the parameters that the round started from, as safetensors.
    /// * `travels` — how its update does; none: as whole parameters.
    ///
    /// # Errors
    /// In words for the node's log: they follow from rows.
    pub(crate) fn release(
        &self,
        done: Done,
        received: &[u8],
        declaration: &Declaration,
        request: &RoundRequest,
        travels: Option<Compressing>,
    ) -> Result<Released, fedwasm_privacy::Error> {
        let released = self.protect(done, received, declaration, request)?;
        match travels {
            Some(how) => released.compressed(received, declaration, how),
            None => Ok(released),
        }
    }

    /// Clips and noises a result, as its terms say.
    fn protect(
        &self,
        done: Done,
        received: &[u8],
        declaration: &Declaration,
        request: &RoundRequest,
    ) -> Result<Released, fedwasm_privacy::Error> {
        let Self::Private { terms, seed } = self else {
            let clip = clip_alone(request.training.dp_args);
            return match (clip, &done.params) {
                (Some(clip), Some(trained)) => {
                    let params = Some(clipped(trained, received, declaration, clip)?);
                    Ok(Released::clear(Done { params, ..done }))
                }
                _ => Ok(Released::clear(done)),
            };
        };
        let params = match &done.params {
            Some(trained) => Some(noised(trained, received, declaration, terms, *seed)?),
            None => None,
        };
        Ok(Released::clear(Done { params, ..self.told(done, request) }))
    }

    /// Makes vectors for a secure sum of a result.
    ///
    /// # Errors
    /// As [`Begun::release`].
    pub(crate) fn sum(
        &self,
        done: Done,
        received: &[u8],
        declaration: &Declaration,
        request: &RoundRequest,
        SumRules { coding, terms }: &SumRules,
    ) -> Result<Summand, fedwasm_privacy::Error> {
        let (mut update, mut warnings) = (Vec::new(), Vec::new());
        if let Some(trained) = &done.params {
            (_, update) = update_of(trained, received, declaration)?;
            let clip = match self {
                Self::Private { terms, .. } => Some(terms.clip),
                Self::Clear => clip_alone(request.training.dp_args),
            };
            if let Some(clip) = clip {
                Clip::new(clip)?.apply(&mut update)?;
            }
            if clamp_each(&mut update, terms.clip)? > 0 && matches!(self, Self::Clear) {
                warnings.push(format!(
                    "the update has values beyond \u{b1} {}, which were limited: raise `secagg.clip`",
                    terms.clip
                ));
            }
        }
        let mut aux = changes(&done, declaration)?;
        if clamp_each(&mut aux, terms.clip)? > 0 {
            warnings.push(format!(
                "auxiliary variables beyond \u{b1} {} were limited: raise `secagg.clip`",
                terms.clip
            ));
        }
        let told = self.told(done, request);
        let encoded = coding.encode(&Results {
            update: &update,
            aux: &aux,
            n_samples: told.n_samples,
            n_steps: told.n_steps,
            train_loss: told.train_loss,
            evaluation: told.evaluation.as_ref(),
            numbers: &told.numbers,
        })?;
        let Encoded { mut vectors, left_out } = encoded;
        warnings.extend(told_nothing_of(&left_out));
        if let (Self::Private { terms: dp, seed }, Mode::Train) = (self, request.mode) {
            let sensitivity = coding.update().norm_max(dp.clip, update.len());
            let honest = terms.honest_parties.unwrap_or(1);
            let all = Variance::at_least(dp.noise_multiplier * sensitivity)?;
            let rng = &mut ChaCha20Rng::from_seed(*seed);
            coding.add_noise(&mut vectors, all.share(honest)?, terms.parties, rng)?;
        }
        let done = Done {
            aux: None,
            used: Used::default(),
            optimizer_args: Metrics::new(),
            n_samples: 0,
            n_steps: 0,
            train_loss: None,
            evaluation: None,
            sums: None,
            numbers: Vec::new(),
            ..told
        };
        Ok(Summand { done, vectors, warnings })
    }

    /// The numbers of a result that differential privacy leaves, without its parameters.
    fn told(&self, done: Done, request: &RoundRequest) -> Done {
        let Self::Private { terms, .. } = self else { return Done { params: None, ..done } };
        Done {
            params: None,
            compressed: None,
            // `check_plan` has refused plans that have some.
            aux: None,
            aux_before: None,
            state_id: done.state_id,
            state_in: done.state_in,
            state_out: done.state_out,
            used: Used::default(),
            optimizer_args: Metrics::new(),
            n_samples: 1,
            // As many as one row makes: it follows from the request alone.
            n_steps: match request.mode {
                Mode::Train => batches_max(1, &request.training),
                Mode::Validate | Mode::Scale | Mode::Statistics => 0,
            },
            train_loss: terms.train_loss(done.train_loss),
            evaluation: done.evaluation.as_ref().map(|scores| terms.evaluation(scores)),
            // They have no noise: a node with terms is asked for none.
            sums: None,
            numbers: Vec::new(),
        }
    }
}

/// The metrics that are not in a sum, in words.
fn told_nothing_of(left_out: &[String]) -> Option<String> {
    let text = format!(
        "these metrics stay at the node, since the request does not name them or they are beyond \
         `secagg.metrics_clip`: {}",
        left_out.join(", ")
    );
    (!left_out.is_empty()).then(|| text.chars().take(WARNING_CHARS_MAX).collect())
}

/// The auxiliary variables of a result for a sum, in the order of the declaration: of those that stay
/// at the node their change.
fn changes(done: &Done, declaration: &Declaration) -> Result<Vec<f64>, fedwasm_privacy::Error> {
    let Some(aux) = &done.aux else { return Ok(Vec::new()) };
    let after = from_safetensors(aux)?;
    let mut changes = Vec::new();
    for TensorSpec { name, .. } in &declaration.aux_out {
        let Some(after) = after.tensor(name) else { continue };
        let before = done.aux_before.as_ref().and_then(|before| before.tensor(name));
        let before = before.and_then(fedwasm_params::Tensor::floats).unwrap_or_default();
        let before = before.into_iter().chain(std::iter::repeat(0.0));
        // Others than real tensors are in no sum: `SumRules` has refused them.
        let after = after.floats().unwrap_or_default();
        changes.extend(after.iter().zip(before).map(|(after, before)| after - before));
    }
    Ok(changes)
}

/// The received parameters, moved by the clipped update; as trained if that is within the clip.
fn clipped(
    trained: &[u8],
    received: &[u8],
    declaration: &Declaration,
    clip: f64,
) -> Result<Vec<u8>, fedwasm_privacy::Error> {
    let clip = Clip::new(clip)?;
    let mut is_within = false;
    let out = changed(trained, received, declaration, |mut update| {
        is_within = clip.apply(&mut update)?.is_unclipped();
        Ok(update)
    })?;
    Ok(if is_within { trained.to_vec() } else { out })
}

/// The received parameters, moved by the clipped and noised update.
fn noised(
    trained: &[u8],
    received: &[u8],
    declaration: &Declaration,
    terms: &Terms,
    seed: [u8; 32],
) -> Result<Vec<u8>, fedwasm_privacy::Error> {
    changed(trained, received, declaration, |mut update| {
        Clip::new(terms.clip)?.apply(&mut update)?;
        let quantiser = |noise_max| Quantiser::new::<u64>(terms.clip, BITS, 1, 1, noise_max);
        let sensitivity = quantiser(0)?.norm_max(terms.clip, update.len());
        let variance = Variance::at_least(terms.noise_multiplier * sensitivity)?;
        let quantiser = quantiser(variance.noise_max(1))?;
        let mut lanes: Vec<u64> = quantiser.encode(&update, 1)?;
        quantiser.add_noise(&mut lanes, variance, 1, &mut ChaCha20Rng::from_seed(seed))?;
        let (mean, _) = quantiser.decode(&lanes, 1)?;
        Ok(mean)
    })
}

/// The received parameters, moved by a change of the update. Parameters that are not trainable
/// leave as they came.
fn changed(
    trained: &[u8],
    received: &[u8],
    declaration: &Declaration,
    change: impl FnOnce(Vec<f64>) -> Result<Vec<f64>, fedwasm_privacy::Error>,
) -> Result<Vec<u8>, fedwasm_privacy::Error> {
    let (start, update) = update_of(trained, received, declaration)?;
    moved_by(&start, &change(update)?, received, declaration)
}

/// The received parameters, those that an update starts from moved by it.
pub(super) fn moved_by(
    start: &Params,
    update: &[f64],
    received: &[u8],
    declaration: &Declaration,
) -> Result<Vec<u8>, fedwasm_privacy::Error> {
    let moved = moved(start, update)?;
    let received = from_safetensors(received)?;
    let shared = declaration.model.iter().filter(|spec| spec.scope == Scope::Shared);
    let leaving = shared.filter_map(|spec| {
        let tensor = moved.tensor(&spec.name).or_else(|| received.tensor(&spec.name));
        Some((spec.name.clone(), tensor?.clone()))
    });
    Ok(to_safetensors(&Params::new(leaving.collect())?)?)
}

/// The parameters that an update starts from, and the update in float64.
pub(super) fn update_of(
    trained: &[u8],
    received: &[u8],
    declaration: &Declaration,
) -> Result<(Params, Vec<f64>), fedwasm_privacy::Error> {
    let (trained, received) = (from_safetensors(trained)?, from_safetensors(received)?);
    let part = |params: &Params| {
        let wanted = summed(declaration);
        let wanted = wanted.map(|spec| (spec.name.as_str(), spec.dtype, spec.shape.as_slice()));
        let names = summed(declaration).map(|spec| spec.name.as_str());
        let tensors =
            names.filter_map(|name| Some((name.to_owned(), params.tensor(name)?.clone())));
        let tensors = Params::new(tensors.collect())?.arrange(wanted)?;
        Params::new(summed(declaration).map(|spec| spec.name.clone()).zip(tensors).collect())
    };
    let (start, end) = (part(&received)?, part(&trained)?);
    let update = update(&end, &start)?;
    Ok((start, update))
}

/// The refusal of a round that the budget has no room for. All of it follows from the requests so
/// far.
fn over(dataset: &fedwasm_protocol::DatasetId, passed: Passed) -> Refusal {
    let Passed { spent, projected, budget } = passed;
    let text = format!(
        "the round would take dataset {dataset} to epsilon {projected:.4}, above its budget of \
         {budget} at this node (`epsilon` under [privacy] of its node.toml); {spent:.4} is spent"
    );
    refusal(Reason::Privacy, text)
}

/// The refusal of a round that failed under differential privacy, for its researcher: how it failed
/// follows from rows.
pub(crate) fn failed(refused: Refusal) -> Refusal {
    if refused.reason == Reason::Expired {
        return refused;
    }
    tracing::warn!("refused ({}): {}", refused.reason, refused.message);
    let text = "the round failed under differential privacy; the node's log says why";
    refusal(Reason::PlanFailed, text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::Floors;
    use crate::samples::round_request;
    use fedwasm_params::Tensor;
    use fedwasm_protocol::{DpArgs, DpKind};

    fn spec(name: &str, dtype: DType, n: u64) -> TensorSpec {
        TensorSpec {
            name: name.into(),
            dtype,
            shape: vec![n],
            trainable: true,
            scope: Scope::Shared,
        }
    }

    fn declaration(model: Vec<TensorSpec>) -> Declaration {
        let (inputs, targets, state) = (Vec::new(), Vec::new(), Vec::new());
        Declaration { inputs, targets, model, aux_in: Vec::new(), aux_out: Vec::new(), state }
    }

    fn terms(clip: f64, noise_multiplier: f64) -> Terms {
        let (clip, noise_multiplier) = (Some(clip), Some(noise_multiplier));
        Terms::of(&Floors { clip, noise_multiplier, ..Floors::default() }, None).unwrap()
    }

    fn bytes(named: &[(&str, &[f32])]) -> Vec<u8> {
        let tensor = |values: &[f32]| Tensor::from_f32(vec![values.len() as u64], values).unwrap();
        let named = named.iter().map(|(name, values)| ((*name).to_owned(), tensor(values)));
        to_safetensors(&Params::new(named.collect()).unwrap()).unwrap()
    }

    fn done(params: Option<Vec<u8>>) -> Done {
        Done {
            params,
            compressed: None,
            aux: Some(vec![1]),
            aux_before: None,
            state_id: None,
            state_in: None,
            state_out: None,
            used: Used { memory_bytes: Some(1 << 20), fuel: Some(8) },
            optimizer_args: [("lr".into(), 0.1)].into(),
            n_samples: 285,
            n_steps: 9,
            train_loss: Some(0.123_456),
            evaluation: None,
            sums: None,
            numbers: Vec::new(),
        }
    }

    fn values(bytes: &[u8], name: &str) -> Vec<f64> {
        let params = from_safetensors(bytes).unwrap();
        params.tensor(name).unwrap().floats().unwrap()
    }

    #[test]
    fn nothing_but_noised_parameters_leaves() {
        let declaration = declaration(vec![spec("w", DType::Float32, 2)]);
        let begun = Begun::Private { terms: terms(1.0, 1.0), seed: [7; 32] };
        let (received, trained) = (bytes(&[("w", &[1.0, 2.0])]), bytes(&[("w", &[1.5, 2.0])]));
        let request = round_request();
        let release = |begun: &Begun| {
            let done = done(Some(trained.clone()));
            let released = begun.release(done, &received, &declaration, &request, None);
            released.unwrap().into_parts().0
        };
        let out = release(&begun);
        assert_eq!((out.n_samples, out.n_steps, out.train_loss), (1, 1, None));
        assert_eq!((out.aux.clone(), out.used), (None, Used::default()));
        assert!(out.optimizer_args.is_empty());
        assert_ne!(out.params, Some(trained.clone()));
        // The same seed, the same noise: a receipt can be checked where the seed is kept.
        assert_eq!(release(&begun).params, out.params);
        let other = Begun::Private { terms: terms(1.0, 1.0), seed: [8; 32] };
        assert_ne!(release(&other).params, out.params);
        let clear = release(&Begun::Clear);
        assert_eq!((clear.params, clear.n_samples), (Some(trained.clone()), 285));
    }

    #[test]
    fn noise_has_the_deviation_of_multiplier_times_clip_whatever_was_trained() {
        let n = 4_000;
        let declaration = declaration(vec![spec("w", DType::Float32, n)]);
        let zeros = vec![0.0; n as usize];
        let received = bytes(&[("w", &zeros)]);
        for (clip, z) in [(0.5, 0.01), (2.0, 1.0), (1e-3, 100.0)] {
            for trained in [0.0, 1.0, 1e38] {
                let trained = bytes(&[("w", &vec![trained; n as usize])]);
                let out = noised(&trained, &received, &declaration, &terms(clip, z), [1; 32]);
                let out = values(&out.unwrap(), "w");
                let mean = out.iter().sum::<f64>() / n as f64;
                let variance = out.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
                let ratio = variance.sqrt() / (clip * z);
                assert!((0.95..1.06).contains(&ratio), "{clip} {z}: {ratio}");
                // The rest of the update is at most the clip over all values.
                assert!(mean * (n as f64).sqrt() < clip * (1.0 + 4.0 * z), "{clip} {z}: {mean}");
            }
        }
    }

    #[test]
    fn a_clip_without_noise_bounds_the_update_alone() {
        let declaration = declaration(vec![spec("w", DType::Float32, 2)]);
        let (received, trained) = (bytes(&[("w", &[1.0, 2.0])]), bytes(&[("w", &[4.0, 6.0])]));
        let release = |clip: f64| {
            let mut request = round_request();
            let dp_args = DpArgs { kind: DpKind::Central, sigma: 0.0, clip };
            request.training.dp_args = Some(dp_args);
            let done = done(Some(trained.clone()));
            let released = Begun::Clear.release(done, &received, &declaration, &request, None);
            released.unwrap().into_parts().0
        };
        let out = release(1.0);
        let expected = [1.6f32, 2.8].map(f64::from);
        assert_eq!(values(out.params.as_ref().unwrap(), "w"), expected);
        assert_eq!(out.n_samples, 285);
        assert_eq!(release(5.0).params, Some(trained.clone()));
    }

    #[test]
    fn updates_that_are_not_finite_do_not_leave() {
        let declaration = declaration(vec![spec("w", DType::Float32, 2)]);
        let received = bytes(&[("w", &[1.0, 2.0])]);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let trained = bytes(&[("w", &[bad, 2.0])]);
            assert!(noised(&trained, &received, &declaration, &terms(1.0, 1.0), [1; 32]).is_err());
        }
        // Another shape, and a tensor that is missing.
        for trained in [bytes(&[("w", &[1.0])]), bytes(&[("v", &[1.0, 2.0])])] {
            assert!(noised(&trained, &received, &declaration, &terms(1.0, 1.0), [1; 32]).is_err());
        }
    }

    #[test]
    fn what_is_not_trainable_leaves_as_it_came() {
        let frozen = TensorSpec { trainable: false, ..spec("frozen", DType::Float32, 1) };
        let own = TensorSpec { scope: Scope::Local, ..spec("own", DType::Float32, 1) };
        let declaration = declaration(vec![frozen, own, spec("w", DType::Float32, 1)]);
        let received = bytes(&[("frozen", &[3.0]), ("w", &[1.0])]);
        let trained = bytes(&[("frozen", &[4.0]), ("own", &[9.0]), ("w", &[1.0])]);
        let out = noised(&trained, &received, &declaration, &terms(1.0, 1.0), [1; 32]).unwrap();
        let names = from_safetensors(&out).unwrap();
        assert_eq!(names.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["frozen", "w"]);
        assert_eq!(values(&out, "frozen"), [3.0]);
        assert_eq!(n_values(&declaration), 1);
    }

    #[test]
    fn plans_that_noise_cannot_protect_are_refused_by_name() {
        let terms = terms(1.0, 1.0);
        let refused = |declaration: &Declaration, mode| {
            check_plan(&terms, declaration, mode).map_err(|refused| refused.message)
        };
        let good = declaration(vec![spec("w", DType::Float32, 1), spec("v", DType::Float64, 1)]);
        assert_eq!(refused(&good, Mode::Train), Ok(()));
        let whole = declaration(vec![spec("counts", DType::Int64, 1)]);
        assert!(refused(&whole, Mode::Train).unwrap_err().contains("`counts`"));
        let aux_out = vec![spec("c.w", DType::Float32, 1)];
        let scaffold = Declaration { aux_out, ..good.clone() };
        assert!(refused(&scaffold, Mode::Train).unwrap_err().contains("`c.w`"));
        assert!(refused(&good, Mode::Validate).unwrap_err().contains("test_on_global_updates"));
        let told = Terms { metrics: vec!["accuracy".into()], ..terms.clone() };
        assert!(check_plan(&told, &good, Mode::Validate).is_ok());
    }

    #[test]
    fn why_a_round_failed_stays_at_the_node() {
        let told = failed(refusal(Reason::Dataset, "class 7 of 3".into()));
        assert_eq!(told.reason, Reason::PlanFailed);
        assert!(!told.message.contains("class"));
        let cancelled = refusal(Reason::Expired, "the round was cancelled".into());
        assert_eq!(failed(cancelled).reason, Reason::Expired);
    }
}
