//! Writes the SDK's bindings from `wit/`: `cargo run` in this directory.
//!
//! The bindings are kept in the repository, so that the SDK depends on nothing from elsewhere. The
//! test here fails when they are no longer what the contracts give.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use wit_bindgen_core::{Files, WorldGenerator as _, wit_parser::Resolve};

/// The texts, and the files of the SDK: a plan that computes at the host is of the working text,
/// one that computes by itself of the first release.
const BINDINGS: [(&str, &str); 2] =
    [("../../wit", "v0_2_0.rs"), ("../../wit/released/0.1.0", "v0_1_0.rs")];

fn main() -> Result<()> {
    for (text, file) in BINDINGS {
        let path = committed(file);
        let written = std::fs::write(&path, generate(text)?);
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Where the SDK has them.
fn committed(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/src/bindings").join(file)
}

/// Returns the source text of the bindings.
fn generate(text: &str) -> Result<String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(text))?;
    let world = resolve.select_world(&[package], Some("training-plan"))?;
    let options = wit_bindgen_rust::Opts {
        format: true,
        generate_all: true,
        // The export macro is expanded in the plan's crate, which sees the SDK by its public name.
        runtime_path: Some("fedwasm_sdk::runtime".into()),
        default_bindings_module: Some("fedwasm_sdk::bindings".into()),
        export_macro_name: Some("export_world".into()),
        pub_export_macro: true,
        ..Default::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    let (_, source) = files.iter().next().context("wit-bindgen wrote nothing")?;
    Ok(String::from_utf8(source.to_vec())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_of_the_sdk_are_those_of_the_contracts() -> Result<()> {
        for (text, file) in BINDINGS {
            let same = std::fs::read_to_string(committed(file))? == generate(text)?;
            let cure = "run `cargo run` in plugins/bindgen";
            assert!(same, "{text} and sdk/src/bindings/{file} differ; {cure}");
        }
        Ok(())
    }
}
