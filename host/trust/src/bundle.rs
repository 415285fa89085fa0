//! Sigstore bundles v0.3 (github.com/sigstore/protobuf-specs, `bundle.proto`), detached: a
//! signature of a file's exact bytes, or of a statement about it in a DSSE envelope. The key is
//! named by a hint alone, so a bundle brings no trust of its own.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fedwasm_protocol::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Envelope, Error, Fingerprint, KeyPair, PublicKey};

/// The media type of a bundle.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The payload type of an in-toto statement.
const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";
/// The largest bundle that is read, in bytes.
pub const BUNDLE_BYTES_MAX: u64 = 1 << 20;

/// A detached signature.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    media_type: String,
    verification_material: Material,
    #[serde(flatten)]
    content: Content,
}

/// The field that every version of a bundle has first.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typed {
    media_type: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<Hint>,
    #[serde(default)]
    tlog_entries: Vec<Value>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Hint {
    #[serde(default)]
    hint: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Content {
    #[serde(rename_all = "camelCase")]
    MessageSignature {
        message_digest: MessageDigest,
        signature: String,
    },
    DsseEnvelope(Envelope),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct MessageDigest {
    algorithm: String,
    digest: String,
}

impl Bundle {
    /// Signs the exact bytes of a file.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn sign_bytes(bytes: &[u8], key: &KeyPair) -> Result<Self, Error> {
        let digest = STANDARD.encode(Digest::of(bytes).as_bytes());
        let message_digest = MessageDigest { algorithm: "SHA2_256".into(), digest };
        let signature = STANDARD.encode(key.sign(bytes)?);
        Ok(Self::new(Content::MessageSignature { message_digest, signature }, key))
    }

    /// Signs an in-toto statement.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn sign_statement(statement: &[u8], key: &KeyPair) -> Result<Self, Error> {
        let envelope = Envelope::sign(STATEMENT_TYPE, statement, key)?;
        Ok(Self::new(Content::DsseEnvelope(envelope), key))
    }

    fn new(content: Content, key: &KeyPair) -> Self {
        let hint = Some(Hint { hint: key.public().fingerprint().to_string() });
        let verification_material = Material { public_key: hint, tlog_entries: Vec::new() };
        Self { media_type: MEDIA_TYPE.into(), verification_material, content }
    }

    /// Reads a bundle; nothing in it is believed.
    ///
    /// # Errors
    /// [`Error::BundleVersion`], [`Error::Malformed`].
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let malformed = |error: serde_json::Error| Error::Malformed {
            what: "the bundle".into(),
            reason: error.into(),
        };
        // First: other versions hold other things.
        let typed: Typed = serde_json::from_slice(json).map_err(malformed)?;
        if typed.media_type != MEDIA_TYPE {
            let got = fedwasm_protocol::plain(&typed.media_type, 100);
            return Err(Error::BundleVersion { got, expected: MEDIA_TYPE });
        }
        serde_json::from_slice(json).map_err(malformed)
    }

    /// Writes it as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Texts alone cannot fail.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// The key that it names as its own. Only a hint.
    pub fn hint(&self) -> Option<Fingerprint> {
        self.verification_material.public_key.as_ref()?.hint.parse().ok()
    }

    /// Whether it holds a statement, and not a signature of bytes.
    pub fn is_statement(&self) -> bool {
        matches!(self.content, Content::DsseEnvelope(_))
    }

    /// Checks that `key` signed exactly these bytes; messages call them `what`.
    ///
    /// # Errors
    /// [`Error::Signature`], [`Error::Malformed`].
    pub fn verify_bytes(
        &self,
        what: &'static str,
        bytes: &[u8],
        key: &PublicKey,
    ) -> Result<(), Error> {
        let malformed =
            |reason: &str| Error::Malformed { what: "the bundle".into(), reason: reason.into() };
        let Content::MessageSignature { message_digest, signature } = &self.content else {
            return Err(malformed("it holds a statement instead of a signature of bytes"));
        };
        let digest = STANDARD.encode(Digest::of(bytes).as_bytes());
        if message_digest.algorithm != "SHA2_256" || message_digest.digest != digest {
            return Err(malformed("it signs other bytes"));
        }
        let signature = STANDARD.decode(signature).map_err(|_| malformed("no base64"))?;
        key.verify(what, bytes, &signature)
    }

    /// Returns the statement if `key` signed it.
    ///
    /// # Errors
    /// [`Error::Signature`], [`Error::Malformed`].
    pub fn verify_statement(&self, key: &PublicKey) -> Result<Vec<u8>, Error> {
        match &self.content {
            Content::DsseEnvelope(envelope) => {
                envelope.verify("the statement", STATEMENT_TYPE, key)
            }
            Content::MessageSignature { .. } => Err(Error::Malformed {
                what: "the bundle".into(),
                reason: "it does not hold a statement".into(),
            }),
        }
    }
}

/// All bundles beside a plan's file: `FILE.*.sigstore.json`, in order.
///
/// # Errors
/// Those of reading the directory.
pub fn bundles_beside(file: &Path) -> std::io::Result<Vec<PathBuf>> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let other = entry?.file_name();
        let other = other.to_string_lossy();
        if other.starts_with(&format!("{name}.")) && other.ends_with(".sigstore.json") {
            found.push(dir.join(&*other));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_sign_exact_bytes_and_statements() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let bundle = Bundle::sign_bytes(b"plan", &key).unwrap();
        let bundle = Bundle::from_json(&bundle.to_json()).unwrap();
        bundle.verify_bytes("it", b"plan", key.public()).unwrap();
        assert_eq!(bundle.hint(), Some(key.public().fingerprint()));
        assert!(bundle.verify_bytes("it", b"plam", key.public()).is_err());
        assert!(bundle.verify_bytes("it", b"plan", other.public()).is_err());
        assert!(bundle.verify_statement(key.public()).is_err());
        let statement = Bundle::sign_statement(b"{}", &key).unwrap();
        let statement = Bundle::from_json(&statement.to_json()).unwrap();
        assert_eq!(statement.verify_statement(key.public()).unwrap(), b"{}");
        assert!(statement.verify_statement(other.public()).is_err());
        assert!(statement.is_statement() && !bundle.is_statement());
    }

    #[test]
    fn bundles_that_are_none_are_refused() {
        let key = KeyPair::generate().unwrap();
        let good = Bundle::sign_bytes(b"plan", &key).unwrap().to_json();
        let good = String::from_utf8(good).unwrap();
        for (from, to) in
            [(MEDIA_TYPE, "application/x"), ("messageSignature", "signature"), ("{", "[")]
        {
            assert!(Bundle::from_json(good.replace(from, to).as_bytes()).is_err(), "{from}");
        }
        // Older versions hold other things, and are named.
        for old in ["+json;version=0.1", "+json;version=0.2", "+json;version=0.3"] {
            let old = format!("application/vnd.dev.sigstore.bundle{old}");
            let json = format!("{{\"mediaType\":\"{old}\",\"verificationMaterial\":7}}");
            let told = Bundle::from_json(json.as_bytes()).unwrap_err().to_string();
            assert!(told.contains(&format!("`{old}`")) && told.contains("v0.3+json"), "{told}");
        }
        let other = Bundle::from_json(good.replace("SHA2_256", "SHA2_512").as_bytes()).unwrap();
        assert!(other.verify_bytes("it", b"plan", key.public()).is_err());
    }
}
