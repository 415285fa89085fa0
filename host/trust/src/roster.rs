//! The participants of a federation: names with their roles and keys, signed by the federation's
//! authority. Its serial only grows, so that no member that has seen a key revoked can be told that
//! it is not.

use std::time::Duration;

use fedwasm_protocol::{Digest, FederationId, Participant};
use serde::{Deserialize, Serialize};

use crate::{Envelope, Error, KeyPair, PublicKey};

/// The media type of a roster.
const TYPE: &str = "application/vnd.fedwasm.roster+json";
/// The most entries, revoked ones among them.
pub const ENTRIES_MAX: usize = 4_096;
/// The largest signed roster, in bytes.
pub const ROSTER_BYTES_MAX: u64 = 4 << 20;
/// How long a roster counts after it was signed, unless its authority sets another time.
pub const ROSTER_VALIDITY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The part of its validity after which members warn: a day of a week.
const WARN_PART: u32 = 7;

/// The participants of a federation with their keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// The federation.
    pub federation: FederationId,
    /// Its name for people.
    pub name: String,
    /// Grows with every change.
    pub serial: u64,
    /// When it was signed, in milliseconds of Unix time; 0 if it does not say.
    #[serde(default)]
    pub issued_ms: u64,
    /// When it stops to count, in milliseconds of Unix time. One that does not say never counted.
    #[serde(default)]
    pub expires_ms: u64,
    /// Everybody, in order of enrolment.
    pub entries: Vec<Entry>,
}

/// A participant's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The participant.
    pub participant: Participant,
    /// Its key.
    pub key: PublicKey,
    /// When the key was taken off, in milliseconds of Unix time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<u64>,
}

/// How old a roster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was signed lately.
    Fresh,
    /// It still counts, but a newer one should be there by now.
    Ageing {
        /// Since it was signed.
        age: Duration,
    },
    /// It is too old: later revocations are unknown.
    Expired {
        /// Since it was signed.
        age: Duration,
    },
}

/// The kind of key that made a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// A key that counts.
    Current,
    /// A key that was revoked.
    Revoked,
    /// None of the participant's keys.
    Other,
    /// The name is not on the roster.
    Unknown,
}

impl Roster {
    /// The key of a participant, if it has one that counts.
    pub fn key(&self, participant: &Participant) -> Option<&PublicKey> {
        self.current().find(|entry| entry.participant == *participant).map(|entry| &entry.key)
    }

    /// The owner of a key, if the key counts.
    pub fn owner(&self, key: &PublicKey) -> Option<&Participant> {
        self.current().find(|entry| entry.key == *key).map(|entry| &entry.participant)
    }

    /// The entries that count.
    pub fn current(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.revoked_ms.is_none())
    }

    /// SHA-256 of the keys that these participants have: equal for rosters that say the same about
    /// them, whatever else they say. Each name and key (DER; empty for a participant without one)
    /// has its length before it, 64 bits, big-endian.
    pub fn keys_sha256(&self, participants: impl IntoIterator<Item = Participant>) -> Digest {
        let mut bytes = b"fedwasm/keys/v1".to_vec();
        let mut put = |part: &[u8]| {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part);
        };
        put(self.federation.to_string().as_bytes());
        for participant in participants {
            put(participant.to_string().as_bytes());
            put(&self.key(&participant).map(PublicKey::to_der).unwrap_or_default());
        }
        Digest::of(&bytes)
    }

    /// Whether a key of `participant` signed `message`, and whether that key counts.
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

    /// Says when it is signed and how long it counts.
    pub(crate) fn date(&mut self, now_ms: u64, validity: Duration) {
        self.issued_ms = now_ms;
        self.expires_ms = now_ms.saturating_add(validity.as_millis() as u64);
    }

    /// How long it counts from when it was signed; none if it does not say.
    pub(crate) fn validity(&self) -> Option<Duration> {
        let ms = self.expires_ms.saturating_sub(self.issued_ms);
        (ms > 0).then(|| Duration::from_millis(ms))
    }

    /// How old it is at `now_ms`, milliseconds of Unix time, for a member that accepts one that
    /// was signed at most `age_max` ago.
    pub fn standing(&self, now_ms: u64, age_max: Duration) -> Standing {
        let age = Duration::from_millis(now_ms.saturating_sub(self.issued_ms));
        let validity = self.validity().unwrap_or_default().min(age_max);
        if now_ms > self.expires_ms || age > validity {
            Standing::Expired { age }
        } else if age > validity / WARN_PART {
            Standing::Ageing { age }
        } else {
            Standing::Fresh
        }
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
        if roster.federation == expected {
            Ok(roster)
        } else {
            let (what, got) = ("the roster", roster.federation);
            Err(Error::OtherFederation { what, got, expected })
        }
    }
}

/// The federation of an authority: named after its key.
pub fn federation_of(authority: &PublicKey) -> FederationId {
    let id = authority.fingerprint().short();
    // 32 hex digits are an id.
    id.parse().unwrap_or_else(|_| unreachable!("{id}"))
}

/// A time as people say it.
pub(crate) fn days(time: Duration) -> String {
    match time.as_secs() / 3_600 {
        hours @ 0..48 => format!("{hours} hours"),
        // More than a lifetime: it never said when.
        hours if hours > 876_600 => "an unknown time".into(),
        hours => format!("{} days", hours / 24),
    }
}

fn malformed(error: serde_json::Error) -> Error {
    Error::Malformed { what: "the roster".into(), reason: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(authority: &KeyPair) -> Roster {
        let (name, entries) = ("test".into(), Vec::new());
        let federation = federation_of(authority.public());
        let mut roster =
            Roster { federation, name, serial: 0, issued_ms: 0, expires_ms: 0, entries };
        roster.date(1_000, ROSTER_VALIDITY);
        roster
    }

    #[test]
    fn a_roster_ages_and_expires_and_one_without_a_time_never_counts() {
        let authority = KeyPair::generate().unwrap();
        let roster = roster(&authority);
        let day = 24 * 60 * 60 * 1_000;
        let standing = |ms: u64| roster.standing(1_000 + ms, Duration::MAX);
        assert_eq!(standing(0), Standing::Fresh);
        assert_eq!(standing(day), Standing::Fresh);
        assert!(matches!(standing(day + 1), Standing::Ageing { .. }));
        assert!(matches!(standing(7 * day), Standing::Ageing { .. }));
        assert!(matches!(standing(7 * day + 1), Standing::Expired { .. }));
        // The member's own bound is the lower one.
        let hour = Duration::from_secs(60 * 60);
        assert!(matches!(roster.standing(1_001 + day, hour), Standing::Expired { .. }));
        // A clock that is behind makes none of them old.
        assert_eq!(roster.standing(0, Duration::MAX), Standing::Fresh);
        let (issued_ms, expires_ms) = (0, 0);
        let undated = Roster { issued_ms, expires_ms, ..roster.clone() };
        assert!(matches!(undated.standing(1_000, Duration::MAX), Standing::Expired { .. }));
        // It is read all the same, in the form that it had before rosters had a time.
        let mut json = serde_json::to_value(&undated).unwrap();
        for key in ["issued_ms", "expires_ms"] {
            json.as_object_mut().unwrap().remove(key);
        }
        assert_eq!(serde_json::from_value::<Roster>(json).unwrap(), undated);
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
        // A revoked key stays revoked under every name.
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
