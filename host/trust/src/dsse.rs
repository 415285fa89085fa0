//! DSSE v1 envelopes (github.com/secure-systems-lab/dsse): a typed payload with
//! signatures over its type and its bytes. The type is checked before the
//! payload is looked at, and only the bytes that were verified are used.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::{Error, KeyPair, PublicKey};

/// The most signatures that are looked at.
const SIGNATURES_MAX: usize = 16;

/// A payload and its signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// Base64 of the payload.
    payload: String,
    /// Its media type, part of the signed bytes.
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct EnvelopeSignature {
    /// A hint only: never trusted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    keyid: String,
    /// Base64 of the signature.
    sig: String,
}

impl Envelope {
    /// Signs a payload.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn sign(payload_type: &str, payload: &[u8], key: &KeyPair) -> Result<Self, Error> {
        let sig = key.sign(&pre_authentication_encoding(payload_type, payload))?;
        Ok(Self {
            payload: STANDARD.encode(payload),
            payload_type: payload_type.to_owned(),
            // Others' tools ask for one.
            signatures: vec![EnvelopeSignature {
                keyid: key.public().fingerprint().to_string(),
                sig: STANDARD.encode(sig),
            }],
        })
    }

    /// Returns the payload if it is of this type and `key` signed it.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Signature`]; both name `what`.
    pub fn verify(
        &self,
        what: &'static str,
        payload_type: &str,
        key: &PublicKey,
    ) -> Result<Vec<u8>, Error> {
        let malformed =
            |reason: String| Error::Malformed { what: what.to_owned(), reason: reason.into() };
        if self.payload_type != payload_type {
            return Err(malformed(format!("its payload type is not {payload_type}")));
        }
        if self.signatures.len() > SIGNATURES_MAX {
            return Err(malformed(format!("it has more than {SIGNATURES_MAX} signatures")));
        }
        let payload = STANDARD.decode(&self.payload);
        let payload = payload
            .map_err(|error| Error::Malformed { what: what.to_owned(), reason: error.into() })?;
        let signed = pre_authentication_encoding(payload_type, &payload);
        let mut failed = Error::Signature { what, key: key.fingerprint() };
        for signature in &self.signatures {
            let Ok(sig) = STANDARD.decode(&signature.sig) else { continue };
            match key.verify(what, &signed, &sig) {
                Ok(()) => return Ok(payload),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// The payload, without a check of its signatures. For messages alone.
    pub(crate) fn unverified_payload(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.payload).ok()
    }

    /// Reads an envelope; nothing in it is believed.
    ///
    /// # Errors
    /// [`Error::Malformed`], naming `what`.
    pub fn from_json(what: &str, json: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(json)
            .map_err(|error| Error::Malformed { what: what.to_owned(), reason: error.into() })
    }

    /// Writes it as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings alone cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The signed bytes: PAE of the protocol.
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the protocol's own text.
    #[test]
    fn encoding_is_that_of_the_protocol() {
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn payload_type_and_key_are_all_checked() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let envelope = Envelope::sign("a/b", b"payload", &key).unwrap();
        let envelope = Envelope::from_json("it", &envelope.to_json()).unwrap();
        assert_eq!(envelope.verify("it", "a/b", key.public()).unwrap(), b"payload");
        // The hint is only for tools that need one.
        assert_eq!(envelope.signatures[0].keyid, key.public().fingerprint().to_string());
        let mut hinted = envelope.clone();
        hinted.signatures[0].keyid = other.public().fingerprint().to_string();
        assert_eq!(hinted.verify("it", "a/b", key.public()).unwrap(), b"payload");
        hinted.signatures[0].keyid = String::new();
        assert_eq!(hinted.verify("it", "a/b", key.public()).unwrap(), b"payload");
        assert!(matches!(envelope.verify("it", "a/c", key.public()), Err(Error::Malformed { .. })));
        let stolen = Envelope { payload_type: "a/c".into(), ..envelope.clone() };
        assert!(matches!(stolen.verify("it", "a/c", key.public()), Err(Error::Signature { .. })));
        let changed = Envelope { payload: STANDARD.encode("other"), ..envelope.clone() };
        assert!(matches!(changed.verify("it", "a/b", key.public()), Err(Error::Signature { .. })));
        let none = Envelope { signatures: Vec::new(), ..envelope.clone() };
        assert!(matches!(none.verify("it", "a/b", key.public()), Err(Error::Signature { .. })));
        assert!(matches!(
            envelope.verify("it", "a/b", other.public()),
            Err(Error::Signature { .. })
        ));
    }
}
