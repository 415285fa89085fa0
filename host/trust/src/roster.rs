//! Who is who in a federation: names with their roles and keys, signed by the
//! federation's authority. Its serial only grows, so that nobody who has seen
//! a key revoked can be told that it is not.

use fedwasm_protocol::{FederationId, Participant};
use serde::{Deserialize, Serialize};

use crate::{Envelope, Error, KeyPair, PublicKey};

/// The media type of a roster.
const TYPE: &str = "application/vnd.fedwasm.roster+json";
/// The most entries, revoked ones among them.
pub const ENTRIES_MAX: usize = 4_096;
/// The largest signed roster, in bytes.
pub const ROSTER_BYTES_MAX: u64 = 4 << 20;

/// Who is who in a federation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// The federation.
    pub federation: FederationId,
    /// What people call it.
    pub name: String,
    /// Grows with every change.
    pub serial: u64,
    /// Everybody, in order of enrolment.
    pub entries: Vec<Entry>,
}

/// A participant's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Who.
    pub participant: Participant,
    /// Its key.
    pub key: PublicKey,
    /// When the key was taken off, in milliseconds of Unix time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<u64>,
}

/// Whose signature one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// A key that counts.
    Current,
    /// A key that was revoked.
    Revoked,
    /// None of the participant's keys.
    Other,
    /// Nobody of this name is on the roster.
    Unknown,
}

impl Roster {
    /// The key of a participant, if it has one that counts.
    pub fn key(&self, participant: &Participant) -> Option<&PublicKey> {
        self.current().find(|entry| entry.participant == *participant).map(|entry| &entry.key)
    }

    /// Whose key this is, if it counts.
    pub fn owner(&self, key: &PublicKey) -> Option<&Participant> {
        self.current().find(|entry| entry.key == *key).map(|entry| &entry.participant)
    }

    /// The entries that count.
    pub fn current(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.revoked_ms.is_none())
    }

    /// Whose signature of `message` this is.
    pub fn signer(&self, participant: &Participant, message: &[u8], signature: &[u8]) -> Signer {
        let mut found = Signer::Unknown;
        for entry in self.entries.iter().filter(|entry| entry.participant == *participant) {
            let is_valid = entry.key.verify("it", message, signature).is_ok();
            match (is_valid, entry.revoked_ms) {
                (true, None) => return Signer::Current,
                (true, Some(_)) => found = Signer::Revoked,
                (false, _) if found == Signer::Unknown => found = Signer::Other,
                (false, _) => {}
            }
        }
        found
    }

    /// Adds a key; the same one twice changes nothing. Whether anything changed.
    ///
    /// # Errors
    /// [`Error::Taken`], [`Error::RevokedKey`], [`Error::Full`].
    pub fn enrol(&mut self, participant: &Participant, key: &PublicKey) -> Result<bool, Error> {
        let same = |entry: &&Entry| entry.participant == *participant || entry.key == *key;
        if let Some(entry) = self.current().find(same) {
            if entry.participant == *participant && entry.key == *key {
                return Ok(false);
            }
            let (participant, known) = (entry.participant.clone(), entry.key.fingerprint());
            return Err(Error::Taken { participant, known });
        }
        if self.entries.iter().any(|entry| entry.key == *key) {
            return Err(Error::RevokedKey { key: key.fingerprint() });
        }
        if self.entries.len() >= ENTRIES_MAX {
            return Err(Error::Full { max: ENTRIES_MAX });
        }
        let (participant, key) = (participant.clone(), key.clone());
        self.entries.push(Entry { participant, key, revoked_ms: None });
        self.serial += 1;
        Ok(true)
    }

    /// Takes a participant's key off.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn revoke(&mut self, participant: &Participant, now_ms: u64) -> Result<PublicKey, Error> {
        let is_it =
            |entry: &&mut Entry| entry.participant == *participant && entry.revoked_ms.is_none();
        let entry = self.entries.iter_mut().find(is_it);
        let entry = entry.ok_or_else(|| Error::Unknown { participant: participant.clone() })?;
        entry.revoked_ms = Some(now_ms);
        let key = entry.key.clone();
        self.serial += 1;
        Ok(key)
    }

    /// Signs the roster.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Randomness`].
    pub fn sign(&self, authority: &KeyPair) -> Result<Vec<u8>, Error> {
        let json = serde_json::to_vec(self).map_err(malformed)?;
        Ok(Envelope::sign(TYPE, &json, authority)?.to_json())
    }

    /// Reads a roster that `authority` signed, of the federation that is named
    /// after its key.
    ///
    /// # Errors
    /// [`Error::Signature`], [`Error::Malformed`], [`Error::OtherFederation`].
    pub fn verify(bytes: &[u8], authority: &PublicKey) -> Result<Self, Error> {
        let envelope = Envelope::from_json("the roster", bytes)?;
        let json = envelope.verify("the roster", TYPE, authority)?;
        let roster: Self = serde_json::from_slice(&json).map_err(malformed)?;
        if roster.entries.len() > ENTRIES_MAX {
            return Err(Error::Full { max: ENTRIES_MAX });
        }
        let expected = federation_of(authority);
        match roster.federation == expected {
            true => Ok(roster),
            false => {
                let (what, got) = ("the roster", roster.federation);
                Err(Error::OtherFederation { what, got, expected })
            }
        }
    }
}

/// The federation of an authority: named after its key.
pub fn federation_of(authority: &PublicKey) -> FederationId {
    let id = authority.fingerprint().short();
    // 32 hex digits are an id.
    id.parse().unwrap_or_else(|_| unreachable!("{id}"))
}

fn malformed(error: serde_json::Error) -> Error {
    Error::Malformed { what: "the roster".into(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(authority: &KeyPair) -> Roster {
        let (name, entries) = ("test".into(), Vec::new());
        Roster { federation: federation_of(authority.public()), name, serial: 0, entries }
    }

    #[test]
    fn a_name_has_one_key_and_a_key_one_name() {
        let [authority, a, b] = [(); 3].map(|()| KeyPair::generate().unwrap());
        let mut roster = roster(&authority);
        let (one, two) = ("node-1".parse().unwrap(), "node-2".parse().unwrap());
        assert!(roster.enrol(&one, a.public()).unwrap());
        assert!(!roster.enrol(&one, a.public()).unwrap());
        assert!(matches!(roster.enrol(&one, b.public()), Err(Error::Taken { .. })));
        assert!(matches!(roster.enrol(&two, a.public()), Err(Error::Taken { .. })));
        assert_eq!(roster.serial, 1);
        let signature = a.sign(b"m").unwrap();
        assert_eq!(roster.signer(&one, b"m", &signature), Signer::Current);
        assert_eq!(roster.signer(&one, b"n", &signature), Signer::Other);
        assert_eq!(roster.signer(&two, b"m", &signature), Signer::Unknown);
        roster.revoke(&one, 5).unwrap();
        assert_eq!(roster.signer(&one, b"m", &signature), Signer::Revoked);
        assert!(roster.key(&one).is_none() && roster.owner(a.public()).is_none());
        // What was revoked stays so, under whatever name.
        assert!(matches!(roster.enrol(&one, a.public()), Err(Error::RevokedKey { .. })));
        assert!(matches!(roster.enrol(&two, a.public()), Err(Error::RevokedKey { .. })));
        assert!(roster.enrol(&one, b.public()).unwrap());
        assert_eq!(roster.signer(&one, b"m", &b.sign(b"m").unwrap()), Signer::Current);
        assert_eq!(roster.signer(&one, b"m", &signature), Signer::Revoked);
    }

    #[test]
    fn only_the_authority_s_word_counts() {
        let [authority, other] = [(); 2].map(|()| KeyPair::generate().unwrap());
        let roster = roster(&authority);
        let signed = roster.sign(&authority).unwrap();
        assert_eq!(Roster::verify(&signed, authority.public()).unwrap(), roster);
        let forged = roster.sign(&other).unwrap();
        let error = Roster::verify(&forged, authority.public()).unwrap_err();
        assert!(matches!(error, Error::Signature { .. }), "{error}");
        // Signed by its own authority, but of another federation.
        let error = Roster::verify(&forged, other.public()).unwrap_err();
        assert!(matches!(error, Error::OtherFederation { .. }), "{error}");
        assert!(Roster::verify(b"{}", authority.public()).is_err());
    }
}
