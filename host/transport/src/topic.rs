//! Names of MQTT topics.

use fedwasm_protocol::{NodeId, ResearcherId};

/// Retained presence of all nodes.
pub const PRESENCE_ALL: &str = "fedwasm/v1/presence/+";

/// Retained presence of one node.
pub fn presence(node: &NodeId) -> String {
    format!("fedwasm/v1/presence/{node}")
}

/// Farewells of all researchers: an empty message, when one leaves or dies.
pub const FAREWELLS: &str = "fedwasm/v1/farewell/+";

/// The farewell of one researcher.
pub fn farewell(researcher: &ResearcherId) -> String {
    format!("fedwasm/v1/farewell/{researcher}")
}

/// Returns whose farewell a topic is.
pub fn who_left(topic: &str) -> Option<ResearcherId> {
    topic.strip_prefix("fedwasm/v1/farewell/")?.parse().ok()
}

/// Requests to one node.
pub fn node(node: &NodeId) -> String {
    format!("fedwasm/v1/node/{node}")
}

/// Replies to one researcher.
pub fn researcher(researcher: &ResearcherId) -> String {
    format!("fedwasm/v1/researcher/{researcher}")
}
