//! The proximal term of FedProx.

use crate::{Arguments, Parameter, Result};

/// Adds the gradient of `mu/2 |w - w0|^2` to every step, with `w0` the
/// parameters at the start of the round (Li et al. 2020, equation 2; Fed-BioMed
/// `fedprox_mu`). The reported loss is that of the data alone.
#[derive(Debug)]
pub(crate) struct Proximal {
    mu: f32,
    start: Vec<Vec<f32>>,
}

/// The weight `mu`, at least 0.
pub(crate) const MU: &str = "aggregator.fedprox_mu";

impl Proximal {
    /// Remembers where the round starts; none if `mu` is 0.
    pub(crate) fn new(args: &Arguments, parameters: &[&mut Parameter]) -> Result<Option<Self>> {
        let mu = args.real(MU)? as f32;
        let start = || parameters.iter().map(|p| p.value.data().to_vec()).collect();
        Ok((mu > 0.0).then(|| Self { mu, start: start() }))
    }

    /// Adds the term's gradient, `mu (w - w0)`.
    pub(crate) fn correct(&self, parameters: &mut [&mut Parameter]) {
        for (parameter, start) in parameters.iter_mut().zip(&self.start) {
            // A buffer has no gradient, and nothing is added to none.
            let Parameter { value, gradient, .. } = &mut **parameter;
            let from_start = value.data().iter().zip(start).map(|(w, w0)| w - w0);
            for (g, distance) in gradient.data_mut().iter_mut().zip(from_start) {
                *g += self.mu * distance;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // w = torch.tensor([3.0], requires_grad=True); w0 = torch.tensor([1.0])
    // (2 * w + 0.5 / 2 * (w - w0).norm() ** 2).sum().backward(); w.grad  # 3.0
    #[test]
    fn gradient_equals_torch() {
        let mut parameter = Parameter::zeros(&[1]).unwrap();
        parameter.value.data_mut()[0] = 3.0;
        parameter.gradient.data_mut()[0] = 2.0;
        Proximal { mu: 0.5, start: vec![vec![1.0]] }.correct(&mut [&mut parameter]);
        assert_eq!(parameter.gradient.data(), [3.0]);
    }
}
