//! Secure aggregation in messages: the demands of a round, and the steps around it that agree upon
//! keys and unmask a sum. The content of a step is the business of its two ends.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{DatasetId, Digest, EnvelopeError, ExperimentId, Payload, decode, malformed};

/// The most names of metrics that a secure sum has.
pub const SECAGG_METRICS_MAX: usize = 64;
/// The clip of a value if none is asked for, that of Fed-BioMed.
pub const SECAGG_CLIP: f64 = 3.0;
/// The bits of a value if none are asked for.
pub const SECAGG_BITS: u32 = 24;
/// The largest magnitude of a metric if none is asked for.
pub const SECAGG_METRICS_CLIP: f64 = 1_000.0;

/// How updates are hidden in their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecaggScheme {
    /// Pairwise masks: all nodes or none.
    Masking,
    /// Pairwise masks and one's own: nodes may drop out.
    DoubleMasking,
}

impl SecaggScheme {
    /// Its name in files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Masking => "masking",
            Self::DoubleMasking => "double_masking",
        }
    }
}

impl std::fmt::Display for SecaggScheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Secure aggregation as a round asks for it: equal at all nodes of the round but for `shares`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecaggArgs {
    /// How updates are hidden.
    pub scheme: SecaggScheme,
    /// The context or the setup that keys were agreed upon for.
    pub sum_id: Digest,
    /// The fewest nodes of the sum.
    pub min_parties: u32,
    /// Values of the update are limited to ± this before they are quantised (Fed-BioMed
    /// `clipping_range`).
    pub clip: f64,
    /// Bits of a quantised value.
    pub bits: u32,
    /// The most rows of a node.
    pub rows_max: u64,
    /// Whether all nodes weigh the same in the mean of updates; else each by its rows.
    pub equal_weights: bool,
    /// The metrics that are summed, in order; others stay at the node.
    pub metrics: Vec<String>,
    /// The largest magnitude of a metric or a loss; a larger one stays at the node.
    pub metrics_clip: f64,
    /// The check value in [0, 1), masked beside the parameters (Fed-BioMed `secagg_random`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub random: Option<f64>,
    /// The seed's name of the context with the server's key; with `biprime_id` or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servkey_id: Option<String>,
    /// The seed's name of the context with the biprime; with `servkey_id` or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub biprime_id: Option<String>,
    /// The shares of the other nodes' secrets for this node, sealed; with `double_masking`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<Payload>,
}

/// The terms that held at a node: the stricter of its operator's floors and the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecaggTerms {
    /// The scheme.
    pub scheme: SecaggScheme,
    /// The context or the setup of the sum.
    pub sum_id: Digest,
    /// The nodes that were asked.
    pub parties: u32,
    /// The fewest nodes of a sum at this node.
    pub min_parties: u32,
    /// The limit of each value of the update.
    pub clip: f64,
    /// The noise multiplier of the sum that this node's noise is a share of; none without noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_multiplier: Option<f64>,
    /// How many nodes' noise makes that multiplier; none without noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub honest_parties: Option<u32>,
}

/// A step of a secure sum, named by the node's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecaggStep {
    /// Fresh keys, signed. The request has the context or the setup.
    Keys,
    /// That secrets are agreed upon, and with `double_masking` the shares for the others. The
    /// request has the keys of all.
    Agree,
    /// The signed list of survivors. The request has the list.
    Consent,
    /// The shares that unmask the sum. The request has the signatures.
    Reveal,
}

impl std::fmt::Display for SecaggStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keys => "keys",
            Self::Agree => "agree",
            Self::Consent => "consent",
            Self::Reveal => "reveal",
        })
    }
}

/// Asks a node for a step of a secure sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecaggRequest {
    /// The experiment.
    pub experiment_id: ExperimentId,
    /// The dataset that the rounds of the sum use: its floors hold.
    pub dataset_id: DatasetId,
    /// How updates are hidden.
    pub scheme: SecaggScheme,
    /// The context or the setup.
    pub sum_id: Digest,
    /// The step.
    pub step: SecaggStep,
    /// The content, MessagePack of a type of `fedwasm-privacy`.
    #[serde(with = "serde_bytes")]
    pub content: Vec<u8>,
}

/// A node's answer to a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecaggReply {
    /// The context or the setup.
    pub sum_id: Digest,
    /// The step.
    pub step: SecaggStep,
    /// The content, MessagePack of a type of `fedwasm-privacy`; empty if there is none.
    #[serde(with = "serde_bytes")]
    pub content: Vec<u8>,
}

/// Writes the content of a step, or the shares of a round, as MessagePack.
///
/// # Errors
/// [`EnvelopeError::Malformed`].
pub fn encode_content<T: Serialize>(content: &T) -> Result<Vec<u8>, EnvelopeError> {
    rmp_serde::to_vec_named(content).map_err(malformed)
}

/// Reads the content of a step, or the shares of a round.
///
/// # Errors
/// [`EnvelopeError::Malformed`].
pub fn decode_content<T: DeserializeOwned>(content: &[u8]) -> Result<T, EnvelopeError> {
    decode(content)
}
