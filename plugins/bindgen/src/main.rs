//! Writes bindings from `wit/`: `cargo run` in this directory.
//!
//! The bindings are kept in the repository, so that the SDK depends on nothing from elsewhere. The
//! test here fails when they are no longer what the contracts give.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use wit_bindgen_core::{Files, WorldGenerator as _, wit_parser::Resolve};

/// Bindings of a text.
struct Bindings {
    /// The text, from here.
    text: &'static str,
    /// The file, from here.
    file: &'static str,
    /// The crate that they are in, as the crate of a plan names it.
    in_crate: &'static str,
}

/// A plan of the SDK that computes at the host is of the working text, one that computes by itself
/// of the first release. A plan of the host's tests calls the working text without the SDK.
const ALL: [Bindings; 3] = [
    Bindings { text: "../../wit", file: "../sdk/src/bindings/v0_2_0.rs", in_crate: "fedwasm_sdk" },
    Bindings {
        text: "../../wit/released/0.1.0",
        file: "../sdk/src/bindings/v0_1_0.rs",
        in_crate: "fedwasm_sdk",
    },
    Bindings {
        text: "../../wit",
        file: "../../tests/guests/computes/src/bindings.rs",
        in_crate: "crate",
    },
];

fn main() -> Result<()> {
    for bindings in &ALL {
        let path = here(bindings.file);
        let written = std::fs::write(&path, bindings.generate()?);
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

impl Bindings {
    /// Returns their source text.
    fn generate(&self) -> Result<String> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(here(self.text))?;
        let world = resolve.select_world(&[package], Some("training-plan"))?;
        let options = wit_bindgen_rust::Opts {
            format: true,
            generate_all: true,
            // The export macro is expanded in the plan's crate, which sees the SDK by its public name.
            runtime_path: Some(format!("{}::runtime", self.in_crate)),
            default_bindings_module: Some(format!("{}::bindings", self.in_crate)),
            export_macro_name: Some("export_world".into()),
            pub_export_macro: true,
            ..Default::default()
        };
        let mut files = Files::default();
        options.build().generate(&mut resolve, world, &mut files)?;
        let (_, source) = files.iter().next().context("wit-bindgen wrote nothing")?;
        Ok(String::from_utf8(source.to_vec())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_are_those_of_the_contracts() -> Result<()> {
        for bindings in &ALL {
            let same = std::fs::read_to_string(here(bindings.file))? == bindings.generate()?;
            let cure = "run `cargo run` in plugins/bindgen";
            assert!(same, "{} and {} differ; {cure}", bindings.text, bindings.file);
        }
        Ok(())
    }
}
