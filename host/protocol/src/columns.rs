//! Names of columns that are too many for a message: they lie in the repository.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{DatasetEntry, FieldSelection};

/// The most bytes of names and shapes of a dataset, encoded.
pub const COLUMNS_BYTES_MAX: u64 = 16 << 20;
/// The most columns of a dataset.
pub const COLUMNS_MAX: usize = 65_536;
/// The most axes of a column.
const AXES_MAX: usize = 8;

/// Columns and shapes of a dataset, see [`DatasetEntry`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    #[serde(deserialize_with = "at_most::<COLUMNS_MAX, _, _>")]
    columns: Vec<String>,
    /// The shapes of columns with more than one number a row.
    #[serde(deserialize_with = "at_most::<COLUMNS_MAX, _, _>")]
    shapes: Vec<Shape>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    column: String,
    #[serde(deserialize_with = "at_most::<AXES_MAX, _, _>")]
    axes: Vec<u64>,
}

/// The fields of `data.inputs`: the names one after the other, and how many belong to each input
/// of the plan if it is a table.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inputs {
    #[serde(deserialize_with = "at_most::<COLUMNS_MAX, _, _>")]
    names: Vec<String>,
    #[serde(deserialize_with = "at_most::<COLUMNS_MAX, _, _>")]
    inputs: Vec<String>,
    #[serde(deserialize_with = "at_most::<COLUMNS_MAX, _, _>")]
    lens: Vec<u32>,
}

impl Columns {
    /// Takes them out of an entry, which then has none.
    pub fn take(entry: &mut DatasetEntry) -> Self {
        let columns = std::mem::take(&mut entry.columns);
        let shapes = std::mem::take(&mut entry.shapes).into_iter();
        let shapes = shapes.map(|(column, axes)| Shape { column, axes }).collect();
        Self { columns, shapes }
    }

    /// Puts them into an entry.
    pub fn put(self, entry: &mut DatasetEntry) {
        entry.columns = self.columns;
        entry.shapes = self.shapes.into_iter().map(|shape| (shape.column, shape.axes)).collect();
    }

    /// Encodes them as they lie in the repository.
    ///
    /// # Errors
    /// A text, if there are more than [`COLUMNS_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        encode(self)
    }

    /// Decodes the output of [`Columns::encode`].
    ///
    /// # Errors
    /// A text about the mistake in the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        decode(bytes)
    }
}

impl DatasetEntry {
    /// About how many bytes its columns and shapes take in a message.
    pub fn columns_bytes(&self) -> usize {
        let columns = self.columns.iter().map(|column| column.len() + 5).sum::<usize>();
        let shape = |(name, shape): (&String, &Vec<u64>)| name.len() + 9 * shape.len() + 10;
        columns + self.shapes.iter().map(shape).sum::<usize>()
    }
}

impl FieldSelection {
    /// Encodes names of inputs as they lie in the repository.
    ///
    /// # Errors
    /// A text, if there are more than [`COLUMNS_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        let names = self.names().into_iter().cloned().collect();
        let (inputs, lens) = match self {
            Self::Table(table) => {
                table.iter().map(|(name, of)| (name.clone(), of.len() as u32)).unzip()
            }
            _ => (Vec::new(), Vec::new()),
        };
        encode(&Inputs { names, inputs, lens })
    }

    /// Decodes the output of [`FieldSelection::encode`]; one name comes back as a list.
    ///
    /// # Errors
    /// A text about the mistake in the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let Inputs { names, inputs, lens } = decode(bytes)?;
        let total: u64 = lens.iter().map(|len| u64::from(*len)).sum();
        match (inputs.is_empty(), inputs.len() == lens.len() && total == names.len() as u64) {
            (true, _) if lens.is_empty() && !names.is_empty() => Ok(Self::List(names)),
            (false, true) => {
                let mut names = names.into_iter();
                let of = |(name, len): (String, u32)| {
                    (name, names.by_ref().take(len as usize).collect())
                };
                let table: BTreeMap<String, Vec<String>> =
                    inputs.into_iter().zip(lens).map(of).collect();
                Ok(Self::Table(table))
            }
            _ => Err("the column names belong to no input".into()),
        }
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    let bytes = rmp_serde::to_vec_named(value).map_err(|error| error.to_string())?;
    let n_bytes = bytes.len();
    if n_bytes as u64 > COLUMNS_BYTES_MAX {
        Err(format!(
            "the column names have {n_bytes} bytes, at most {COLUMNS_BYTES_MAX} are allowed"
        ))
    } else {
        Ok(bytes)
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    rmp_serde::from_slice(bytes)
        .map_err(|error| format!("the column names cannot be read: {error}"))
}

/// Reads a list of at most so many: elements take more room here than they took on their way.
pub(crate) fn at_most<'de, const N: usize, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    struct AtMost<T, const N: usize>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for AtMost<T, N> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "a list of at most {N}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(element) = from.next_element()? {
                if list.len() == N {
                    return Err(serde::de::Error::invalid_length(N + 1, &self));
                }
                list.push(element);
            }
            Ok(list)
        }
    }
    from.deserialize_seq(AtMost::<T, N>(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_selections_come_back_as_they_were() {
        let mut entry = DatasetEntry {
            dataset_id: "d".parse().unwrap(),
            tags: vec!["t".into()],
            n_rows: 3,
            columns: (0..20_000).map(|n| format!("gene_{n}")).collect(),
            shapes: [("gene_7".to_owned(), vec![2, 3])].into(),
        };
        let whole = entry.clone();
        assert!(whole.columns_bytes() > crate::MESSAGE_BYTES_MAX);
        let bytes = Columns::take(&mut entry).encode().unwrap();
        assert!(entry.columns.is_empty() && entry.columns_bytes() == 0);
        Columns::decode(&bytes).unwrap().put(&mut entry);
        assert_eq!(entry, whole);
        let (first, last) = whole.columns.split_at(7_000);
        let table = [("b".to_owned(), first.to_vec()), ("a".to_owned(), last.to_vec())].into();
        for selection in [FieldSelection::List(whole.columns.clone()), FieldSelection::Table(table)]
        {
            assert_eq!(FieldSelection::decode(&selection.encode().unwrap()).unwrap(), selection);
        }
    }

    #[test]
    fn what_is_something_else_or_too_much_is_an_error() {
        assert!(Columns::decode(b"x").is_err() && FieldSelection::decode(&[]).is_err());
        let inputs = |names: usize, inputs: &[&str], lens: &[u32]| {
            let names = (0..names).map(|n| n.to_string()).collect();
            let inputs = inputs.iter().map(|name| (*name).to_owned()).collect();
            let bytes = encode(&Inputs { names, inputs, lens: lens.to_vec() }).unwrap();
            FieldSelection::decode(&bytes)
        };
        assert!(inputs(COLUMNS_MAX, &[], &[]).is_ok());
        for wrong in [
            inputs(COLUMNS_MAX + 1, &[], &[]),
            inputs(0, &[], &[]),
            inputs(2, &[], &[2]),
            inputs(2, &["a"], &[]),
            inputs(2, &["a"], &[3]),
            inputs(2, &["a", "b"], &[u32::MAX, 3]),
        ] {
            assert!(wrong.is_err(), "{wrong:?}");
        }
        let long = FieldSelection::List(vec!["x".repeat(1 << 20); 17]);
        assert!(long.encode().is_err());
    }
}
