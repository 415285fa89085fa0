//! Rounds that wait for those that run: a few of each researcher, who take turns.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use fedwasm_protocol::ResearcherId;
use tokio::sync::Notify;

/// Rounds that wait.
pub(crate) const WAITING_MAX: usize = 32;
/// Rounds of one researcher that wait.
pub(crate) const WAITING_OF_ONE_MAX: usize = 2;

/// Rounds that wait for the one that runs.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// Who has a turn next comes first; nobody is in it without a round.
    turns: Mutex<VecDeque<(ResearcherId, VecDeque<T>)>>,
    arrived: Notify,
}

/// There is no room for another round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("{WAITING_OF_ONE_MAX} of your rounds wait already; try again later")]
    OfOne,
    #[error("{WAITING_MAX} rounds wait already; try again later")]
    All,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self { turns: Mutex::default(), arrived: Notify::new() }
    }

    /// Takes a round in.
    pub(crate) fn push(&self, researcher: &ResearcherId, round: T) -> Result<(), Full> {
        let mut turns = self.turns();
        if turns.iter().map(|(_, rounds)| rounds.len()).sum::<usize>() >= WAITING_MAX {
            return Err(Full::All);
        }
        match turns.iter_mut().find(|(known, _)| known == researcher) {
            Some((_, rounds)) if rounds.len() >= WAITING_OF_ONE_MAX => return Err(Full::OfOne),
            Some((_, rounds)) => rounds.push_back(round),
            None => turns.push_back((researcher.clone(), [round].into())),
        }
        drop(turns);
        self.arrived.notify_one();
        Ok(())
    }

    /// Resolves when a round arrives after the last look; to be made before the next one.
    pub(crate) fn arrived(&self) -> impl Future<Output = ()> {
        self.arrived.notified()
    }

    /// Whether somebody waits of whom `may` holds.
    pub(crate) fn has(&self, may: impl Fn(&ResearcherId) -> bool) -> bool {
        self.turns().iter().any(|(researcher, _)| may(researcher))
    }

    /// The next round of those of whom `may` holds: the oldest of the researcher who has waited
    /// longest since its last turn.
    pub(crate) fn try_pop(&self, may: impl Fn(&ResearcherId) -> bool) -> Option<T> {
        let mut turns = self.turns();
        let at = turns.iter().position(|(researcher, _)| may(researcher))?;
        let (researcher, mut rounds) = turns.remove(at)?;
        let round = rounds.pop_front();
        if !rounds.is_empty() {
            turns.push_back((researcher, rounds));
        }
        round
    }

    /// Drops those that are over.
    pub(crate) fn retain(&self, is_waited_for: impl Fn(&T) -> bool) {
        let mut turns = self.turns();
        turns.iter_mut().for_each(|(_, rounds)| rounds.retain(&is_waited_for));
        turns.retain(|(_, rounds)| !rounds.is_empty());
    }

    fn turns(&self) -> MutexGuard<'_, VecDeque<(ResearcherId, VecDeque<T>)>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: &str) -> ResearcherId {
        id.parse().unwrap()
    }

    #[test]
    fn researchers_take_turns_and_none_fills_the_queue() {
        let queue = Queue::new();
        queue.push(&id("a"), 1).unwrap();
        queue.push(&id("a"), 2).unwrap();
        assert_eq!(queue.push(&id("a"), 3), Err(Full::OfOne));
        queue.push(&id("b"), 4).unwrap();
        queue.push(&id("b"), 5).unwrap();
        queue.push(&id("c"), 6).unwrap();
        let mut got = Vec::new();
        assert!(queue.has(|who| *who == id("c")) && !queue.has(|who| *who == id("d")));
        got.extend(queue.try_pop(|_| true));
        // Who runs already does not begin a second one.
        got.extend(queue.try_pop(|who| *who != id("b")));
        for _ in 0..3 {
            got.extend(queue.try_pop(|_| true));
        }
        assert_eq!(got, [1, 6, 4, 2, 5]);
        for n in 0..WAITING_MAX / WAITING_OF_ONE_MAX {
            (0..WAITING_OF_ONE_MAX).for_each(|_| queue.push(&id(&format!("r{n}")), n).unwrap());
        }
        assert_eq!(queue.push(&id("x"), 0), Err(Full::All));
        queue.retain(|n| *n != 0);
        queue.push(&id("x"), 9).unwrap();
        assert_eq!(queue.try_pop(|_| true), Some(1));
    }

    #[tokio::test]
    async fn whoever_waits_gets_what_arrives() {
        let queue = std::sync::Arc::new(Queue::new());
        let waits = tokio::spawn({
            let queue = std::sync::Arc::clone(&queue);
            async move {
                loop {
                    let arrived = queue.arrived();
                    if let Some(round) = queue.try_pop(|_| true) {
                        return round;
                    }
                    arrived.await;
                }
            }
        });
        tokio::task::yield_now().await;
        queue.push(&id("a"), 1).unwrap();
        assert_eq!(waits.await.unwrap(), 1);
    }
}
