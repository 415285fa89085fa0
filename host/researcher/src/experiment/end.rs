//! How an experiment ends: with a result, or without one.

use std::time::Duration;

use fedwasm_record::{FINISHED, RUNNING};

use crate::{Error, Experiment, ExperimentResult};

/// How long the repository may take to learn that a failed experiment is over.
const ABANDON_TIME_MAX: Duration = Duration::from_secs(1);

impl Experiment {
    /// Leaves, and writes the files of a finished experiment.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn finish(mut self) -> Result<ExperimentResult, Error> {
        self.history.status = match &self.stopped {
            Some(reason) => format!("stopped: {reason}"),
            None => FINISHED.into(),
        };
        if let Err(error) = self.job.finish().await {
            tracing::warn!("the repository could not be told that the experiment is over: {error}");
        }
        let written = self.take_rounds();
        let written = written.and_then(|()| self.write_results());
        let written = written.and_then(|()| self.write_model());
        let Self { job, history, best, .. } = self;
        let (mut params, mut params_sha256) = (job.params().clone(), job.params_sha256());
        job.close().await;
        written?;
        let last = history.rounds.last();
        let nodes = last.map(|round| round.nodes.keys().cloned().collect()).unwrap_or_default();
        if let Some((kept, record)) = best.zip(history.best.as_ref()) {
            (params, params_sha256) = (kept, record.params_sha256);
        }
        let evaluation = history.kept().and_then(|round| round.evaluation.clone());
        Ok(ExperimentResult { params, params_sha256, nodes, evaluation, history })
    }

    /// Writes the files of the rounds so far, and stays ready for further ones: what a caller wants
    /// who looks at results between rounds.
    ///
    /// # Errors
    /// [`Error::Report`], [`Error::Record`].
    pub fn save(&mut self) -> Result<(), Error> {
        let is_done = self.round >= self.file.rounds;
        self.history.status = match &self.stopped {
            Some(reason) => format!("stopped: {reason}"),
            None if is_done => FINISHED.into(),
            None => RUNNING.into(),
        };
        self.take_rounds()?;
        let written = self.write_results().and_then(|()| self.write_model());
        // `history.json` has all rounds now; while it runs on, the file of the rounds has them.
        self.written = None;
        self.append_rounds()?;
        written
    }

    /// Takes all rounds into the history.
    fn take_rounds(&mut self) -> Result<(), Error> {
        self.history.rounds = self.all_rounds()?;
        Ok(())
    }

    /// Leaves without a result; the results so far are written all the same.
    pub async fn abandon(mut self, error: &Error) {
        self.history.status = match error {
            Error::Cancelled => "cancelled".into(),
            error => format!("failed: {error}"),
        };
        if let Err(error) = self.take_rounds().and_then(|()| self.write_results()) {
            tracing::warn!("the results so far cannot be written: {error}");
        }
        // Its blobs are no longer needed; a resume stores them again.
        let finish = tokio::time::timeout(ABANDON_TIME_MAX, self.job.finish()).await;
        if !matches!(finish, Ok(Ok(()))) {
            tracing::warn!("the repository could not be told that the experiment is over");
        }
        self.job.close().await;
    }
}
