//! The control variates of SCAFFOLD at a node.

use crate::{Arguments, Parameter, Result, session};

/// Corrects every gradient by `c - c_i` and computes the next `c_i`, the mean
/// of the gradients before correction (Karimireddy et al. 2020, option II, as
/// declearn's `scaffold-client` computes it). `c` and `c_i` come from the
/// researcher as auxiliary variables.
#[derive(Debug)]
pub(crate) struct Scaffold {
    variates: Vec<Variate>,
    steps: u64,
}

/// The control variates of one parameter.
#[derive(Debug)]
struct Variate {
    /// The place of the parameter.
    index: usize,
    /// `c - c_i`.
    correction: Vec<f32>,
    /// `c_i`.
    local: Vec<f32>,
    /// Sums of the gradients before correction.
    sums: Vec<f64>,
}

/// Whether the aggregator is SCAFFOLD.
pub(crate) const SCAFFOLD: &str = "aggregator.scaffold";
/// `c`, the same at all nodes.
pub(crate) const GLOBAL: &str = "scaffold.global";
/// `c_i`, of this node alone.
pub(crate) const LOCAL: &str = "scaffold.local";

impl Scaffold {
    /// Reads the control variates of the parameters that are `shared`; none
    /// unless the aggregator is SCAFFOLD. They follow each other in the order
    /// of `parameters`, `c` and then `c_i`.
    pub(crate) fn new(
        args: &Arguments,
        parameters: &[&mut Parameter],
        shared: &[bool],
    ) -> Result<Option<Self>> {
        if !args.boolean(SCAFFOLD)? {
            return Ok(None);
        }
        let mut variates = Vec::new();
        let shared = shared.iter().enumerate();
        let shared = shared.filter(|(nth, shared)| **shared && parameters[*nth].is_trained());
        for (nth, (index, _)) in shared.enumerate() {
            let len = parameters[index].value.data().len();
            let global = session::read_aux(2 * nth, len)?;
            let local = session::read_aux(2 * nth + 1, len)?;
            variates.push(Variate::new(index, &global, local));
        }
        Ok(Some(Self { variates, steps: 0 }))
    }

    /// Corrects the gradients of one step.
    pub(crate) fn correct(&mut self, parameters: &mut [&mut Parameter]) {
        self.steps += 1;
        for Variate { index, correction, sums, .. } in &mut self.variates {
            let gradients = parameters[*index].gradient.data_mut().iter_mut();
            for ((g, correction), sum) in gradients.zip(correction).zip(sums) {
                *sum += f64::from(*g);
                *g += *correction;
            }
        }
    }

    /// Writes the next `c_i`.
    pub(crate) fn finish(self) -> Result<()> {
        for (nth, variate) in self.variates.iter().enumerate() {
            session::write_aux(nth, &variate.next(self.steps))?;
        }
        Ok(())
    }
}

impl Variate {
    fn new(index: usize, global: &[f32], local: Vec<f32>) -> Self {
        let correction = global.iter().zip(&local).map(|(c, local)| c - local).collect();
        let sums = vec![0.0; local.len()];
        Self { index, correction, local, sums }
    }

    /// The next `c_i`; without a step it stays what it was.
    fn next(&self, steps: u64) -> Vec<f32> {
        match steps {
            0 => self.local.clone(),
            _ => self.sums.iter().map(|sum| (sum / steps as f64) as f32).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_variate_is_the_mean_gradient_before_correction() {
        let mut parameter = Parameter::zeros(&[1]).unwrap();
        let variate = Variate::new(0, &[0.5], vec![0.25]);
        assert_eq!(variate.next(0), [0.25]);
        let mut scaffold = Scaffold { variates: vec![variate], steps: 0 };
        for gradient in [1.0, 2.0] {
            parameter.gradient.data_mut()[0] = gradient;
            scaffold.correct(&mut [&mut parameter]);
            assert_eq!(parameter.gradient.data(), [gradient + 0.25]);
        }
        assert_eq!(scaffold.variates[0].next(scaffold.steps), [1.5]);
    }
}
