//! The sources that a component was built from: revision and dependencies.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use fedwasm_protocol::Digest;
use serde::{Deserialize, Serialize};

use crate::{BuildError, Component, cargo};

/// The sources of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The commit of git, if the sources are under it.
    pub revision: Option<String>,
    /// Whether files were changed since that commit.
    pub modified: bool,
    /// The packages that it was built from, without itself, in ascending order.
    pub dependencies: Vec<Package>,
}

/// A package of a lock file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The SHA-256 of the registry's package; none for packages of the same sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Digest>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

/// Reads the sources in `dir`, which must be those of the component.
///
/// # Errors
/// [`BuildError::OtherLock`] if the lock file is not the one that it was built
/// with; [`BuildError`] of cargo.
pub fn source(dir: &Path, component: &Component) -> Result<Source, BuildError> {
    let (package, ids) = cargo::closure(dir)?;
    let path = package.workspace_root.join("Cargo.lock");
    let lock =
        std::fs::read(&path).map_err(|source| BuildError::Read { path: path.clone(), source })?;
    let built_with = component.inspect().build.map(|build| build.lock_sha256);
    if built_with != Some(Digest::of(&lock)) {
        return Err(BuildError::OtherLock { path });
    }
    let lock: Lock = toml::from_slice(&lock)
        .map_err(|error| BuildError::Cargo { call: "Cargo.lock", source: error.into() })?;
    let locked: BTreeMap<(&str, &str), &Package> =
        lock.package.iter().map(|p| ((p.name.as_str(), p.version.as_str()), p)).collect();
    let mut dependencies: Vec<Package> = ids
        .iter()
        .filter_map(|(name, version)| locked.get(&(name.as_str(), version.as_str())))
        .map(|package| (*package).clone())
        .collect();
    dependencies.sort();
    let revision = git(dir, &["rev-parse", "HEAD"]).map(|text| text.trim().to_owned());
    let status = git(dir, &["status", "--porcelain", "--", "."]);
    let modified = revision.is_some() && status.is_none_or(|text| !text.trim().is_empty());
    Ok(Source { revision, modified, dependencies })
}

fn git(dir: &Path, args: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    let output = git.arg("-C").arg(dir).args(args).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(text)
}
