//! A Postgres server of the tests.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{listening, wait_until};

/// The password of the role that asks.
pub const PASSWORD: &str = "correct-horse";

/// A Postgres server with a database `ward`, on a free port of this machine.
pub struct Server {
    pub dir: tempfile::TempDir,
    child: Child,
    pub port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its fast shutdown takes the processes below it along.
        let _ = Command::new("kill").arg("-INT").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// The programs of Postgres; where they must be, their absence is a failure.
#[expect(clippy::print_stderr, reason = "a test that did not run says so")]
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.retain(|bin| bin.join("initdb").exists());
    found.sort();
    assert!(
        !found.is_empty() || std::env::var_os("FEDWASM_REQUIRE_POSTGRES").is_none(),
        "Postgres is not installed"
    );
    if found.is_empty() {
        eprintln!("SKIPPED: Postgres is not installed");
    }
    found.pop()
}

/// A program as a user that Postgres agrees to: it refuses root.
fn as_postgres(program: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

/// Makes the files of a server, with a certificate.
fn initialise(bin: &Path, dir: &Path) {
    let path = |name: &str| dir.join(name);
    std::fs::write(path("password"), PASSWORD).unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=localhost", "-days", "2", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(path("key.pem"))
        .arg("-out")
        .arg(path("ca.pem"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // Where the tests are not root, the files are theirs already.
    let _ = Command::new("chown").arg("-R").arg("postgres").arg(dir).output();
    let made = as_postgres(&bin.join("initdb"))
        .args(["--auth=scram-sha-256", "--username=admin", "--no-sync", "--encoding=UTF8"])
        .arg("--pwfile")
        .arg(path("password"))
        .arg("-D")
        .arg(path("data"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let rules = "local all all scram-sha-256\nhost all old 127.0.0.1/32 md5\n\
                 host all told 127.0.0.1/32 password\nhost all all 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(path("data/pg_hba.conf"), rules).unwrap();
}

impl Server {
    pub fn start() -> Option<Self> {
        let bin = programs()?;
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        initialise(&bin, dir.path());
        let (child, port) = listening("postgres", |port| {
            as_postgres(&bin.join("postgres"))
                .arg("-D")
                .arg(path("data"))
                .args([
                    "-p",
                    &port.to_string(),
                    "-c",
                    "listen_addresses=127.0.0.1",
                    "-c",
                    "fsync=off",
                ])
                .arg("-c")
                .arg(format!("unix_socket_directories={}", dir.path().display()))
                .args(["-c", "ssl=on", "-c"])
                .arg(format!("ssl_cert_file={}", path("ca.pem").display()))
                .arg("-c")
                .arg(format!("ssl_key_file={}", path("key.pem").display()))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        });
        let server = Self { dir, child, port };
        wait_until("the server", || server.psql("postgres", "SELECT 1").is_ok());
        server.psql("postgres", "CREATE DATABASE ward").unwrap();
        let roles = format!(
            "CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}';
             SET password_encryption = md5; CREATE ROLE old LOGIN PASSWORD '{PASSWORD}';
             CREATE ROLE told LOGIN PASSWORD '{PASSWORD}';"
        );
        server.psql("ward", &roles).unwrap();
        Some(server)
    }

    pub fn psql(&self, database: &str, text: &str) -> Result<String, String> {
        let output = Command::new("psql")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "admin", "-d", database])
            .args(["-v", "ON_ERROR_STOP=1", "-Atq", "-c", text])
            .env("PGPASSWORD", PASSWORD)
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// The address of the database for a role.
    pub fn address(&self, user: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/ward", self.port)
    }

    /// Copies a CSV file of numbers into a table.
    pub fn load(&self, table: &str, file: &Path) {
        let text = std::fs::read_to_string(file).unwrap();
        let names = text.lines().next().unwrap();
        let columns: Vec<String> =
            names.split(',').map(|name| format!("\"{name}\" double precision")).collect();
        let copy = format!(
            "CREATE TABLE {table} (row serial, {}); GRANT SELECT ON {table} TO reader",
            columns.join(", ")
        );
        self.psql("ward", &copy).unwrap();
        let names: Vec<String> = names.split(',').map(|name| format!("\"{name}\"")).collect();
        let copy =
            format!("\\copy {table} ({}) FROM '{}' CSV HEADER", names.join(","), file.display());
        self.psql("ward", &copy).unwrap();
    }
}
