//! A directory that was opened once. Names lead to files inside and nowhere else, even through
//! links; files are written whole or not at all.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use cap_tempfile::TempFile;

/// An open directory.
#[derive(Debug)]
pub struct Folder {
    dir: Dir,
    /// For messages only.
    path: PathBuf,
}

/// Held by one process at a time; given back when dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, never used")] std::fs::File);

impl Folder {
    /// Opens a directory by its path.
    ///
    /// # Errors
    /// Those of the operating system, with the path.
    pub fn open(path: &Path) -> io::Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority());
        let dir = dir.map_err(|error| named(&error, path))?;
        Ok(Self { dir, path: path.to_owned() })
    }

    /// Opens a directory by its path, and creates it and its parents if they are absent.
    ///
    /// # Errors
    /// Those of the operating system, with the path.
    pub fn create(path: &Path) -> io::Result<Self> {
        Dir::create_ambient_dir_all(path, ambient_authority())
            .map_err(|error| named(&error, path))?;
        Self::open(path)
    }

    /// Opens a directory that is this user's alone, and creates it if it is absent.
    ///
    /// # Errors
    /// Those of the operating system, with the path, and `PermissionDenied` if
    /// others own it or may use it.
    pub fn create_private(path: &Path) -> io::Result<Self> {
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o700);
        builder.create(path).map_err(|error| named(&error, path))?;
        let folder = Self::open(path)?;
        folder.check_private()?;
        Ok(folder)
    }

    /// Fails unless the directory is this user's alone.
    ///
    /// # Errors
    /// Those of the operating system, with the path, and `PermissionDenied` if
    /// others own it or may use it.
    pub fn check_private(&self) -> io::Result<()> {
        use cap_std::fs::MetadataExt as _;
        let Self { dir, path } = self;
        let found = dir.dir_metadata().map_err(|error| named(&error, path))?;
        let refused = |what: String| {
            let text = format!("{}: {what}", path.display());
            Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
        };
        if found.uid() != rustix::process::geteuid().as_raw() {
            refused("owned by another user".into())
        } else if found.mode() & 0o077 != 0 {
            refused(format!("accessible to other users; run `chmod go= {}`", path.display()))
        } else {
            Ok(())
        }
    }

    /// Opens a directory inside, and creates it if it is absent.
    ///
    /// # Errors
    /// Those of the operating system, with the name.
    pub fn folder(&self, name: &str) -> io::Result<Self> {
        let path = self.path.join(name);
        self.dir.create_dir_all(name).map_err(|error| named(&error, &path))?;
        let dir = self.dir.open_dir(name).map_err(|error| named(&error, &path))?;
        Ok(Self { dir, path })
    }

    /// Whether there is something of this name.
    pub fn has(&self, name: &str) -> bool {
        self.dir.exists(name)
    }

    /// Reads a regular file of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// Those of the operating system, with the name, `FileTooLarge`, and `InvalidInput` for
    /// another kind of file.
    pub fn read(&self, name: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
        use cap_std::fs::OpenOptionsExt as _;
        let path = self.path.join(name);
        let mut options = cap_std::fs::OpenOptions::new();
        options.read(true).custom_flags(nonblocking()?);
        let file = self.dir.open_with(name, &options).map_err(|error| named(&error, &path))?;
        read_bounded(regular(file.into_std(), &path)?, &path, bytes_max)
    }

    /// Opens a regular file to read and write it in place, and creates it if it is absent: for
    /// files that only grow, whose reader knows how much of them counts.
    ///
    /// # Errors
    /// Those of the operating system, with the name, and `InvalidInput` for another kind of file.
    pub fn open_growing(&self, name: &str) -> io::Result<std::fs::File> {
        use cap_std::fs::OpenOptionsExt as _;
        let path = self.path.join(name);
        let mut options = cap_std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).custom_flags(nonblocking()?);
        let file = self.dir.open_with(name, &options).map_err(|error| named(&error, &path))?;
        regular(file.into_std(), &path)
    }

    /// Writes a file: afterwards it holds all of `bytes`, or, after an error,
    /// its earlier contents.
    ///
    /// # Errors
    /// Those of the operating system, with the name.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write_with(name, |file| file.write_all(bytes))
            .map_err(|error| named(&error, &self.path.join(name)))
    }

    /// The same with the bytes that `write` writes, piece by piece.
    fn write_with<T, E: From<io::Error>>(
        &self,
        name: &str,
        write: impl FnOnce(&mut TempFile<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut file = TempFile::new(&self.dir)?;
        let done = write(&mut file)?;
        // On disk before the name points to it, or a power cut leaves an empty file.
        file.as_file().sync_all()?;
        file.replace(name)?;
        Ok(done)
    }

    /// Writes a file that may be lost in a power cut: for contents that can be made again, and are
    /// checked when they are read.
    ///
    /// # Errors
    /// Those of the operating system, with the name.
    pub fn write_quickly(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let write = || {
            let mut file = TempFile::new(&self.dir)?;
            file.write_all(bytes)?;
            file.replace(name)
        };
        write().map_err(|error| named(&error, &self.path.join(name)))
    }

    /// Writes a file that only its owner may read, piece by piece: `fill` writes it and says whether
    /// it replaces an earlier one. After an error, or a no, there are the earlier contents.
    ///
    /// # Errors
    /// Those of `fill` and of the operating system, with the name.
    pub fn write_private<T, E: From<io::Error>>(
        &self,
        name: &str,
        fill: impl FnOnce(&mut (dyn Write + Send)) -> Result<(T, bool), E>,
    ) -> Result<T, E> {
        use std::os::unix::fs::PermissionsExt as _;
        let failed = |error: io::Error| named(&error, &self.path.join(name));
        let mut file = TempFile::new(&self.dir).map_err(failed)?;
        let mode = cap_std::fs::Permissions::from_std(std::fs::Permissions::from_mode(0o600));
        file.as_file().set_permissions(mode).map_err(failed)?;
        let (filled, is_kept) = fill(file.as_file_mut())?;
        if is_kept {
            file.as_file().sync_all().map_err(failed)?;
            file.replace(name).map_err(failed)?;
            self.sync()?;
        }
        Ok(filled)
    }

    /// Whether something of this name is a directory.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn is_folder(&self, name: &str) -> io::Result<bool> {
        Ok(self.dir.symlink_metadata(name)?.is_dir())
    }

    /// Bytes that may still be written on the disk of this directory.
    ///
    /// # Errors
    /// Those of the operating system, with the path.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let found = rustix::fs::fstatvfs(&self.dir);
        let found = found.map_err(|error| named(&error.into(), &self.path))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Bytes of a file.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn len(&self, name: &str) -> io::Result<u64> {
        Ok(self.dir.metadata(name)?.len())
    }

    /// When a file was written.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn modified(&self, name: &str) -> io::Result<std::time::SystemTime> {
        Ok(self.dir.metadata(name)?.modified()?.into_std())
    }

    /// Removes a file; there is nothing to do if it is absent.
    ///
    /// # Errors
    /// Those of the operating system, with the name.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match self.dir.remove_file(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(named(&error, &self.path.join(name)))
            }
            _ => Ok(()),
        }
    }

    /// Removes a directory and all that is in it; there is nothing to do if it
    /// is absent.
    ///
    /// # Errors
    /// Those of the operating system, with the name.
    pub fn remove_folder(&self, name: &str) -> io::Result<()> {
        match self.dir.remove_dir_all(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(named(&error, &self.path.join(name)))
            }
            _ => Ok(()),
        }
    }

    /// Renames a file or directory; the new name must be free, or that of a
    /// file.
    ///
    /// # Errors
    /// Those of the operating system, with the name.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.dir.rename(from, &self.dir, to).map_err(|error| named(&error, &self.path.join(from)))
    }

    /// The names of all that is in it, in ascending order. Names that are not
    /// UTF-8 are left out: nothing here writes them.
    ///
    /// # Errors
    /// Those of the operating system, with the path.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let entries = self.dir.entries().map_err(|error| named(&error, &self.path))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| named(&error, &self.path))?;
            names.extend(entry.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Makes sure that names written so far outlive a power cut.
    ///
    /// # Errors
    /// Those of the operating system, with the path.
    pub fn sync(&self) -> io::Result<()> {
        let synced = self.dir.open(".").and_then(|dir| dir.sync_all());
        synced.map_err(|error| named(&error, &self.path))
    }

    /// Fails unless files can be written here: better before hours of work
    /// than after them.
    ///
    /// # Errors
    /// Those of the operating system, with the path.
    pub fn check_writable(&self) -> io::Result<()> {
        TempFile::new(&self.dir).map(drop).map_err(|error| named(&error, &self.path))
    }

    /// Takes the lock of the directory itself, which leaves no file, or returns
    /// none if another process holds it.
    ///
    /// # Errors
    /// Those of the operating system, with the path.
    pub fn lock_itself(&self) -> io::Result<Option<Lock>> {
        let file = self.dir.open(".").map_err(|error| named(&error, &self.path))?.into_std();
        locked(file, &self.path)
    }

    /// Takes the lock of this name, or returns none if another process holds it.
    ///
    /// # Errors
    /// Those of the operating system, with the name.
    pub fn lock(&self, name: &str) -> io::Result<Option<Lock>> {
        let path = self.path.join(name);
        let file = self.dir.create(name).map_err(|error| named(&error, &path))?.into_std();
        locked(file, &path)
    }
}

/// Reads a file that a person named, of at most `bytes_max` bytes.
///
/// # Errors
/// Those of the operating system, with the path, and `FileTooLarge`.
pub fn read_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    read_bounded(open_file(path)?, path, bytes_max)
}

/// Opens a regular file that a person named, to read it. Other kinds of files may keep a
/// reader waiting, or never end.
///
/// # Errors
/// Those of the operating system, with the path, and `InvalidInput` for another kind of file.
pub fn open_file(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nonblocking()?).open(path);
    regular(file.map_err(|error| named(&error, path))?, path)
}

/// The flags of an opening that a pipe without a writer does not block.
fn nonblocking() -> io::Result<i32> {
    i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).map_err(io::Error::other)
}

/// Fails unless the file is a regular one.
fn regular(file: std::fs::File, path: &Path) -> io::Result<std::fs::File> {
    match file.metadata().map_err(|error| named(&error, path))? {
        found if found.is_file() => Ok(file),
        found => {
            let what = if found.is_dir() { "a directory" } else { "not a regular file" };
            let text = format!("{}: it is {what}", path.display());
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}

/// Reads a file that a person named, of at most `bytes_max` bytes, and its
/// permission bits: of the very file that was read.
///
/// # Errors
/// Those of the operating system, with the path, and `FileTooLarge`.
pub fn read_file_and_mode(path: &Path, bytes_max: u64) -> io::Result<(Vec<u8>, u32)> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = open_file(path)?;
    let mode = file.metadata().map_err(|error| named(&error, path))?.permissions().mode();
    Ok((read_bounded(file, path, bytes_max)?, mode & 0o7777))
}

/// Writes a new file that only its owner may read; creates its directory if it is absent. It is
/// never there without all of its bytes.
///
/// # Errors
/// Those of the operating system, with the path; `AlreadyExists`.
pub fn write_private_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|error| named(&error, parent))?;
    let write = || {
        let folder = Dir::open_ambient_dir(parent, ambient_authority())?;
        let mut file = TempFile::new(&folder)?;
        file.as_file().set_permissions(cap_std::fs::Permissions::from_std(
            std::fs::Permissions::from_mode(0o600),
        ))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        // A hard link from the temporary name fails if this name already exists.
        let temporary = format!(".new-{}-{}", std::process::id(), ticket());
        file.replace(&temporary)?;
        let linked = folder.hard_link(&temporary, &folder, name);
        folder.remove_file(&temporary)?;
        linked
    };
    write().map_err(|error| named(&error, path))
}

/// A number that no other call of this process gets.
fn ticket() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// Writes a file that a person named, whole or not at all; creates its directory if it is absent.
///
/// # Errors
/// Those of the operating system, with the path.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (folder, name) = parent(path)?;
    folder.write(name, bytes)
}

/// Writes a file that a person named, piece by piece: whole, or not at all if `write` fails. Creates
/// its directory if it is absent.
///
/// # Errors
/// Those of the operating system, and those of `write`.
pub fn write_file_with<T, E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<T, E>,
) -> Result<T, E> {
    let (folder, name) = parent(path)?;
    folder.write_with(name, |file| write(file))
}

/// The directory of a file, which is created if it is absent, and the name in it.
fn parent(path: &Path) -> io::Result<(Folder, &str)> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} is not a file name", path.display()),
        )
    })?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok((Folder::create(parent.unwrap_or(Path::new(".")))?, name))
}

fn read_bounded(file: impl Read, name: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes);
    if read.map_err(|error| named(&error, name))? as u64 > bytes_max {
        let message = format!("{} is larger than {bytes_max} bytes", name.display());
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

fn locked(file: std::fs::File, path: &Path) -> io::Result<Option<Lock>> {
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(named(&error, path)),
    }
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
        Folder { dir: dir.try_clone().unwrap(), path: PathBuf::from("x") }
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
    fn a_private_file_is_replaced_whole_or_not_at_all() {
        use cap_std::fs::PermissionsExt as _;
        let dir = scratch();
        let folder = folder(&dir);
        let write = |text: &[u8], is_kept: bool| {
            folder.write_private("a", |into| {
                into.write_all(text)?;
                if text == b"bad" { Err(io::Error::other("bad")) } else { Ok(((), is_kept)) }
            })
        };
        write(b"one", true).unwrap();
        write(b"two", false).unwrap();
        write(b"bad", true).unwrap_err();
        assert_eq!(folder.read("a", 9).unwrap(), b"one");
        assert_eq!(dir.metadata("a").unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(folder.names().unwrap(), ["a"]);
    }

    #[test]
    fn what_is_removed_is_gone_and_what_is_renamed_is_there() {
        let dir = scratch();
        let folder = folder(&dir);
        folder.folder("old").unwrap().write("a", b"one").unwrap();
        folder.rename("old", "new").unwrap();
        folder.write("b", b"two").unwrap();
        folder.sync().unwrap();
        assert_eq!(folder.names().unwrap(), ["b", "new"]);
        folder.remove("b").unwrap();
        folder.remove_folder("new").unwrap();
        assert!(folder.names().unwrap().is_empty());
        folder.remove("b").unwrap();
        folder.remove_folder("new").unwrap();
        assert!(folder.remove("../x/y").is_err());
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
    fn a_private_directory_is_nobody_elses() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile_dir("private");
        let path = dir.join("private");
        Folder::create_private(&path).unwrap().write("a", b"x").unwrap();
        Folder::create_private(&path).unwrap().modified("a").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = Folder::create_private(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        std::fs::remove_dir_all(dir).unwrap();
    }

    fn tempfile_dir(name: &str) -> PathBuf {
        let name = format!("fedwasm-folder-{name}-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn a_lock_is_held_once_and_given_back() {
        let dir = scratch();
        let folder = folder(&dir);
        let held = folder.lock("lock").unwrap();
        assert!(held.is_some() && folder.lock("lock").unwrap().is_none());
        drop(held);
        assert!(folder.lock("lock").unwrap().is_some());
        let held = folder.lock_itself().unwrap();
        assert!(held.is_some() && folder.lock_itself().unwrap().is_none());
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_nobody_waits() {
        let dir = tempfile_dir("pipe");
        let pipe = dir.join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        for path in [&*pipe, Path::new("/dev/zero"), &*dir] {
            let error = read_file(path, 10).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
            assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
            assert!(read_file_and_mode(path, 10).is_err());
        }
        let error = Folder::open(&dir).unwrap().read("pipe", 10).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn errors_name_the_file() {
        let dir = scratch();
        let error = folder(&dir).read("absent.toml", 10).unwrap_err();
        assert!(error.to_string().starts_with("x/absent.toml: "), "{error}");
    }
}
