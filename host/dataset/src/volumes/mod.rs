//! Folders of subjects with volumes: one row a subject, a field a modality, and the numbers of a table
//! about them. Volumes come along the patient's axes (RAS+), and as [`Volumes`] says.

mod dicom;
mod layout;
mod nifti;
mod resample;
mod series;
mod table;
mod volume;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use fedwasm_protocol::{Missing, Modality, Volumes};
pub(crate) use layout::{is_bids, is_medical};

use crate::images::stamp;
use crate::view::Wanted;
use crate::{Block, Element, Error, Field, Format, Values, cut};
use layout::{Listing, Located, Subject};
use table::Table;
use volume::{Grid, Volume};

/// The most names of subjects or files that a message repeats.
const NAMES_MAX: usize = 3;
/// How far the corners of a mask may lie from those of the image, in voxels of the image.
const MASK_SHIFT_MAX: f64 = 0.5;

/// A folder of subjects.
#[derive(Clone, Debug)]
pub(crate) struct VolumeFolder {
    path: PathBuf,
    settings: Volumes,
    channels: Vec<Channel>,
    table: Option<Table>,
    rows: Vec<Row>,
    remarks: Vec<String>,
}

/// A modality that is read.
#[derive(Clone, Debug)]
struct Channel {
    name: String,
    settings: Modality,
    is_mask: bool,
    /// Depth, height, width.
    shape: [usize; 3],
}

/// A subject that is read.
#[derive(Clone, Debug)]
struct Row {
    /// A volume a channel.
    volumes: Vec<Located>,
    /// Its line in the table.
    line: Option<usize>,
}

impl VolumeFolder {
    /// Lists a folder, and reads the headers of the first subject.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::TooLarge`], [`Error::Unsupported`], [`Error::Malformed`], and
    /// those of the table.
    pub(crate) fn open(path: &Path, format: Format, settings: &Volumes) -> Result<Self, Error> {
        let unsupported = |what: String| Error::Unsupported { path: path.to_owned(), what };
        settings.check().map_err(unsupported)?;
        let listing = list(path, format)?;
        let chosen = chosen(path, &listing, settings)?;
        let table = table(path, format, settings)?;
        let mut this = Self {
            path: path.to_owned(),
            settings: settings.clone(),
            channels: vec![],
            table,
            rows: vec![],
            remarks: vec![],
        };
        if this.table.is_none()
            && let Some(name) = tables(path)?.first()
        {
            let name = cut(name);
            this.remarks.push(format!(
                "`{name}` is not read; `table` and `subject` of the settings join it to the subjects"
            ));
        }
        this.select(listing.subjects, &listing.modalities, &chosen)?;
        for (at, modality) in chosen.iter().enumerate() {
            let name = listing.modalities[usize::from(*modality)].clone();
            let own = settings.modalities.get(&name).cloned().unwrap_or_default();
            let file = &this.rows[0].volumes[at];
            let shape = match settings.shape {
                Some(shape) => shape.map(|length| length as usize),
                None => {
                    let grid = this.grid(file)?;
                    let shape = resample::shape(&grid, settings);
                    shape.map_err(|text| this.malformed(file, text))?
                }
            };
            let is_mask = own.is_mask(&name);
            this.channels.push(Channel { name, settings: own, is_mask, shape });
        }
        Ok(this)
    }

    /// A field [1, depth, height, width] a modality, then a number a column of the table.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let of_channel = |channel: &Channel| {
            let [depth, height, width] = channel.shape.map(|length| length as u64);
            let shape = vec![1, depth, height, width];
            Field { name: channel.name.clone(), element: Element::Float32, shape }
        };
        let of_column =
            |name: &String| Field { name: name.clone(), element: Element::Float64, shape: vec![] };
        let columns = self.table.iter().flat_map(Table::columns).map(of_column);
        self.channels.iter().map(of_channel).chain(columns).collect()
    }

    /// Subjects that are read, at least 1.
    pub(crate) fn n_rows(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Remarks about subjects and tables that are not read, for people.
    pub(crate) fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Reads some subjects.
    ///
    /// # Errors
    /// Those of the files, [`Error::Changed`], [`Error::Unsupported`] for a volume of another
    /// shape.
    pub(crate) fn read(&self, rows: Range<u64>, fields: &[Wanted<'_>]) -> Result<Block, Error> {
        let n_rows = (rows.end - rows.start) as usize;
        let own = &self.rows[rows.start as usize..rows.end as usize];
        let mut columns = Vec::with_capacity(fields.len());
        for (field, rule) in fields {
            columns.push(match (self.channels.get(*field), &self.table) {
                (Some(channel), _) => {
                    let n = channel.shape.iter().product::<usize>();
                    let mut values = Vec::with_capacity(n * n_rows);
                    for row in own {
                        values.extend(self.volume(row, *field, channel)?);
                    }
                    Values::Float32(values)
                }
                (None, Some(table)) => {
                    let (column, mut values) = (field - self.channels.len(), Vec::new());
                    for row in own {
                        table.push(row.line.unwrap_or(0), column, *rule, &mut values)?;
                    }
                    Values::Float64(values)
                }
                (None, None) => Values::Float64(vec![]),
            });
        }
        Ok(Block { first_row: rows.start, n_rows, columns, lines: vec![] })
    }

    /// The text of a subject in a column of the table, and its line; none of a volume.
    ///
    /// # Errors
    /// [`Error::NotUtf8`].
    pub(crate) fn text(&self, row: u64, field: usize) -> Result<Option<(&str, u64)>, Error> {
        let column = field.checked_sub(self.channels.len());
        let Some((table, column)) = self.table.as_ref().zip(column) else { return Ok(None) };
        let line = usize::try_from(row).ok().and_then(|row| self.rows.get(row)?.line);
        table.text(line.unwrap_or(0), column).map(Some)
    }

    fn volume(&self, row: &Row, at: usize, channel: &Channel) -> Result<Vec<f32>, Error> {
        let file = &row.volumes[at];
        let volume = self.load(file, &channel.settings)?;
        let got = resample::shape(&volume.grid, &self.settings);
        let got = got.map_err(|text| self.malformed(file, text))?;
        if got != channel.shape {
            let what = format!(
                "the volume has shape {got:?} (depth, height, width), that of the first subject has \
                 {:?}; `shape` and `spacing` of the settings make them alike",
                channel.shape
            );
            return Err(Error::Unsupported { path: self.path.join(&file.path), what });
        }
        let image = self.channels.iter().position(|channel| !channel.is_mask);
        if let (true, Some(image)) = (channel.is_mask, image) {
            self.check_mask(&volume.grid, file, &row.volumes[image])?;
        }
        let values = resample::values(&volume, &self.settings, &channel.settings, channel.is_mask);
        values.map_err(|text| self.malformed(file, text))
    }

    /// A mask says something about an image only if both lie at one place.
    fn check_mask(&self, mask: &Grid, file: &Located, image: &Located) -> Result<(), Error> {
        let grid = self.grid(image)?;
        let voxel = grid
            .axes()
            .map_or(0.0, |axes| axes.map(|axis| axis.spacing).into_iter().fold(0.0, f64::max));
        let (Some(own), Some(other)) = (mask.corners(), grid.corners()) else { return Ok(()) };
        let apart = own
            .iter()
            .zip(&other)
            .map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt());
        let apart = apart.fold(0.0, f64::max);
        if apart <= MASK_SHIFT_MAX * voxel {
            return Ok(());
        }
        let what = format!(
            "the mask covers another space than {}: their corners are {apart:.1} mm apart; resample \
             it to the image",
            image.path.display()
        );
        Err(Error::Unsupported { path: self.path.join(&file.path), what })
    }

    fn load(&self, file: &Located, modality: &Modality) -> Result<Volume, Error> {
        let path = self.unchanged(file)?;
        match (file.is_series, modality.frame) {
            (false, frame) => nifti::read(&path, frame),
            (true, None) => series::read(&path),
            (true, Some(_)) => {
                let what = "a series of slices is one volume, so it has no `frame`".to_owned();
                Err(Error::Unsupported { path, what })
            }
        }
    }

    fn grid(&self, file: &Located) -> Result<Grid, Error> {
        let path = self.unchanged(file)?;
        Ok(if file.is_series { series::read(&path)?.grid } else { nifti::header(&path)?.grid })
    }

    /// The path of a file that is as it was when it was listed.
    fn unchanged(&self, file: &Located) -> Result<PathBuf, Error> {
        let path = self.path.join(&file.path);
        let now = std::fs::metadata(&path).map(|metadata| stamp(&metadata));
        match (file.stamp, now) {
            (known, Ok(now)) if known == now => Ok(path),
            (_, Ok(_)) => Err(Error::Changed { path }),
            (_, Err(source)) => Err(Error::Read { path, source }),
        }
    }

    fn malformed(&self, file: &Located, text: String) -> Error {
        Error::Malformed { path: self.path.join(&file.path), reason: text.into() }
    }

    /// Takes the subjects that have all modalities and a line in the table, and counts the others.
    fn select(
        &mut self,
        subjects: Vec<Subject>,
        modalities: &[String],
        chosen: &[u16],
    ) -> Result<(), Error> {
        let (n_subjects, mut lacking) = (subjects.len(), BTreeMap::<String, usize>::new());
        let (mut incomplete, mut joined) = (Vec::new(), std::collections::HashSet::new());
        for mut subject in subjects {
            let absent = chosen.iter().filter(|at| !subject.volumes.contains_key(at));
            let mut absent: Vec<String> =
                absent.map(|at| modalities[usize::from(*at)].clone()).collect();
            let line = self.table.as_ref().and_then(|table| table.line(&subject.name));
            joined.extend(line);
            if self.table.is_some() && line.is_none() {
                absent.push("a line of the table".into());
            }
            if absent.is_empty() {
                let volumes = chosen.iter().filter_map(|at| subject.volumes.remove(at)).collect();
                self.rows.push(Row { volumes, line });
            } else {
                absent.into_iter().for_each(|name| *lacking.entry(name).or_default() += 1);
                incomplete.push(subject.name);
            }
        }
        if let Some(table) = &self.table
            && joined.len() < table.n_lines()
        {
            let n = table.n_lines() - joined.len();
            self.remarks
                .push(format!("{n} of the table's lines are about subjects without a folder"));
        }
        if incomplete.is_empty() {
            return Ok(());
        }
        let lacking: Vec<String> =
            lacking.iter().map(|(name, n)| format!("{}: {n}", cut(name))).collect();
        let shown: Vec<String> = incomplete.iter().take(NAMES_MAX).map(|name| cut(name)).collect();
        let more = if incomplete.len() > NAMES_MAX { ", ..." } else { "" };
        let text = format!(
            "{} of {n_subjects} subjects lack something ({}): {}{more}",
            incomplete.len(),
            lacking.join(", "),
            shown.join(", ")
        );
        let unsupported = |what: String| Error::Unsupported { path: self.path.clone(), what };
        if self.settings.missing == Missing::Refuse {
            let cure = "`missing = \"skip\"` of the settings leaves them out, and `modalities` \
                        chooses what is read";
            return Err(unsupported(format!("{text}; {cure}")));
        }
        if self.rows.is_empty() {
            return Err(unsupported(format!("{text}, so none is left")));
        }
        self.remarks.push(format!("{text}; they are left out"));
        Ok(())
    }
}

/// All files of a folder, and the tables beside the subjects, in the order of their paths.
///
/// # Errors
/// Those of the listing.
pub(crate) fn files(path: &Path, format: Format) -> Result<Vec<PathBuf>, Error> {
    let listing = list(path, format)?;
    let volumes = listing.subjects.into_iter().flat_map(|subject| subject.volumes.into_values());
    let mut files = Vec::new();
    for located in volumes {
        let own = path.join(&located.path);
        if located.is_series {
            files.extend(series::files(&own)?);
        } else {
            files.push(own);
        }
    }
    files.extend(tables(path)?.into_iter().map(|name| path.join(name)));
    files.sort();
    Ok(files)
}

fn list(path: &Path, format: Format) -> Result<Listing, Error> {
    match format {
        Format::Bids => layout::bids(path),
        _ => layout::medical(path),
    }
}

/// The modalities that are read, by their places.
fn chosen(path: &Path, listing: &Listing, settings: &Volumes) -> Result<Vec<u16>, Error> {
    let known = &listing.modalities;
    if settings.modalities.is_empty() {
        let is_read = |at: &u16| !settings.without.contains(&known[usize::from(*at)]);
        return Ok((0..known.len() as u16).filter(is_read).collect());
    }
    let place = |name: &String| {
        let place = known.iter().position(|known| known == name).map(|at| at as u16);
        place.ok_or_else(|| {
            let all: Vec<String> = known.iter().take(20).map(|name| cut(name)).collect();
            let what = format!("no subject has `{}`; they have {}", cut(name), all.join(", "));
            Error::Unsupported { path: path.to_owned(), what }
        })
    };
    settings.modalities.keys().map(place).collect()
}

/// The tables that lie beside the subjects.
fn tables(path: &Path) -> Result<Vec<String>, Error> {
    let found = crate::images::names(path, |kind| kind.is_file(), crate::bounds::FILES_MAX)?;
    let is_table = |name: &String| {
        [".csv", ".tsv"].iter().any(|end| name.ends_with(end)) && !name.starts_with('.')
    };
    let names = found.into_iter().filter_map(|(name, _)| name.into_string().ok());
    let mut tables: Vec<String> = names.filter(is_table).collect();
    tables.sort();
    Ok(tables)
}

fn table(path: &Path, format: Format, settings: &Volumes) -> Result<Option<Table>, Error> {
    let participants = "participants.tsv";
    let is_there = format == Format::Bids && path.join(participants).is_file();
    let name = settings.table.as_deref().or(is_there.then_some(participants));
    let by_bids = (format == Format::Bids).then_some("participant_id");
    match (name, settings.subject.as_deref().or(by_bids)) {
        (Some(name), Some(key)) => Table::open(&path.join(name), key).map(Some),
        (Some(name), None) => {
            let what = format!("`subject` of the settings must name the column of `{name}`");
            Err(Error::Unsupported { path: path.to_owned(), what })
        }
        (None, _) if settings.subject.is_some() => {
            let what = "`subject` of the settings needs a `table`".to_owned();
            Err(Error::Unsupported { path: path.to_owned(), what })
        }
        (None, _) => Ok(None),
    }
}
