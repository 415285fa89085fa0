//! Updates in fewer bytes, after all that protects them: the result becomes what the researcher will
//! read, and receipts are about that.

use fedwasm_params::{DType, Params};
use fedwasm_privacy::{compress, decompress};
use fedwasm_protocol::{Compression, Mode, Reason, Refusal, RoundRequest};
use fedwasm_sandbox::{Declaration, TensorSpec};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::release::{Released, moved_by, update_of};
use crate::refusal::refusal;
use crate::round::Done;
use crate::secagg::summed;

/// How a round's update travels, and the seed that it is rounded by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compressing {
    pub(crate) compression: Compression,
    pub(crate) seed: [u8; 32],
}

/// Refuses a plan whose updates cannot be compressed, before it sees a row.
pub(crate) fn check_compression(
    request: &RoundRequest,
    declaration: &Declaration,
) -> Result<(), Refusal> {
    if request.training.compression.is_none() || request.mode != Mode::Train {
        return Ok(());
    }
    let is_real = |spec: &&TensorSpec| matches!(spec.dtype, DType::Float32 | DType::Float64);
    match summed(declaration).find(|spec| !is_real(spec)) {
        None => Ok(()),
        Some(spec) => {
            let text = format!(
                "`training.compression` is for float32 and float64, and `{}` is {}: leave it out",
                spec.name, spec.dtype
            );
            Err(refusal(Reason::Unsupported, text))
        }
    }
}

impl Released {
    /// The same with the update as it travels.
    ///
    /// * `received` — the parameters that the round started from, as safetensors.
    ///
    /// # Errors
    /// In words for the node's log: they follow from rows.
    pub(crate) fn compressed(
        self,
        received: &[u8],
        declaration: &Declaration,
        Compressing { compression, seed }: Compressing,
    ) -> Result<Self, fedwasm_privacy::Error> {
        let (done, masked) = self.into_parts();
        let Some(trained) = &done.params else { return Ok(Self::of(done, masked)) };
        let (start, update) = update_of(trained, received, declaration)?;
        let lengths = lengths(&start);
        let rng = &mut ChaCha20Rng::from_seed(seed);
        let compressed = compress(&update, &lengths, compression, rng)?;
        let update = decompress(&compressed, &lengths, compression)?;
        let params = Some(moved_by(&start, &update, received, declaration)?);
        Ok(Self::of(Done { params, compressed: Some(compressed), ..done }, masked))
    }
}

/// How many values each tensor has.
fn lengths(params: &Params) -> Vec<usize> {
    params.iter().map(|(_, tensor)| tensor.data().len() / tensor.dtype().size()).collect()
}
