//! The demo once more under secure aggregation: the bytes that the researcher got from each site, and the
//! price.

use std::collections::BTreeMap;
use std::path::Path;

use fedwasm_folder::Folder;
use fedwasm_params::Params;
use fedwasm_protocol::{Evaluation, NodeId};
use fedwasm_record::uploads;
use fedwasm_researcher::{ExperimentResult, History};
use serde_json::{Value, json};

use crate::columns::Columns;
use crate::command_error::{CommandError, FAILED};
use crate::printer::Printer;

/// Pairwise masks: they cancel in a plain sum, so that a visitor can add the numbers up.
pub(super) const SCHEME: &str = "masking";
/// The fewest sites of a sum: of two, each has the other's part.
pub(super) const SITES_MIN: u32 = 3;
/// The parameter of the shipped plan that comes first in its vectors.
const FIRST: &str = "linear.weight";
/// The name of the vector of updates.
const VECTOR: &str = "params";
/// So many of its values are shown.
const SHOWN: usize = 3;
/// The first rounds compile and warm up.
const ROUNDS_COLD: usize = 2;

/// The bytes of one round in the clear and under masks.
pub(super) struct Seen {
    round: u32,
    /// The first parameters of each site, as they came.
    clear: BTreeMap<NodeId, Vec<f64>>,
    /// The first lanes of each site, as they came.
    masked: BTreeMap<NodeId, Vec<u64>>,
    /// Those of the model that follows from the sum.
    model: Vec<f64>,
}

impl Seen {
    /// Reads the uploads of the last round, which both runs kept in `out`.
    pub(super) fn read(
        (clear, clear_out): (&ExperimentResult, &Path),
        (masked, masked_out): (&ExperimentResult, &Path),
    ) -> Result<Self, CommandError> {
        let of_clear = last(&clear.history, clear_out)?;
        let of_masked = last(&masked.history, masked_out)?;
        let round = masked.history.rounds.last().map_or(0, |round| round.round);
        let clear = each(of_clear, first_values)?;
        let masked_lanes = each(of_masked, first_lanes)?;
        let model = first_values(&masked.params)
            .ok_or_else(|| CommandError::new(FAILED, format!("the model has no `{FIRST}`")))?;
        Ok(Self { round, clear, masked: masked_lanes, model })
    }

    /// The sum of the masked numbers, modulo 2^64: the masks cancel.
    fn sums(&self) -> Vec<u64> {
        let add = |mut sums: Vec<u64>, lanes: &Vec<u64>| {
            sums.iter_mut().zip(lanes).for_each(|(sum, lane)| *sum = sum.wrapping_add(*lane));
            sums
        };
        self.masked.values().fold(vec![0; SHOWN], add)
    }

    pub(super) fn print(&self, printer: &Printer) {
        let Self { round, clear, masked, model } = self;
        let row = |label: String, cells: Vec<String>| [vec![label], cells].concat();
        let head = |label: &str| row(label.to_owned(), vec![String::new(); SHOWN]);
        let values = |values: &[f64]| values.iter().map(|v| format!("{v:.6}")).collect::<Vec<_>>();
        let lanes = |lanes: &[u64]| lanes.iter().map(u64::to_string).collect::<Vec<_>>();
        let mut rows = vec![head("in the clear")];
        rows.extend(clear.iter().map(|(site, seen)| row(site.to_string(), values(seen))));
        rows.push(head("under masks"));
        rows.extend(masked.iter().map(|(site, seen)| row(site.to_string(), lanes(seen))));
        rows.push(row("their sum".into(), lanes(&self.sums())));
        rows.push(row("the model".into(), values(model)));
        printer.line(format!(
            "\nround {round} as the researcher got it, the first {SHOWN} of each site's parameters"
        ));
        let mut columns = Columns::new(2).left(14);
        for _ in 0..SHOWN {
            columns = columns.right(20);
        }
        columns.print(&rows, printer);
        printer.line(
            "masked numbers are random by themselves; added modulo 2^64 the masks cancel, and the \
             model follows from the sum",
        );
    }

    pub(super) fn fields(&self) -> Value {
        // Text: programs read numbers beyond 2^53 as others.
        let text = |lanes: &[u64]| lanes.iter().map(u64::to_string).collect::<Vec<_>>();
        let masked = self.masked.iter().map(|(site, lanes)| (site, text(lanes)));
        json!({
            "round": self.round,
            "parameter": FIRST,
            "clear": self.clear,
            "masked": masked.collect::<BTreeMap<_, _>>(),
            "sum": text(&self.sums()),
            "model": self.model,
        })
    }
}

/// The uploads of the last round, by site.
fn last(history: &History, out: &Path) -> Result<BTreeMap<NodeId, Params>, CommandError> {
    let failed = |text: String| CommandError::new(FAILED, text);
    let folder = Folder::open(out)?.folder(uploads::UPLOADS)?;
    let mut all = BTreeMap::new();
    for (node, record) in history.rounds.last().into_iter().flat_map(|round| &round.nodes) {
        let Some(digest) = &record.upload else {
            return Err(failed(format!("the history has no upload of {node}")));
        };
        all.insert(node.clone(), uploads::load(&folder, digest).map_err(failed)?);
    }
    Ok(all)
}

fn each<T>(
    uploads: BTreeMap<NodeId, Params>,
    first: impl Fn(&Params) -> Option<T>,
) -> Result<BTreeMap<NodeId, T>, CommandError> {
    let read = |(node, params): (NodeId, Params)| match first(&params) {
        Some(first) => Ok((node, first)),
        None => {
            let text = format!("the upload of {node} has neither `{FIRST}` nor `{VECTOR}`");
            Err(CommandError::new(FAILED, text))
        }
    };
    uploads.into_iter().map(read).collect()
}

fn first_values(params: &Params) -> Option<Vec<f64>> {
    let mut values = params.tensor(FIRST)?.floats()?;
    values.truncate(SHOWN);
    (values.len() == SHOWN).then_some(values)
}

fn first_lanes(params: &Params) -> Option<Vec<u64>> {
    let (lanes, _) = params.tensor(VECTOR)?.data().as_chunks();
    let lanes: Vec<u64> = lanes.iter().take(SHOWN).map(|lane| u64::from_le_bytes(*lane)).collect();
    (lanes.len() == SHOWN).then_some(lanes)
}

/// The price of masks, measured in one run of the demo.
pub(super) struct Price {
    clear_ms: f64,
    masked_ms: f64,
    /// Scores on the held-out rows of all sites.
    clear: Option<f64>,
    masked: Option<f64>,
}

impl Price {
    pub(super) fn new(
        (clear, clear_scores): (&ExperimentResult, &Evaluation),
        (masked, masked_scores): (&ExperimentResult, &Evaluation),
    ) -> Self {
        let accuracy = |scores: &Evaluation| scores.metrics.get("accuracy").copied();
        Self {
            clear_ms: round_ms(&clear.history),
            masked_ms: round_ms(&masked.history),
            clear: accuracy(clear_scores),
            masked: accuracy(masked_scores),
        }
    }

    pub(super) fn print(&self, printer: &Printer) {
        let Self { clear_ms, masked_ms, clear, masked } = self;
        let shown = |value: &Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.4}"));
        printer.line(format!(
            "\na round takes {masked_ms:.1} ms under masks and {clear_ms:.1} ms in the clear, {:.2} \
             times (medians); accuracy {} and {}",
            self.ratio(),
            shown(masked),
            shown(clear)
        ));
    }

    fn ratio(&self) -> f64 {
        self.masked_ms / self.clear_ms
    }

    pub(super) fn fields(&self) -> Value {
        json!({
            "round_ms": { "clear": self.clear_ms, "masked": self.masked_ms },
            "ratio": self.ratio(),
            "accuracy": { "clear": self.clear, "masked": self.masked },
        })
    }
}

/// The median of the rounds after the first two, or of all if there are no others.
fn round_ms(history: &History) -> f64 {
    let all: Vec<f64> = history.rounds.iter().map(|round| round.timing.wall_ms).collect();
    let warm = all.get(ROUNDS_COLD..).filter(|warm| !warm.is_empty());
    let mut times = warm.unwrap_or(&all).to_vec();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}
