//! A round of training: batches in, steps out.

use crate::adapter::parameters;
use crate::bindings::exports::fedwasm::training_plan::plan::Report;
use crate::bindings::fedwasm::training_plan::monitor;
use crate::optimizers::{KEEP_STATE, Stepper};
use crate::proximal::Proximal;
use crate::scaffold::Scaffold;
use crate::{Arguments, Batch, Optimizer, PlanError, Result, TrainingPlan, session};

/// A round of training: it hands out batches, and steps the optimizer.
#[derive(Debug)]
pub struct Training<P: TrainingPlan> {
    optimizer: Stepper<P::Optimizer>,
    keeps_state: bool,
    proximal: Option<Proximal>,
    scaffold: Option<Scaffold>,
    totals: Totals,
    /// Rows of the batch that was handed out last.
    rows: u32,
}

impl<P: TrainingPlan> Training<P> {
    pub(crate) fn new(args: &Arguments, plan: &mut P, shared: &[bool]) -> Result<Self> {
        let rule = P::Optimizer::from_arguments(args)?;
        let parameters = parameters(plan);
        let mut optimizer = Stepper::new(rule, &parameters);
        let keeps_state = args.boolean(KEEP_STATE)?;
        if keeps_state {
            optimizer.read_state()?;
        }
        let proximal = Proximal::new(args, &parameters)?;
        let scaffold = Scaffold::new(args, &parameters, shared)?;
        let totals = Totals::default();
        Ok(Self { optimizer, keeps_state, proximal, scaffold, totals, rows: 0 })
    }

    /// The next batch; none at the end of the round.
    ///
    /// # Errors
    /// [`PlanError::Cancelled`] if the round was called off.
    pub fn next_batch(&mut self) -> Result<Option<Batch>> {
        let Some((batch, _, rows)) = session::next_batch()? else { return Ok(None) };
        self.rows = rows;
        Ok(Some(batch))
    }

    /// The learning rate of the optimizer.
    #[must_use]
    pub fn lr(&self) -> f32 {
        self.optimizer.lr()
    }

    /// Corrects the gradients as the aggregator wants it (FedProx, SCAFFOLD), takes one step of the
    /// optimizer, sets the gradients back to zero and reports the batch's mean loss.
    ///
    /// # Errors
    /// As [`report`](Self::report).
    pub fn step(&mut self, plan: &mut P, loss: f32) -> Result<()> {
        self.report(loss)?;
        self.correct(plan);
        self.optimizer.step(&mut parameters(plan));
        Ok(())
    }

    /// Corrects the gradients as the aggregator wants it (FedProx, SCAFFOLD), before a step that
    /// the plan takes by itself.
    pub fn correct(&mut self, plan: &mut P) {
        let mut parameters = parameters(plan);
        if let Some(proximal) = &self.proximal {
            proximal.correct(&mut parameters);
        }
        if let Some(scaffold) = &mut self.scaffold {
            scaffold.correct(&mut parameters);
        }
    }

    /// Reports the mean loss of a batch, if the plan takes the step by itself.
    ///
    /// # Errors
    /// [`PlanError::NonFinite`] if the loss is not finite: nothing good comes after that.
    pub fn report(&mut self, loss: f32) -> Result<()> {
        if !loss.is_finite() {
            let step = self.totals.steps + 1;
            return Err(PlanError::NonFinite(format!("the loss of step {step} is {loss}")));
        }
        self.totals.add("loss", loss, self.rows);
        self.totals.step(self.rows);
        // A full monitor is no reason to stop training.
        let _ = monitor::scalars(&[("loss".into(), f64::from(loss))]);
        Ok(())
    }

    /// Writes what is kept and returns what happened.
    pub(crate) fn finish(self) -> Result<Report> {
        if self.keeps_state {
            self.optimizer.write_state()?;
        }
        let mut report = self.totals.report();
        report.metrics.push(("optimizer.lr".into(), f64::from(self.optimizer.lr())));
        if let Some(scaffold) = self.scaffold {
            scaffold.finish()?;
        }
        Ok(report)
    }
}

/// Sums over batches, weighted by rows, in the order of first occurrence.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    steps: u64,
    rows: u64,
    sums: Vec<(&'static str, f64)>,
}

impl Totals {
    pub(crate) fn add(&mut self, name: &'static str, mean: f32, rows: u32) {
        let term = f64::from(mean) * f64::from(rows);
        match self.sums.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += term,
            None => self.sums.push((name, term)),
        }
    }

    pub(crate) fn step(&mut self, rows: u32) {
        self.steps += 1;
        self.rows += u64::from(rows);
    }

    pub(crate) fn report(&self) -> Report {
        let mean = |(name, sum): &(&str, f64)| ((*name).into(), sum / self.rows as f64);
        let metrics = self.sums.iter().map(mean).collect();
        Report { steps: self.steps, rows: self.rows, metrics }
    }
}
