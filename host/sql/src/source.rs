//! Where a snapshot comes from: `sqlite:/path/file.db`, or
//! `postgres://user@host:port/database?sslmode=verify-full&sslrootcert=/path/ca.pem`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Error, cut};

/// The port of Postgres.
const PORT: u16 = 5432;

/// A database. As text it is its address, which has no password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// A database of a Postgres server.
    Postgres(PostgresAddress),
}

/// A database of a Postgres server, and who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresAddress {
    /// The server.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// The role that asks.
    pub user: String,
    /// The database.
    pub database: String,
    /// How the connection is secured.
    pub tls: Tls,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name or an address of the network.
    Name(String),
    /// The directory of a socket on this machine.
    Directory(PathBuf),
}

/// TLS, by the words of libpq.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// `disable`: none. The default on this machine.
    Disable,
    /// `require`: any certificate, so only those who merely listen are kept out.
    Require,
    /// `verify-full`: the certificate must be of this host, and signed by a known authority: of the
    /// file `sslrootcert`, or of the system. The default for other machines.
    VerifyFull(Option<PathBuf>),
}

impl Host {
    fn is_local(&self) -> bool {
        match self {
            Self::Directory(_) => true,
            Self::Name(name) => {
                let address = name.parse::<std::net::IpAddr>();
                name == "localhost" || address.is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

impl PostgresAddress {
    /// Whether what is sent stays on this machine, or goes to the server that was meant.
    pub(crate) fn is_private(&self) -> bool {
        self.host.is_local() || matches!(self.tls, Tls::VerifyFull(_))
    }

    /// The server, for messages and the file of passwords.
    pub(crate) fn server(&self) -> String {
        match &self.host {
            Host::Name(name) => name.clone(),
            Host::Directory(_) => "localhost".to_owned(),
        }
    }

    /// Reads all behind `postgres://`.
    fn read(rest: &str) -> Result<Self, String> {
        let (rest, settings) = rest.split_once('?').unwrap_or((rest, ""));
        let (server, database) = rest.split_once('/').ok_or("it names no database")?;
        let (user, server) = server.rsplit_once('@').ok_or("it names no user")?;
        let (mut sslmode, mut roots, mut directory) = (None, None, None);
        for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
            let Some((name, value)) = setting.split_once('=') else {
                return Err("a setting behind `?` has no value".into());
            };
            let into = match name {
                "sslmode" => &mut sslmode,
                "sslrootcert" => &mut roots,
                "host" => &mut directory,
                _ => {
                    let known = "sslmode, sslrootcert and host are known";
                    return Err(format!("a setting behind `?` is none that is read; {known}"));
                }
            };
            *into = Some(decoded(value)?);
        }
        let (name, port) = match server.strip_prefix('[') {
            Some(rest) => {
                let (name, port) = rest.split_once(']').ok_or("its `[` has no `]`")?;
                (name, port.strip_prefix(':'))
            }
            None => {
                server.split_once(':').map_or((server, None), |(name, port)| (name, Some(port)))
            }
        };
        let port = match port {
            None => PORT,
            Some(port) => port.parse().map_err(|_| "its port is not a number".to_owned())?,
        };
        let host = match (decoded(name)?, directory) {
            (name, None) if !name.is_empty() => Host::Name(name),
            (name, Some(directory)) if name.is_empty() && directory.starts_with('/') => {
                Host::Directory(directory.into())
            }
            _ => return Err("it needs a host, or `?host=` with the directory of a socket".into()),
        };
        let roots = roots.filter(|roots| roots != "system").map(PathBuf::from);
        let tls = match (sslmode.as_deref(), roots) {
            (None, None) if host.is_local() => Tls::Disable,
            (Some("disable"), None) => Tls::Disable,
            (Some("require"), None) => Tls::Require,
            (None | Some("verify-full"), roots) => Tls::VerifyFull(roots),
            (Some("disable" | "require"), Some(_)) => {
                return Err("`sslrootcert` goes with `sslmode=verify-full`".into());
            }
            _ => return Err("`sslmode` is disable, require or verify-full".into()),
        };
        if matches!(host, Host::Directory(_)) && tls != Tls::Disable {
            return Err("a socket of this machine has no TLS".into());
        }
        let (user, database) = (decoded(user)?, decoded(database)?);
        if user.is_empty() || database.is_empty() {
            return Err("it needs a user and a database".into());
        }
        Ok(Self { host, port, user, database, tls })
    }
}

impl Source {
    /// The same with paths that hold in any working directory.
    ///
    /// # Errors
    /// [`Error::File`] if one of its files is not there, or has a name that is not UTF-8.
    pub fn absolute(self) -> Result<Self, Error> {
        let absolute = |path: PathBuf| {
            let found = path.canonicalize().map_err(|error| error.to_string());
            let found = found.and_then(|found| match found.to_str() {
                Some(_) => Ok(found),
                None => Err("its path is not UTF-8".to_owned()),
            });
            found.map_err(|reason| Error::File { path, reason })
        };
        Ok(match self {
            Self::Sqlite(path) => Self::Sqlite(absolute(path)?),
            Self::Postgres(mut address) => {
                if let Tls::VerifyFull(Some(roots)) = address.tls {
                    address.tls = Tls::VerifyFull(Some(absolute(roots)?));
                }
                Self::Postgres(address)
            }
        })
    }
}

impl std::str::FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            return match path.as_os_str().is_empty() {
                false => Ok(Self::Sqlite(path)),
                true => Err(Error::Address { reason: "it names no file".into() }),
            };
        }
        let rest = ["postgres://", "postgresql://"].iter().find_map(|word| text.strip_prefix(word));
        let Some(rest) = rest else {
            let scheme = text.split_once("://").map_or(String::new(), |(word, _)| cut(word, 20));
            let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase());
            let reason = match scheme.is_empty() || !is_word(&scheme) {
                true => "it is neither of SQLite nor of Postgres".to_owned(),
                false => format!("`{scheme}` is neither SQLite nor Postgres"),
            };
            return Err(Error::Address { reason });
        };
        let before = rest.split(['/', '?']).next().unwrap_or_default();
        let before = rest.rsplit_once('@').map_or(before, |(user, _)| user);
        if rest.contains('@') && before.contains(':') || rest.contains("password=") {
            return Err(Error::PasswordInAddress);
        }
        let read = PostgresAddress::read(rest).map(Self::Postgres);
        read.map_err(|reason| Error::Address { reason })
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = match self {
            Self::Sqlite(path) => return write!(f, "sqlite:{}", path.display()),
            Self::Postgres(address) => address,
        };
        let PostgresAddress { host, port, user, database, tls } = address;
        let name = match host {
            Host::Name(name) if name.contains(':') => format!("[{name}]"),
            Host::Name(name) => encoded(name),
            Host::Directory(_) => String::new(),
        };
        write!(f, "postgres://{}@{name}", encoded(user))?;
        if *port != PORT {
            write!(f, ":{port}")?;
        }
        write!(f, "/{}", encoded(database))?;
        match (host, tls) {
            (Host::Directory(path), _) => write!(f, "?host={}", encoded(&path.to_string_lossy())),
            (_, Tls::Disable) if host.is_local() => Ok(()),
            (_, Tls::Disable) => write!(f, "?sslmode=disable"),
            (_, Tls::Require) => write!(f, "?sslmode=require"),
            (_, Tls::VerifyFull(None)) => write!(f, "?sslmode=verify-full"),
            (_, Tls::VerifyFull(Some(path))) => {
                let path = encoded(&path.to_string_lossy());
                write!(f, "?sslmode=verify-full&sslrootcert={path}")
            }
        }
    }
}

impl TryFrom<String> for Source {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

/// Takes the `%20`s out of a part of an address.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err("a `%` is not followed by two hex digits".into());
        };
        bytes.push((high << 4 | low) as u8);
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err("it is not UTF-8 without zeros".into()),
    }
}

fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let mut encoded = String::new();
    for byte in text.bytes() {
        match is_plain(byte) {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Source, String> {
        text.parse::<Source>().map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in [
            "sqlite:/srv/ward.db",
            "postgres://reader@db.example/ward?sslmode=verify-full",
            "postgres://reader@db.example:6432/ward?sslmode=require",
            "postgres://reader@db.example/ward?sslmode=verify-full&sslrootcert=/etc/ca.pem",
            "postgres://reader@localhost/ward",
            "postgres://reader@[::1]:1/ward",
            "postgres://reader@/ward?host=/var/run/postgresql",
            "postgres://a%40b@127.0.0.1/w%20d%3F",
        ] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        let same = read("postgresql://reader@db.example/ward?sslrootcert=system").unwrap();
        assert_eq!(same.to_string(), "postgres://reader@db.example/ward?sslmode=verify-full");
        assert_eq!(read("sqlite:///srv/w.db").unwrap(), Source::Sqlite("/srv/w.db".into()));
    }

    #[test]
    fn mistakes_are_named_and_passwords_are_not_repeated() {
        for (text, expected) in [
            ("sqlite:", "no file"),
            ("mysql://root@h/d", "`mysql` is neither SQLite nor Postgres"),
            ("hunter2", "neither of SQLite nor of Postgres"),
            ("hunter2:x@h/d", "neither of SQLite nor of Postgres"),
            ("hunter2@h://d", "neither of SQLite nor of Postgres"),
            ("postgres://h/d", "names no user"),
            ("postgres://u@h", "names no database"),
            ("postgres://u@h/", "a user and a database"),
            ("postgres://u@/d", "needs a host"),
            ("postgres://u@h:x/d", "port"),
            ("postgres://u@h/d?sslmode=prefer", "disable, require or verify-full"),
            ("postgres://u@h/d?sslmode=require&sslrootcert=/c", "goes with"),
            ("postgres://u@h/d?options=-c", "none that is read; sslmode, sslrootcert and host are"),
            ("postgres://u@h/d?pass=hunter2", "none that is read"),
            ("postgres://u@h/d?hunter2=", "none that is read"),
            ("postgres://u@h/d?sslmode=require&hunter2", "has no value"),
            ("postgres://u@h:hunter2/d", "port"),
            ("postgres://u@h/hunter2%0", "two hex digits"),
            ("postgres://u@h/d?sslmode=hunter2", "disable, require or verify-full"),
            ("postgres://u@h/d%0", "two hex digits"),
            ("postgres://u@h/d%00", "without zeros"),
            ("postgres://u:hunter2@h/d", "PGPASSWORD"),
            ("postgres://u:hunt/er2@h/d", "PGPASSWORD"),
            ("postgres://u@h/d?password=hunter2", "PGPASSWORD"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("er2"), "{error}");
        }
    }
}
