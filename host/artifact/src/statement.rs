//! A signer's statement about a plan: an in-toto statement v1
//! (github.com/in-toto/attestation) about the component's exact bytes.

use std::collections::BTreeMap;

use fedwasm_protocol::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Component, Provenance, Source};

const TYPE: &str = "https://in-toto.io/Statement/v1";
/// Versions that statements of other kinds may have.
const TYPES: [&str; 2] = [TYPE, "https://in-toto.io/Statement/v0.1"];
/// The predicate type of a plan.
pub const PREDICATE_TYPE: &str = "urn:fedwasm:plan:v1";

/// A statement about a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    /// The predicate.
    pub predicate: Predicate,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

/// The predicate of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predicate {
    /// The contract that it was built for.
    pub world: String,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// The interfaces that it exports.
    pub exports: Vec<String>,
    /// Its name, version, task, arguments and needs, as it describes itself.
    pub description: Value,
    /// Compiler, lock file and sources, by the component's own word.
    pub build: Option<Provenance>,
    /// The sources, if the signer had them.
    pub source: Option<Source>,
}

/// Why a statement is not one about a component.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// It is about these bytes, but of another kind, such as one about their build.
    #[error("the statement has another predicate type: {predicate}")]
    Other {
        /// Its predicate's type.
        predicate: String,
    },
    /// It is wrong.
    #[error("the statement is not about this plan: {reason}")]
    Wrong {
        /// The reason.
        reason: String,
    },
}

/// The fields of statements of every kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<HeadSubject>,
    predicate_type: String,
}

#[derive(Deserialize)]
struct HeadSubject {
    #[serde(default)]
    digest: BTreeMap<String, String>,
}

impl Statement {
    /// The statement about a component. `name` is its file's, `description` its own description.
    pub fn new(
        component: &Component,
        name: &str,
        description: Value,
        source: Option<Source>,
    ) -> Self {
        let inspection = component.inspect();
        let digest = [("sha256".to_owned(), component.digest().to_string())].into();
        Self {
            kind: TYPE.into(),
            subject: vec![Subject { name: name.to_owned(), digest }],
            predicate_type: PREDICATE_TYPE.into(),
            predicate: Predicate {
                world: inspection.world,
                imports: inspection.imports,
                exports: inspection.exports,
                description,
                build: inspection.build,
                source,
            },
        }
    }

    /// Writes it as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // No map has keys other than texts.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a statement, which must be about this component and say of it
    /// what its bytes say.
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn about(json: &[u8], component: &Component) -> Result<Self, StatementError> {
        let wrong = |reason: String| Err(StatementError::Wrong { reason });
        let head: Head = match serde_json::from_slice(json) {
            Ok(head) => head,
            Err(error) => return wrong(error.to_string()),
        };
        if !TYPES.contains(&head.kind.as_str()) {
            return wrong(format!("the type is not {TYPE}"));
        }
        let is_it = |subject: &HeadSubject| {
            let digest = subject.digest.get("sha256").and_then(|text| text.parse::<Digest>().ok());
            digest == Some(component.digest())
        };
        if !head.subject.iter().any(is_it) {
            return wrong("it names the digest of other bytes".into());
        }
        if head.predicate_type != PREDICATE_TYPE {
            return Err(StatementError::Other { predicate: head.predicate_type });
        }
        let this: Self = match serde_json::from_slice(json) {
            Ok(this) => this,
            Err(error) => return wrong(error.to_string()),
        };
        if this.kind != TYPE {
            return wrong(format!("the type is not {TYPE}"));
        }
        let own = component.inspect();
        let said = &this.predicate;
        if (&said.world, &said.imports, &said.exports, &said.build)
            != (&own.world, &own.imports, &own.exports, &own.build)
        {
            return wrong("world, imports, exports or build do not match the bytes".into());
        }
        Ok(this)
    }
}
