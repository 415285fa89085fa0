//! What an update goes through before it leaves a node. Takes values, gives values: randomness is
//! passed in, and there is no clock, no file and no socket. Secrets are wiped and never printed.

mod adaptive_clip;
mod clip;
mod counts;
mod error;
mod lane;
mod quantise;

pub use adaptive_clip::{AdaptiveClip, multiplier_of_update};
pub use clip::{Clip, Clipped, clamp_each, update};
pub use counts::Counts;
pub use error::{Cause, Error};
pub use lane::{Lane, Sign, lanes_from_bytes, lanes_to_bytes};
pub use quantise::{CHECK_LANES, Quantiser};
