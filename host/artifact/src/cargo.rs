//! The calls to cargo, rustc and rustup that a build needs.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::BuildError;

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// The facts that cargo has about a plan crate.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) repository: Option<String>,
    pub(crate) id: String,
    pub(crate) workspace_root: PathBuf,
    /// (directory, name-version) of every package outside of the workspace.
    pub(crate) dependencies: Vec<(PathBuf, String)>,
    /// Whether any package is not a directory of this machine.
    pub(crate) has_remote: bool,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
    workspace_root: PathBuf,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Deserialize)]
struct EdgeKind {
    /// None for code that becomes part of the library.
    kind: Option<String>,
}

/// Reads the manifest of `dir`, and returns name and version of all packages that its library is
/// built from, those of build scripts among them.
pub(crate) fn closure(dir: &Path) -> Result<(Package, Vec<(String, String)>), BuildError> {
    let (package, metadata) = read(dir)?;
    let edges: HashMap<&str, &Node> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let (mut found, mut next) = (BTreeSet::new(), vec![package.id.as_str()]);
    while let Some(id) = next.pop() {
        for edge in edges.get(id).iter().flat_map(|node| &node.deps) {
            let is_used = edge.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"));
            if is_used && found.insert(edge.pkg.as_str()) {
                next.push(&edge.pkg);
            }
        }
    }
    let named = metadata.packages.iter().filter(|package| found.contains(package.id.as_str()));
    let names = named.map(|package| (package.name.clone(), package.version.clone())).collect();
    Ok((package, names))
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    version: String,
    id: String,
    license: Option<String>,
    repository: Option<String>,
    source: Option<String>,
    manifest_path: PathBuf,
}

/// Reads the manifest of `dir` and of all that it depends on.
pub(crate) fn package(dir: &Path) -> Result<Package, BuildError> {
    read(dir).map(|(package, _)| package)
}

fn read(dir: &Path) -> Result<(Package, Metadata), BuildError> {
    let manifest = dir.join("Cargo.toml");
    let manifest = manifest
        .canonicalize()
        .map_err(|error| BuildError::NoPlan { path: manifest, reason: error.into() })?;
    let mut command = cargo(dir);
    command.args(["metadata", "--format-version=1", "--locked", "--filter-platform", TARGET]);
    command.arg("--manifest-path").arg(&manifest);
    let has_lock = dir_and_parents(&manifest).any(|dir| dir.join("Cargo.lock").is_file());
    if !has_lock {
        return Err(BuildError::NoLock { dir: dir.to_owned() });
    }
    let output = match output(&mut command) {
        // Cargo's advice, to leave `--locked` out, helps only a user who typed it.
        Err(BuildError::Tool { reason, .. }) if reason.contains("--locked was passed") => {
            let mut locks = dir_and_parents(&manifest).map(|dir| dir.join("Cargo.lock"));
            let lock = locks.find(|lock| lock.is_file()).unwrap_or_default();
            return Err(BuildError::StaleLock { lock, dir: dir.to_owned() });
        }
        output => output?,
    };
    let metadata: Metadata = serde_json::from_slice(&output)
        .map_err(|source| BuildError::Cargo { call: "metadata", source: source.into() })?;
    let (mut own, mut dependencies) = (None, Vec::new());
    for package in &metadata.packages {
        let Some(dir) = package.manifest_path.parent() else { continue };
        if !dir.starts_with(&metadata.workspace_root) {
            let name = format!("{}-{}", package.name, package.version);
            dependencies.push((dir.to_owned(), name));
        }
        if package.manifest_path == manifest {
            own = Some(package);
        }
    }
    let no_package = "the manifest is that of a workspace; name the directory of one plan";
    let own = own.ok_or(BuildError::NoPlan { path: manifest, reason: no_package.into() })?;
    let package = Package {
        name: own.name.clone(),
        version: own.version.clone(),
        license: own.license.clone(),
        repository: own.repository.clone(),
        id: own.id.clone(),
        workspace_root: metadata.workspace_root.clone(),
        dependencies,
        has_remote: metadata.packages.iter().any(|package| package.source.is_some()),
    };
    Ok((package, metadata))
}

/// Where cargo may find the workspace of a manifest.
fn dir_and_parents(manifest: &Path) -> impl Iterator<Item = &Path> {
    manifest.ancestors().skip(1)
}

/// Whether the compiler can emit WebAssembly.
pub(crate) fn has_target(dir: &Path) -> Result<bool, BuildError> {
    let mut rustc = tool("RUSTC", "rustc", dir);
    let libdir = output(rustc.args(["--print", "target-libdir", "--target", TARGET]))?;
    let libdir = PathBuf::from(String::from_utf8_lossy(&libdir).trim());
    Ok(libdir.read_dir().is_ok_and(|mut entries| entries.next().is_some()))
}

/// Whether rustup is here, which can install missing parts.
pub(crate) fn has_rustup(dir: &Path) -> bool {
    let mut rustup = command("rustup", dir);
    let rustup = rustup.arg("--version").stdin(Stdio::null()).output();
    rustup.is_ok_and(|output| output.status.success())
}

/// Returns the output of `rustc --version`, the commit of the compiler and
/// its system root.
pub(crate) fn rustc(dir: &Path) -> Result<(String, Option<String>, String), BuildError> {
    let verbose = output(tool("RUSTC", "rustc", dir).arg("-vV"))?;
    let verbose = String::from_utf8_lossy(&verbose);
    let commit = verbose.lines().find_map(|line| line.strip_prefix("commit-hash: "));
    let sysroot = output(tool("RUSTC", "rustc", dir).args(["--print", "sysroot"]))?;
    let version = verbose.lines().next().unwrap_or_default().to_owned();
    let sysroot = String::from_utf8_lossy(&sysroot).trim().to_owned();
    Ok((version, commit.map(str::to_owned), sysroot))
}

/// Returns the target that the compiler runs on.
pub(crate) fn host(dir: &Path) -> Result<String, BuildError> {
    let verbose = output(tool("RUSTC", "rustc", dir).arg("-vV"))?;
    let verbose = String::from_utf8_lossy(&verbose);
    let host = verbose.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.unwrap_or_default().to_owned())
}

/// A cargo that no setting of the surroundings can lead astray: the bytes of
/// a plan must not depend on them.
pub(crate) fn cargo(dir: &Path) -> Command {
    let mut cargo = tool("CARGO", "cargo", dir);
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        let sets_the_build = ["CARGO_PROFILE_", "CARGO_BUILD_", "CARGO_TARGET_"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        let own = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_BOOTSTRAP", "CARGO_INCREMENTAL"];
        if sets_the_build || own.contains(&name.as_ref()) {
            cargo.env_remove(&key);
        }
    }
    cargo
}

fn tool(variable: &str, name: &str, dir: &Path) -> Command {
    match std::env::var_os(variable) {
        Some(path) => command(path, dir),
        None => command(name, dir),
    }
}

pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir);
    command
}

fn output(command: &mut Command) -> Result<Vec<u8>, BuildError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| failed(&program, error))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let reason = format!("{}\n{}", output.status, stderr.trim());
        return Err(BuildError::Tool { program, reason });
    }
    Ok(output.stdout)
}

/// A program that did not start, or could not be talked to.
pub(crate) fn failed(program: &str, source: std::io::Error) -> BuildError {
    let program = program.to_owned();
    match source.kind() {
        std::io::ErrorKind::NotFound => BuildError::NoTool { program },
        _ => BuildError::Start { program, source },
    }
}
