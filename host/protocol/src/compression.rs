//! How the update of a node travels in fewer bytes.

use serde::Serialize;

/// How the update of a node, the difference of trained and received parameters, travels in fewer
/// bytes. The result of the round is the received parameters moved by the update as it travels, so
/// that receipts and records are about what the researcher gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Each value rounded to bfloat16, ties to even: 2 bytes, 8 bits of precision.
    BFloat16,
    /// Each value as one of 255 levels of its block of [`INT8_BLOCK`] values, the largest of which
    /// sets the step; rounded up or down at random by the seed, so that its mean is right (QSGD,
    /// Alistarh et al. 2017; blocks as in Dettmers et al. 2022).
    Int8,
}

/// Values of a block of [`Compression::Int8`]. A block ends with its tensor.
pub const INT8_BLOCK: usize = 256;

impl Compression {
    /// Its names in files, in the order of [`Compression::ALL`].
    pub const NAMES: [&str; 2] = ["bfloat16", "int8"];
    /// All of them.
    pub const ALL: [Self; 2] = [Self::BFloat16, Self::Int8];

    /// Bytes of tensors with so many values each.
    pub fn n_bytes(self, lengths: impl IntoIterator<Item = u64>) -> u64 {
        let of = |n: u64| match self {
            Self::BFloat16 => n.saturating_mul(2),
            Self::Int8 => n.saturating_add(n.div_ceil(INT8_BLOCK as u64).saturating_mul(4)),
        };
        lengths.into_iter().map(of).fold(0, u64::saturating_add)
    }
}
