//! The shipped plans of single layers, which are components without a graph: known by the digest of
//! their bytes, so that no other plan of the name is mistaken for one.

use fedwasm_params::Params;
use fedwasm_protocol::Digest;

use super::network::{Network, Size, Step, Value};
use super::{Inputs, NotCovered, functions, modules};

/// The networks of shipped plans.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shipped {
    /// One layer, `linear`.
    Linear,
    /// Two layers, `hidden` and `output`, with ReLU between them.
    Mlp,
}

/// Components in `plugins/dist` of this release and of earlier ones.
const SHIPPED: [(&str, Shipped); 5] = [
    ("0b5f72102e1592d20541e944c733507902000068502fe3d0fdee2fb91d3499ed", Shipped::Linear),
    ("0b490ef976ec85fe1cfcc40cdcdb7f6b1d7ab36a1db9f535f59340089c193618", Shipped::Linear),
    ("d5b4b0b52cb75b6f72fee7bb489dd22a9b3a00cfd7b7312c1e1bcd542b523e3d", Shipped::Linear),
    ("b283ff689db49562a78783117e8bf09a63b93ab064ac810faea578a59da2e025", Shipped::Linear),
    ("2f555b56afed6fc0c0dde8cc116f7128d3401e66d69a4a6c703e6a795b2476b3", Shipped::Mlp),
];

/// Writes the predictions of a shipped plan.
pub(super) fn predict(
    network: &mut Network,
    plan: Digest,
    params: &Params,
    input: &mut Inputs<'_>,
) -> Step<Value> {
    let plan = plan.to_string();
    let known = SHIPPED.iter().find(|(digest, _)| *digest == plan);
    let Some((_, shipped)) = known else {
        return Err(NotCovered::new(
            "a component that holds no graph, and is not one of the shipped plans \
             logistic-regression, linear-regression and mlp; plans that were traced in Python hold \
             one",
        ));
    };
    let layer = |path: &'static str| modules::Of { params, path };
    let first = if *shipped == Shipped::Mlp { "hidden" } else { "linear" };
    let weight = network.parameter(params, &format!("{first}.weight"))?;
    let x = input(network, "inputs", vec![Size::Rows, Size::Known(weight.length(1)?)])?;
    let x = modules::linear(network, &layer(first), &x, true)?;
    match shipped {
        Shipped::Linear => Ok(x),
        Shipped::Mlp => {
            let x = functions::unary(network, "Relu", &x);
            modules::linear(network, &layer("output"), &x, true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_shipped_components() {
        for name in ["logistic-regression", "linear-regression", "mlp"] {
            let path = format!("{}/../../plugins/dist/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
            let digest = Digest::of(&std::fs::read(path).unwrap()).to_string();
            assert!(SHIPPED.iter().any(|(known, _)| *known == digest), "{name}: {digest}");
        }
    }
}
