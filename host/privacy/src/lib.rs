//! What an update goes through before it leaves a node. Takes values, gives values: randomness is
//! passed in, and there is no clock, no file and no socket. Secrets are wiped and never printed.
//!
//! # A round
//! A node computes the [`update`], clips it ([`Clip`]), makes lanes of it and of its counts and metrics
//! ([`Coding::encode`]), adds noise if there is to be some ([`Coding::add_noise`]), masks them ([`masking`], [`double_masking`]), and
//! uploads [`vectors_to_params`]. The researcher adds what it reads ([`Sum`],
//! [`double_masking::TakesVectors`]), decodes the sums ([`Coding::decode`]), and moves the parameters
//! by the mean ([`moved`]).
//!
//! # Data that the caller keeps
//! * A [`PadUse`] is on disk before [`Journal`] returns. The journal refuses a use of a context and round
//!   that it has, and one whose [`PadUse::run`] it has with other [`PadUse::parties`]: a run that is
//!   masked for two sets of nodes is told by the difference of two sums.
//! * The masked bytes are on disk before they leave: a request that is said again gets the same bytes.
//! * Everything else lives in memory and dies with the process. A node that restarts has no keys, so it
//!   can neither mask nor reveal again; `masking` then needs a new [`masking::Context`].
//! * Floors are the caller's: the fewest parties, schemes, clip, noise. [`Parties::new`] takes the first.

pub mod account;
mod adaptive_clip;
mod binding;
mod clip;
mod coding;
mod compression;
mod context;
mod counts;
pub mod double_masking;
mod error;
mod gf256;
mod keys;
mod lane;
mod mask;
pub mod masking;
mod noise;
mod pad;
mod quantise;
mod secret;
mod share;
mod sum;
mod transcript;
mod upload;

pub use adaptive_clip::{AdaptiveClip, multiplier_of_update};
pub use binding::{binding, pad_round};
pub use clip::{Clip, Clipped, clamp_each, moved, update};
pub use coding::{Coding, Decoded, Encoded, Numbers, Results, VectorSpec};
pub use compression::{compress, decompress};
pub use context::{Binding, Layout, PARTIES_MAX, PARTIES_MIN, Parties, Stream, Vectors};
pub use counts::Counts;
pub use error::{Cause, Error};
pub use keys::{SignStatement, SignedKeys, VerifyStatement};
pub use lane::{Lane, Sign, lanes_from_bytes, lanes_to_bytes};
pub use noise::{DiscreteGaussian, Variance, add_noise, gap_of_sum};
pub use pad::{Journal, PadKeys, PadUse, Pads};
pub use quantise::{CHECK_LANES, Quantiser};
pub use share::{Share, combine, split};
pub use sum::Sum;
pub use transcript::{Replayed, Steps, Summand, Transcript, Upload};
pub use upload::{
    moved_where, tensors_of, vectors_from_params, vectors_of_node, vectors_to_params,
};

use secret::secret;
