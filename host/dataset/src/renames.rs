//! Names of columns, arrays, modalities and class folders as a federation knows them, where a site's
//! files have others (Fed-BioMed's data loading plan).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use crate::{Error, Field, cut};

/// New names by old ones.
pub type Renames = BTreeMap<String, String>;

/// The fields of a dataset by the names that all see, in the order of the file.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) fields: Vec<Field>,
    /// The place of each field.
    pub(crate) places: HashMap<String, usize>,
    /// The names that differ from those of the file, by the latter, for messages.
    new: HashMap<String, String>,
}

impl Names {
    /// As the file has them.
    pub(crate) fn of_file(fields: Vec<Field>) -> Self {
        let places = fields.iter().enumerate().map(|(at, field)| (field.name.clone(), at));
        Self { places: places.collect(), fields, new: HashMap::new() }
    }

    /// These with others in their place.
    ///
    /// # Errors
    /// As [`renamed`].
    pub(crate) fn renamed(&self, path: &Path, renames: &Renames) -> Result<Self, Error> {
        let old: Vec<&str> = self.fields.iter().map(|field| field.name.as_str()).collect();
        let names = renamed(path, &old, renames)?;
        let pairs = old.iter().zip(&names).filter(|(old, new)| *old != new);
        // Messages repeat the beginning of a long name.
        let new = pairs.flat_map(|(old, new)| [(cut(old), cut(new)), ((*old).into(), cut(new))]);
        let new = new.collect();
        let field = |(field, name): (&Field, String)| Field { name, ..field.clone() };
        let fields = self.fields.iter().zip(names).map(field).collect();
        Ok(Self { new, ..Self::of_file(fields) })
    }

    /// An error that was made with the names of the file, with names that can be printed.
    pub(crate) fn told(&self, mut error: Error) -> Error {
        if let Some(column) = error.column_mut() {
            *column = cut(self.new.get(column).unwrap_or(column));
        }
        error
    }
}

/// The names of a file, some of them replaced.
///
/// # Errors
/// [`Error::MissingColumn`] for a name that the file does not have; [`Error::Unsupported`] for a new
/// name that is empty, that two get, or that another field has already.
pub(crate) fn renamed(path: &Path, names: &[&str], of: &Renames) -> Result<Vec<String>, Error> {
    let places: HashSet<&str> = names.iter().copied().collect();
    if let Some(old) = of.keys().find(|old| !places.contains(old.as_str())) {
        let hint = match fedwasm_protocol::suggestion(names, old) {
            Some(near) => format!("did you mean `{}`?", cut(near)),
            None => format!("those to rename are {}", shown(names)),
        };
        return Err(Error::MissingColumn { path: path.to_owned(), column: cut(old), hint });
    }
    let wrong = |what: String| Err(Error::Unsupported { path: path.to_owned(), what });
    let mut from: HashMap<&str, &str> = HashMap::new();
    for (old, new) in of {
        let (old, new) = (old.as_str(), new.as_str());
        if new.is_empty() || new.contains(char::is_control) {
            return wrong(format!("`{}` is renamed to {new:?}, which is not a name", cut(old)));
        }
        if let Some(other) = from.insert(new, old) {
            let (other, old, new) = (cut(other), cut(old), cut(new));
            return wrong(format!(
                "`{other}` and `{old}` are both renamed to `{new}`; names must differ"
            ));
        }
        if places.contains(new) && !of.contains_key(new) {
            let (old, new) = (cut(old), cut(new));
            return wrong(format!(
                "`{old}` is renamed to `{new}`, which is there already; rename that one, too, or \
                 choose another name"
            ));
        }
    }
    let name = |name: &&str| of.get(*name).map_or_else(|| (*name).to_owned(), String::clone);
    Ok(names.iter().map(name).collect())
}

/// The first names.
pub(crate) fn shown(names: &[&str]) -> String {
    let known: Vec<String> = names.iter().take(20).map(|name| cut(name)).collect();
    let more = if names.len() > known.len() { ", ..." } else { "" };
    format!("{}{more}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let pair = |(old, new): &(&str, &str)| ((*old).to_owned(), (*new).to_owned());
        let renames: Renames = pairs.iter().map(pair).collect();
        renamed("d.csv".as_ref(), &["alter", "b", "c"], &renames).map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_replaced_where_they_are_and_may_be_swapped() {
        assert_eq!(of(&[]).unwrap(), ["alter", "b", "c"]);
        assert_eq!(of(&[("alter", "age")]).unwrap(), ["age", "b", "c"]);
        assert_eq!(of(&[("b", "c"), ("c", "b")]).unwrap(), ["alter", "c", "b"]);
        assert_eq!(of(&[("b", "b")]).unwrap(), ["alter", "b", "c"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (pairs, expected) in [
            (&[("altr", "age")][..], "there is no column `altr`; did you mean `alter`?"),
            (&[("zzzzz", "age")], "`zzzzz`; those to rename are alter, b, c"),
            (&[("b", "x"), ("c", "x")], "`b` and `c` are both renamed to `x`; names must differ"),
            (&[("b", "c")], "`b` is renamed to `c`, which is there already; rename that one"),
            (&[("b", "")], "`b` is renamed to \"\", which is not a name"),
            (&[("b", "a\n")], "`b` is renamed to \"a\\n\", which is not a name"),
        ] {
            let error = of(pairs).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
