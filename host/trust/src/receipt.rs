//! The record that a node signs after each run: the plan, the data, the arguments and the result. A
//! plain hash of private data would confirm a guess, so data and states are committed to with a
//! salt that stays at the node.

use fedwasm_protocol::{
    BlobRef, Digest, Evaluation, FederationId, Limits, Metrics, Participant, Payload, RoundRequest,
    SecaggArgs, SecaggTerms,
};
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::{Envelope, Error, KeyPair, PublicKey};

/// The media type of a receipt.
const TYPE: &str = "application/vnd.fedwasm.receipt+json";
/// The version of receipts that this crate writes.
pub const RECEIPT_VERSION: u16 = 1;
/// The largest receipt that is read, in bytes: it holds a request.
pub const RECEIPT_BYTES_MAX: u64 = 256 << 10;

/// A record of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`RECEIPT_VERSION`].
    pub version: u16,
    /// The federation.
    pub federation: FederationId,
    /// The node that ran it.
    pub node: Participant,
    /// The researcher who asked for it.
    pub researcher: Participant,
    /// The digest of the request's signed header.
    pub request_sha256: Digest,
    /// The request: plan, parameters, arguments and seed; without bytes that the message carried.
    pub request: RoundRequest,
    /// The basis on which the plan was allowed: the digest of a decision, or a policy.
    pub approved_by: String,
    /// The engine that it ran on.
    pub engine: Engine,
    /// The limits that held.
    pub limits: Limits,
    /// The commitment to the bytes of the data file.
    pub dataset: Digest,
    /// The commitment to the node state that it went on from, if there was one.
    pub state_in: Option<Digest>,
    /// Its result.
    pub result: RunResult,
    /// When it was over, in milliseconds of Unix time.
    pub time_ms: u64,
    /// The digest of the node's receipt before this one.
    pub previous: Option<Digest>,
}

/// The engine that a plan ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// The version of this program.
    pub fedwasm: String,
    /// The version of wasmtime.
    pub wasmtime: String,
    /// `standard` or `strict`.
    pub profile: String,
    /// The processor, such as `x86_64`.
    pub target: String,
}

/// The result of a run. All of it but the state has left the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunResult {
    /// The trained parameters.
    pub params: Option<BlobRef>,
    /// Auxiliary variables.
    pub aux: Option<BlobRef>,
    /// The most memory of training in bytes, and its fuel where it was counted, each rounded up
    /// to a power of two: exact numbers would be a function of private data.
    pub memory_bytes: Option<u64>,
    /// See `memory_bytes`.
    pub fuel: Option<u64>,
    /// Sums of the input columns, for the scales of a federation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sums: Option<BlobRef>,
    /// The commitment to the state that stays.
    pub state_out: Option<Digest>,
    /// Rows of the training part.
    pub n_samples: u64,
    /// Optimizer steps.
    pub n_steps: u64,
    /// Mean training loss.
    pub train_loss: Option<f64>,
    /// Scores on the held-out rows.
    pub evaluation: Option<Evaluation>,
    /// The optimizer's numbers that the plan reports.
    pub optimizer_args: Metrics,
    /// The masked lanes of the check value of secure aggregation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_factor: Option<Vec<u8>>,
    /// The terms of secure aggregation; with them `params` are the masked vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secagg: Option<SecaggTerms>,
    /// The commitment to the masks, which stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masks: Option<Digest>,
}

/// The opening of the commitments of a receipt. Stays at the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    salt: Digest,
    /// SHA-256 of the data file.
    pub dataset: Digest,
    /// SHA-256 of the state that it went on from.
    pub state_in: Option<Digest>,
    /// SHA-256 of the state that it left.
    pub state_out: Option<Digest>,
    /// SHA-256 of the masks of its vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masks: Option<Digest>,
}

impl Opening {
    /// Draws a salt for each input and state of a run.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn new(
        dataset: Digest,
        state_in: Option<Digest>,
        state_out: Option<Digest>,
    ) -> Result<Self, Error> {
        let salt: ring::rand::Random<[u8; 32]> =
            ring::rand::generate(&ring::rand::SystemRandom::new())
                .map_err(|_| Error::Randomness)?;
        Ok(Self { salt: salt.expose().into(), dataset, state_in, state_out, masks: None })
    }

    /// The same for vectors that left with these masks.
    #[must_use]
    pub fn with_masks(self, masks: Option<Digest>) -> Self {
        Self { masks, ..self }
    }

    /// The commitment to the data file.
    pub fn dataset(&self) -> Digest {
        self.commit("dataset", &self.dataset)
    }

    /// The commitment to the state that it went on from.
    pub fn state_in(&self) -> Option<Digest> {
        self.state_in.as_ref().map(|state| self.commit("state-in", state))
    }

    /// The commitment to the state that it left.
    pub fn state_out(&self) -> Option<Digest> {
        self.state_out.as_ref().map(|state| self.commit("state-out", state))
    }

    /// The commitment to the masks.
    pub fn masks(&self) -> Option<Digest> {
        self.masks.as_ref().map(|masks| self.commit("masks", masks))
    }

    /// HMAC-SHA-256 of the label, a zero and the digest, under the salt.
    fn commit(&self, label: &str, digest: &Digest) -> Digest {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.salt.as_bytes());
        let tag = hmac::sign(&key, &[label.as_bytes(), &[0], digest.as_bytes()].concat());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(tag.as_ref());
        bytes.into()
    }
}

impl Receipt {
    /// Signs the receipt: a DSSE envelope as JSON.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Randomness`].
    pub fn sign(&self, key: &KeyPair) -> Result<Vec<u8>, Error> {
        let json = serde_json::to_vec(self).map_err(malformed)?;
        Ok(Envelope::sign(TYPE, &json, key)?.to_json())
    }

    /// Reads a receipt that this key signed.
    ///
    /// # Errors
    /// [`Error::Signature`], [`Error::Malformed`].
    pub fn verify(signed: &[u8], key: &PublicKey) -> Result<Self, Error> {
        let envelope = Envelope::from_json("the receipt", signed)?;
        let json = envelope.verify("the receipt", TYPE, key)?;
        let receipt: Self = serde_json::from_slice(&json).map_err(malformed)?;
        match receipt.version {
            RECEIPT_VERSION => Ok(receipt),
            got => Err(Error::Malformed {
                what: "the receipt".into(),
                reason: format!("it has version {got}, this program reads {RECEIPT_VERSION}")
                    .into(),
            }),
        }
    }

    /// The node that a receipt names, without a check of its signature. For messages alone.
    pub fn unverified_node(signed: &[u8]) -> Option<Participant> {
        let payload = Envelope::from_json("the receipt", signed).ok()?.unverified_payload()?;
        serde_json::from_slice::<Self>(&payload).ok().map(|receipt| receipt.node)
    }

    /// A request in the form of a receipt: without the bytes that the message carried.
    pub fn request(request: &RoundRequest) -> RoundRequest {
        let stored = |payload: &Option<Payload>| {
            payload.as_ref().map(|payload| Payload::stored(payload.blob))
        };
        let secagg = request.secagg.as_ref();
        let secagg = secagg.map(|args| SecaggArgs { shares: stored(&args.shares), ..args.clone() });
        RoundRequest {
            params_inline: None,
            secagg,
            aux_shared: stored(&request.aux_shared),
            aux_own: stored(&request.aux_own),
            wide_inputs: stored(&request.wide_inputs),
            scales: stored(&request.scales),
            ..request.clone()
        }
    }
}

fn malformed(error: serde_json::Error) -> Error {
    Error::Malformed { what: "the receipt".into(), reason: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commitments_hide_and_bind() {
        let data = Digest::of(b"data");
        let [a, b] = [(); 2].map(|()| Opening::new(data, Some(data), None).unwrap());
        // The same data under two salts cannot be seen to be the same.
        assert_ne!(a.dataset(), b.dataset());
        assert_ne!(Some(a.dataset()), a.state_in());
        let other = Opening { dataset: Digest::of(b"date"), ..a.clone() };
        assert_ne!(a.dataset(), other.dataset());
        let json = serde_json::to_vec(&a).unwrap();
        assert_eq!(serde_json::from_slice::<Opening>(&json).unwrap().dataset(), a.dataset());
    }

    /// `hmac.new(bytes.fromhex("00"*32), b"dataset\0" + bytes.fromhex("11"*32), "sha256")`.
    #[test]
    fn commitments_are_hmacs() {
        let opening = Opening {
            salt: [0; 32].into(),
            dataset: [0x11; 32].into(),
            state_in: None,
            state_out: None,
            masks: None,
        };
        let expected = include_str!("../testdata/commitment.hex").trim();
        assert_eq!(opening.dataset().to_string(), expected);
    }
}
