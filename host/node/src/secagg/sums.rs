//! The secure sums that this node takes part in, and its answers to their steps. In memory alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fedwasm_privacy::double_masking::{self, Setup, threshold_min};
use fedwasm_privacy::masking::{self, Context};
use fedwasm_privacy::{Binding, Parties, SignedKeys};
use fedwasm_protocol::{
    DatasetId, Digest, NodeId, Participant, Reason, Refusal, ResearcherId, SecaggReply,
    SecaggRequest, SecaggScheme, SecaggStep, decode_content, encode_content,
};
use fedwasm_transport::now_ms;
use fedwasm_trust::Member;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use zeroize::Zeroizing;

use super::rules::{check_min, check_scheme};
use crate::Database;
use crate::privacy::Privacy;
use crate::refusal::refusal;

/// Sums of one researcher, and of all; the oldest of a researcher make room for its newest.
const SUMS_OF_ONE_MAX: usize = 8;
const SUMS_MAX: usize = 64;
/// How long unused keys stay.
const IDLE_TIME_MAX: Duration = Duration::from_secs(3_600);

/// An error of another room, as the cryptography takes it.
type Cause = fedwasm_privacy::Cause;

/// The secure sums of a node.
#[derive(Clone)]
pub(crate) struct Sums {
    node: NodeId,
    member: Arc<Member>,
    pub(super) database: Database,
    privacy: Privacy,
    /// Whether the node trains under secure aggregation only.
    force: bool,
    sums: Arc<Mutex<Vec<Sum>>>,
}

/// One sum.
pub(super) struct Sum {
    researcher: ResearcherId,
    id: Digest,
    pub(super) dataset: DatasetId,
    pub(super) scheme: SecaggScheme,
    pub(super) parties: usize,
    /// How many nodes are in the sum at least.
    pub(super) least: usize,
    /// The round that keys were signed for; none if they are for many.
    pub(super) binding: Option<Binding>,
    used: Instant,
    pub(super) state: State,
    /// The last step: its content and its answer.
    said: (SecaggStep, Digest, Vec<u8>),
}

/// The state of the node in a sum.
pub(super) enum State {
    Keys(Box<masking::Advertised>),
    Agreed(Box<masking::Agreed>),
    DoubleKeys(Box<double_masking::Advertised>),
    Shared(Box<double_masking::Shared>),
    Masked(Box<double_masking::Masked>),
    Consented(Box<double_masking::Consented>),
    /// A round has it, or the last step was made.
    Away,
}

impl std::fmt::Debug for Sums {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sums").finish_non_exhaustive()
    }
}

impl Sums {
    pub(crate) fn new(
        node: NodeId,
        member: Arc<Member>,
        database: Database,
        privacy: Privacy,
        force: bool,
    ) -> Self {
        Self { node, member, database, privacy, force, sums: Arc::default() }
    }

    /// Whether the roster of a sum that is to begin is not this node's: a newer one may help.
    pub(crate) fn has_other_roster(&self, request: &SecaggRequest) -> bool {
        let roster = match (request.step, request.scheme) {
            (SecaggStep::Keys, SecaggScheme::Masking) => {
                read::<Context>(request).map(|context| (context.roster, context.parties))
            }
            (SecaggStep::Keys, SecaggScheme::DoubleMasking) => {
                read::<Setup>(request).map(|setup| (setup.roster, setup.parties))
            }
            _ => return false,
        };
        roster.is_ok_and(|(roster, parties)| roster != self.keys_of(&parties))
    }

    /// Answers a step. The same step with the same content gets the same answer.
    pub(crate) fn answer(
        &self,
        researcher: &ResearcherId,
        request: &SecaggRequest,
        now: Instant,
    ) -> Result<SecaggReply, Refusal> {
        let SecaggRequest { sum_id, step, .. } = request;
        let reply = |content| SecaggReply { sum_id: *sum_id, step: *step, content };
        let digest = Digest::of(&request.content);
        let mut sums = self.lock(now);
        let known = sums.iter_mut().find(|sum| sum.is(researcher, sum_id));
        if let Some(sum) = known.filter(|sum| (sum.said.0, sum.said.1) == (*step, digest)) {
            sum.used = now;
            return Ok(reply(sum.said.2.clone()));
        }
        if *step == SecaggStep::Keys {
            let sum = self.begin_sum(&sums, researcher, request, digest, now)?;
            let answer = sum.said.2.clone();
            push(&mut sums, sum)?;
            return Ok(reply(answer));
        }
        let at = position(&sums, researcher, sum_id)?;
        let sum = &mut sums[at];
        if (&sum.dataset, sum.scheme) != (&request.dataset_id, request.scheme) {
            return Err(bad("the sum was begun for another dataset or scheme".into()));
        }
        let state = std::mem::replace(&mut sum.state, State::Away);
        match self.go_on(state, researcher, request) {
            Ok((state, answer)) => {
                (sum.state, sum.used) = (state, now);
                sum.said = (*step, digest, answer.clone());
                Ok(reply(answer))
            }
            Err(refused) => {
                // Nothing is tried twice: a step takes the one before.
                sums.remove(at);
                Err(refused)
            }
        }
    }

    /// Draws keys for a sum.
    fn begin_sum(
        &self,
        sums: &[Sum],
        researcher: &ResearcherId,
        request: &SecaggRequest,
        digest: Digest,
        now: Instant,
    ) -> Result<Sum, Refusal> {
        let SecaggRequest { sum_id, dataset_id, scheme, step, .. } = request;
        if sums.iter().any(|sum| sum.is(researcher, sum_id)) {
            return Err(bad(format!("keys for the sum {sum_id} were drawn for something else")));
        }
        let floors = self.privacy.floors_of(dataset_id.as_str());
        check_scheme(&floors, self.force, Some(*scheme))?;
        let (rng, sign) = (&mut random()?, &|statement: &[u8]| self.sign(statement));
        let check = |id: &Digest, roster: &Digest, parties: &Parties, least: usize| {
            if id != sum_id {
                return Err(bad("the content is of another sum".into()));
            }
            self.check_members(roster, parties)?;
            check_min(floors.min_parties(), parties.len(), least)
        };
        let (state, keys, parties, least, binding) = match scheme {
            SecaggScheme::Masking => {
                let context: Context = read(request)?;
                let n = context.parties.len();
                check(&context.id, &context.roster, &context.parties, n)?;
                let drawn = masking::Advertised::new(context, &self.node, rng, sign);
                let drawn = drawn.map_err(privacy)?;
                let keys = write(drawn.keys())?;
                (State::Keys(Box::new(drawn)), keys, n, n, None)
            }
            SecaggScheme::DoubleMasking => {
                let setup: Setup = read(request)?;
                let (n, least) = (setup.parties.len(), setup.threshold as usize);
                // One that is too low for the scheme is refused by its own name.
                let floor = least.max(threshold_min(n));
                check(&setup.id, &setup.roster, &setup.parties, floor)?;
                let binding = setup.binding;
                let drawn = double_masking::Advertised::new(setup, &self.node, rng, sign);
                let drawn = drawn.map_err(privacy)?;
                let keys = write(drawn.keys())?;
                (State::DoubleKeys(Box::new(drawn)), keys, n, least, Some(binding))
            }
        };
        Ok(Sum {
            researcher: researcher.clone(),
            id: *sum_id,
            dataset: dataset_id.clone(),
            scheme: *scheme,
            parties,
            least,
            binding,
            used: now,
            state,
            said: (*step, digest, keys),
        })
    }

    /// Makes the next step; the state before is used up.
    fn go_on(
        &self,
        state: State,
        researcher: &ResearcherId,
        request: &SecaggRequest,
    ) -> Result<(State, Vec<u8>), Refusal> {
        let roster = self.member.roster();
        let verify = |node: &NodeId, statement: &[u8], signature: &[u8]| -> Result<(), Cause> {
            let who = Participant::node(node);
            let key = roster.key(&who).ok_or_else(|| format!("{who} is not on the roster"))?;
            Ok(key.verify("the statement", statement, signature)?)
        };
        let sign = |statement: &[u8]| self.sign(statement);
        match (request.step, state) {
            (SecaggStep::Agree, State::Keys(drawn)) => {
                let keys: Vec<SignedKeys> = read(request)?;
                let agreed = drawn.agree(&keys, &verify).map_err(privacy)?;
                Ok((State::Agreed(Box::new(agreed)), Vec::new()))
            }
            (SecaggStep::Agree, State::DoubleKeys(drawn)) => {
                let keys: Vec<SignedKeys> = read(request)?;
                let shared = drawn.share(&keys, &mut random()?, &verify);
                let (shared, shares) = shared.map_err(privacy)?;
                Ok((State::Shared(Box::new(shared)), write(&shares)?))
            }
            (SecaggStep::Consent, State::Masked(masked)) => {
                let survivors: double_masking::Survivors = read(request)?;
                let (consented, consent) = masked.consent(&survivors, &sign).map_err(privacy)?;
                self.record("survivors", researcher, request, &survivors)?;
                Ok((State::Consented(Box::new(consented)), write(&consent)?))
            }
            (SecaggStep::Reveal, State::Consented(consented)) => {
                let consents: Vec<double_masking::Consent> = read(request)?;
                let signed: Vec<&NodeId> = consents.iter().map(|consent| &consent.node).collect();
                let signed = json!(signed);
                let reveal = consented.reveal(&consents, &verify).map_err(privacy)?;
                self.record("revealed", researcher, request, &signed)?;
                Ok((State::Away, write(&reveal)?))
            }
            (step, _) => Err(refusal(
                Reason::State,
                format!("this node is not at the step `{step}` of the sum: begin a new one"),
            )),
        }
    }

    /// Writes a step into the log before its answer leaves.
    fn record(
        &self,
        kind: &'static str,
        researcher: &ResearcherId,
        request: &SecaggRequest,
        of: &impl Serialize,
    ) -> Result<(), Refusal> {
        let fields = json!({
            "researcher": Participant::researcher(researcher), "sum": request.sum_id,
            "experiment": request.experiment_id, "dataset": request.dataset_id, "nodes": of,
        });
        let recorded = self.database.record(now_ms(), kind, &fields);
        recorded.map(drop).map_err(|error| unwritten(&error))
    }

    /// Refuses nodes that this node's roster does not have, and another roster.
    fn check_members(&self, roster: &Digest, parties: &Parties) -> Result<(), Refusal> {
        let own = self.member.roster();
        if let Some(node) = parties.iter().find(|node| own.key(&Participant::node(node)).is_none())
        {
            let text = format!("`{node}` is not on this node's roster, or its key was revoked");
            return Err(refusal(Reason::Privacy, text));
        }
        if self.keys_of(parties) == *roster {
            return Ok(());
        }
        let text = format!(
            "this node's roster (serial {}) has other keys of these nodes than the researcher's: \
             one of the two is old",
            own.serial
        );
        Err(refusal(Reason::Privacy, text))
    }

    /// The digest of the keys that nodes have by this node's roster.
    fn keys_of(&self, parties: &Parties) -> Digest {
        self.member.roster().keys_sha256(parties.iter().map(Participant::node))
    }

    fn sign(&self, statement: &[u8]) -> Result<Vec<u8>, Cause> {
        Ok(self.member.key().sign(statement)?)
    }

    /// The sums, without those that were not used for long.
    pub(super) fn lock(&self, now: Instant) -> MutexGuard<'_, Vec<Sum>> {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.retain(|sum| now.saturating_duration_since(sum.used) <= IDLE_TIME_MAX);
        sums
    }
}

impl Sum {
    pub(super) fn is(&self, researcher: &ResearcherId, id: &Digest) -> bool {
        (&self.researcher, &self.id) == (researcher, id)
    }

    /// Keeps its keys for as long again.
    pub(super) fn touch(&mut self, now: Instant) {
        self.used = now;
    }
}

/// The place of a sum.
pub(super) fn position(
    sums: &[Sum],
    researcher: &ResearcherId,
    id: &Digest,
) -> Result<usize, Refusal> {
    sums.iter().position(|sum| sum.is(researcher, id)).ok_or_else(|| {
        let text =
            format!("this node has no keys for the sum {id}, perhaps since it started again");
        refusal(Reason::State, text)
    })
}

/// Adds a sum; the one of its researcher that was not used for longest makes room.
fn push(sums: &mut Vec<Sum>, sum: Sum) -> Result<(), Refusal> {
    let of_one = |other: &&Sum| other.researcher == sum.researcher;
    if sums.iter().filter(of_one).count() >= SUMS_OF_ONE_MAX {
        let oldest = sums.iter().filter(of_one).min_by_key(|other| other.used);
        let oldest = oldest.map(|oldest| oldest.id);
        sums.retain(|other| other.researcher != sum.researcher || Some(other.id) != oldest);
    }
    if sums.len() >= SUMS_MAX {
        let text = format!("this node takes part in {SUMS_MAX} secure sums already");
        return Err(refusal(Reason::Busy, text));
    }
    sums.push(sum);
    Ok(())
}

/// Random numbers from a seed of the operating system.
fn random() -> Result<ChaCha20Rng, Refusal> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|error| {
        tracing::error!("the operating system gives no random numbers: {error}");
        refusal(Reason::Internal, "the node has no random numbers; its log says more".into())
    })?;
    Ok(ChaCha20Rng::from_seed(*seed))
}

fn read<T: DeserializeOwned>(request: &SecaggRequest) -> Result<T, Refusal> {
    decode_content(&request.content)
        .map_err(|error| bad(format!("the step `{}`: {error}", request.step)))
}

fn write<T: Serialize>(content: &T) -> Result<Vec<u8>, Refusal> {
    encode_content(content).map_err(|error| refusal(Reason::Internal, error.to_string()))
}

fn bad(text: String) -> Refusal {
    refusal(Reason::BadRequest, text)
}

/// The refusal for a mistake in keys, shares or lists: all of it was in messages.
pub(super) fn privacy(error: fedwasm_privacy::Error) -> Refusal {
    refusal(Reason::Privacy, format!("secure aggregation: {error}"))
}

pub(super) fn unwritten(error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!("a step of a secure sum could not be written down: {error}");
    refusal(Reason::Internal, "the node cannot write its log; its log says more".into())
}
