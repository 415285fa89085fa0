//! Compiled plans, kept on this machine. An entry is machine code, so only entries that were
//! written here with the local key are ever loaded; no entry comes from, or goes to, a peer.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use fedwasm_artifact::Component;
use fedwasm_folder::{Folder, Lock};
use fedwasm_protocol::Digest;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::engine::Profile;

/// The file of the key.
const KEY: &str = "key";
const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;
/// How long the key of another process is waited for.
const LOCK_TIME_MAX: Duration = Duration::from_secs(5);
/// Counts the changes of the engine's settings within a version: code of other settings is not
/// found, so it is not loaded.
const SETTINGS: u32 = 2;
/// How entries end.
const SUFFIX: &str = ".compiled";
/// The largest entry: a plan in Python has 33 MB.
const ENTRY_BYTES_MAX: u64 = 1 << 30;
/// The most bytes of all entries, and the most entries; the oldest go first.
const CACHE_BYTES_MAX: u64 = 2 << 30;
/// The most entries.
const ENTRIES_MAX: usize = 64;

/// A directory of compiled plans.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: Folder,
    key: Vec<u8>,
}

impl Cache {
    /// Opens the cache in `dir`, and creates it if it is absent.
    ///
    /// # Errors
    /// Those of the file system, and a directory that others may use.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let folder = Folder::create_private(dir)?;
        if !folder.has(KEY) {
            // Another process that is about to make one waits, and finds this one.
            let _lock = lock(&folder)?;
            if !folder.has(KEY) {
                let mut key = vec![0; KEY_BYTES];
                getrandom::fill(&mut key).map_err(io::Error::other)?;
                folder.write(KEY, &key)?;
            }
        }
        let key = folder.read(KEY, KEY_BYTES as u64)?;
        if key.len() != KEY_BYTES {
            let text =
                format!("{} does not hold a key; remove its directory", dir.join(KEY).display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(Self { folder, key })
    }

    /// Whether the cache has code compiled from the component of this digest.
    pub(crate) fn has(&self, digest: &Digest, profile: Profile) -> bool {
        self.folder.has(&Entry::new(digest, profile).name())
    }

    /// Returns the compiled code of a component, if it is here and authentic. Other entries are
    /// reported and replaced.
    pub(crate) fn get(&self, component: &Component, profile: Profile) -> Option<Vec<u8>> {
        let entry = Entry::new(&component.digest(), profile);
        let name = entry.name();
        if !self.folder.has(&name) {
            return None;
        }
        let read = self.folder.read(&name, ENTRY_BYTES_MAX + MAC_BYTES as u64);
        let authentic = read.map_err(|error| error.to_string()).and_then(|mut bytes| {
            let (tag, code) = bytes
                .split_at_checked(MAC_BYTES)
                .ok_or_else(|| "the file is truncated".to_owned())?;
            let mac = self.mac(&entry, code)?;
            mac.verify_slice(tag).map_err(|_| "it was not written by this cache".to_owned())?;
            Ok(bytes.split_off(MAC_BYTES))
        });
        match authentic {
            Ok(code) => Some(code),
            Err(reason) => {
                self.report(component, &reason);
                None
            }
        }
    }

    /// Reports why an entry is ignored; it will be replaced.
    pub(crate) fn report(&self, component: &Component, reason: &str) {
        let digest = component.digest();
        tracing::warn!("compiled plan {digest} in the cache is ignored: {reason}");
    }

    /// Keeps the compiled code of a component.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn put(
        &self,
        component: &Component,
        profile: Profile,
        code: &[u8],
    ) -> io::Result<()> {
        if code.len() as u64 > ENTRY_BYTES_MAX {
            return Ok(());
        }
        let entry = Entry::new(&component.digest(), profile);
        let mac = self.mac(&entry, code).map_err(io::Error::other)?;
        let mut bytes = mac.finalize().into_bytes().to_vec();
        bytes.extend_from_slice(code);
        self.folder.write(&entry.name(), &bytes)?;
        self.prune()
    }

    fn mac(&self, entry: &Entry, code: &[u8]) -> Result<Hmac<Sha256>, String> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).map_err(|error| error.to_string())?;
        mac.update(entry.0.as_bytes());
        mac.update(code);
        Ok(mac)
    }

    fn prune(&self) -> io::Result<()> {
        let mut names = self.folder.names()?;
        names.retain(|name| name.ends_with(SUFFIX));
        // The newest first: entries that do not fit beside them are removed.
        names.sort_by_cached_key(|name| std::cmp::Reverse(self.folder.modified(name).ok()));
        let (mut n, mut bytes) = (0, 0_u64);
        for name in names {
            (n, bytes) = (n + 1, bytes.saturating_add(self.folder.len(&name)?));
            if n > ENTRIES_MAX || (n > 1 && bytes > CACHE_BYTES_MAX) {
                self.folder.remove(&name)?;
            }
        }
        Ok(())
    }
}

/// Waits for its turn to make the key.
fn lock(folder: &Folder) -> io::Result<Lock> {
    let start = Instant::now();
    loop {
        if let Some(lock) = folder.lock("lock")? {
            return Ok(lock);
        }
        if start.elapsed() > LOCK_TIME_MAX {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "another process takes too long to create its key",
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The inputs that code follows from: the component, the engine, the machine, the profile.
struct Entry(String);

impl Entry {
    fn new(digest: &Digest, profile: Profile) -> Self {
        let engine = wasmtime_environ::VERSION;
        let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
        let own = env!("CARGO_PKG_VERSION");
        Self(format!(
            "fedwasm {own} settings {SETTINGS}|{digest}|wasmtime {engine}|{arch}-{os}|{profile:?}|"
        ))
    }

    fn name(&self) -> String {
        format!("{}{SUFFIX}", Digest::of(self.0.as_bytes()))
    }
}
