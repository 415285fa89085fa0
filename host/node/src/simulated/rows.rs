//! The prepared rows of simulated nodes, those of the newest rounds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use fedwasm_dataset::Dataset;
use fedwasm_protocol::{Digest, NodeId};
use fedwasm_training::Examples;

/// The most bytes that are kept, by estimate: what does not fit is prepared again.
const BYTES_MAX: u64 = 96 << 20;
/// Estimated bytes of a column beside its values: its name, its scale, how it is treated.
const COLUMN_BYTES: u64 = 384;
/// And of a node.
const NODE_BYTES: u64 = 2 << 10;

/// Prepared rows, with all that they follow from beside the node.
#[derive(Debug, Default)]
pub(super) struct PreparedRows {
    of: Option<Digest>,
    by_node: BTreeMap<NodeId, (Arc<Examples>, u64)>,
    /// The oldest first.
    order: VecDeque<NodeId>,
    bytes: u64,
}

impl PreparedRows {
    pub(super) fn get(&self, of: &Digest, node: &NodeId) -> Option<Arc<Examples>> {
        let (examples, _) = self.by_node.get(node).filter(|_| self.of.as_ref() == Some(of))?;
        Some(Arc::clone(examples))
    }

    pub(super) fn put(
        &mut self,
        of: &Digest,
        node: &NodeId,
        examples: &Arc<Examples>,
        data: &Dataset,
    ) {
        if self.of.as_ref() != Some(of) {
            *self = Self { of: Some(*of), ..Self::default() };
        }
        let bytes = n_bytes(data);
        if bytes > BYTES_MAX || self.by_node.contains_key(node) {
            return;
        }
        self.by_node.insert(node.clone(), (Arc::clone(examples), bytes));
        self.order.push_back(node.clone());
        self.bytes += bytes;
        while self.bytes > BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some((_, bytes)) = self.by_node.remove(&oldest) {
                self.bytes -= bytes;
            }
        }
    }
}

/// The bytes of prepared rows: float32 a value, one byte of images.
fn n_bytes(data: &Dataset) -> u64 {
    let fields = data.fields().iter();
    let row: u64 = fields.map(|field| field.width() as u64 * field.element.size().min(4)).sum();
    let columns = data.fields().len() as u64 * COLUMN_BYTES;
    NODE_BYTES.saturating_add(columns).saturating_add(row.saturating_mul(data.n_rows()))
}
