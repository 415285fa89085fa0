//! The rounds of a running experiment, `rounds.jsonl`: a line of JSON each, appended, so that a
//! round costs the same however many came before it. `history.json` and the breakpoints of a running
//! experiment have no rounds; they say up to which byte the file is theirs.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use fedwasm_folder::Folder;
use fedwasm_protocol::{Digest, Hasher, printable_json};
use serde::{Deserialize, Serialize};

use crate::{Error, RoundRecord};

const ROUNDS: &str = "rounds.jsonl";
/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// How much of `rounds.jsonl` counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundsEnd {
    /// Lines, a round each.
    pub rounds: u32,
    /// Their bytes, from the beginning of the file.
    pub bytes: u64,
    /// The SHA-256 of these bytes.
    pub sha256: Digest,
}

/// `rounds.jsonl`, open for the next round.
#[derive(Debug)]
pub struct RoundsFile {
    file: File,
    path: PathBuf,
    rounds: u32,
    bytes: u64,
    hasher: Hasher,
    /// Whether bytes may follow that do not count.
    has_rest: bool,
}

impl RoundsFile {
    /// Opens the file in the directory of an experiment that begins. The rounds of an earlier one
    /// stay until the first round is appended.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn begin(dir: &Path) -> Result<Self, Error> {
        let file = Folder::create(dir)?.open_growing(ROUNDS)?;
        let (path, hasher) = (dir.join(ROUNDS), Hasher::default());
        Ok(Self { file, path, rounds: 0, bytes: 0, hasher, has_rest: true })
    }

    /// Opens the file to continue behind `end`. Later rounds stay until the next one is appended.
    ///
    /// # Errors
    /// [`Error::File`] if its bytes up to there are others; [`Error::Io`].
    pub fn resume(dir: &Path, end: &RoundsEnd) -> Result<Self, Error> {
        let mut opened = Self::begin(dir)?;
        let mut hasher = Hasher::default();
        let mut reader = (&opened.file).take(end.bytes);
        let n = copy(&mut reader, |piece| hasher.update(piece))?;
        if n != end.bytes || hasher.clone().finish() != end.sha256 {
            return Err(damaged(&opened.path, "its bytes do not match their digest"));
        }
        (opened.rounds, opened.bytes, opened.hasher) = (end.rounds, end.bytes, hasher);
        Ok(opened)
    }

    /// Rounds that the file has.
    pub fn n_rounds(&self) -> u32 {
        self.rounds
    }

    /// Appends a round. After an error the file counts as before.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append(&mut self, record: &RoundRecord) -> Result<(), Error> {
        let json = serde_json::to_string(record).map_err(io::Error::from)?;
        let line = printable_json(&json) + "\n";
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        };
        if self.has_rest {
            self.file.set_len(self.bytes).map_err(named)?;
        }
        self.has_rest = true;
        self.file.write_all_at(line.as_bytes(), self.bytes).map_err(named)?;
        self.has_rest = false;
        self.hasher.update(line.as_bytes());
        self.bytes += line.len() as u64;
        self.rounds += 1;
        Ok(())
    }

    /// Where it ends.
    pub fn end(&self) -> RoundsEnd {
        let sha256 = self.hasher.clone().finish();
        RoundsEnd { rounds: self.rounds, bytes: self.bytes, sha256 }
    }

    /// Brings it to disk.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<(), Error> {
        Ok(self.file.sync_data()?)
    }
}

/// Reads the rounds up to `end`, whose digest is checked; without it, all whole lines.
///
/// # Errors
/// [`Error::File`] if a line cannot be read or the digest is another one; [`Error::Io`].
pub fn read_rounds(dir: &Path, end: Option<&RoundsEnd>) -> Result<Vec<RoundRecord>, Error> {
    let path = dir.join(ROUNDS);
    let file = fedwasm_folder::open_file(&path)?;
    let mut reader = BufReader::new(file).take(end.map_or(u64::MAX, |end| end.bytes));
    let (mut rounds, mut hasher, mut line) = (Vec::new(), Hasher::default(), Vec::new());
    loop {
        line.clear();
        let n = (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        hasher.update(&line);
        if line.last() != Some(&b'\n') {
            if n as u64 == LINE_BYTES_MAX {
                return Err(damaged(&path, "a line is too long"));
            }
            // The end of the file, or the line of a program that was killed while it wrote.
            break;
        }
        let record = serde_json::from_slice(&line);
        rounds.push(record.map_err(|error| {
            damaged(&path, &format!("line {} is damaged: {error}", rounds.len() + 1))
        })?);
    }
    let is_other = |end: &RoundsEnd| {
        end.sha256 != hasher.finish() || u32::try_from(rounds.len()) != Ok(end.rounds)
    };
    match end.is_some_and(is_other) {
        true => Err(damaged(&path, "its bytes do not match their digest")),
        false => Ok(rounds),
    }
}

fn damaged(path: &Path, reason: &str) -> Error {
    Error::File { path: path.to_owned(), reason: format!(" {reason}") }
}

/// Hands on all that a reader gives, piece by piece; returns the number of bytes.
fn copy(reader: &mut impl io::Read, mut take: impl FnMut(&[u8])) -> io::Result<u64> {
    let (mut buffer, mut bytes) = (vec![0; 1 << 16], 0);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(bytes),
            n => {
                take(buffer.get(..n).unwrap_or_default());
                bytes += n as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::empty_round;

    fn numbers(dir: &Path, end: Option<&RoundsEnd>) -> Vec<u32> {
        read_rounds(dir, end).unwrap().iter().map(|record| record.round).collect()
    }

    #[test]
    fn rounds_are_appended_and_a_later_future_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = RoundsFile::begin(dir.path()).unwrap();
        let mut ends = Vec::new();
        for round in 1..=4 {
            file.append(&empty_round(round)).unwrap();
            ends.push(file.end());
        }
        assert_eq!(numbers(dir.path(), None), [1, 2, 3, 4]);
        assert_eq!(numbers(dir.path(), Some(&ends[1])), [1, 2]);
        let mut again = RoundsFile::resume(dir.path(), &ends[1]).unwrap();
        // Nothing is given up before something takes its place.
        assert_eq!(numbers(dir.path(), None), [1, 2, 3, 4]);
        again.append(&empty_round(3)).unwrap();
        assert_eq!(numbers(dir.path(), None), [1, 2, 3]);
        assert_eq!((again.end(), again.n_rounds()), (ends[2].clone(), 3));
        // Another experiment in the same directory.
        RoundsFile::begin(dir.path()).unwrap().append(&empty_round(1)).unwrap();
        assert_eq!(numbers(dir.path(), None), [1]);
    }

    #[test]
    fn damage_is_named_and_a_torn_line_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = RoundsFile::begin(dir.path()).unwrap();
        (1..=2).for_each(|round| file.append(&empty_round(round)).unwrap());
        let (path, end) = (dir.path().join(ROUNDS), file.end());
        let whole = std::fs::read(&path).unwrap();
        let torn = [&whole[..], &whole[..40]].concat();
        std::fs::write(&path, &torn).unwrap();
        assert_eq!(numbers(dir.path(), None), [1, 2]);
        assert_eq!(numbers(dir.path(), Some(&end)), [1, 2]);
        let text = String::from_utf8(whole.clone()).unwrap();
        std::fs::write(&path, text.replace("\"round\":1", "\"round\":7")).unwrap();
        for error in [
            read_rounds(dir.path(), Some(&end)).unwrap_err(),
            RoundsFile::resume(dir.path(), &end).unwrap_err(),
        ] {
            assert!(error.to_string().contains("do not match their digest"), "{error}");
        }
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(read_rounds(dir.path(), Some(&end)).is_err());
        assert!(RoundsFile::resume(dir.path(), &end).is_err());
        std::fs::write(&path, b"{}\n").unwrap();
        let error = read_rounds(dir.path(), None).unwrap_err().to_string();
        assert!(error.contains("line 1 is damaged"), "{error}");
    }
}
