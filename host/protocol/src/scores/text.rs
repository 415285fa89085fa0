//! Tables of counts in files and messages: a text a row, with spaces between the counts. Histories of
//! many rounds stay short and readable.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) fn serialize<S: Serializer>(table: &[Vec<u64>], to: S) -> Result<S::Ok, S::Error> {
    let text = |row: &Vec<u64>| row.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
    table.iter().map(text).collect::<Vec<_>>().serialize(to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Vec<u64>>, D::Error> {
    let counts = |row: &String| row.split_ascii_whitespace().map(str::parse).collect();
    let table: Result<_, _> = Vec::<String>::deserialize(from)?.iter().map(counts).collect();
    table.map_err(serde::de::Error::custom)
}
