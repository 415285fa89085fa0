//! The fields of a dataset that is read by rules of `[data.columns]`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use fedwasm_protocol::{ColumnKind, ColumnRules};

use crate::cell::{Cell, CellRule, Mismatch};
use crate::{Element, Error, Field, Place, Values, cut};

/// Fields in the order of the file, without those that are dropped.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) fields: Vec<Field>,
    /// The place of each field.
    pub(crate) places: HashMap<String, usize>,
    /// The field of the file that each is read from, and its rule.
    columns: Vec<(usize, Option<CellRule>)>,
}

/// A field of the file, and the rule that reads it.
pub(crate) type Wanted<'a> = (usize, Option<&'a CellRule>);

impl View {
    /// Puts the fields of a file and rules together.
    ///
    /// # Errors
    /// [`Error::Unsupported`]: a rule is for a field of several values a row.
    pub(crate) fn new(
        path: &Path,
        source: &[Field],
        rules: &ColumnRules,
        missing: &[String],
    ) -> Result<Self, Error> {
        let missing = Arc::new(missing.iter().map(|word| word.trim().to_owned()).collect());
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for (at, field) in source.iter().enumerate() {
            let Some(rule) = rules.get(&field.name) else {
                fields.push(field.clone());
                columns.push((at, None));
                continue;
            };
            if rule.kind == ColumnKind::Drop {
                continue;
            }
            if !field.shape.is_empty() {
                let (name, n) = (cut(&field.name), field.width());
                let what = format!(
                    "`{name}` has {n} values a row; rules of [data.columns] are for one value a \
                     row, or say \"drop\""
                );
                return Err(Error::Unsupported { path: path.to_owned(), what });
            }
            let shape = match rule.width() {
                1 => vec![],
                width => vec![width as u64],
            };
            fields.push(Field { name: field.name.clone(), element: Element::Float64, shape });
            columns.push((at, Some(CellRule::new(rule, Arc::clone(&missing)))));
        }
        let places = fields.iter().enumerate().map(|(at, field)| (field.name.clone(), at));
        Ok(Self { places: places.collect(), fields, columns })
    }

    /// The rule of a field.
    pub(crate) fn rule(&self, field: usize) -> Option<&CellRule> {
        self.columns.get(field).and_then(|(_, rule)| rule.as_ref())
    }

    /// The fields of the file that some fields are read from.
    pub(crate) fn wanted(&self, fields: &[usize]) -> Vec<Wanted<'_>> {
        fields.iter().map(|at| (self.columns[*at].0, self.rule(*at))).collect()
    }
}

/// Applies rules to columns of numbers, which a format without texts gives.
pub(crate) fn apply(
    path: &Path,
    columns: Vec<Values>,
    wanted: &[Wanted<'_>],
    first_row: u64,
    name: impl Fn(usize) -> String,
) -> Result<Vec<Values>, Error> {
    let column = |(values, (at, rule)): (Values, &Wanted<'_>)| {
        let Some(rule) = rule else { return Ok(values) };
        let (mut all, mut wrong, mut row) = (Vec::with_capacity(values.len()), None, 0u64);
        values.each(0..values.len(), |value| {
            if let Err(mismatch) = rule.push(Cell::Number(value), &mut all) {
                wrong.get_or_insert((row, mismatch));
            }
            row += 1;
        });
        match wrong {
            None => Ok(Values::Float64(all)),
            Some((row, mismatch)) => {
                Err(mismatched(path, Place::Row(first_row + row), name(*at), mismatch))
            }
        }
    };
    columns.into_iter().zip(wanted).map(column).collect()
}

/// The error of a cell that its rule does not read.
pub(crate) fn mismatched(path: &Path, place: Place, column: String, of: Mismatch) -> Error {
    let Mismatch { got, expected } = of;
    Error::Mismatch { path: path.to_owned(), place, column: cut(&column), got, expected }
}
