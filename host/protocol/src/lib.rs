//! The words that researcher and node share: ids, digests, arguments, seeds,
//! messages and their envelope. Opens no socket and decides nothing.

mod arguments;
mod data_args;
mod digest;
mod envelope;
mod fields;
mod ids;
mod limits;
mod message;
mod metric;
mod payload;
mod printable;
pub mod seed;
mod training_args;

pub use arguments::{Arguments, Value, ValueKind, flatten_table};
pub use data_args::DataArgs;
pub use digest::{BlobRef, Digest};
pub use envelope::{Body, Envelope, EnvelopeError, MESSAGE_BYTES_MAX, PROTOCOL_VERSION};
pub use fields::{Fields, suggestion};
pub use ids::{DatasetId, ExperimentId, IdError, NodeId, RequestId, ResearcherId, StateId};
pub use limits::{LimitArgs, Limits};
pub use message::{
    ApprovalReply, ApprovalRequest, ApprovalStatus, DatasetEntry, Evaluation, KEPT_STATES_MAX,
    Metrics, Mode, NodeTiming, Point, Presence, Progress, Reason, Refusal, RoundReply,
    RoundRequest, SearchReply, SearchRequest, SecaggArgs,
};
pub use metric::Metric;
pub use payload::{INLINE_BYTES_MAX, Payload, WrongPayload};
pub use printable::printable;
pub use training_args::{Budget, DpArgs, DpKind, LoaderArgs, TrainingArgs, TrainingArgsError};
