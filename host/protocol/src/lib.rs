//! The words that researcher and node share: ids, digests, arguments, seeds,
//! messages and their envelope. Opens no socket and decides nothing.

mod arguments;
mod body;
mod columns;
mod data_args;
mod digest;
mod envelope;
mod fields;
mod ids;
mod limits;
mod message;
mod metric;
mod mistakes;
mod participant;
mod payload;
mod printable;
mod secagg;
pub mod seed;
mod selection;
mod training_args;

pub(crate) use body::{decode, malformed};

pub use arguments::{Arguments, Value, ValueKind, flatten_table, prefix};
pub use body::{Body, Kind};
pub use columns::{COLUMNS_BYTES_MAX, COLUMNS_MAX, Columns};
pub use data_args::{DataArgs, DatasetChoice, MEMORY_MIB, MEMORY_MIB_MAX};
pub use digest::{BlobRef, Digest, DigestError, Hasher};
pub use envelope::{
    EnvelopeError, HEADER_BYTES_MAX, Header, MESSAGE_BYTES_MAX, MESSAGE_DOMAIN, Message,
    PROTOCOL_VERSION, REFERS_MAX, Recipient, SIGNATURE_BYTES_MAX, Sealed,
};
pub use fields::{Fields, suggestion};
pub use ids::{
    DatasetId, ExperimentId, FederationId, IdError, NodeId, ParticipantName, RequestId,
    ResearcherId, SessionId, StateId,
};
pub use limits::{
    DECLARE_MS_MAX, DESCRIBE_BYTES_MAX, DESCRIBE_MS_MAX, LimitArgs, Limits, THREADS_MAX,
};
pub use message::{
    ApprovalReply, ApprovalRequest, ApprovalStatus, DESCRIPTION_CHARS_MAX, DatasetEntry,
    Evaluation, KEPT_STATES_MAX, Metrics, Mode, NodeTiming, Point, Presence, Progress, Reason,
    Refusal, RoundReply, RoundRequest, SIGNATURES_MAX, SearchReply, SearchRequest,
};
pub use metric::Metric;
pub use mistakes::{FileMistakes, Found, Mistake, Place, sentences};
pub use participant::{Participant, Role};
pub use payload::{INLINE_BYTES_MAX, Payload, WrongPayload};
pub use printable::{is_unprintable, plain, printable, printable_json};
pub use secagg::{
    SECAGG_BITS, SECAGG_CLIP, SECAGG_METRICS_CLIP, SECAGG_METRICS_MAX, SecaggArgs, SecaggReply,
    SecaggRequest, SecaggScheme, SecaggStep, SecaggTerms, decode_content, encode_content,
};
pub use selection::FieldSelection;
pub use training_args::{
    BATCH_ROWS_MAX, Budget, DpArgs, DpKind, LoaderArgs, TrainingArgs, TrainingArgsError,
};
