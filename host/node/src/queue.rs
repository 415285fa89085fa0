//! Rounds that wait for those that run: a few of each researcher, who take turns.

use std::collections::VecDeque;

use fedwasm_protocol::ResearcherId;

/// Rounds that wait.
pub(crate) const WAITING_MAX: usize = 32;
/// Rounds of one researcher that wait.
pub(crate) const WAITING_OF_ONE_MAX: usize = 2;

/// Rounds that wait for those that run.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// The researcher with the next turn comes first; all of them have a round.
    turns: VecDeque<(ResearcherId, VecDeque<T>)>,
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("{WAITING_OF_ONE_MAX} of your rounds are already waiting; try again later")]
    OfOne,
    #[error("{WAITING_MAX} rounds are already waiting; try again later")]
    All,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self { turns: VecDeque::new() }
    }

    /// Whether there is room for a round of this researcher.
    pub(crate) fn room(&self, researcher: &ResearcherId) -> Result<(), Full> {
        let of_one = self.turns.iter().find(|(known, _)| known == researcher);
        match of_one.map_or(0, |(_, rounds)| rounds.len()) {
            _ if self.iter().count() >= WAITING_MAX => Err(Full::All),
            WAITING_OF_ONE_MAX.. => Err(Full::OfOne),
            _ => Ok(()),
        }
    }

    /// Takes a round in.
    pub(crate) fn push(&mut self, researcher: &ResearcherId, round: T) -> Result<(), Full> {
        self.room(researcher)?;
        match self.turns.iter_mut().find(|(known, _)| known == researcher) {
            Some((_, rounds)) => rounds.push_back(round),
            None => self.turns.push_back((researcher.clone(), [round].into())),
        }
        Ok(())
    }

    /// Whether a researcher for whom `may` holds waits.
    pub(crate) fn has(&self, may: impl Fn(&ResearcherId) -> bool) -> bool {
        self.turns.iter().any(|(researcher, _)| may(researcher))
    }

    /// The next round of the researchers for whom `may` holds: the oldest of the one who has waited
    /// longest since its last turn.
    pub(crate) fn pop(&mut self, may: impl Fn(&ResearcherId) -> bool) -> Option<T> {
        let at = self.turns.iter().position(|(researcher, _)| may(researcher))?;
        let (researcher, mut rounds) = self.turns.remove(at)?;
        let round = rounds.pop_front();
        if !rounds.is_empty() {
            self.turns.push_back((researcher, rounds));
        }
        round
    }

    /// Drops those that are over.
    pub(crate) fn retain(&mut self, is_waited_for: impl Fn(&T) -> bool) {
        self.turns.iter_mut().for_each(|(_, rounds)| rounds.retain(&is_waited_for));
        self.turns.retain(|(_, rounds)| !rounds.is_empty());
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.turns.iter().flat_map(|(_, rounds)| rounds)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.turns.iter_mut().flat_map(|(_, rounds)| rounds)
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
        let mut queue = Queue::new();
        queue.push(&id("a"), 1).unwrap();
        queue.push(&id("a"), 2).unwrap();
        assert_eq!(queue.push(&id("a"), 3), Err(Full::OfOne));
        queue.push(&id("b"), 4).unwrap();
        queue.push(&id("b"), 5).unwrap();
        queue.push(&id("c"), 6).unwrap();
        let mut got = Vec::new();
        assert!(queue.has(|who| *who == id("c")) && !queue.has(|who| *who == id("d")));
        got.extend(queue.pop(|_| true));
        // A researcher whose round runs does not begin a second one.
        got.extend(queue.pop(|who| *who != id("b")));
        for _ in 0..3 {
            got.extend(queue.pop(|_| true));
        }
        assert_eq!(got, [1, 6, 4, 2, 5]);
        for n in 0..WAITING_MAX / WAITING_OF_ONE_MAX {
            (0..WAITING_OF_ONE_MAX).for_each(|_| queue.push(&id(&format!("r{n}")), n).unwrap());
        }
        assert_eq!(queue.push(&id("x"), 0), Err(Full::All));
        queue.retain(|n| *n != 0);
        queue.push(&id("x"), 9).unwrap();
        assert_eq!(queue.pop(|_| true), Some(1));
    }
}
