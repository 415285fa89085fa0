//! Writes bindings from `wit/`: `cargo run` in this directory.
//!
//! The bindings are kept in the repository, so that the SDK depends on nothing from elsewhere and
//! a plan in C needs no more than a compiler. The test here fails when they are no longer what the
//! contracts give.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use wit_bindgen_core::{Files, WorldGenerator, wit_parser::Resolve};

/// Bindings of a text.
struct Bindings {
    /// The text, from here.
    text: &'static str,
    /// The file in Rust or the folder of those in C, from here.
    place: &'static str,
    language: Language,
}

enum Language {
    /// In a crate, as the crate of a plan names it.
    Rust {
        in_crate: &'static str,
    },
    C,
}

/// A plan of the SDK that computes at the host is of the working text, one that computes by itself
/// of the first release. Plans of the host's tests call the working text without the SDK.
const ALL: [Bindings; 4] = [
    Bindings {
        text: "../../wit",
        place: "../sdk/src/bindings/v0_2_0.rs",
        language: Language::Rust { in_crate: "fedwasm_sdk" },
    },
    Bindings {
        text: "../../wit/released/0.1.0",
        place: "../sdk/src/bindings/v0_1_0.rs",
        language: Language::Rust { in_crate: "fedwasm_sdk" },
    },
    Bindings {
        text: "../../wit",
        place: "../../tests/guests/computes/src/bindings.rs",
        language: Language::Rust { in_crate: "crate" },
    },
    Bindings { text: "../../wit", place: "../../tests/guests/c/bindings", language: Language::C },
];

fn main() -> Result<()> {
    for bindings in &ALL {
        for (path, content) in bindings.generate()? {
            let written = std::fs::write(&path, content);
            written.with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

impl Bindings {
    /// Returns their files, each with its content.
    fn generate(&self) -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(here(self.text))?;
        let world = resolve.select_world(&[package], Some("training-plan"))?;
        let mut files = Files::default();
        self.language.generator().generate(&mut resolve, world, &mut files)?;
        let place = here(self.place);
        let files = files.iter().map(|(name, content)| {
            let path = match self.language {
                Language::Rust { .. } => place.clone(),
                Language::C => place.join(name),
            };
            (path, content.to_vec())
        });
        Ok(files.collect())
    }
}

impl Language {
    fn generator(&self) -> Box<dyn WorldGenerator> {
        match self {
            Self::Rust { in_crate } => {
                let options = wit_bindgen_rust::Opts {
                    format: true,
                    generate_all: true,
                    // The export macro is expanded in the plan's crate, which sees the SDK by its
                    // public name.
                    runtime_path: Some(format!("{in_crate}::runtime")),
                    default_bindings_module: Some(format!("{in_crate}::bindings")),
                    export_macro_name: Some("export_world".into()),
                    pub_export_macro: true,
                    ..Default::default()
                };
                Box::new(options.build())
            }
            Self::C => wit_bindgen_c::Opts::default().build(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_are_those_of_the_contracts() -> Result<()> {
        for bindings in &ALL {
            let files = bindings.generate()?;
            assert!(!files.is_empty(), "wit-bindgen wrote nothing for {}", bindings.place);
            for (path, content) in files {
                let file = path.display();
                let kept = std::fs::read(&path).with_context(|| format!("cannot read {file}"))?;
                let cure = "run `cargo run` in plugins/bindgen";
                assert!(kept == content, "{} and {file} differ; {cure}", bindings.text);
            }
        }
        Ok(())
    }
}
