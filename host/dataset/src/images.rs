//! Folders of images, one folder a class: `DIR/CLASS/NAME.png` or `.jpg`.
//! Classes and files are in byte order of their names.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::bounds::{COLUMNS_MAX, FILES_MAX, IMAGE_FILE_BYTES_MAX};
use crate::pixels::{self, Image, Kind};
use crate::renames::{Renames, renamed};
use crate::{Block, Element, Error, Field, Values, cut};

/// The most ends of names that a remark lists.
const EXTENSIONS_MAX: usize = 8;
/// A folder of images, all of one shape. Its fields are `image`, uint8 (of 16 bits: float32)
/// [channels, height, width], and `label`, the place of the class.
#[derive(Clone, Debug)]
pub(crate) struct ImageFolder {
    path: PathBuf,
    classes: Vec<OsString>,
    /// Class, name, and length and time of each image.
    files: Vec<(u32, OsString, Stamp)>,
    kind: Kind,
    /// Files that are not read, by the ends of their names.
    left_out: BTreeMap<String, u64>,
}

impl ImageFolder {
    /// Lists a folder, and decodes its first image.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::TooLarge`], [`Error::Unsupported`],
    /// [`Error::Malformed`].
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let mut this = Self::list(path)?;
        this.kind = decode(&this.file(0), this.files[0].2, None)?.kind();
        Ok(this)
    }

    /// Lists a folder. Shape and type of the images are not known then.
    ///
    /// # Errors
    /// As [`ImageFolder::open`], but none about an image.
    pub(crate) fn list(path: &Path) -> Result<Self, Error> {
        let classes = names(path, |kind| kind.is_dir(), COLUMNS_MAX)?;
        // Names that begin with a dot are those of programs, not of people.
        let mut classes: Vec<OsString> = classes
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| !name.as_encoded_bytes().starts_with(b"."))
            .collect();
        classes.sort();
        let mut left_out = BTreeMap::new();
        let mut leave_out = |name: &OsStr| {
            if !name.as_encoded_bytes().starts_with(b".") {
                *left_out.entry(extension(name)).or_default() += 1;
            }
        };
        let beside = names(path, |kind| kind.is_file(), FILES_MAX)?;
        beside.iter().for_each(|(name, _)| leave_out(name));
        let mut files = Vec::new();
        for (class, name) in classes.iter().enumerate() {
            let left = FILES_MAX - files.len();
            let mut found = names(&path.join(name), |kind| kind.is_file(), left)?;
            found.retain(|(name, _)| {
                is_image(name) || {
                    leave_out(name);
                    false
                }
            });
            if found.is_empty() {
                let what = "a class without images; remove the folder";
                return Err(Error::Unsupported { path: path.join(name), what: what.into() });
            }
            found.sort();
            files.extend(found.into_iter().map(|(name, stamp)| (class as u32, name, stamp)));
        }
        let kind = (vec![], Element::UInt8);
        let this = Self { path: path.to_owned(), classes, files, kind, left_out };
        if let [only] = &this.classes[..] {
            let what = format!(
                "the folder has one class only, `{}`; each class needs a folder, and label files \
                 beside the images are not read",
                cut(&only.to_string_lossy())
            );
            return Err(Error::Unsupported { path: path.to_owned(), what });
        }
        if this.files.is_empty() {
            let what = "it has no images; expected one folder for each class, with .png, .jpg or \
                        .jpeg files";
            return Err(Error::Unsupported { path: path.to_owned(), what: what.into() });
        }
        Ok(this)
    }

    /// The same images with other names of classes, whose places follow.
    ///
    /// # Errors
    /// [`Error::MissingColumn`], [`Error::Unsupported`].
    pub(crate) fn renamed(&self, renames: &Renames) -> Result<Self, Error> {
        let old: Vec<_> = self.classes.iter().map(|class| class.to_string_lossy()).collect();
        let old: Vec<&str> = old.iter().map(AsRef::as_ref).collect();
        let names = renamed(&self.path, &old, renames)?;
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by(|a, b| names[*a].cmp(&names[*b]));
        let mut places = vec![0; names.len()];
        (0u32..).zip(&order).for_each(|(place, class)| places[*class] = place);
        let mut this = self.clone();
        this.classes = order.into_iter().map(|class| self.classes[class].clone()).collect();
        this.files.iter_mut().for_each(|(class, ..)| *class = places[*class as usize]);
        // Files of a class stay in their order.
        this.files.sort_by_key(|(class, ..)| *class);
        Ok(this)
    }

    /// Whether a folder has folders with images.
    pub(crate) fn is_folder(path: &Path) -> bool {
        let classes = names(path, |kind| kind.is_dir(), COLUMNS_MAX).unwrap_or_default();
        classes.iter().any(|(class, _)| {
            names(&path.join(class), |kind| kind.is_file(), FILES_MAX)
                .is_ok_and(|files| files.iter().any(|(name, _)| is_image(name)))
        })
    }

    /// The names of the classes, in order.
    pub(crate) fn classes(&self) -> Vec<String> {
        self.classes.iter().map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// The two fields.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let field = |name: &str, element, shape| Field { name: name.to_owned(), element, shape };
        vec![
            field("image", self.kind.1, self.kind.0.clone()),
            field("label", Element::Float64, vec![]),
        ]
    }

    /// Images, at least 1.
    pub(crate) fn n_rows(&self) -> u64 {
        self.files.len() as u64
    }

    /// The files that are not read, for people.
    pub(crate) fn remark(&self) -> Option<String> {
        let n: u64 = self.left_out.values().sum();
        let shown = self.left_out.iter().take(EXTENSIONS_MAX);
        let shown = shown.map(|(name, n)| format!("{n} {}", cut(name))).collect::<Vec<_>>();
        let more = if self.left_out.len() > EXTENSIONS_MAX { ", ..." } else { "" };
        (n > 0).then(|| {
            let shown = shown.join(", ");
            let files = if n == 1 { "file is" } else { "files are" };
            format!("{n} {files} left out, since only .png, .jpg and .jpeg are read: {shown}{more}")
        })
    }

    /// The files of the images, in order.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        (0..self.files.len()).map(|index| self.file(index)).collect()
    }

    /// Decodes some images; field 0 is `image`, field 1 is `label`.
    ///
    /// # Errors
    /// [`Error::ImageShape`], and those of [`ImageFolder::open`].
    pub(crate) fn read(&self, rows: Range<u64>, fields: &[usize]) -> Result<Block, Error> {
        let n_rows = (rows.end - rows.start) as usize;
        let indices = rows.start as usize..rows.end as usize;
        let mut columns = Vec::with_capacity(fields.len());
        for field in fields {
            columns.push(if *field == 0 {
                let images = indices.clone().map(|index| {
                    let (path, stamp) = (self.file(index), self.files[index].2);
                    Ok(decode(&path, stamp, Some(&self.kind))?.pixels)
                });
                pixels::joined(&self.kind, n_rows, images)?
            } else {
                let labels = self.files.iter().skip(indices.start).take(n_rows);
                Values::Float64(labels.map(|(class, ..)| f64::from(*class)).collect())
            });
        }
        Ok(Block { first_row: rows.start, n_rows, columns, lines: vec![] })
    }

    fn file(&self, index: usize) -> PathBuf {
        let (class, name, _) = &self.files[index];
        self.path.join(&self.classes[*class as usize]).join(name)
    }
}

/// Length and time of change of a file.
pub(crate) type Stamp = (u64, Option<SystemTime>);

pub(crate) fn stamp(metadata: &fs::Metadata) -> Stamp {
    (metadata.len(), metadata.modified().ok())
}

/// Names and stamps in a folder, at most `max`; links count as their targets.
pub(crate) fn names(
    folder: &Path,
    wanted: impl Fn(&fs::Metadata) -> bool,
    max: usize,
) -> Result<Vec<(OsString, Stamp)>, Error> {
    let read = |source| Error::Read { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        let metadata = fs::metadata(entry.path()).map_err(read)?;
        if !wanted(&metadata) {
            continue;
        }
        if names.len() == max {
            let (path, what) = (folder.to_owned(), "files or folders".to_owned());
            return Err(Error::TooLarge { path, what, got: max as u64 + 1, max: max as u64 });
        }
        names.push((entry.file_name(), stamp(&metadata)));
    }
    Ok(names)
}

/// `.bmp`, or `without extension`.
fn extension(name: &OsStr) -> String {
    let end = Path::new(name).extension().map(|end| end.to_string_lossy().to_ascii_lowercase());
    end.map_or("without extension".into(), |end| format!(".{end}"))
}

fn is_image(name: &OsStr) -> bool {
    let name = Path::new(name).extension().and_then(|name| name.to_str());
    name.is_some_and(|name| {
        ["png", "jpg", "jpeg"].iter().any(|known| known.eq_ignore_ascii_case(name))
    })
}

/// Decodes an image that has not changed since it was listed.
fn decode(path: &Path, known: Stamp, expected: Option<&Kind>) -> Result<Image, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let file = crate::open(path).map_err(read)?;
    if stamp(&file.metadata().map_err(read)?) != known {
        return Err(Error::Changed { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    file.take(IMAGE_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(read)?;
    pixels::decode(path, &bytes, expected)
}
