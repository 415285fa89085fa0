//! The promises of `crate::port`, as tests that every network passes. Each function is one
//! promise, and panics where it is broken; participants have names of their own in each, so that
//! all run on one network.
#![expect(clippy::unwrap_used, reason = "a broken promise ends the test")]

mod blobs;
mod faulty;
mod messages;

pub use self::blobs::*;
pub use self::faulty::Faulty;
pub use self::messages::*;
