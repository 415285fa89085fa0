//! Traced plans: one runtime for all, and a graph for each. [`splice`] puts a graph into the runtime,
//! [`extract`] takes it out again; both are functions of their bytes alone.
//!
//! The runtime's core module has a slot in its data: 16 bytes of a marker, the address of the graph and its length, both
//! 0 as it was built. A graph lies in a data segment of its own, behind the memory that the module started with before,
//! where neither its linker nor its allocator has put anything. The graph's name and version end the component, in
//! custom sections that readers of metadata prefer to the runtime's.

mod inspect;
mod runtimes;
mod sections;
mod slot;

use std::ops::Range;

use fedwasm_protocol::{Digest, printable};
use wasm_encoder::{ComponentNameSection, ComponentSection as _, CustomSection, Encode as _};

use self::sections::{Section, sections};
use self::slot::{Slot, fill, find, free};

pub use self::inspect::TracedInspection;
pub use self::runtimes::{NEWEST, RUNTIMES, Runtime};

/// The graph of a component, and the runtime around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// The graph's bytes.
    pub graph: Vec<u8>,
    /// SHA-256 of the runtime: of the component without its graph.
    pub runtime_sha256: Digest,
}

impl Traced {
    /// Returns the graph, with the initial values of parameters.
    ///
    /// # Errors
    /// [`TracedError::Graph`].
    pub fn decode(&self) -> Result<fedwasm_graph::Graph, TracedError> {
        fedwasm_graph::decode(&self.graph).map_err(refused)
    }
}

/// Why bytes are not a traced plan, or cannot become one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TracedError {
    /// The component does not take graphs.
    #[error("the component has no slot for a graph; it is not a runtime of traced plans")]
    NoSlot,
    /// It is not clear which graph would run.
    #[error("the component has more than one slot for a graph")]
    ManySlots,
    /// A runtime is a component without a graph.
    #[error("the slot of the component is taken: it has a graph")]
    Taken,
    /// The bytes are not a graph that can be run.
    #[error("the plan's graph is refused: {reason}")]
    Graph {
        /// Where, and the rule that is broken.
        reason: String,
    },
    /// There is no room behind the memory.
    #[error(
        "the memory of the component starts with {pages} pages of 64 KiB, and a graph of {graph_bytes} bytes does not fit behind it"
    )]
    NoRoom {
        /// Pages that the memory starts with.
        pages: u64,
        /// Length of the graph.
        graph_bytes: u64,
    },
    /// The slot names a place where its graph is not.
    #[error("the slot names a graph of {length} bytes at address {address}, and {reason}")]
    Misplaced {
        /// The address in the slot.
        address: u32,
        /// The length in the slot.
        length: u32,
        /// What lies there instead.
        reason: &'static str,
    },
    /// Its bytes are not those of runtime and graph.
    #[error("the component is not what its runtime and its graph give together")]
    OtherBytes,
    /// The bytes end early, or are of another kind.
    #[error("the component cannot be read: {reason}")]
    Malformed {
        /// The reason.
        reason: String,
    },
}

/// Returns the component of a graph: `runtime` with it. The same arguments give the same bytes. Admission checks the graph.
///
/// # Errors
/// [`TracedError`], if the bytes are not a graph, or the runtime has not exactly one slot, which is free, and room behind its memory.
pub fn splice(runtime: &[u8], graph: &[u8]) -> Result<Vec<u8>, TracedError> {
    let component = put(runtime, graph)?;
    match take(&component)? {
        Some(parts) if parts.runtime == runtime && parts.graph == graph => Ok(component),
        _ => Err(TracedError::OtherBytes),
    }
}

/// Checks the graph of a component, if it has one, and the initial values in it.
///
/// # Errors
/// [`TracedError`].
pub(crate) fn check(component: &[u8]) -> Result<(), TracedError> {
    let Some(traced) = extract(component)? else { return Ok(()) };
    traced.decode()?.check().map_err(refused)
}

/// Returns the graph of a component and its runtime's digest; none if it has no slot, or a free one. It is what
/// [`splice`] makes of both, or an error.
///
/// # Errors
/// [`TracedError`].
pub fn extract(component: &[u8]) -> Result<Option<Traced>, TracedError> {
    let Some(Parts { runtime, graph }) = take(component)? else { return Ok(None) };
    if put(&runtime, &graph)? != component {
        return Err(TracedError::OtherBytes);
    }
    Ok(Some(Traced { graph, runtime_sha256: Digest::of(&runtime) }))
}

/// The runtime with a graph.
fn put(runtime: &[u8], graph: &[u8]) -> Result<Vec<u8>, TracedError> {
    let metadata = metadata(graph)?;
    let (section, slot) = module(runtime)?.ok_or(TracedError::NoSlot)?;
    let Slot::Free = slot else { return Err(TracedError::Taken) };
    let module = fill(&runtime[section.contents.clone()], graph)?;
    Ok([replaced(runtime, &section, &module), metadata].concat())
}

/// A component without its graph, and the graph.
struct Parts {
    runtime: Vec<u8>,
    graph: Vec<u8>,
}

fn take(component: &[u8]) -> Result<Option<Parts>, TracedError> {
    let Some((section, slot)) = module(component)? else { return Ok(None) };
    let Slot::Taken { address, length } = slot else { return Ok(None) };
    let (module, graph) = free(&component[section.contents.clone()], address, length)?;
    let rest = component.strip_suffix(&metadata(&graph)?[..]).ok_or(TracedError::OtherBytes)?;
    if rest.len() < section.whole.end {
        return Err(TracedError::OtherBytes);
    }
    Ok(Some(Parts { runtime: replaced(rest, &section, &module), graph }))
}

/// The last sections of a component: name and version of its graph.
fn metadata(graph: &[u8]) -> Result<Vec<u8>, TracedError> {
    let graph = fedwasm_graph::decode_without_values(graph).map_err(refused)?;
    let mut out = Vec::new();
    let mut name = ComponentNameSection::new();
    name.component(&graph.name);
    name.append_to_component(&mut out);
    let version = graph.version.as_bytes().into();
    CustomSection { name: "version".into(), data: version }.append_to_component(&mut out);
    Ok(out)
}

/// The core module with the slot, among those that the component itself has.
fn module(component: &[u8]) -> Result<Option<(Section, Slot)>, TracedError> {
    const CORE_MODULE: u8 = 1;
    let mut found = None;
    for section in sections(component) {
        let section = section?;
        if section.id == CORE_MODULE
            && let Some(slot) = find(&component[section.contents.clone()])?
            && found.replace((section, slot)).is_some()
        {
            return Err(TracedError::ManySlots);
        }
    }
    Ok(found)
}

/// The bytes with other contents of a section.
fn replaced(bytes: &[u8], section: &Section, contents: &[u8]) -> Vec<u8> {
    let Range { start, end } = section.whole;
    let mut out = Vec::with_capacity(bytes.len() + contents.len());
    out.extend_from_slice(&bytes[..start]);
    out.push(section.id);
    contents.encode(&mut out);
    out.extend_from_slice(&bytes[end..]);
    out
}

fn malformed(error: impl std::fmt::Display) -> TracedError {
    TracedError::Malformed { reason: printable(&error.to_string()) }
}

fn refused(error: fedwasm_graph::Error) -> TracedError {
    TracedError::Graph { reason: printable(&error.to_string()) }
}

#[cfg(test)]
mod tests;
