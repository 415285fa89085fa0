//! The servers of `fedwasm network start`: the embedded MQTT broker and the HTTP repository of a
//! federation, with one front that shakes hands and bounds each client's use of either. Knows
//! the access rights of each name, and never the meaning of a message or a blob.

mod blobs;
mod broker;
mod descriptors;
mod error;
mod experiments;
mod federation;
mod front;
mod handshakes;
mod housekeeping;
mod index;
mod moving;
mod places;
mod quota;
mod readers;
mod refusal;
mod server;
mod state;
mod store;
mod sweep;
#[cfg(test)]
mod tests;
mod tls;
mod upload;

pub use broker::{Broker, CLIENTS_MAX};
pub use descriptors::raise_open_files;
pub use error::Error;
pub use server::{QUOTA_BYTES, RepositoryOptions, RepositoryServer};
pub use store::{Bucket, Store};
pub use sweep::{PruneOptions, Pruned, prune};
