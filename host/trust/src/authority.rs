//! The authority of a federation: binds keys to names, and issues certificates. Its
//! directory holds `authority.pem`, which is the whole federation's trust,
//! `roster.json`, and, for networks with TLS, `ca.pem` and the server's
//! `server.pem` and `server.key.pem`. Without `authority.pem`, and with `authority.pem.pub`, it
//! serves files that were signed elsewhere.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fedwasm_folder::{Folder, Lock};
use fedwasm_protocol::{FederationId, Participant};

use crate::roster::{ROSTER_BYTES_MAX, ROSTER_VALIDITY, federation_of};
use crate::{Error, KeyPair, Membership, PublicKey, Roster, TlsFiles, certificate};

const KEY: &str = "authority.pem";
const PUBLIC: &str = "authority.pem.pub";
const ROSTER: &str = "roster.json";
const LOCK: &str = "lock";
const CA: &str = "ca.pem";
const SERVER: &str = "server.pem";
const SERVER_KEY: &str = "server.key.pem";
const PEM_BYTES_MAX: u64 = 64 << 10;

/// The authority of a federation.
#[derive(Debug)]
pub struct Authority {
    dir: PathBuf,
    folder: Folder,
    public: PublicKey,
    /// None where it lies on another machine.
    key: Option<KeyPair>,
    tls: bool,
    /// The roster that was read last, and the state of its file then.
    current: Mutex<Option<(FileState, Arc<Roster>)>>,
}

/// When a file was written, and its length.
type FileState = (SystemTime, u64);

/// The certificate and key that a server shows to its clients.
#[derive(Debug)]
pub struct ServerFiles {
    /// The certificate authority that clients' certificates must be of, as PEM.
    pub ca: String,
    /// The server's certificate, as PEM.
    pub certificate: String,
    /// The server's key.
    pub key: KeyPair,
}

impl ServerFiles {
    /// The server's key as PEM, for another server.
    pub fn key_pem(&self) -> String {
        self.key.to_pem()
    }
}

impl Authority {
    /// Founds a federation on this machine alone: no certificates.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Io`], [`Error::Randomness`].
    pub fn create(dir: &Path, name: &str) -> Result<Self, Error> {
        let folder = Folder::create_private(dir)?;
        let key = KeyPair::create(&dir.join(KEY))?;
        let (federation, name) = (federation_of(key.public()), name.to_owned());
        let (serial, entries) = (0, Vec::new());
        let mut roster = Roster { federation, name, serial, issued_ms: 0, expires_ms: 0, entries };
        roster.date(now_ms(), ROSTER_VALIDITY);
        folder.write(ROSTER, &roster.sign(&key)?)?;
        let (public, current) = (key.public().clone(), Mutex::default());
        Ok(Self { dir: dir.to_owned(), folder, public, key: Some(key), tls: false, current })
    }

    /// Founds a federation whose broker and repository are reached under
    /// `hosts`, names or addresses, over TLS.
    ///
    /// # Errors
    /// As [`Authority::create`], and [`Error::Certificate`].
    pub fn create_with_tls(dir: &Path, name: &str, hosts: &[String]) -> Result<Self, Error> {
        let server = KeyPair::generate()?;
        // Names are checked before anything is written.
        let probe = KeyPair::generate()?;
        certificate::server(&probe, &federation_of(probe.public()), server.public(), hosts)?;
        let this = Self::create(dir, name)?;
        let federation = this.federation();
        let key = this.key()?;
        let ca = certificate::authority(key, &federation)?;
        let certificate = certificate::server(key, &federation, server.public(), hosts)?;
        server.write(&dir.join(SERVER_KEY))?;
        this.folder.write(SERVER, certificate.as_bytes())?;
        this.folder.write(CA, ca.as_bytes())?;
        Ok(Self { tls: true, ..this })
    }

    /// Opens the directory of an authority; without its private key it changes nothing.
    ///
    /// # Errors
    /// [`Error::OpenKey`], [`Error::NoKey`], [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let folder = Folder::create_private(dir)?;
        let key = if folder.has(KEY) || !folder.has(PUBLIC) {
            Some(KeyPair::read(&dir.join(KEY))?)
        } else {
            None
        };
        let public = match &key {
            Some(key) => key.public().clone(),
            None => PublicKey::read_public(&dir.join(PUBLIC))?,
        };
        let (tls, current) = (folder.has(CA), Mutex::default());
        Ok(Self { dir: dir.to_owned(), folder, public, key, tls, current })
    }

    /// Whether there is an authority in `dir`.
    pub fn exists(dir: &Path) -> bool {
        dir.join(KEY).exists() || dir.join(PUBLIC).exists()
    }

    /// The federation.
    pub fn federation(&self) -> FederationId {
        federation_of(&self.public)
    }

    /// The authority's public key.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Whether its private key is here, so that it can sign.
    pub fn can_sign(&self) -> bool {
        self.key.is_some()
    }

    fn key(&self) -> Result<&KeyPair, Error> {
        let absent = || Error::NoAuthorityKey { path: self.dir.join(KEY).display().to_string() };
        self.key.as_ref().ok_or_else(absent)
    }

    /// Whether its servers speak TLS.
    pub fn has_tls(&self) -> bool {
        self.tls
    }

    /// The certificate of its servers; none without TLS.
    ///
    /// # Errors
    /// [`Error::OpenKey`], [`Error::NoKey`], [`Error::Io`].
    pub fn server_files(&self) -> Result<Option<ServerFiles>, Error> {
        if !self.tls {
            return Ok(None);
        }
        let key = KeyPair::read(&self.dir.join(SERVER_KEY))?;
        Ok(Some(ServerFiles { ca: self.text(CA)?, certificate: self.text(SERVER)?, key }))
    }

    /// The certificates of keys that were revoked, as a list in PEM.
    ///
    /// # Errors
    /// As [`Authority::roster`], and [`Error::Certificate`].
    pub fn revoked_certificates(&self) -> Result<String, Error> {
        let roster = self.roster()?;
        let revoked = roster.entries.iter();
        let revoked = revoked.filter_map(|entry| Some((entry.key.clone(), entry.revoked_ms?)));
        let revoked: Vec<(PublicKey, u64)> = revoked.collect();
        certificate::revoked(self.key()?, &self.federation(), roster.serial, &revoked)
    }

    /// The signed roster.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn signed_roster(&self) -> Result<Vec<u8>, Error> {
        Ok(self.folder.read(ROSTER, ROSTER_BYTES_MAX)?)
    }

    /// The roster.
    ///
    /// # Errors
    /// [`Error::Signature`], [`Error::Malformed`], [`Error::Io`].
    pub fn roster(&self) -> Result<Roster, Error> {
        Roster::verify(&self.signed_roster()?, &self.public)
    }

    /// The roster of now; its file is read again only when it was changed.
    ///
    /// # Errors
    /// As [`Authority::roster`].
    pub fn current_roster(&self) -> Result<Arc<Roster>, Error> {
        let state = (self.folder.modified(ROSTER)?, self.folder.len(ROSTER)?);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some((known, roster)) if *known == state => Ok(Arc::clone(roster)),
            _ => {
                let roster = Arc::new(self.roster()?);
                *current = Some((state, Arc::clone(&roster)));
                Ok(roster)
            }
        }
    }

    /// Enrols a participant with this key, and returns its membership. The same call again gives
    /// the same membership, with a new certificate.
    ///
    /// # Errors
    /// [`Error::Taken`], [`Error::Full`], [`Error::Certificate`], [`Error::Io`].
    pub fn enrol(&self, participant: &Participant, key: &PublicKey) -> Result<Membership, Error> {
        let _lock = self.lock()?;
        let mut roster = self.roster()?;
        let tls = if self.tls {
            let federation = self.federation();
            let certificate = certificate::participant(self.key()?, &federation, participant, key)?;
            Some(TlsFiles { ca: self.text(CA)?, certificate })
        } else {
            None
        };
        if roster.enrol(participant, key)? {
            self.write(&mut roster, None)?;
        }
        let roster = serde_json::from_slice(&self.signed_roster()?);
        let roster = roster
            .map_err(|error| Error::Malformed { what: ROSTER.into(), reason: error.into() })?;
        let authority = self.public.clone();
        Ok(Membership { federation: self.federation(), authority, tls, roster })
    }

    /// Takes a participant's key off the roster, and returns it.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Io`].
    pub fn revoke(&self, participant: &Participant) -> Result<PublicKey, Error> {
        let _lock = self.lock()?;
        let mut roster = self.roster()?;
        let key = roster.revoke(participant, now_ms())?;
        self.write(&mut roster, None)?;
        Ok(key)
    }

    /// Signs the roster again, so that members know of all revocations up to now. It counts
    /// for `validity` from now, or for as long as it did before.
    ///
    /// # Errors
    /// [`Error::NoAuthorityKey`], [`Error::Io`], and as [`Authority::roster`].
    pub fn renew(&self, validity: Option<Duration>) -> Result<Roster, Error> {
        let _lock = self.lock()?;
        let mut roster = self.roster()?;
        self.write(&mut roster, validity)?;
        Ok(roster)
    }

    fn write(&self, roster: &mut Roster, validity: Option<Duration>) -> Result<(), Error> {
        let key = self.key()?;
        let validity = validity.or(roster.validity()).unwrap_or(ROSTER_VALIDITY);
        roster.date(now_ms(), validity);
        Ok(self.folder.write(ROSTER, &roster.sign(key)?)?)
    }

    /// One change at a time: a server and a command line may both be at it.
    fn lock(&self) -> Result<Lock, Error> {
        for _ in 0..500 {
            if let Some(lock) = self.folder.lock(LOCK)? {
                return Ok(lock);
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let text = format!("{}: another program is changing the roster", self.dir.display());
        Err(std::io::Error::new(std::io::ErrorKind::WouldBlock, text).into())
    }

    fn text(&self, name: &str) -> Result<String, Error> {
        let bytes = self.folder.read(name, PEM_BYTES_MAX)?;
        String::from_utf8(bytes).map_err(|error| Error::Malformed {
            what: self.dir.join(name).display().to_string(),
            reason: error.into(),
        })
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roster_is_renewed_by_its_key_alone_and_served_without() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("net");
        let authority = Authority::create(&dir, "test").unwrap();
        let first = authority.roster().unwrap();
        assert_eq!(first.expires_ms - first.issued_ms, ROSTER_VALIDITY.as_millis() as u64);
        let days = Duration::from_secs(90 * 24 * 60 * 60);
        authority.renew(Some(days)).unwrap();
        // It stays as it was set.
        let renewed = authority.renew(None).unwrap();
        assert_eq!(renewed.expires_ms - renewed.issued_ms, days.as_millis() as u64);
        assert!(renewed.issued_ms >= first.issued_ms && renewed.serial == first.serial);
        // The key goes to another machine.
        std::fs::remove_file(dir.join(KEY)).unwrap();
        let served = Authority::open(&dir).unwrap();
        assert!(Authority::exists(&dir) && !served.can_sign());
        assert_eq!(*served.current_roster().unwrap(), renewed);
        let key = KeyPair::generate().unwrap();
        let who: Participant = "node-a".parse().unwrap();
        for refused in [
            served.renew(None).map(drop),
            served.enrol(&who, key.public()).map(drop),
            served.revoke(&who).map(drop),
        ] {
            let error = refused.unwrap_err();
            assert!(matches!(error, Error::NoAuthorityKey { .. } | Error::Unknown { .. }));
        }
        assert_eq!(served.roster().unwrap(), renewed);
    }

    #[test]
    fn who_is_revoked_stays_so_and_may_come_back_with_another_key() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("net");
        let authority = Authority::create(&dir, "test").unwrap();
        assert!(matches!(Authority::create(&dir, "test"), Err(Error::Exists { .. })));
        let who: Participant = "node-a".parse().unwrap();
        let [one, two] = [(); 2].map(|()| KeyPair::generate().unwrap());
        authority.enrol(&who, one.public()).unwrap();
        assert!(matches!(authority.enrol(&who, two.public()), Err(Error::Taken { .. })));
        assert_eq!(&Authority::open(&dir).unwrap().revoke(&who).unwrap(), one.public());
        assert!(matches!(authority.revoke(&who), Err(Error::Unknown { .. })));
        authority.enrol(&who, two.public()).unwrap();
        let roster = authority.roster().unwrap();
        assert_eq!((roster.serial, roster.entries.len()), (3, 2));
        assert!(authority.server_files().unwrap().is_none());
    }
}
