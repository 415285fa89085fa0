//! A round of training: batches in, steps out.

#[cfg(test)]
mod plan_tests;
mod proximal;
mod scaffold;
mod stepper;
#[cfg(test)]
mod tests;
mod totals;

use crate::bindings::exports::fedwasm::training_plan::plan::Report;
use crate::{Argument, Arguments, Batch, Data, Optimizer, Parameter, PlanError, Result, Tensor};
use crate::{engine, imports};
use proximal::Proximal;
use scaffold::Scaffold;

pub(crate) use scaffold::{GLOBAL, LOCAL, SCAFFOLD};
pub(crate) use stepper::Stepper;
pub(crate) use totals::Totals;

/// The arguments that the SDK itself understands, whatever the plan and its optimizer.
pub(crate) fn arguments() -> Vec<Argument> {
    let mu = "weight of the proximal term, at least 0";
    let scaffold = "whether gradients are corrected by control variates";
    let mut arguments = stepper::arguments();
    arguments.push(Argument::with_default::<f64, _>(proximal::MU, 0.0, mu));
    arguments.push(Argument::with_default::<bool, _>(SCAFFOLD, false, scaffold));
    arguments
}

/// A round of training: it hands out batches, and steps the optimizer.
#[derive(Debug)]
pub struct Training {
    data: Data,
    stepper: Stepper,
    proximal: Option<Proximal>,
    scaffold: Option<Scaffold>,
    totals: Totals,
    /// Of the batch that was handed out last.
    rows: usize,
}

impl Training {
    /// `shared` are those of the `trained` parameters that the researcher sees.
    pub(crate) fn new<O: Optimizer>(
        args: &Arguments,
        data: Data,
        trained: Vec<Parameter>,
        shared: Vec<Parameter>,
    ) -> Result<Self> {
        let proximal = Proximal::new(args, &trained)?;
        let scaffold = Scaffold::new(args, shared)?;
        let mut stepper = Stepper::new::<O>(args, trained)?;
        stepper.start()?;
        Ok(Self { data, stepper, proximal, scaffold, totals: Totals::default(), rows: 0 })
    }

    /// The next batch; none at the end of the round.
    ///
    /// # Errors
    /// The first mistake of the plan; [`PlanError::Cancelled`] if the round was called off.
    pub fn next_batch(&mut self) -> Result<Option<Batch>> {
        engine::check()?;
        let Some((batch, _)) = self.data.next()? else { return Ok(None) };
        self.rows = batch.rows();
        Ok(Some(batch))
    }

    /// The learning rate of the next step.
    #[must_use]
    pub fn lr(&self) -> f64 {
        self.stepper.rate()
    }

    /// Reports a batch's mean loss, goes backward from it, and takes one [`update`](Self::update).
    ///
    /// # Errors
    /// As [`report`](Self::report).
    pub fn step(&mut self, loss: &Tensor) -> Result<()> {
        self.report(loss)?;
        loss.backward()?;
        self.update()
    }

    /// Corrects the gradients as the aggregator wants it, cuts them, takes one step of the optimizer
    /// and forgets the gradients. They may be of several [`Tensor::backward`].
    ///
    /// # Errors
    /// The first mistake of the plan.
    pub fn update(&mut self) -> Result<()> {
        self.correct()?;
        self.stepper.step()
    }

    /// Corrects the gradients as the aggregator wants it (FedProx, SCAFFOLD), before a step that
    /// the plan takes by itself.
    ///
    /// # Errors
    /// The first mistake of the plan.
    pub fn correct(&mut self) -> Result<()> {
        if let Some(proximal) = &self.proximal {
            proximal.correct()?;
        }
        if let Some(scaffold) = &mut self.scaffold {
            scaffold.correct()?;
        }
        engine::check()
    }

    /// Reports the mean loss of a batch, if the plan takes the step by itself.
    ///
    /// # Errors
    /// The first mistake of the plan; [`PlanError::NonFinite`] if the loss is not finite: nothing
    /// good comes after that.
    pub fn report(&mut self, loss: &Tensor) -> Result<()> {
        let loss = loss.item()?;
        if !loss.is_finite() {
            let step = self.totals.steps() + 1;
            return Err(PlanError::NonFinite(format!("the loss of step {step} is {loss}")));
        }
        self.totals.add("loss", loss, self.rows);
        self.totals.step(self.rows);
        imports::scalars(&[("loss".into(), loss)]);
        Ok(())
    }

    /// Counts a batch that has no loss, such as of a plan that sums.
    #[doc(hidden)]
    pub fn count(&mut self) {
        self.totals.step(self.rows);
    }

    /// Writes what is kept and returns what happened.
    pub(crate) fn finish(self) -> Result<Report> {
        self.stepper.finish()?;
        let mut report = self.totals.report();
        report.metrics.push(("optimizer.lr".into(), self.stepper.last_rate()));
        if let Some(scaffold) = self.scaffold {
            scaffold.finish()?;
        }
        Ok(report)
    }
}
