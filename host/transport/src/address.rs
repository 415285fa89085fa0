//! Addresses of brokers and repositories.

use std::net::SocketAddr;
use std::str::FromStr;

use reqwest::Url;

use crate::Error;

/// The address of a broker, such as `mqtt://127.0.0.1:1883`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The address of a repository, such as `http://127.0.0.1:8844`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryUrl(pub(crate) Url);

const BROKER: &str = "expected mqtt://HOST:PORT";
const REPOSITORY: &str = "expected http://HOST:PORT";

impl FromStr for BrokerUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let url = parse(text, "mqtt", BROKER)?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        Ok(Self { host, port: url.port().unwrap_or(1883) })
    }
}

impl FromStr for RepositoryUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text, "http", REPOSITORY).map(Self)
    }
}

impl std::fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "mqtt://[{}]:{}", self.host, self.port),
            false => write!(f, "mqtt://{}:{}", self.host, self.port),
        }
    }
}

impl std::fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

fn parse(text: &str, scheme: &str, expected: &'static str) -> Result<Url, Error> {
    let wrong = || Error::Address { got: text.to_owned(), expected };
    let url = Url::parse(text).map_err(|_| wrong())?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && matches!(url.path(), "" | "/");
    if url.scheme() != scheme || !bare {
        return Err(wrong());
    }
    let host = url.host_str().ok_or_else(wrong)?.trim_matches(['[', ']']);
    let ip: Result<std::net::IpAddr, _> = host.parse();
    if host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback()) {
        return Ok(url);
    }
    Err(Error::NotLoopback { got: text.to_owned() })
}

/// Returns the address if it is one of this machine alone.
///
/// # Errors
/// [`Error::NotLoopback`].
pub fn loopback(address: SocketAddr) -> Result<SocketAddr, Error> {
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err(Error::NotLoopback { got: address.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_pass() {
        for text in ["mqtt://127.0.0.1:1", "mqtt://localhost", "mqtt://[::1]:9"] {
            assert!(text.parse::<BrokerUrl>().is_ok(), "{text}");
        }
        let url: BrokerUrl = "mqtt://[::1]:9".parse().unwrap();
        assert_eq!(url.to_string(), "mqtt://[::1]:9");
        let url: RepositoryUrl = "http://127.0.0.1:8844/".parse().unwrap();
        assert_eq!(url.to_string(), "http://127.0.0.1:8844");
    }

    #[test]
    fn others_are_refused() {
        for text in ["http://127.0.0.1", "mqtt://u:p@127.0.0.1", "127.0.0.1:1883", "mqtt://h/x"] {
            let error = text.parse::<BrokerUrl>().unwrap_err();
            assert!(matches!(error, Error::Address { .. }), "{text}");
        }
        for text in ["http://10.0.0.1:80", "http://example.org", "http://0.0.0.0:1"] {
            let error = text.parse::<RepositoryUrl>().unwrap_err();
            assert!(matches!(error, Error::NotLoopback { .. }), "{text}");
        }
    }
}
