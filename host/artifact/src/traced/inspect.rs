//! The calls of a traced plan, without running it.

use std::collections::BTreeMap;

use fedwasm_protocol::Digest;
use serde::Serialize;

use super::extract;
use super::runtimes::version;

/// The calls of a traced plan: the part of [`Inspection`](crate::Inspection) that other plans have not.
#[derive(Clone, Debug, Serialize)]
pub struct TracedInspection {
    /// SHA-256 of the graph.
    pub graph_sha256: Digest,
    /// Length of the graph in bytes, with initial values.
    pub graph_bytes: u64,
    /// SHA-256 of the component without its graph.
    pub runtime_sha256: Digest,
    /// The release of the runtime, if it is known here: only then is it sure that the graph is all that runs.
    pub runtime_version: Option<&'static str>,
    /// How often functions and modules are called, by name.
    pub calls: BTreeMap<&'static str, usize>,
    /// Sentences that are sure because it is a graph, on a known runtime.
    pub facts: Vec<String>,
    /// SHA-256 of each initial value, by the name of its parameter: of float32 numbers, little-endian.
    pub values_sha256: BTreeMap<String, Digest>,
    /// The graph as text: every call in order.
    pub text: String,
}

impl TracedInspection {
    /// Of an admitted component; none if it has no graph.
    pub(crate) fn of(component: &[u8]) -> Option<Self> {
        let traced = extract(component).ok().flatten()?;
        let graph = traced.decode().ok()?;
        let version = version(&traced.runtime_sha256);
        let facts = version.map(|_| graph.facts().to_string()).unwrap_or_default();
        Some(Self {
            graph_sha256: Digest::of(&traced.graph),
            graph_bytes: traced.graph.len() as u64,
            runtime_sha256: traced.runtime_sha256,
            runtime_version: version,
            calls: graph.counts().into_iter().collect(),
            facts: facts.lines().map(str::to_owned).collect(),
            text: graph.text().to_string(),
            values_sha256: graph
                .values
                .into_iter()
                .map(|(name, bytes)| (name, Digest::of(&bytes)))
                .collect(),
        })
    }
}
