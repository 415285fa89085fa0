//! A model in use: scores and predictions of the model of a run, on files.

use std::path::{Path, PathBuf};

use fedwasm_artifact::Component;
use fedwasm_dataset::{Dataset, Format, Volumes};
use fedwasm_protocol::{ColumnKind, DataArgs, Evaluation, FieldSelection, Standardize};
use fedwasm_record::{Error as RecordError, Model, ModelFile};
use fedwasm_sandbox::{Cancel, Described, LimitArgs, Limits, Profile, Sandbox};
use fedwasm_training::{Predictions, Preprocessing, predict};

use crate::prediction_table::{PredictionTable, TableBuilder};
use crate::{Error, EvaluateOptions, evaluate};

/// The largest `preprocessing.json`, in bytes.
const PREPROCESSING_BYTES_MAX: u64 = 64 << 20;

/// A model whose plan was admitted.
#[derive(Clone, Debug)]
pub struct UsableModel {
    /// Its files.
    pub model: Model,
    /// The plan.
    pub component: Component,
    sandbox: Sandbox,
    preprocessing: Option<Preprocessing>,
}

/// The rows to predict for.
#[derive(Clone, Debug, Default)]
pub struct PredictRows {
    /// The file or folder.
    pub path: PathBuf,
    /// Its format; found by its content if none.
    pub format: Option<Format>,
    /// How its volumes are read: as at training.
    pub volumes: Volumes,
    /// A column that is passed through, to tell rows apart.
    pub id: Option<String>,
    /// Whether scores are given as they are, instead of probabilities.
    pub raw: bool,
}

impl UsableModel {
    /// Reads a model, or that of a run's directory, for use in this sandbox. `scales` are those of
    /// the inputs, instead of those in the model.
    ///
    /// # Errors
    /// [`Error::Record`], [`Error::Training`].
    pub fn open(
        path: &Path,
        scales: Option<Preprocessing>,
        sandbox: &Sandbox,
    ) -> Result<Self, Error> {
        let model = Model::read(path)?;
        let wrong = |reason: String| RecordError::Model { path: model.dir.clone(), reason };
        let component = Component::admit(model.plan.clone());
        let component = component.map_err(|error| wrong(format!("plan.wasm: {error}")))?;
        let own = model.preprocessing.as_deref().map(serde_json::from_slice).transpose();
        let own = own.map_err(|error| wrong(format!("preprocessing.json: {error}")))?;
        let profile = if model.about.strict { Profile::Strict } else { sandbox.profile() };
        let sandbox = sandbox.clone().with_profile(profile);
        Ok(Self { component, sandbox, preprocessing: scales.or(own), model })
    }

    /// `model.json`.
    pub fn about(&self) -> &ModelFile {
        &self.model.about
    }

    /// The scales of the inputs: none if they are used as they are.
    ///
    /// # Errors
    /// [`Error::NoScales`] if each site scaled by its own rows, and no scales are given.
    pub fn scales(&self) -> Result<Option<&Preprocessing>, Error> {
        match &self.preprocessing {
            None if self.about().is_scaled_by_sites() => {
                Err(Error::NoScales { dir: self.model.dir.clone() })
            }
            scales => Ok(scales.as_ref()),
        }
    }

    /// The plan, which describes itself as `model.json` says.
    ///
    /// # Errors
    /// [`Error::Record`], [`Error::Training`].
    pub fn describe(&self, cancel: &Cancel) -> Result<Described, Error> {
        let sandbox = self.sandbox.clone().with_cancel(cancel);
        let plan = sandbox.describe(&self.component, Limits::default())?;
        let (said, metadata) = (&self.about().plan, plan.metadata());
        if (&said.name, &said.version) != (&metadata.name, &metadata.version) {
            let reason = format!(
                "model.json says that the plan is {} {}, the plan itself that it is {} {}",
                said.name, said.version, metadata.name, metadata.version
            );
            return Err(RecordError::Model { path: self.model.dir.clone(), reason }.into());
        }
        Ok(plan)
    }

    /// Scores it on all rows of a file. Blocks.
    ///
    /// # Errors
    /// [`Error`].
    pub fn evaluate(
        &self,
        path: &Path,
        format: Option<Format>,
        volumes: Volumes,
        cancel: &Cancel,
    ) -> Result<Evaluation, Error> {
        self.describe(cancel)?;
        let options = EvaluateOptions {
            component: self.component.clone(),
            sandbox: self.sandbox.clone(),
            limits: LimitArgs::default(),
            params: self.model.params.clone(),
            data: self.data(),
            model: self.about().model.clone(),
            format,
            volumes,
            parts: vec![(path.to_owned(), self.scales()?.cloned())],
        };
        evaluate(&options, cancel)
    }

    /// Predicts for all rows of a file, which needs no target. Blocks.
    ///
    /// # Errors
    /// [`Error`].
    pub fn predict(&self, rows: &PredictRows, cancel: &Cancel) -> Result<PredictionTable, Error> {
        let scales = self.scales()?;
        let plan = self.describe(cancel)?;
        let dataset = Dataset::open_with(&rows.path, rows.format, &rows.volumes)?;
        let data = self.data();
        let ids = rows.id.as_ref().map(|id| ids(&dataset, id)).transpose()?;
        let names = (target_names(&data.target), class_names(&data));
        let mut table = TableBuilder::new(names, rows.raw);
        let model = (&self.about().model, &self.model.params);
        let take = |piece: Predictions| table.add(&piece);
        predict(&plan, model, (&dataset, &data), scales, cancel, take)?;
        Ok(table.finish(rows.id.clone().zip(ids)))
    }

    fn data(&self) -> DataArgs {
        let data = self.about().data.clone();
        DataArgs { tags: Vec::new(), dataset: None, standardize: Standardize::None, ..data }
    }
}

/// Reads a `preprocessing.json`.
///
/// # Errors
/// [`Error::Io`], [`Error::Record`].
pub fn load_preprocessing(path: &Path) -> Result<Preprocessing, Error> {
    let json = fedwasm_folder::read_file(path, PREPROCESSING_BYTES_MAX)?;
    let wrong = |error: serde_json::Error| RecordError::File {
        path: path.to_owned(),
        reason: format!(" {error}"),
    };
    Ok(serde_json::from_slice(&json).map_err(wrong)?)
}

/// The cells of a column that is passed through, row by row.
fn ids(dataset: &Dataset, column: &str) -> Result<Vec<String>, Error> {
    let field = dataset.position(column)?;
    let mut ids = Vec::new();
    for block in 0..dataset.n_blocks() {
        ids.extend(dataset.texts(block, field)?);
    }
    Ok(ids)
}

fn target_names(target: &FieldSelection) -> Vec<String> {
    target.names().into_iter().cloned().collect()
}

/// The names of the classes of the target, where the rule of its column has some.
fn class_names(data: &DataArgs) -> Vec<String> {
    let FieldSelection::One(target) = &data.target else { return Vec::new() };
    match data.columns.get(target).map(|rule| &rule.kind) {
        Some(ColumnKind::Class { values }) => values.clone(),
        _ => Vec::new(),
    }
}
