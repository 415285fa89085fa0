//! Writes `plugins/sdk/src/bindings.rs` from `wit/`: `cargo run` in this directory.
//!
//! The bindings are kept in the repository, so that the SDK depends on nothing. The test here fails
//! when they are no longer what the contract gives.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use wit_bindgen_core::{Files, WorldGenerator as _, wit_parser::Resolve};

fn main() -> Result<()> {
    let path = committed();
    std::fs::write(&path, generate()?).with_context(|| format!("cannot write {}", path.display()))
}

/// Where the SDK has them.
fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/src/bindings.rs")
}

/// Returns the source text of the bindings.
fn generate() -> Result<String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit"))?;
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
    fn bindings_of_the_sdk_are_those_of_the_contract() -> Result<()> {
        let same = std::fs::read_to_string(committed())? == generate()?;
        assert!(same, "wit/ and sdk/src/bindings.rs differ; run `cargo run` in plugins/bindgen");
        Ok(())
    }
}
