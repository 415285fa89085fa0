//! The provenance of a component, kept in a custom section of its own.

use fedwasm_protocol::{Digest, printable};
use serde::{Deserialize, Serialize};
use wasmparser::{Encoding, Parser, Payload};

/// The name of the custom section.
const SECTION: &str = "fedwasm:build";
/// The largest section that is read.
const SECTION_BYTES_MAX: usize = 64 << 10;
/// The custom section of a module that names its arithmetic. The SDK places it.
const ARITHMETIC: &str = "fedwasm:arithmetic";
/// The longest name of an arithmetic, in bytes.
const ARITHMETIC_BYTES_MAX: usize = 64;

/// The arithmetic that a component's first module names, such as `compute@0.1`: the plan's word.
pub(crate) fn arithmetic(component: &[u8]) -> Option<String> {
    Parser::new(0).parse_all(component).map_while(Result::ok).find_map(|payload| match payload {
        Payload::CustomSection(section)
            if section.name() == ARITHMETIC && section.data().len() <= ARITHMETIC_BYTES_MAX =>
        {
            std::str::from_utf8(section.data()).ok().map(printable)
        }
        _ => None,
    })
}

/// The provenance of a component. The same four values, and the same contract, give the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// SHA-256 over the plan's own source files.
    pub sources_sha256: Digest,
    /// SHA-256 of its `Cargo.lock`.
    pub lock_sha256: Digest,
    /// The compiler, as `rustc --version` prints it; where it compiled the standard library with
    /// the plan, that and the linker.
    pub rustc: String,
    /// The version of wit-component.
    pub wit_component: String,
}

impl Provenance {
    /// Appends the section to a component.
    pub(crate) fn append_to(&self, component: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        use wasm_encoder::ComponentSection as _;
        let json = serde_json::to_vec(self)?;
        let section = wasm_encoder::CustomSection { name: SECTION.into(), data: json.into() };
        section.append_to_component(component);
        Ok(())
    }

    /// Reads the section of a component; none if it is absent or unreadable.
    /// It is the builder's word, and proves nothing by itself.
    pub(crate) fn of(component: &[u8]) -> Option<Self> {
        let mut depth = 0usize;
        for payload in Parser::new(0).parse_all(component) {
            match payload.ok()? {
                Payload::Version { encoding: Encoding::Module | Encoding::Component, .. } => {
                    depth += 1;
                }
                Payload::End(_) => depth -= 1,
                Payload::CustomSection(section)
                    if depth == 1
                        && section.name() == SECTION
                        && section.data().len() <= SECTION_BYTES_MAX =>
                {
                    let own: Self = serde_json::from_slice(section.data()).ok()?;
                    let (rustc, wit_component) =
                        (printable(&own.rustc), printable(&own.wit_component));
                    return Some(Self { rustc, wit_component, ..own });
                }
                _ => {}
            }
        }
        None
    }
}
