//! Samples in tar archives, as WebDataset has them: files that share a name up to its first dot are one
//! sample, and lie one after the other. Images, classes and arrays are read where they lie.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::array::{Array, Elements};
use crate::bounds::{FILES_MAX, IMAGE_FILE_BYTES_MAX};
use crate::dataset::LABEL;
use crate::images::names;
use crate::pixels::{self, Kind};
use crate::tar::{self, Member, Members};
use crate::{Block, Element, Error, Field, Values, cut, npy};

/// The most parts of a sample that are read.
const PARTS_MAX: usize = 64;
/// The longest text of a class, in bytes.
const CLASS_BYTES_MAX: u64 = 64;
/// The most kinds of files that a remark lists.
const KINDS_MAX: usize = 8;
/// The most kinds of files that are counted by kind.
const COUNTED_MAX: usize = 1 << 16;

/// Archives of samples with the same parts.
#[derive(Clone, Debug)]
pub(crate) struct Shards {
    paths: Vec<PathBuf>,
    /// The first sample of each archive.
    starts: Vec<u64>,
    parts: Vec<Part>,
    /// Offset and length of each part of each sample.
    places: Vec<(u64, u64)>,
    n_rows: u64,
    left_out: BTreeMap<String, u64>,
}

/// A part of every sample.
#[derive(Clone, Debug)]
struct Part {
    /// The end of its name.
    end: String,
    field: Field,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Image,
    Class,
    Array,
}

/// The parts of a sample while its archive is listed.
#[derive(Default)]
struct Sample {
    key: String,
    parts: BTreeMap<String, (u64, u64)>,
}

/// The archives of a dataset: the one that is named, or those in a folder, in byte order.
///
/// # Errors
/// [`Error::Read`], [`Error::TooLarge`].
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let found = names(path, |kind| kind.is_file(), FILES_MAX)?;
    let is_tar = |name: &Path| name.extension().is_some_and(|end| end.eq_ignore_ascii_case("tar"));
    let mut files: Vec<PathBuf> =
        found.into_iter().map(|(name, _)| path.join(name)).filter(|name| is_tar(name)).collect();
    files.sort();
    Ok(files)
}

impl Shards {
    /// Lists the samples, and decodes the first one.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Malformed`], [`Error::Unsupported`], [`Error::TooLarge`].
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let mut this = Self {
            paths: files(path)?,
            starts: vec![],
            parts: vec![],
            places: vec![],
            n_rows: 0,
            left_out: BTreeMap::new(),
        };
        for shard in 0..this.paths.len() {
            this.starts.push(this.n_rows);
            let path = this.paths[shard].clone();
            let (mut members, mut sample) = (Members::open(&path)?, Sample::default());
            while let Some(member) = members.next()? {
                let (key, end) = split(&member.name);
                if key != sample.key {
                    let done = std::mem::take(&mut sample);
                    this.add(&path, done)?;
                    key.clone_into(&mut sample.key);
                }
                this.part(&path, &mut sample, end, &member)?;
            }
            this.add(&path, sample)?;
        }
        if this.n_rows == 0 {
            let what = "it has no samples; expected KEY.png or .jpg with KEY.cls, or KEY.NAME.npy";
            return Err(Error::Unsupported { path: path.to_owned(), what: what.into() });
        }
        for at in 0..this.parts.len() {
            let (element, shape) = this.first(at)?;
            let field = &mut this.parts[at].field;
            (field.element, field.shape) = (element, shape);
        }
        Ok(this)
    }

    /// A field a part.
    pub(crate) fn fields(&self) -> Vec<Field> {
        self.parts.iter().map(|part| part.field.clone()).collect()
    }

    /// Samples, at least 1.
    pub(crate) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// The files that are not read, for people.
    pub(crate) fn remark(&self) -> Option<String> {
        let n: u64 = self.left_out.values().sum();
        let shown = self.left_out.iter().take(KINDS_MAX);
        let shown = shown.map(|(end, n)| format!("{n} .{end}")).collect::<Vec<_>>();
        let more = if self.left_out.len() > KINDS_MAX { ", ..." } else { "" };
        (n > 0).then(|| {
            let shown = shown.join(", ");
            format!(
                "{n} members are left out, since only images, .cls and .npy are read: {shown}{more}"
            )
        })
    }

    /// Reads some samples.
    ///
    /// # Errors
    /// Those of the parts.
    pub(crate) fn read(&self, rows: Range<u64>, fields: &[usize]) -> Result<Block, Error> {
        let n_rows = (rows.end - rows.start) as usize;
        let mut open: Option<(usize, File)> = None;
        let mut columns = Vec::with_capacity(fields.len());
        for at in fields {
            let part = &self.parts[*at];
            let kind: Kind = (part.field.shape.clone(), part.field.element);
            let values = rows.clone().map(|row| {
                let bytes = self.bytes(row, *at, &mut open)?;
                let path = self.path(row);
                match part.what {
                    What::Image => Ok(pixels::decode(path, &bytes, Some(&kind))?.pixels),
                    What::Class => Ok(Values::Float64(vec![class(path, &bytes, row)?])),
                    What::Array => {
                        let array = array(path, &part.field.name, &bytes)?;
                        if (&array.field.shape, array.field.element) != (&kind.0, kind.1) {
                            let what = format!(
                                "array `{}` of sample {row} has shape {:?}, the first one has {:?}, \
                                 or another type",
                                part.field.name, array.field.shape, kind.0
                            );
                            return Err(Error::Unsupported { path: path.to_owned(), what });
                        }
                        array.read(0..1)
                    }
                }
            });
            columns.push(pixels::joined(&kind, n_rows, values)?);
        }
        Ok(Block { first_row: rows.start, n_rows, columns, lines: vec![] })
    }

    /// Takes a part of a sample, or counts it.
    fn part(
        &mut self,
        path: &Path,
        sample: &mut Sample,
        end: &str,
        member: &Member,
    ) -> Result<(), Error> {
        let (end, what, name) = match end.to_ascii_lowercase() {
            end if ["png", "jpg", "jpeg"].contains(&&end[..]) => {
                ("image".to_owned(), What::Image, "image".to_owned())
            }
            end if end == "cls" => (end, What::Class, LABEL.to_owned()),
            end if end == "npy" => (end, What::Array, "values".to_owned()),
            end if end.ends_with(".npy") => {
                let name = end.trim_end_matches(".npy").to_owned();
                (end, What::Array, name)
            }
            end => {
                // The beginning is enough for people, and the whole may be as long as a name.
                let end = cut(&end);
                if self.left_out.len() < COUNTED_MAX || self.left_out.contains_key(&end) {
                    *self.left_out.entry(end).or_default() += 1;
                }
                return Ok(());
            }
        };
        if sample.parts.insert(end.clone(), (member.offset, member.len)).is_some() {
            let what = format!("sample `{}` has two parts of one kind", cut(&sample.key));
            return Err(Error::Unsupported { path: path.to_owned(), what });
        }
        if sample.parts.len() > PARTS_MAX {
            let (path, what) = (path.to_owned(), "parts of a sample".to_owned());
            let (got, max) = (sample.parts.len() as u64, PARTS_MAX as u64);
            return Err(Error::TooLarge { path, what, got, max });
        }
        // The first sample says which parts there are.
        if self.n_rows == 0 {
            let field = Field { name, element: Element::Float64, shape: vec![] };
            self.parts.push(Part { end, field, what });
            self.parts.sort_by(|a, b| a.end.cmp(&b.end));
        }
        Ok(())
    }

    /// Adds a sample that is complete.
    fn add(&mut self, path: &Path, sample: Sample) -> Result<(), Error> {
        if sample.parts.is_empty() {
            return Ok(());
        }
        let is_alike = sample.parts.len() == self.parts.len()
            && self.parts.iter().all(|part| sample.parts.contains_key(&part.end));
        if !is_alike {
            let ends = |ends: Vec<&str>| ends.into_iter().map(cut).collect::<Vec<_>>().join(", ");
            let what = format!(
                "sample `{}` has the parts {}, the first one has {}; the files of a sample lie one after \
                 the other",
                cut(&sample.key),
                ends(sample.parts.keys().map(String::as_str).take(KINDS_MAX).collect()),
                ends(self.parts.iter().map(|part| &part.end[..]).take(KINDS_MAX).collect()),
            );
            return Err(Error::Unsupported { path: path.to_owned(), what });
        }
        if self.n_rows as usize >= FILES_MAX {
            let (path, what) = (path.to_owned(), "samples".to_owned());
            let max = FILES_MAX as u64;
            return Err(Error::TooLarge { path, what, got: max + 1, max });
        }
        self.places.extend(sample.parts.into_values());
        self.n_rows += 1;
        Ok(())
    }

    /// Type and shape of a part of the first sample.
    fn first(&self, at: usize) -> Result<(Element, Vec<u64>), Error> {
        let bytes = self.bytes(0, at, &mut None)?;
        let (path, part) = (self.path(0), &self.parts[at]);
        Ok(match part.what {
            What::Image => {
                let (shape, element) = pixels::decode(path, &bytes, None)?.kind();
                (element, shape)
            }
            What::Class => (Element::Float64, vec![]),
            What::Array => {
                let array = array(path, &part.field.name, &bytes)?;
                (array.field.element, array.field.shape)
            }
        })
    }

    fn bytes(
        &self,
        row: u64,
        at: usize,
        open: &mut Option<(usize, File)>,
    ) -> Result<Vec<u8>, Error> {
        let shard = self.shard(row);
        let path = &self.paths[shard];
        let (offset, len) = self.places[row as usize * self.parts.len() + at];
        let max =
            if self.parts[at].what == What::Class { CLASS_BYTES_MAX } else { IMAGE_FILE_BYTES_MAX };
        if len > max {
            let (path, what) = (path.clone(), format!("bytes of a part of sample {row}"));
            return Err(Error::TooLarge { path, what, got: len, max });
        }
        if open.as_ref().is_none_or(|(opened, _)| *opened != shard) {
            let file = crate::open(path);
            let file = file.map_err(|source| Error::Read { path: path.clone(), source })?;
            *open = Some((shard, file));
        }
        match open {
            Some((_, file)) => tar::read(path, file, offset, len),
            None => Ok(vec![]),
        }
    }

    fn shard(&self, row: u64) -> usize {
        self.starts.partition_point(|start| *start <= row).saturating_sub(1)
    }

    fn path(&self, row: u64) -> &Path {
        &self.paths[self.shard(row)]
    }
}

/// The name up to the first dot behind its folders, and the rest.
fn split(name: &str) -> (&str, &str) {
    let folder = name.rfind('/').map_or(0, |at| at + 1);
    match name[folder..].find('.') {
        Some(dot) => (&name[..folder + dot], &name[folder + dot + 1..]),
        None => (name, ""),
    }
}

/// The class in a text.
fn class(path: &Path, bytes: &[u8], row: u64) -> Result<f64, Error> {
    let text = String::from_utf8_lossy(bytes);
    let number = text.trim().parse::<u32>();
    number.map(f64::from).map_err(|_| {
        let reason =
            format!("the class of sample {row} is `{}`, not a whole number", cut(text.trim()));
        Error::Malformed { path: path.to_owned(), reason: reason.into() }
    })
}

/// An array of one row.
fn array(path: &Path, name: &str, bytes: &[u8]) -> Result<Array, Error> {
    let mut rest = bytes;
    let (mut header, _) = npy::header(path, &mut rest)?;
    header.shape.insert(0, 1);
    npy::row_major(path, &header)?;
    let (expected, got) = (header.n_bytes(path)?, rest.len() as u64);
    if expected != got {
        let (path, what) = (path.to_owned(), format!("the header of array `{}`", cut(name)));
        return Err(Error::WrongLength { path, what, expected, got });
    }
    Ok(Array::new(path, name, header, Elements::Memory(rest.to_vec())))
}
