//! The control variates of SCAFFOLD at a node.

use crate::bindings::fedwasm::training_plan::store::Slot;
use crate::{Arguments, Dtype, Parameter, Result, Tensor, engine, no_grad};

/// Corrects every gradient by `c - c_i` and computes the next `c_i`, the mean of the gradients before
/// correction (Karimireddy et al. 2020, option II, as declearn's `scaffold-client` computes it). `c`
/// and `c_i` come from the researcher as auxiliary variables.
#[derive(Debug)]
pub(super) struct Scaffold {
    variates: Vec<Variate>,
    steps: u64,
}

/// The control variates of one parameter.
#[derive(Debug)]
struct Variate {
    parameter: Parameter,
    /// `c - c_i`.
    correction: Tensor,
    /// `c_i`.
    local: Tensor,
    /// The sum of the gradients before correction, float64; none before the first.
    sum: Option<Tensor>,
}

/// Whether the aggregator is SCAFFOLD.
pub(crate) const SCAFFOLD: &str = "aggregator.scaffold";
/// `c`, the same at all nodes.
pub(crate) const GLOBAL: &str = "scaffold.global";
/// `c_i`, of this node alone.
pub(crate) const LOCAL: &str = "scaffold.local";

impl Scaffold {
    /// Reads the control variates of these parameters; none unless the aggregator is SCAFFOLD. They
    /// follow each other in the order of the parameters, `c` and then `c_i`.
    pub(super) fn new(args: &Arguments, parameters: Vec<Parameter>) -> Result<Option<Self>> {
        if !args.boolean(SCAFFOLD)? {
            return Ok(None);
        }
        let variate = |(nth, parameter): (usize, Parameter)| {
            let read = |index| engine::load(Slot::AuxIn, index, parameter.kind());
            let global = Tensor::of(Some(read(2 * nth)?));
            let local = Tensor::of(Some(read(2 * nth + 1)?));
            let correction = global - &local;
            Ok(Variate { parameter, correction, local, sum: None })
        };
        let variates = parameters.into_iter().enumerate().map(variate).collect::<Result<_>>()?;
        Ok(Some(Self { variates, steps: 0 }))
    }

    /// Corrects the gradients of one step.
    pub(super) fn correct(&mut self) -> Result<()> {
        self.steps += 1;
        no_grad(|| {
            let moved = self.variates.iter_mut().filter(|one| one.parameter.is_trained());
            for variate in moved {
                let value = variate.parameter.tensor();
                let value = value.checked()?;
                if let Some(gradient) = engine::take_gradient(value)? {
                    engine::add_gradient(value, &gradient)?;
                    let gradient = Tensor::of(Some(gradient)).to(Dtype::F64);
                    variate.sum = Some(match &variate.sum {
                        Some(sum) => sum + gradient,
                        None => gradient,
                    });
                }
                engine::add_gradient(value, variate.correction.checked()?)?;
            }
            Ok(())
        })
    }

    /// Writes the next `c_i`; without a step it stays as it was.
    pub(super) fn finish(self) -> Result<()> {
        for (nth, variate) in self.variates.iter().enumerate() {
            let next = match (&variate.sum, self.steps) {
                (_, 0) => variate.local.clone(),
                (Some(sum), steps) => (sum / steps as f64).to(Dtype::F32),
                (None, _) => Tensor::zeros(&variate.parameter.shape()),
            };
            engine::save(Slot::AuxOut, nth, next.checked()?)?;
        }
        Ok(())
    }
}
