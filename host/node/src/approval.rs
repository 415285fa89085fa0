//! Which plans may run at a node (Fed-BioMed's training plan approval, with signatures and
//! bounds). An approval is a decision that the node's operator signed; it is of exact
//! bytes, and looked at again for every round, so that revoking stops the next one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use fedwasm_artifact::Component;
use fedwasm_protocol::{
    ApprovalReply, ApprovalStatus, Arguments, Digest, NodeId, Participant, Reason, Refusal,
    ResearcherId, RoundRequest, SIGNATURES_MAX, printable,
};
use fedwasm_training::Length;
use fedwasm_trust::{Envelope, Fingerprint, KeyPair, PublicKey, State, Trust, Verdict};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bounds::{exceeded, exceeded_by_length};
use crate::log::append;
use crate::refusal::refusal;
use crate::{Bound, Database, Error};

/// The media type of a decision.
const TYPE: &str = "application/vnd.fedwasm.decision+json";
/// The most plans that wait for a decision: all, and of one researcher.
const PENDING_MAX: u64 = 256;
const PENDING_OF_ONE_MAX: u64 = 16;
/// The most bytes of plans that wait: all, and of one researcher.
const PENDING_BYTES_MAX: u64 = 1 << 30;
const PENDING_BYTES_OF_ONE_MAX: u64 = 128 << 20;
/// The longest note, in characters.
const NOTE_CHARS_MAX: usize = 500;

/// Which plans may run without a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// None: the operator decides on each.
    #[default]
    Hand,
    /// Those that enough of the signers in `trust.toml` signed.
    Signer,
    /// Those on the list in `node.toml`.
    List,
    /// All that are admitted.
    Any,
}

impl std::fmt::Display for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hand => "hand",
            Self::Signer => "signer",
            Self::List => "list",
            Self::Any => "any",
        })
    }
}

/// `[approval]` of `node.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalConfig {
    /// Which plans may run without a decision. Default `hand`.
    #[serde(default)]
    pub policy: Policy,
    /// The plans that policy `list` lets run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<Digest>,
    /// Whose decisions count; none only until the node is made.
    pub operator: Option<PublicKey>,
    /// Whose earlier decisions still count, after the operator's key was changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_operators: Vec<PublicKey>,
}

impl ApprovalConfig {
    /// All keys whose decisions count, the operator's first.
    ///
    /// # Errors
    /// [`Error::Damaged`] if there is no operator.
    pub fn operators(&self) -> Result<Vec<PublicKey>, Error> {
        let operator = self.operator.clone().ok_or_else(|| Error::Damaged {
            file: "node.toml".into(),
            reason: "approval.operator is missing: whose decisions count?".into(),
        })?;
        Ok([operator].into_iter().chain(self.former_operators.clone()).collect())
    }
}

/// A plan that a node knows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KnownPlan {
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// Its name in the component's metadata.
    pub name: String,
    /// Its version in the component's metadata.
    pub version: String,
    /// Who asked for it first, if anybody did.
    pub requested_by: Option<String>,
    /// What it is for, in the words of whoever asked.
    pub description: String,
    /// When it was first seen, in milliseconds of Unix time.
    pub first_seen_ms: u64,
}

/// What an operator decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruling {
    /// It may run.
    Approved,
    /// It may not.
    Rejected,
    /// It may not any more.
    Revoked,
}

impl Ruling {
    /// The ruling as a word, which is its kind in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Revoked => "revoked",
        }
    }
}

/// A decision of an operator about a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The node that it is for.
    pub node: NodeId,
    /// The plan.
    pub digest: Digest,
    /// What was decided.
    pub ruling: Ruling,
    /// Why; researchers are told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// When, in milliseconds of Unix time.
    pub time_ms: u64,
    /// Until when an approval counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// The arguments that it covers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<Bound>,
    /// The fewest rows that an approval lets be told about, instead of the node's `min_rows`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_rows: Option<u64>,
    /// The researchers that it is for; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub researchers: Vec<ResearcherId>,
    /// The operator's key.
    pub operator: Fingerprint,
}

/// A plan that may run, in this round and no other. Nothing else opens a session.
#[derive(Debug)]
pub(crate) struct ApprovedPlan {
    digest: Digest,
    /// What allowed it: a decision's digest, or the policy.
    pub(crate) by: String,
    /// The arguments that this covers; they are looked at when the plan has said what it takes.
    bounds: Vec<Bound>,
    /// The fewest rows that may be told about, if the decision says it.
    pub(crate) min_rows: Option<u64>,
}

impl ApprovedPlan {
    /// A plan that the node's policy lets run, or that is run again from its receipt, which
    /// says what allowed it then: without bounds of its own.
    pub(crate) fn by_rule(digest: Digest, by: String) -> Self {
        Self { digest, by, bounds: Vec::new(), min_rows: None }
    }

    /// Refuses arguments that the approval does not cover.
    pub(crate) fn check_arguments(
        &self,
        request: &RoundRequest,
        arguments: &Arguments,
    ) -> Result<(), Refusal> {
        covered(exceeded(&self.bounds, request, arguments))
    }

    /// Refuses training that is longer than the approval covers.
    pub(crate) fn check_length(&self, length: &Length) -> Result<(), Refusal> {
        covered(exceeded_by_length(&self.bounds, length))
    }

    /// The bytes that may run.
    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }
}

/// Refuses what a bound forbids.
fn covered(exceeded: Option<(&Bound, String)>) -> Result<(), Refusal> {
    let Some((bound, how)) = exceeded else { return Ok(()) };
    let text = format!("the plan is approved here with {bound} only, not {how}");
    Err(refusal(Reason::NotApproved, text))
}

/// Decides which plans may run.
#[derive(Clone, Debug)]
pub(crate) struct Approvals {
    database: Database,
    config: ApprovalConfig,
    operators: Vec<PublicKey>,
    trust: Arc<Trust>,
    /// What the policy lets run, by what. It stays so as long as the node serves: signatures
    /// are only ever added.
    let_run: Arc<Mutex<HashMap<Digest, String>>>,
}

impl Database {
    /// The plans that are known, the newest first.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn plans(&self) -> Result<Vec<KnownPlan>, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT digest, name, version, requested_by, first_seen_ms FROM plan
                 ORDER BY first_seen_ms DESC, digest",
            )?;
            let rows = statement.query_map([], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get::<_, i64>(4)?,
                ))
            })?;
            let mut descriptions = descriptions(connection)?;
            rows.map(|row| {
                let (digest, name, version, requested_by, first_seen_ms) = row?;
                let description = descriptions.remove(&digest).unwrap_or_default();
                let digest = digest.parse().map_err(|_| damaged("a digest"))?;
                let first_seen_ms = first_seen_ms as u64;
                let known =
                    KnownPlan { digest, name, version, requested_by, description, first_seen_ms };
                Ok(known)
            })
            .collect()
        })
    }

    /// The bytes of a plan, which are what its digest says, and its signatures.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::NoPlan`], [`Error::Damaged`].
    pub fn plan(&self, digest: &Digest) -> Result<(Vec<u8>, Vec<Vec<u8>>), Error> {
        let found = self.read(|connection| {
            let query = "SELECT component, signatures FROM plan WHERE digest = ?1";
            let row = connection.query_row(query, [digest.to_string()], |row| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?))
            });
            Ok(row.optional()?)
        })?;
        let no_plan = || Error::NoPlan { digest: digest.to_string() };
        let (component, signatures) = found.ok_or_else(no_plan)?;
        if Digest::of(&component) != *digest {
            return Err(damaged("the bytes of a plan are not what their digest says"));
        }
        let signatures: Vec<String> =
            serde_json::from_str(&signatures).map_err(|_| damaged("signatures"))?;
        Ok((component, signatures.into_iter().map(String::into_bytes).collect()))
    }

    /// Takes a plan in, if it is not known. Whether it was not.
    ///
    /// # Errors
    /// [`Error::Database`]; [`Error::TooManyPlans`] if too many wait for a decision.
    pub fn register(
        &self,
        component: &Component,
        signatures: &[Vec<u8>],
        requested_by: Option<(&Participant, &str)>,
        is_trusted: bool,
        now_ms: u64,
    ) -> Result<bool, Error> {
        let inspection = component.inspect();
        let digest = component.digest().to_string();
        let texts: Vec<_> = signatures.iter().map(|s| String::from_utf8_lossy(s)).collect();
        let texts = serde_json::to_string(&texts).unwrap_or_default();
        let (name, version) = (inspection.name, inspection.version);
        let (name, version) = (name.unwrap_or_default(), version.unwrap_or_default());
        let (who, description) = requested_by.unzip();
        let who = who.map(Participant::to_string);
        self.write(|write| {
            if is_known(write, &digest)? {
                // Signatures may come later than the bytes, and from several researchers.
                let query = "SELECT signatures FROM plan WHERE digest = ?1";
                let known: String = write.query_row(query, [&digest], |row| row.get(0))?;
                let mut all: Vec<String> =
                    serde_json::from_str(&known).map_err(|_| damaged("signatures"))?;
                for signature in signatures {
                    let text = String::from_utf8_lossy(signature).into_owned();
                    if all.len() < SIGNATURES_MAX && !all.contains(&text) {
                        all.push(text);
                    }
                }
                let all = serde_json::to_string(&all).unwrap_or_default();
                write.execute(
                    "UPDATE plan SET signatures = ?2, trusted = max(trusted, ?3) WHERE digest = ?1",
                    params![digest, all, is_trusted],
                )?;
                return Ok(false);
            }
            if let (Some(who), false) = (&who, is_trusted) {
                check_room(write, who, component.bytes().len() as u64)?;
            }
            write.execute(
                "INSERT INTO plan (digest, component, signatures, name, version, requested_by,
                 first_seen_ms, trusted) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    digest,
                    component.bytes(),
                    texts,
                    name,
                    version,
                    who,
                    now_ms as i64,
                    is_trusted
                ],
            )?;
            let mut fields = json!({
                "plan": digest, "name": name, "version": version, "requested_by": who,
                "signatures": signatures.len(),
            });
            if let Some(description) = description.filter(|description| !description.is_empty()) {
                fields["description"] = json!(description);
            }
            append(self, write, now_ms, "registered", &fields)?;
            Ok(true)
        })
    }

    /// Writes a decision that `operator` signs.
    ///
    /// # Errors
    /// [`Error::NoPlan`], [`Error::Database`], [`Error::Trust`].
    pub fn decide(&self, operator: &KeyPair, decision: &Decision) -> Result<(), Error> {
        let note = decision.note.chars().take(NOTE_CHARS_MAX).collect::<String>();
        let operator_id = operator.public().fingerprint();
        let decision =
            Decision { note: printable(&note), operator: operator_id, ..decision.clone() };
        let json = serde_json::to_vec(&decision).map_err(|_| damaged("a decision"))?;
        let signed = Envelope::sign(TYPE, &json, operator)?.to_json();
        let digest = decision.digest.to_string();
        self.write(|write| {
            if !is_known(write, &digest)? {
                return Err(Error::NoPlan { digest: digest.clone() });
            }
            write.execute(
                "INSERT INTO decision (digest, signed) VALUES (?1, ?2)",
                params![digest, signed],
            )?;
            let fields = json!({
                "plan": digest, "note": decision.note, "expires_ms": decision.expires_ms,
                "bounds": decision.bounds, "min_rows": decision.min_rows,
                "researchers": decision.researchers,
                "operator": decision.operator, "decision_sha256": Digest::of(&signed),
            });
            append(self, write, decision.time_ms, decision.ruling.as_str(), &fields)?;
            Ok(())
        })
    }

    /// The decisions about a plan, the newest first, each with the digest of its signed bytes.
    ///
    /// # Errors
    /// [`Error::Database`]; [`Error::Trust`] if one was signed by none of `operators`: what
    /// nobody can vouch for might be a revocation, and is not passed over.
    pub fn decisions(
        &self,
        digest: &Digest,
        operators: &[PublicKey],
    ) -> Result<Vec<(Decision, Digest)>, Error> {
        self.read(|connection| {
            let query = "SELECT signed FROM decision WHERE digest = ?1 ORDER BY id DESC";
            let mut statement = connection.prepare(query)?;
            let rows = statement.query_map([digest.to_string()], |row| row.get::<_, Vec<u8>>(0))?;
            rows.map(|signed| {
                let signed = signed?;
                let envelope = Envelope::from_json("a decision", &signed)?;
                let mut json = Err(damaged("nobody decides"));
                for operator in operators {
                    json = envelope.verify("a decision", TYPE, operator).map_err(Error::from);
                    if json.is_ok() {
                        break;
                    }
                }
                let json = json?;
                let decision: Decision =
                    serde_json::from_slice(&json).map_err(|_| damaged("a decision"))?;
                if decision.digest != *digest || decision.node != *self.node() {
                    return Err(damaged("a decision is of another plan or node"));
                }
                Ok((decision, Digest::of(&signed)))
            })
            .collect()
        })
    }

    /// Forgets a plan that nobody decided on.
    ///
    /// # Errors
    /// [`Error::NoPlan`], [`Error::Decided`], [`Error::Database`].
    pub fn forget(&self, digest: &Digest, now_ms: u64) -> Result<(), Error> {
        let text = digest.to_string();
        self.write(|write| {
            let query = "SELECT EXISTS (SELECT 1 FROM decision WHERE digest = ?1)";
            if write.query_row(query, [&text], |row| row.get::<_, bool>(0))? {
                return Err(Error::Decided { digest: text.clone() });
            }
            match write.execute("DELETE FROM plan WHERE digest = ?1", [&text])? {
                0 => Err(Error::NoPlan { digest: text.clone() }),
                _ => append(self, write, now_ms, "forgotten", &json!({ "plan": text })).map(drop),
            }
        })
    }

    /// Writes down the rules of the node if they are others than before.
    pub(crate) fn record_policy(&self, rules: &Value, now_ms: u64) -> Result<(), Error> {
        self.write(|write| {
            let query = "SELECT entry FROM log WHERE json_extract(entry, '$.kind') = 'policy'
                         ORDER BY number DESC LIMIT 1";
            let last: Option<String> = write.query_row(query, [], |row| row.get(0)).optional()?;
            let last = last.and_then(|entry| serde_json::from_str::<Value>(&entry).ok());
            if last.is_none_or(|last| last["rules"] != *rules) {
                append(self, write, now_ms, "policy", &json!({ "rules": rules }))?;
            }
            Ok(())
        })
    }
}

/// What plans are for, by digest, as their registrations in the log say.
fn descriptions(connection: &Connection) -> Result<HashMap<String, String>, Error> {
    let mut statement = connection.prepare(
        "SELECT json_extract(entry, '$.plan'), json_extract(entry, '$.description') FROM log
         WHERE json_extract(entry, '$.kind') = 'registered'
         AND json_extract(entry, '$.description') IS NOT NULL ORDER BY number",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn is_known(connection: &Connection, digest: &str) -> Result<bool, Error> {
    let query = "SELECT EXISTS (SELECT 1 FROM plan WHERE digest = ?1)";
    Ok(connection.query_row(query, [digest], |row| row.get(0))?)
}

/// Plans that strangers ask for must not fill the disk.
fn check_room(connection: &Connection, who: &str, bytes: u64) -> Result<(), Error> {
    let query = "SELECT count(*), coalesce(sum(length(component)), 0) FROM plan
                 WHERE NOT trusted AND (?1 IS NULL OR requested_by = ?1)
                 AND NOT EXISTS (SELECT 1 FROM decision WHERE decision.digest = plan.digest)";
    for (whose, of, plans_max, bytes_max) in [
        ("of this researcher", Some(who), PENDING_OF_ONE_MAX, PENDING_BYTES_OF_ONE_MAX),
        ("in all", None, PENDING_MAX, PENDING_BYTES_MAX),
    ] {
        let (plans, waiting): (i64, i64) =
            connection.query_row(query, [of], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let is_full =
            plans as u64 >= plans_max || (waiting as u64).saturating_add(bytes) > bytes_max;
        if is_full {
            let mib_max = bytes_max >> 20;
            return Err(Error::TooManyPlans { whose, max: plans_max, mib_max });
        }
    }
    Ok(())
}

impl Database {
    /// Whether a plan of so many bytes that nobody decided on may wait here: looked at before
    /// it is fetched.
    ///
    /// # Errors
    /// [`Error::TooManyPlans`], [`Error::Database`].
    pub(crate) fn check_room(&self, who: &Participant, bytes: u64) -> Result<(), Error> {
        self.read(|connection| check_room(connection, &who.to_string(), bytes))
    }
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
    /// all, since nobody says whose count.
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
            Ok(by) => reply(ApprovalStatus::Approved, by),
            Err(Some(why)) => reply(ApprovalStatus::Pending, why),
            Err(None) => reply(ApprovalStatus::NotRegistered, String::new()),
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
        let no = |text: String| Err(refusal(Reason::NotApproved, text));
        if let Some((decision, signed)) = self.newest(&digest).map_err(internal)? {
            let (status, note) = judge(&decision, researcher, now_ms);
            if !status.may_run() {
                return no(with_note(&format!("the plan is {status} here"), &note));
            }
            let (by, bounds) = (signed.to_string(), decision.bounds);
            return Ok(ApprovedPlan { digest, by, bounds, min_rows: decision.min_rows });
        }
        if self.config.policy == Policy::Any {
            return Ok(ApprovedPlan::by_rule(digest, "policy any".into()));
        }
        match self.by_policy(&digest).map_err(internal)? {
            Ok(by) => Ok(ApprovedPlan::by_rule(digest, by)),
            Err(Some(why)) => no(with_note("the plan is pending here", &why)),
            Err(None) => no("the plan is not registered here".into()),
        }
    }

    fn newest(&self, digest: &Digest) -> Result<Option<(Decision, Digest)>, Error> {
        Ok(self.database.decisions(digest, &self.operators)?.into_iter().next())
    }

    /// What the policy says of a plan that nobody decided on: by what it may run, or
    /// why it waits; none if it is not known.
    fn by_policy(&self, digest: &Digest) -> Result<Result<String, Option<String>>, Error> {
        let known = || self.let_run.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(by) = known().get(digest) {
            return Ok(Ok(by.clone()));
        }
        let judged = self.judge_by_policy(digest)?;
        if let Ok(by) = &judged {
            known().insert(*digest, by.clone());
        }
        Ok(judged)
    }

    fn judge_by_policy(&self, digest: &Digest) -> Result<Result<String, Option<String>>, Error> {
        let (component, signatures) = match self.database.plan(digest) {
            Ok(found) => found,
            Err(Error::NoPlan { .. }) => return Ok(Err(None)),
            Err(error) => return Err(error),
        };
        Ok(match self.config.policy {
            Policy::Any => Ok("policy any".into()),
            Policy::Hand => Err(Some(String::new())),
            Policy::List if self.config.list.contains(digest) => Ok("policy list".into()),
            Policy::List => Err(Some("it is not on the node's list".into())),
            Policy::Signer => match self.trust.judge(&component, &signatures).1 {
                Verdict::Trusted => Ok("policy signer".into()),
                // Others are not kept: whoever likes could send any number of them.
                Verdict::NotSigned => Err(Some("no signer that this node trusts signed it".into())),
                verdict => Err(Some(format!("its signatures: {verdict}"))),
            },
        })
    }
}

/// What a decision means now, for a researcher.
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
            (ApprovalStatus::Pending, "it is approved for other researchers".into())
        }
        Ruling::Approved => (ApprovalStatus::Approved, note),
    }
}

/// A sentence, and why if there is a reason.
fn with_note(text: &str, note: &str) -> String {
    if note.is_empty() { text.to_owned() } else { format!("{text}: {note}") }
}

fn damaged(reason: &str) -> Error {
    Error::Damaged { file: "registry.db".into(), reason: reason.to_owned() }
}
