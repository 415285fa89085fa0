//! From bytes to a component that may be compiled.

use std::sync::Arc;

use fedwasm_protocol::{BlobRef, Digest, printable};
use wasmparser::{Validator, WasmFeatures};

use crate::structure::{Structure, invalid};
use crate::traced::{self, TracedError};
use crate::world::{self, Misfit};
use crate::{CONTRACT, Contract};

/// The largest component, in bytes. A Python plan brings its interpreter:
/// 18 MB.
pub const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// The WebAssembly that plans may use: 2.0 (which has SIMD) and extended
/// constant expressions: the output of the toolchains of Rust, C, Python and JavaScript.
/// No threads, relaxed SIMD, memory64, GC or exceptions: those are not
/// deterministic or not needed, and absent features are not attack surface.
pub const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::COMPONENT_MODEL);

/// Bytes that are a valid component and import nothing but the contract. The
/// first stage of a plan; no other code makes one.
#[derive(Clone)]
pub struct Component {
    bytes: Arc<[u8]>,
    blob: BlobRef,
    contract: Contract,
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

/// Why bytes are not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// Larger than [`COMPONENT_BYTES_MAX`].
    #[error("the plan has {got} bytes, at most {max} are admitted")]
    TooLarge {
        /// Bytes.
        got: u64,
        /// The bound.
        max: u64,
    },
    /// Not the bytes that were named.
    #[error("the plan has sha256 {got}, expected {expected}")]
    OtherDigest {
        /// The digest that was announced.
        expected: Digest,
        /// The digest of the bytes.
        got: Digest,
    },
    /// Not a component at all.
    #[error("the plan is {got}, not a WebAssembly component; build it with `fedwasm plan build`")]
    NotAComponent {
        /// The kind of file that it seems to be.
        got: &'static str,
    },
    /// Malformed, or uses a feature that is switched off.
    #[error("the plan is not valid: {reason}")]
    Invalid {
        /// The validator's message.
        reason: String,
    },
    /// Has more of something than any plan needs.
    #[error("the plan has {got} {what}, at most {max} are admitted")]
    TooMany {
        /// The counted things.
        what: &'static str,
        /// How many.
        got: u64,
        /// The bound.
        max: u64,
    },
    /// Uses something that no plan needs.
    #[error("the plan uses {what}, which no plan may use")]
    Unwanted {
        /// The feature that it uses.
        what: &'static str,
    },
    /// Wants something that no plan gets.
    #[error(
        "the plan imports {}, which is not granted; a plan may import {CONTRACT} and nothing else, \
         and no operator can grant more",
        list(names)
    )]
    ForbiddenImport {
        /// The imports.
        names: Vec<String>,
    },
    /// Exports no plan.
    #[error(
        "the plan does not export `{CONTRACT}/plan@{contract}`\n\
         help: end the plan's lib.rs with `export!(MyPlan);`"
    )]
    MissingExport {
        /// The contract of its imports, or the newest.
        contract: Contract,
    },
    /// Its parts were built for different contracts.
    #[error(
        "the plan exports `{CONTRACT}/plan@{plan}` and imports interfaces of {import}; all must be \
         of one version"
    )]
    MixedVersions {
        /// That of its export.
        plan: Contract,
        /// Another, of an import.
        import: Contract,
    },
    /// Its functions are not those of the contract.
    #[error(
        "the plan does not fit {CONTRACT}@{contract}:{misfit}\n\
         help: build it again with the SDK of this version: `fedwasm plan build`"
    )]
    Misfit {
        /// The contract that it was built for.
        contract: Contract,
        /// How it differs.
        misfit: Misfit,
    },
    /// It is a traced plan, and its graph cannot be run, or is not where it says.
    #[error(transparent)]
    Traced(#[from] TracedError),
    /// Built for another contract.
    #[error(
        "the plan was built for {CONTRACT}@{got}, this host speaks {}\n\
         help: build it again with the SDK of this version: `fedwasm plan build`",
        Contract::spoken()
    )]
    OtherVersion {
        /// The plan's.
        got: String,
    },
}

impl Component {
    /// Admits `bytes`, in this order: size, preamble, counts, validity, imports,
    /// exports, the types of the contract, the graph of a traced plan. Exports beside the
    /// contract's are tolerated.
    ///
    /// # Errors
    /// [`AdmissionError`], the first that applies.
    pub fn admit(bytes: Vec<u8>) -> Result<Self, AdmissionError> {
        let size = bytes.len() as u64;
        if size > COMPONENT_BYTES_MAX {
            return Err(AdmissionError::TooLarge { got: size, max: COMPONENT_BYTES_MAX });
        }
        check_preamble(&bytes)?;
        let Structure { imports, exports } = Structure::of(&bytes)?;
        let mut validator = Validator::new_with_features(FEATURES);
        let types = validator.validate_all(&bytes).map_err(invalid)?;
        let contract = contract(&imports, &exports)?;
        let names = |names: &[String]| -> Vec<String> {
            names.iter().filter(|name| interface(name).is_some()).cloned().collect()
        };
        let checked = world::check(contract, &types, &names(&imports), &names(&exports));
        checked.map_err(|misfit| AdmissionError::Misfit { contract, misfit })?;
        traced::check(&bytes)?;
        let blob = BlobRef::of(&bytes);
        Ok(Self { bytes: bytes.into(), blob, contract, imports, exports })
    }

    /// Admits `bytes` that must be those of `digest`.
    ///
    /// # Errors
    /// [`AdmissionError`], the first that applies.
    pub fn admit_as(bytes: Vec<u8>, digest: &Digest) -> Result<Self, AdmissionError> {
        let got = Digest::of(&bytes);
        if got != *digest {
            return Err(AdmissionError::OtherDigest { expected: *digest, got });
        }
        Self::admit(bytes)
    }

    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The component's identity: the SHA-256 of its exact bytes.
    pub fn digest(&self) -> Digest {
        self.blob.sha256
    }

    /// The version of the contract that it was built for.
    pub fn contract(&self) -> Contract {
        self.contract
    }

    /// Digest and size.
    pub fn blob(&self) -> BlobRef {
        self.blob
    }
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component").field("blob", &self.blob).finish_non_exhaustive()
    }
}

/// Magic, version and layer (Component Model, Binary.md): layer 0 is a core
/// module, layer 1 a component.
fn check_preamble(bytes: &[u8]) -> Result<(), AdmissionError> {
    let got = match bytes {
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => return Ok(()),
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => "a core module",
        [0x7f, b'E', b'L', b'F', ..] => "native code",
        [] => "empty",
        _ if bytes.trim_ascii_start().first() == Some(&b'(') => "WebAssembly text",
        _ => "something else",
    };
    Err(AdmissionError::NotAComponent { got })
}

/// The interfaces that a plan may import, of one version or another; names that only look alike
/// are refused.
const GRANTED: [&str; 7] =
    ["types", "store", "loader", "predictions", "monitor", "random", "compute"];

/// Returns the contract that a component was built for: the one of all that it
/// imports and of the plan that it exports.
fn contract(imports: &[String], exports: &[String]) -> Result<Contract, AdmissionError> {
    let imported = versions(imports)?.into_iter().map(spoken).collect::<Result<Vec<_>, _>>()?;
    let plan = exports.iter().filter_map(|export| interface(export));
    let plan = plan.filter(|(name, _)| *name == "plan").map(|(_, version)| version).next();
    let contract = *imported.first().unwrap_or(&Contract::NEWEST);
    let plan = spoken(plan.ok_or(AdmissionError::MissingExport { contract })?)?;
    match imported.into_iter().find(|import| *import != plan) {
        Some(import) => Err(AdmissionError::MixedVersions { plan, import }),
        None => Ok(plan),
    }
}

/// Returns the versions of the interfaces that a component imports, and names all that it asks
/// for beyond the contract.
fn versions(imports: &[String]) -> Result<Vec<&str>, AdmissionError> {
    let mut forbidden = Vec::new();
    let mut versions = Vec::new();
    for import in imports {
        match interface(import) {
            Some((name, version)) if GRANTED.contains(&name) => versions.push(version),
            _ => forbidden.push(printable(import)),
        }
    }
    if forbidden.is_empty() {
        Ok(versions)
    } else {
        Err(AdmissionError::ForbiddenImport { names: forbidden })
    }
}

/// The first names of a list, each in quotes.
fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(4).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Takes `fedwasm:training-plan/store@0.1.0` apart into `store` and `0.1.0`.
fn interface(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(CONTRACT)?.strip_prefix('/')?.split_once('@')
}

fn spoken(version: &str) -> Result<Contract, AdmissionError> {
    Contract::of(version).ok_or_else(|| AdmissionError::OtherVersion { got: printable(version) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> AdmissionError {
        Component::admit(bytes.to_vec()).unwrap_err()
    }

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn what_is_no_component_is_named() {
        for (bytes, expected) in [
            (&b"\0asm\x01\0\0\0"[..], "a core module"),
            (b"(component)", "WebAssembly text"),
            (b"\x7fELF\x02\x01", "native code"),
            (b"", "empty"),
            (b"import torch", "something else"),
        ] {
            assert_eq!(refusal(bytes), AdmissionError::NotAComponent { got: expected });
        }
    }

    #[test]
    fn empty_component_exports_no_plan() {
        let contract = Contract::NEWEST;
        assert_eq!(refusal(COMPONENT), AdmissionError::MissingExport { contract });
    }

    #[test]
    fn foreign_import_is_refused_by_name() {
        use wasm_encoder::{
            Component, ComponentImportSection, ComponentTypeRef, ComponentTypeSection, InstanceType,
        };
        let (mut types, mut imports) = (ComponentTypeSection::new(), ComponentImportSection::new());
        types.instance(&InstanceType::new());
        imports.import("wasi:clocks/wall-clock@0.2.0", ComponentTypeRef::Instance(0));
        let mut component = Component::new();
        component.section(&types).section(&imports);
        let error = refusal(&component.finish());
        assert!(matches!(&error, AdmissionError::ForbiddenImport { .. }), "{error}");
        assert!(error.to_string().contains("`wasi:clocks/wall-clock@0.2.0`"), "{error}");
    }

    #[test]
    fn garbage_after_the_preamble_is_invalid() {
        let bytes = [COMPONENT, b"\xff\xff\xff"].concat();
        assert!(matches!(refusal(&bytes), AdmissionError::Invalid { .. }));
    }

    #[test]
    fn one_byte_over_the_limit_is_refused() {
        let bytes = vec![0; COMPONENT_BYTES_MAX as usize + 1];
        assert!(matches!(refusal(&bytes), AdmissionError::TooLarge { .. }));
    }
}
