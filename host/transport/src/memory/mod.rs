//! A network in this process: messages and blobs without a socket, for simulations and for
//! programs that are several participants at once. It keeps the promises of `crate::port`, in a
//! total order, and never waits for anything outside. It trusts the process: each client is the
//! participant that it names.

mod blobs;
mod messages;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fedwasm_protocol::Participant;
use fedwasm_trust::{Authority, Identity};

use self::blobs::Shelf;
use self::messages::Exchange;
use crate::port::Blobs as _;
use crate::{Error, LinkOptions, Repository};

pub use self::blobs::MemoryBlobs;
pub use self::messages::MemoryMessages;

/// How the network is called in errors.
const NAME: &str = "memory";

/// The network of one federation. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MemoryHub {
    authority: Arc<Authority>,
    lines: Arc<Lines>,
    exchange: Arc<Mutex<Exchange>>,
    shelf: Arc<Mutex<Shelf>>,
}

/// Participants whose line is cut.
#[derive(Debug, Default)]
struct Lines(Mutex<BTreeSet<String>>);

impl MemoryHub {
    /// An empty network, which keeps at most `bytes_max` bytes of blobs.
    pub fn new(authority: Arc<Authority>, bytes_max: u64) -> Self {
        let (lines, exchange) = (Arc::default(), Arc::default());
        Self { authority, lines, exchange, shelf: Arc::new(Mutex::new(Shelf::new(bytes_max))) }
    }

    /// The network for messages.
    pub fn messages(&self) -> MemoryMessages {
        MemoryMessages::new(self.clone())
    }

    /// The network for blobs, as this participant sees it.
    pub fn blobs(&self, participant: Participant) -> MemoryBlobs {
        MemoryBlobs::new(self.clone(), participant)
    }

    /// Puts a participant on the roster, and returns its connection settings.
    ///
    /// # Errors
    /// [`Error::Repository`] if another one has its name, [`Error::Trust`].
    pub async fn join(&self, identity: Identity) -> Result<LinkOptions, Error> {
        let blobs = self.blobs(identity.participant.clone());
        let member = if identity.is_member() {
            identity.member()?
        } else {
            let membership = blobs.enrol(&identity).await?;
            identity.join(&membership)?
        };
        let repository = Repository::over(Arc::new(blobs));
        repository.refresh_roster(&member).await?;
        Ok(LinkOptions::new(Arc::new(self.messages()), Arc::new(member), repository))
    }

    /// Cuts the line of a participant: its connections are lost, and it reaches nothing.
    pub fn cut(&self, participant: &Participant) {
        let name = participant.to_string();
        self.lines.lock().insert(name.clone());
        lock(&self.exchange).cut(&name);
    }

    /// Mends the line of a participant: its connections come back.
    pub fn mend(&self, participant: &Participant) {
        let name = participant.to_string();
        self.lines.lock().remove(&name);
        lock(&self.exchange).mend(&name);
    }

    /// Deletes the blobs of finished experiments.
    pub fn prune(&self) {
        lock(&self.shelf).prune();
    }
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        lock(&self.0)
    }

    fn is_cut(&self, name: &str) -> bool {
        self.lock().contains(name)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Topics;
    use crate::conformance::{self, BlobsUnderTest, Faulty, MessagesUnderTest};
    use crate::port::{Blobs, Messages};

    const ROOM: u64 = 16 << 20;

    struct Net {
        dir: tempfile::TempDir,
        hub: MemoryHub,
    }

    fn net() -> Net {
        let dir = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::create(&dir.path().join("net"), "test").unwrap());
        Net { dir, hub: MemoryHub::new(authority, ROOM) }
    }

    impl MessagesUnderTest for Net {
        fn messages(&self, _: &Participant) -> Arc<dyn Messages> {
            Arc::new(self.hub.messages())
        }

        fn topics(&self) -> Topics {
            Topics::new(&self.hub.authority.federation())
        }

        fn cut(&self, who: &Participant) {
            self.hub.cut(who);
        }

        fn mend(&self, who: &Participant) {
            self.hub.mend(who);
        }
    }

    impl BlobsUnderTest for Net {
        fn blobs(&self, who: &Participant) -> Arc<dyn Blobs> {
            let dir = self.dir.path().join(who.to_string());
            if !dir.exists() {
                let identity = Identity::create(&dir, who.clone()).unwrap();
                self.hub.authority.enrol(who, identity.key.public()).unwrap();
            }
            Arc::new(self.hub.blobs(who.clone()))
        }

        fn room(&self) -> u64 {
            ROOM
        }

        fn cut(&self, who: &Participant) {
            self.hub.cut(who);
        }

        fn mend(&self, who: &Participant) {
            self.hub.mend(who);
        }
    }

    #[tokio::test]
    async fn memory_carries_messages_as_promised() {
        conformance::messages(&net()).await;
    }

    /// The same network, at its worst.
    struct Worst {
        net: Net,
        networks: Mutex<Vec<Arc<Faulty>>>,
        seed: u64,
    }

    impl MessagesUnderTest for Worst {
        fn messages(&self, who: &Participant) -> Arc<dyn Messages> {
            let faulty =
                Arc::new(Faulty::new(MessagesUnderTest::messages(&self.net, who), self.seed));
            lock(&self.networks).push(Arc::clone(&faulty));
            faulty
        }

        fn topics(&self) -> Topics {
            self.net.topics()
        }

        fn cut(&self, who: &Participant) {
            self.net.hub.cut(who);
        }

        fn mend(&self, who: &Participant) {
            self.net.hub.mend(who);
        }
    }

    #[tokio::test]
    async fn the_promises_hold_where_messages_come_twice_and_late() {
        let mut faults = 0;
        for seed in 0..4 {
            let worst = Worst { net: net(), networks: Mutex::default(), seed };
            conformance::messages(&worst).await;
            faults += lock(&worst.networks).iter().map(|network| network.faults()).sum::<u64>();
        }
        assert!(faults > 100, "{faults}");
    }

    #[tokio::test]
    async fn memory_keeps_blobs_as_promised() {
        conformance::blobs(&net()).await;
    }

    #[tokio::test]
    async fn blobs_of_finished_experiments_are_deleted() {
        let net = net();
        let who: Participant = "researcher-a".parse().unwrap();
        let repository = Repository::over(net.blobs(&who));
        let [e, f] = ["e", "f"].map(|id| repository.of_experiment(&id.parse().unwrap()));
        let kept = repository.put(vec![0]).await.unwrap();
        let of_e = e.put(vec![1]).await.unwrap();
        let of_both = e.put(vec![2]).await.unwrap();
        f.put(vec![2]).await.unwrap();
        e.finish().await.unwrap();
        net.hub.prune();
        assert!(repository.get(&of_e).await.is_err());
        assert_eq!(repository.get(&of_both).await.unwrap(), [2]);
        f.finish().await.unwrap();
        net.hub.prune();
        assert!(repository.get(&of_both).await.is_err());
        assert_eq!(repository.get(&kept).await.unwrap(), [0]);
    }
}
