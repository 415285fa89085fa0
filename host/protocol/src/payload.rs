//! Bytes that ride in a message if they are few, and lie in the repository if
//! they are many.

use serde::{Deserialize, Serialize};

use crate::BlobRef;

/// The most bytes of all payloads that ride in one message, and the most of the parameters beside
/// them: a quarter of it each.
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
            Some(_) => Err(WrongPayload::Digest { expected: self.blob }),
            None => Ok(None),
        }
    }
}

/// Returns the bytes that a message carries beside the reference to them; none if the repository
/// has them.
///
/// * `inline` — at most [`INLINE_BYTES_MAX`].
///
/// # Errors
/// [`WrongPayload`].
pub fn carried<'a>(
    blob: &BlobRef,
    inline: Option<&'a [u8]>,
) -> Result<Option<&'a [u8]>, WrongPayload> {
    match inline {
        Some(bytes) if bytes.len() > INLINE_BYTES_MAX => {
            Err(WrongPayload::TooLong { got: bytes.len() })
        }
        Some(bytes) if !blob.matches(bytes) => Err(WrongPayload::Digest { expected: *blob }),
        carried => Ok(carried),
    }
}

/// Bytes in a message that may not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrongPayload {
    /// They do not match the digest beside them.
    #[error(
        "a payload in a message does not have the digest {} that the message names",
        expected.sha256
    )]
    Digest {
        /// The digest in the message.
        expected: BlobRef,
    },
    /// They are more than may ride along.
    #[error(
        "a message carries a payload of {got} bytes, at most {INLINE_BYTES_MAX} may ride along"
    )]
    TooLong {
        /// Bytes.
        got: usize,
    },
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

    #[test]
    fn bytes_beside_a_reference_are_few_and_those_that_it_names() {
        let long = vec![7; INLINE_BYTES_MAX + 1];
        let small = &long[1..];
        let blob = BlobRef::of(small);
        assert_eq!(carried(&blob, Some(small)), Ok(Some(small)));
        assert_eq!(carried(&blob, None), Ok(None));
        let other = carried(&blob, Some(&small[1..]));
        assert_eq!(other, Err(WrongPayload::Digest { expected: blob }));
        let got = long.len();
        let longer = carried(&BlobRef::of(&long), Some(&long));
        assert_eq!(longer, Err(WrongPayload::TooLong { got }));
    }
}
