//! The ledger of rounds under differential privacy, by dataset. An entry is on the disk before a plan
//! sees a row, and nothing takes it back: a round that fails has spent as well.

use fedwasm_privacy::account::{Accountant, Mechanism, bits_of_round};
use fedwasm_protocol::{DatasetId, Digest, ExperimentId, Mode, ResearcherId};
use fedwasm_sandbox::Cancel;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::terms::Terms;
use crate::{Database, Dataset, Error};

/// The table, of which an older registry has none.
pub(crate) const SCHEMA: &str = "
CREATE TABLE privacy (
    id INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    dataset TEXT NOT NULL,
    content TEXT,
    researcher TEXT NOT NULL,
    experiment TEXT NOT NULL,
    round INTEGER NOT NULL,
    request TEXT NOT NULL,
    spends INTEGER NOT NULL CHECK (spends IN (0, 1)),
    noise_multiplier REAL NOT NULL,
    n_values INTEGER NOT NULL,
    terms TEXT NOT NULL,
    seed BLOB NOT NULL
) STRICT;
CREATE INDEX privacy_of_request ON privacy (request);
";

/// The rounds that are about the same rows: of a name or of a content, and of every name and content
/// that these have in turn. Neither a new name nor a changed file begins anew.
const SPENT: &str = "
WITH RECURSIVE same (dataset, content) AS (
    VALUES (?1, ?2)
    UNION
    SELECT other.dataset, other.content
    FROM (SELECT DISTINCT dataset, content FROM privacy) AS other
    JOIN same ON other.dataset = same.dataset OR other.content = same.content
)
SELECT noise_multiplier, COUNT(*), MAX(n_values) FROM privacy
WHERE spends = 1 AND dataset IN (SELECT dataset FROM same)
GROUP BY noise_multiplier ORDER BY noise_multiplier";

/// The most rounds that are counted ahead.
const ROUNDS_AHEAD_MAX: u64 = 1_000_000;

/// A round that is about to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) time_ms: u64,
    pub(crate) dataset: &'a DatasetId,
    /// The digest of its files; none if they could not be read.
    pub(crate) content: Option<&'a Digest>,
    pub(crate) researcher: &'a ResearcherId,
    pub(crate) experiment: &'a ExperimentId,
    pub(crate) round: u32,
    pub(crate) mode: Mode,
    /// The digest of the request's header.
    pub(crate) request: &'a Digest,
    /// Values of the update.
    pub(crate) n_values: u64,
    pub(crate) terms: &'a Terms,
    pub(crate) seed: &'a [u8; 32],
}

/// The rounds that spent of a dataset.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spent {
    /// Noise multipliers with the number of their rounds.
    rounds: Vec<(f64, u64)>,
    /// The most values of an update.
    n_values: u64,
}

impl Spent {
    /// Rounds of training.
    pub fn n_rounds(&self) -> u64 {
        self.rounds.iter().map(|(_, steps)| steps).sum()
    }

    /// Epsilon of all rounds together. The distance is that of a node that takes part from one that
    /// does not.
    ///
    /// # Errors
    /// [`Error::Privacy`].
    pub fn epsilon(&self, delta: f64) -> Result<f64, Error> {
        self.epsilon_with(delta, 1.0, 1.0, 0)
    }

    /// The same from a node with other rows in their place: one row, or all.
    ///
    /// # Errors
    /// [`Error::Privacy`].
    pub fn epsilon_of_replacing(&self, delta: f64) -> Result<f64, Error> {
        self.epsilon_with(delta, 0.5, 1.0, 0)
    }

    /// Epsilon with `steps` more rounds of a noise multiplier.
    ///
    /// * `scale` — of all multipliers: a half if the sensitivity is twice the clip.
    fn epsilon_with(
        &self,
        delta: f64,
        scale: f64,
        noise_multiplier: f64,
        steps: u64,
    ) -> Result<f64, Error> {
        let mut accountant = Accountant::default();
        let ahead = [(noise_multiplier, steps)];
        for (noise_multiplier, steps) in self.rounds.iter().chain(&ahead) {
            let (noise_multiplier, steps) = (noise_multiplier * scale, *steps);
            accountant.add(&Mechanism { noise_multiplier, sampling_rate: 1.0, steps })?;
        }
        Ok(accountant.epsilon(delta)?)
    }

    /// How many more rounds of a noise multiplier a budget has room for, at most a million.
    ///
    /// # Errors
    /// [`Error::Privacy`].
    pub fn rounds_left(
        &self,
        budget: f64,
        delta: f64,
        noise_multiplier: f64,
    ) -> Result<u64, Error> {
        let fits = |steps| {
            Ok::<_, Error>(self.epsilon_with(delta, 1.0, noise_multiplier, steps)? <= budget)
        };
        let (mut fit, mut over) = (0, 1);
        while over <= ROUNDS_AHEAD_MAX && fits(over)? {
            (fit, over) = (over, over * 2);
        }
        over = over.min(ROUNDS_AHEAD_MAX + 1);
        while over - fit > 1 {
            let middle = fit + (over - fit) / 2;
            match fits(middle)? {
                true => fit = middle,
                false => over = middle,
            }
        }
        Ok(fit)
    }

    /// The bits that a round of a noise multiplier can tell at most, whatever its plan is: of updates
    /// as large as the largest so far, or of any size if there was none.
    pub fn bits_of_round(&self, noise_multiplier: f64) -> f64 {
        // The bound rises with the number of values, towards 1 / (2 ln 2 z^2).
        let n_values = if self.n_values == 0 { u64::from(u32::MAX) } else { self.n_values };
        bits_of_round(n_values, noise_multiplier)
    }
}

/// A budget that a round would pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Passed {
    pub(crate) spent: f64,
    pub(crate) projected: f64,
    pub(crate) budget: f64,
}

impl Database {
    /// Writes a round down unless the budget has no room for it. Summing and writing are one
    /// transaction: rounds at the same time see each other.
    pub(crate) fn spend(&self, entry: Entry<'_>) -> Result<Result<(), Passed>, Error> {
        let Entry { dataset, content, terms, .. } = entry;
        let content = content.map(Digest::to_string);
        let json = serde_json::to_string(terms).map_err(|source| Error::Malformed {
            file: "the terms of a round".into(),
            source: source.into(),
        })?;
        self.write(|write| {
            let spends = entry.mode == Mode::Train;
            if let (true, Some(budget)) = (spends, terms.epsilon) {
                let before = spent(write, dataset, content.as_deref())?;
                let (delta, z) = (terms.delta, terms.noise_multiplier);
                let projected = before.epsilon_with(delta, 1.0, z, 1)?;
                // Written so that no NaN has room.
                if !matches!(projected.partial_cmp(&budget), Some(order) if order.is_le()) {
                    return Ok(Err(Passed { spent: before.epsilon(delta)?, projected, budget }));
                }
            }
            write.execute(
                "INSERT INTO privacy (time_ms, dataset, content, researcher, experiment, round,
                     request, spends, noise_multiplier, n_values, terms, seed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                params![
                    i64::try_from(entry.time_ms).unwrap_or(i64::MAX),
                    dataset.as_str(),
                    content,
                    entry.researcher.as_str(),
                    entry.experiment.as_str(),
                    entry.round,
                    entry.request.to_string(),
                    spends,
                    terms.noise_multiplier,
                    i64::try_from(entry.n_values).unwrap_or(i64::MAX),
                    json,
                    entry.seed.as_slice(),
                ],
            )?;
            Ok(Ok(()))
        })
    }

    /// The rounds that spent of a dataset, by its name or by the content of its files.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn spent(&self, dataset: &DatasetId, content: Option<&Digest>) -> Result<Spent, Error> {
        let content = content.map(Digest::to_string);
        self.read(|connection| spent(connection, dataset, content.as_deref()))
    }

    /// The same of a registered dataset, whose files are read.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn spent_of(&self, dataset: &Dataset) -> Result<Spent, Error> {
        let content = crate::round::dataset_digest(dataset, &Cancel::new());
        // Without its files its name still counts.
        let content = content.inspect_err(|error| tracing::warn!("{}: {error}", dataset.name));
        self.spent(&dataset.name, content.ok().as_ref())
    }

    /// The terms and the seed of the noise of the round that a request asked for; none if it ran in
    /// the clear.
    pub(crate) fn noise_of(&self, request: &Digest) -> Result<Option<(Terms, [u8; 32])>, Error> {
        let query = "SELECT terms, seed FROM privacy WHERE request = ?1 ORDER BY id DESC LIMIT 1";
        let row: Option<(String, [u8; 32])> = self.read(|connection| {
            let row = connection
                .query_row(query, [request.to_string()], |row| Ok((row.get(0)?, row.get(1)?)));
            Ok(row.optional()?)
        })?;
        let Some((terms, seed)) = row else { return Ok(None) };
        let terms = serde_json::from_str(&terms).map_err(|source| Error::Malformed {
            file: "the terms of a round".into(),
            source: source.into(),
        })?;
        Ok(Some((terms, seed)))
    }
}

fn spent(
    connection: &Connection,
    dataset: &DatasetId,
    content: Option<&str>,
) -> Result<Spent, Error> {
    let mut query = connection.prepare_cached(SPENT)?;
    let rows = query.query_map(params![dataset.as_str(), content], |row| {
        let (steps, n_values): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok((row.get::<_, f64>(0)?, steps.unsigned_abs(), n_values.unsigned_abs()))
    })?;
    let mut spent = Spent::default();
    for row in rows {
        let (noise_multiplier, steps, n_values) = row?;
        spent.rounds.push((noise_multiplier, steps));
        spent.n_values = spent.n_values.max(n_values);
    }
    Ok(spent)
}

/// Attempts to spend more than the budget.
#[cfg(test)]
mod tests {
    use std::path::Path;

    use fedwasm_privacy::account::epsilon_of_gaussian;
    use fedwasm_trust::Identity;

    use super::*;
    use crate::privacy::Floors;

    const DELTA: f64 = 1e-5;

    fn open(dir: &Path) -> Database {
        let who = "node-n".parse().unwrap();
        let identity = Identity::open_or_create(&dir.join("identity"), |_| who).unwrap();
        Database::open(dir, &identity).unwrap()
    }

    fn terms(noise_multiplier: f64, epsilon: Option<f64>) -> Terms {
        let (clip, noise_multiplier) = (Some(1.0), Some(noise_multiplier));
        let floors =
            Floors { clip, noise_multiplier, delta: Some(DELTA), epsilon, ..Floors::default() };
        Terms::of(&floors, None).unwrap()
    }

    /// A budget that has room for exactly so many rounds of multiplier 1.
    fn room_for(rounds: u32) -> f64 {
        epsilon_of_gaussian(1.0 / f64::from(rounds).sqrt(), DELTA).unwrap()
    }

    struct Ask {
        dataset: String,
        content: Option<Digest>,
        experiment: String,
        round: u32,
        mode: Mode,
        request: Digest,
        terms: Terms,
    }

    impl Ask {
        fn new(epsilon: f64) -> Self {
            Self {
                dataset: "mri".into(),
                content: Some(Digest::of(b"rows")),
                experiment: "e".into(),
                round: 1,
                mode: Mode::Train,
                request: Digest::of(b"request"),
                terms: terms(1.0, Some(epsilon)),
            }
        }

        fn spend(&self, database: &Database) -> Result<(), Passed> {
            let entry = Entry {
                time_ms: 1,
                dataset: &self.dataset.parse().unwrap(),
                content: self.content.as_ref(),
                researcher: &"r".parse().unwrap(),
                experiment: &self.experiment.parse().unwrap(),
                round: self.round,
                mode: self.mode,
                request: &self.request,
                n_values: 100,
                terms: &self.terms,
                seed: &[1; 32],
            };
            database.spend(entry).unwrap()
        }
    }

    fn n_rounds(database: &Database) -> u64 {
        let (mri, rows) = ("mri".parse().unwrap(), Digest::of(b"rows"));
        database.spent(&mri, Some(&rows)).unwrap().n_rounds()
    }

    #[test]
    fn a_budget_has_room_for_exactly_the_rounds_that_it_pays_for() {
        for rounds in [1, 2, 3, 10] {
            let dir = tempfile::tempdir().unwrap();
            let database = open(dir.path());
            let ask = Ask::new(room_for(rounds) * (1.0 + 1e-9));
            for _ in 0..rounds {
                assert_eq!(ask.spend(&database), Ok(()), "{rounds}");
            }
            let passed = ask.spend(&database).unwrap_err();
            assert!(
                passed.spent <= passed.budget && passed.projected > passed.budget,
                "{passed:?}"
            );
            assert_eq!(n_rounds(&database), u64::from(rounds), "a refused round spends nothing");
            let spent = database.spent(&"mri".parse().unwrap(), None).unwrap();
            assert_eq!(spent.rounds_left(passed.budget, DELTA, 1.0).unwrap(), 0);
            // Less than the budget by a little: one round less.
            let dir = tempfile::tempdir().unwrap();
            let (database, ask) = (open(dir.path()), Ask::new(room_for(rounds) * (1.0 - 1e-9)));
            let admitted = (0..=rounds).filter(|_| ask.spend(&database).is_ok()).count();
            assert_eq!(admitted as u32, rounds - 1);
        }
    }

    #[test]
    fn multipliers_of_several_rounds_add_up() {
        let dir = tempfile::tempdir().unwrap();
        let database = open(dir.path());
        for z in [1.0, 2.0, 4.0, 4.0] {
            let ask = Ask { terms: terms(z, None), ..Ask::new(1.0) };
            assert_eq!(ask.spend(&database), Ok(()));
        }
        let spent = database.spent(&"mri".parse().unwrap(), None).unwrap();
        let mu = (1.0f64 + 0.25 + 2.0 / 16.0).sqrt();
        let expected = epsilon_of_gaussian(1.0 / mu, DELTA).unwrap();
        assert!((spent.epsilon(DELTA).unwrap() - expected).abs() < 1e-9);
        let twice = epsilon_of_gaussian(0.5 / mu, DELTA).unwrap();
        assert!((spent.epsilon_of_replacing(DELTA).unwrap() - twice).abs() < 1e-9);
        assert!((spent.bits_of_round(1.0) - 0.72).abs() < 0.01);
        let left = spent.rounds_left(20.0, DELTA, 4.0).unwrap();
        assert!(left > 10 && left < 1_000, "{left}");
        assert_eq!(Spent::default().rounds_left(1e9, DELTA, 100.0).unwrap(), ROUNDS_AHEAD_MAX);
    }

    /// After a budget of three rounds is used up, nothing that a request or an operator changes gives
    /// room again.
    #[test]
    fn twenty_attempts_to_begin_anew() {
        let dir = tempfile::tempdir().unwrap();
        let budget = room_for(3) * (1.0 + 1e-9);
        let mut database = open(dir.path());
        let mut attempts = 0;
        let mut refused = |database: &Database, ask: Ask| {
            attempts += 1;
            assert!(ask.spend(database).is_err(), "attempt {attempts}");
            assert_eq!(n_rounds(database), 3, "attempt {attempts}");
        };
        let ask = || Ask::new(budget);
        // The dataset is registered under another name after the first round, and its file changes after
        // the second.
        assert!(ask().spend(&database).is_ok());
        assert!(Ask { dataset: "ct".into(), ..ask() }.spend(&database).is_ok());
        let changed = Some(Digest::of(b"more rows"));
        assert!(Ask { dataset: "ct".into(), content: changed, ..ask() }.spend(&database).is_ok());

        refused(&database, ask());
        for experiment in ["f", "E", "e2"] {
            refused(&database, Ask { experiment: experiment.into(), ..ask() });
        }
        for round in [0, 2, u32::MAX] {
            refused(&database, Ask { round, ..ask() });
        }
        refused(&database, Ask { request: Digest::of(b"another request"), ..ask() });
        // Other names for the same rows, and other rows under the same names.
        refused(&database, Ask { dataset: "renamed".into(), ..ask() });
        refused(&database, Ask { dataset: "renamed".into(), content: changed, ..ask() });
        refused(&database, Ask { content: Some(Digest::of(b"x")), ..ask() });
        refused(&database, Ask { content: None, ..ask() });
        refused(&database, Ask { dataset: "ct".into(), content: Some(Digest::of(b"y")), ..ask() });
        refused(&database, Ask { dataset: "ct".into(), content: None, ..ask() });
        // Less noise, a looser delta, more noise than the room that is left.
        refused(&database, Ask { terms: terms(0.01, Some(budget)), ..ask() });
        refused(&database, Ask { terms: terms(50.0, Some(budget * 0.99)), ..ask() });
        let stricter = Terms { delta: DELTA / 10.0, ..terms(1.0, Some(budget)) };
        refused(&database, Ask { terms: stricter, ..ask() });
        // A scored model spends nothing, and gives nothing back.
        assert!(Ask { mode: Mode::Validate, ..ask() }.spend(&database).is_ok());
        refused(&database, ask());
        for _ in 0..3 {
            drop(database);
            database = open(dir.path());
            refused(&database, ask());
        }
        assert!(attempts >= 20, "{attempts}");
    }

    /// Eight programs' worth of connections ask at once for a budget of five rounds.
    #[test]
    fn rounds_at_the_same_time_see_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let budget = room_for(5) * (1.0 + 1e-9);
        open(dir.path());
        let admitted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let database = open(dir.path());
                        (0..3).filter(|_| Ask::new(budget).spend(&database).is_ok()).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 5);
        assert_eq!(n_rounds(&open(dir.path())), 5);
    }

    #[test]
    fn the_noise_of_a_round_is_found_by_its_request() {
        let dir = tempfile::tempdir().unwrap();
        let database = open(dir.path());
        let ask = Ask::new(9.0);
        assert_eq!(database.noise_of(&ask.request).unwrap(), None);
        ask.spend(&database).unwrap();
        assert_eq!(database.noise_of(&ask.request).unwrap(), Some((ask.terms.clone(), [1; 32])));
    }

    /// A registry of the layout before there was a ledger.
    #[test]
    fn an_older_registry_gets_a_ledger() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()));
        let connection = Connection::open(dir.path().join("registry.db")).unwrap();
        let older = "DROP TABLE privacy; DROP TABLE pad_use; PRAGMA user_version = 1";
        connection.execute_batch(older).unwrap();
        drop(connection);
        let database = open(dir.path());
        assert!(Ask::new(9.0).spend(&database).is_ok());
        drop(database);
        assert_eq!(n_rounds(&open(dir.path())), 1);
    }
}
