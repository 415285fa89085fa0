//! Decisions of operators about plans, signed with their keys.

use fedwasm_protocol::{Digest, NodeId, ResearcherId, printable};
use fedwasm_trust::{Envelope, Fingerprint, KeyPair, PublicKey};
use rusqlite::params;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::registry::{damaged, damaged_by, is_known};
use crate::log::append;
use crate::{Bound, Database, Error};

/// The media type of a decision.
const TYPE: &str = "application/vnd.fedwasm.decision+json";
/// The longest note, in characters.
const NOTE_CHARS_MAX: usize = 500;

/// The ruling of an operator.
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
    /// The ruling.
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

impl Database {
    /// Writes a decision that `operator` signs.
    ///
    /// # Errors
    /// [`Error::NoPlan`], [`Error::Database`], [`Error::Trust`].
    pub fn decide(&self, operator: &KeyPair, decision: &Decision) -> Result<(), Error> {
        let note = decision.note.chars().take(NOTE_CHARS_MAX).collect::<String>();
        let operator_id = operator.public().fingerprint();
        let decision =
            Decision { note: printable(&note), operator: operator_id, ..decision.clone() };
        let json =
            serde_json::to_vec(&decision).map_err(|error| damaged_by("a decision", error))?;
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
    /// [`Error::Database`]; [`Error::Trust`] if one was not signed by any of `operators`: an
    /// unverifiable decision might be a revocation, and is not ignored.
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
                let mut json = Err(damaged("no operator is configured"));
                for operator in operators {
                    json = envelope.verify("a decision", TYPE, operator).map_err(Error::from);
                    if json.is_ok() {
                        break;
                    }
                }
                let json = json?;
                let decision: Decision = serde_json::from_slice(&json)
                    .map_err(|error| damaged_by("a decision", error))?;
                if decision.digest != *digest || decision.node != *self.node() {
                    return Err(damaged("a decision belongs to another plan or node"));
                }
                Ok((decision, Digest::of(&signed)))
            })
            .collect()
        })
    }
}
