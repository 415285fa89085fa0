//! Fits parameters of other programs to a plan's declaration.

use std::collections::BTreeSet;

use fedwasm_params::{DType, Params};
use fedwasm_sandbox::Declaration;

/// Rounds float64 where the plan declares float32, as other programs write it, and checks that
/// every number is finite.
///
/// # Errors
/// [`fedwasm_params::Error::NotFinite`].
pub fn fitted(declaration: &Declaration, params: Params) -> Result<Params, fedwasm_params::Error> {
    let floats = declaration.model.iter().filter(|spec| spec.dtype == DType::Float32);
    let floats: BTreeSet<&str> = floats.map(|spec| spec.name.as_str()).collect();
    let mut fitted = Vec::with_capacity(params.len());
    for (name, tensor) in params.iter() {
        let tensor = match floats.contains(name) {
            true => tensor.clone().into_float32(),
            false => tensor.clone(),
        };
        if !tensor.is_finite() {
            let (name, dtype) = (name.to_owned(), tensor.dtype());
            return Err(fedwasm_params::Error::NotFinite { name, dtype });
        }
        fitted.push((name.to_owned(), tensor));
    }
    Params::new(fitted)
}
