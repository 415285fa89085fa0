//! A model that can be used after its run: a directory with the plan, the parameters, how inputs
//! were scaled, and `model.json`, which names these files by digest and says where the model comes
//! from. The directory stands alone: all that a prediction needs is in it.

mod read;

use std::collections::BTreeMap;
use std::path::Path;

use fedwasm_folder::Folder;
use fedwasm_protocol::{
    Arguments, ColumnRule, DataArgs, Digest, Evaluation, Impute, NodeId, ResearcherId, Scale,
    Standardize, Volumes,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, History, PlanRecord, PrivacyRecord, WRITTEN_BY};

pub use read::{Model, load_init, model_dir};

/// The directory of a model, inside that of its run.
pub const MODEL: &str = "model";
/// The file that names the others.
pub const MODEL_FILE: &str = "model.json";
/// The signature of `model.json` by the researcher of its run; a Sigstore bundle.
pub const MODEL_SIGNATURE: &str = "model.json.sigstore.json";
/// The version of `model.json` that this program writes and reads.
const FORMAT: u32 = 1;

const PLAN: &str = "plan.wasm";
const PARAMS: &str = "params.safetensors";
const PREPROCESSING: &str = "preprocessing.json";

/// `model.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// The version of this file.
    format: u32,
    /// The program that wrote it.
    pub written_by: String,
    /// The plan.
    pub plan: PlanRecord,
    /// The other files of the directory.
    files: BTreeMap<String, FileRecord>,
    /// Whether the plan ran in the strict profile.
    pub strict: bool,
    /// All model arguments, those that were not given with the values that they got.
    pub model: Arguments,
    /// Which columns, and how; the inputs are named.
    pub data: DataArgs,
    /// How volumes were read, if the run knows it: of a federation, each site does.
    #[serde(default, skip_serializing_if = "Volumes::is_default")]
    pub volumes: Volumes,
    /// The names of the target's classes in order, where the data name them and no rule does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Scores on the held-out rows at the end of the run, if there were some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
    /// The nodes of the last round, as far as results of single ones are known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sites: BTreeMap<NodeId, SiteRecord>,
    /// Where it comes from.
    pub run: RunRecord,
}

/// A file of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRecord {
    sha256: Digest,
    bytes: u64,
}

/// A node of the last round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteRecord {
    /// Rows that it trained on.
    pub n_samples: u64,
    /// Scores of the model on its held-out rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<Evaluation>,
    /// SHA-256 of its signed receipt of the round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Digest>,
    /// Why it ran the plan, as its receipt says: the digest of a decision, or a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
}

/// The run that a model comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// Its name for people.
    pub name: String,
    /// The experiment's id at the nodes; empty for a local job.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub experiment_id: String,
    /// The researcher of an experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub researcher: Option<ResearcherId>,
    /// `finished`, or why it was over before.
    pub status: String,
    /// Rounds that were done.
    pub rounds: u32,
    /// Where all randomness came from.
    pub random_seed: u64,
    /// Rows that were trained on in the last round, at all nodes.
    pub n_samples: u64,
    /// The parameters that it started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_sha256: Option<Digest>,
    /// The parameters that training did not change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frozen: Vec<String>,
    /// Whether only sums of the results of nodes were known: secure aggregation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_sums: bool,
    /// Noise of the aggregator, and what it is worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<PrivacyRecord>,
    /// The nodes that were to take part and are not among those of the last round, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<NodeId, String>,
    /// The other arguments of the run, by section, such as `training`.
    pub arguments: BTreeMap<String, Value>,
}

/// The parts of a model that is written.
#[derive(Clone, Copy, Debug)]
pub struct ModelParts<'a> {
    /// The bytes of the component.
    pub plan: &'a [u8],
    /// The bytes of `params.safetensors`.
    pub params: &'a [u8],
    /// The bytes of `preprocessing.json`: none where each site scaled by itself.
    pub preprocessing: Option<&'a [u8]>,
}

/// Signs the bytes of `model.json`, and returns those of the bundle.
pub type SignModel<'a> = &'a dyn Fn(&[u8]) -> Result<Vec<u8>, Error>;

impl ModelFile {
    /// The model at the end of a run. `model` are all model arguments, `inputs` the columns that
    /// were used.
    pub fn of_run(
        history: &History,
        model: &Arguments,
        data: &DataArgs,
        inputs: &[String],
    ) -> Self {
        let last = history.rounds.last();
        let sites = last.into_iter().filter(|round| round.secagg.is_none());
        let site = |(node, record): (&NodeId, &crate::NodeRecord)| {
            let global = record.global_evaluation.clone();
            // A local job has scored its only update.
            let own = || record.evaluation.clone().filter(|_| history.is_local());
            let evaluation = global.or_else(own);
            let (n_samples, receipt) = (record.n_samples, record.receipt);
            (node.clone(), SiteRecord { n_samples, evaluation, receipt, approved_by: None })
        };
        let in_model = |section: &String| !matches!(section.as_str(), "data" | "model" | "strict");
        let arguments = history
            .arguments
            .iter()
            .filter(|(section, value)| in_model(section) && !value.is_null());
        let strict = history.arguments.get("strict").and_then(Value::as_bool);
        Self {
            format: FORMAT,
            written_by: WRITTEN_BY.into(),
            plan: history.plan.clone(),
            files: BTreeMap::new(),
            strict: strict.unwrap_or(false),
            model: model.clone(),
            data: DataArgs {
                inputs: data.inputs.clone().or_else(|| Some(inputs.to_vec().into())),
                ..data.clone()
            },
            volumes: Volumes::default(),
            classes: Vec::new(),
            evaluation: last.and_then(|round| round.evaluation.clone()),
            sites: sites.flat_map(|round| &round.nodes).map(site).collect(),
            run: RunRecord {
                name: history.name.clone(),
                experiment_id: history.experiment_id.clone(),
                researcher: None,
                status: history.status.clone(),
                rounds: last.map_or(0, |round| round.round),
                random_seed: history.random_seed,
                n_samples: last.map_or(0, crate::RoundRecord::n_samples),
                initial_sha256: history.initial_sha256,
                frozen: history.frozen.clone(),
                of_sums: history.is_of_sums(),
                privacy: last.and_then(|round| round.privacy),
                missing: if history.is_local() { BTreeMap::new() } else { history.missing() },
                arguments: arguments.map(|(name, value)| (name.clone(), value.clone())).collect(),
            },
        }
    }

    /// The names of its other files, with their digests and bytes.
    pub fn files(&self) -> impl Iterator<Item = (&str, Digest, u64)> {
        self.files.iter().map(|(name, file)| (name.as_str(), file.sha256, file.bytes))
    }

    /// The SHA-256 of the parameters.
    pub fn params_sha256(&self) -> Option<Digest> {
        self.files.get(PARAMS).map(|file| file.sha256)
    }

    /// Whether each site scaled its inputs by its own rows, so that the scales are not in the
    /// model.
    pub fn is_scaled_by_sites(&self) -> bool {
        let is_fitted = |(_, rule): (_, &ColumnRule)| {
            let fill = [Impute::Mean, Impute::Median, Impute::MostFrequent];
            rule.impute.as_ref().is_some_and(|impute| fill.contains(impute))
                || rule.scale.is_some_and(|scale| scale != Scale::None)
        };
        let needs_scales =
            self.data.standardize != Standardize::None || self.data.columns.iter().any(is_fitted);
        needs_scales && !self.files.contains_key(PREPROCESSING)
    }

    /// Writes the directory `model` in that of the run: whole, or as it was before.
    ///
    /// # Errors
    /// [`Error::Io`], and those of `sign`.
    pub fn write(
        mut self,
        run: &Path,
        parts: ModelParts<'_>,
        sign: Option<SignModel<'_>>,
    ) -> Result<(), Error> {
        const UNFINISHED: &str = "model.new";
        let ModelParts { plan, params, preprocessing } = parts;
        let files = [(PLAN, Some(plan)), (PARAMS, Some(params)), (PREPROCESSING, preprocessing)];
        let folder = Folder::create(run)?;
        folder.remove_folder(UNFINISHED)?;
        let inner = folder.folder(UNFINISHED)?;
        self.files.clear();
        for (name, bytes) in files {
            let Some(bytes) = bytes else { continue };
            inner.write(name, bytes)?;
            let file = FileRecord { sha256: Digest::of(bytes), bytes: bytes.len() as u64 };
            self.files.insert(name.to_owned(), file);
        }
        let json = serde_json::to_string_pretty(&self).map_err(std::io::Error::from)?;
        let json = fedwasm_protocol::printable_json(&json);
        inner.write(MODEL_FILE, json.as_bytes())?;
        if let Some(sign) = sign {
            inner.write(MODEL_SIGNATURE, &sign(json.as_bytes())?)?;
        }
        inner.sync()?;
        folder.remove_folder(MODEL)?;
        folder.rename(UNFINISHED, MODEL)?;
        Ok(folder.sync()?)
    }

    /// Removes the model of an earlier run from a directory.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn clear(run: &Path) -> Result<(), Error> {
        Ok(Folder::open(run)?.remove_folder(MODEL)?)
    }
}
