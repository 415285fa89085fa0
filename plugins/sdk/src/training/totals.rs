//! Means over batches.

use crate::bindings::exports::fedwasm::training_plan::plan::Report;

/// Sums over batches, weighted by rows, in the order of first occurrence.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    steps: u64,
    rows: u64,
    sums: Vec<(String, f64)>,
}

impl Totals {
    pub(crate) fn add(&mut self, name: &str, mean: f64, rows: usize) {
        let term = mean * rows as f64;
        match self.sums.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += term,
            None => self.sums.push((name.to_owned(), term)),
        }
    }

    pub(crate) fn step(&mut self, rows: usize) {
        self.steps += 1;
        self.rows += rows as u64;
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn report(&self) -> Report {
        let mean = |(name, sum): &(String, f64)| (name.clone(), sum / self.rows as f64);
        let metrics = self.sums.iter().map(mean).collect();
        Report { steps: self.steps, rows: self.rows, metrics }
    }
}
