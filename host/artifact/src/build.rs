//! From a plan crate to a component, the same bytes in every directory.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use fedwasm_protocol::Digest;
use serde::Deserialize;
use wasm_metadata::{AddMetadata, AddMetadataField};
use wit_component::ComponentEncoder;

use crate::cargo::{self, Package, TARGET};
use crate::standard_library::StandardLibrary;
use crate::{AdmissionError, Component, Contract, Provenance};

/// The version of wit-component in this build, part of every digest.
const WIT_COMPONENT: &str = "0.254.2";

/// The profile of every plan, regardless of its manifest.
const PROFILE: [&str; 8] = [
    "profile.release.opt-level=3",
    "profile.release.lto=\"fat\"",
    "profile.release.codegen-units=1",
    "profile.release.strip=\"symbols\"",
    "profile.release.panic=\"abort\"",
    "profile.release.debug=false",
    "profile.release.overflow-checks=false",
    "profile.release.incremental=false",
];

/// A plan that was built.
#[derive(Debug)]
pub struct Built {
    /// The plan's name.
    pub name: String,
    /// The component, admitted.
    pub component: Component,
}

/// Why a plan could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The directory does not hold a plan crate.
    #[error("{} is not a plan crate: {reason}", path.display())]
    NoPlan {
        /// Its manifest.
        path: PathBuf,
        /// The reason.
        #[source]
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The versions of its dependencies are not fixed.
    #[error(
        "{}: Cargo.lock is missing, and the bytes of a plan follow from it\nhelp: run `cargo \
         generate-lockfile` there, and keep the file with the sources",
        dir.display()
    )]
    NoLock {
        /// Where the plan is.
        dir: PathBuf,
    },
    /// The manifest contradicts the lock file: the crate was copied, renamed or
    /// given another dependency.
    #[error(
        "{} does not match its Cargo.toml, and the bytes of a plan follow from both\nhelp: run \
         `cargo update --offline --workspace` in {}, and keep the file with the sources",
        lock.display(), dir.display()
    )]
    StaleLock {
        /// The lock file.
        lock: PathBuf,
        /// Where the plan is.
        dir: PathBuf,
    },
    /// A tool is absent.
    #[error(
        "the program `{program}`, which compiles plans, was not found\nhelp: install Rust with \
         rustup (https://rustup.rs), or on Debian `apt install rustc-web cargo-web rust-web-src \
         lld`"
    )]
    NoTool {
        /// The program.
        program: String,
    },
    /// A tool failed.
    #[error("`{program}` failed: {reason}")]
    Tool {
        /// The program.
        program: String,
        /// Its message.
        reason: String,
    },
    /// A tool did not start, or could not be talked to.
    #[error("`{program}` failed: {source}")]
    Start {
        /// The program.
        program: String,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The compiler cannot emit WebAssembly, and nothing here can change that.
    #[error(
        "the target {TARGET} is missing, and rustup, which installs it, was not found\nhelp: run \
         `rustup target add {TARGET}` in {}, or install its sources and a linker: `apt install \
         rustc-web cargo-web rust-web-src lld` on Debian",
        dir.display()
    )]
    MissingTarget {
        /// Where the plan is.
        dir: PathBuf,
    },
    /// Rustup could not install the compiler's WebAssembly target; it has printed the reason.
    #[error(
        "the target {TARGET} is missing, and rustup could not install it\n\
         help: run `rustup target add {TARGET}` in {}, or install its sources and a linker: \
         `apt install rustc-web cargo-web rust-web-src lld` on Debian",
        dir.display()
    )]
    TargetNotAdded {
        /// Where the plan is.
        dir: PathBuf,
    },
    /// The plan does not compile; cargo has said why.
    #[error("cargo could not compile the plan")]
    Compile,
    /// Cargo said something unexpected.
    #[error("`cargo {call}`: {source}")]
    Cargo {
        /// Its subcommand.
        call: &'static str,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The crate has no library of the kind that a plan needs.
    #[error(
        "the crate does not build a WebAssembly library\nhelp: set `crate-type = [\"cdylib\"]` \
         under [lib] in Cargo.toml"
    )]
    NoLibrary,
    /// The library does not implement the contract.
    #[error(
        "the library is not a training plan: {reason}\n\
         help: implement `TrainingPlan` and end lib.rs with `export!(MyPlan);`"
    )]
    NotAPlan {
        /// The message of wit-component.
        reason: String,
    },
    /// A field of the manifest cannot be put into the component.
    #[error("field `{field}` of Cargo.toml: {reason}")]
    Metadata {
        /// The field.
        field: &'static str,
        /// The reason.
        #[source]
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The sources are not those of the component.
    #[error("{} is not the lock file that the plan was built with", path.display())]
    OtherLock {
        /// The lock file.
        path: PathBuf,
    },
    /// The component is not admitted.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
}

/// Where the tensors of a plan on the SDK live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Home {
    /// At the host, behind the interface `compute` of contract 0.2.
    #[default]
    Host,
    /// In the plan, with all of its arithmetic, on contract 0.1: slower, and the same bits.
    Guest,
}

impl Home {
    /// The home that a component was built for.
    #[must_use]
    pub fn of(component: &Component) -> Self {
        match component.contract() {
            Contract::V0_1 => Self::Guest,
            Contract::V0_2 => Self::Host,
        }
    }
}

/// The feature of the SDK that takes the tensor library into the plan.
const IN_GUEST: &str = "fedwasm-sdk/in-guest";

/// Builds the plan crate in `dir`. `say` gets one line for each thing that a
/// person should know; cargo's own messages go to standard error.
///
/// # Errors
/// [`BuildError`].
pub fn build(dir: &Path, home: Home, say: &mut dyn FnMut(&str)) -> Result<Built, BuildError> {
    let standard_library = StandardLibrary::ensure(dir, say)?;
    let package = cargo::package(dir)?;
    let (mut rustc, commit, sysroot) = cargo::rustc(dir)?;
    rustc += &standard_library.version();
    let flags = rust_flags(&package, commit.as_deref(), &sysroot);
    let library = compile(dir, home, &package, &standard_library, &flags)?;
    let not_a_plan = |error| BuildError::NotAPlan { reason: format!("{error:#}") };
    let module = read(&library)?;
    let encoder = ComponentEncoder::default().validate(true);
    let component = encoder.module(&module).map_err(not_a_plan)?.encode().map_err(not_a_plan)?;
    let mut component = metadata(&package, &rustc)?.to_wasm(&component).map_err(not_a_plan)?;
    let provenance = Provenance {
        sources_sha256: sources_digest(&package.workspace_root, &library)?,
        lock_sha256: Digest::of(&read(&package.workspace_root.join("Cargo.lock"))?),
        rustc,
        wit_component: WIT_COMPONENT.to_owned(),
    };
    let append = provenance.append_to(&mut component);
    append.map_err(|error| BuildError::NotAPlan { reason: error.to_string() })?;
    Ok(Built { name: package.name, component: Component::admit(component)? })
}

#[derive(Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Message {
    CompilerArtifact {
        package_id: String,
        filenames: Vec<PathBuf>,
    },
    #[serde(other)]
    Other,
}

/// Compiles the library and returns its path.
fn compile(
    dir: &Path,
    home: Home,
    package: &Package,
    standard_library: &StandardLibrary,
    flags: &[String],
) -> Result<PathBuf, BuildError> {
    let mut command = cargo::cargo(dir);
    command.args(["build", "--release", "--locked", "--lib", "--target", TARGET]);
    command.arg("--message-format=json-render-diagnostics");
    if home == Home::Guest {
        command.args(["--features", IN_GUEST]);
    }
    // A target folder of its own: one that is shared with a cargo that waits
    // for us would be locked for ever.
    command.arg("--target-dir").arg(package.workspace_root.join("target").join("plan-build"));
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    standard_library.set(&mut command, package.has_remote);
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    let failed = |error| cargo::failed("cargo build", error);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let mut library = None;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let message = serde_json::from_str(&line.map_err(failed)?);
            if let Ok(Message::CompilerArtifact { package_id, filenames }) = message
                && package_id == package.id
            {
                let is_wasm = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "wasm");
                library = filenames.into_iter().find(is_wasm).or(library);
            }
        }
    }
    if !child.wait().map_err(failed)?.success() {
        return Err(BuildError::Compile);
    }
    library.ok_or(BuildError::NoLibrary)
}

/// Flags that keep the directories of this machine out of the bytes.
fn rust_flags(package: &Package, commit: Option<&str>, sysroot: &str) -> Vec<String> {
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let mut flags = vec!["-Ctarget-feature=+simd128".to_owned()];
    flags.push(remap(&package.workspace_root, "/plan"));
    for (dir, name) in &package.dependencies {
        flags.push(remap(dir, &format!("/dependencies/{name}")));
    }
    if let Some(commit) = commit {
        let library = Path::new(sysroot).join("lib/rustlib/src/rust");
        flags.push(remap(&library, &format!("/rustc/{commit}")));
    }
    flags
}

fn metadata(package: &Package, rustc: &str) -> Result<AddMetadata, BuildError> {
    let bad = |field, reason| BuildError::Metadata { field, reason };
    let mut metadata = AddMetadata::default();
    metadata.name = AddMetadataField::Set(package.name.clone());
    metadata.processed_by.push(("rustc".into(), rustc.trim_start_matches("rustc ").to_owned()));
    metadata.version = AddMetadataField::Set(wasm_metadata::Version::new(package.version.clone()));
    if let Some(license) = &package.license {
        let license =
            wasm_metadata::Licenses::new(license).map_err(|e| bad("license", e.into()))?;
        metadata.licenses = AddMetadataField::Set(license);
    }
    if let Some(repository) = &package.repository {
        let source =
            wasm_metadata::Source::new(repository).map_err(|e| bad("repository", e.into()))?;
        metadata.source = AddMetadataField::Set(source);
    }
    Ok(metadata)
}

/// Digests the plan's own sources: the files that cargo's dep-info beside the
/// library names, in ascending order of their paths from the workspace, each as
/// length and bytes of path and content. Files elsewhere go by their last name.
fn sources_digest(workspace_root: &Path, library: &Path) -> Result<Digest, BuildError> {
    let dep_info = read(&library.with_extension("d"))?;
    let dep_info = String::from_utf8_lossy(&dep_info);
    let relative_name = |path: &Path| match path.strip_prefix(workspace_root) {
        Ok(relative) => relative.to_string_lossy().into_owned(),
        Err(_) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let mut files = Vec::new();
    for line in dep_info.lines() {
        // Cargo writes one rule, `library: file file`, with `\ ` for a blank.
        let Some((_, names)) = line.split_once(": ") else { continue };
        for name in names.replace("\\ ", "\0").split_ascii_whitespace() {
            let path = PathBuf::from(name.replace('\0', " "));
            let path = path.canonicalize().unwrap_or(path);
            files.push((relative_name(&path), path));
        }
    }
    files.sort();
    files.dedup();
    let mut text = Vec::new();
    for (relative, path) in files {
        let content = read(&path)?;
        for part in [relative.as_bytes(), &content] {
            text.extend_from_slice(&(part.len() as u64).to_le_bytes());
            text.extend_from_slice(part);
        }
    }
    Ok(Digest::of(&text))
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    std::fs::read(path).map_err(|source| BuildError::Read { path: path.to_owned(), source })
}
