//! A directory that was opened once. Names lead to what is inside and nowhere
//! else, whatever links the directory holds; files are written whole or not
//! at all.

use std::io::{self, Read, Write};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use cap_tempfile::TempFile;

/// An open directory.
#[derive(Debug)]
pub struct Folder(Dir);

impl Folder {
    /// Opens a directory by its path.
    ///
    /// # Errors
    /// Those of the operating system, with the path.
    pub fn open(path: &Path) -> io::Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority());
        dir.map(Self).map_err(|error| named(&error, path))
    }

    /// Opens a directory by its path; makes it and its parents if need be.
    ///
    /// # Errors
    /// Those of the operating system, with the path.
    pub fn create(path: &Path) -> io::Result<Self> {
        Dir::create_ambient_dir_all(path, ambient_authority())
            .map_err(|error| named(&error, path))?;
        Self::open(path)
    }

    /// Opens a directory inside; makes it if need be.
    ///
    /// # Errors
    /// Those of the operating system, with the name.
    pub fn folder(&self, name: &str) -> io::Result<Self> {
        self.0.create_dir_all(name).map_err(|error| named(&error, Path::new(name)))?;
        self.0.open_dir(name).map(Self).map_err(|error| named(&error, Path::new(name)))
    }

    /// Whether there is something of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.exists(name)
    }

    /// Reads a file of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// Those of the operating system, with the name, and `FileTooLarge`.
    pub fn read(&self, name: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
        let file = self.0.open(name).map_err(|error| named(&error, Path::new(name)))?;
        read_bounded(file, Path::new(name), bytes_max)
    }

    /// Writes a file: afterwards it holds all of `bytes`, or, after an error,
    /// what it held before.
    ///
    /// # Errors
    /// Those of the operating system, with the name.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let write = || {
            let mut file = TempFile::new(&self.0)?;
            file.write_all(bytes)?;
            // On disk before the name points to it, or a power cut leaves an empty file.
            file.as_file().sync_all()?;
            file.replace(name)
        };
        write().map_err(|error| named(&error, Path::new(name)))
    }
}

/// Reads a file that a person named, of at most `bytes_max` bytes.
///
/// # Errors
/// Those of the operating system, with the path, and `FileTooLarge`.
pub fn read_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = std::fs::File::open(path).map_err(|error| named(&error, path))?;
    read_bounded(file, path, bytes_max)
}

/// Writes a file that a person named, whole or not at all; makes its
/// directory if need be.
///
/// # Errors
/// Those of the operating system, with the path.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{}: not a file name", path.display()))
    })?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Folder::create(parent.unwrap_or(Path::new(".")))?.write(name, bytes)
}

fn read_bounded(file: impl Read, name: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes);
    if read.map_err(|error| named(&error, name))? as u64 > bytes_max {
        let message = format!("{}: larger than {bytes_max} bytes", name.display());
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

fn named(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> cap_tempfile::TempDir {
        cap_tempfile::tempdir(ambient_authority()).unwrap()
    }

    fn folder(dir: &Dir) -> Folder {
        Folder(dir.try_clone().unwrap())
    }

    #[test]
    fn what_is_written_is_read_and_replaced() {
        let dir = scratch();
        let folder = folder(&dir);
        folder.write("a", b"one").unwrap();
        folder.write("a", b"two!").unwrap();
        assert_eq!(folder.read("a", 4).unwrap(), b"two!");
        assert_eq!(folder.read("a", 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn nothing_outside_is_reached() {
        let dir = scratch();
        dir.create_dir("inside").unwrap();
        dir.write("secret", b"x").unwrap();
        let folder = folder(&dir).folder("inside").unwrap();
        assert!(folder.read("../secret", 10).is_err());
        assert!(folder.write("../other", b"x").is_err());
        dir.symlink("../secret", "inside/link").unwrap();
        assert!(folder.read("link", 10).is_err());
    }

    #[test]
    fn errors_name_the_file() {
        let dir = scratch();
        let error = folder(&dir).read("absent.toml", 10).unwrap_err();
        assert!(error.to_string().starts_with("absent.toml: "), "{error}");
    }
}
