//! What a signer says of a plan: an in-toto statement v1
//! (github.com/in-toto/attestation) about the component's exact bytes.

use std::collections::BTreeMap;

use fedwasm_protocol::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Component, Provenance, Source};

const TYPE: &str = "https://in-toto.io/Statement/v1";
/// What the predicate of a plan is called.
pub const PREDICATE_TYPE: &str = "urn:fedwasm:plan:v1";

/// A statement about a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    /// What is said.
    pub predicate: Predicate,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

/// What is said of a plan.
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
#[error("the statement is not about this plan: {reason}")]
pub struct StatementError {
    /// What is wrong.
    pub reason: String,
}

impl Statement {
    /// What can be said of a component. `name` is its file's, `description` what it says of itself.
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
        let wrong = |reason: String| Err(StatementError { reason });
        let this: Self = match serde_json::from_slice(json) {
            Ok(this) => this,
            Err(error) => return wrong(error.to_string()),
        };
        if this.kind != TYPE || this.predicate_type != PREDICATE_TYPE {
            return wrong(format!("another type than {PREDICATE_TYPE}"));
        }
        let is_it = |subject: &Subject| {
            let digest = subject.digest.get("sha256").and_then(|text| text.parse::<Digest>().ok());
            digest == Some(component.digest())
        };
        if !this.subject.iter().any(is_it) {
            return wrong("it names other bytes".into());
        }
        let own = component.inspect();
        let said = &this.predicate;
        if (&said.world, &said.imports, &said.exports, &said.build)
            != (&own.world, &own.imports, &own.exports, &own.build)
        {
            return wrong("world, imports, exports or build are not those of the bytes".into());
        }
        Ok(this)
    }
}
