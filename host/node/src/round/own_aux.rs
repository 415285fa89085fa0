//! Auxiliary variables of this node alone. In a secure sum the researcher does not know them, so the
//! node keeps them beside its state from round to round.

use fedwasm_params::{Params, Tensor};
use fedwasm_sandbox::{Declaration, Scope, TensorSpec};

/// The names of them in a state.
const PREFIX: &str = "aux/";

/// Takes them out of a state.
pub(super) fn split(
    kept: Params,
) -> Result<(Option<Params>, Option<Params>), fedwasm_params::Error> {
    let (mut state, mut own) = (Vec::new(), Vec::new());
    for (name, tensor) in kept.iter() {
        match name.strip_prefix(PREFIX) {
            Some(name) => own.push((name.to_owned(), tensor.clone())),
            None => state.push((name.to_owned(), tensor.clone())),
        }
    }
    let params = |tensors: Vec<(String, Tensor)>| {
        (!tensors.is_empty()).then(|| Params::new(tensors)).transpose()
    };
    Ok((params(state)?, params(own)?))
}

/// Puts those that a round left into its state.
pub(super) fn join(
    state: Option<Params>,
    own: &Params,
) -> Result<Option<Params>, fedwasm_params::Error> {
    let prefixed = own.iter().map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor.clone()));
    let state = state.iter().flat_map(Params::iter);
    let state = state.map(|(name, tensor)| (name.to_owned(), tensor.clone()));
    let all: Vec<(String, Tensor)> = state.chain(prefixed).collect();
    (!all.is_empty()).then(|| Params::new(all)).transpose()
}

/// Those that a plan takes for this node: zeros before the first round that gave some.
pub(super) fn before(
    declaration: &Declaration,
    own: Option<&Params>,
) -> Result<Params, fedwasm_params::Error> {
    let tensor = |spec: &TensorSpec| {
        let known = own.and_then(|own| own.tensor(&spec.name)).cloned();
        let zeros = || Tensor::zeros(spec.dtype, spec.shape.clone());
        Ok((spec.name.clone(), known.map_or_else(zeros, Ok)?))
    };
    let local = declaration.aux_in.iter().filter(|spec| spec.scope == Scope::Local);
    Params::new(local.map(tensor).collect::<Result<_, fedwasm_params::Error>>()?)
}

/// Those of a result that the plan will take again.
pub(super) fn after(
    declaration: &Declaration,
    aux: &Params,
) -> Result<Params, fedwasm_params::Error> {
    let is_own = |name: &str| {
        let mut local = declaration.aux_in.iter().filter(|spec| spec.scope == Scope::Local);
        local.any(|spec| spec.name == name)
    };
    let own = aux.iter().filter(|(name, _)| is_own(name));
    Params::new(own.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect())
}
