//! The fewest rows behind any number that leaves a node: a loss of one row reveals that row. The
//! floors hold for every plan and every request; arguments make a harmless plan tell single cells.

use fedwasm_protocol::{Mode, Reason, Refusal, RoundRequest};
use serde::{Deserialize, Serialize};

use crate::refusal::refusal;
use crate::round::Prepared;

/// `[privacy]` of `node.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Privacy {
    /// The fewest rows that are trained on, held out or scored, and that stand behind a number
    /// told while a round runs. Default 10; an approval may set another.
    pub min_rows: u64,
    /// Whether researchers hear losses and other numbers while a round runs. Default true.
    pub progress: bool,
}

impl Default for Privacy {
    fn default() -> Self {
        Self { min_rows: 10, progress: true }
    }
}

/// Refuses a round that would tell about fewer than `min_rows` rows.
pub(crate) fn check(
    prepared: &Prepared,
    request: &RoundRequest,
    min_rows: u64,
) -> Result<(), Refusal> {
    let few = |rows: u64, what: &str, cure: &str| {
        let unit = if rows == 1 { "row" } else { "rows" };
        let text = format!(
            "the round would {what} {rows} {unit}, and this node releases nothing about fewer than \
             {min_rows} (`min_rows` under [privacy] of its node.toml): {cure}"
        );
        Err(refusal(Reason::Privacy, text))
    };
    let (train, held_out) = prepared.n_rows();
    let length = prepared.length();
    if train < min_rows {
        return few(train, "train on or scale by", "hold out fewer rows with `test_ratio`");
    }
    // One held-out row is revealed as well by its absence from the training rows.
    if (1..min_rows).contains(&held_out) {
        return few(held_out, "hold out", "hold out more rows with `test_ratio`, or none");
    }
    if request.mode == Mode::Train && (1..min_rows).contains(&length.rows_of_first_epoch()) {
        let cure = "use larger batches, or more of them";
        return few(length.rows_of_first_epoch(), "train on", cure);
    }
    Ok(())
}

/// The progress that is withheld while a round runs, in words.
pub(crate) fn warning(request: &RoundRequest, privacy: Privacy) -> Option<String> {
    let batch_rows = u64::from(request.training.loader_args.batch_size);
    if request.mode == Mode::Validate || batch_rows >= privacy.min_rows || !privacy.progress {
        return None;
    }
    Some(format!(
        "losses of single batches are withheld: batches have {batch_rows} rows, fewer than the \
         minimum of {} at this node",
        privacy.min_rows
    ))
}
