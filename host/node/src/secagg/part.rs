//! This node's part in one round of a secure sum: taken before the plan sees a row, and used up when
//! its vectors are masked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use fedwasm_params::to_safetensors;
use fedwasm_privacy::double_masking::{Boxes, Received};
use fedwasm_privacy::{
    Binding, Numbers, PadKeys, PadUse, Pads, Stream, Vectors, binding, lanes_to_bytes,
    vectors_to_params,
};
use fedwasm_protocol::{
    Digest, Reason, Refusal, ResearcherId, RoundRequest, SecaggScheme, SecaggTerms, decode_content,
    encode_content,
};
use fedwasm_sandbox::Declaration;
use fedwasm_transport::{Bytes, now_ms};

use super::journal::{PadRefused, Rows};
use super::rules::{Demand, SumRules};
use super::sums::{State, Sum, Sums, position, privacy, unwritten};
use crate::refusal::refusal;

/// Results that are kept for a request that is said again: those of rounds that run at once.
const AGAIN_MAX: usize = 2;

/// A part that is not used yet.
pub(crate) struct Part {
    pub(crate) rules: SumRules,
    researcher: ResearcherId,
    binding: Binding,
    source: Source,
}

/// The masks that the part will have.
enum Source {
    /// Of keys that serve for many rounds.
    Agreed,
    /// Of keys of this round.
    Double(Box<Received>),
}

/// Vectors whose masks are used up: they may leave.
#[derive(Clone)]
pub(crate) struct Masked {
    /// As safetensors, the check value left out.
    pub(crate) vectors: Bytes,
    /// The lanes of the check value, little-endian.
    pub(crate) encryption_factor: Option<Vec<u8>>,
    /// The keys of the masks, for an auditor at the site. Secret.
    pub(crate) masks: Vec<u8>,
    pub(crate) terms: SecaggTerms,
}

impl std::fmt::Debug for Masked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masked").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").finish_non_exhaustive()
    }
}

impl Masked {
    /// Masks vectors, and keeps the keys of the masks.
    fn new(
        pads: Pads,
        clear: Vectors<u64>,
        SumRules { coding, terms }: &SumRules,
    ) -> Result<Self, fedwasm_privacy::Error> {
        let keys = encode_content(&pads.keys(coding.layout()))?;
        let mut masked = pads.mask(coding.layout(), clear)?;
        let check = masked.remove(&Stream::Check);
        Ok(Self {
            vectors: to_safetensors(&vectors_to_params(&masked)?)?.into(),
            encryption_factor: check.map(|lanes| lanes_to_bytes(&lanes)),
            masks: keys,
            terms: terms.clone(),
        })
    }

    /// Masks the vectors of a run again.
    ///
    /// * `masks` — [`Masked::masks`] of that run.
    pub(crate) fn again(
        masks: &[u8],
        clear: Vectors<u64>,
        rules: &SumRules,
    ) -> Result<Self, fedwasm_privacy::Error> {
        let keys: PadKeys = decode_content(masks)?;
        Self::new(keys.again(rules.coding.layout()), clear, rules)
    }
}

impl Sums {
    /// Takes this node's part in a round.
    ///
    /// * `sent` — the request as a receipt has it.
    /// * `shares` — the shares for this node, if the message carried some.
    /// * `numbers` — statistics, if the round is about some.
    pub(crate) fn part(
        &self,
        researcher: &ResearcherId,
        (sent, shares): (&RoundRequest, Option<&[u8]>),
        declaration: &Declaration,
        (demand, numbers): (&Demand, Option<&Numbers>),
    ) -> Result<Part, Refusal> {
        let (args, now) = (&demand.args, Instant::now());
        let mut sums = self.lock(now);
        let at = position(&sums, researcher, &args.sum_id)?;
        let sum = &mut sums[at];
        if (&sum.dataset, sum.scheme) != (&sent.dataset_id, args.scheme) {
            let text = "the sum was begun for another dataset or scheme";
            return Err(refusal(Reason::BadRequest, text.into()));
        }
        demand.check_parties(sum.parties, sum.least)?;
        let rules = SumRules::new(demand, sum.parties, declaration, (sent.mode, numbers))?;
        let binding = binding(sent, rules.coding.layout()).map_err(privacy)?;
        if sum.binding.is_some_and(|signed| signed != binding) {
            let text = "the keys of the sum were signed for another round, plan, parameters, \
                        arguments or layout than the request has";
            return Err(refusal(Reason::Privacy, text.into()));
        }
        sum.touch(now);
        let source = match args.scheme {
            SecaggScheme::Masking => match &sum.state {
                State::Agreed(_) => Source::Agreed,
                _ => return Err(not_agreed()),
            },
            SecaggScheme::DoubleMasking => {
                let state = std::mem::replace(&mut sum.state, State::Away);
                let State::Shared(shared) = state else {
                    sum.state = state;
                    return Err(not_agreed());
                };
                let bad = |text: String| refusal(Reason::BadRequest, text);
                let shares = shares.ok_or_else(|| bad("`secagg.shares` is missing".into()))?;
                let boxes: Boxes = decode_content(shares)
                    .map_err(|error| bad(format!("`secagg.shares`: {error}")))?;
                Source::Double(Box::new(shared.receive(&boxes).map_err(privacy)?))
            }
        };
        Ok(Part { rules, researcher: researcher.clone(), binding, source })
    }

    /// Masks the vectors of a round, once the use of its pads is on the disk.
    pub(crate) fn mask(
        &self,
        part: Part,
        clear: Vectors<u64>,
        rows: Rows<'_>,
    ) -> Result<Masked, Refusal> {
        let Part { rules, researcher, binding, source } = part;
        let mut journal = |pad: &PadUse| -> Result<(), fedwasm_privacy::Cause> {
            let written = self.database.use_pad(&rows.pad(pad), rows, now_ms());
            Ok(written??)
        };
        let find = |sums: &[Sum]| position(sums, &researcher, &rules.terms.sum_id);
        let pads = match source {
            Source::Agreed => {
                let mut sums = self.lock(Instant::now());
                let at = find(&sums)?;
                let State::Agreed(agreed) = &mut sums[at].state else { return Err(not_agreed()) };
                agreed.pads(&binding, &mut journal).map_err(refused)?
            }
            Source::Double(received) => {
                let (state, pads) = received.pads(&mut journal).map_err(refused)?;
                let mut sums = self.lock(Instant::now());
                let at = find(&sums)?;
                sums[at].state = State::Masked(Box::new(state));
                pads
            }
        };
        Masked::new(pads, clear, &rules).map_err(privacy)
    }
}

/// Why a pad is not used, by its cause.
fn refused(error: fedwasm_privacy::Error) -> Refusal {
    let fedwasm_privacy::Error::Journal { cause } = &error else { return privacy(error) };
    match cause.downcast_ref::<PadRefused>() {
        Some(why @ PadRefused::Used) => {
            refusal(Reason::State, format!("secure aggregation: {why}"))
        }
        Some(why) => refusal(Reason::Privacy, format!("secure aggregation: {why}")),
        None => unwritten(cause),
    }
}

fn not_agreed() -> Refusal {
    let text = "this node has not agreed upon keys for the round of the sum: begin a new one";
    refusal(Reason::State, text.into())
}

/// The newest masked results, by request: one that is said again gets the same bytes.
#[derive(Debug)]
pub(crate) struct Again<T>(Mutex<VecDeque<(ResearcherId, Digest, Arc<T>)>>);

impl<T> Default for Again<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Again<T> {
    /// The result of the same request; none if it did not run.
    ///
    /// * `sent` — the request as a receipt has it.
    pub(crate) fn get(&self, researcher: &ResearcherId, sent: &RoundRequest) -> Option<Arc<T>> {
        let digest = digest(sent)?;
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |(of, request, _): &&(ResearcherId, Digest, Arc<T>)| {
            (of, request) == (researcher, &digest)
        };
        known.iter().find(is_it).map(|(_, _, result)| Arc::clone(result))
    }

    /// Keeps the result of a request.
    pub(crate) fn put(&self, researcher: &ResearcherId, sent: &RoundRequest, result: Arc<T>) {
        let Some(digest) = digest(sent) else { return };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.truncate(AGAIN_MAX - 1);
        known.push_front((researcher.clone(), digest, result));
    }
}

fn digest(sent: &RoundRequest) -> Option<Digest> {
    Some(Digest::of(&encode_content(sent).ok()?))
}
