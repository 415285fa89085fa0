//! `[approval]` of `node.toml`.

use fedwasm_protocol::Digest;
use fedwasm_trust::PublicKey;
use serde::{Deserialize, Serialize};

use crate::Error;

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
    /// The plans that policy `list` allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<Digest>,
    /// The key of the operator, whose decisions count; none only until the node is created.
    pub operator: Option<PublicKey>,
    /// Earlier keys of the operator; the decisions that they signed still count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_operators: Vec<PublicKey>,
}

impl ApprovalConfig {
    /// All keys whose decisions count, the operator's first.
    ///
    /// # Errors
    /// [`Error::Damaged`] without an operator.
    pub fn operators(&self) -> Result<Vec<PublicKey>, Error> {
        let operator = self.operator.clone().ok_or_else(|| {
            Error::damaged(
                "node.toml",
                "approval.operator is missing; name the public key of the operator, whose \
                 decisions count",
            )
        })?;
        Ok([operator].into_iter().chain(self.former_operators.clone()).collect())
    }
}
