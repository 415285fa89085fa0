//! Rounds that wait for the one that runs: a few of each researcher, who take turns.

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

    /// The next round, once there is one: the oldest of the researcher who has waited longest
    /// since its last turn.
    pub(crate) async fn pop(&self) -> T {
        loop {
            // Registered before the look, so that none is missed.
            let arrived = self.arrived.notified();
            if let Some(round) = self.try_pop() {
                return round;
            }
            arrived.await;
        }
    }

    fn try_pop(&self) -> Option<T> {
        let mut turns = self.turns();
        let (researcher, mut rounds) = turns.pop_front()?;
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

    #[tokio::test]
    async fn researchers_take_turns_and_none_fills_the_queue() {
        let queue = Queue::new();
        queue.push(&id("a"), 1).unwrap();
        queue.push(&id("a"), 2).unwrap();
        assert_eq!(queue.push(&id("a"), 3), Err(Full::OfOne));
        queue.push(&id("b"), 4).unwrap();
        queue.push(&id("b"), 5).unwrap();
        queue.push(&id("c"), 6).unwrap();
        let mut got = Vec::new();
        for _ in 0..5 {
            got.push(queue.pop().await);
        }
        assert_eq!(got, [1, 4, 6, 2, 5]);
        for n in 0..WAITING_MAX / WAITING_OF_ONE_MAX {
            (0..WAITING_OF_ONE_MAX).for_each(|_| queue.push(&id(&format!("r{n}")), n).unwrap());
        }
        assert_eq!(queue.push(&id("x"), 0), Err(Full::All));
        queue.retain(|n| *n != 0);
        queue.push(&id("x"), 9).unwrap();
        let next = tokio::time::timeout(std::time::Duration::from_millis(1), queue.pop()).await;
        assert_eq!(next.unwrap(), 1);
    }

    #[tokio::test]
    async fn whoever_waits_gets_what_arrives() {
        let queue = std::sync::Arc::new(Queue::new());
        let waits = tokio::spawn({
            let queue = std::sync::Arc::clone(&queue);
            async move { (queue.pop().await, queue.pop().await) }
        });
        tokio::task::yield_now().await;
        queue.push(&id("a"), 1).unwrap();
        queue.push(&id("a"), 2).unwrap();
        assert_eq!(waits.await.unwrap(), (1, 2));
    }
}
