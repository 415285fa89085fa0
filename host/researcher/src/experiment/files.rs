//! The files of a running experiment.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fedwasm_protocol::{Mode, NodeId};
use fedwasm_record::{params_digest, uploads, write_history};

use crate::{Breakpoint, Error};

use super::Experiment;

/// How often `history.json` is updated during rounds.
const HISTORY_PAUSE: Duration = Duration::from_secs(1);

impl Experiment {
    /// Keeps the parameters of this round, if asked to.
    pub(super) fn keep_params(&self) -> Result<(), Error> {
        let (Some(dir), Some(keep)) = (&self.out, self.file.keep_params) else { return Ok(()) };
        let (_, bytes) = params_digest(self.job.params())?;
        Ok(uploads::keep_params(dir, self.round, &bytes, keep)?)
    }

    pub(crate) fn keep_receipts(
        &self,
        round: u32,
        mode: Mode,
        receipts: &BTreeMap<NodeId, Vec<u8>>,
    ) -> Result<(), Error> {
        let Some(dir) = &self.out else { return Ok(()) };
        for (node, signed) in receipts {
            uploads::keep_receipt(dir, (round, node, mode), signed)?;
        }
        Ok(())
    }

    /// Writes a breakpoint if asked to.
    pub(super) fn save_breakpoint(&mut self) -> Result<(), Error> {
        let Some(dir) = self.out.clone().filter(|_| self.file.save_breakpoints) else {
            return Ok(());
        };
        let breakpoint = Breakpoint {
            round: self.round,
            random_seed: self.random_seed,
            plan_sha256: self.history.plan.sha256,
            arguments: self.history.arguments.clone(),
            job: self.job.position(),
            aggregator: self.aggregator.state()?,
            history: self.history.clone(),
        };
        breakpoint.save(&dir, self.file.keep_breakpoints)?;
        self.job.saved(self.file.keep_breakpoints);
        tracing::debug!("round {}: breakpoint written", self.round);
        Ok(())
    }

    /// Writes `history.json`, unless it was written a moment ago.
    pub(super) fn write_history(&mut self) -> Result<(), Error> {
        let Some(dir) = &self.out else { return Ok(()) };
        if self.written.is_some_and(|at| at.elapsed() < HISTORY_PAUSE) {
            return Ok(());
        }
        write_history(dir, &self.history)?;
        self.written = Some(Instant::now());
        Ok(())
    }

    /// Writes the results so far. Without a round there are none, and what the
    /// directory holds of an earlier experiment stays together.
    pub(super) fn write_results(&mut self) -> Result<(), Error> {
        match &self.out {
            Some(dir) if !self.history.rounds.is_empty() => {
                let researcher = self.job.researcher_id().as_str();
                fedwasm_report::write(dir, researcher, self.job.params(), &self.history)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
