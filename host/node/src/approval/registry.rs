//! The plans that a node knows, in its registry.

use std::collections::HashMap;

use fedwasm_artifact::Component;
use fedwasm_protocol::{ColumnRules, Digest, Participant, SIGNATURES_MAX};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;
use serde_json::{Value, json};

use crate::log::append;
use crate::{Database, Error};

const FILE: &str = "registry.db";
/// The most plans that wait for a decision: all, and of one researcher.
const PENDING_MAX: u64 = 256;
const PENDING_OF_ONE_MAX: u64 = 16;
/// The most bytes of plans that wait: all, and of one researcher.
const PENDING_BYTES_MAX: u64 = 1 << 30;
const PENDING_BYTES_OF_ONE_MAX: u64 = 128 << 20;

/// A plan that a node knows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KnownPlan {
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// Its name in the component's metadata.
    pub name: String,
    /// Its version in the component's metadata.
    pub version: String,
    /// The researcher who asked for it first, if one did.
    pub requested_by: Option<String>,
    /// Its purpose, in the words of the researcher who asked.
    pub description: String,
    /// How that researcher's data become numbers, by column.
    #[serde(skip_serializing_if = "ColumnRules::is_empty")]
    pub columns: ColumnRules,
    /// When it was first seen, in milliseconds of Unix time.
    pub first_seen_ms: u64,
}

/// A plan that is going to be known.
#[derive(Clone, Copy, Debug)]
pub struct Registration<'a> {
    /// Its bytes.
    pub component: &'a Component,
    /// Its signatures, Sigstore bundles.
    pub signatures: &'a [Vec<u8>],
    /// The researcher who asked for it, if one did.
    pub requested_by: Option<&'a Participant>,
    /// Its purpose, in the words of the researcher who asked; may be empty.
    pub description: &'a str,
    /// How columns of the data become numbers for it.
    pub columns: &'a ColumnRules,
    /// Whether it may run without a decision.
    pub is_trusted: bool,
}

impl Database {
    /// The plans that are known, the newest first.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn plans(&self) -> Result<Vec<KnownPlan>, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT digest, name, version, requested_by, first_seen_ms FROM plan
                 ORDER BY first_seen_ms DESC, digest",
            )?;
            let rows = statement.query_map([], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get::<_, i64>(4)?,
                ))
            })?;
            let mut purposes = purposes(connection)?;
            rows.map(|row| {
                let (digest, name, version, requested_by, first_seen_ms) = row?;
                let (description, columns) = purposes.remove(&digest).unwrap_or_default();
                let digest = digest.parse().map_err(|error| damaged_by("a digest", error))?;
                let first_seen_ms = first_seen_ms as u64;
                Ok(KnownPlan {
                    digest,
                    name,
                    version,
                    requested_by,
                    description,
                    columns,
                    first_seen_ms,
                })
            })
            .collect()
        })
    }

    /// The bytes of a plan, checked against its digest, and its signatures.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::NoPlan`], [`Error::Damaged`].
    pub fn plan(&self, digest: &Digest) -> Result<(Vec<u8>, Vec<Vec<u8>>), Error> {
        let found = self.read(|connection| {
            let query = "SELECT component, signatures FROM plan WHERE digest = ?1";
            let row = connection.query_row(query, [digest.to_string()], |row| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?))
            });
            Ok(row.optional()?)
        })?;
        let no_plan = || Error::NoPlan { digest: digest.to_string() };
        let (component, signatures) = found.ok_or_else(no_plan)?;
        if Digest::of(&component) != *digest {
            return Err(damaged("the bytes of a plan do not match their digest"));
        }
        let signatures: Vec<String> =
            serde_json::from_str(&signatures).map_err(|error| damaged_by("signatures", error))?;
        Ok((component, signatures.into_iter().map(String::into_bytes).collect()))
    }

    /// Takes a plan in, if it is not known. Whether it was not.
    ///
    /// # Errors
    /// [`Error::Database`]; [`Error::TooManyPlans`] if too many wait for a decision.
    pub fn register(&self, registration: &Registration<'_>, now_ms: u64) -> Result<bool, Error> {
        let &Registration { component, signatures, .. } = registration;
        let &Registration { requested_by, description, is_trusted, .. } = registration;
        let digest = component.digest().to_string();
        let texts: Vec<_> = signatures.iter().map(|s| String::from_utf8_lossy(s)).collect();
        let texts = serde_json::to_string(&texts).unwrap_or_default();
        let (name, version) = component.name_and_version();
        let (name, version) = (name.unwrap_or_default(), version.unwrap_or_default());
        let who = requested_by.map(Participant::to_string);
        self.write(|write| {
            if is_known(write, &digest)? {
                // Signatures may come later than the bytes, and from several researchers.
                let query = "SELECT signatures FROM plan WHERE digest = ?1";
                let known: String = write.query_row(query, [&digest], |row| row.get(0))?;
                let mut all: Vec<String> = serde_json::from_str(&known)
                    .map_err(|error| damaged_by("signatures", error))?;
                for signature in signatures {
                    let text = String::from_utf8_lossy(signature).into_owned();
                    if all.len() < SIGNATURES_MAX && !all.contains(&text) {
                        all.push(text);
                    }
                }
                let all = serde_json::to_string(&all).unwrap_or_default();
                write.execute(
                    "UPDATE plan SET signatures = ?2, trusted = max(trusted, ?3) WHERE digest = ?1",
                    params![digest, all, is_trusted],
                )?;
                return Ok(false);
            }
            if let (Some(who), false) = (&who, is_trusted) {
                check_room(write, who, component.bytes().len() as u64)?;
            }
            write.execute(
                "INSERT INTO plan (digest, component, signatures, name, version, requested_by,
                 first_seen_ms, trusted) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    digest,
                    component.bytes(),
                    texts,
                    name,
                    version,
                    who,
                    now_ms as i64,
                    is_trusted
                ],
            )?;
            let mut fields = json!({
                "plan": digest, "name": name, "version": version, "requested_by": who,
                "signatures": signatures.len(),
            });
            if !description.is_empty() {
                fields["description"] = json!(description);
            }
            if !registration.columns.is_empty() {
                fields["columns"] = json!(registration.columns);
            }
            append(self, write, now_ms, "registered", &fields)?;
            Ok(true)
        })
    }

    /// Deletes a plan without decisions.
    ///
    /// # Errors
    /// [`Error::NoPlan`], [`Error::Decided`], [`Error::Database`].
    pub fn forget(&self, digest: &Digest, now_ms: u64) -> Result<(), Error> {
        let text = digest.to_string();
        self.write(|write| {
            let query = "SELECT EXISTS (SELECT 1 FROM decision WHERE digest = ?1)";
            if write.query_row(query, [&text], |row| row.get::<_, bool>(0))? {
                return Err(Error::Decided { digest: text.clone() });
            }
            match write.execute("DELETE FROM plan WHERE digest = ?1", [&text])? {
                0 => Err(Error::NoPlan { digest: text.clone() }),
                _ => append(self, write, now_ms, "forgotten", &json!({ "plan": text })).map(drop),
            }
        })
    }

    /// Writes down the rules of the node if they are others than before.
    pub(crate) fn record_policy(&self, rules: &Value, now_ms: u64) -> Result<(), Error> {
        self.write(|write| {
            let query = "SELECT entry FROM log WHERE json_extract(entry, '$.kind') = 'policy'
                         ORDER BY number DESC LIMIT 1";
            let last: Option<String> = write.query_row(query, [], |row| row.get(0)).optional()?;
            let last = last.and_then(|entry| serde_json::from_str::<Value>(&entry).ok());
            if last.is_none_or(|last| last["rules"] != *rules) {
                append(self, write, now_ms, "policy", &json!({ "rules": rules }))?;
            }
            Ok(())
        })
    }
}

/// The purposes of plans and the rules of columns, by digest, from their registrations in the log.
fn purposes(connection: &Connection) -> Result<HashMap<String, (String, ColumnRules)>, Error> {
    let mut statement = connection.prepare(
        "SELECT json_extract(entry, '$.plan'), json_extract(entry, '$.description'),
         json_extract(entry, '$.columns') FROM log
         WHERE json_extract(entry, '$.kind') = 'registered'
         AND coalesce(json_extract(entry, '$.description'), json_extract(entry, '$.columns'))
         IS NOT NULL ORDER BY number",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, Option<String>>(2)?))
    })?;
    let purpose = |row: rusqlite::Result<(String, Option<String>, Option<String>)>| {
        let (digest, description, columns) = row?;
        let columns = columns.map(|columns| serde_json::from_str(&columns)).transpose();
        let columns = columns.map_err(|error| damaged_by("rules of columns", error))?;
        Ok((digest, (description.unwrap_or_default(), columns.unwrap_or_default())))
    };
    rows.map(purpose).collect()
}

pub(super) fn is_known(connection: &Connection, digest: &str) -> Result<bool, Error> {
    let query = "SELECT EXISTS (SELECT 1 FROM plan WHERE digest = ?1)";
    Ok(connection.query_row(query, [digest], |row| row.get(0))?)
}

/// Plans that strangers ask for must not fill the disk.
fn check_room(connection: &Connection, who: &str, bytes: u64) -> Result<(), Error> {
    let query = "SELECT count(*), coalesce(sum(length(component)), 0) FROM plan
                 WHERE NOT trusted AND (?1 IS NULL OR requested_by = ?1)
                 AND NOT EXISTS (SELECT 1 FROM decision WHERE decision.digest = plan.digest)";
    for (whose, of, plans_max, bytes_max) in [
        ("of this researcher", Some(who), PENDING_OF_ONE_MAX, PENDING_BYTES_OF_ONE_MAX),
        ("in all", None, PENDING_MAX, PENDING_BYTES_MAX),
    ] {
        let (plans, waiting): (i64, i64) =
            connection.query_row(query, [of], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let is_full =
            plans as u64 >= plans_max || (waiting as u64).saturating_add(bytes) > bytes_max;
        if is_full {
            let mib_max = bytes_max >> 20;
            return Err(Error::TooManyPlans { whose, max: plans_max, mib_max });
        }
    }
    Ok(())
}

impl Database {
    /// Whether a plan of so many bytes may wait here for a decision: checked before
    /// it is fetched.
    ///
    /// # Errors
    /// [`Error::TooManyPlans`], [`Error::Database`].
    pub(crate) fn check_room(&self, who: &Participant, bytes: u64) -> Result<(), Error> {
        self.read(|connection| check_room(connection, &who.to_string(), bytes))
    }
}

pub(super) fn damaged(reason: &str) -> Error {
    Error::damaged(FILE, reason)
}

pub(super) fn damaged_by(
    reason: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    let (file, reason) = (FILE.to_owned(), reason.to_owned());
    Error::Damaged { file, reason, source: Some(source.into()) }
}
