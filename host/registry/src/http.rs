//! HTTP requests to an OCI registry: answers are read up to a bound, and a password goes to the
//! registry's own host and to no other that it names, unless the user also named it.

use std::time::{Duration, Instant};

use fedwasm_protocol::Digest;
use fedwasm_transport::Pace;
use oci_client::secrets::RegistryAuth;
use reqwest::header::{ACCEPT, WWW_AUTHENTICATE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use crate::oci::Login;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// The largest answer to a login, in bytes.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// One repository of a registry.
pub(crate) struct Http {
    client: Client,
    /// The address of the registry itself.
    origin: Url,
    repository: String,
    auth: RegistryAuth,
    pace: Pace,
}

/// How a registry wants to be asked.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

impl Http {
    /// Logs in to `host`, in the clear if it is this machine.
    pub(crate) async fn open(
        (host, is_here): (&str, bool),
        repository: &str,
        actions: &str,
        login: Option<&Login>,
    ) -> Result<Self, String> {
        // Only the first call does anything.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let scheme = if is_here { "http" } else { "https" };
        let origin = Url::parse(&format!("{scheme}://{host}/v2/")).map_err(text)?;
        let client = Client::builder()
            .connect_timeout(CONNECT_TIME_MAX)
            // To the location of the blob; credentials are left out on other hosts.
            .redirect(Policy::limited(5))
            .https_only(!is_here)
            .user_agent(concat!("fedwasm/", env!("CARGO_PKG_VERSION")))
            .build();
        let (client, auth) = (client.map_err(text)?, RegistryAuth::Anonymous);
        let repository = repository.to_owned();
        let mut this = Self { client, origin, repository, auth, pace: Pace::USUAL };
        this.auth = this.authenticate(actions, login).await?;
        Ok(this)
    }

    /// The credentials, for this registry alone.
    pub(crate) fn auth(&self) -> &RegistryAuth {
        &self.auth
    }

    async fn authenticate(
        &self,
        actions: &str,
        login: Option<&Login>,
    ) -> Result<RegistryAuth, String> {
        let response = self.send(self.client.get(self.origin.clone())).await?;
        if response.url().host_str() != self.origin.host_str() {
            return Err(format!("it redirects the client to {}", response.url()));
        }
        let challenge = response.headers().get(WWW_AUTHENTICATE).and_then(|it| it.to_str().ok());
        match (challenge.and_then(Challenge::parse), login) {
            (None, _) | (Some(Challenge::Basic), None) => Ok(RegistryAuth::Anonymous),
            (Some(Challenge::Basic), Some(login)) => {
                Ok(RegistryAuth::Basic(login.user.clone(), login.password.clone()))
            }
            (Some(Challenge::Bearer { realm, service }), login) => {
                let mut realm = Url::parse(&realm).map_err(|_| {
                    format!("it asks for a login at {realm:?}, which is not an address")
                })?;
                realm
                    .query_pairs_mut()
                    .append_pair("scope", &format!("repository:{}:{actions}", self.repository));
                if let Some(service) = service {
                    realm.query_pairs_mut().append_pair("service", &service);
                }
                self.token(realm, login).await.map(RegistryAuth::Bearer)
            }
        }
    }

    async fn token(&self, realm: Url, login: Option<&Login>) -> Result<String, String> {
        let mut request = self.client.get(realm.clone());
        if let Some(login) = login {
            self.check_realm(&realm, login)?;
            request = request.basic_auth(&login.user, Some(&login.password));
        }
        let response = self.send(request).await?;
        let status = response.status();
        let json = self.read(response, TOKEN_BYTES_MAX).await?;
        if !status.is_success() {
            return Err(format!("{} refuses the login: {status}", host(&realm)));
        }
        let token: Token = serde_json::from_slice(&json)
            .map_err(|error| format!("{} gives no token: {error}", host(&realm)))?;
        Ok(token.token)
    }

    /// The password is only for the host that it was given for.
    fn check_realm(&self, realm: &Url, login: &Login) -> Result<(), String> {
        let is_own = realm.origin() == self.origin.origin();
        let is_same_host = realm.scheme() == "https" && realm.host() == self.origin.host();
        let is_named = realm.scheme() == "https" && login.at.as_deref() == Some(&host(realm));
        if is_own || is_same_host || is_named {
            return Ok(());
        }
        let host = host(realm);
        Err(match realm.scheme() {
            "https" => format!(
                "it asks for the password to be sent to {host}; if that is right, allow it with \
                 `--login-at {host}`"
            ),
            scheme => {
                format!("it asks for the password to be sent to {host} over {scheme}, in the clear")
            }
        })
    }

    /// A manifest, by tag or digest; none if it is absent. Its digest is checked if it is named.
    pub(crate) async fn manifest(
        &self,
        reference: &str,
        media_type: &str,
        bytes_max: u64,
    ) -> Result<Option<Vec<u8>>, String> {
        self.get(&format!("manifests/{reference}"), media_type, bytes_max).await
    }

    /// A blob.
    pub(crate) async fn blob(&self, digest: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
        let found = self.get(&format!("blobs/{digest}"), "*/*", bytes_max).await?;
        found.ok_or_else(|| format!("layer {digest} is missing"))
    }

    /// The contents of a path; none if the registry does not have it.
    pub(crate) async fn get(
        &self,
        path: &str,
        accept: &str,
        bytes_max: u64,
    ) -> Result<Option<Vec<u8>>, String> {
        let url = self.origin.join(&format!("{}/{path}", self.repository)).map_err(text)?;
        let request = self.client.get(url).header(ACCEPT, accept);
        let request = match &self.auth {
            RegistryAuth::Anonymous => request,
            RegistryAuth::Basic(user, password) => request.basic_auth(user, Some(password)),
            RegistryAuth::Bearer(token) => request.bearer_auth(token),
        };
        let response = self.send(request).await?;
        match response.status() {
            status if status.is_success() => {
                let bytes = self.read(response, bytes_max).await;
                bytes.map(Some).map_err(|reason| format!("{path}: {reason}"))
            }
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(format!("{path}: the registry answered {status}")),
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, String> {
        let sent = tokio::time::timeout(self.pace.silence, request.send()).await;
        sent.map_err(|_| "it does not answer".to_owned())?.map_err(text)
    }

    async fn read(&self, mut response: Response, bytes_max: u64) -> Result<Vec<u8>, String> {
        let (mut bytes, start) = (Vec::new(), Instant::now());
        loop {
            let due = self.pace.next_due(start, bytes.len() as u64, Instant::now());
            let chunk = tokio::time::timeout_at(due.into(), response.chunk()).await;
            let chunk = chunk.map_err(|_| "it sends too slowly".to_owned())?.map_err(text)?;
            let Some(chunk) = chunk else { return Ok(bytes) };
            if bytes.len() as u64 + chunk.len() as u64 > bytes_max {
                return Err(format!("more than {bytes_max} bytes"));
            }
            bytes.extend_from_slice(&chunk);
        }
    }
}

impl Challenge {
    /// Reads `Basic realm="…"` or `Bearer realm="…",service="…"` (RFC 7235, 2.1).
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut rest) = (None, None, rest);
        while let Some((key, value)) = rest.split_once("=\"") {
            let (value, after) = value.split_once('"')?;
            match key.trim_matches([' ', ',']).to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value.to_owned()),
                "service" => service = Some(value.to_owned()),
                _ => {}
            }
            rest = after;
        }
        Some(Self::Bearer { realm: realm?, service })
    }
}

/// Host and port, as a person writes them.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The innermost cause: the operating system's error.
fn text(error: impl std::error::Error) -> String {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The digest of bytes as registries write it.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", Digest::of(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>| {
            let (realm, service) = (realm.to_owned(), service.map(str::to_owned));
            Some(Challenge::Bearer { realm, service })
        };
        for (text, expected) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://a/b?c=d,e\",service=\"s\",scope=\"x\"",
                bearer("https://a/b?c=d,e", Some("s")),
            ),
            ("bearer service=\"s\", Realm=\"https://a\"", bearer("https://a", Some("s"))),
            ("Bearer service=\"s\"", None),
            ("Bearer realm=\"https://a", None),
            ("Negotiate", None),
        ] {
            assert_eq!(Challenge::parse(text), expected, "{text}");
        }
    }

    /// A registry that answers everything with this.
    async fn registry(answer: String, body: Vec<u8>) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = tokio::spawn(async move {
            let mut asked = String::new();
            loop {
                let accepted = tokio::time::timeout(Duration::from_secs(2), listener.accept());
                let Ok(Ok((mut stream, _))) = accepted.await else { return asked };
                let mut head = [0; 4_096];
                let n = stream.read(&mut head).await.unwrap_or(0);
                asked += &String::from_utf8_lossy(&head[..n]);
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.write_all(&body).await;
            }
        });
        (address, asked)
    }

    #[tokio::test]
    async fn a_password_goes_to_no_host_that_a_registry_names() {
        let (thief, stolen) = registry("HTTP/1.1 200 OK\r\n\r\n{}".into(), Vec::new()).await;
        let answer = format!(
            "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer realm=\"http://{thief}/token\"\
             \r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        let (host, _asked) = registry(answer, Vec::new()).await;
        let mut login = Login { user: "u".into(), password: "p".into(), at: None };
        for at in [None, Some(thief.clone())] {
            login.at = at;
            let opened = Http::open((&host, true), "plans/mine", "pull", Some(&login)).await;
            let reason = opened.err().unwrap();
            assert!(reason.contains(&thief) && reason.contains("in the clear"), "{reason}");
        }
        assert_eq!(stolen.await.unwrap(), "");
    }

    #[tokio::test]
    async fn an_answer_without_end_is_cut() {
        let (host, _asked) =
            registry("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".into(), vec![b'x'; 8 << 20])
                .await;
        let http = Http::open((&host, true), "plans/mine", "pull", None).await;
        let reason = http.unwrap_or_else(|error| panic!("{error}"));
        let reason = reason.manifest("1.0", "*/*", 1 << 20).await.unwrap_err();
        assert_eq!(reason, "manifests/1.0: more than 1048576 bytes");
    }
}
