//! The client of the HTTP repository.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fedwasm_protocol::{BlobRef, Digest, ExperimentId, FederationId, Participant, Payload};
use fedwasm_trust::{Identity, Member, Membership, ROSTER_BYTES_MAX};
use reqwest::header::CONTENT_LENGTH;
use reqwest::redirect::Policy;
use reqwest::{Body, Client, RequestBuilder, Response, StatusCode};
use tokio::sync::Semaphore;

use crate::enrolment::{ANSWER_BYTES_MAX, Enrolment};
use crate::pace::{Pace, Progress};
use crate::{Error, RepositoryUrl, Security, tls};

/// The largest blob, in bytes.
pub const BLOB_BYTES_MAX: u64 = 4 << 30;
/// The header that names who may fetch a blob, separated by commas.
pub const RECIPIENTS: &str = "fedwasm-recipients";
/// How long the repository keeps a connection that asks for nothing.
pub const IDLE_MAX: Duration = Duration::from_secs(30);
/// How long a connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a connection is kept for the next request: less than the repository keeps it.
const POOL_TIME_MAX: Duration = Duration::from_secs(IDLE_MAX.as_secs() / 2);
/// The most requests at once: a repository takes so many connections of a participant.
const REQUESTS_MAX: usize = 8;
/// Bytes of a part of a body: progress is seen in these.
const PART_BYTES: usize = 64 << 10;
/// How often and after which pause an upload is offered again to a repository that has its hands
/// full; it waits itself, too.
const TURNS_MAX: u32 = 30;
const TURN_PAUSE: Duration = Duration::from_secs(1);
/// The pause before a transfer is tried again, which doubles, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The most of an error answer that is repeated, in characters.
const ERROR_CHARS_MAX: usize = 200;

/// The client of the HTTP repository, which keeps blobs by their SHA-256. No
/// proxies, no redirects: only this one origin is ever contacted. A transfer ends when nothing
/// moves any more, however long it takes; whoever has a deadline drops it.
#[derive(Clone, Debug)]
pub struct Repository {
    url: RepositoryUrl,
    client: Client,
    pace: Pace,
    /// Of all that were made from one.
    requests: Arc<Semaphore>,
    /// In whose name blobs are stored.
    experiment: Option<ExperimentId>,
    /// Who may fetch what is stored.
    recipients: Vec<Participant>,
    /// How long a transfer is tried again while nobody answers.
    patience: Duration,
}

/// Tries of one transfer.
struct Tries {
    start: Instant,
    pause: Duration,
}

impl Tries {
    fn new() -> Self {
        Self { start: Instant::now(), pause: PAUSE }
    }
}

impl Repository {
    /// Returns a client; nothing is sent yet. With TLS it shows the certificate
    /// of `member`.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`] if HTTP cannot be set up, [`Error::Tls`].
    pub fn new(url: RepositoryUrl, member: Option<&Member>) -> Result<Self, Error> {
        let builder = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIME_MAX)
            .pool_idle_timeout(POOL_TIME_MAX)
            .tcp_nodelay(true);
        let builder = match (url.security, member) {
            (Security::Tls, Some(member)) => {
                builder.https_only(true).tls_backend_preconfigured(tls::client_config(member)?)
            }
            (Security::Tls, None) => {
                let reason =
                    format!("{url} needs a certificate; `fedwasm network enrol` issues it");
                return Err(Error::Tls { reason });
            }
            _ => builder.tls_backend_preconfigured(tls::no_tls()?),
        };
        let client = builder.build().map_err(|error| unreachable(&url, &error))?;
        let requests = Arc::new(Semaphore::new(REQUESTS_MAX));
        let (experiment, recipients, patience) = (None, Vec::new(), Duration::ZERO);
        let pace = Pace::USUAL;
        Ok(Self { url, client, pace, requests, experiment, recipients, patience })
    }

    /// Asks a federation on this machine to take somebody in.
    ///
    /// # Errors
    /// [`Error::Repository`] if it does not, [`Error::RepositoryUnreachable`],
    /// [`Error::Trust`].
    pub async fn enrol(&self, identity: &Identity) -> Result<Membership, Error> {
        let body = Enrolment::sign(identity)?.to_json();
        let request = self.client.post(format!("{}/federation/members", self.base())).body(body);
        let response = self.ask(request).await?;
        let json = self.read(response, ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&json).map_err(|error| {
            let (what, reason) = ("the membership".into(), error.into());
            fedwasm_trust::Error::Malformed { what, reason }.into()
        })
    }

    /// Asks which federation this is the repository of. Nobody's word for it
    /// is checked: only for what cannot be confused anyway.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`], [`Error::Repository`], [`Error::Trust`].
    pub async fn federation(&self) -> Result<FederationId, Error> {
        let request = self.client.get(format!("{}/federation/id", self.base()));
        let response = self.ask(request).await?;
        let id = self.read(response, 256).await?;
        String::from_utf8_lossy(&id).parse().map_err(|error: fedwasm_protocol::IdError| {
            let (what, reason) = ("the federation's id".into(), error.into());
            fedwasm_trust::Error::Malformed { what, reason }.into()
        })
    }

    /// Fetches the roster, and has `member` take it if it is a newer one.
    /// Whether it is.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`], [`Error::Repository`], [`Error::Trust`].
    pub async fn refresh_roster(&self, member: &Member) -> Result<bool, Error> {
        let request = self.client.get(format!("{}/federation/roster", self.base()));
        let response = self.ask(request).await?;
        let bytes = self.read(response, ROSTER_BYTES_MAX).await?;
        Ok(member.take_roster(&bytes)?)
    }

    /// Stores bytes and returns the reference to them. Whole or absent.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`], [`Error::Repository`].
    pub async fn put(&self, bytes: Vec<u8>) -> Result<BlobRef, Error> {
        let (blob, bytes) = (BlobRef::of(&bytes), Bytes::from(bytes));
        let (mut tries, mut turns) = (Tries::new(), 0);
        loop {
            match self.put_once(&blob, bytes.clone()).await {
                Err(Error::Repository { status, .. })
                    if status == StatusCode::TOO_MANY_REQUESTS && turns < TURNS_MAX =>
                {
                    turns += 1;
                    tokio::time::sleep(TURN_PAUSE).await;
                }
                Err(error) if self.is_worth_waiting(&error, &mut tries).await => {}
                stored => return stored.map(|()| blob),
            }
        }
    }

    async fn put_once(&self, blob: &BlobRef, mut bytes: Bytes) -> Result<(), Error> {
        let mut url = self.blob_url(&blob.sha256);
        if let Some(experiment) = &self.experiment {
            url += &format!("?experiment={experiment}");
        }
        let progress = Progress::new(self.pace);
        let mut request = self.client.put(url).header(CONTENT_LENGTH, bytes.len());
        if !bytes.is_empty() {
            let progress = progress.clone();
            // The next part is asked for once the connection took the one before.
            let parts = std::iter::from_fn(move || {
                let part = bytes.split_to(bytes.len().min(PART_BYTES));
                progress.note(part.len());
                (!part.is_empty()).then_some(Ok::<_, std::io::Error>(part))
            });
            request = request.body(Body::wrap_stream(futures_util::stream::iter(parts)));
        }
        if !self.recipients.is_empty() {
            let recipients: Vec<String> = self.recipients.iter().map(|p| p.to_string()).collect();
            request = request.header(RECIPIENTS, recipients.join(","));
        }
        let _turn = self.requests.acquire().await;
        let sent = progress.watch(request.send()).await.map_err(|time| self.stalled(time))?;
        self.check_status(sent.map_err(|error| unreachable(&self.url, &error))?).await.map(drop)
    }

    /// Fetches a blob; at most its announced size is read, and it is returned
    /// only if its digest is the one asked for.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`], [`Error::Repository`],
    /// [`Error::WrongSize`], [`Error::WrongDigest`].
    pub async fn get(&self, blob: &BlobRef) -> Result<Vec<u8>, Error> {
        let mut tries = Tries::new();
        loop {
            match self.get_once(blob).await {
                Err(error) if self.is_worth_waiting(&error, &mut tries).await => {}
                fetched => return fetched,
            }
        }
    }

    /// Whether to try a transfer again, after a pause: nobody answers, and there is patience
    /// left. A repository that is started anew costs no round.
    async fn is_worth_waiting(&self, error: &Error, tries: &mut Tries) -> bool {
        let is_away = matches!(
            error,
            Error::RepositoryUnreachable { .. } | Error::Repository { status: 502..=504, .. }
        );
        if !is_away || tries.start.elapsed() + tries.pause >= self.patience {
            return false;
        }
        tracing::debug!("tried again in {:?}: {error}", tries.pause);
        tokio::time::sleep(tries.pause).await;
        tries.pause = (tries.pause * 2).min(PAUSE_MAX);
        true
    }

    async fn get_once(&self, blob: &BlobRef) -> Result<Vec<u8>, Error> {
        let request = self.client.get(self.blob_url(&blob.sha256));
        let _turn = self.requests.acquire().await;
        let mut response = self.ask(request).await?;
        let wrong_size = |got| Error::WrongSize { digest: blob.sha256, expected: blob.size, got };
        if let Some(got) = response.content_length().filter(|got| *got != blob.size) {
            return Err(wrong_size(got));
        }
        // Whoever asks has bounded the size. Reserved at once, so that it is not held twice while a
        // vector grows; if it cannot be, what comes decides.
        let mut bytes = Vec::new();
        let _ = bytes.try_reserve_exact(usize::try_from(blob.size).unwrap_or(0));
        while let Some(chunk) = self.chunk(&mut response).await? {
            let got = bytes.len() as u64 + chunk.len() as u64;
            if got > blob.size {
                return Err(wrong_size(got));
            }
            bytes.extend_from_slice(&chunk);
        }
        let got = BlobRef::of(&bytes);
        if got.size != blob.size {
            return Err(wrong_size(got.size));
        }
        if got.sha256 != blob.sha256 {
            let (expected, got, size) = (blob.sha256, got.sha256, got.size);
            return Err(Error::WrongDigest { expected, got, size });
        }
        Ok(bytes)
    }

    /// Returns a client that stores blobs in the name of an experiment: they
    /// may be pruned once it is finished.
    #[must_use]
    pub fn of_experiment(&self, experiment: &ExperimentId) -> Self {
        Self { experiment: Some(experiment.clone()), ..self.clone() }
    }

    /// Returns a client whose blobs may be fetched by these, where the
    /// repository knows who is who.
    #[must_use]
    pub fn for_recipients(&self, recipients: Vec<Participant>) -> Self {
        Self { recipients, ..self.clone() }
    }

    /// Returns a client that tries transfers of blobs again while nobody answers, for this long.
    #[must_use]
    pub fn patient(&self, patience: Duration) -> Self {
        Self { patience, ..self.clone() }
    }

    /// Returns a client whose transfers may be as slow as this.
    #[must_use]
    pub fn at_pace(&self, pace: Pace) -> Self {
        Self { pace, ..self.clone() }
    }

    /// Tells the repository that the experiment of this client is finished.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`], [`Error::Repository`].
    pub async fn finish(&self) -> Result<(), Error> {
        let Some(experiment) = &self.experiment else { return Ok(()) };
        let url = format!("{}/experiments/{experiment}/finished", self.base());
        self.ask(self.client.put(url)).await.map(drop)
    }

    /// Tells the repository that the experiment of this client goes on, should it have been
    /// finished: nothing is stored in the name of one that is.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`], [`Error::Repository`].
    pub async fn reopen(&self) -> Result<(), Error> {
        let Some(experiment) = &self.experiment else { return Ok(()) };
        let url = format!("{}/experiments/{experiment}/finished", self.base());
        self.ask(self.client.delete(url)).await.map(drop)
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

    fn blob_url(&self, digest: &Digest) -> String {
        format!("{}/blobs/sha256/{digest}", self.base())
    }

    fn base(&self) -> &str {
        self.url.url.as_str().trim_end_matches('/')
    }

    /// Sends a request with a small body or none.
    async fn ask(&self, request: RequestBuilder) -> Result<Response, Error> {
        let silence = self.pace.silence;
        let sent = tokio::time::timeout(silence, request.send()).await;
        let sent = sent.map_err(|_| self.stalled(silence))?;
        self.check_status(sent.map_err(|error| unreachable(&self.url, &error))?).await
    }

    /// The next part of an answer.
    async fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>, Error> {
        let silence = self.pace.silence;
        let chunk = tokio::time::timeout(silence, response.chunk()).await;
        let chunk = chunk.map_err(|_| self.stalled(silence))?;
        chunk.map_err(|error| unreachable(&self.url, &error))
    }

    fn stalled(&self, time: Duration) -> Error {
        let reason = format!("nothing moved for {} s", time.as_secs_f64());
        Error::RepositoryUnreachable { url: self.url.to_string(), reason }
    }

    /// Reads an answer of at most `bytes_max` bytes.
    async fn read(&self, mut response: Response, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            if (bytes.len() + chunk.len()) as u64 > bytes_max {
                let reason = format!("its answer is larger than {bytes_max} bytes");
                return Err(Error::RepositoryUnreachable { url: self.url.to_string(), reason });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    async fn check_status(&self, mut response: Response) -> Result<Response, Error> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let first = self.chunk(&mut response).await.ok().flatten().unwrap_or_default();
        let text = String::from_utf8_lossy(&first);
        let text = text.chars().filter(|c| !c.is_control()).take(ERROR_CHARS_MAX).collect();
        Err(Error::Repository { url: self.url.to_string(), status: status.as_u16(), text })
    }
}

/// Names the innermost cause: what the operating system says.
fn unreachable(url: &RepositoryUrl, error: &reqwest::Error) -> Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Error::RepositoryUnreachable { url: url.to_string(), reason: cause.to_string() }
}
