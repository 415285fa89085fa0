//! Names of MQTT topics.

use fedwasm_protocol::{NodeId, ResearcherId};

/// Retained presence of all nodes.
pub const PRESENCE_ALL: &str = "fedwasm/v1/presence/+";

/// Retained presence of one node.
pub fn presence(node: &NodeId) -> String {
    format!("fedwasm/v1/presence/{node}")
}

/// Requests to one node.
pub fn node(node: &NodeId) -> String {
    format!("fedwasm/v1/node/{node}")
}

/// Replies to one researcher.
pub fn researcher(researcher: &ResearcherId) -> String {
    format!("fedwasm/v1/researcher/{researcher}")
}
