//! The pads that were used, in the node's registry: none is used twice, and no run is masked for a
//! second set of nodes or in a second coding, since two sums tell what one does not.

use fedwasm_privacy::PadUse;
use fedwasm_protocol::{DatasetId, Digest};
use rusqlite::{OptionalExtension as _, params};

use crate::{Database, Error};

/// The table, of which an older registry has none.
pub(crate) const SCHEMA: &str = "
CREATE TABLE pad_use (
    context TEXT NOT NULL,
    round INTEGER NOT NULL,
    parties TEXT NOT NULL,
    layout TEXT NOT NULL,
    run TEXT NOT NULL,
    dataset TEXT NOT NULL,
    content TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    PRIMARY KEY (context, round)
) STRICT;
CREATE INDEX pad_use_of_run ON pad_use (run);
";

/// Why a pad is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PadRefused {
    /// It was used before, perhaps by an earlier run of this program.
    #[error("its pad has been used: agree upon new keys")]
    Used,
    /// The difference of two sums would be the update of the nodes that are in one of them; sums of
    /// the same updates in several codings (weights, clips) would tell single ones, too.
    #[error(
        "this very run was masked for other nodes, or with other settings of `[secagg]`, before, and \
         two sums would tell single updates: ask the same nodes for the same, or begin anew with \
         another `random_seed`"
    )]
    OtherSum,
}

/// The rows that a pad hides something of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) dataset: &'a DatasetId,
    /// The digest of its files: another name is no other dataset.
    pub(crate) content: &'a Digest,
    /// The rows that exact sums are of, a bit a row; none of a round that trains or scores.
    pub(crate) summed: Option<&'a [u8]>,
}

impl Rows<'_> {
    /// The use of a pad as it is written down. Exact sums of the same rows are one run, by whichever
    /// arguments, columns and histograms they are asked for: those of two sets of nodes would tell the
    /// sums of single ones.
    pub(super) fn pad(&self, pad: &PadUse) -> PadUse {
        let Some(summed) = self.summed else { return *pad };
        let run = Digest::of(&[b"fedwasm/summed-rows/v1".as_slice(), summed].concat());
        PadUse { run, layout: Digest::of(b"fedwasm/site-numbers/v1"), ..*pad }
    }
}

impl Database {
    /// Writes the use of a pad down, unless it was used or its run is in another sum.
    pub(crate) fn use_pad(
        &self,
        pad: &PadUse,
        rows: Rows<'_>,
        time_ms: u64,
    ) -> Result<Result<(), PadRefused>, Error> {
        let PadUse { context, round, parties, layout, run } = pad;
        let [context, parties, layout, run] =
            [context, parties, layout, run].map(Digest::to_string);
        let round = i64::try_from(*round).unwrap_or(i64::MAX);
        let content = rows.content.to_string();
        self.write(|write| {
            let used = "SELECT 1 FROM pad_use WHERE context = ?1 AND round = ?2";
            let used: Option<i64> =
                write.query_row(used, params![context, round], |row| row.get(0)).optional()?;
            if used.is_some() {
                return Ok(Err(PadRefused::Used));
            }
            let other = "SELECT 1 FROM pad_use WHERE run = ?1 AND (parties <> ?2 OR layout <> ?3)
                         AND (dataset = ?4 OR content = ?5) LIMIT 1";
            let of = params![run, parties, layout, rows.dataset.as_str(), content];
            let other: Option<i64> = write.query_row(other, of, |row| row.get(0)).optional()?;
            if other.is_some() {
                return Ok(Err(PadRefused::OtherSum));
            }
            write.execute(
                "INSERT INTO pad_use (context, round, parties, layout, run, dataset, content, time_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    context,
                    round,
                    parties,
                    layout,
                    run,
                    rows.dataset.as_str(),
                    content,
                    i64::try_from(time_ms).unwrap_or(i64::MAX),
                ],
            )?;
            Ok(Ok(()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fedwasm_trust::Identity;

    use super::*;

    fn open(dir: &Path) -> Database {
        let who = "node-n".parse().unwrap();
        let identity = Identity::open_or_create(&dir.join("identity"), |_| who).unwrap();
        Database::open(dir, &identity).unwrap()
    }

    fn pad(context: &str, round: u64, parties: &str, run: &str) -> PadUse {
        let [context, parties, run] =
            [context, parties, run].map(|part| Digest::of(part.as_bytes()));
        PadUse { context, round, parties, layout: Digest::of(b"layout"), run }
    }

    #[test]
    fn a_pad_is_used_once_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (d, other) = ("d".parse().unwrap(), "renamed".parse().unwrap());
        let (content, changed) = (Digest::of(b"rows"), Digest::of(b"more rows"));
        let rows = Rows { dataset: &d, content: &content, summed: None };
        let take = |pad: &PadUse, rows| open(dir.path()).use_pad(pad, rows, 1).unwrap();
        assert_eq!(take(&pad("a", 2, "abc", "run 1"), rows), Ok(()));
        assert_eq!(take(&pad("a", 2, "abc", "run 1"), rows), Err(PadRefused::Used));
        assert_eq!(take(&pad("a", 2, "abc", "run 2"), rows), Err(PadRefused::Used));
        // The same run once more for the same nodes tells nothing new.
        assert_eq!(take(&pad("b", 2, "abc", "run 1"), rows), Ok(()));
        assert_eq!(take(&pad("c", 2, "abd", "run 1"), rows), Err(PadRefused::OtherSum));
        // Nor in another coding.
        let coded = PadUse { layout: Digest::of(b"other"), ..pad("c", 2, "abc", "run 1") };
        assert_eq!(take(&coded, rows), Err(PadRefused::OtherSum));
        // Neither under another name, nor of a file that changed.
        let renamed = Rows { dataset: &other, content: &content, summed: None };
        assert_eq!(take(&pad("c", 2, "abd", "run 1"), renamed), Err(PadRefused::OtherSum));
        let edited = Rows { dataset: &d, content: &changed, summed: None };
        assert_eq!(take(&pad("c", 2, "abd", "run 1"), edited), Err(PadRefused::OtherSum));
        // A refused use is not written down.
        assert_eq!(take(&pad("c", 2, "abd", "run 3"), rows), Ok(()));
        let all_other = Rows { dataset: &other, content: &changed, summed: None };
        assert_eq!(take(&pad("d", 2, "abd", "run 1"), all_other), Ok(()));
    }

    #[test]
    fn exact_sums_of_the_same_rows_are_for_one_set_of_nodes() {
        let dir = tempfile::tempdir().unwrap();
        let (d, content) = ("d".parse().unwrap(), Digest::of(b"rows"));
        let database = open(dir.path());
        let take = |pad: &PadUse, summed| {
            let rows = Rows { dataset: &d, content: &content, summed: Some(summed) };
            database.use_pad(&rows.pad(pad), rows, 1).unwrap()
        };
        assert_eq!(take(&pad("a", 0, "abc", "run 1"), &[7]), Ok(()));
        // Of other columns, and for histograms.
        let coded = PadUse { layout: Digest::of(b"other"), ..pad("a", 2, "abc", "run 2") };
        assert_eq!(take(&coded, &[7]), Ok(()));
        assert_eq!(take(&pad("b", 0, "abd", "run 3"), &[7]), Err(PadRefused::OtherSum));
        assert_eq!(take(&pad("b", 0, "abd", "run 3"), &[9]), Ok(()));
    }

    /// A registry of the layout before pads were written down.
    #[test]
    fn an_older_registry_gets_a_journal() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()));
        let connection = rusqlite::Connection::open(dir.path().join("registry.db")).unwrap();
        connection.execute_batch("DROP TABLE pad_use; PRAGMA user_version = 2").unwrap();
        drop(connection);
        let (d, content) = ("d".parse().unwrap(), Digest::of(b"rows"));
        let rows = Rows { dataset: &d, content: &content, summed: None };
        assert_eq!(open(dir.path()).use_pad(&pad("a", 2, "abc", "run"), rows, 1).unwrap(), Ok(()));
        let connection = rusqlite::Connection::open(dir.path().join("registry.db")).unwrap();
        connection.execute_batch("PRAGMA user_version = 4").unwrap();
        drop(connection);
        let who = "node-n".parse().unwrap();
        let identity = Identity::open_or_create(&dir.path().join("identity"), |_| who).unwrap();
        let error = Database::open(dir.path(), &identity).unwrap_err().to_string();
        assert!(error.contains("version 4"), "{error}");
    }
}
