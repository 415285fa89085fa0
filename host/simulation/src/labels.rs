//! The labels of rows that rules of splits ask for: classes of the target, values of a column.

use std::collections::BTreeMap;

use fedwasm_dataset::{Dataset, Key};
use fedwasm_protocol::DataArgs;

use crate::Error;

/// The most classes: a target with more is a number, and not a class.
const CLASSES_MAX: usize = 1_000;

/// The class of each row, if the only target is one. The rows of the whole file are read.
///
/// # Errors
/// Those of reading.
pub(crate) fn classes(dataset: &Dataset, data: &DataArgs) -> Result<Option<Vec<i64>>, Error> {
    let targets = data.target.names();
    let [target] = targets[..] else { return Ok(None) };
    let dataset = dataset.with_rules(&data.columns, &data.missing_words())?;
    let field = dataset.position(target)?;
    if dataset.fields()[field].width() != 1 {
        return Ok(None);
    }
    let (mut classes, mut all_whole) = (Vec::with_capacity(dataset.n_rows() as usize), true);
    for block in 0..dataset.n_blocks() {
        let read = dataset.read(block, &[field])?;
        for values in &read.columns {
            values.each(0..values.len(), |value| {
                // Beyond it float64 does not hold every whole number.
                all_whole &= value.fract() == 0.0 && value.abs() < 9e15;
                classes.push(value as i64);
            });
        }
    }
    let mut known = BTreeMap::new();
    for class in &classes {
        *known.entry(*class).or_insert(0u64) += 1;
        if known.len() > CLASSES_MAX {
            return Ok(None);
        }
    }
    Ok(all_whole.then_some(classes))
}

/// A value as a text.
pub(crate) fn text(key: &Key) -> String {
    match key {
        Key::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Key::Number(_) => key.as_number().map_or_else(String::new, |number| number.to_string()),
    }
}
