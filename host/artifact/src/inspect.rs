//! The contents of a component, without running it.

use fedwasm_protocol::printable;
use serde::Serialize;

use crate::provenance::arithmetic;
use crate::traced::TracedInspection;
use crate::{CONTRACT, Component, Provenance, Sizes};

/// The contents of a component, without running it.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// SHA-256 of the bytes.
    pub plan_sha256: fedwasm_protocol::Digest,
    /// Length in bytes.
    pub size: u64,
    /// The sizes of its parts.
    pub sizes: Sizes,
    /// Package and version of the contract that it was built for.
    pub world: String,
    /// The rules of its arithmetic, such as `compute@0.1`, in the plan's own word: plans of one arithmetic
    /// give the same bits. None if it names none.
    pub arithmetic: Option<String>,
    /// Name in the component's metadata.
    pub name: Option<String>,
    /// Version in the component's metadata.
    pub version: Option<String>,
    /// SPDX expression in the component's metadata. None for a traced plan: it would be its runtime's.
    pub licence: Option<String>,
    /// Where its sources are, by the component's metadata. None for a traced plan, too.
    pub source: Option<String>,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// Interfaces that it exports.
    pub exports: Vec<String>,
    /// Its provenance, as stated by its builder; of a traced plan that of its runtime.
    pub build: Option<Provenance>,
    /// Its calls, if it is a traced plan.
    pub traced: Option<TracedInspection>,
}

impl Component {
    /// Returns name and version in the component's metadata, each if it is there: [`Inspection`] has them too.
    pub fn name_and_version(&self) -> (Option<String>, Option<String>) {
        let payload = wasm_metadata::Payload::from_binary(self.bytes()).ok();
        named(payload.as_ref().map(wasm_metadata::Payload::metadata))
    }

    /// Returns the contents of the component.
    pub fn inspect(&self) -> Inspection {
        let payload = wasm_metadata::Payload::from_binary(self.bytes()).ok();
        let metadata = payload.as_ref().map(wasm_metadata::Payload::metadata);
        let traced = TracedInspection::of(self.bytes());
        let own = metadata.filter(|_| traced.is_none());
        let text = |value: Option<String>| value.map(|value| printable(&value));
        let is_plan = |name: &&String| name.starts_with(CONTRACT);
        let world = self.exports.iter().find(is_plan).and_then(|name| name.split_once('@'));
        let (name, version) = named(metadata);
        Inspection {
            plan_sha256: self.digest(),
            size: self.blob().size,
            sizes: Sizes::of(self.bytes()),
            world: format!("{CONTRACT}@{}", world.map_or("?", |(_, version)| version)),
            arithmetic: arithmetic(self.bytes()),
            name,
            version,
            licence: text(own.and_then(|m| Some(m.licenses.as_ref()?.to_string()))),
            source: text(own.and_then(|m| Some(m.source.as_ref()?.to_string()))),
            imports: self.imports.clone(),
            exports: self.exports.clone(),
            build: Provenance::of(self.bytes()),
            traced,
        }
    }
}

/// Name and version, as they can be shown.
fn named(metadata: Option<&wasm_metadata::Metadata>) -> (Option<String>, Option<String>) {
    let name = metadata.and_then(|metadata| Some(printable(metadata.name.as_ref()?)));
    let version = metadata.and_then(|m| Some(printable(&m.version.as_ref()?.to_string())));
    (name, version)
}
