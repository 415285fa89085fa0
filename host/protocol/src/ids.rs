//! Validated identifiers.

use serde::{Deserialize, Serialize};

/// The longest id, in characters.
const ID_LEN_MAX: usize = 64;

/// An id that does not match `[A-Za-z0-9_-]{1,64}`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{got}` is not an id: 1 to 64 of A-Z, a-z, 0-9, `_` and `-`")]
pub struct IdError {
    /// The text that was given, cut to 80 characters.
    pub got: String,
}

impl IdError {
    pub(crate) fn of(text: &str) -> Self {
        Self { got: crate::plain(text, 80) }
    }
}

fn check(id: &str) -> Result<(), IdError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !id.is_empty() && id.len() <= ID_LEN_MAX && id.bytes().all(allowed) {
        Ok(())
    } else {
        Err(IdError::of(id))
    }
}

fn random_hex() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Draws an id from the operating system's randomness.
            ///
            /// # Errors
            /// If the operating system gives none.
            pub fn random() -> Result<Self, getrandom::Error> {
                random_hex().map(Self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(id: &str) -> Result<Self, IdError> {
                check(id).map(|()| Self(id.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(id: String) -> Result<Self, IdError> {
                check(&id).map(|()| Self(id))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// A node of the federation.
    NodeId
}
id! {
    /// A researcher.
    ResearcherId
}
id! {
    /// One experiment of a researcher.
    ExperimentId
}
id! {
    /// One request; its reply names it.
    RequestId
}
id! {
    /// A dataset at a node.
    DatasetId
}
id! {
    /// A federation: the first half of its authority's key's fingerprint, so that
    /// the id names the key.
    FederationId
}
id! {
    /// One run of a program of a participant, from its start to its end.
    SessionId
}
id! {
    /// The name of a participant of any role.
    ParticipantName
}
id! {
    /// A node state, kept from one round of an experiment to the next.
    StateId
}

impl From<NodeId> for ParticipantName {
    fn from(id: NodeId) -> Self {
        Self(id.0)
    }
}

impl From<ResearcherId> for ParticipantName {
    fn from(id: ResearcherId) -> Self {
        Self(id.0)
    }
}

impl From<ParticipantName> for NodeId {
    fn from(name: ParticipantName) -> Self {
        Self(name.0)
    }
}

impl From<ParticipantName> for ResearcherId {
    fn from(name: ParticipantName) -> Self {
        Self(name.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_plain_ids_pass() {
        for id in ["a", "node-1", "A_b", &"x".repeat(64)] {
            assert!(id.parse::<NodeId>().is_ok(), "{id}");
        }
        for id in ["", "a b", "a/b", "+", "#", "..", "ä", &"x".repeat(65), "a\n"] {
            assert!(id.parse::<NodeId>().is_err(), "{id:?}");
        }
    }

    #[test]
    fn random_ids_are_ids() {
        let (a, b) = (RequestId::random().unwrap(), RequestId::random().unwrap());
        assert_ne!(a, b);
        assert!(a.as_str().parse::<RequestId>().is_ok());
    }
}
