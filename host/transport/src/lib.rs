//! How a participant reaches its federation: a [`Link`] for signed messages and a [`Repository`]
//! for blobs by digest, over any network that keeps the promises of [`port`]: MQTT and HTTP,
//! encrypted wherever they leave this machine, or memory. Knows the meaning of neither, and serves
//! no client: no listener, no engine, no roles.

mod address;
mod clock;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod enrolment;
mod error;
mod http;
mod introduction;
mod link;
mod memory;
mod mqtt;
mod pace;
pub mod port;
mod repository;
pub mod tls;
mod topic;

pub use bytes::Bytes;

pub use address::{BrokerUrl, RepositoryUrl, Security, loopback};
pub use clock::{Clock, now_ms};
pub use enrolment::{ENROLMENT_BYTES_MAX, Enrolment, join};
pub use error::{Cause, Error};
pub use http::{Http, IDLE_MAX, RECIPIENTS};
pub use link::{Incoming, Link, LinkOptions, Sender};
pub use memory::{MemoryBlobs, MemoryHub, MemoryMessages};
pub use mqtt::{Mqtt, announce, discover};
pub use pace::Pace;
pub use port::{BLOB_BYTES_MAX, RELEASED_MAX};
pub use repository::Repository;
pub use topic::Topics;
