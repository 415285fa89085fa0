//! A model in use: scores and predictions of the model of a run, on files.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use fedwasm_artifact::Component;
use fedwasm_dataset::{Dataset, Format, Renames, Volumes};
use fedwasm_protocol::{ColumnKind, DataArgs, Evaluation, FieldSelection, Standardize};
use fedwasm_record::{Error as RecordError, Model, ModelFile};
use fedwasm_sandbox::{Cancel, Described, LimitArgs, Limits, Profile, Sandbox};
use fedwasm_training::{Preprocessing, predict};

use crate::prediction_table::{PredictionTable, Tables};
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
    /// How its volumes are read; as the model says if none.
    pub volumes: Option<Volumes>,
    /// The names of its columns, by those that the file has, where they differ.
    pub renames: Renames,
    /// A column that is passed through, to tell rows apart.
    pub id: Option<String>,
    /// Whether scores are given as they are, instead of probabilities.
    pub raw: bool,
}

/// The rows to score.
#[derive(Clone, Debug, Default)]
pub struct EvaluateRows {
    /// The file or folder.
    pub path: PathBuf,
    /// Its format; found by its content if none.
    pub format: Option<Format>,
    /// How its volumes are read; as the model says if none.
    pub volumes: Option<Volumes>,
    /// The names of its columns, by those that the file has, where they differ.
    pub renames: Renames,
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
    pub fn evaluate(&self, rows: EvaluateRows, cancel: &Cancel) -> Result<Evaluation, Error> {
        self.describe(cancel)?;
        let options = EvaluateOptions {
            component: self.component.clone(),
            sandbox: self.sandbox.clone(),
            limits: LimitArgs::default(),
            params: self.model.params.clone(),
            data: self.data(),
            model: self.about().model.clone(),
            format: rows.format,
            volumes: rows.volumes.unwrap_or_else(|| self.about().volumes.clone()),
            renames: rows.renames,
            parts: vec![(rows.path, self.scales()?.cloned())],
        };
        evaluate(&options, cancel)
    }

    /// Predicts for all rows of a file, which needs no target. They come piece by piece, in the
    /// order of rows; each is passed to `take`, and none is kept. Blocks.
    ///
    /// # Errors
    /// [`Error`], and that of `take`.
    pub fn predict(
        &self,
        rows: &PredictRows,
        cancel: &Cancel,
        mut take: impl FnMut(PredictionTable) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        let scales = self.scales()?;
        let plan = self.describe(cancel)?;
        let data = self.data();
        let format = match rows.format {
            Some(format) => format,
            None => Format::detect(&rows.path)?,
        };
        let volumes = match (&rows.volumes, format) {
            (Some(volumes), _) => volumes.clone(),
            // New subjects need not have what is predicted for them.
            (None, Format::Medical | Format::Bids) => {
                self.about().volumes.clone().without(&data.target.names())
            }
            (None, _) => Volumes::default(),
        };
        let dataset =
            Dataset::open_with(&rows.path, Some(format), &volumes)?.renamed(&rows.renames)?;
        let mut ids = rows.id.as_ref().map(|id| Ids::new(&dataset, id)).transpose()?;
        let mut tables = Tables::new(target_names(&data.target), self.class_names(), rows.raw);
        let model = (&self.about().model, &self.model.params);
        predict(&plan, model, (&dataset, &data), scales, cancel, |piece| {
            let ids = ids.as_mut().map(|ids| ids.next(piece.rows().len())).transpose()?;
            Ok(take(tables.table(&piece, rows.id.clone().zip(ids)))?)
        })
    }

    /// The names of the classes of the target: those of the rule of its column, or of the data.
    fn class_names(&self) -> Vec<String> {
        let about = self.about();
        let FieldSelection::One(target) = &about.data.target else { return Vec::new() };
        match about.data.columns.get(target).map(|rule| &rule.kind) {
            Some(ColumnKind::Class { values }) => values.clone(),
            _ => about.classes.clone(),
        }
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

/// The cells of a column that is passed through, block by block.
struct Ids<'a> {
    dataset: &'a Dataset,
    field: usize,
    blocks: std::ops::Range<usize>,
    /// Cells that were read and not passed on.
    left: VecDeque<String>,
}

impl<'a> Ids<'a> {
    fn new(dataset: &'a Dataset, column: &str) -> Result<Self, Error> {
        let field = dataset.position(column)?;
        Ok(Self { dataset, field, blocks: 0..dataset.n_blocks(), left: VecDeque::new() })
    }

    /// The cells of the next rows.
    fn next(&mut self, n_rows: usize) -> Result<Vec<String>, Error> {
        while self.left.len() < n_rows
            && let Some(block) = self.blocks.next()
        {
            self.left.extend(self.dataset.texts(block, self.field)?);
        }
        Ok(self.left.drain(..n_rows.min(self.left.len())).collect())
    }
}

fn target_names(target: &FieldSelection) -> Vec<String> {
    target.names().into_iter().cloned().collect()
}
