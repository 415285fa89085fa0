//! Experiments over a connection of the caller's own.

use fedwasm_transport::LinkOptions;
use tokio::sync::watch;

use crate::{Error, Events, Experiment, ExperimentOptions};

impl Experiment {
    /// As [`Experiment::start`], over a connection of the caller's own instead of one to the
    /// addresses in the file: another network, such as one in memory.
    ///
    /// # Errors
    /// As [`Experiment::start`].
    pub async fn start_on(
        link: LinkOptions,
        options: ExperimentOptions,
        cancelled: watch::Receiver<bool>,
        events: Events<'_>,
    ) -> Result<Self, Error> {
        let aggregator = options.file.aggregator.build();
        Self::start_as(options, (aggregator, false), Some(link), cancelled, events).await
    }
}
