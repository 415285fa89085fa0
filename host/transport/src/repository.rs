//! The client of the HTTP repository.

use std::time::Duration;

use fedwasm_protocol::{BlobRef, Digest, ExperimentId, FederationId, Participant, Payload};
use fedwasm_trust::{Identity, Member, Membership, ROSTER_BYTES_MAX};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use crate::enrolment::{ANSWER_BYTES_MAX, Enrolment};
use crate::server::RECIPIENTS;
use crate::{Error, RepositoryUrl, Security, tls};

/// How long a connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a repository may be silent while bytes are due.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// The most of an error answer that is repeated, in characters.
const ERROR_CHARS_MAX: usize = 200;

/// The client of the HTTP repository, which keeps blobs by their SHA-256. No
/// proxies, no redirects: only this one origin is ever contacted.
#[derive(Clone, Debug)]
pub struct Repository {
    url: RepositoryUrl,
    client: Client,
    /// In whose name blobs are stored.
    experiment: Option<ExperimentId>,
    /// Who may fetch what is stored.
    recipients: Vec<Participant>,
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
            .read_timeout(SILENCE_MAX)
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
        Ok(Self { url, client, experiment: None, recipients: Vec::new() })
    }

    /// Asks a federation on this machine to take somebody in.
    ///
    /// # Errors
    /// [`Error::Repository`] if it does not, [`Error::RepositoryUnreachable`],
    /// [`Error::Trust`].
    pub async fn enrol(&self, identity: &Identity) -> Result<Membership, Error> {
        let body = Enrolment::sign(identity)?.to_json();
        let request = self.client.post(format!("{}/federation/members", self.base())).body(body);
        let response = request.send().await.map_err(|error| unreachable(&self.url, &error))?;
        let response = self.check_status(response).await?;
        let json = self.read(response, ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&json).map_err(|error| {
            let (what, reason) = ("the membership".into(), error.to_string());
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
        let response = request.send().await.map_err(|error| unreachable(&self.url, &error))?;
        let response = self.check_status(response).await?;
        let id = self.read(response, 256).await?;
        String::from_utf8_lossy(&id).parse().map_err(|error: fedwasm_protocol::IdError| {
            let (what, reason) = ("the federation's id".into(), error.to_string());
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
        let response = request.send().await.map_err(|error| unreachable(&self.url, &error))?;
        let response = self.check_status(response).await?;
        let bytes = self.read(response, ROSTER_BYTES_MAX).await?;
        Ok(member.take_roster(&bytes)?)
    }

    /// Stores bytes and returns the reference to them. Whole or absent.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`], [`Error::Repository`].
    pub async fn put(&self, bytes: Vec<u8>) -> Result<BlobRef, Error> {
        let blob = BlobRef::of(&bytes);
        let mut url = self.blob_url(&blob.sha256);
        if let Some(experiment) = &self.experiment {
            url += &format!("?experiment={experiment}");
        }
        let mut request = self.client.put(url).body(bytes);
        if !self.recipients.is_empty() {
            let recipients: Vec<String> = self.recipients.iter().map(|p| p.to_string()).collect();
            request = request.header(RECIPIENTS, recipients.join(","));
        }
        let response = request.send().await.map_err(|error| unreachable(&self.url, &error))?;
        self.check_status(response).await?;
        Ok(blob)
    }

    /// Fetches a blob; at most its announced size is read, and it is returned
    /// only if its digest is the one asked for.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`], [`Error::Repository`],
    /// [`Error::WrongSize`], [`Error::WrongDigest`].
    pub async fn get(&self, blob: &BlobRef) -> Result<Vec<u8>, Error> {
        let request = self.client.get(self.blob_url(&blob.sha256));
        let response = request.send().await.map_err(|error| unreachable(&self.url, &error))?;
        let mut response = self.check_status(response).await?;
        let wrong_size = |got| Error::WrongSize { digest: blob.sha256, expected: blob.size, got };
        if let Some(got) = response.content_length().filter(|got| *got != blob.size) {
            return Err(wrong_size(got));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| unreachable(&self.url, &error))?
        {
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

    /// Tells the repository that the experiment of this client is finished.
    ///
    /// # Errors
    /// [`Error::RepositoryUnreachable`], [`Error::Repository`].
    pub async fn finish(&self) -> Result<(), Error> {
        let Some(experiment) = &self.experiment else { return Ok(()) };
        let url = format!("{}/experiments/{experiment}/finished", self.base());
        let response = self.client.put(url).send().await;
        let response = response.map_err(|error| unreachable(&self.url, &error))?;
        self.check_status(response).await.map(drop)
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

    /// Reads an answer of at most `bytes_max` bytes.
    async fn read(&self, mut response: Response, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| unreachable(&self.url, &error))?
        {
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
        let first = response.chunk().await.ok().flatten().unwrap_or_default();
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
