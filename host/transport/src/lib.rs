//! Messages over MQTT, blobs over HTTP by digest, and the servers for both.
//! Knows what neither means: no engine, no roles.
//!
//! Nothing is encrypted yet, so addresses other than loopback are refused.

mod address;
mod broker;
mod error;
mod index;
mod link;
mod repository;
mod server;
pub mod topic;

pub use address::{BrokerUrl, RepositoryUrl, loopback};
pub use broker::Broker;
pub use error::Error;
pub use index::{Pruned, prune};
pub use link::{Incoming, Link, LinkOptions, Sender};
pub use repository::Repository;
pub use server::{BLOB_BYTES_MAX, RepositoryServer};
