//! Messages over MQTT, blobs over HTTP by digest, and the servers for both: signed, and
//! encrypted wherever they leave this machine. Knows what neither means: no engine, no roles.

mod address;
mod broker;
mod descriptors;
mod enrolment;
mod error;
mod front;
mod here;
mod index;
mod link;
mod older;
mod pace;
mod quota;
mod readers;
mod repository;
mod server;
mod tls;
mod topic;
mod upload;

pub use address::{BrokerUrl, RepositoryUrl, Security, loopback};
pub use broker::{Broker, CLIENTS_MAX};
pub use descriptors::raise_open_files;
pub use enrolment::join;
pub use error::Error;
pub use here::{announce, discover};
pub use index::{PruneOptions, Pruned, prune};
pub use link::{Incoming, Link, LinkOptions, Sender, now_ms};
pub use pace::Pace;
pub use repository::Repository;
pub use server::{BLOB_BYTES_MAX, QUOTA_BYTES, RepositoryOptions, RepositoryServer};
pub use topic::Topics;
