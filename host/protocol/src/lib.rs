//! The words that researcher and node share: ids, digests, arguments, seeds,
//! messages and their envelope. Opens no socket and decides nothing.

mod arguments;
mod augment;
mod body;
mod column_rules;
mod columns;
mod compression;
mod data_args;
mod date;
mod digest;
mod envelope;
mod fields;
mod ids;
mod limits;
mod message;
mod metric;
mod mistakes;
mod moments;
mod participant;
mod payload;
mod printable;
mod scores;
mod secagg;
pub mod seed;
mod selection;
mod split;
mod statistics;
mod training_args;
mod variance;
mod volumes;

pub(crate) use body::{decode, malformed};

pub use arguments::{Arguments, Value, ValueKind, flatten_table, prefix};
pub use augment::{AUGMENT_MAX, Augment, Axis, CROP_MAX, Intensity};
pub use body::{Body, Kind};
pub use column_rules::{
    CATEGORIES_MAX, COLUMN_RULES_MAX, ColumnKind, ColumnRule, ColumnRules, Encode, Impute,
    MISSING_WORDS, OTHER, RULE_TEXT_BYTES_MAX, Scale, Standardize, Unknown, WORDS_MAX,
};
pub use columns::{COLUMNS_BYTES_MAX, COLUMNS_MAX, Columns};
pub use compression::{Compression, INT8_BLOCK};
pub use data_args::{DataArgs, DatasetChoice, MEMORY_MIB, MEMORY_MIB_MAX};
pub use date::{DateFormat, Day};
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
pub use moments::{MOMENT_NUMBERS, Moments, NUMBER_MAX, VALUE_MAX};
pub use participant::{Participant, Role};
pub use payload::{INLINE_BYTES_MAX, Payload, WrongPayload, carried};
pub use printable::{is_unprintable, plain, printable, printable_json};
pub use scores::{
    Area, Average, CALIBRATION_BINS, CONFUSION_CLASSES_MAX, Calibrated, CalibrationBin,
    ClassCounts, ClassScores, ClassSums, Group, Histogram, Likelihood, MaskSums, Ranking, Reading,
    RealSums, SCORE_BINS, SUMMED_CLASSES_MAX, SUMMED_OUTPUTS_MAX, ScoreReport, ScoreSums,
};
pub use secagg::{
    SECAGG_BITS, SECAGG_CLIP, SECAGG_METRICS_CLIP, SECAGG_METRICS_MAX, SecaggArgs, SecaggReply,
    SecaggRequest, SecaggScheme, SecaggStep, SecaggTerms, decode_content, encode_content,
};
pub use selection::FieldSelection;
pub use split::Split;
pub use statistics::{
    BINS_MAX, COUNTED_MAX, ColumnSums, Edges, SUMS_BYTES_MAX, StatisticsReply, StatisticsRequest,
    Sums,
};
pub use training_args::{
    BATCH_ROWS_MAX, Budget, DpArgs, DpKind, LoaderArgs, Sampling, TrainingArgs, TrainingArgsError,
};
pub use variance::RunningVariance;
pub use volumes::{Missing, Modality, Normalize, VolumeKind, Volumes};
