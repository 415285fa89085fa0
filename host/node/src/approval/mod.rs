//! Which plans may run at a node (Fed-BioMed's training plan approval, with signatures and
//! bounds). An approval is a decision that the node's operator signed; it is of exact
//! bytes, and looked at again for every round, so that revoking stops the next one.

mod bounds;
mod config;
mod decision;
mod registry;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use fedwasm_artifact::Component;
use fedwasm_protocol::{
    ApprovalReply, ApprovalStatus, Arguments, Digest, Reason, Refusal, ResearcherId, RoundRequest,
};
use fedwasm_training::Length;
use fedwasm_trust::{PublicKey, State, Trust, Verdict};
use serde_json::{Value, json};

pub use self::bounds::{Bound, BoundError};
pub use self::config::{ApprovalConfig, Policy};
pub use self::decision::{Decision, Ruling};
pub use self::registry::{KnownPlan, Registration};

use self::bounds::{exceeded, exceeded_by_length};
use crate::refusal::refusal;
use crate::{Database, Error};

/// A plan that may run, in this round and no other. Nothing else opens a session.
#[derive(Debug)]
pub(crate) struct ApprovedPlan {
    digest: Digest,
    /// The basis of the approval: a decision's digest, or the policy.
    pub(crate) by: String,
    /// The arguments that this covers; they are checked once the plan has described its own.
    bounds: Vec<Bound>,
    /// The fewest rows behind a released number, if the decision sets it.
    pub(crate) min_rows: Option<u64>,
}

impl ApprovedPlan {
    /// A plan that the node's policy allows, or that is run again from its receipt, which names the
    /// earlier basis: without bounds of its own.
    pub(crate) fn by_rule(digest: Digest, by: String) -> Self {
        Self { digest, by, bounds: Vec::new(), min_rows: None }
    }

    /// Refuses arguments that the approval does not cover.
    pub(crate) fn check_arguments(
        &self,
        request: &RoundRequest,
        arguments: &Arguments,
    ) -> Result<(), Refusal> {
        self.covered(exceeded(&self.bounds, request, arguments))
    }

    /// Refuses training that is longer than the approval covers.
    pub(crate) fn check_length(&self, length: &Length) -> Result<(), Refusal> {
        self.covered(exceeded_by_length(&self.bounds, length))
    }

    /// Refuses a request that exceeds a bound.
    fn covered(&self, exceeded: Option<(&Bound, String)>) -> Result<(), Refusal> {
        let Some((bound, how)) = exceeded else { return Ok(()) };
        let standing = format!("is approved here with {bound} only, not {how}");
        Err(not_approved(&self.digest, &standing))
    }

    /// The bytes that may run.
    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }
}

/// Refuses a plan: which one, its standing here, and the role that can change that.
fn not_approved(plan: &Digest, standing: &str) -> Refusal {
    let text = format!(
        "plan {plan} {standing}; the node's operator decides (`fedwasm node plan approve`)"
    );
    refusal(Reason::NotApproved, text)
}

/// The ruling of the policy on a plan without a decision.
enum ByPolicy {
    /// It may run, by this rule.
    Runs(String),
    /// It waits for the operator, and why if there is a reason.
    Waits(String),
    /// No researcher asked for it.
    Unknown,
}

/// Decides which plans may run.
#[derive(Clone, Debug)]
pub(crate) struct Approvals {
    database: Database,
    config: ApprovalConfig,
    operators: Vec<PublicKey>,
    trust: Arc<Trust>,
    /// Plans that the policy allows, with the rule that allowed each. They stay allowed while the
    /// node serves: signatures are only ever added.
    let_run: Arc<Mutex<HashMap<Digest, String>>>,
}

impl Approvals {
    /// The rules of the node in `dir`.
    pub(crate) fn new(
        dir: &Path,
        config: ApprovalConfig,
        database: Database,
    ) -> Result<Self, Error> {
        let trust = match config.policy {
            Policy::Signer => Trust::read(&dir.join("trust.toml"))?,
            _ => Trust::default(),
        };
        let operators = config.operators()?;
        let let_run = Arc::default();
        Ok(Self { database, config, operators, trust: Arc::new(trust), let_run })
    }

    /// Whether plans must be known before they run.
    pub(crate) fn needs_plans(&self) -> bool {
        self.config.policy != Policy::Any
    }

    /// Whether a plan with so many signatures would wait for the operator, as far as that can be
    /// said without its bytes.
    pub(crate) fn would_wait(&self, digest: &Digest, signatures: usize) -> bool {
        match self.config.policy {
            Policy::Any => false,
            Policy::Hand => true,
            Policy::List => !self.config.list.contains(digest),
            Policy::Signer => signatures == 0,
        }
    }

    /// The signatures that the policy counts, and whether they are enough; under other policies
    /// all, since the policy names no signers.
    pub(crate) fn counted(
        &self,
        component: &Component,
        mut signatures: Vec<Vec<u8>>,
    ) -> (Vec<Vec<u8>>, bool) {
        match self.config.policy {
            Policy::Signer => {
                let is_good = |signature: &Vec<u8>| {
                    let one = std::slice::from_ref(signature);
                    let judged = self.trust.judge(component.bytes(), one).0;
                    judged.iter().all(|s| matches!(s.state, State::Verified(_)))
                };
                signatures.retain(is_good);
                let verdict = self.trust.judge(component.bytes(), &signatures).1;
                (signatures, verdict == Verdict::Trusted)
            }
            Policy::List => {
                let is_listed = self.config.list.contains(&component.digest());
                (signatures, is_listed)
            }
            Policy::Hand | Policy::Any => (signatures, false),
        }
    }

    /// The rules, for the log.
    pub(crate) fn rules(&self) -> Value {
        let signers = self.trust.signers.iter();
        let signers: Vec<Value> =
            signers.map(|(name, key)| json!({ "name": name, "key": key.fingerprint() })).collect();
        json!({
            "policy": self.config.policy, "list": self.config.list, "signers": signers,
            "threshold": self.trust.threshold, "revoked": self.trust.revoked,
            "operators": self.operators.iter().map(PublicKey::fingerprint).collect::<Vec<_>>(),
            "node": self.database.key().public().fingerprint(),
        })
    }

    /// A plan's standing, for a researcher.
    pub(crate) fn standing(
        &self,
        digest: &Digest,
        researcher: &ResearcherId,
        now_ms: u64,
    ) -> Result<ApprovalReply, Error> {
        let reply = |status, note: String| Ok(ApprovalReply { status, note });
        match self.newest(digest)? {
            Some((decision, _)) => {
                let (status, note) = judge(&decision, researcher, now_ms);
                return reply(status, note);
            }
            None if self.config.policy == Policy::Any => {
                return reply(ApprovalStatus::NotRequired, String::new());
            }
            None => {}
        }
        match self.by_policy(digest)? {
            ByPolicy::Runs(by) => reply(ApprovalStatus::Approved, by),
            ByPolicy::Waits(why) => reply(ApprovalStatus::Pending, why),
            ByPolicy::Unknown => reply(ApprovalStatus::NotRegistered, String::new()),
        }
    }

    /// Says that a plan may run in a round, or why not.
    pub(crate) fn approve(
        &self,
        request: &RoundRequest,
        researcher: &ResearcherId,
        now_ms: u64,
    ) -> Result<ApprovedPlan, Refusal> {
        let digest = request.plan.sha256;
        let internal = |error: Error| {
            tracing::error!("{error}");
            refusal(Reason::Internal, "the node's registry cannot be read".into())
        };
        let no = |standing: String| Err(not_approved(&digest, &standing));
        if let Some((decision, signed)) = self.newest(&digest).map_err(internal)? {
            let (status, note) = judge(&decision, researcher, now_ms);
            if !status.may_run() {
                return no(with_note(&format!("is {status} here"), &note));
            }
            let (by, bounds) = (signed.to_string(), decision.bounds);
            return Ok(ApprovedPlan { digest, by, bounds, min_rows: decision.min_rows });
        }
        if self.config.policy == Policy::Any {
            return Ok(ApprovedPlan::by_rule(digest, "policy any".into()));
        }
        match self.by_policy(&digest).map_err(internal)? {
            ByPolicy::Runs(by) => Ok(ApprovedPlan::by_rule(digest, by)),
            ByPolicy::Waits(why) => no(with_note("is pending here", &why)),
            ByPolicy::Unknown => no("is not registered here".into()),
        }
    }

    fn newest(&self, digest: &Digest) -> Result<Option<(Decision, Digest)>, Error> {
        Ok(self.database.decisions(digest, &self.operators)?.into_iter().next())
    }

    /// The ruling of the policy on a plan without a decision.
    fn by_policy(&self, digest: &Digest) -> Result<ByPolicy, Error> {
        let known = || self.let_run.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(by) = known().get(digest) {
            return Ok(ByPolicy::Runs(by.clone()));
        }
        let judged = self.judge_by_policy(digest)?;
        if let ByPolicy::Runs(by) = &judged {
            known().insert(*digest, by.clone());
        }
        Ok(judged)
    }

    fn judge_by_policy(&self, digest: &Digest) -> Result<ByPolicy, Error> {
        let (component, signatures) = match self.database.plan(digest) {
            Ok(found) => found,
            Err(Error::NoPlan { .. }) => return Ok(ByPolicy::Unknown),
            Err(error) => return Err(error),
        };
        let runs = |by: &str| ByPolicy::Runs(by.to_owned());
        let waits = |why: &str| ByPolicy::Waits(why.to_owned());
        Ok(match self.config.policy {
            Policy::Any => runs("policy any"),
            Policy::Hand => waits(""),
            Policy::List if self.config.list.contains(digest) => runs("policy list"),
            Policy::List => waits("it is not on the node's list"),
            Policy::Signer => match self.trust.judge(&component, &signatures).1 {
                Verdict::Trusted => runs("policy signer"),
                // Others are not kept: any sender could send any number of them.
                Verdict::NotSigned => waits("none of the signers that this node trusts signed it"),
                verdict => ByPolicy::Waits(format!("its signatures: {verdict}")),
            },
        })
    }
}

/// The effect of a decision now, for a researcher.
fn judge(decision: &Decision, researcher: &ResearcherId, now_ms: u64) -> (ApprovalStatus, String) {
    let is_for =
        |researchers: &[ResearcherId]| researchers.is_empty() || researchers.contains(researcher);
    let note = decision.note.clone();
    match decision.ruling {
        Ruling::Rejected => (ApprovalStatus::Rejected, note),
        Ruling::Revoked => (ApprovalStatus::Revoked, note),
        Ruling::Approved if decision.expires_ms.is_some_and(|end| end <= now_ms) => {
            (ApprovalStatus::Expired, note)
        }
        Ruling::Approved if !is_for(&decision.researchers) => {
            (ApprovalStatus::Pending, "it is approved for other researchers only".into())
        }
        Ruling::Approved => (ApprovalStatus::Approved, note),
    }
}

/// A sentence, and why if there is a reason.
fn with_note(text: &str, note: &str) -> String {
    if note.is_empty() { text.to_owned() } else { format!("{text}: {note}") }
}
