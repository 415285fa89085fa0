//! The graph that this component holds.

use std::cell::RefCell;
use std::rc::Rc;

use fedwasm_graph::{Graph, decode, decode_without_values};
use fedwasm_sdk::{PlanError, Result};

/// Where the graph lies in this component's memory; both are 0 if there is none.
#[repr(C)]
struct Place {
    marker: [u8; 16],
    address: u32,
    len: u32,
}

#[cfg_attr(not(target_arch = "wasm32"), expect(dead_code, reason = "of a component"))]
#[used]
static PLACE: Place = Place { marker: *b"fedwasm:graph:01", address: 0, len: 0 };

thread_local! {
    static GRAPH: RefCell<Option<Rc<Graph>>> = const { RefCell::new(None) };
    #[cfg(not(target_arch = "wasm32"))]
    static OF_THREAD: RefCell<Rc<[u8]>> = RefCell::new(Rc::new([]));
}

/// Natively, those that a thread was given.
#[cfg(not(target_arch = "wasm32"))]
fn bytes() -> Rc<[u8]> {
    OF_THREAD.with_borrow(Rc::clone)
}

#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "the host wrote where the graph is, behind the compiler's back")]
fn bytes() -> &'static [u8] {
    // The compiler knows the zeros of the source. A place outside of this memory is a trap.
    unsafe {
        let address = std::ptr::read_volatile(&raw const PLACE.address);
        match std::ptr::read_volatile(&raw const PLACE.len) {
            0 => &[],
            len => std::slice::from_raw_parts(
                std::ptr::with_exposed_provenance(address as usize),
                len as usize,
            ),
        }
    }
}

/// The graph without initial values.
///
/// # Errors
/// [`PlanError::Unsupported`] if there is none, [`PlanError::Internal`] if it breaks a rule.
pub(crate) fn graph() -> Result<Rc<Graph>> {
    if let Some(graph) = GRAPH.with_borrow(Clone::clone) {
        return Ok(graph);
    }
    let bytes = bytes();
    if bytes.is_empty() {
        let text =
            "this component is the runtime of traced plans and holds no graph: splice one in";
        return Err(PlanError::Unsupported(text.into()));
    }
    let wrong = |error: fedwasm_graph::Error| PlanError::Internal(error.to_string());
    let graph = decode_without_values(&bytes).map_err(wrong)?;
    graph.check().map_err(wrong)?;
    let graph = Rc::new(graph);
    GRAPH.set(Some(Rc::clone(&graph)));
    Ok(graph)
}

/// The initial values of parameters, by name.
///
/// # Errors
/// As [`graph`].
pub(crate) fn values() -> Result<Vec<(String, Vec<u8>)>> {
    let graph = decode(&bytes()).map_err(|error| PlanError::Internal(error.to_string()))?;
    Ok(graph.values)
}

/// Holds this graph in this thread, and returns the one before.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn hold(bytes: Rc<[u8]>) -> Rc<[u8]> {
    GRAPH.set(None);
    OF_THREAD.replace(bytes)
}
