//! Results that may leave a node. A loss of one row reveals that row, so every number is about the
//! fewest rows or more; under differential privacy an update has noise, and a ledger counts. The
//! floors hold for every plan and every request; arguments make a harmless plan tell single cells.

pub(crate) mod choices;
mod compress;
mod config;
pub(crate) mod ledger;
mod release;
mod terms;

use fedwasm_protocol::{ColumnSums, Mode, Reason, Refusal, RoundRequest, Scale};

pub(crate) use self::compress::{Compressing, check_compression};
pub use self::config::{Floors, Privacy};
pub use self::ledger::Spent;
pub(crate) use self::release::{Beginning, Begun, Released, Summand, check_plan, failed, n_values};
pub(crate) use self::terms::{Terms, check as check_asked};
use crate::refusal::refusal;
use crate::round::Prepared;
use crate::statistics::{self, has_own_words};

/// What may be told in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Floor {
    pub(crate) min_rows: u64,
    pub(crate) progress: bool,
    pub(crate) score_sums: bool,
    /// Whether counts of imputed and clipped values are told.
    pub(crate) cells: bool,
    /// Whether sums may have the smallest and the largest value of a column.
    pub(crate) extremes: bool,
}

impl Floor {
    /// The floor of one round.
    ///
    /// * `min_rows` — the node's own, or that of the approval.
    /// * `of` — the floors of the dataset; whether it has noise; whether it is under masks.
    ///
    /// # Errors
    /// A round that sums columns up where the node tells no such sums.
    pub(crate) fn of(
        privacy: &Privacy,
        min_rows: u64,
        request: &RoundRequest,
        (floors, has_noise, is_masked): (&Floors, bool, bool),
    ) -> Result<Self, Refusal> {
        // How far a plan is follows from rows as well.
        let progress = privacy.progress && !has_noise && !is_masked;
        let score_sums = privacy.score_sums;
        // They are counts of columns, as statistics are.
        let cells = floors.statistics != Some(false);
        let mut floor = Self { min_rows, progress, score_sums, cells, extremes: false };
        if matches!(request.mode, Mode::Scale | Mode::Statistics) {
            statistics::check(floors, request.dataset_id.as_str())?;
            if has_noise {
                let text = "sums for scales have no noise, and the request asks for some: set \
                            `standardize` to `site` or `none`";
                return Err(refusal(Reason::Unsupported, text.into()));
            }
            let told = statistics::disclosure(floors, privacy.min_rows);
            floor.min_rows = floor.min_rows.max(told.min_rows);
            floor.extremes = told.extremes;
        }
        Ok(floor)
    }
}

/// Refuses a round that would tell about fewer rows than the floor has, or the values of single ones.
pub(crate) fn check(
    prepared: &Prepared,
    request: &RoundRequest,
    floor: Floor,
) -> Result<(), Refusal> {
    let min_rows = floor.min_rows;
    let few = |rows: u64, what: &str, cure: &str| {
        let unit = if rows == 1 { "row" } else { "rows" };
        let text = format!(
            "the round would {what} {rows} {unit}, and this node releases nothing about fewer than \
             {min_rows} (`min_rows` under [privacy] of its node.toml): {cure}"
        );
        Err(refusal(Reason::Privacy, text))
    };
    if let Some(column) = prepared.sums().find(|column| column.n() < min_rows) {
        let text = format!(
            "fewer than {min_rows} training rows have a value of `{}`, and this node tells no sums \
             of fewer (`statistics_min_rows` or `min_rows` under [privacy] of its node.toml)",
            column.name
        );
        return Err(refusal(Reason::Privacy, text));
    }
    check_missing(prepared, request, min_rows)?;
    check_clip(prepared, request, floor)?;
    if let Some(column) = prepared.sums().find(|column| column.extremes.is_some()) {
        let why = match (&request.secagg, floor.extremes) {
            (Some(_), _) => "which have no sum under secure aggregation",
            (None, false) => {
                "which this node does not tell (`statistics_extremes` under [privacy] of its \
                 node.toml)"
            }
            (None, true) => "",
        };
        if !why.is_empty() {
            let text = format!(
                "`scale = \"min-max\"` of column `{}` needs the smallest and the largest value of all \
                 sites, {why}: use `scale = \"standard\"`, or `standardize = \"site\"`",
                column.name
            );
            return Err(refusal(Reason::Privacy, text));
        }
    }
    let (train, held_out) = prepared.n_rows();
    if train < min_rows {
        return few(train, "train on or scale by", "hold out fewer rows with `test_ratio`");
    }
    // One held-out row is revealed as well by its absence from the training rows.
    if (1..min_rows).contains(&held_out) {
        return few(held_out, "hold out", "hold out more rows with `test_ratio`, or none");
    }
    let different = prepared.rows_of_first_epoch();
    if request.mode == Mode::Train && (1..min_rows).contains(&different) {
        return few(different, "train on", "use larger batches, or more of them");
    }
    Ok(())
}

/// Refuses sums for scales that count few rows by words that the researcher chose.
fn check_missing(
    prepared: &Prepared,
    request: &RoundRequest,
    min_rows: u64,
) -> Result<(), Refusal> {
    if request.mode != Mode::Scale || !has_own_words(&request.data) {
        return Ok(());
    }
    let ruled = prepared.done().columns.iter().map(|column| (&column.name, column.missing));
    let summed = prepared.sums().map(|column| (&column.name, column.missing));
    match ruled.chain(summed).find(|(_, missing)| (1..min_rows).contains(missing)) {
        None => Ok(()),
        Some((column, _)) => {
            let text = format!(
                "`missing` of [data] has words of its own, which fewer than {min_rows} rows have in \
                 `{column}`, and this node tells no sums that count so few (`statistics_min_rows` or \
                 `min_rows` under [privacy] of its node.toml): use the usual words"
            );
            Err(refusal(Reason::Privacy, text))
        }
    }
}

/// Refuses sums for scales of values that the request clips: they change once its bounds reach the
/// smallest or the largest value.
fn check_clip(prepared: &Prepared, request: &RoundRequest, floor: Floor) -> Result<(), Refusal> {
    if request.mode != Mode::Scale || floor.extremes {
        return Ok(());
    }
    let rules = &request.data.columns;
    let is_clipped = |column: &&ColumnSums| {
        // The number of a column with a flag.
        let name = column.name.strip_suffix("[0]").unwrap_or(&column.name);
        let rule = rules.get(&column.name).or_else(|| rules.get(name));
        rule.is_some_and(|rule| rule.clip.is_some() && rule.scale != Some(Scale::None))
    };
    match prepared.sums().find(is_clipped) {
        None => Ok(()),
        Some(column) => {
            let text = format!(
                "`clip` of column `{}` beside `standardize = \"federation\"` tells where its smallest \
                 and largest values lie, which this node does not tell (`statistics_extremes` under \
                 [privacy] of its node.toml): leave out `clip`, or use `standardize = \"site\"`",
                column.name
            );
            Err(refusal(Reason::Privacy, text))
        }
    }
}

/// The progress that is withheld while a round runs, in words.
pub(crate) fn warning(request: &RoundRequest, floor: Floor) -> Option<String> {
    let batch_rows = u64::from(request.training.loader_args.batch_size);
    if request.mode != Mode::Train || batch_rows >= floor.min_rows || !floor.progress {
        return None;
    }
    Some(format!(
        "losses of single batches are withheld: batches have {batch_rows} rows, fewer than the \
         minimum of {} at this node",
        floor.min_rows
    ))
}
