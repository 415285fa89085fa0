//! The request of a participant to be enrolled by a federation on the same machine: its name and
//! key, signed with the key, so that no participant can enrol another's.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fedwasm_protocol::Participant;
use fedwasm_trust::{Identity, Member, PublicKey, Standing};
use serde::{Deserialize, Serialize};

use crate::{Error, Repository, RepositoryUrl, Security, now_ms};

/// Opens the federation that a participant has joined. One on this machine takes in
/// any participant; elsewhere its authority must have enrolled the participant.
///
/// # Errors
/// [`Error::NotEnrolled`]; [`Error::OtherFederation`] if the repository is not of the federation
/// that was joined; [`Error::Repository`], [`Error::RepositoryUnreachable`], [`Error::Trust`].
pub async fn join(
    identity: Identity,
    url: &RepositoryUrl,
) -> Result<(Arc<Member>, Repository), Error> {
    let member = match identity.is_member() {
        true => identity.member()?,
        false if url.security() == Security::Loopback => {
            let membership = Repository::new(url.clone(), None)?.enrol(&identity).await?;
            identity.join(&membership)?
        }
        false => {
            let participant = identity.participant.clone();
            return Err(Error::NotEnrolled { participant, url: url.to_string() });
        }
    };
    let repository = Repository::new(url.clone(), Some(&member))?;
    match repository.refresh_roster(&member).await {
        Ok(_) => match member.standing(now_ms()) {
            Standing::Expired { age } => Err(fedwasm_trust::Error::ExpiredRoster { age }.into()),
            _ => Ok((Arc::new(member), repository)),
        },
        Err(Error::Trust(error)) => {
            let (url, reason) = (url.to_string(), error.into());
            Err(Error::OtherFederation { url, reason })
        }
        Err(error) => Err(error),
    }
}

/// The largest request of an enrolment, in bytes.
pub const ENROLMENT_BYTES_MAX: usize = 4 << 10;
/// The largest answer: it holds the roster.
pub(crate) const ANSWER_BYTES_MAX: u64 = 8 << 20;
const DOMAIN: &str = "fedwasm enrolment v1";

/// A wish to take part.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The participant that asks.
    pub participant: Participant,
    /// The key to enrol.
    pub key: PublicKey,
    /// Base64 of the signature.
    signature: String,
}

impl Enrolment {
    /// Signs a wish with the key that it names.
    ///
    /// # Errors
    /// [`Error::Trust`].
    pub fn sign(identity: &Identity) -> Result<Self, Error> {
        let (participant, key) = (identity.participant.clone(), identity.key.public().clone());
        let signature = identity.key.sign(&signed(&participant, &key))?;
        Ok(Self { participant, key, signature: STANDARD.encode(signature) })
    }

    /// Reads a request and checks that its key signed it.
    ///
    /// # Errors
    /// [`Error::Trust`].
    pub fn verify(json: &[u8]) -> Result<Self, Error> {
        let malformed = |reason: String| {
            let what = "the enrolment".to_owned();
            Error::Trust(fedwasm_trust::Error::Malformed { what, reason: reason.into() })
        };
        let this: Self =
            serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
        let signature = STANDARD.decode(&this.signature);
        let signature = signature.map_err(|error| malformed(error.to_string()))?;
        this.key.verify("the enrolment", &signed(&this.participant, &this.key), &signature)?;
        Ok(this)
    }

    /// The wish as it is sent.
    pub fn to_json(&self) -> Vec<u8> {
        // Texts alone cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn signed(participant: &Participant, key: &PublicKey) -> Vec<u8> {
    format!("{DOMAIN}\0{participant}\0{}", key.fingerprint()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_enrols_with_a_key_that_it_does_not_have() {
        let dir = tempfile::tempdir().unwrap();
        let identity =
            |name: &str| Identity::create(&dir.path().join(name), name.parse().unwrap()).unwrap();
        let (a, b) = (identity("node-a"), identity("node-b"));
        let mut wish = Enrolment::sign(&a).unwrap();
        assert_eq!(Enrolment::verify(&wish.to_json()).unwrap().participant, a.participant);
        wish.key = b.key.public().clone();
        assert!(Enrolment::verify(&wish.to_json()).is_err());
        let mut wish = Enrolment::sign(&a).unwrap();
        wish.participant = b.participant.clone();
        assert!(Enrolment::verify(&wish.to_json()).is_err());
    }
}
