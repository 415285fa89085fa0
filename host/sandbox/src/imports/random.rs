//! `random`: the bytes that follow from the call's seed.

use wasmtime::Result;

use crate::contract::AccessError;
use crate::host::Host;
use crate::request::Export;
use crate::slot::CHUNK_BYTES_MAX;

impl Host {
    /// Returns the next `len` bytes of the session's stream.
    pub(crate) fn random_bytes(&mut self, len: u32) -> Result<Result<Vec<u8>, AccessError>> {
        self.enter()?;
        if matches!(self.export, Export::Describe | Export::Declare) {
            return Ok(Err(AccessError::Closed));
        }
        if len as usize > CHUNK_BYTES_MAX {
            return Ok(Err(AccessError::TooLarge));
        }
        let mut bytes = vec![0; len as usize];
        self.random.fill(&mut bytes);
        Ok(Ok(bytes))
    }
}
