//! The proximal term of FedProx.

use crate::{Arguments, Parameter, Result, Tensor, engine, no_grad};

/// Adds the gradient of `mu/2 |w - w0|^2` to every step, with `w0` the parameters at the start of the
/// round (Li et al. 2020, equation 2; Fed-BioMed `fedprox_mu`). The reported loss is that of the data
/// alone.
#[derive(Debug)]
pub(super) struct Proximal {
    mu: f64,
    /// Parameters, and copies of them.
    starts: Vec<(Parameter, Tensor)>,
}

/// The weight `mu`, at least 0.
pub(super) const MU: &str = "aggregator.fedprox_mu";

impl Proximal {
    /// Remembers where the round starts; none if `mu` is 0.
    pub(super) fn new(args: &Arguments, trained: &[Parameter]) -> Result<Option<Self>> {
        let mu = args.real(MU)?;
        let start = |parameter: &Parameter| (parameter.clone(), parameter.tensor().detach());
        Ok((mu > 0.0).then(|| Self { mu, starts: trained.iter().map(start).collect() }))
    }

    /// Adds the term's gradient, `mu (w - w0)`.
    pub(super) fn correct(&self) -> Result<()> {
        no_grad(|| {
            for (parameter, start) in &self.starts {
                let value = parameter.tensor();
                let term = (&value - start) * self.mu;
                engine::add_gradient(value.checked()?, term.checked()?)?;
            }
            Ok(())
        })
    }
}
