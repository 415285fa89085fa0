//! Reads data sets as named fields of numbers, block by block: CSV, Parquet,
//! IDX, NPY, NPZ, folders of images and of medical volumes, and tar archives of samples;
//! columns of other things by the rules of `[data.columns]`. Writes tables as Parquet. Knows nothing
//! of plans, splits or seeds, and returns no files.

mod array;
mod arrow_schema;
pub mod bounds;
mod cell;
mod chosen;
mod csv_file;
mod dataset;
mod error;
mod field;
mod format;
mod hint;
mod idx;
mod images;
mod key;
mod literal;
mod look;
mod npy;
mod npz;
mod packed;
mod pandas;
mod parquet_cells;
mod parquet_deltas;
mod parquet_file;
mod parquet_pages;
mod pixels;
mod renames;
mod shards;
mod table_writer;
mod tar;
mod view;
mod volumes;

pub use chosen::Held;
pub use dataset::Dataset;
pub use error::Error;
pub use fedwasm_protocol::{Missing, Modality, Normalize, VolumeKind, Volumes};
pub use field::{Block, Element, Field, Place, Values};
pub use format::Format;
pub use key::Key;
pub use look::{
    Check, ColumnCheck, ColumnLook, Fault, FaultKind, Look, LookKind, Odd, Proposal, Range,
};
pub use packed::Packed;
pub use pandas::is_index;
pub use renames::Renames;
pub use table_writer::{CellKind, CellValues, GroupColumn, TableColumn, TableWriter};

/// The most of a cell or name that a message repeats, in characters.
const CELL_CHARS_MAX: usize = 40;

/// Opens a regular file. Other kinds of files may keep a reader waiting, or never end.
fn open(path: &std::path::Path) -> std::io::Result<std::fs::File> {
    if std::fs::metadata(path)?.is_file() {
        std::fs::File::open(path)
    } else {
        Err(std::io::Error::other("it is not a regular file"))
    }
}

/// Makes a text of a file fit for a message.
fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(CELL_CHARS_MAX).collect()
}
