//! Which training rows sums were told of. Sums are exact, so those of two sets of rows that differ by
//! few rows tell these rows: a node remembers the sets that it answered for.

use fedwasm_protocol::{Digest, Reason, Refusal};
use rusqlite::params;

use crate::refusal::refusal;
use crate::{Database, Error};

pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS statistics_rows (
    content TEXT NOT NULL,
    training BLOB NOT NULL,
    PRIMARY KEY (content, training)
) STRICT;
";

/// The most sets of training rows of the same data: fewer equations than the least dataset has rows
/// would be safer still, and a study needs few.
const CHOICES_MAX: usize = 64;

impl Database {
    /// Writes down that sums of these training rows are told, unless rows could be calculated from
    /// them and earlier ones.
    ///
    /// * `content` — the digest of the data.
    /// * `training` — a bit a row.
    pub(crate) fn choose_rows(
        &self,
        content: &Digest,
        training: &[u8],
        min_rows: u64,
    ) -> Result<Result<(), Refusal>, Error> {
        self.write(|write| {
            let query = "SELECT training FROM statistics_rows WHERE content = ?1";
            let mut query = write.prepare(query)?;
            let rows = query.query_map([content.to_string()], |row| row.get::<_, Vec<u8>>(0))?;
            let known: Vec<Vec<u8>> = rows.collect::<Result<_, _>>()?;
            drop(query);
            let differ = known.iter().map(|known| difference(known, training));
            let nearest = differ.min().unwrap_or(u64::MAX);
            if nearest == 0 {
                return Ok(Ok(()));
            }
            let text = if nearest < min_rows {
                format!(
                    "this node told sums of other training rows before, and the difference would tell \
                     of {nearest} rows; it tells nothing about fewer than {min_rows}: use the earlier \
                     `random_seed` and `test_ratio`"
                )
            } else if known.len() >= CHOICES_MAX {
                format!(
                    "this node told sums of {CHOICES_MAX} choices of training rows of this dataset and \
                     tells no further ones: use an earlier `random_seed` and `test_ratio`"
                )
            } else {
                let insert = "INSERT INTO statistics_rows (content, training) VALUES (?1, ?2)";
                write.execute(insert, params![content.to_string(), training])?;
                return Ok(Ok(()));
            };
            Ok(Err(refusal(Reason::Privacy, text)))
        })
    }
}

/// How many rows are in one set and not in the other.
fn difference(a: &[u8], b: &[u8]) -> u64 {
    let n = a.len().max(b.len());
    let at = |set: &[u8], n: usize| set.get(n).copied().unwrap_or(0);
    (0..n).map(|byte| u64::from((at(a, byte) ^ at(b, byte)).count_ones())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_sets_that_differ_by_few_rows_are_not_told_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let who = "node-n".parse().unwrap();
        let identity =
            fedwasm_trust::Identity::open_or_create(&dir.path().join("identity"), |_| who).unwrap();
        let open = || Database::open(dir.path(), &identity).unwrap();
        let data = Digest::of(b"data");
        let told = |database: &Database, training: &[u8]| {
            let chosen = database.choose_rows(&data, training, 10).unwrap();
            chosen.map_err(|refusal| refusal.message)
        };
        let database = open();
        assert_eq!(told(&database, &[0xff, 0xff, 0xff, 0x00]), Ok(()));
        // The same set again, then one row less, then nine.
        assert_eq!(told(&database, &[0xff, 0xff, 0xff, 0x00]), Ok(()));
        let database = open();
        let refused = told(&database, &[0xfe, 0xff, 0xff, 0x00]).unwrap_err();
        assert!(refused.contains("would tell of 1 rows"), "{refused}");
        assert!(told(&database, &[0x00, 0xfe, 0xff, 0x00]).is_err());
        assert_eq!(told(&database, &[0x00, 0xfc, 0xff, 0x00]), Ok(()));
        let other = Digest::of(b"other data");
        assert!(database.choose_rows(&other, &[0xfe, 0xff, 0xff, 0], 10).unwrap().is_ok());
        for n in 0..100u8 {
            // Sets that differ from each other by 16 rows or more.
            let mut set = vec![0; 400];
            set[4 + usize::from(n) * 2..6 + usize::from(n) * 2].fill(0xff);
            assert_eq!(told(&database, &set).is_ok(), n < 62, "{n}");
        }
    }
}
