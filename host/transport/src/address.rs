//! Addresses of brokers and repositories.

use std::net::SocketAddr;
use std::str::FromStr;

use reqwest::Url;

use crate::Error;

/// The address of a broker, such as `mqtt://127.0.0.1:1883` or
/// `mqtts://hospital.example:8883`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) security: Security,
}

/// The address of a repository, such as `http://127.0.0.1:8844` or
/// `https://hospital.example:8843`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryUrl {
    pub(crate) url: Url,
    pub(crate) security: Security,
}

/// Whether messages can be read in transit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS 1.3 with certificates on both sides.
    Tls,
    /// In the clear, on this machine.
    Loopback,
    /// In the clear, over a network: the address asks for it explicitly.
    Plaintext,
}

/// Before a scheme: in the clear, wherever it goes.
const PLAINTEXT: &str = "plaintext+";
const BROKER: &str = "expected mqtts://HOST:PORT, or mqtt://HOST:PORT on this machine";
const REPOSITORY: &str = "expected https://HOST:PORT, or http://HOST:PORT on this machine";

impl BrokerUrl {
    /// Whether messages can be read in transit.
    pub fn security(&self) -> Security {
        self.security
    }
}

impl RepositoryUrl {
    /// Whether messages can be read in transit.
    pub fn security(&self) -> Security {
        self.security
    }
}

impl FromStr for BrokerUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (url, security) = parse(text, ["mqtt", "mqtts"], BROKER)?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let default = if security == Security::Tls { 8883 } else { 1883 };
        Ok(Self { host, port: url.port().unwrap_or(default), security })
    }
}

impl FromStr for RepositoryUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (url, security) = parse(text, ["http", "https"], REPOSITORY)?;
        Ok(Self { url, security })
    }
}

impl std::fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match self.security {
            Security::Tls => "mqtts",
            Security::Loopback => "mqtt",
            Security::Plaintext => "plaintext+mqtt",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl std::fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let prefix = if self.security == Security::Plaintext { PLAINTEXT } else { "" };
        write!(f, "{prefix}{}", self.url.as_str().trim_end_matches('/'))
    }
}

fn parse(
    text: &str,
    [plain, tls]: [&str; 2],
    expected: &'static str,
) -> Result<(Url, Security), Error> {
    let wrong = || Error::Address { got: text.to_owned(), expected };
    let (asked, rest) = match text.strip_prefix(PLAINTEXT) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let url = Url::parse(rest).map_err(|_| wrong())?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && matches!(url.path(), "" | "/");
    let host = url.host_str().ok_or_else(wrong)?.trim_matches(['[', ']']);
    if !bare || ![plain, tls].contains(&url.scheme()) || (asked && url.scheme() == tls) {
        return Err(wrong());
    }
    let ip: Result<std::net::IpAddr, _> = host.parse();
    let is_loopback = host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback());
    let security = match () {
        () if url.scheme() == tls => Security::Tls,
        () if is_loopback => Security::Loopback,
        () if asked => Security::Plaintext,
        () => return Err(Error::NotLoopback { got: text.to_owned() }),
    };
    Ok((url, security))
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
    fn addresses_say_how_they_are_reached() {
        for (text, security) in [
            ("mqtt://127.0.0.1:1", Security::Loopback),
            ("mqtt://localhost:1883", Security::Loopback),
            ("mqtt://[::1]:9", Security::Loopback),
            ("mqtts://hospital.example:8883", Security::Tls),
            ("mqtts://127.0.0.1:8883", Security::Tls),
            ("plaintext+mqtt://10.0.0.1:1883", Security::Plaintext),
        ] {
            let url: BrokerUrl = text.parse().unwrap();
            assert_eq!((url.security(), url.to_string()), (security, text.to_owned()));
        }
        for (text, security) in [
            ("http://127.0.0.1:8844", Security::Loopback),
            ("https://hospital.example:8843", Security::Tls),
            ("plaintext+http://10.0.0.1:80/", Security::Plaintext),
        ] {
            let url: RepositoryUrl = text.parse().unwrap();
            assert_eq!(url.security(), security);
        }
        assert_eq!("mqtts://h".parse::<BrokerUrl>().unwrap().port, 8883);
        let url: RepositoryUrl = "http://127.0.0.1:8844/".parse().unwrap();
        assert_eq!(url.to_string(), "http://127.0.0.1:8844");
    }

    #[test]
    fn others_are_refused() {
        for text in [
            "http://127.0.0.1",
            "mqtt://u:p@127.0.0.1",
            "127.0.0.1:1883",
            "mqtt://h/x",
            "plaintext+mqtts://h",
            "plaintext+plaintext+mqtt://h",
            "mqtts://",
        ] {
            let error = text.parse::<BrokerUrl>().unwrap_err();
            assert!(matches!(error, Error::Address { .. }), "{text}: {error}");
        }
        for text in ["http://10.0.0.1:80", "http://example.org", "http://0.0.0.0:1"] {
            let error = text.parse::<RepositoryUrl>().unwrap_err();
            assert!(matches!(error, Error::NotLoopback { .. }), "{text}");
        }
    }
}
