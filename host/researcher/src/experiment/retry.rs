//! Which failures are worth another try, and how long is waited before it: for what is away within
//! the patience, for everything else that may pass as often as the strategy says.

use std::collections::BTreeSet;
use std::time::Duration;

use fedwasm_protocol::{NodeId, Reason};

use crate::{AggregateError, Error, Event, Events, Experiment, StrategyArgs};

/// The pause before what is away is tried again, which doubles, and the longest. Nodes that are
/// back end it.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// Whether a failure is one of something that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    /// It is not.
    No,
    /// It may be back at any time.
    Away,
    /// It was waited for already, for as long as the patience says.
    WaitedFor,
}

/// The tries of a step.
#[derive(Debug)]
pub(crate) struct Trial {
    /// The retries that are left.
    left: u32,
    retry_pause: Duration,
    /// The rest of the patience.
    patience: Duration,
    patience_s: u64,
    pause: Duration,
    /// The reason that was told last.
    told: Option<String>,
}

impl Trial {
    pub(crate) fn new(strategy: &StrategyArgs) -> Self {
        let StrategyArgs { retries, retry_pause_s, patience_s, .. } = *strategy;
        Self {
            left: retries,
            retry_pause: Duration::from_secs(retry_pause_s),
            patience: Duration::from_secs(patience_s),
            patience_s,
            pause: PAUSE,
            told: None,
        }
    }

    /// The same for what was never reached: only retries are left.
    pub(crate) fn without_patience(self) -> Self {
        Self { patience: Duration::ZERO, patience_s: 0, ..self }
    }

    /// A step is done: what was away is back.
    pub(crate) fn went_well(&mut self) {
        self.patience = Duration::from_secs(self.patience_s);
        (self.pause, self.told) = (PAUSE, None);
    }

    /// The pause before another try, if a failure is worth one; tells of it.
    ///
    /// # Errors
    /// The failure, if it is not.
    pub(crate) fn again(
        &mut self,
        round: u32,
        error: Error,
        outage: Outage,
        events: Events<'_>,
    ) -> Result<Duration, Error> {
        if outage == Outage::Away && !self.patience.is_zero() {
            let reason = error.to_string();
            if self.told.as_ref() != Some(&reason) {
                let left_s = self.patience.as_secs();
                events(Event::Waiting { round, reason: reason.clone(), left_s });
                self.told = Some(reason);
            }
            let pause = self.pause.min(self.patience);
            self.patience -= pause;
            self.pause = (self.pause * 2).min(PAUSE_MAX);
            return Ok(pause);
        }
        if self.left > 0 && is_worth_a_retry(&error) {
            self.left -= 1;
            events(Event::Retry { round, reason: error.to_string(), left: self.left });
            return Ok(self.retry_pause);
        }
        let is_away = matches!(error, Error::Transport(_) | Error::BrokerLost { .. });
        Err(match self.patience_s {
            patience_s @ 1.. if is_away && outage != Outage::No => {
                Error::Outage { patience_s, source: Box::new(error) }
            }
            _ => error,
        })
    }
}

impl Experiment {
    /// Waits before something is tried again that failed.
    ///
    /// # Errors
    /// The failure, if it is not worth another try; [`Error::Cancelled`].
    pub(super) async fn again(
        &mut self,
        round: u32,
        error: Error,
        trial: &mut Trial,
        events: Events<'_>,
    ) -> Result<(), Error> {
        let outage = self.outage(&error);
        let pause = trial.again(round, error, outage, events)?;
        self.job.wait_for_nodes(pause).await?;
        // Whatever is tried again may ask those that are back, scores and scales, too.
        self.job.take_back(round, events);
        Ok(())
    }

    /// Whether something is away that may be back.
    pub(super) fn outage(&self, error: &Error) -> Outage {
        let (back, here) = (self.job.may_return(), self.job.nodes());
        let short = |is_short: bool| if is_short { Outage::Away } else { Outage::No };
        match error {
            Error::NotEnoughNodes { got, min, refused, .. } => {
                // One that was missing may be back by now.
                let returned = refused.iter().map(|(node, ..)| node);
                let returned = returned.filter(|node| here.contains(node)).cloned();
                let able: BTreeSet<NodeId> = back.into_iter().chain(returned).collect();
                let able = self.file.strategy.eligible(&able.into_iter().collect::<Vec<_>>());
                short(got + able.len() >= *min)
            }
            Error::PartMissing { missing, .. } => {
                let is_able = |node: &NodeId| back.contains(node) || here.contains(node);
                short(missing.iter().all(|(node, _)| is_able(node)))
            }
            Error::NotEnoughSamples { .. }
            | Error::Aggregation(AggregateError::TooFewNodes { .. }) => short(!back.is_empty()),
            error => outage_of_hub(error),
        }
    }
}

/// Whether broker or repository are away. A running job waits for both by itself.
fn outage_of_hub(error: &Error) -> Outage {
    match error {
        Error::BrokerLost { .. } | Error::Outage { .. } => Outage::WaitedFor,
        Error::Transport(error) if error.is_away() => Outage::WaitedFor,
        Error::Transport(error) if error.is_passing() => Outage::Away,
        _ => Outage::No,
    }
}

/// The same while a job starts, which waits for nothing by itself.
pub(crate) fn outage_at_start(error: &Error) -> Outage {
    match outage_of_hub(error) {
        Outage::WaitedFor => Outage::Away,
        outage => outage,
    }
}

/// Whether nodes that come back, or broker and repository, could make it good.
fn is_worth_a_retry(error: &Error) -> bool {
    if let Error::Transport(error) = error {
        return error.is_passing();
    }
    // A node that has not approved the plan does not do so because it is asked again.
    if let Error::NotEnoughNodes { refused, .. } = error
        && !refused.is_empty()
        && refused.iter().all(|(_, reason, _)| *reason == Reason::NotApproved)
    {
        return false;
    }
    matches!(
        error,
        Error::BrokerLost { .. }
            | Error::PartMissing { .. }
            | Error::NotEnoughNodes { .. }
            | Error::NotEnoughSamples { .. }
            | Error::Aggregation(AggregateError::TooFewNodes { .. })
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Error {
        Error::BrokerLost { reason: "x".into() }
    }

    fn short() -> Error {
        let (refused, strangers) = (Vec::new(), Vec::new());
        Error::NotEnoughNodes { got: 1, min: 2, when: "are there", refused, strangers }
    }

    #[test]
    fn what_is_away_is_waited_for_before_retries_are_used() {
        let strategy = StrategyArgs { patience_s: 20, retries: 1, ..StrategyArgs::default() };
        let mut trial = Trial::new(&strategy);
        let mut told = Vec::new();
        let mut events = |event: Event| {
            told.push(match event {
                Event::Waiting { left_s, .. } => format!("waiting {left_s}"),
                Event::Retry { left, .. } => format!("retry {left}"),
                event => format!("{event:?}"),
            });
        };
        let mut pauses = Vec::new();
        while let Ok(pause) = trial.again(1, short(), Outage::Away, &mut events) {
            pauses.push(pause.as_secs());
        }
        // Twenty seconds, and the pause of the retry.
        assert_eq!(pauses, [1, 2, 4, 8, 5, 5]);
        assert_eq!(told, ["waiting 20", "retry 0"]);
    }

    #[test]
    fn what_was_waited_for_ends_the_run_and_says_so() {
        let strategy = StrategyArgs { patience_s: 20, ..StrategyArgs::default() };
        let mut trial = Trial::new(&strategy);
        let error = trial.again(1, lost(), Outage::WaitedFor, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("waited for 20 s"), "{error}");
        let error = trial.again(1, short(), Outage::No, &mut |_| {}).unwrap_err();
        assert!(matches!(error, Error::NotEnoughNodes { .. }));
        let strategy = StrategyArgs { patience_s: 0, ..strategy };
        let error = Trial::new(&strategy).again(1, lost(), Outage::Away, &mut |_| {}).unwrap_err();
        assert!(matches!(error, Error::BrokerLost { .. }));
    }
}
