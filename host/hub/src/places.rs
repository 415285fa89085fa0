//! The open connections and their bounds: each participant has a share and a rate of its own.
//! Connections of a key that is taken off the roster are closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fedwasm_protocol::Participant;
use fedwasm_trust::{Authority, PublicKey};
use tokio::sync::Notify;

/// How soon connections of a revoked key are closed.
const ROSTER_PAUSE: Duration = Duration::from_secs(1);
/// New connections of one participant at once, and in a second from then on.
const BURST_MAX: f64 = 128.0;
const RATE_MAX: f64 = 16.0;

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// In all.
    pub(crate) all: usize,
    /// Of one participant.
    pub(crate) of_one: usize,
}

/// The client that connected.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// The participant of its certificate, and its key; none without certificates.
    pub(crate) who: Option<(Participant, PublicKey)>,
}

/// The open connections.
#[derive(Debug)]
pub(crate) struct Places {
    bounds: Bounds,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    open: HashMap<u64, Guest>,
    /// At most one for each name that ever was on the roster.
    accounts: HashMap<Participant, Account>,
}

#[derive(Debug)]
struct Guest {
    who: Option<(Participant, PublicKey)>,
    end: Arc<Notify>,
}

/// Connections of one participant.
#[derive(Debug)]
struct Account {
    open: usize,
    /// New ones that it may make now, and when that was counted.
    allowance: f64,
    at: Instant,
}

/// One connection among those that are open; counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    end: Arc<Notify>,
}

impl Place {
    /// Resolves once the key behind this connection does not count any more.
    pub(crate) async fn revoked(&self) {
        self.end.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.places.lock();
        let guest = inner.open.remove(&self.number);
        if let Some((who, _)) = guest.and_then(|guest| guest.who)
            && let Some(account) = inner.accounts.get_mut(&who)
        {
            account.open = account.open.saturating_sub(1);
        }
    }
}

impl Places {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a client, or returns the reason for its refusal.
    pub(crate) fn take(self: &Arc<Self>, peer: &Peer, now: Instant) -> Result<Place, String> {
        let mut inner = self.lock();
        let Bounds { all, of_one } = self.bounds;
        if let Some((who, _)) = &peer.who {
            let account = inner.accounts.entry(who.clone());
            let account = account.or_insert(Account { open: 0, allowance: BURST_MAX, at: now });
            let earned = now.saturating_duration_since(account.at).as_secs_f64() * RATE_MAX;
            (account.allowance, account.at) = ((account.allowance + earned).min(BURST_MAX), now);
            if account.allowance < 1.0 {
                return Err(format!("more than {RATE_MAX} new connections a second"));
            }
            // Each attempt is one, or those that are refused would cost nothing.
            account.allowance -= 1.0;
            if account.open >= of_one {
                return Err(format!("it already has {of_one} open connections"));
            }
        }
        if inner.open.len() >= all {
            return Err(format!("all {all} connections are open"));
        }
        if let Some((who, _)) = &peer.who
            && let Some(account) = inner.accounts.get_mut(who)
        {
            account.open += 1;
        }
        let (number, end) = (inner.next, Arc::new(Notify::new()));
        inner.next += 1;
        inner.open.insert(number, Guest { who: peer.who.clone(), end: Arc::clone(&end) });
        Ok(Place { places: Arc::clone(self), number, end })
    }
}

/// Closes the connections of keys that are no longer on the roster.
pub(crate) async fn show_out(places: Arc<Places>, authority: Arc<Authority>) {
    loop {
        tokio::time::sleep(ROSTER_PAUSE).await;
        let Ok(roster) = authority.current_roster() else { continue };
        let keys: HashMap<_, _> =
            roster.current().map(|entry| (&entry.participant, &entry.key)).collect();
        for guest in places.lock().open.values() {
            if let Some((who, key)) = &guest.who
                && keys.get(who) != Some(&key)
            {
                tracing::info!("a connection of {who} is closed: its key is revoked");
                guest.end.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_trust::KeyPair;

    fn places(all: usize, of_one: usize) -> Arc<Places> {
        Arc::new(Places::new(Bounds { all, of_one }))
    }

    fn peer(who: &str) -> Peer {
        let key = KeyPair::generate().unwrap();
        Peer { who: Some((who.parse().unwrap(), key.public().clone())) }
    }

    #[test]
    fn connections_that_are_gone_do_not_count_and_one_member_takes_no_other_s() {
        let (places, now) = (places(6, 4), Instant::now());
        let (a, b) = (peer("node-a"), peer("node-b"));
        let held: Vec<Place> = (0..4).map(|_| places.take(&a, now).unwrap()).collect();
        assert!(places.take(&a, now).unwrap_err().contains("it already has 4 open connections"));
        let of_b = [(); 2].map(|()| places.take(&b, now).unwrap());
        assert!(places.take(&b, now).unwrap_err().contains("all 6 connections are open"));
        drop(held);
        assert_eq!(places.lock().open.len(), 2);
        drop(places.take(&b, now).unwrap());
        drop(of_b);
        assert_eq!(places.lock().open.len(), 0);
    }

    #[test]
    fn a_flood_of_new_connections_is_of_its_participant_alone() {
        let (places, mut now) = (places(1_000, 16), Instant::now());
        let (flood, good) = (peer("node-a"), peer("node-b"));
        let mut let_in = 0;
        // 400 a second for ten seconds, each closed at once; the other one connects every second.
        for n in 0..4_000 {
            now += Duration::from_micros(2_500);
            let_in += usize::from(places.take(&flood, now).is_ok());
            if n % 400 == 0 {
                drop(places.take(&good, now).unwrap());
            }
        }
        assert!((128..=128 + 161).contains(&let_in), "{let_in}");
        // A client that pauses is admitted again.
        now += Duration::from_secs(1);
        assert!(places.take(&flood, now).is_ok());
    }
}
