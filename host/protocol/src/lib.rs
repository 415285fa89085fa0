//! The words that researcher and node share: ids, digests, arguments, seeds,
//! messages and their envelope. Opens no socket and decides nothing.

mod arguments;
mod data_args;
mod digest;
mod envelope;
mod ids;
mod message;
mod printable;
pub mod seed;
mod training_args;

pub use arguments::{Arguments, Value, ValueKind, arguments_with_prefix};
pub use data_args::DataArgs;
pub use digest::{BlobRef, Digest};
pub use envelope::{Body, Envelope, EnvelopeError, MESSAGE_BYTES_MAX, PROTOCOL_VERSION};
pub use ids::{DatasetId, ExperimentId, IdError, NodeId, RequestId, ResearcherId};
pub use message::{
    DatasetEntry, Evaluation, Metrics, Mode, NodeTiming, Presence, Progress, Reason, Refusal,
    RoundReply, RoundRequest, SearchReply, SearchRequest,
};
pub use printable::printable;
pub use training_args::{Budget, LoaderArgs, Metric, TrainingArgs, TrainingArgsError};
