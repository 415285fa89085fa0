//! A participant's own directory: its private key, its knowledge of its
//! federation, and the newest roster that it saw. `key.pem`, `key.pem.pub`,
//! `participant`, `membership.json`, `roster.json`.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use fedwasm_folder::Folder;
use fedwasm_protocol::{FederationId, Participant};
use serde::{Deserialize, Serialize};

use crate::roster::{ROSTER_BYTES_MAX, federation_of};
use crate::{Error, KeyPair, PublicKey, Roster, Standing};

const KEY: &str = "key.pem";
const WHO: &str = "participant";
const MEMBERSHIP: &str = "membership.json";
const ROSTER: &str = "roster.json";
/// It holds the roster, in lines.
const MEMBERSHIP_BYTES_MAX: u64 = 16 << 20;

/// A participant with its key, in a federation or not yet.
#[derive(Debug)]
pub struct Identity {
    folder: Folder,
    /// The participant that it belongs to.
    pub participant: Participant,
    /// Its key.
    pub key: Arc<KeyPair>,
}

/// A participant's knowledge of its federation. It holds no secret, but it must come from
/// the federation's authority: the id and the roster's signature hang on its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// The federation.
    pub federation: FederationId,
    /// The key that signs its roster, and after which it is named.
    pub authority: PublicKey,
    /// The certificates for TLS; none where broker and repository are on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// The signed roster at the time.
    pub roster: serde_json::Value,
}

/// Certificates, as PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The federation's own certificate authority: no other is trusted.
    pub ca: String,
    /// The participant's certificate.
    pub certificate: String,
}

/// A participant in a federation.
#[derive(Debug)]
pub struct Member {
    identity: Identity,
    membership: Membership,
    roster: RwLock<Arc<Roster>>,
    /// The oldest roster that it accepts, in milliseconds since it was signed.
    roster_age_ms_max: AtomicU64,
    listeners: Listeners,
}

/// Is told of a roster with other entries.
type Listener = Box<dyn Fn(&Roster) + Send + Sync>;

#[derive(Default)]
struct Listeners(Mutex<Vec<Listener>>);

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listeners")
    }
}

impl Identity {
    /// Makes the directory of a new participant, with a fresh key.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Io`], [`Error::Randomness`].
    pub fn create(dir: &Path, participant: Participant) -> Result<Self, Error> {
        let folder = Folder::create_private(dir)?;
        let key = Arc::new(KeyPair::create(&dir.join(KEY))?);
        folder.write(WHO, participant.to_string().as_bytes())?;
        Ok(Self { folder, participant, key })
    }

    /// Opens the directory of a participant.
    ///
    /// # Errors
    /// [`Error::OpenKey`], [`Error::NoKey`], [`Error::Malformed`], [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let folder = Folder::create_private(dir)?;
        let key = Arc::new(KeyPair::read(&dir.join(KEY))?);
        let text = folder.read(WHO, 256)?;
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        let damaged = |error: fedwasm_protocol::IdError| Error::Malformed {
            what: dir.join(WHO).display().to_string(),
            reason: error.into(),
        };
        Ok(Self { folder, participant: text.parse().map_err(damaged)?, key })
    }

    /// Opens the directory of a participant, or makes it.
    ///
    /// # Errors
    /// As [`Identity::open`] and [`Identity::create`].
    pub fn open_or_create(
        dir: &Path,
        participant: impl FnOnce(&KeyPair) -> Participant,
    ) -> Result<Self, Error> {
        if dir.join(WHO).exists() {
            return Self::open(dir);
        }
        let folder = Folder::create_private(dir)?;
        // Of two programs that start at once, the second takes the key of the first.
        let key = match KeyPair::create(&dir.join(KEY)) {
            Err(Error::Exists { .. }) => KeyPair::read(&dir.join(KEY))?,
            key => key?,
        };
        let participant = participant(&key);
        folder.write(WHO, participant.to_string().as_bytes())?;
        Ok(Self { folder, participant, key: Arc::new(key) })
    }

    /// Whether it is in a federation.
    pub fn is_member(&self) -> bool {
        self.folder.has(MEMBERSHIP)
    }

    /// Joins a federation: from now on only signatures of its authority count.
    ///
    /// # Errors
    /// [`Error::OtherFederation`], [`Error::Signature`], [`Error::Malformed`];
    /// [`Error::Unknown`] if its roster does not have this participant with this key.
    pub fn join(self, membership: &Membership) -> Result<Member, Error> {
        let json = serde_json::to_vec_pretty(membership).map_err(malformed)?;
        self.check(membership)?;
        self.folder.write(MEMBERSHIP, &json)?;
        self.member()
    }

    /// Opens the federation that it has joined.
    ///
    /// # Errors
    /// [`Error::Io`] if it has joined none; otherwise as [`Identity::join`].
    pub fn member(self) -> Result<Member, Error> {
        let json = self.folder.read(MEMBERSHIP, MEMBERSHIP_BYTES_MAX)?;
        let membership: Membership = serde_json::from_slice(&json).map_err(malformed)?;
        let mut roster = self.check(&membership)?;
        // A member can do without a damaged file; an older roster is not taken.
        if let Ok(bytes) = self.folder.read(ROSTER, ROSTER_BYTES_MAX)
            && let Ok(newer) = Roster::verify(&bytes, &membership.authority)
            && (newer.serial, newer.issued_ms) > (roster.serial, roster.issued_ms)
        {
            roster = newer;
        }
        Ok(Member {
            identity: self,
            membership,
            roster: RwLock::new(Arc::new(roster)),
            roster_age_ms_max: AtomicU64::new(u64::MAX),
            listeners: Listeners::default(),
        })
    }

    fn check(&self, membership: &Membership) -> Result<Roster, Error> {
        let expected = federation_of(&membership.authority);
        if membership.federation != expected {
            let (what, got) = ("the membership", membership.federation.clone());
            return Err(Error::OtherFederation { what, got, expected });
        }
        let bytes = serde_json::to_vec(&membership.roster).map_err(malformed)?;
        let roster = Roster::verify(&bytes, &membership.authority)?;
        match roster.key(&self.participant) {
            Some(key) if key == self.key.public() => Ok(roster),
            _ => Err(Error::Unknown { participant: self.participant.clone() }),
        }
    }
}

impl Member {
    /// Opens the directory of a participant that has joined a federation.
    ///
    /// # Errors
    /// As [`Identity::open`] and [`Identity::member`].
    pub fn open(dir: &Path) -> Result<Self, Error> {
        Identity::open(dir)?.member()
    }

    /// The role and name of the participant.
    pub fn participant(&self) -> &Participant {
        &self.identity.participant
    }

    /// Its key.
    pub fn key(&self) -> &Arc<KeyPair> {
        &self.identity.key
    }

    /// Its membership.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The same with the newest roster, and without its certificate: for others, who check
    /// signatures of participants.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn current_membership(&self) -> Result<Membership, Error> {
        let newest = self.identity.folder.read(ROSTER, ROSTER_BYTES_MAX);
        let roster = match newest.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            Some(roster) => roster,
            None => self.membership.roster.clone(),
        };
        Ok(Membership { roster, tls: None, ..self.membership.clone() })
    }

    /// The newest roster that it saw.
    pub fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.read())
    }

    /// Accepts no roster that was signed longer ago than this, however long its authority says
    /// that it counts.
    pub fn set_roster_age_max(&self, age: Duration) {
        self.roster_age_ms_max.store(age.as_millis() as u64, Ordering::Relaxed);
    }

    /// How old its roster is at `now_ms`, milliseconds of Unix time.
    pub fn standing(&self, now_ms: u64) -> Standing {
        let age_max = Duration::from_millis(self.roster_age_ms_max.load(Ordering::Relaxed));
        self.read().standing(now_ms, age_max)
    }

    /// Has `listener` told of every roster with other entries that is taken from now on, from any
    /// source: participants that are no longer on it were revoked.
    pub fn on_roster_change(&self, listener: impl Fn(&Roster) + Send + Sync + 'static) {
        let mut listeners = self.listeners.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.push(Box::new(listener));
    }

    /// Takes a roster if it is a newer one. Whether its entries are others; one that was only
    /// signed again is also taken.
    ///
    /// # Errors
    /// [`Error::Signature`], [`Error::Malformed`], [`Error::OtherFederation`];
    /// [`Error::OldRoster`] if it is older than the one that is known.
    pub fn take_roster(&self, bytes: &[u8]) -> Result<bool, Error> {
        let roster = Roster::verify(bytes, &self.membership.authority)?;
        let mut known = self.roster.write().unwrap_or_else(PoisonError::into_inner);
        if roster.serial < known.serial {
            return Err(Error::OldRoster { got: roster.serial, known: known.serial });
        }
        let is_changed = roster.serial > known.serial;
        if !is_changed && roster.issued_ms <= known.issued_ms {
            return Ok(false);
        }
        self.identity.folder.write(ROSTER, bytes)?;
        let roster = Arc::new(roster);
        *known = Arc::clone(&roster);
        drop(known);
        if is_changed {
            let listeners = self.listeners.0.lock().unwrap_or_else(PoisonError::into_inner);
            listeners.iter().for_each(|listener| listener(&roster));
        }
        Ok(is_changed)
    }

    fn read(&self) -> RwLockReadGuard<'_, Arc<Roster>> {
        self.roster.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn malformed(error: serde_json::Error) -> Error {
    Error::Malformed { what: MEMBERSHIP.into(), reason: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authority;

    #[test]
    fn a_member_keeps_its_key_and_the_newest_roster() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(&dir.path().join("net"), "test").unwrap();
        let who: Participant = "node-a".parse().unwrap();
        let home = dir.path().join("a");
        let identity = Identity::create(&home, who.clone()).unwrap();
        assert!(!identity.is_member());
        let old = authority.signed_roster().unwrap();
        let membership = authority.enrol(&who, identity.key.public()).unwrap();
        // Another key under the same name is refused.
        let thief = Identity::create(&dir.path().join("b"), who.clone()).unwrap();
        assert!(matches!(thief.join(&membership), Err(Error::Unknown { .. })));
        let member = identity.join(&membership).unwrap();
        assert!(matches!(member.take_roster(&old), Err(Error::OldRoster { .. })));
        let other = KeyPair::generate().unwrap();
        authority.enrol(&"node-c".parse().unwrap(), other.public()).unwrap();
        assert!(member.take_roster(&authority.signed_roster().unwrap()).unwrap());
        assert!(!member.take_roster(&authority.signed_roster().unwrap()).unwrap());
        let again = Member::open(&home).unwrap();
        assert_eq!(again.roster(), member.roster());
        assert_eq!(again.roster().entries.len(), 2);
    }

    #[test]
    fn a_roster_that_was_signed_again_is_taken_and_a_change_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(&dir.path().join("net"), "test").unwrap();
        let [a, b]: [Participant; 2] = ["node-a", "researcher-b"].map(|who| who.parse().unwrap());
        let home = dir.path().join("a");
        let identity = Identity::create(&home, a.clone()).unwrap();
        let key = KeyPair::generate().unwrap();
        authority.enrol(&b, key.public()).unwrap();
        let membership = authority.enrol(&a, identity.key.public()).unwrap();
        let member = identity.join(&membership).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let (tell, who) = (Arc::clone(&told), b.clone());
        member.on_roster_change(move |roster| {
            tell.lock().unwrap().push(roster.key(&who).is_some());
        });
        let old = authority.signed_roster().unwrap();
        std::thread::sleep(Duration::from_millis(2));
        let renewed = authority.renew(None).unwrap();
        assert!(!member.take_roster(&authority.signed_roster().unwrap()).unwrap());
        assert_eq!(*member.roster(), renewed);
        // The same entries, signed earlier: the known roster stays.
        assert!(!member.take_roster(&old).unwrap());
        assert_eq!(*member.roster(), renewed);
        assert!(told.lock().unwrap().is_empty());
        authority.revoke(&b).unwrap();
        assert!(member.take_roster(&authority.signed_roster().unwrap()).unwrap());
        assert_eq!(*told.lock().unwrap(), [false]);
        // The newest is there after a restart, and its age counts.
        let again = Member::open(&home).unwrap();
        let issued_ms = again.roster().issued_ms;
        assert!(issued_ms >= renewed.issued_ms);
        assert_eq!(again.standing(issued_ms + 1_000), Standing::Fresh);
        again.set_roster_age_max(Duration::from_millis(500));
        assert!(matches!(again.standing(issued_ms + 1_000), Standing::Expired { .. }));
    }

    #[test]
    fn a_membership_of_another_authority_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two] = ["1", "2"].map(|d| Authority::create(&dir.path().join(d), "x").unwrap());
        let who: Participant = "node-a".parse().unwrap();
        let identity = Identity::create(&dir.path().join("a"), who.clone()).unwrap();
        let mut membership = one.enrol(&who, identity.key.public()).unwrap();
        membership.authority = two.enrol(&who, identity.key.public()).unwrap().authority;
        let error = identity.join(&membership).unwrap_err();
        assert!(matches!(error, Error::OtherFederation { .. }), "{error}");
    }
}
