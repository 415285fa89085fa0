//! Passwords of Postgres servers: from the environment, or from a file as libpq has it.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::bounds::FILE_BYTES_MAX;
use crate::{Error, PostgresAddress};

/// Where passwords are.
#[derive(Clone, Default)]
pub struct Passwords {
    /// The password, if the caller has it (`PGPASSWORD`).
    pub password: Option<Zeroizing<String>>,
    /// A file with lines `host:port:database:user:password` (`PGPASSFILE`), each of which may be
    /// `*`; `\:` and `\\` stand for themselves. Only its owner may read it.
    pub file: Option<PathBuf>,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passwords").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Passwords {
    /// The password for a server; none if there is none.
    ///
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn of(&self, address: &PostgresAddress) -> Result<Option<Zeroizing<String>>, Error> {
        if self.password.is_some() {
            return Ok(self.password.clone());
        }
        let Some(path) = &self.file else { return Ok(None) };
        let text = read(path)?;
        let PostgresAddress { port, database, user, .. } = address;
        let wanted = [address.server(), port.to_string(), database.clone(), user.clone()];
        let matching = text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let fields = fields(line);
            let [host, port, database, user, password] = &fields[..] else { return None };
            let known = [host, port, database, user];
            let is_it = known.iter().zip(&wanted).all(|(is, of)| *is == "*" || is.as_str() == of);
            is_it.then(|| Zeroizing::new(password.to_string()))
        });
        Ok(matching)
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;
    let failed = |reason: String| Error::File { path: path.to_owned(), reason };
    let io = |error: std::io::Error| failed(error.to_string());
    let metadata = std::fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(failed("it is not a regular file".into()));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        let path = path.display();
        return Err(failed(format!("accessible to other users; run `chmod go= {path}`")));
    }
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(io)?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

/// The fields of a line.
fn fields(line: &str) -> Zeroizing<Vec<String>> {
    let mut fields = Zeroizing::new(vec![String::new()]);
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        let c = match c {
            ':' if fields.len() < 5 => {
                fields.push(String::new());
                continue;
            }
            '\\' => rest.next().unwrap_or('\\'),
            c => c,
        };
        if let Some(field) = fields.last_mut() {
            field.push(c);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    #[test]
    fn the_first_line_of_a_private_file_that_fits_has_the_password() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pass");
        let text =
            "# db:5432:ward:u:no\nother:*:*:*:no\ndb:5432:ward:a\\:b:s\\:e\\\\c:ret\n*:*:*:*:any\n";
        std::fs::write(&path, text).unwrap();
        let passwords = Passwords { password: None, file: Some(path.clone()) };
        let of = |address: &str| {
            let Source::Postgres(address) = address.parse().unwrap() else { panic!() };
            passwords.of(&address).map(|found| found.map(|found| found.to_string()))
        };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(of("postgres://u@db/ward").unwrap_err().to_string().contains("chmod go="));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(of("postgres://a%3Ab@db/ward").unwrap().unwrap(), "s:e\\c:ret");
        assert_eq!(of("postgres://u@/ward?host=/tmp").unwrap().unwrap(), "any");
        assert!(!format!("{passwords:?}").contains("ret"));
    }
}
