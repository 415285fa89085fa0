//! The members of a tar archive: where each lies, by POSIX.1-1988 (ustar), with the long names of GNU and
//! of POSIX.1-2001 (pax). Nothing is unpacked, so names lead nowhere; those that would are refused all
//! the same, since an archive with them was made to do harm elsewhere.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::{Error, cut};

/// Bytes of a block: headers have one, members whole ones.
const BLOCK: u64 = 512;
/// The longest list of extended attributes or long name, in bytes.
const EXTENDED_BYTES_MAX: u64 = 64 << 10;
/// The longest name of a file, in bytes: the longest path of Linux.
const NAME_BYTES_MAX: usize = 4_096;

/// A regular file of an archive.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Where its bytes begin in the archive.
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// The members of an archive, one after the other.
pub(crate) struct Members<'a> {
    path: &'a Path,
    file: BufReader<File>,
    at: u64,
    n_bytes: u64,
}

/// Name and length that a header before the header says.
#[derive(Default)]
struct Extended {
    name: Option<String>,
    len: Option<u64>,
}

impl<'a> Members<'a> {
    /// Opens an archive.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub(crate) fn open(path: &'a Path) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let file = crate::open(path).map_err(read)?;
        let n_bytes = file.metadata().map_err(read)?.len();
        Ok(Self { path, file: BufReader::with_capacity(64 << 10, file), at: 0, n_bytes })
    }

    /// The next regular file; none at the end.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Malformed`], [`Error::Unsupported`].
    pub(crate) fn next(&mut self) -> Result<Option<Member>, Error> {
        let mut extended = Extended::default();
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let name = extended.name.take().unwrap_or_else(|| name(&header));
            let len = match extended.len.take() {
                Some(len) => len,
                None => number(&header[124..136])
                    .ok_or_else(|| self.malformed(&name, "its length is not a number"))?,
            };
            let left = self.n_bytes.saturating_sub(self.at);
            if len > left {
                let what = format!("it announces {len} bytes, but {left} are left");
                return Err(self.malformed(&name, &what));
            }
            let offset = self.at;
            match header[156] {
                b'0' | 0 | b'7' => {
                    self.check_name(&name)?;
                    self.skip(len)?;
                    return Ok(Some(Member { name, offset, len }));
                }
                b'L' => {
                    let bytes = self.extended(&name, len)?;
                    let long = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
                    extended.name = Some(String::from_utf8_lossy(long).into_owned());
                }
                b'x' => extended = self.attributes(&name, len)?,
                // Folders, comments on all that follows, and names of links, which are refused below.
                b'5' | b'g' | b'K' => self.skip(len)?,
                kind => {
                    let kind = match kind {
                        b'1' | b'2' => "a link",
                        b'3' | b'4' | b'6' => "a device",
                        b'S' => "a file with holes",
                        _ => "of an unknown kind",
                    };
                    let what = format!("`{}` is {kind}; an archive has regular files", cut(&name));
                    return Err(Error::Unsupported { path: self.path.to_owned(), what });
                }
            }
        }
    }

    /// The next header whose sum is right; none at the end.
    fn header(&mut self) -> Result<Option<[u8; BLOCK as usize]>, Error> {
        let mut header = [0; BLOCK as usize];
        if self.at.saturating_add(BLOCK) > self.n_bytes {
            return Ok(None);
        }
        let read = |source| Error::Read { path: self.path.to_owned(), source };
        self.file.read_exact(&mut header).map_err(read)?;
        self.at += BLOCK;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let blank = b' ';
        let sum: u64 = header
            .iter()
            .enumerate()
            .map(|(at, byte)| u64::from(if (148..156).contains(&at) { blank } else { *byte }))
            .sum();
        if number(&header[148..156]) == Some(sum) {
            Ok(Some(header))
        } else {
            let reason = format!("byte {} is not the header of a member", self.at - BLOCK);
            Err(Error::Malformed { path: self.path.to_owned(), reason: reason.into() })
        }
    }

    /// The attributes of the next member (pax).
    fn attributes(&mut self, name: &str, len: u64) -> Result<Extended, Error> {
        let bytes = self.extended(name, len)?;
        let (mut rest, mut extended) = (&bytes[..], Extended::default());
        // Each is its length in decimal digits, a blank, `key=value` and the end of a line.
        while let Some(blank) = rest.iter().position(|byte| *byte == b' ') {
            let length = std::str::from_utf8(&rest[..blank]).ok().and_then(|n| n.parse().ok());
            let attribute = length.and_then(|length: usize| rest.get(blank + 1..length));
            let Some((length, attribute)) = length.zip(attribute) else {
                return Err(self.malformed(name, "its attributes are cut off"));
            };
            let text = String::from_utf8_lossy(attribute);
            match text.trim_end_matches('\n').split_once('=') {
                Some(("path", path)) => extended.name = Some(path.to_owned()),
                Some(("size", size)) => extended.len = size.parse().ok(),
                Some((key, _)) if key.starts_with("GNU.sparse") => {
                    return Err(self.malformed(name, "it has holes"));
                }
                _ => {}
            }
            rest = &rest[length..];
        }
        Ok(extended)
    }

    /// The bytes of a member that says something about the next one.
    fn extended(&mut self, name: &str, len: u64) -> Result<Vec<u8>, Error> {
        if len > EXTENDED_BYTES_MAX {
            return Err(self.malformed(name, "its long name or attributes are longer than 64 KiB"));
        }
        let mut bytes = vec![0; len as usize];
        let read = |source| Error::Read { path: self.path.to_owned(), source };
        self.file.read_exact(&mut bytes).map_err(read)?;
        self.at += len;
        self.skip_to(self.at.next_multiple_of(BLOCK))?;
        Ok(bytes)
    }

    fn skip(&mut self, len: u64) -> Result<(), Error> {
        self.skip_to(self.at.saturating_add(len).next_multiple_of(BLOCK))
    }

    fn skip_to(&mut self, to: u64) -> Result<(), Error> {
        let read = |source| Error::Read { path: self.path.to_owned(), source };
        // It is at most the length of the file and a block.
        let step = i64::try_from(to - self.at).unwrap_or(i64::MAX);
        self.file.seek_relative(step).map_err(read)?;
        self.at = to;
        Ok(())
    }

    fn check_name(&self, name: &str) -> Result<(), Error> {
        if name.len() > NAME_BYTES_MAX {
            let what =
                format!("its name has {} bytes, at most {NAME_BYTES_MAX} are read", name.len());
            return Err(self.malformed(name, &what));
        }
        let leads_astray = name.starts_with('/')
            || name.contains(['\\', '\0'])
            || name.split('/').any(|part| part == "..");
        if !leads_astray {
            return Ok(());
        }
        let what = format!("the name `{}` leads out of the archive", cut(name));
        Err(Error::Unsupported { path: self.path.to_owned(), what })
    }

    fn malformed(&self, name: &str, what: &str) -> Error {
        let reason = format!("member `{}`: {what}", cut(name));
        Error::Malformed { path: self.path.to_owned(), reason: reason.into() }
    }
}

/// Reads the bytes of a member.
///
/// # Errors
/// [`Error::Read`], [`Error::Changed`].
pub(crate) fn read(path: &Path, file: &mut File, offset: u64, len: u64) -> Result<Vec<u8>, Error> {
    let io = |source| Error::Read { path: path.to_owned(), source };
    file.seek(SeekFrom::Start(offset)).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 == len {
        Ok(bytes)
    } else {
        Err(Error::Changed { path: path.to_owned() })
    }
}

/// The name in a header, with the folder that ustar has in front.
fn name(header: &[u8; BLOCK as usize]) -> String {
    let text = |bytes: &[u8]| {
        let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    };
    let own = text(&header[..100]);
    // GNU's own format has times in the place of the prefix.
    let prefix =
        if &header[257..263] == b"ustar\0" { text(&header[345..500]) } else { String::new() };
    if prefix.is_empty() { own } else { format!("{prefix}/{own}") }
}

/// A number of a header: octal digits, or, of more, GNU's big-endian bytes.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (first, rest) = field.split_first()?;
        let start = u64::from(first & 0x7f);
        return rest
            .iter()
            .try_fold(start, |sum, byte| sum.checked_mul(256)?.checked_add(u64::from(*byte)));
    }
    let text = std::str::from_utf8(field).ok()?;
    let text = text.trim_matches(['\0', ' ']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}
