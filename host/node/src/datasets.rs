//! The datasets that a node offers, `datasets.json` in its directory.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use fedwasm_dataset::{Field, Format, Look, Renames, Volumes};
use fedwasm_folder::Folder;
use fedwasm_protocol::{DataArgs, DatasetEntry, DatasetId, Day, MISSING_WORDS, Reason, Refusal};
use fedwasm_sandbox::Cancel;
use fedwasm_transport::now_ms;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::refusal::refusal;
use crate::round::file_digest;
use crate::snapshots::{self, NewQuery, Query, Snapshots};
use crate::{Database, Error};

const FILE: &str = "datasets.json";
const FILE_BYTES_MAX: u64 = 64 << 20;
/// The most datasets of a node.
const DATASETS_MAX: usize = 1_000;
/// How many cells are looked at when a dataset is registered: a second's work.
const CELLS_MAX: u64 = 20_000_000;
/// The most remarks that are kept of a dataset.
const REMARKS_MAX: usize = 100;

/// A dataset of the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Its name here, which is its id for researchers.
    pub name: DatasetId,
    /// The file or folder; never leaves the node.
    pub path: PathBuf,
    /// The tags that researchers search for.
    pub tags: Vec<String>,
    /// Its rows when it was registered.
    pub n_rows: u64,
    /// Its columns when it was registered.
    pub columns: Vec<String>,
    /// Its format; CSV if none is named.
    #[serde(rename = "type", default = "csv", skip_serializing_if = "is_csv")]
    pub format: Format,
    /// The shapes of the columns with more than one number a row.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shapes: BTreeMap<String, Vec<u64>>,
    /// Remarks about its columns when it was registered, for the operator alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// The rows that were looked at for them; none if those are all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<u64>,
    /// Length and time of its file when it was registered; none of a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stamp: Option<Stamp>,
    /// How its volumes are read.
    #[serde(default, skip_serializing_if = "Volumes::is_default")]
    pub volumes: Volumes,
    /// The query whose answer its file is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Query>,
    /// The names of its columns for researchers, by those that the file has, where they differ.
    #[serde(default, skip_serializing_if = "Renames::is_empty")]
    pub renames: Renames,
}

/// Length in bytes, and the time of the last change in milliseconds of Unix time.
pub(crate) type Stamp = (u64, u64);

fn stamp(path: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let time = file.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some((file.len(), u64::try_from(time.as_millis()).ok()?))
}

/// A dataset that is going to be registered.
#[derive(Clone, Debug)]
pub struct NewDataset<'a> {
    /// Its name here.
    pub name: DatasetId,
    /// The file or folder.
    pub path: &'a Path,
    /// Its format; found by its content if none is given.
    pub format: Option<Format>,
    /// The tags that researchers search for.
    pub tags: Vec<String>,
    /// How its volumes are read.
    pub volumes: Volumes,
    /// The names of its columns for researchers, by those that the file has, where they differ.
    pub renames: Renames,
}

pub(crate) fn columns_of(fields: &[Field]) -> Vec<String> {
    fields.iter().map(|field| field.name.clone()).collect()
}

/// The shapes of the fields with more than one number a row.
pub(crate) fn shapes_of(fields: &[Field]) -> BTreeMap<String, Vec<u64>> {
    let has_axes = |field: &&Field| !field.shape.is_empty();
    let shape = |field: &Field| (field.name.clone(), field.shape.clone());
    fields.iter().filter(has_axes).map(shape).collect()
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
        fedwasm_dataset::Dataset::open_with(&self.path, Some(self.format), &self.volumes)?
            .renamed(&self.renames)
    }

    /// Says how a file differs from the registered one, and the cure.
    pub(crate) fn change(&self, file: &fedwasm_dataset::Dataset) -> Option<String> {
        let Self { n_rows, columns, shapes, .. } = self;
        let (now, fields) = (file.n_rows(), file.fields());
        let what = if now != *n_rows {
            format!("it had {n_rows} rows and now has {now}")
        } else if !fields.iter().map(|field| &field.name).eq(columns)
            || shapes_of(fields) != *shapes
        {
            "its columns are different now".to_owned()
        } else {
            return None;
        };
        Some(self.changed(&what))
    }

    /// Says that the file was written to, or is gone, since it was registered; none if not.
    pub(crate) fn touched(&self) -> Option<String> {
        let now = stamp(&self.path);
        (self.stamp.is_some() && now != self.stamp).then(|| {
            self.changed(if now.is_none() { "its file is gone" } else { "its file was written to" })
        })
    }

    fn changed(&self, what: &str) -> String {
        let name = &self.name;
        format!(
            "dataset {name} changed since it was registered: {what}; at the node, `fedwasm node \
             dataset refresh DIR --name {name}` registers it again"
        )
    }

    /// A file as it is now, under this name. Its cells are looked at, some of a large one.
    fn of(new: NewDataset<'_>) -> Result<Self, Error> {
        let NewDataset { name, path, format, tags, volumes, renames } = new;
        let stamp = stamp(path);
        let file = fedwasm_dataset::Dataset::open_with(path, format, &volumes)?;
        let file = file.renamed(&renames)?;
        let missing = MISSING_WORDS.map(str::to_owned).to_vec();
        let look = Look::of_dataset(&file, missing, CELLS_MAX)?;
        let mut remarks = file.remarks();
        remarks.extend(look.remarks(Day::of_number((now_ms() / 86_400_000) as f64)));
        remarks.truncate(REMARKS_MAX);
        Ok(Self {
            name,
            path: path.to_owned(),
            tags,
            n_rows: file.n_rows(),
            columns: columns_of(file.fields()),
            format: file.format(),
            shapes: shapes_of(file.fields()),
            remarks,
            looked_at: (!look.is_whole).then_some(look.n_rows),
            stamp,
            volumes,
            query: None,
            renames,
        })
    }

    /// It is the answer to a query, about which there are remarks.
    fn asked(&mut self, query: Query, remarks: Vec<String>) {
        self.query = Some(query);
        self.remarks.splice(0..0, remarks);
        self.remarks.truncate(REMARKS_MAX);
    }

    /// Checks that it has all columns that are asked for.
    pub(crate) fn check_columns(&self, data: &DataArgs) -> Result<(), Refusal> {
        let known: HashSet<&String> = self.columns.iter().collect();
        match data.names().into_iter().find(|column| !known.contains(column)) {
            None => Ok(()),
            Some(column) => {
                let message = format!("dataset {} has no column `{column}`", self.name);
                Err(refusal(Reason::Dataset, message))
            }
        }
    }

    /// The facts about it for the node's log.
    fn fields(&self) -> Value {
        let mut fields = json!({
            "dataset": self.name, "path": self.path, "type": self.format, "tags": self.tags,
            "rows": self.n_rows, "columns": self.columns.len(), "renames": self.renames,
        });
        if let Some(Query { from, sql, digest, .. }) = &self.query {
            fields["from"] = json!(from);
            fields["sql"] = json!(sql);
            fields["digest"] = json!(digest);
        }
        fields
    }

    /// The facts about it that researchers may know.
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

#[cfg(test)]
impl FromIterator<Dataset> for Datasets {
    fn from_iter<T: IntoIterator<Item = Dataset>>(datasets: T) -> Self {
        Self(datasets.into_iter().collect())
    }
}

impl Datasets {
    /// Reads the registry of a node.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Io`].
    pub fn load(folder: &Folder) -> Result<Self, Error> {
        if !folder.has(FILE) {
            return Ok(Self::default());
        }
        let text = folder.read(FILE, FILE_BYTES_MAX)?;
        serde_json::from_slice(&text).map(Self).map_err(malformed)
    }

    /// Registers a file or folder after looking at its headers and counting its
    /// rows. It is in the log of the node before it is offered.
    ///
    /// # Errors
    /// [`Error::DatasetExists`], [`Error::Tags`], [`Error::TooManyDatasets`],
    /// [`Error::RegistryTooLarge`], [`Error::Data`], [`Error::Database`], [`Error::Io`].
    pub fn add(
        &mut self,
        folder: &Folder,
        database: &Database,
        new: NewDataset<'_>,
    ) -> Result<&Dataset, Error> {
        let NewDataset { name, path, format, tags, volumes, renames } = new;
        let tags = self.check_new(&name, &tags)?;
        let new = NewDataset { path: &path.canonicalize()?, name, format, tags, volumes, renames };
        let dataset = Dataset::of(new)?;
        self.push(folder, database, dataset)
    }

    /// Asks a database, keeps the answer in the node's directory, and registers that as a dataset.
    ///
    /// # Errors
    /// As [`Datasets::add`], and [`Error::Sql`].
    pub fn add_query(
        &mut self,
        folder: &Folder,
        database: &Database,
        new: NewQuery,
        snapshots: Snapshots<'_>,
    ) -> Result<&Dataset, Error> {
        let NewQuery { name, from, sql, limits, tags, renames } = new;
        let tags = self.check_new(&name, &tags)?;
        let (query, taken) = snapshots.take(folder, &name, (from, sql, limits), None)?;
        let path = &*snapshots.path(&name)?;
        let (format, volumes) = (Some(Format::Parquet), Volumes::default());
        let registered = name.clone();
        let new = NewDataset { name, path, format, tags, volumes, renames };
        let added = Dataset::of(new).and_then(|mut dataset| {
            dataset.asked(query, taken.remarks);
            self.push(folder, database, dataset).map(drop)
        });
        if let Err(error) = added {
            // No dataset has it; a copy of rows does not stay behind.
            snapshots::remove(folder, &registered)?;
            return Err(error);
        }
        Ok(&self.0[self.0.len() - 1])
    }

    /// Checks the name and the tags of a new dataset.
    fn check_new(&self, name: &DatasetId, tags: &[String]) -> Result<Vec<String>, Error> {
        if self.find(name).is_some() {
            return Err(Error::DatasetExists { name: name.to_string() });
        }
        let tags: Vec<String> = tags.iter().map(|tag| tag.trim().to_owned()).collect();
        if tags.is_empty() || tags.iter().any(String::is_empty) {
            return Err(Error::Tags);
        }
        if self.0.len() >= DATASETS_MAX {
            return Err(Error::TooManyDatasets { max: DATASETS_MAX });
        }
        Ok(tags)
    }

    fn push(
        &mut self,
        folder: &Folder,
        database: &Database,
        dataset: Dataset,
    ) -> Result<&Dataset, Error> {
        database.record(now_ms(), "dataset-added", &dataset.fields())?;
        self.0.push(dataset);
        self.store(folder)?;
        Ok(&self.0[self.0.len() - 1])
    }

    /// Registers a file or folder again that has changed, or asks a database anew: under the same
    /// name, with the same tags. Returns the earlier registration and the new one.
    ///
    /// # Errors
    /// [`Error::NoDataset`], [`Error::Data`], [`Error::Sql`], [`Error::Database`], [`Error::Io`].
    pub fn refresh(
        &mut self,
        folder: &Folder,
        database: &Database,
        name: &DatasetId,
        snapshots: Snapshots<'_>,
    ) -> Result<(Dataset, Dataset), Error> {
        let found = self.0.iter_mut().find(|dataset| dataset.name == *name);
        let found = found.ok_or_else(|| Error::NoDataset { name: name.to_string() })?;
        let before = found.clone();
        let Dataset { name, mut path, tags, format, volumes, query, renames, .. } = before.clone();
        let asked = match query {
            None => None,
            Some(Query { from, sql, limits, digest, .. }) => {
                path = snapshots.path(&name)?;
                // One that was touched or damaged is written again, also if the answer is the same.
                let is_as_it_was = before.stamp.is_some()
                    && before.stamp == stamp(&path)
                    && file_digest(&path, &Cancel::new()).is_ok_and(|found| found == digest);
                let kept = is_as_it_was.then_some(digest);
                Some(snapshots.take(folder, &name, (from, sql, limits), kept)?)
            }
        };
        let new = NewDataset { name, path: &path, format: Some(format), tags, volumes, renames };
        let mut now = Dataset::of(new)?;
        if let Some((query, taken)) = asked {
            now.asked(query, taken.remarks);
        }
        let mut fields = now.fields();
        fields["rows_before"] = json!(before.n_rows);
        fields["columns_before"] = json!(before.columns.len());
        database.record(now_ms(), "dataset-refreshed", &fields)?;
        *found = now.clone();
        self.store(folder)?;
        Ok((before, now))
    }

    /// Takes a dataset off the registry; the file stays, but for the snapshot of a database.
    ///
    /// # Errors
    /// [`Error::NoDataset`], [`Error::Database`], [`Error::Io`].
    pub fn remove(
        &mut self,
        folder: &Folder,
        database: &Database,
        name: &DatasetId,
    ) -> Result<Dataset, Error> {
        let at = self.0.iter().position(|dataset| dataset.name == *name);
        let at = at.ok_or_else(|| Error::NoDataset { name: name.to_string() })?;
        let removed = self.0.remove(at);
        database.record(now_ms(), "dataset-removed", &removed.fields())?;
        self.store(folder)?;
        if removed.query.is_some() {
            snapshots::remove(folder, name)?;
        }
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

    /// Returns the facts that researchers may know about the datasets that have all `tags`.
    pub fn search(&self, tags: &[String]) -> Vec<DatasetEntry> {
        let has_all = |dataset: &&Dataset| tags.iter().all(|tag| dataset.tags.contains(tag));
        self.0.iter().filter(has_all).map(Dataset::entry).collect()
    }

    fn store(&self, folder: &Folder) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(&self.0).map_err(malformed)?;
        // A registry that cannot be read would take all datasets off the node.
        if text.len() as u64 > FILE_BYTES_MAX {
            let bytes = text.len() as u64;
            return Err(Error::RegistryTooLarge { bytes, max: FILE_BYTES_MAX });
        }
        Ok(folder.write(FILE, &text)?)
    }
}

fn malformed(source: serde_json::Error) -> Error {
    Error::Malformed { file: FILE.into(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_sql::Passwords;

    fn add(
        datasets: &mut Datasets,
        dir: &Path,
        name: &str,
        tags: &[&str],
    ) -> Result<Dataset, String> {
        let path = dir.join("d.csv");
        std::fs::write(&path, "a,y\n1,0\n2,1\n").unwrap();
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let (folder, database) = (Folder::open(dir).unwrap(), database(dir));
        let name = name.parse().unwrap();
        let (volumes, renames) = (Volumes::default(), Renames::new());
        let new = NewDataset { name, path: &path, format: None, tags, volumes, renames };
        let added = datasets.add(&folder, &database, new);
        added.cloned().map_err(|error| error.to_string())
    }

    fn database(dir: &Path) -> Database {
        let who = "node-n".parse().unwrap();
        let identity =
            fedwasm_trust::Identity::open_or_create(&dir.join("identity"), |_| who).unwrap();
        Database::open(dir, &identity).unwrap()
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
        // Researchers learn no path.
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
            ("one", vec!["x"], "a dataset called `one` is already registered"),
            ("two", vec![], "a dataset needs tags, none of them empty"),
            ("two", vec![""], "a dataset needs tags, none of them empty"),
        ] {
            let error = add(&mut datasets, dir.path(), name, &tags).unwrap_err();
            assert_eq!(error, expected);
        }
        let absent = dir.path().join("absent.csv");
        let two: DatasetId = "two".parse().unwrap();
        let database = database(dir.path());
        let (name, tags) = (two.clone(), vec!["x".into()]);
        let (volumes, renames) = (Volumes::default(), Renames::new());
        let new = NewDataset { name, path: &absent, format: None, tags, volumes, renames };
        assert!(datasets.add(&folder, &database, new).is_err());
        assert_eq!(Datasets::load(&folder).unwrap().iter().count(), 1);
        assert!(datasets.remove(&folder, &database, &two).is_err());
        let snapshots = Snapshots { dir: dir.path(), passwords: &Passwords::default() };
        assert!(datasets.refresh(&folder, &database, &two, snapshots).is_err());
        datasets.remove(&folder, &database, &"one".parse().unwrap()).unwrap();
        assert_eq!(Datasets::load(&folder).unwrap(), Datasets::default());
    }

    #[test]
    fn a_registry_that_could_not_be_read_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let mut datasets = Datasets::default();
        let mut wide = add(&mut datasets, dir.path(), "one", &["x"]).unwrap();
        let known = Datasets::load(&folder).unwrap();
        wide.columns = (0..65_536).map(|n| format!("{n:0>1100}")).collect();
        datasets.0.push(wide);
        let error = datasets.store(&folder).unwrap_err().to_string();
        assert!(error.starts_with("datasets.json would have "), "{error}");
        assert_eq!(Datasets::load(&folder).unwrap(), known);
    }

    #[test]
    fn a_file_that_grew_is_named_and_can_be_registered_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let database = database(dir.path());
        let mut datasets = Datasets::default();
        let dataset = add(&mut datasets, dir.path(), "one", &["x"]).unwrap();
        assert_eq!(dataset.change(&dataset.open().unwrap()), None);
        std::fs::write(&dataset.path, "a,y\n1,0\n2,1\n3,0\n").unwrap();
        let change = dataset.change(&dataset.open().unwrap()).unwrap();
        assert!(change.contains("it had 2 rows and now has 3"), "{change}");
        assert!(change.contains("`fedwasm node dataset refresh DIR --name one`"), "{change}");
        std::fs::write(&dataset.path, "b,y\n1,0\n2,1\n").unwrap();
        let change = dataset.change(&dataset.open().unwrap()).unwrap();
        assert!(change.contains("its columns are different now"), "{change}");
        let snapshots = Snapshots { dir: dir.path(), passwords: &Passwords::default() };
        let one = "one".parse().unwrap();
        let (before, now) = datasets.refresh(&folder, &database, &one, snapshots).unwrap();
        assert_eq!(before, dataset);
        assert_eq!((now.tags, now.columns), (dataset.tags, vec!["b".to_owned(), "y".to_owned()]));
        datasets.remove(&folder, &database, &"one".parse().unwrap()).unwrap();
        let log = database.log(0, 10).unwrap();
        let kinds: Vec<&str> = log.iter().map(|entry| entry.kind.as_str()).collect();
        assert_eq!(kinds, ["dataset-added", "dataset-refreshed", "dataset-removed"]);
        assert_eq!(log[1].fields["rows_before"], 2);
    }

    #[test]
    fn damaged_registry_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "[{").unwrap();
        let error = Datasets::load(&Folder::open(dir.path()).unwrap()).unwrap_err();
        assert!(error.to_string().starts_with("datasets.json is damaged"), "{error}");
    }
}
