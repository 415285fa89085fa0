//! Where the volumes of a folder lie: Fed-BioMed's MedicalFolder, and BIDS.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::bounds::{FILES_MAX, MODALITIES_MAX};
use crate::images::{Stamp, names, stamp};
use crate::{Error, cut};

/// The modality of DICOM files that lie in a subject's folder itself.
const SERIES: &str = "volume";

/// The volumes of a folder, before any of them is opened.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    /// Names of all modalities, in byte order.
    pub(crate) modalities: Vec<String>,
    /// In byte order of their names, and of those of their sessions.
    pub(crate) subjects: Vec<Subject>,
}

/// A subject, or one session of it.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// The name of its folder, by which a table knows it.
    pub(crate) name: String,
    /// By modality.
    pub(crate) volumes: BTreeMap<u16, Located>,
}

/// A volume of a folder.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    /// Its file, or the folder of its slices, from the root on.
    pub(crate) path: Box<Path>,
    /// Length and time of the file, or of the folder.
    pub(crate) stamp: Stamp,
    /// Whether it is a folder of slices.
    pub(crate) is_series: bool,
}

/// Puts a listing together.
struct Lister<'a> {
    root: &'a Path,
    modalities: BTreeMap<String, u16>,
    subjects: BTreeMap<(String, String), BTreeMap<u16, Located>>,
    n_files: usize,
}

/// Lists SUBJECT/MODALITY/FILE.nii.gz, SUBJECT/SUBJECT_MODALITY.nii.gz, and folders of slices in the
/// place of a file.
///
/// # Errors
/// [`Error::Read`], [`Error::TooLarge`], [`Error::Unsupported`].
pub(crate) fn medical(root: &Path) -> Result<Listing, Error> {
    let mut lister = Lister::new(root);
    for subject in folders(root)? {
        lister.medical_subject(&subject)?;
    }
    lister.finish()
}

/// Lists sub-X/[ses-Y/]anat/sub-X[_ses-Y]_MODALITY.nii.gz, and the same below
/// derivatives/PIPELINE.
///
/// # Errors
/// As [`medical`].
pub(crate) fn bids(root: &Path) -> Result<Listing, Error> {
    let mut lister = Lister::new(root);
    lister.bids_tree(Path::new(""))?;
    let derivatives = Path::new("derivatives");
    if root.join(derivatives).is_dir() {
        for pipeline in folders(&root.join(derivatives))? {
            lister.bids_tree(&derivatives.join(pipeline))?;
        }
    }
    lister.finish()
}

/// Whether a folder is laid out as BIDS says.
pub(crate) fn is_bids(root: &Path) -> bool {
    let subjects = folders(root).unwrap_or_default();
    subjects.iter().filter(|name| name.starts_with("sub-")).any(|subject| {
        let below = folders(&root.join(subject)).unwrap_or_default();
        below.iter().any(|name| name == "anat" || name.starts_with("ses-"))
    })
}

/// Whether a folder has subjects with volumes.
pub(crate) fn is_medical(root: &Path) -> bool {
    let has = |folder: &Path| {
        let files = names(folder, |kind| kind.is_file(), FILES_MAX).unwrap_or_default();
        files.iter().any(|(name, _)| {
            let name = name.to_string_lossy();
            stem(&name).is_some() || name.to_ascii_lowercase().ends_with(".dcm")
        })
    };
    folders(root).unwrap_or_default().iter().any(|subject| {
        let subject = root.join(subject);
        let below = folders(&subject).unwrap_or_default();
        has(&subject) || below.iter().any(|name| has(&subject.join(name)))
    })
}

impl<'a> Lister<'a> {
    fn new(root: &'a Path) -> Self {
        Self { root, modalities: BTreeMap::new(), subjects: BTreeMap::new(), n_files: 0 }
    }

    fn medical_subject(&mut self, subject: &str) -> Result<(), Error> {
        let folder = Path::new(subject);
        let mut has_slices = false;
        self.subjects.entry((subject.to_owned(), String::new())).or_default();
        for (name, stamp) in self.files(folder)? {
            if let Some(stem) = stem(&name) {
                let rest = stem.strip_prefix(subject).unwrap_or(stem);
                let modality = rest.trim_start_matches(['_', '-']);
                let key = (subject, "");
                self.add(key, modality, folder.join(&name), stamp)?;
            }
            has_slices |= is_slice(&name) && name.contains('.');
        }
        if has_slices {
            self.add_series(subject, SERIES, folder)?;
        }
        for modality in folders(&self.root.join(folder))? {
            let folder = folder.join(&modality);
            let files = self.files(&folder)?;
            let mut volumes = files.iter().filter(|(name, _)| stem(name).is_some());
            match (volumes.next(), volumes.next()) {
                (Some((name, stamp)), None) => {
                    self.add((subject, ""), &modality, folder.join(name), *stamp)?;
                }
                (Some((one, _)), Some((other, _))) => {
                    let (one, other) = (cut(one), cut(other));
                    let what = format!("two volumes, `{one}` and `{other}`; a modality has one");
                    return Err(Error::Unsupported { path: self.root.join(folder), what });
                }
                _ if files.iter().any(|(name, _)| is_slice(name)) => {
                    self.add_series(subject, &modality, &folder)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Subjects of a folder, either the root or that of a pipeline.
    fn bids_tree(&mut self, folder: &Path) -> Result<(), Error> {
        for subject in folders(&self.root.join(folder))? {
            if !subject.starts_with("sub-") {
                continue;
            }
            let own = folder.join(&subject);
            self.bids_folder((&subject, ""), &own)?;
            for session in folders(&self.root.join(&own))? {
                if session.starts_with("ses-") {
                    self.bids_folder((&subject, &session), &own.join(&session))?;
                }
            }
        }
        Ok(())
    }

    fn bids_folder(&mut self, key: (&str, &str), folder: &Path) -> Result<(), Error> {
        let folder = folder.join("anat");
        if !self.root.join(&folder).is_dir() {
            return Ok(());
        }
        for (name, stamp) in self.files(&folder)? {
            let Some(stem) = stem(&name) else { continue };
            // All but subject and session tells volumes of a session apart: acquisition, run, suffix.
            let rest = stem.split('_').filter(|part| *part != key.0 && *part != key.1);
            let modality = rest.collect::<Vec<_>>().join("_");
            self.add(key, &modality, folder.join(&name), stamp)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        (subject, session): (&str, &str),
        modality: &str,
        path: PathBuf,
        stamp: Stamp,
    ) -> Result<(), Error> {
        let next = self.modalities.len() as u16;
        let at = *self.modalities.entry(modality.to_owned()).or_insert(next);
        if self.modalities.len() > MODALITIES_MAX {
            let what = "modalities (names of files must be alike for all subjects)".to_owned();
            let (got, max) = (self.modalities.len() as u64, MODALITIES_MAX as u64);
            return Err(Error::TooLarge { path: self.root.to_owned(), what, got, max });
        }
        let key = (subject.to_owned(), session.to_owned());
        let volumes = self.subjects.entry(key).or_default();
        let located = Located { path: path.into(), stamp, is_series: false };
        match volumes.insert(at, located) {
            None => Ok(()),
            Some(other) => {
                let other = other.path.display();
                let what = format!("the same modality, `{}`, is in {other}", cut(modality));
                let path = volumes.get(&at).map(|located| self.root.join(&located.path));
                Err(Error::Unsupported { path: path.unwrap_or_default(), what })
            }
        }
    }

    fn add_series(&mut self, subject: &str, modality: &str, folder: &Path) -> Result<(), Error> {
        let path = self.root.join(folder);
        let metadata = std::fs::metadata(&path);
        let stamp = metadata.map(|metadata| stamp(&metadata));
        let stamp = stamp.map_err(|source| Error::Read { path, source })?;
        self.add((subject, ""), modality, folder.to_owned(), stamp)?;
        let at = self.modalities.get(modality).copied().unwrap_or_default();
        let volumes = self.subjects.get_mut(&(subject.to_owned(), String::new()));
        if let Some(located) = volumes.and_then(|volumes| volumes.get_mut(&at)) {
            located.is_series = true;
        }
        Ok(())
    }

    /// Names and stamps of files, in byte order.
    fn files(&mut self, folder: &Path) -> Result<Vec<(String, Stamp)>, Error> {
        let folder = self.root.join(folder);
        let found = names(&folder, |kind| kind.is_file(), FILES_MAX - self.n_files)?;
        self.n_files += found.len();
        let named = |(name, stamp): (OsString, Stamp)| Some((name.into_string().ok()?, stamp));
        let mut files: Vec<(String, Stamp)> = found.into_iter().filter_map(named).collect();
        files.sort();
        Ok(files)
    }

    fn finish(self) -> Result<Listing, Error> {
        let empty = self.modalities.is_empty();
        // Numbers were given in the order of discovery; now they follow the names.
        let order: BTreeMap<u16, u16> =
            self.modalities.values().enumerate().map(|(at, old)| (*old, at as u16)).collect();
        let renamed = |volumes: BTreeMap<u16, Located>| {
            volumes.into_iter().filter_map(|(old, located)| Some((*order.get(&old)?, located)))
        };
        // Folders without any volume are of another kind, such as `code`.
        let subjects = self.subjects.into_iter().filter(|(_, volumes)| !volumes.is_empty());
        let subjects = subjects
            .map(|((name, _), volumes)| Subject { name, volumes: renamed(volumes).collect() });
        let subjects: Vec<Subject> = subjects.collect();
        if empty {
            let what = "it has no volumes; expected SUBJECT/MODALITY/FILE.nii.gz, or BIDS".into();
            return Err(Error::Unsupported { path: self.root.to_owned(), what });
        }
        Ok(Listing { modalities: self.modalities.into_keys().collect(), subjects })
    }
}

/// Names of the folders in a folder that do not begin with a dot, in byte order.
fn folders(folder: &Path) -> Result<Vec<String>, Error> {
    let found = names(folder, |kind| kind.is_dir(), FILES_MAX)?;
    let mut names = Vec::with_capacity(found.len());
    for (name, _) in found {
        match name.into_string() {
            Ok(name) if name.starts_with('.') => {}
            Ok(name) => names.push(name),
            Err(name) => {
                let what = "its name is not UTF-8; rename it".to_owned();
                return Err(Error::Unsupported { path: folder.join(name), what });
            }
        }
    }
    names.sort();
    Ok(names)
}

/// The name of a NIfTI file without its end.
fn stem(name: &str) -> Option<&str> {
    let name = Some(name).filter(|name| !name.starts_with('.'))?;
    name.strip_suffix(".nii.gz").or_else(|| name.strip_suffix(".nii"))
}

/// Whether a file may be a slice: scanners name them .dcm, .ima, by a number, or without an end.
pub(crate) fn is_slice(name: &str) -> bool {
    let end = name.rsplit_once('.').map(|(_, end)| end);
    let is_known = |end: &str| {
        ["dcm", "ima", "dicom"].iter().any(|known| known.eq_ignore_ascii_case(end))
            || end.bytes().all(|byte| byte.is_ascii_digit())
    };
    !name.starts_with('.') && name != "DICOMDIR" && end.is_none_or(is_known)
}
