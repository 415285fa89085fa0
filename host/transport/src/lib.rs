//! How a participant reaches its federation: messages over MQTT and blobs over HTTP by digest,
//! signed, and encrypted wherever they leave this machine. Knows what neither means, and serves
//! nobody: no listener, no engine, no roles.

mod address;
mod enrolment;
mod error;
mod here;
mod link;
mod older;
mod pace;
mod repository;
pub mod tls;
mod topic;

pub use address::{BrokerUrl, RepositoryUrl, Security, loopback};
pub use enrolment::{ENROLMENT_BYTES_MAX, Enrolment, join};
pub use error::Error;
pub use here::{announce, discover};
pub use link::{Incoming, Link, LinkOptions, Sender, now_ms};
pub use pace::Pace;
pub use repository::{BLOB_BYTES_MAX, IDLE_MAX, RECIPIENTS, Repository};
pub use topic::Topics;
