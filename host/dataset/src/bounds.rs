//! Bounds of the readers. Files announce their sizes, and files lie: every
//! number of a header is held against these bounds and against the length of
//! the file before memory is asked for.

/// The most columns, arrays or fields of a dataset.
pub const COLUMNS_MAX: usize = 65_536;
/// The most values of a row, all fields together: as float32, the bytes that the contract
/// lets cross at once (16 MiB).
pub const ROW_VALUES_MAX: u64 = 1 << 22;
/// The most rows of a dataset.
pub const ROWS_MAX: u64 = 1 << 48;
/// The most axes of an array, that of the rows among them.
pub const AXES_MAX: usize = 8;
/// The most bytes that a compressed file or array may become. They are kept in
/// memory, since nothing can be read from the middle of them.
pub const DECOMPRESSED_BYTES_MAX: u64 = 1 << 30;
/// The longest row of a CSV file, in bytes, line breaks within quotes included.
pub const ROW_BYTES_MAX: u64 = 64 << 20;
/// The largest image file, in bytes.
pub const IMAGE_FILE_BYTES_MAX: u64 = 64 << 20;
/// The most files of an image folder; their names are kept in memory.
pub const FILES_MAX: usize = 4_000_000;
/// The most that a page or column chunk of a Parquet file may become, in bytes.
pub const PAGE_BYTES_MAX: u64 = 64 << 20;
/// The deepest nesting of columns in a Parquet file; nested ones are not read.
pub const PARQUET_DEPTH_MAX: usize = 8;
/// The most entries of a list in the footer of a Parquet file, and the most blocks of its rows.
pub const PARQUET_LIST_MAX: u64 = 1 << 20;
/// The most channels of an image.
pub const CHANNELS_MAX: u64 = 1_024;
/// The most bytes of one volume, decompressed. They are kept in memory while the volume is read.
pub const VOLUME_BYTES_MAX: u64 = 1 << 30;
/// The most slices of a series of DICOM files.
pub const SLICES_MAX: usize = 4_096;
/// The most modalities of the subjects of a folder, by the names of their files.
pub const MODALITIES_MAX: usize = 1_024;
/// The largest table of subjects, in bytes; it is kept in memory.
pub const SUBJECT_TABLE_BYTES_MAX: u64 = 256 << 20;
/// The largest footer of a Parquet file, in bytes.
pub const FOOTER_BYTES_MAX: u64 = 64 << 20;

/// How large the rows of a block are at most, as they are read, in bytes.
pub const BLOCK_BYTES: u64 = 4 << 20;
/// The most bytes of a block whose columns become several numbers each by rules.
pub const RULED_BLOCK_BYTES_MAX: u64 = 512 << 20;
/// The most rows of a block.
pub const BLOCK_ROWS_MAX: u64 = 65_536;

/// Rows of a block in a dataset with rows of `row_bytes` as they are read: 1 byte a value of
/// uint8, 4 of float32, 8 of everything else, all fields counted. It follows
/// from the file alone, since the order of rows depends on it.
pub(crate) fn block_rows(row_bytes: u64) -> u64 {
    (BLOCK_BYTES / row_bytes.max(1)).clamp(1, BLOCK_ROWS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    // tests/oracles/seeds_and_shuffle.py prints these.
    #[test]
    fn block_rows_equal_the_python_twin() {
        for (row_bytes, expected) in
            [(1, 65_536), (64, 65_536), (65, 64_527), (80, 52_428), (785, 5_343), (5 << 20, 1)]
        {
            assert_eq!(block_rows(row_bytes), expected, "{row_bytes}");
        }
    }
}
