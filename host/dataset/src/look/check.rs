//! All mistakes of a dataset by the rules of `[data]`, in one pass: by column, kind and count, with
//! the first places.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use fedwasm_protocol::{ColumnKind, ColumnRule, DataArgs, Encode, Unknown, suggestion};

use super::cells::Cells;
use super::kept::Kept;
use super::number::plain;
use super::scan::{PLACES_MAX, spread, write_cell};
use crate::cell::{Cell, CellRule};
use crate::csv_file::CsvFile;
use crate::renames::{Renames, renamed};
use crate::{Dataset, Error, Format, Place, Volumes, cut, is_index};

/// How many different cells are read once and remembered, of all columns together and of one.
const KNOWN_MAX: usize = 1 << 18;
const KNOWN_OF_COLUMN: (usize, usize) = (8, 1 << 16);
/// The longest of them, in bytes.
const KNOWN_BYTES_MAX: usize = 100;
/// How many different cells a fault names.
const TEXTS_MAX: usize = 10;

/// A dataset against the rules for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Check {
    /// Rows.
    pub n_rows: u64,
    /// Mistakes about columns as a whole: absent ones, for example.
    pub mistakes: Vec<String>,
    /// Rows with more or fewer cells than the header, with line and cells of the first.
    pub n_ragged: u64,
    /// Line and cells of the first of them.
    pub ragged: Vec<(u64, u64)>,
    /// The columns that are used, in the order of the file.
    pub columns: Vec<ColumnCheck>,
}

/// A column against its rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnCheck {
    /// Its name.
    pub name: String,
    /// Its mistakes by kind.
    pub faults: BTreeMap<FaultKind, Fault>,
    /// Missing values that something stands for.
    pub n_imputed: u64,
    /// Values outside of `clip`.
    pub n_clipped: u64,
    /// Texts that a category does not list and reads as `other`.
    pub n_other: u64,
}

/// A kind of mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A target is missing.
    NoTarget,
    /// A value is missing, and nothing stands for it.
    Missing,
    /// A cell is not a finite number.
    NotANumber,
    /// A text is not one of the values of a category or class.
    Unknown,
    /// A cell means neither true nor false.
    NotATruth,
    /// A cell is not a date of the format.
    NotADate,
    /// A value has no logarithm of 1 + x.
    NoLogarithm,
    /// A cell is not UTF-8.
    NotUtf8,
    /// The reader refuses the column; the text is its error.
    Unread,
}

/// Mistakes of one kind in a column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fault {
    /// Cells.
    pub n: u64,
    /// The first different ones, and how often each occurs; empty for missing values.
    pub texts: BTreeMap<String, u64>,
    /// The first places.
    pub places: Vec<Place>,
}

impl Check {
    /// Checks a dataset; the format is found by its content if none is given, and `volumes` says how
    /// volumes are read. `data` has the names that it has after `renames`.
    ///
    /// # Errors
    /// Any [`Error`] about the file as a whole.
    pub fn of(
        path: &Path,
        format: Option<Format>,
        volumes: &Volumes,
        renames: &Renames,
        data: &DataArgs,
    ) -> Result<Self, Error> {
        let format = match format {
            Some(format) => format,
            None => Format::detect(path)?,
        };
        match format {
            Format::Csv if volumes.is_default() => csv(path, renames, data),
            format => {
                let dataset = Dataset::open_with(path, Some(format), volumes)?.renamed(renames)?;
                Ok(by_column(&dataset, data))
            }
        }
    }

    /// Mistakes, each cell and row counted.
    pub fn n_mistakes(&self) -> u64 {
        let faults = self.columns.iter().flat_map(|column| column.faults.values());
        self.mistakes.len() as u64 + self.n_ragged + faults.map(|fault| fault.n).sum::<u64>()
    }
}

/// The columns that are used, as places of the file, and whether each is a target; mistakes about
/// columns go to `mistakes`.
fn used<'a>(names: &[&str], data: &'a DataArgs, mistakes: &mut Vec<String>) -> Vec<(usize, bool)> {
    let places: HashMap<&str, usize> = names.iter().copied().zip(0..).collect();
    let set = |names: Vec<&'a String>| -> BTreeSet<&'a str> {
        names.into_iter().map(String::as_str).collect()
    };
    let targets = set(data.target.names());
    let inputs = data.inputs.as_ref().map(|inputs| set(inputs.names()));
    let is_dropped =
        |name: &str| data.columns.get(name).is_some_and(|rule| rule.kind == ColumnKind::Drop);
    let asked = targets.iter().copied().chain(inputs.iter().flatten().copied());
    let ruled = data.columns.iter().map(|(name, _)| &**name).filter(|name| !is_dropped(name));
    let mut absent = BTreeSet::new();
    for name in asked.chain(ruled) {
        if !places.contains_key(name) && absent.insert(name) {
            let hint = match suggestion(names, name) {
                Some(near) => format!("; did you mean `{}`?", cut(near)),
                None => String::new(),
            };
            mistakes.push(format!("there is no column `{}`{hint}", cut(name)));
        }
    }
    let mut columns = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        let is_target = targets.contains(*name);
        let is_input = match &inputs {
            Some(inputs) => inputs.contains(*name),
            None => !is_target && !is_dropped(name),
        };
        if is_input && inputs.is_none() && is_index(name) {
            mistakes.push(format!(
                "`{}` is an index that pandas wrote; write `\"{}\" = \"drop\"` below \
                 [data.columns]",
                cut(name),
                cut(name)
            ));
        } else if is_target || is_input {
            columns.insert(at, is_target);
        }
    }
    if columns.values().all(|is_target| *is_target) {
        mistakes.push("no inputs are left".to_owned());
    }
    columns.into_iter().collect()
}

/// A column that is checked.
struct Checked {
    /// Its place in the file.
    at: usize,
    is_target: bool,
    /// Whether numbers have a decimal point and no rule for missing values comes before.
    is_plain: bool,
    rule: Option<CellRule>,
    known: Kept<Outcome>,
    n_known_max: usize,
    found: ColumnCheck,
}

/// A cell as its rule reads it.
#[derive(Clone, Copy)]
enum Outcome {
    Value(f64),
    Missing,
    Wrong(FaultKind),
}

/// The columns that are used, none of them checked; mistakes about columns go to `mistakes`.
fn checked(names: &[&str], data: &DataArgs, mistakes: &mut Vec<String>) -> Vec<Checked> {
    let missing: HashSet<String> =
        data.missing_words().iter().map(|word| word.trim().to_owned()).collect();
    let has_numbers = missing.iter().any(|word| plain(word.as_bytes()).is_some());
    let missing = Arc::new(missing);
    let column = |(at, is_target): (usize, bool)| {
        let rule = data.columns.get(names[at]);
        Checked {
            at,
            is_target,
            is_plain: rule.is_none_or(|rule| is_plain(rule) && !has_numbers),
            rule: rule.map(|rule| CellRule::new(rule, Arc::clone(&missing))),
            known: Kept::default(),
            n_known_max: (KNOWN_MAX / names.len()).clamp(KNOWN_OF_COLUMN.0, KNOWN_OF_COLUMN.1),
            found: ColumnCheck { name: names[at].to_owned(), ..ColumnCheck::default() },
        }
    };
    used(names, data, mistakes).into_iter().map(column).collect()
}

/// Checks a CSV file, block by block.
fn csv(path: &Path, renames: &Renames, data: &DataArgs) -> Result<Check, Error> {
    let header = CsvFile::header(path)?;
    let names: Vec<&str> = header.columns().iter().map(String::as_str).collect();
    let names = renamed(path, &names, renames)?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut check = Check::default();
    let mut columns = checked(&names, data, &mut check.mistakes);
    let mut cells = Cells::open(path, header.delimiter(), names.len())?;
    let (mut now, mut next) = (cells.block(), cells.block());
    let mut is_there = cells.next(&mut now)?;
    while is_there {
        let rows = now.rows();
        let ahead = spread(
            || cells.next(&mut next),
            &mut columns,
            |_, column| {
                for (cell, line) in rows.column(column.at).zip(rows.lines()) {
                    column.take(cell, Place::Line(*line));
                }
            },
        );
        check.n_rows += rows.lines().len() as u64;
        check.n_ragged += rows.ragged().len() as u64;
        let places = PLACES_MAX.saturating_sub(check.ragged.len());
        check.ragged.extend(rows.ragged().iter().take(places));
        is_there = ahead?;
        std::mem::swap(&mut now, &mut next);
    }
    if check.n_rows + check.n_ragged == 0 {
        return Err(Error::NoRows { path: path.to_owned() });
    }
    check.columns = columns.into_iter().map(|column| column.found).collect();
    Ok(check)
}

impl Checked {
    fn take(&mut self, cell: &[u8], place: Place) {
        // Plain numbers are read faster than they are looked up.
        if self.is_plain
            && let Some((value, _)) = plain(cell)
        {
            return self.count(Outcome::Value(value), cell, place);
        }
        let outcome = match self.known.get_mut(cell) {
            Some(outcome) => *outcome,
            None => {
                let outcome = self.read(cell);
                if cell.len() <= KNOWN_BYTES_MAX && self.known.len() < self.n_known_max {
                    self.known.insert(cell, outcome);
                }
                outcome
            }
        };
        self.count(outcome, cell, place);
    }

    fn read(&self, cell: &[u8]) -> Outcome {
        match std::str::from_utf8(cell) {
            Ok(text) => self.outcome(Cell::Text(text.trim())),
            Err(_) => Outcome::Wrong(FaultKind::NotUtf8),
        }
    }

    fn outcome(&self, cell: Cell<'_>) -> Outcome {
        let Some(rule) = &self.rule else {
            return match cell {
                Cell::Missing | Cell::Text("") => Outcome::Missing,
                Cell::Number(value) if (value as f32).is_finite() => Outcome::Value(value),
                Cell::Boolean(value) => Outcome::Value(f64::from(u8::from(value))),
                _ => Outcome::Wrong(FaultKind::NotANumber),
            };
        };
        match rule.value(cell) {
            Ok(Some(value)) => Outcome::Value(value),
            Ok(None) => Outcome::Missing,
            Err(_) => Outcome::Wrong(match rule.rule().kind {
                ColumnKind::Category { .. } | ColumnKind::Class { .. } => FaultKind::Unknown,
                ColumnKind::Boolean { .. } => FaultKind::NotATruth,
                ColumnKind::Date { .. } => FaultKind::NotADate,
                _ => FaultKind::NotANumber,
            }),
        }
    }

    fn count(&mut self, outcome: Outcome, cell: &[u8], place: Place) {
        let rule = self.rule.as_ref().map(CellRule::rule);
        let value = match outcome {
            Outcome::Wrong(kind) => return self.fault(kind, cell, place),
            Outcome::Missing if self.is_target => {
                return self.fault(FaultKind::NoTarget, cell, place);
            }
            Outcome::Missing if rule.is_none_or(|rule| !fills(rule)) => {
                return self.fault(FaultKind::Missing, cell, place);
            }
            Outcome::Missing => {
                self.found.n_imputed += 1;
                return;
            }
            Outcome::Value(value) => value,
        };
        let Some(ColumnRule { kind, clip, log1p, .. }) = rule else { return };
        let clipped = clip.map_or(value, |[low, high]| value.clamp(low, high));
        self.found.n_clipped += u64::from(clipped != value);
        if let ColumnKind::Category { values, unknown: Unknown::Other, .. } = kind {
            self.found.n_other += u64::from(value == values.len() as f64);
        }
        if *log1p && clipped <= -1.0 {
            self.fault(FaultKind::NoLogarithm, cell, place);
        }
    }

    fn fault(&mut self, kind: FaultKind, cell: &[u8], place: Place) {
        let fault = self.found.faults.entry(kind).or_default();
        fault.n += 1;
        if fault.places.len() < PLACES_MAX {
            fault.places.push(place);
        }
        if matches!(kind, FaultKind::Missing | FaultKind::NoTarget) {
            return;
        }
        let text = cut(&String::from_utf8_lossy(cell));
        if let Some(n) = fault.texts.get_mut(&text) {
            *n += 1;
        } else if fault.texts.len() < TEXTS_MAX {
            fault.texts.insert(text, 1);
        }
    }
}

/// Whether something stands for a missing value: of a one-hot category, its flag is enough.
fn fills(rule: &ColumnRule) -> bool {
    let one_hot = matches!(rule.kind, ColumnKind::Category { encode: Encode::OneHot, .. });
    rule.impute.is_some() || (rule.flag_missing && one_hot)
}

/// Whether a rule reads numbers with a decimal point.
fn is_plain(rule: &ColumnRule) -> bool {
    matches!(rule.kind, ColumnKind::Number { decimal: '.', thousands: None })
}

/// Checks a dataset that is not a text, column by column.
fn by_column(dataset: &Dataset, data: &DataArgs) -> Check {
    let fields = dataset.fields();
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let mut check = Check { n_rows: dataset.n_rows(), ..Check::default() };
    for mut column in checked(&names, data, &mut check.mistakes) {
        let (at, mut text) = (column.at, String::new());
        let error = (0..dataset.n_blocks()).find_map(|block| {
            if !fields[at].shape.is_empty() {
                return dataset.read(block, &[at]).err();
            }
            let read = dataset.each(block, at, &mut |place, cell| {
                write_cell(cell, &mut text);
                let wrong = Outcome::Wrong(FaultKind::NotANumber);
                let outcome = cell.map_or(wrong, |cell| column.outcome(cell));
                column.count(outcome, text.as_bytes(), place);
                Ok(())
            });
            read.err()
        });
        if let Some(error) = error {
            let fault = Fault { n: 1, texts: [(error.to_string(), 1)].into(), places: vec![] };
            column.found.faults.insert(FaultKind::Unread, fault);
        }
        check.columns.push(column.found);
    }
    check
}
