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

/// The most sets of training rows of the same data. A column's sum over each is an equation about its
/// values, so there are also no more sets than the fewest rows that a number may be about fit
/// into all of their rows: then each equation has so many values of its own to hide.
const CHOICES_MAX: u64 = 64;

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
            } else if known.len() as u64 >= choices_max(&known, training, min_rows) {
                format!(
                    "this node told sums of {} choices of training rows of this dataset and tells no \
                     further ones, {CHOICES_MAX} at most and one for every {min_rows} of its rows: use \
                     an earlier `random_seed` and `test_ratio`",
                    known.len()
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

/// The most sets, from the rows of those that are known and of a further one.
fn choices_max(known: &[Vec<u8>], training: &[u8], min_rows: u64) -> u64 {
    let mut all = training.to_vec();
    for set in known {
        all.resize(all.len().max(set.len()), 0);
        all.iter_mut().zip(set).for_each(|(all, row)| *all |= row);
    }
    let n_rows: u64 = all.iter().map(|byte| u64::from(byte.count_ones())).sum();
    (n_rows / min_rows.max(1)).clamp(1, CHOICES_MAX)
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
        // A third set of the same 24 rows would be an equation for every eight of them.
        let refused = told(&database, &[0xff, 0x03, 0x00, 0x00]).unwrap_err();
        assert!(refused.contains("sums of 2 choices"), "{refused}");
        // With another 6 rows there are three times ten.
        assert_eq!(told(&database, &[0xff, 0x03, 0x00, 0x3f]), Ok(()));
        let other = Digest::of(b"other data");
        assert!(database.choose_rows(&other, &[0xfe, 0xff, 0xff, 0], 10).unwrap().is_ok());
        for n in 0..100u8 {
            // Sets that differ from each other by 16 rows or more.
            let mut set = vec![0; 400];
            set[4 + usize::from(n) * 2..6 + usize::from(n) * 2].fill(0xff);
            assert_eq!(told(&database, &set).is_ok(), n < 61, "{n}");
        }
    }
}
