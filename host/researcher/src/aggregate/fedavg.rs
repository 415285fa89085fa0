//! Federated averaging.

use std::collections::BTreeMap;

use fedwasm_params::{Error, Params, weighted_mean};
use fedwasm_protocol::NodeId;

/// Returns `Σ (n_k / n) w_k` over the nodes `k` in ascending order of their
/// ids, with `n_k` the samples of node `k` and `n` their sum; sums in float64
/// (McMahan et al. 2017, Algorithm 1; Fed-BioMed `FedAverage`).
///
/// # Errors
/// Those of [`weighted_mean`].
pub(crate) fn fedavg(updates: &BTreeMap<NodeId, (u64, Params)>) -> Result<Params, Error> {
    let sets: Vec<(f64, &Params)> =
        updates.values().map(|(n_samples, params)| (*n_samples as f64, params)).collect();
    weighted_mean(&sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_params::Tensor;

    fn params(value: f32) -> Params {
        Params::new(vec![("w".into(), Tensor::from_f32(vec![1], &[value]).unwrap())]).unwrap()
    }

    #[test]
    fn weights_are_sample_counts() {
        let update = |id: &str, n, value| (id.parse().unwrap(), (n, params(value)));
        let updates = BTreeMap::from([update("a", 1, 0.0), update("b", 3, 8.0)]);
        assert_eq!(fedavg(&updates).unwrap(), params(6.0));
    }

    #[test]
    fn one_node_keeps_its_bits() {
        let updates = BTreeMap::from([("a".parse().unwrap(), (7, params(-0.1)))]);
        assert_eq!(fedavg(&updates).unwrap(), params(-0.1));
    }
}
