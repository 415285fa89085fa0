//! Handshakes that are under way. Before a client is identified, its address counts, and a silent
//! client makes room for a new one.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// The most handshakes at once of one address. The oldest of the address with the most is hung up
/// on to let another one in.
const HANDSHAKES_OF_ONE_MAX: usize = 256;

/// Handshakes that are under way.
#[derive(Debug)]
pub(crate) struct Handshakes {
    max: usize,
    /// Of each address, the oldest first.
    pending: Mutex<HashMap<IpAddr, VecDeque<(u64, AbortHandle)>>>,
}

impl Handshakes {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, pending: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, VecDeque<(u64, AbortHandle)>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one, and gives up an older one if there are too many.
    pub(crate) fn begin(&self, ip: IpAddr, number: u64, start: impl FnOnce() -> AbortHandle) {
        let mut pending = self.lock();
        let all: usize = pending.values().map(VecDeque::len).sum();
        let own = pending.get(&ip).map_or(0, VecDeque::len);
        let crowded = match () {
            () if own >= HANDSHAKES_OF_ONE_MAX.min(self.max) => Some(ip),
            () if all >= self.max => {
                pending.iter().max_by_key(|(_, own)| own.len()).map(|(ip, _)| *ip)
            }
            () => None,
        };
        if let Some(ip) = crowded
            && let Some(own) = pending.get_mut(&ip)
        {
            if let Some((_, oldest)) = own.pop_front() {
                oldest.abort();
            }
            if own.is_empty() {
                pending.remove(&ip);
            }
        }
        // Under the lock, so that none ends before it is known.
        pending.entry(ip).or_default().push_back((number, start()));
    }

    pub(crate) fn end(&self, ip: IpAddr, number: u64) {
        let mut pending = self.lock();
        if let Some(own) = pending.get_mut(&ip) {
            own.retain(|(known, _)| *known != number);
            if own.is_empty() {
                pending.remove(&ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_keeps_silent_makes_room_for_others() {
        let handshakes = Handshakes::new(8);
        let silent = || tokio::spawn(std::future::pending::<()>()).abort_handle();
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        handshakes.begin(ip(1), 0, silent);
        for number in 1..100 {
            handshakes.begin(ip(2), number, silent);
        }
        // The flood throws out its own.
        assert_eq!(handshakes.lock()[&ip(1)].len(), 1);
        assert_eq!(handshakes.lock()[&ip(2)].len(), 7);
        assert_eq!(handshakes.lock()[&ip(2)].front().unwrap().0, 93);
        handshakes.end(ip(1), 0);
        handshakes.end(ip(2), 95);
        assert_eq!(handshakes.lock().len(), 1);
        assert_eq!(handshakes.lock()[&ip(2)].len(), 6);
    }
}
