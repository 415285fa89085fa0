//! Randomness from the host.

use fedwasm_compute::kernels::math;

use crate::Result;
use crate::imports::{self, CHUNK_BYTES_MAX};

/// Randomness from the host: the same seed gives the same numbers.
#[derive(Debug, Default)]
pub struct Random(());

impl Random {
    /// Returns the randomness of this call. There is one stream: who draws first gets its first
    /// numbers. Training draws others in every round and at every node, scoring always the same.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }

    /// Fills `values` with draws from U(-bound, bound): the upper 24 bits of a little-endian u32
    /// each, scaled to [-1, 1).
    ///
    /// # Errors
    /// [`crate::PlanError::Internal`] if the host gives no randomness here.
    pub fn fill_uniform(&mut self, values: &mut [f32], bound: f32) -> Result<()> {
        for chunk in values.chunks_mut(CHUNK_BYTES_MAX / 4) {
            let bytes = imports::random(4 * chunk.len())?;
            let (draws, _) = bytes.as_chunks::<4>();
            for (value, draw) in chunk.iter_mut().zip(draws) {
                let unit = (u32::from_le_bytes(*draw) >> 8) as f32 * (1.0 / 8_388_608.0) - 1.0;
                *value = unit * bound;
            }
        }
        Ok(())
    }

    /// Fills `values` with draws from the standard normal distribution by the polar method
    /// (Marsaglia and Bray 1964): two of each pair of uniform ones inside the unit circle.
    ///
    /// # Errors
    /// [`crate::PlanError::Internal`] if the host gives no randomness here.
    pub fn fill_normal(&mut self, values: &mut [f32]) -> Result<()> {
        let mut filled = 0;
        while filled < values.len() {
            let mut uniform = vec![0.0; (values.len() - filled).next_multiple_of(2)];
            self.fill_uniform(&mut uniform, 1.0)?;
            for pair in uniform.chunks_exact(2) {
                let square = pair[0] * pair[0] + pair[1] * pair[1];
                if square >= 1.0 || square == 0.0 {
                    continue;
                }
                let factor = (-2.0 * math::ln(square) / square).sqrt();
                for (value, uniform) in values[filled..].iter_mut().zip(pair) {
                    *value = uniform * factor;
                }
                filled = values.len().min(filled + 2);
            }
        }
        Ok(())
    }
}
