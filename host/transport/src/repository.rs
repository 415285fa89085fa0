//! Blobs of experiments, and the roster, from any network that keeps them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fedwasm_protocol::{
    BlobRef, Digest, ExperimentId, FederationId, Participant, Payload, carried,
};
use fedwasm_trust::{Identity, Member, Membership};

use crate::http::Http;
use crate::port::{Blobs, Label, RELEASED_MAX};
use crate::{Clock, Error, RepositoryUrl};

/// How often and after which pause an upload is offered again to a repository that has its hands
/// full; it also waits itself.
const TURNS_MAX: u32 = 30;
const TURN_PAUSE: Duration = Duration::from_secs(1);
/// The pause before a transfer is tried again, which doubles, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The status of a repository that has its hands full.
const WAIT_FOR_TURN: u16 = 429;

/// A client of a network that keeps blobs by their SHA-256. It checks digests, tries again, and
/// puts small payloads into messages. A transfer ends when nothing moves any more, however long it
/// takes; a caller that has a deadline drops it.
#[derive(Clone, Debug)]
pub struct Repository {
    blobs: Arc<dyn Blobs>,
    clock: Clock,
    /// The experiment in whose name blobs are stored.
    experiment: Option<ExperimentId>,
    /// The participants that may fetch the stored blobs.
    recipients: Vec<Participant>,
    /// How long a transfer is tried again while no answer comes.
    patience: Duration,
    /// Why no answer came to the newest try, of all clients that were made from one.
    away: Arc<Mutex<Option<String>>>,
}

/// Tries of one transfer.
struct Tries {
    start: Duration,
    pause: Duration,
}

impl Repository {
    /// Returns a client of the HTTP repository at `url`; nothing is sent yet. With TLS it shows
    /// the certificate of `member`.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`] if HTTP cannot be set up, [`Error::Tls`].
    pub fn new(url: RepositoryUrl, member: Option<&Member>) -> Result<Self, Error> {
        Ok(Self::over(Arc::new(Http::new(url, member)?)))
    }

    /// Returns a client of any network that keeps blobs.
    pub fn over(blobs: Arc<dyn Blobs>) -> Self {
        let (experiment, recipients, patience) = (None, Vec::new(), Duration::ZERO);
        let (clock, away) = (Clock::real(), Arc::default());
        Self { blobs, clock, experiment, recipients, patience, away }
    }

    /// Returns a client that waits by another clock.
    #[must_use]
    pub fn by_clock(&self, clock: &Clock) -> Self {
        Self { clock: clock.clone(), ..self.clone() }
    }

    /// Asks a federation on this machine to enrol a participant.
    ///
    /// # Errors
    /// [`Error::Repository`] if it does not, [`Error::RepositoryUnreachable`],
    /// [`Error::Trust`].
    pub async fn enrol(&self, identity: &Identity) -> Result<Membership, Error> {
        self.blobs.enrol(identity).await
    }

    /// Asks which federation this repository belongs to. The answer is not verified, so it is only
    /// for uses where a wrong one does no harm.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`], [`Error::Repository`], [`Error::Trust`].
    pub async fn federation(&self) -> Result<FederationId, Error> {
        self.blobs.federation().await
    }

    /// Fetches the roster, and has `member` take it if it is a newer one.
    /// Whether it is.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`], [`Error::Repository`], [`Error::Trust`].
    pub async fn refresh_roster(&self, member: &Member) -> Result<bool, Error> {
        let bytes = self.blobs.roster().await?;
        Ok(member.take_roster(&bytes)?)
    }

    /// Stores bytes and returns the reference to them. Whole or absent.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`], [`Error::Repository`].
    pub async fn put(&self, bytes: impl Into<Bytes>) -> Result<BlobRef, Error> {
        let bytes = bytes.into();
        self.put_as(BlobRef::of(&bytes), bytes).await
    }

    /// The same for bytes whose digest is known: that of a large blob takes a while.
    ///
    /// # Errors
    /// As [`Repository::put`]; bytes of another digest are refused by the repository.
    pub async fn put_as(&self, blob: BlobRef, bytes: Bytes) -> Result<BlobRef, Error> {
        let label = Label { experiment: self.experiment.as_ref(), recipients: &self.recipients };
        let (mut tries, mut turns) = (self.tries(), 0);
        loop {
            match self.blobs.put(&blob, bytes.clone(), label).await {
                Err(Error::Repository { status: WAIT_FOR_TURN, .. }) if turns < TURNS_MAX => {
                    turns += 1;
                    self.clock.sleep(TURN_PAUSE).await;
                }
                Err(error) if self.is_worth_waiting(&error, &mut tries).await => {}
                stored => {
                    self.note(stored.as_ref().err());
                    return stored.map(|()| blob);
                }
            }
        }
    }

    /// Fetches a blob; at most its announced size is read, and it is returned
    /// only if its digest is the one asked for.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`], [`Error::Repository`],
    /// [`Error::WrongSize`], [`Error::WrongDigest`].
    pub async fn get(&self, blob: &BlobRef) -> Result<Vec<u8>, Error> {
        let mut tries = self.tries();
        let bytes = loop {
            match self.blobs.get(blob).await {
                Err(error) if self.is_worth_waiting(&error, &mut tries).await => {}
                fetched => {
                    self.note(fetched.as_ref().err());
                    break fetched?;
                }
            }
        };
        let got = BlobRef::of(&bytes);
        if got.size != blob.size {
            let (digest, expected, got) = (blob.sha256, blob.size, got.size);
            return Err(Error::WrongSize { digest, expected, got });
        }
        if got.sha256 != blob.sha256 {
            let (expected, got, size) = (blob.sha256, got.sha256, got.size);
            return Err(Error::WrongDigest { expected, got, size });
        }
        // Without a copy if this is the only owner.
        Ok(bytes.into())
    }

    fn tries(&self) -> Tries {
        Tries { start: self.clock.elapsed(), pause: PAUSE }
    }

    /// Whether to try a transfer again, after a pause: no answer came, and patience is
    /// left. A repository that is started anew costs no round.
    async fn is_worth_waiting(&self, error: &Error, tries: &mut Tries) -> bool {
        let elapsed = self.clock.elapsed().saturating_sub(tries.start);
        if !error.is_away() || elapsed + tries.pause >= self.patience {
            return false;
        }
        if self.note(Some(error)) {
            tracing::warn!("{error}; trying again");
        }
        self.clock.sleep(tries.pause).await;
        tries.pause = (tries.pause * 2).min(PAUSE_MAX);
        true
    }

    /// Why the repository is away, if no answer came to the newest try of a transfer.
    pub fn away(&self) -> Option<String> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how a try ended; whether the repository is away since then.
    fn note(&self, error: Option<&Error>) -> bool {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let was_away = away.is_some();
        *away = error.filter(|error| error.is_away()).map(ToString::to_string);
        !was_away && away.is_some()
    }

    /// Returns a client that stores blobs in the name of an experiment: they
    /// may be pruned once it is finished.
    #[must_use]
    pub fn of_experiment(&self, experiment: &ExperimentId) -> Self {
        Self { experiment: Some(experiment.clone()), ..self.clone() }
    }

    /// Returns a client whose blobs may be fetched by these, where the
    /// repository knows its clients.
    #[must_use]
    pub fn for_recipients(&self, recipients: Vec<Participant>) -> Self {
        Self { recipients, ..self.clone() }
    }

    /// Returns a client that tries transfers of blobs again while no answer comes, for this long.
    #[must_use]
    pub fn patient(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// Tells the repository that the experiment of this client is finished.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`], [`Error::Repository`].
    pub async fn finish(&self) -> Result<(), Error> {
        match &self.experiment {
            Some(experiment) => self.blobs.finish(experiment).await,
            None => Ok(()),
        }
    }

    /// Gives up blobs of the experiment of this client, which no round needs any more.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`], [`Error::Repository`].
    pub async fn release(&self, digests: &[Digest]) -> Result<(), Error> {
        let Some(experiment) = &self.experiment else { return Ok(()) };
        for digests in digests.chunks(RELEASED_MAX) {
            self.blobs.release(experiment, digests).await?;
        }
        Ok(())
    }

    /// Tells the repository that the experiment of this client continues, if it was
    /// finished: nothing is stored in the name of one that is.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`], [`Error::Repository`].
    pub async fn reopen(&self) -> Result<(), Error> {
        match &self.experiment {
            Some(experiment) => self.blobs.reopen(experiment).await,
            None => Ok(()),
        }
    }

    /// Returns bytes as they go into a message: in it if they fit into `room`,
    /// which then shrinks, and stored otherwise.
    ///
    /// # Errors
    /// As [`Repository::put`].
    pub async fn put_payload(&self, bytes: Vec<u8>, room: &mut usize) -> Result<Payload, Error> {
        match room.checked_sub(bytes.len()) {
            Some(left) => {
                *room = left;
                Ok(Payload::inline(bytes))
            }
            None => self.put(bytes).await.map(Payload::stored),
        }
    }

    /// Returns the bytes of a blob, from the message that carries them or from the repository.
    ///
    /// # Errors
    /// [`Error::WrongPayload`], and as [`Repository::get`].
    pub async fn get_carried(
        &self,
        blob: &BlobRef,
        inline: Option<&[u8]>,
    ) -> Result<Vec<u8>, Error> {
        match carried(blob, inline)? {
            Some(bytes) => Ok(bytes.to_vec()),
            None => self.get(blob).await,
        }
    }

    /// Returns the bytes of a payload, from the message or from the repository.
    ///
    /// # Errors
    /// [`Error::WrongPayload`], and as [`Repository::get`].
    pub async fn get_payload(&self, payload: &Payload) -> Result<Vec<u8>, Error> {
        match payload.bytes()? {
            Some(bytes) => Ok(bytes.to_vec()),
            None => self.get(&payload.blob).await,
        }
    }
}
