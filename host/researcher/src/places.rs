//! Where a TOML file gives a key.

use std::ops::Range;

/// The bytes of the key that `keys` lead to, table after table; none if the text does not give it.
pub fn key_range(text: &str, keys: &[&str]) -> Option<Range<usize>> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let (mut table, mut range) = (document.get_ref(), None);
    for (index, wanted) in keys.iter().enumerate() {
        let (key, value) = table.iter().find(|(key, _)| key.get_ref() == wanted)?;
        range = Some(key.span());
        match value.get_ref() {
            toml::de::DeValue::Table(inner) => table = inner,
            _ if index + 1 == keys.len() => {}
            _ => return None,
        }
    }
    range
}

/// The mistake, after the line of the key that it begins with, such as `` `training.epochs` ``.
pub(crate) fn with_line(text: &str, mistake: String) -> String {
    let key = mistake.strip_prefix('`').and_then(|rest| rest.split('`').next());
    let range = key.and_then(|key| key_range(text, &key.split('.').collect::<Vec<_>>()));
    match range.and_then(|range| text.get(..range.start)) {
        Some(before) => format!("line {}: {mistake}", before.matches('\n').count() + 1),
        None => mistake,
    }
}
