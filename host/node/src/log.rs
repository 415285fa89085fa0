//! The log of a node: requests, decisions, runs and results that
//! left. Entries are only ever added; a Merkle tree over them (RFC 6962) with a
//! signed checkpoint shows if one was changed or taken out.

use std::collections::BTreeSet;

use fedwasm_protocol::Digest;
use fedwasm_trust::merkle::{self, Hash, Tree};
use fedwasm_trust::{Envelope, PublicKey};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::Tampering;
use crate::{Database, Error};

/// The most entries that wait for the next one: more are as many as rounds that run.
const LATER_MAX: usize = 16;
/// The media type of a checkpoint.
const TYPE: &str = "application/vnd.fedwasm.checkpoint+json";

/// An entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// Its number, from 0.
    pub number: u64,
    /// When, in milliseconds of Unix time.
    pub time_ms: u64,
    /// The kind of event, such as `approved` or `run`.
    pub kind: String,
    /// Its facts.
    pub fields: Map<String, Value>,
}

/// An entry that waits for the next one.
#[derive(Debug)]
pub(crate) struct Later {
    pub(crate) time_ms: u64,
    pub(crate) kind: &'static str,
    pub(crate) fields: Value,
}

/// How long the log is, and the hash that fixes all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Entries.
    pub size: u64,
    /// The root of the Merkle tree over them.
    pub root: Digest,
    /// When it was signed, in milliseconds of Unix time.
    pub time_ms: u64,
}

/// Adds an entry, together with all other changes of this transaction.
pub(crate) fn append(
    database: &Database,
    write: &Transaction<'_>,
    time_ms: u64,
    kind: &str,
    fields: &Value,
) -> Result<u64, Error> {
    let mut entry =
        Map::from_iter([("time_ms".to_owned(), json!(time_ms)), ("kind".to_owned(), json!(kind))]);
    if let Value::Object(fields) = fields {
        entry.extend(fields.clone());
    }
    let entry = Value::Object(entry).to_string();
    let mut tree = load_tree(write)?.map_or_else(Tree::default, |(tree, _)| tree);
    let (number, leaf) = (tree.size, merkle::leaf(entry.as_bytes()));
    tree.push(leaf);
    let checkpoint = Checkpoint { size: tree.size, root: tree.root().into(), time_ms };
    let checkpoint = serde_json::to_vec(&checkpoint).unwrap_or_default();
    let checkpoint = Envelope::sign(TYPE, &checkpoint, database.key())?.to_json();
    write.execute(
        "INSERT INTO log (number, entry, leaf) VALUES (?1, ?2, ?3)",
        params![number as i64, entry, leaf],
    )?;
    write.execute(
        "INSERT INTO tree (only, tree, checkpoint) VALUES (1, ?1, ?2)
         ON CONFLICT (only) DO UPDATE SET tree = ?1, checkpoint = ?2",
        params![serde_json::to_string(&tree).unwrap_or_default(), checkpoint],
    )?;
    Ok(number)
}

fn load_tree(connection: &Connection) -> Result<Option<(Tree, Vec<u8>)>, Error> {
    let row = connection.query_row("SELECT tree, checkpoint FROM tree", [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))
    });
    let Some((tree, checkpoint)) = row.optional()? else { return Ok(None) };
    let tree = serde_json::from_str(&tree).map_err(malformed)?;
    Ok(Some((tree, checkpoint)))
}

impl Database {
    /// Adds an entry to the log.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn record(&self, time_ms: u64, kind: &str, fields: &Value) -> Result<u64, Error> {
        self.write(|write| append(self, write, time_ms, kind, fields))
    }

    /// Adds an entry together with the next one, or when [`Database::flush`] is called. A crash
    /// before that loses it: only for what nothing depends on.
    ///
    /// # Errors
    /// [`Error::Database`], if too many wait already.
    pub(crate) fn record_later(&self, entry: Later) -> Result<(), Error> {
        let waiting = {
            let mut later = self.later();
            later.push(entry);
            later.len()
        };
        if waiting < LATER_MAX { Ok(()) } else { self.flush() }
    }

    /// Writes the entries that wait.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) fn flush(&self) -> Result<(), Error> {
        let is_empty = self.later().is_empty();
        if is_empty { Ok(()) } else { self.write(|_| Ok(())) }
    }

    /// The entries from number `first` on, at most `max`.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::Malformed`].
    pub fn log(&self, first: u64, max: u64) -> Result<Vec<LogEntry>, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT number, entry FROM log WHERE number >= ?1 ORDER BY number LIMIT ?2",
            )?;
            let rows = statement.query_map(params![first as i64, max as i64], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })?;
            rows.map(|row| {
                let (number, entry) = row?;
                parse(number as u64, &entry)
            })
            .collect()
        })
    }

    /// Checks the whole log: that the tree was made of these entries, and that the
    /// newest checkpoint is the node's own word about exactly this tree.
    ///
    /// # Errors
    /// [`Error::Log`] naming the first entry that is wrong; [`Error::Database`].
    pub fn check_log(&self, keys: &[PublicKey]) -> Result<Option<Checkpoint>, Error> {
        self.read(|connection| {
            let Some((known, signed)) = load_tree(connection)? else {
                let query = "SELECT count(*) FROM log";
                let n: i64 = connection.query_row(query, [], |row| row.get(0))?;
                return match n {
                    0 => Ok(None),
                    entries => Err(Tampering::NoTree { entries }.into()),
                };
            };
            let mut statement =
                connection.prepare("SELECT number, entry, leaf FROM log ORDER BY number")?;
            let mut rows = statement.query([])?;
            let mut tree = Tree::default();
            while let Some(row) = rows.next()? {
                let number: i64 = row.get(0)?;
                let (entry, leaf): (String, Vec<u8>) = (row.get(1)?, row.get(2)?);
                if number != tree.size as i64 {
                    return Err(Tampering::Missing { number: tree.size }.into());
                }
                let own: Hash = merkle::leaf(entry.as_bytes());
                if leaf != own {
                    return Err(Tampering::Changed { number }.into());
                }
                tree.push(own);
            }
            if tree != known {
                let (entries, of_tree) = (tree.size, known.size);
                return Err(Tampering::OtherTree { entries, of_tree }.into());
            }
            let checkpoint = verify_by_any(&signed, keys)?;
            if (checkpoint.size, checkpoint.root) != (tree.size, tree.root().into()) {
                return Err(Tampering::OtherCheckpoint.into());
            }
            Ok(Some(checkpoint))
        })
    }

    /// Checks that the registry has each decision that the log has, and no other: one that is
    /// gone might be a revocation.
    ///
    /// # Errors
    /// [`Error::Log`] naming a decision; [`Error::Database`].
    pub fn check_decisions(&self) -> Result<(), Error> {
        self.read(|connection| {
            let mut statement = connection.prepare("SELECT signed FROM decision")?;
            let signed = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
            let mut kept = BTreeSet::new();
            for signed in signed {
                kept.insert(Digest::of(&signed?).to_string());
            }
            let mut statement = connection.prepare(
                "SELECT number, json_extract(entry, '$.kind'), json_extract(entry, '$.plan'),
                 json_extract(entry, '$.decision_sha256') FROM log
                 WHERE json_extract(entry, '$.decision_sha256') IS NOT NULL ORDER BY number",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (number, kind): (i64, String) = (row.get(0)?, row.get(1)?);
                let (plan, digest): (String, String) = (row.get(2)?, row.get(3)?);
                if !kept.remove(&digest) {
                    return Err(Tampering::NoDecision { number, plan, kind }.into());
                }
            }
            match kept.first() {
                None => Ok(()),
                Some(digest) => Err(Tampering::UnknownDecision { digest: digest.clone() }.into()),
            }
        })
    }

    /// Whether an entry of a run names this receipt.
    pub(crate) fn has_run(&self, receipt: &Digest) -> Result<bool, Error> {
        self.read(|connection| {
            let query = "SELECT EXISTS (SELECT 1 FROM log WHERE
                         json_extract(entry, '$.kind') = 'run'
                         AND json_extract(entry, '$.receipt') = ?1)";
            Ok(connection.query_row(query, [receipt.to_string()], |row| row.get(0))?)
        })
    }

    /// The newest signed checkpoint: an auditor keeps it, to see later that nothing before
    /// it was changed.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn checkpoint(&self) -> Result<Option<Vec<u8>>, Error> {
        self.read(|connection| Ok(load_tree(connection)?.map(|(_, checkpoint)| checkpoint)))
    }

    /// Checks that an earlier checkpoint is one of this log: that its entries are still the
    /// first ones.
    ///
    /// # Errors
    /// [`Error::Log`], [`Error::Trust`] if it is not this node's; [`Error::Database`].
    pub fn check_since(&self, earlier: &[u8], keys: &[PublicKey]) -> Result<Checkpoint, Error> {
        let earlier = verify_by_any(earlier, keys)?;
        self.read(|connection| {
            let mut statement =
                connection.prepare("SELECT entry FROM log WHERE number < ?1 ORDER BY number")?;
            let rows = statement.query_map([earlier.size as i64], |row| row.get::<_, String>(0))?;
            let mut tree = Tree::default();
            for entry in rows {
                tree.push(merkle::leaf(entry?.as_bytes()));
            }
            if (tree.size, Digest::from(tree.root())) != (earlier.size, earlier.root) {
                return Err(Tampering::OtherBeginning { entries: earlier.size }.into());
            }
            Ok(earlier)
        })
    }
}

/// Reads a checkpoint that one of a node's keys signed.
fn verify_by_any(signed: &[u8], keys: &[PublicKey]) -> Result<Checkpoint, Error> {
    let mut failed = Tampering::NoKey;
    for key in keys {
        match verify_checkpoint(signed, key) {
            Ok(checkpoint) => return Ok(checkpoint),
            Err(error) => failed = Tampering::NotSigned { source: Box::new(error) },
        }
    }
    Err(failed.into())
}

/// Reads a checkpoint that this key signed.
///
/// # Errors
/// [`Error::Trust`], [`Error::Malformed`].
pub fn verify_checkpoint(signed: &[u8], key: &PublicKey) -> Result<Checkpoint, Error> {
    let envelope = Envelope::from_json("the checkpoint", signed)?;
    let json = envelope.verify("the checkpoint", TYPE, key)?;
    serde_json::from_slice(&json).map_err(malformed)
}

fn parse(number: u64, entry: &str) -> Result<LogEntry, Error> {
    let mut fields: Map<String, Value> = serde_json::from_str(entry).map_err(malformed)?;
    let time_ms = fields.remove("time_ms").and_then(|value| value.as_u64()).unwrap_or_default();
    let kind = fields.remove("kind");
    let kind = kind.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(LogEntry { number, time_ms, kind, fields })
}

fn malformed(source: serde_json::Error) -> Error {
    Error::Malformed { file: "registry.db".into(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_trust::Identity;

    fn database(dir: &std::path::Path) -> Database {
        let who = "node-n".parse().unwrap();
        let identity = Identity::open_or_create(&dir.join("identity"), |_| who).unwrap();
        Database::open(dir, &identity).unwrap()
    }

    fn keys(database: &Database) -> Vec<PublicKey> {
        vec![database.key().public().clone()]
    }

    fn change(dir: &std::path::Path, sql: &str) {
        let connection = Connection::open(dir.join("registry.db")).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    #[test]
    fn a_log_that_was_changed_anywhere_says_where() {
        for (sql, expected) in [
            ("UPDATE log SET entry = replace(entry, 'two', 'too')", "entry 1 was changed"),
            ("DELETE FROM log WHERE number = 1", "entry 1 is missing"),
            ("DELETE FROM log WHERE number = 2", "entries do not match the tree"),
            ("DELETE FROM tree", "there are 3 entries, but the tree is missing"),
            (
                "INSERT INTO log SELECT number + 1, entry, leaf FROM log WHERE number = 2",
                "entries do not match the tree",
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let database = database(dir.path());
            assert_eq!(database.check_log(&keys(&database)).unwrap(), None);
            for (n, what) in ["one", "two", "three"].into_iter().enumerate() {
                let number = database.record(n as u64, "said", &json!({ "what": what })).unwrap();
                assert_eq!(number, n as u64);
            }
            let checkpoint = database.check_log(&keys(&database)).unwrap().unwrap();
            assert_eq!(checkpoint.size, 3);
            let log = database.log(1, 10).unwrap();
            assert_eq!((log.len(), &log[0].fields["what"]), (2, &json!("two")));
            change(dir.path(), sql);
            let error = database.check_log(&keys(&database)).unwrap_err().to_string();
            assert!(error.contains(expected), "{sql}: {error}");
        }
    }

    #[test]
    fn an_entry_that_waits_is_written_before_the_next_one_and_survives_a_failed_transaction() {
        let dir = tempfile::tempdir().unwrap();
        let database = database(dir.path());
        let later = |time_ms| Later { time_ms, kind: "waited", fields: json!({ "n": time_ms }) };
        let kinds = || -> Vec<(String, u64)> {
            let log = database.log(0, 100).unwrap();
            log.into_iter().map(|entry| (entry.kind, entry.time_ms)).collect()
        };
        let said = |kind: &str, time_ms| (kind.to_owned(), time_ms);
        database.record_later(later(1)).unwrap();
        assert_eq!(kinds(), []);
        let failed = database.write(|_| Err::<(), _>(Error::damaged("x", "as the test wants it")));
        assert!(failed.is_err() && kinds().is_empty());
        // Entries get the next numbers, in the order of events.
        assert_eq!(database.record(2, "said", &json!({})).unwrap(), 1);
        assert_eq!(kinds(), [said("waited", 1), said("said", 2)]);
        database.flush().unwrap();
        assert_eq!(kinds().len(), 2);
        database.record_later(later(3)).unwrap();
        database.flush().unwrap();
        assert_eq!(kinds()[2..], [said("waited", 3)]);
        // Never more than a few wait.
        for n in 0..LATER_MAX as u64 {
            database.record_later(later(4 + n)).unwrap();
        }
        assert_eq!(kinds().len(), 3 + LATER_MAX);
        assert_eq!(database.check_log(&keys(&database)).unwrap().unwrap().size, 19);
    }

    #[test]
    fn a_log_that_was_written_again_is_not_that_of_an_earlier_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let database = database(dir.path());
        database.record(1, "said", &json!({ "what": "one" })).unwrap();
        let earlier = database.checkpoint().unwrap().unwrap();
        database.record(2, "said", &json!({ "what": "two" })).unwrap();
        assert_eq!(database.check_since(&earlier, &keys(&database)).unwrap().size, 1);
        // The owner of the key can write a whole new log that is consistent in itself.
        change(dir.path(), "DELETE FROM log; DELETE FROM tree");
        database.record(1, "said", &json!({ "what": "other" })).unwrap();
        database.check_log(&keys(&database)).unwrap();
        let error = database.check_since(&earlier, &keys(&database)).unwrap_err().to_string();
        assert!(error.contains("the first 1 entries do not match"), "{error}");
    }
}
