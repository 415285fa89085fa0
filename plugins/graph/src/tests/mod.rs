//! Graphs that are right, and graphs that are not.

mod facts;
mod graphs;
mod hostile;

use crate::*;
use alloc::vec::Vec;
pub(crate) use graphs::*;

#[test]
fn a_graph_is_read_as_it_was_written() {
    let graph = mlp();
    graph.check().unwrap();
    let bytes = encode(&graph);
    assert_eq!(decode(&bytes).unwrap(), graph);
    let without = decode_without_values(&bytes).unwrap();
    assert_eq!(without, Graph { values: Vec::new(), ..graph });
}
