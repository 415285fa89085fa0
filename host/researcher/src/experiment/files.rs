//! The files of a running experiment.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fedwasm_protocol::{Mode, NodeId};
use fedwasm_record::{
    Error as RecordError, ModelParts, RoundRecord, RoundsEnd, RoundsFile, params_digest,
    read_rounds, uploads, write_history,
};
use fedwasm_trust::Bundle;

use crate::{Breakpoint, Error, History};

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
        let Some(dir) = self.out.as_ref().filter(|_| !receipts.is_empty()) else {
            return Ok(());
        };
        Ok(uploads::keep_receipts(dir, (round, mode), receipts)?)
    }

    /// Writes a breakpoint if asked to.
    pub(super) fn save_breakpoint(&mut self) -> Result<(), Error> {
        if self.file.save_breakpoints { self.write_breakpoint() } else { Ok(()) }
    }

    /// Writes a breakpoint after the rounds that are done.
    pub(super) fn write_breakpoint(&mut self) -> Result<(), Error> {
        let Some(dir) = self.out.clone() else { return Ok(()) };
        let breakpoint = Breakpoint {
            round: self.round,
            random_seed: self.random_seed,
            plan_sha256: self.history.plan.sha256,
            arguments: self.history.arguments.clone(),
            job: self.job.position(),
            aggregator: self.aggregator.state()?,
            history: History { rounds_file: self.rounds_end(), ..self.history.clone() },
            best: self.best.clone(),
        };
        self.rounds_file.as_ref().map_or(Ok(()), RoundsFile::sync)?;
        breakpoint.save(&dir, self.file.keep_breakpoints)?;
        self.job.saved(self.file.keep_breakpoints);
        tracing::debug!("round {}: breakpoint written", self.round);
        Ok(())
    }

    /// Opens the file of the rounds behind those of a breakpoint. One of format 1 has them inside.
    pub(super) fn open_rounds(&mut self) -> Result<(), Error> {
        let Some(dir) = &self.out else { return Ok(()) };
        let file = match self.history.rounds_file.take() {
            Some(end) => RoundsFile::resume(dir, &end)?,
            None => RoundsFile::begin(dir)?,
        };
        self.rounds_file = Some(file);
        self.append_rounds()
    }

    /// Appends the rounds that the file does not have, and forgets all but the newest. One that has yet
    /// to be scored waits.
    pub(super) fn append_rounds(&mut self) -> Result<(), Error> {
        let Some(file) = &mut self.rounds_file else { return Ok(()) };
        let rounds = &mut self.history.rounds;
        let n = file.n_rounds();
        let last = self.round - u32::from(self.is_unscored);
        for record in rounds.iter().filter(|record| record.round > n && record.round <= last) {
            file.append(record)?;
        }
        rounds.drain(..rounds.len().saturating_sub(1));
        Ok(())
    }

    /// Up to where the file has the rounds; none before the first, and without a directory.
    fn rounds_end(&self) -> Option<RoundsEnd> {
        self.rounds_file.as_ref().filter(|file| file.n_rounds() > 0).map(RoundsFile::end)
    }

    /// All rounds, in order.
    pub(super) fn all_rounds(&self) -> Result<Vec<RoundRecord>, Error> {
        let (mut rounds, mut n) = (Vec::new(), 0);
        if let (Some(dir), Some(end)) = (&self.out, self.rounds_end()) {
            (rounds, n) = (read_rounds(dir, Some(&end))?, end.rounds);
        }
        rounds.extend(self.history.rounds.iter().filter(|record| record.round > n).cloned());
        Ok(rounds)
    }

    /// Writes `history.json` without the rounds, unless it was written a moment ago.
    pub(super) fn write_history(&mut self) -> Result<(), Error> {
        let Some(dir) = &self.out else { return Ok(()) };
        if self.written.is_some_and(|at| at.elapsed() < HISTORY_PAUSE) {
            return Ok(());
        }
        let header = self.rounds_end().map(|end| self.history.without_rounds(end));
        write_history(dir, header.as_ref().unwrap_or(&self.history))?;
        self.written = Some(Instant::now());
        Ok(())
    }

    /// Writes the model of the rounds so far, signed with the researcher's key.
    pub(super) fn write_model(&self) -> Result<(), Error> {
        let Some(dir) = self.out.as_ref().filter(|_| !self.history.rounds.is_empty()) else {
            return Ok(());
        };
        let (_, params) = params_digest(self.best.as_ref().unwrap_or(self.job.params()))?;
        let key = self.job.member().map(|member| member.key());
        let sign = key.map(|key| {
            move |json: &[u8]| {
                let bundle = Bundle::sign_bytes(json, key);
                let signing = |error: fedwasm_trust::Error| RecordError::Signing {
                    reason: error.to_string(),
                };
                bundle.map(|bundle| bundle.to_json()).map_err(signing)
            }
        });
        let plan = self.job.options.component.bytes();
        let parts = ModelParts { plan, params: &params, preprocessing: self.job.scales_json() };
        Ok(self.job.model(&self.history).write(dir, parts, sign.as_ref().map(|sign| sign as _))?)
    }

    /// Writes the results so far, for which the history needs all rounds. Without a round there are
    /// none, and what the directory holds of an earlier experiment stays together.
    pub(super) fn write_results(&mut self) -> Result<(), Error> {
        match &self.out {
            Some(dir) if !self.history.rounds.is_empty() => {
                let researcher = self.job.researcher_id().as_str();
                let params = self.best.as_ref().unwrap_or(self.job.params());
                fedwasm_report::write(dir, researcher, params, &self.history)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
