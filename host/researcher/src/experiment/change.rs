//! An experiment that goes on with other arguments.

use std::time::Duration;

use fedwasm_record::carried;

use crate::experiment::noise::dressed;
use crate::experiment::resume::{arguments, differences, may_change, sentence};
use crate::experiment::watched;
use crate::{Difference, Error, Experiment, ExperimentFile, History};

impl Experiment {
    /// Continues with another file from the next round on: other training arguments,
    /// another aggregator or strategy, other deadlines and numbers of rounds (Fed-BioMed's
    /// setters). The differences go into the history. An aggregator of the caller's own stays; the
    /// state of the file's is kept if the method is the same, otherwise the new one starts afresh.
    ///
    /// # Errors
    /// [`Error::Change`] if something else differs, or if nodes would have to keep other tensors;
    /// then nothing has changed.
    pub async fn change(&mut self, file: ExperimentFile) -> Result<(), Error> {
        let own = self.is_own.then(|| self.aggregator.name());
        let arguments = arguments(&file, own, self.given.as_ref());
        let differences = differences(&self.history.arguments, &arguments);
        let fixed = differences.iter().filter(|difference| !may_change(&difference.name));
        let fixed: Vec<&Difference> = fixed.collect();
        if !fixed.is_empty() || file.plan != self.file.plan {
            let reason = match fixed.is_empty() {
                true => format!("the plan is {}", self.file.plan.display()),
                false => sentence(&fixed),
            };
            return Err(Error::Change { reason });
        }
        let rounds = self.all_rounds()?;
        let aggregator = match self.is_own || file.aggregator == self.file.aggregator {
            true => None,
            false => {
                let mut new = dressed(&file, self.noise.as_ref(), file.aggregator.build())?;
                let state = self.aggregator.state()?;
                if new.name() == self.aggregator.name() {
                    new.restore(&state)?;
                } else if let Some(state) = carried(file.privacy.as_ref(), &state)? {
                    new.restore(&state)?;
                }
                Some(new)
            }
        };
        let told =
            aggregator.as_ref().map_or_else(|| self.aggregator.arguments(), |a| a.arguments());
        self.job.change(file.training_in(self.round + 1), told).await?;
        let deadline = Duration::from_secs(file.strategy.round_deadline_s);
        let patience = Duration::from_secs(file.strategy.patience_s);
        self.job.set_rounds(file.rounds, deadline, patience);
        if let Some(aggregator) = aggregator {
            self.aggregator = aggregator;
        }
        let history = self.history.clone().changed(self.round, differences, arguments);
        self.history = History { rounds_max: file.rounds.max(self.round), ..history };
        self.file = file;
        self.watched = watched(&self.file, &rounds);
        self.stopped = self.is_enough();
        Ok(())
    }
}
