//! How nodes get the parameters of a round: small ones ride in requests, large ones lie in the
//! repository, and so do small ones where a request has no room for them.

use std::collections::BTreeMap;

use fedwasm_protocol::{BlobRef, Body, INLINE_BYTES_MAX, NodeId};

use super::Job;
use crate::Error;

/// The parameters as nodes get them.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) blob: BlobRef,
    /// Their bytes, if they are small.
    small: Option<Vec<u8>>,
    is_stored: bool,
}

impl Given {
    /// Before there are any.
    pub(super) fn nothing() -> Self {
        Self::held(BlobRef::of(&[]))
    }

    /// Those that could not be stored yet.
    pub(super) fn held(blob: BlobRef) -> Self {
        Self { blob, small: None, is_stored: false }
    }

    /// Where they lie in the repository, if they do.
    pub(super) fn stored(&self) -> Option<BlobRef> {
        self.is_stored.then_some(self.blob)
    }

    /// Whether they must be stored before nodes are asked for anything.
    pub(super) fn is_held(&self) -> bool {
        self.small.is_none() && !self.is_stored
    }
}

impl Job {
    /// Makes parameters ready for requests.
    pub(super) async fn give(&self, bytes: Vec<u8>) -> Result<Given, Error> {
        if bytes.len() <= INLINE_BYTES_MAX && self.requests.are_messages() {
            let blob = BlobRef::of(&bytes);
            return Ok(Given { blob, small: Some(bytes), is_stored: false });
        }
        Ok(Given { blob: self.store(bytes).await?, small: None, is_stored: true })
    }

    /// Puts the parameters into requests for rounds if they are small, and stores them if a request
    /// has no room for them.
    pub(super) async fn give_params(
        &mut self,
        requests: &mut BTreeMap<NodeId, Body>,
    ) -> Result<(), Error> {
        let Some(small) = self.given.small.clone() else { return Ok(()) };
        let mut is_carried = true;
        for body in requests.values_mut() {
            is_carried &= carry(body, &small);
        }
        if !is_carried && !self.given.is_stored {
            self.store(small).await?;
            self.given.is_stored = true;
        }
        Ok(())
    }
}

/// Puts parameters into a request for a round; false if it has no room for them.
fn carry(body: &mut Body, params: &[u8]) -> bool {
    if let Body::Round(request) = body {
        request.params_inline = Some(params.to_vec());
    }
    let fits = body.fits();
    if let (Body::Round(request), false) = (body, fits) {
        request.params_inline = None;
    }
    fits
}
