//! Answers a researcher who asks for statistics of a dataset, away from the loop. No plan runs: the
//! node sums up columns itself, and its operator's floors say what leaves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fedwasm_folder::Folder;
use fedwasm_protocol::{
    Body, ColumnKind, ColumnRule, ColumnRules, DataArgs, Digest, Edges, Encode, INLINE_BYTES_MAX,
    MISSING_WORDS, Participant, Reason, Refusal, SUMS_BYTES_MAX, StatisticsReply,
    StatisticsRequest, Sums,
};
use fedwasm_training::{Disclosure, Error as TrainingError, statistics};
use fedwasm_transport::{Repository, now_ms};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::asked::Asked;
use crate::blocking::blocking;
use crate::privacy::{Floors, Privacy};
use crate::refusal::{blob_refusal, check_size, refusal};
use crate::{Database, Dataset, Datasets};

/// How long summing up may take, the wait for other questions among it.
const STATISTICS_TIME_MAX: Duration = Duration::from_secs(600);

/// Answers questions about statistics.
#[derive(Clone, Debug)]
pub(crate) struct Statistician {
    pub(crate) folder: Arc<Folder>,
    pub(crate) database: Database,
    pub(crate) repository: Repository,
    pub(crate) privacy: Privacy,
    /// Whether the node trains under secure aggregation only.
    pub(crate) force_secagg: bool,
    /// One dataset is read at a time.
    pub(crate) reading: Arc<Semaphore>,
}

impl Statistician {
    /// The answer to a question.
    pub(crate) async fn answer(&self, asked: &Asked, request: StatisticsRequest) -> Body {
        let end = Instant::now() + STATISTICS_TIME_MAX;
        let told = tokio::time::timeout(STATISTICS_TIME_MAX, self.told(asked, request, end)).await;
        let late = || refusal(Reason::Expired, "the statistics were not done in time".into());
        match told.unwrap_or_else(|_| Err(late())) {
            Ok(reply) => Body::StatisticsReply(reply),
            Err(refused) => {
                tracing::warn!("no statistics ({}): {}", refused.reason, refused.message);
                Body::Refused(refused)
            }
        }
    }

    async fn told(
        &self,
        asked: &Asked,
        request: StatisticsRequest,
        end: Instant,
    ) -> Result<StatisticsReply, Refusal> {
        let floors = self.privacy.floors_of(request.dataset_id.as_str());
        check(&floors, request.dataset_id.as_str())?;
        check_clear(&floors, self.force_secagg, request.dataset_id.as_str())?;
        let disclosure = disclosure(&floors, self.privacy.min_rows);
        // Before the edges are fetched: those of waiting questions would fill the memory.
        let Ok(_turn) = self.reading.acquire().await else {
            return Err(refusal(Reason::Internal, "the node is closing".into()));
        };
        let edges = match &request.edges {
            None => None,
            Some(payload) => {
                check_size("edges", &payload.blob, SUMS_BYTES_MAX)?;
                let bytes = self.repository.get_payload(payload).await.map_err(blob_refusal)?;
                let bad = |text| refusal(Reason::BadRequest, text);
                Some(Edges::decode(&bytes).map_err(bad)?)
            }
        };
        let (folder, database) = (Arc::clone(&self.folder), self.database.clone());
        let (who, sha256) = (asked.from.participant.clone(), asked.digest);
        let bytes = blocking(move || {
            let (dataset, sums) = summed(&folder, &request, edges.as_ref(), disclosure, end)?;
            let internal = |text: String| refusal(Reason::Internal, text);
            let bytes = sums.encode().map_err(internal)?;
            let fields = json!({
                "researcher": who, "request": sha256, "dataset": dataset.name,
                "rows": sums.n_rows, "columns": sums.columns.len(),
                "withheld": sums.withheld.len(), "bins": edges.map(|edges| edges.n_bins),
                "extremes": disclosure.extremes, "sums": Digest::of(&bytes),
            });
            // Without an entry nothing leaves.
            let written = database.record(now_ms(), "statistics", &fields);
            written.map_err(|error| {
                tracing::error!("the log could not be written: {error}");
                internal("the node cannot write its log; its console says more".into())
            })?;
            Ok(bytes)
        })
        .await?;
        let reader = Participant::researcher(&asked.researcher);
        let repository = self.repository.for_recipients(vec![reader]);
        let mut room = INLINE_BYTES_MAX / 2;
        let sums = repository.put_payload(bytes, &mut room).await.map_err(blob_refusal)?;
        Ok(StatisticsReply { sums })
    }
}

/// Refuses statistics that the operator does not let out, by the name of the setting.
pub(crate) fn check(floors: &Floors, dataset: &str) -> Result<(), Refusal> {
    let text = if floors.statistics == Some(false) {
        format!(
            "this node tells no statistics of dataset {dataset} (`statistics` under [privacy] of its \
             node.toml)"
        )
    } else if floors.noise_multiplier.is_some() {
        format!(
            "this node adds noise to all that it tells of dataset {dataset} (`noise_multiplier` \
             under [privacy] of its node.toml), and statistics have none"
        )
    } else {
        return Ok(());
    };
    Err(refusal(Reason::Privacy, text))
}

/// Refuses statistics in the clear where secure aggregation is required.
fn check_clear(floors: &Floors, force_secagg: bool, dataset: &str) -> Result<(), Refusal> {
    if !force_secagg && floors.secagg.is_none() {
        return Ok(());
    }
    let text = format!(
        "this node tells of dataset {dataset} under secure aggregation only, and the request does not \
         ask for it (`[secagg]` of the experiment)"
    );
    Err(refusal(Reason::Privacy, text))
}

/// The part of the statistics that the operator lets out.
///
/// * `min_rows` — of the node, where the floors name none for statistics.
pub(crate) fn disclosure(floors: &Floors, min_rows: u64) -> Disclosure {
    Disclosure {
        min_rows: floors.statistics_min_rows.unwrap_or(min_rows),
        min_missing: 0,
        extremes: floors.statistics_extremes.unwrap_or(false),
    }
}

/// Finds the dataset of a request, and sums its columns up.
fn summed(
    folder: &Folder,
    request: &StatisticsRequest,
    edges: Option<&Edges>,
    disclosure: Disclosure,
    end: Instant,
) -> Result<(Dataset, Sums), Refusal> {
    let datasets = Datasets::load(folder).map_err(|error| {
        tracing::error!("{error}");
        refusal(Reason::Internal, "the registry cannot be read".into())
    })?;
    let id = &request.dataset_id;
    let dataset = datasets
        .find(id)
        .cloned()
        .ok_or_else(|| refusal(Reason::Dataset, format!("this node has no dataset `{id}`")))?;
    let is_over = || Instant::now() >= end;
    let sums = sums_of(&dataset, &request.data, edges, disclosure, &is_over)?;
    Ok((dataset, sums))
}

/// Reads a dataset, and sums its columns up over all rows.
pub(crate) fn sums_of(
    dataset: &Dataset,
    data: &DataArgs,
    edges: Option<&Edges>,
    disclosure: Disclosure,
    is_over: &dyn Fn() -> bool,
) -> Result<Sums, Refusal> {
    let id = &dataset.name;
    dataset.check_columns(data)?;
    let min = disclosure.min_rows;
    if dataset.n_rows < min {
        let text = format!(
            "dataset {id} has {} rows, and this node tells no statistics of fewer than {min} \
             (`statistics_min_rows` or `min_rows` under [privacy] of its node.toml)",
            dataset.n_rows
        );
        return Err(refusal(Reason::Privacy, text));
    }
    // Paths and cells stay in the node's log.
    let hide = |error: &dyn std::fmt::Display| {
        tracing::warn!("{error}");
        let text = format!("dataset {id} cannot be read; the node's log says more");
        refusal(Reason::Dataset, text)
    };
    let file = dataset.open().map_err(|error| hide(&error))?;
    if let Some(change) = dataset.change(&file) {
        tracing::warn!("{change}");
        return Err(refusal(Reason::Dataset, change));
    }
    let rules = as_codes(&data.columns);
    let file = file.with_rules(&rules, &data.missing_words());
    let file = file.map_err(|error| hide(&error))?;
    let names: Option<Vec<String>> = data.inputs.as_ref().map(|_| {
        let mut known = BTreeSet::new();
        let names = data.names().into_iter();
        names.filter(|name| known.insert(*name)).cloned().collect()
    });
    // Words that the researcher chose count the rows that have them.
    let min_missing = if has_own_words(data) { min } else { 0 };
    let disclosure = Disclosure { min_missing, ..disclosure };
    let sums = statistics(&file, names.as_deref(), edges, disclosure, is_over);
    sums.map_err(|error| match error {
        TrainingError::Statistics { reason } => refusal(Reason::BadRequest, reason),
        TrainingError::Cancelled => {
            refusal(Reason::Expired, "the statistics were not done in time".into())
        }
        error => hide(&error),
    })
}

/// Whether a request has other words for missing values than the usual ones.
pub(crate) fn has_own_words(data: &DataArgs) -> bool {
    data.missing_words().iter().any(|word| !MISSING_WORDS.contains(&word.as_str()))
}

/// The rules of columns, with one number for each: categories as codes, and no flags. Nothing is
/// clipped: codes would fall together, and the bounds of numbers would ask for the extremes.
fn as_codes(rules: &ColumnRules) -> ColumnRules {
    let mut codes = ColumnRules::default();
    for (column, rule) in rules.iter() {
        let mut rule = ColumnRule { flag_missing: false, clip: None, ..rule.clone() };
        if let ColumnKind::Category { encode, .. } = &mut rule.kind {
            *encode = Encode::Code;
        }
        codes.insert(column.clone(), rule);
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_protocol::SecaggScheme;

    #[test]
    fn what_the_operator_does_not_let_out_is_refused_by_the_name_of_the_setting() {
        let refused = |floors: &Floors, force| {
            let checked = check(floors, "d").and_then(|()| check_clear(floors, force, "d"));
            checked.map_err(|refusal| refusal.message)
        };
        let floors = Floors::default();
        assert_eq!(refused(&floors, false), Ok(()));
        assert!(refused(&floors, true).unwrap_err().contains("secure aggregation"));
        let off = Floors { statistics: Some(false), ..Floors::default() };
        assert!(refused(&off, false).unwrap_err().contains("(`statistics` under [privacy]"));
        let noisy = Floors { noise_multiplier: Some(1.0), ..Floors::default() };
        assert!(refused(&noisy, false).unwrap_err().contains("`noise_multiplier`"));
        let masked = Floors { secagg: Some(vec![SecaggScheme::Masking]), ..Floors::default() };
        assert!(refused(&masked, false).unwrap_err().contains("secure aggregation"));
        assert!(check(&masked, "d").is_ok());
        let told = disclosure(&Floors::default(), 7);
        assert_eq!(told, Disclosure { min_rows: 7, min_missing: 0, extremes: false });
        let own = Floors {
            statistics_min_rows: Some(50),
            statistics_extremes: Some(true),
            ..Floors::default()
        };
        let told = Disclosure { min_rows: 50, min_missing: 0, extremes: true };
        assert_eq!(disclosure(&own, 7), told);
    }

    #[test]
    fn codes_and_numbers_are_not_clipped_and_words_of_the_asker_are_known() {
        let rules = "w = { kind = 'category', values = ['a'], flag_missing = true, impute = 'a' }\n\
                     x = { kind = 'number', clip = [0, 1], flag_missing = true, impute = 0 }";
        let mut rules = ColumnRules::parse(rules.parse().unwrap()).unwrap();
        let clipped = ColumnRule { clip: Some([0.0, 0.5]), ..rules.get("w").unwrap().clone() };
        rules.insert("w".into(), clipped);
        let codes = as_codes(&rules);
        assert!(codes.iter().all(|(_, rule)| rule.clip.is_none() && rule.width() == 1));
        let of = |missing: Option<&[&str]>| DataArgs {
            missing: missing.map(|words| words.iter().map(|word| (*word).to_owned()).collect()),
            ..DataArgs::of("y")
        };
        assert!(!has_own_words(&of(None)) && !has_own_words(&of(Some(&["?", "NA"]))));
        assert!(has_own_words(&of(Some(&["?", "57.3"]))));
    }
}
