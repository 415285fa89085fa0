//! What an update goes through before it leaves a node. Takes values, gives values: randomness is
//! passed in, and there is no clock, no file and no socket. Secrets are wiped and never printed.

pub mod account;
mod adaptive_clip;
mod clip;
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
mod upload;

pub use adaptive_clip::{AdaptiveClip, multiplier_of_update};
pub use clip::{Clip, Clipped, clamp_each, update};
pub use context::{Binding, Layout, PARTIES_MAX, PARTIES_MIN, Parties, Stream, Vectors};
pub use counts::Counts;
pub use error::{Cause, Error};
pub use keys::{Scheme, SignStatement, SignedKeys, VerifyStatement};
pub use lane::{Lane, Sign, lanes_from_bytes, lanes_to_bytes};
pub use noise::{DiscreteGaussian, Variance, add_noise, gap_of_sum};
pub use pad::{Journal, PadUse, Pads};
pub use quantise::{CHECK_LANES, Quantiser};
pub use share::{Share, combine, split};
pub use sum::Sum;
pub use upload::{vectors_from_params, vectors_to_params};

use secret::secret;
