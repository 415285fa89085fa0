//! Auxiliary variables: optimizer state that researcher and nodes exchange
//! (Fed-BioMed `upload_agg_optimizer_aux_var`,
//! `extract_received_optimizer_aux_var_from_round`).
//!
//! What all nodes get and what one node gets are apart by type, so that no
//! shape of the data can turn one into the other.

use std::collections::BTreeMap;

use fedwasm_params::{Params, Tensor};
use fedwasm_protocol::NodeId;

/// Auxiliary variables for the nodes of a round. A tensor is called
/// `module.name`, such as `scaffold.global.linear.weight`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuxVars {
    /// For all nodes.
    pub shared: Params,
    /// For one node each, and for nobody else.
    pub by_node: BTreeMap<NodeId, Params>,
}

/// Auxiliary variables of a round's replies: module → node → tensors, whose
/// names no longer start with the module's.
pub type ReceivedAuxVars = BTreeMap<String, BTreeMap<NodeId, Params>>;

impl AuxVars {
    /// Returns what is for `node` alone; empty if nothing is.
    pub fn own(&self, node: &NodeId) -> Params {
        self.by_node.get(node).cloned().unwrap_or_default()
    }
}

/// Transposes replies (node → tensors) to module → node → tensors. A tensor
/// without a module is of the module of its own name.
///
/// # Errors
/// [`fedwasm_params::Error::Duplicate`] if two tensors get one name.
pub fn transpose(
    replies: &BTreeMap<NodeId, Params>,
) -> Result<ReceivedAuxVars, fedwasm_params::Error> {
    let mut modules: BTreeMap<String, BTreeMap<NodeId, Vec<(String, Tensor)>>> = BTreeMap::new();
    for (node, params) in replies {
        for (name, tensor) in params.iter() {
            let (module, rest) = name.split_once('.').unwrap_or((name, name));
            let of_module = modules.entry(module.to_owned()).or_default();
            let of_node = of_module.entry(node.clone()).or_default();
            of_node.push((rest.to_owned(), tensor.clone()));
        }
    }
    let params = |(node, tensors)| Ok((node, Params::new(tensors)?));
    let module = |(module, nodes): (String, BTreeMap<NodeId, Vec<(String, Tensor)>>)| {
        Ok((module, nodes.into_iter().map(params).collect::<Result<_, _>>()?))
    };
    modules.into_iter().map(module).collect()
}
