//! Participants of a federation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{IdError, NodeId, ParticipantName, ResearcherId};

/// The role of a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Asks nodes to train.
    Researcher,
    /// Has data, and trains.
    Node,
    /// Decides at a node which plans may run.
    Operator,
    /// Signs plans.
    Signer,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Researcher, Self::Node, Self::Operator, Self::Signer];

    /// The role as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Researcher => "researcher",
            Self::Node => "node",
            Self::Operator => "operator",
            Self::Signer => "signer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| IdError { got: text.chars().take(80).collect() })
    }
}

/// A participant of a federation, written `node-site-1`. Is a
/// topic's level and a certificate's common name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Participant {
    /// Its role.
    pub role: Role,
    /// Its name, unique in its role.
    pub name: ParticipantName,
}

impl Participant {
    /// A participant of this role.
    pub fn new(role: Role, name: ParticipantName) -> Self {
        Self { role, name }
    }

    /// The node of this id.
    pub fn node(id: &NodeId) -> Self {
        Self { role: Role::Node, name: id.clone().into() }
    }

    /// The researcher of this id.
    pub fn researcher(id: &ResearcherId) -> Self {
        Self { role: Role::Researcher, name: id.clone().into() }
    }

    /// The node's id, if it is one.
    pub fn node_id(&self) -> Option<NodeId> {
        (self.role == Role::Node).then(|| self.name.clone().into())
    }

    /// The researcher's id, if it is one.
    pub fn researcher_id(&self) -> Option<ResearcherId> {
        (self.role == Role::Researcher).then(|| self.name.clone().into())
    }
}

impl fmt::Display for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.role, self.name)
    }
}

impl FromStr for Participant {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::of(text);
        let (role, name) = text.split_once('-').ok_or_else(wrong)?;
        Ok(Self { role: role.parse()?, name: name.parse()? })
    }
}

impl TryFrom<String> for Participant {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<Participant> for String {
    fn from(participant: Participant) -> Self {
        participant.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_participant_is_its_role_and_its_name() {
        let site: Participant = "node-site-1".parse().unwrap();
        assert_eq!(site, Participant::node(&"site-1".parse().unwrap()));
        assert_eq!(site.to_string(), "node-site-1");
        assert_eq!((site.node_id().is_some(), site.researcher_id()), (true, None));
        for text in ["site-1", "node", "node-", "node-a/b", "node-+", "Node-a", "node-a b", "-"] {
            assert!(text.parse::<Participant>().is_err(), "{text}");
        }
    }
}
