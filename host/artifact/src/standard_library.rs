//! Where a plan's standard library comes from: compiled beside the compiler, or its sources.
//!
//! A site with no way out has no rustup. Debian's compiler comes without the library for
//! WebAssembly, but with its sources and their dependencies (`rust-web-src`), from which cargo
//! compiles it with the plan, and without a linker (`lld`).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::BuildError;
use crate::cargo::{self, TARGET};

/// The linker where the compiler brings none.
const LINKER: &str = "wasm-ld";

/// The standard library for WebAssembly.
pub(crate) enum StandardLibrary {
    /// Compiled, beside the compiler.
    Compiled,
    /// Compiled with the plan.
    Sources {
        /// Its workspace.
        library: PathBuf,
        /// The output of `wasm-ld --version`; none if the compiler has a linker of its own.
        linker: Option<String>,
    },
}

impl StandardLibrary {
    /// Finds the standard library, and has rustup install it where that can be. `say` is told
    /// before anything long or lasting happens.
    pub(crate) fn ensure(dir: &Path, say: &mut dyn FnMut(&str)) -> Result<Self, BuildError> {
        if cargo::has_target(dir)? {
            return Ok(Self::Compiled);
        }
        // Sources that are there say that the operator chose to do without rustup; a network that
        // is not there should not be waited for.
        if let Some(found) = Self::sources(dir)? {
            say(&format!(
                "compiling the target {TARGET} from its sources; this happens once and takes about \
                 a minute"
            ));
            return Ok(found);
        }
        say(&format!("the target {TARGET} is missing; running `rustup target add {TARGET}`"));
        let mut rustup = cargo::command("rustup", dir);
        let added = rustup.args(["target", "add", TARGET]).stdin(Stdio::null()).status();
        match added {
            Ok(status) if status.success() && cargo::has_target(dir)? => Ok(Self::Compiled),
            Ok(_) => Err(BuildError::TargetNotAdded { dir: dir.to_owned() }),
            Err(_) => Err(BuildError::MissingTarget { dir: dir.to_owned() }),
        }
    }

    /// Finds the standard library without changing anything.
    pub(crate) fn find(dir: &Path) -> Result<Option<Self>, BuildError> {
        if cargo::has_target(dir)? { Ok(Some(Self::Compiled)) } else { Self::sources(dir) }
    }

    /// Finds the sources with all that they depend on, and a linker.
    fn sources(dir: &Path) -> Result<Option<Self>, BuildError> {
        let (.., sysroot) = cargo::rustc(dir)?;
        let rustlib = Path::new(&sysroot).join("lib/rustlib");
        let library = rustlib.join("src/rust/library");
        if !library.join("std/Cargo.toml").is_file() || !library.join("vendor").is_dir() {
            return Ok(None);
        }
        let own = rustlib.join(cargo::host(dir)?).join("bin/rust-lld").is_file();
        let linker = if own {
            None
        } else {
            match Command::new(LINKER).arg("--version").stdin(Stdio::null()).output() {
                Ok(output) if output.status.success() => {
                    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
                }
                _ => return Ok(None),
            }
        };
        Ok(Some(Self::Sources { library, linker }))
    }

    /// Tells a cargo that compiles a plan. Where the plan has packages of a registry, those of the
    /// standard library also come from there: cargo has one replacement of it for all.
    pub(crate) fn set(&self, cargo: &mut Command, plan_has_packages: bool) {
        let Self::Sources { library, linker } = self else { return };
        // The library's sources are for one compiler and use its unstable features.
        cargo.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort");
        if !plan_has_packages {
            let vendor = toml_string(&library.join("vendor"));
            cargo.args(["--config", "source.crates-io.replace-with=\"standard-library\""]);
            cargo.args(["--config", &format!("source.standard-library.directory={vendor}")]);
        }
        if linker.is_some() {
            cargo.args(["--config", &format!("target.{TARGET}.linker=\"{LINKER}\"")]);
        }
    }

    /// The suffix for the compiler's version: the bytes of a plan follow from it.
    pub(crate) fn version(&self) -> String {
        match self {
            Self::Compiled => String::new(),
            Self::Sources { linker: None, .. } => ", std from its sources".into(),
            Self::Sources { linker: Some(linker), .. } => {
                format!(", std from its sources, {linker}")
            }
        }
    }
}

fn toml_string(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy().as_ref()).to_string()
}
