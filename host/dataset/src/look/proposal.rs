//! The rules that would make numbers of a dataset's columns, as a person would write them.

use std::collections::BTreeSet;
use std::fmt;

use fedwasm_protocol::{ColumnKind, ColumnRule, Day, Encode, Impute, Unknown};
use fedwasm_protocol::{MISSING_WORDS, WORDS_MAX};

use super::{ColumnLook, Look, LookKind};

/// Names of columns that are often predicted.
const TARGETS: [&str; 8] =
    ["target", "outcome", "label", "class", "diagnosis", "y", "response", "result"];
/// The most whole numbers of a target that are taken for classes.
const CLASSES_MAX: usize = 10;
/// Of a table with more columns, plain numbers are left out.
const LISTED_MAX: usize = 100;
/// Words of a boolean that needs no lists.
const PLAIN_WORDS: [&str; 6] = ["true", "yes", "1", "false", "no", "0"];

/// A proposed `[data]` with its `[data.columns]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The column to predict; none if no column can be.
    pub target: Option<String>,
    /// Whether the target is a guess.
    pub is_guess: bool,
    /// The words that mean that a value is missing, if they are more than the usual ones.
    pub missing: Option<Vec<String>>,
    /// Columns and their rules in the order of the file; empty if every column is read as it is.
    pub columns: Vec<(String, ColumnRule)>,
    /// How many columns are plain numbers and are left out of the rules.
    pub n_plain: usize,
    /// Reasons why it cannot be used as it is.
    pub obstacles: Vec<String>,
}

impl Look {
    /// Proposes rules for all columns, with this target or a guess.
    pub fn propose(&self, target: Option<&str>) -> Proposal {
        let named = target.and_then(|name| self.columns.iter().find(|column| column.name == name));
        let target = named.or_else(|| if target.is_none() { self.guess() } else { None });
        let words = self.odd_words();
        let mut proposal = Proposal {
            target: target.map(|column| column.name.clone()),
            is_guess: named.is_none(),
            missing: None,
            columns: Vec::new(),
            n_plain: 0,
            obstacles: Vec::new(),
        };
        let mut rules = Vec::new();
        for column in &self.columns {
            let rule = if Some(&column.name) == proposal.target.as_ref() {
                column.target_rule(&mut proposal.obstacles)
            } else {
                column.rule()
            };
            let mends = column.mends();
            proposal.obstacles.extend(mends);
            rules.extend(rule.map(|rule| (column.name.clone(), rule)));
        }
        let is_plain = |rule: &ColumnRule| *rule == ColumnRule::of(PLAIN);
        let n_plain = rules.iter().filter(|(_, rule)| is_plain(rule)).count();
        if n_plain == rules.len() || self.columns.len() > LISTED_MAX {
            rules.retain(|(_, rule)| !is_plain(rule));
            proposal.n_plain = n_plain;
        }
        proposal.columns = rules;
        if !words.is_empty() && !proposal.columns.is_empty() {
            let usual = MISSING_WORDS.map(str::to_owned).into_iter();
            proposal.missing = Some(usual.chain(words).collect());
        }
        proposal
    }

    /// The column with the name of a target, or the last one that can be one.
    fn guess(&self) -> Option<&ColumnLook> {
        let named =
            |name: &&str| self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
        let can_be = |column: &&ColumnLook| {
            matches!(
                column.kind,
                LookKind::Number { .. } | LookKind::Boolean { .. } | LookKind::Category
            )
        };
        let found = TARGETS.iter().find_map(named).filter(can_be);
        found.or_else(|| self.columns.iter().rev().find(can_be))
    }

    /// Texts among numbers and dates: words for missing values, as many as a file may name.
    fn odd_words(&self) -> BTreeSet<String> {
        let texts = self.columns.iter().flat_map(|column| &column.odd);
        texts.map(|odd| odd.text.clone()).take(WORDS_MAX - MISSING_WORDS.len()).collect()
    }
}

/// A number as it is read without a rule.
const PLAIN: ColumnKind = ColumnKind::Number { decimal: '.', thousands: None };

impl ColumnLook {
    /// The rule of an input; none of an array.
    fn rule(&self) -> Option<ColumnRule> {
        let values = self.listed();
        let (kind, impute) = match &self.kind {
            LookKind::Number { decimal, thousands } => {
                let (decimal, thousands) = (*decimal, *thousands);
                (ColumnKind::Number { decimal, thousands }, Impute::Median)
            }
            LookKind::Date { format } => {
                let (since, format) = (Day::new(2000, 1, 1)?, format.clone());
                (ColumnKind::Date { since, format }, Impute::Median)
            }
            LookKind::Boolean { yes, no } => (boolean(yes, no), Impute::MostFrequent),
            // One text here may be another one at another site.
            LookKind::Category if values.len() > 1 => {
                let (unknown, encode) = (Unknown::Refuse, Encode::OneHot);
                (ColumnKind::Category { values, unknown, encode }, Impute::MostFrequent)
            }
            LookKind::Array { .. } => return None,
            _ => return Some(ColumnRule::of(ColumnKind::Drop)),
        };
        let impute = (self.n_missing + self.n_odd > 0).then_some(impute);
        Some(ColumnRule { impute, ..ColumnRule::of(kind) })
    }

    /// The rule of the target; why it has none goes to `obstacles`.
    fn target_rule(&self, obstacles: &mut Vec<String>) -> Option<ColumnRule> {
        let values = self.listed();
        let n_missing = self.n_missing + self.odd.iter().map(|odd| odd.n).sum::<u64>();
        if n_missing > 0 {
            let name = &self.name;
            obstacles.push(format!(
                "`{name}` is the target and is missing in {n_missing} rows; take these rows out"
            ));
        }
        let is_class = match &self.kind {
            LookKind::Number { .. } => {
                let is_whole = |value: &String| value.parse::<u32>().is_ok();
                values.len() <= CLASSES_MAX && values.iter().all(is_whole)
            }
            LookKind::Boolean { yes, no } => yes.len() == 1 && no.len() == 1,
            LookKind::Category | LookKind::Id | LookKind::Text => true,
            _ => false,
        };
        match (is_class, values.len()) {
            (true, 2..) => Some(ColumnRule::of(ColumnKind::Class { values })),
            _ => match self.rule()? {
                ColumnRule { kind: ColumnKind::Drop, .. } => {
                    let name = &self.name;
                    obstacles.push(format!(
                        "`{name}` is the target, and no rule makes numbers of its cells"
                    ));
                    None
                }
                rule => Some(ColumnRule::of(rule.kind)),
            },
        }
    }

    /// The values of a category or class in order, numbers by size, false before true.
    fn listed(&self) -> Vec<String> {
        let mut values: Vec<String> = self.values.keys().cloned().collect();
        if values.iter().all(|value| value.parse::<f64>().is_ok()) {
            let number = |value: &String| value.parse::<f64>().unwrap_or(f64::NAN);
            values.sort_by(|a, b| number(a).total_cmp(&number(b)));
        }
        if let LookKind::Boolean { no, .. } = &self.kind {
            values.sort_by_key(|value| !no.contains(value));
        }
        values
    }

    /// Cells that no rule reads.
    fn mends(&self) -> Option<String> {
        let n = self.n_odd - self.odd.iter().map(|odd| odd.n).sum::<u64>();
        let kind = match self.kind {
            LookKind::Number { .. } => "numbers",
            LookKind::Date { .. } => "dates",
            _ => return None,
        };
        let name = &self.name;
        (n > 0).then(|| format!("`{name}` has {n} cells that are not written as its other {kind}"))
    }
}

fn boolean(yes: &[String], no: &[String]) -> ColumnKind {
    let is_plain = |word: &String| PLAIN_WORDS.contains(&word.to_lowercase().as_str());
    if yes.iter().chain(no).all(is_plain) {
        return plain_boolean();
    }
    ColumnKind::Boolean { yes: yes.to_vec(), no: no.to_vec() }
}

fn plain_boolean() -> ColumnKind {
    let (yes, no) = PLAIN_WORDS.split_at(3);
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    ColumnKind::Boolean { yes: owned(yes), no: owned(no) }
}

/// As a file has it.
impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[data]")?;
        match &self.target {
            Some(target) => {
                let remark = if self.is_guess { "  # a guess; --target names another" } else { "" };
                writeln!(f, "target = {}{remark}", quoted(target))?;
            }
            None => writeln!(f, "# target = \"COLUMN\"  # the column to predict")?,
        }
        if let Some(words) = &self.missing {
            let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            writeln!(f, "missing = [{}]", words.join(", "))?;
        }
        if self.columns.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n[data.columns]")?;
        if self.n_plain > 0 {
            writeln!(f, "# {} columns are plain numbers and need no rule", self.n_plain)?;
        }
        let key = |name: &str| match name {
            "" => quoted(name),
            name if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) => {
                name.to_owned()
            }
            name => quoted(name),
        };
        let width = self.columns.iter().map(|(name, _)| key(name).chars().count()).max();
        let width = width.unwrap_or(0).min(40);
        for (name, rule) in &self.columns {
            writeln!(f, "{:width$} = {}", key(name), written(rule))?;
        }
        Ok(())
    }
}

/// A rule as a person writes it: the usual words of a boolean are left out.
fn written(rule: &ColumnRule) -> String {
    match (&rule.kind, &rule.impute) {
        (kind, None) if *kind == plain_boolean() => "\"boolean\"".to_owned(),
        (kind, Some(Impute::MostFrequent)) if *kind == plain_boolean() => {
            "{ kind = \"boolean\", impute = \"most-frequent\" }".to_owned()
        }
        _ => rule.to_string(),
    }
}

/// A text as TOML and JSON write it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted += &format!("\\u{:04X}", c as u32),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
