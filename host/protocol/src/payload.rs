//! Bytes that ride in a message if they are few, and lie in the repository if
//! they are many.

use serde::{Deserialize, Serialize};

use crate::BlobRef;

/// The most bytes of all payloads that ride in one message: a quarter of it.
pub const INLINE_BYTES_MAX: usize = 16 << 10;

/// Bytes with their digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// Digest and length.
    pub blob: BlobRef,
    /// The bytes, if they ride along; otherwise the repository has them.
    #[serde(with = "serde_bytes")]
    inline: Option<Vec<u8>>,
}

impl Payload {
    /// Returns a payload that rides in the message.
    pub fn inline(bytes: Vec<u8>) -> Self {
        Self { blob: BlobRef::of(&bytes), inline: Some(bytes) }
    }

    /// Returns a payload that the repository has.
    pub fn stored(blob: BlobRef) -> Self {
        Self { blob, inline: None }
    }

    /// Returns the bytes that the message carries; none if it carries only their digest.
    ///
    /// # Errors
    /// [`WrongPayload`] if they do not match the digest.
    pub fn bytes(&self) -> Result<Option<&[u8]>, WrongPayload> {
        match &self.inline {
            Some(bytes) if self.blob.matches(bytes) => Ok(Some(bytes)),
            Some(_) => Err(WrongPayload { expected: self.blob }),
            None => Ok(None),
        }
    }
}

/// Bytes in a message that do not match the digest beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a payload in a message does not have the digest {} that the message names",
    expected.sha256
)]
pub struct WrongPayload {
    /// The digest in the message.
    pub expected: BlobRef,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_ride_along_are_checked() {
        let mut payload = Payload::inline(vec![1, 2, 3]);
        let bytes = rmp_serde::to_vec_named(&payload).unwrap();
        assert_eq!(rmp_serde::from_slice::<Payload>(&bytes).unwrap(), payload);
        assert_eq!(payload.bytes().unwrap(), Some(&[1, 2, 3][..]));
        payload.inline = Some(vec![1, 2, 4]);
        assert!(payload.bytes().is_err());
        assert_eq!(Payload::stored(payload.blob).bytes(), Ok(None));
    }
}
