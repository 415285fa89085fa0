//! Columns that pandas adds to files.

/// Whether a column has the name under which `DataFrame.to_parquet` writes an index that has
/// none: row numbers of a frame that was shuffled, filtered or cut, and nothing to learn from.
pub fn is_index(column: &str) -> bool {
    let level = column.strip_prefix("__index_level_").and_then(|rest| rest.strip_suffix("__"));
    level.is_some_and(|level| !level.is_empty() && level.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_known_by_its_name() {
        assert!(is_index("__index_level_0__") && is_index("__index_level_12__"));
        for name in ["", "index", "__index_level__", "__index_level_x__", "__index_level_0"] {
            assert!(!is_index(name), "{name}");
        }
    }
}
