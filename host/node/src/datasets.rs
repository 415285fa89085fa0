//! The datasets that a node offers, `datasets.json` in its directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fedwasm_dataset::{Field, Format};
use fedwasm_folder::Folder;
use fedwasm_protocol::{DatasetEntry, DatasetId};
use serde::{Deserialize, Serialize};

use crate::Error;

const FILE: &str = "datasets.json";
const FILE_BYTES_MAX: u64 = 64 << 20;
/// The most datasets of a node.
const DATASETS_MAX: usize = 1_000;

/// A dataset of the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Its name here, which is its id for researchers.
    pub name: DatasetId,
    /// The file or folder; never leaves the node.
    pub path: PathBuf,
    /// What researchers search for.
    pub tags: Vec<String>,
    /// Its rows when it was registered.
    pub n_rows: u64,
    /// Its columns when it was registered.
    pub columns: Vec<String>,
    /// Its format; CSV if none is named.
    #[serde(rename = "type", default = "csv", skip_serializing_if = "is_csv")]
    pub format: Format,
    /// The shapes of the columns whose rows are no single numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shapes: BTreeMap<String, Vec<u64>>,
}

fn csv() -> Format {
    Format::Csv
}

fn is_csv(format: &Format) -> bool {
    *format == Format::Csv
}

impl Dataset {
    /// Opens the file or folder.
    ///
    /// # Errors
    /// Any [`fedwasm_dataset::Error`] but those about single values.
    pub fn open(&self) -> Result<fedwasm_dataset::Dataset, fedwasm_dataset::Error> {
        fedwasm_dataset::Dataset::open(&self.path, Some(self.format))
    }

    /// What researchers may know of it.
    pub fn entry(&self) -> DatasetEntry {
        DatasetEntry {
            dataset_id: self.name.clone(),
            tags: self.tags.clone(),
            n_rows: self.n_rows,
            columns: self.columns.clone(),
            shapes: self.shapes.clone(),
        }
    }
}

/// The datasets that a node offers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Datasets(Vec<Dataset>);

impl Datasets {
    /// Reads the registry of a node.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn load(folder: &Folder) -> Result<Self, Error> {
        if !folder.has(FILE) {
            return Ok(Self::default());
        }
        let text = folder.read(FILE, FILE_BYTES_MAX)?;
        let damaged = |reason: String| Error::Damaged { file: FILE.into(), reason };
        serde_json::from_slice(&text).map(Self).map_err(|error| damaged(error.to_string()))
    }

    /// Registers a file or folder after looking at its headers and counting its
    /// rows; its format is found by its content if none is given.
    ///
    /// # Errors
    /// [`Error::DatasetExists`], [`Error::Tags`], [`Error::TooManyDatasets`],
    /// [`Error::Data`], [`Error::Io`].
    pub fn add(
        &mut self,
        folder: &Folder,
        name: DatasetId,
        (path, format): (&Path, Option<Format>),
        tags: Vec<String>,
    ) -> Result<&Dataset, Error> {
        if self.find(&name).is_some() {
            return Err(Error::DatasetExists { name: name.to_string() });
        }
        let tags: Vec<String> = tags.iter().map(|tag| tag.trim().to_owned()).collect();
        if tags.is_empty() || tags.iter().any(String::is_empty) {
            return Err(Error::Tags);
        }
        if self.0.len() >= DATASETS_MAX {
            return Err(Error::TooManyDatasets { max: DATASETS_MAX });
        }
        let dataset = fedwasm_dataset::Dataset::open(path, format)?;
        let (n_rows, format, path) = (dataset.n_rows(), dataset.format(), path.canonicalize()?);
        let columns = dataset.fields().iter().map(|field| field.name.clone()).collect();
        let has_axes = |field: &&Field| !field.shape.is_empty();
        let shape = |field: &Field| (field.name.clone(), field.shape.clone());
        let shapes = dataset.fields().iter().filter(has_axes).map(shape).collect();
        self.0.push(Dataset { name, path, tags, n_rows, columns, format, shapes });
        self.store(folder)?;
        Ok(&self.0[self.0.len() - 1])
    }

    /// Takes a dataset off the registry; the file stays.
    ///
    /// # Errors
    /// [`Error::NoDataset`], [`Error::Io`].
    pub fn remove(&mut self, folder: &Folder, name: &DatasetId) -> Result<Dataset, Error> {
        let at = self.0.iter().position(|dataset| dataset.name == *name);
        let at = at.ok_or_else(|| Error::NoDataset { name: name.to_string() })?;
        let removed = self.0.remove(at);
        self.store(folder)?;
        Ok(removed)
    }

    /// The datasets in order of registration.
    pub fn iter(&self) -> impl Iterator<Item = &Dataset> {
        self.0.iter()
    }

    /// Returns the dataset of this name.
    pub fn find(&self, name: &DatasetId) -> Option<&Dataset> {
        self.0.iter().find(|dataset| dataset.name == *name)
    }

    /// Returns what researchers may know of the datasets that have all `tags`.
    pub fn search(&self, tags: &[String]) -> Vec<DatasetEntry> {
        let has_all = |dataset: &&Dataset| tags.iter().all(|tag| dataset.tags.contains(tag));
        self.0.iter().filter(has_all).map(Dataset::entry).collect()
    }

    fn store(&self, folder: &Folder) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(&self.0)
            .map_err(|error| Error::Damaged { file: FILE.into(), reason: error.to_string() })?;
        Ok(folder.write(FILE, &text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(
        datasets: &mut Datasets,
        dir: &Path,
        name: &str,
        tags: &[&str],
    ) -> Result<Dataset, String> {
        let path = dir.join("d.csv");
        std::fs::write(&path, "a,y\n1,0\n2,1\n").unwrap();
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let folder = Folder::open(dir).unwrap();
        let added = datasets.add(&folder, name.parse().unwrap(), (&path, None), tags);
        added.cloned().map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_registered_is_found_by_all_of_its_tags() {
        let dir = tempfile::tempdir().unwrap();
        let mut datasets = Datasets::default();
        let dataset = add(&mut datasets, dir.path(), "one", &["x", "y"]).unwrap();
        assert_eq!((dataset.n_rows, dataset.columns.len()), (2, 2));
        let stored = Datasets::load(&Folder::open(dir.path()).unwrap()).unwrap();
        assert_eq!(stored, datasets);
        let found = |tags: &[&str]| {
            let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
            stored.search(&tags).len()
        };
        assert_eq!((found(&["x"]), found(&["y", "x"]), found(&["x", "z"])), (1, 1, 0));
        // What researchers learn holds no path.
        let entry = rmp_serde::to_vec_named(&stored.search(&[])).unwrap();
        let path = dir.path().to_str().unwrap().as_bytes();
        assert!(!entry.windows(path.len()).any(|window| window == path));
    }

    #[test]
    fn mistakes_change_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let mut datasets = Datasets::default();
        add(&mut datasets, dir.path(), "one", &["x"]).unwrap();
        for (name, tags, expected) in [
            ("one", vec!["x"], "a dataset called `one` is registered already"),
            ("two", vec![], "a dataset needs tags, none of them empty"),
            ("two", vec![""], "a dataset needs tags, none of them empty"),
        ] {
            let error = add(&mut datasets, dir.path(), name, &tags).unwrap_err();
            assert_eq!(error, expected);
        }
        let absent = dir.path().join("absent.csv");
        let two = "two".parse().unwrap();
        assert!(datasets.add(&folder, two, (&absent, None), vec!["x".into()]).is_err());
        assert_eq!(Datasets::load(&folder).unwrap().iter().count(), 1);
        assert!(datasets.remove(&folder, &"two".parse().unwrap()).is_err());
        datasets.remove(&folder, &"one".parse().unwrap()).unwrap();
        assert_eq!(Datasets::load(&folder).unwrap(), Datasets::default());
    }

    #[test]
    fn damaged_registry_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "[{").unwrap();
        let error = Datasets::load(&Folder::open(dir.path()).unwrap()).unwrap_err();
        assert!(error.to_string().starts_with("datasets.json is damaged"), "{error}");
    }
}
