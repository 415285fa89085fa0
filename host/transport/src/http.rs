//! Blobs over HTTP (`crate::port::Blobs`). No proxies, no redirects: only this one origin is ever
//! contacted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fedwasm_protocol::{BlobRef, Digest, ExperimentId, FederationId};
use fedwasm_trust::{Identity, Member, Membership, ROSTER_BYTES_MAX};
use reqwest::header::{CONTENT_LENGTH, RANGE};
use reqwest::redirect::Policy;
use reqwest::{Body, Client, RequestBuilder, Response, StatusCode};
use tokio::sync::Semaphore;

use crate::enrolment::{ANSWER_BYTES_MAX, Enrolment};
use crate::pace::{Pace, Progress};
use crate::port::{Blobs, Label, Later};
use crate::{Error, RepositoryUrl, Security, tls};

/// The header that names the participants that may fetch a blob, separated by commas.
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
/// The pause before a download that was cut is continued.
const RESUME_PAUSE: Duration = Duration::from_millis(200);
/// The most of an error answer that is repeated, in characters.
const ERROR_CHARS_MAX: usize = 200;

/// The client of an HTTP repository.
#[derive(Clone, Debug)]
pub struct Http {
    url: RepositoryUrl,
    client: Client,
    pace: Pace,
    /// Of all that were made from one.
    requests: Arc<Semaphore>,
}

impl Http {
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
                return Err(Error::Tls { reason: reason.into() });
            }
            _ => builder.tls_backend_preconfigured(tls::no_tls()?),
        };
        let client = builder.build().map_err(|error| unreachable(&url, error))?;
        let requests = Arc::new(Semaphore::new(REQUESTS_MAX));
        Ok(Self { url, client, pace: Pace::USUAL, requests })
    }

    /// Returns a client whose transfers may be as slow as this.
    #[must_use]
    pub fn at_pace(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    async fn ask_to_enrol(&self, identity: &Identity) -> Result<Membership, Error> {
        let body = Enrolment::sign(identity)?.to_json();
        let request = self.client.post(format!("{}/federation/members", self.base())).body(body);
        let response = self.ask(request).await?;
        let json = self.read(response, ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&json).map_err(|error| {
            let (what, reason) = ("the membership".into(), error.into());
            fedwasm_trust::Error::Malformed { what, reason }.into()
        })
    }

    async fn fetch_federation(&self) -> Result<FederationId, Error> {
        let request = self.client.get(format!("{}/federation/id", self.base()));
        let response = self.ask(request).await?;
        let id = self.read(response, 256).await?;
        String::from_utf8_lossy(&id).parse().map_err(|error: fedwasm_protocol::IdError| {
            let (what, reason) = ("the federation's id".into(), error.into());
            fedwasm_trust::Error::Malformed { what, reason }.into()
        })
    }

    async fn fetch_roster(&self) -> Result<Vec<u8>, Error> {
        let request = self.client.get(format!("{}/federation/roster", self.base()));
        let response = self.ask(request).await?;
        self.read(response, ROSTER_BYTES_MAX).await
    }

    async fn upload(
        &self,
        blob: &BlobRef,
        mut bytes: Bytes,
        Label { experiment, recipients }: Label<'_>,
    ) -> Result<(), Error> {
        let mut url = self.blob_url(&blob.sha256);
        if let Some(experiment) = experiment {
            url += &format!("?experiment={experiment}");
        }
        let progress = Progress::new(self.pace, "sent", blob);
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
        if !recipients.is_empty() {
            let recipients: Vec<String> = recipients.iter().map(|p| p.to_string()).collect();
            request = request.header(RECIPIENTS, recipients.join(","));
        }
        let _turn = self.requests.acquire().await;
        let sent = progress.watch(request.send()).await.map_err(|time| self.stalled(time))?;
        self.check_status(sent.map_err(|error| unreachable(&self.url, error))?).await.map(drop)
    }

    /// Fetches a blob. A line that is cut costs what was on its way: the rest is asked for again as
    /// long as bytes move.
    async fn download(&self, blob: &BlobRef) -> Result<Bytes, Error> {
        let progress = Progress::new(self.pace, "received", blob);
        // The caller has bounded the size. It is reserved at once, so that it is not held twice
        // while a vector grows; if that fails, the vector grows with the bytes that come.
        let mut bytes = Vec::new();
        let _ = bytes.try_reserve_exact(usize::try_from(blob.size).unwrap_or(0));
        let _turn = self.requests.acquire().await;
        loop {
            match self.fetch_rest(blob, &mut bytes, &progress).await {
                Ok(()) => return Ok(bytes.into()),
                Err(error) if error.is_passing() && !bytes.is_empty() && progress.may_resume() => {
                    let got = bytes.len();
                    tracing::info!("{} is continued at byte {got}: {error}", blob.sha256);
                    tokio::time::sleep(RESUME_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Appends the bytes of a blob that are missing.
    async fn fetch_rest(
        &self,
        blob: &BlobRef,
        bytes: &mut Vec<u8>,
        progress: &Progress,
    ) -> Result<(), Error> {
        let wrong_size = |got| Error::WrongSize { digest: blob.sha256, expected: blob.size, got };
        if !bytes.is_empty() && bytes.len() as u64 == blob.size {
            return Ok(());
        }
        let mut request = self.client.get(self.blob_url(&blob.sha256));
        if !bytes.is_empty() {
            request = request.header(RANGE, format!("bytes={}-", bytes.len()));
        }
        let mut response = self.ask(request).await?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            // All of it comes.
            bytes.clear();
        }
        let had = bytes.len() as u64;
        if let Some(length) = response.content_length()
            && had.saturating_add(length) != blob.size
        {
            return Err(wrong_size(had.saturating_add(length)));
        }
        while let Some(chunk) = self.chunk(&mut response).await? {
            let got = bytes.len() as u64 + chunk.len() as u64;
            if got > blob.size {
                return Err(wrong_size(got));
            }
            bytes.extend_from_slice(&chunk);
            progress.note(chunk.len());
        }
        Ok(())
    }

    fn finished_url(&self, experiment: &ExperimentId) -> String {
        format!("{}/experiments/{experiment}/finished", self.base())
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
        self.check_status(sent.map_err(|error| unreachable(&self.url, error))?).await
    }

    /// The next part of an answer.
    async fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>, Error> {
        let silence = self.pace.silence;
        let chunk = tokio::time::timeout(silence, response.chunk()).await;
        let chunk = chunk.map_err(|_| self.stalled(silence))?;
        chunk.map_err(|error| unreachable(&self.url, error))
    }

    fn stalled(&self, time: Duration) -> Error {
        let reason = format!("no bytes moved for {} s", time.as_secs_f64()).into();
        Error::RepositoryUnreachable { url: self.url.to_string(), reason }
    }

    /// Reads an answer of at most `bytes_max` bytes.
    async fn read(&self, mut response: Response, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            if (bytes.len() + chunk.len()) as u64 > bytes_max {
                let reason = format!("its answer is larger than {bytes_max} bytes").into();
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

impl Blobs for Http {
    fn put<'a>(
        &'a self,
        blob: &'a BlobRef,
        bytes: Bytes,
        label: Label<'a>,
    ) -> Later<'a, Result<(), Error>> {
        Box::pin(self.upload(blob, bytes, label))
    }

    fn get<'a>(&'a self, blob: &'a BlobRef) -> Later<'a, Result<Bytes, Error>> {
        Box::pin(self.download(blob))
    }

    fn finish<'a>(&'a self, experiment: &'a ExperimentId) -> Later<'a, Result<(), Error>> {
        let request = self.client.put(self.finished_url(experiment));
        Box::pin(async { self.ask(request).await.map(drop) })
    }

    fn reopen<'a>(&'a self, experiment: &'a ExperimentId) -> Later<'a, Result<(), Error>> {
        let request = self.client.delete(self.finished_url(experiment));
        Box::pin(async { self.ask(request).await.map(drop) })
    }

    fn release<'a>(
        &'a self,
        experiment: &'a ExperimentId,
        digests: &'a [Digest],
    ) -> Later<'a, Result<(), Error>> {
        let lines: String = digests.iter().map(|digest| format!("{digest}\n")).collect();
        let url = format!("{}/experiments/{experiment}/released", self.base());
        let request = self.client.post(url).body(lines);
        Box::pin(async { self.ask(request).await.map(drop) })
    }

    fn federation(&self) -> Later<'_, Result<FederationId, Error>> {
        Box::pin(self.fetch_federation())
    }

    fn roster(&self) -> Later<'_, Result<Vec<u8>, Error>> {
        Box::pin(self.fetch_roster())
    }

    fn enrol<'a>(&'a self, identity: &'a Identity) -> Later<'a, Result<Membership, Error>> {
        Box::pin(self.ask_to_enrol(identity))
    }
}

fn unreachable(url: &RepositoryUrl, error: reqwest::Error) -> Error {
    Error::RepositoryUnreachable { url: url.to_string(), reason: error.into() }
}
