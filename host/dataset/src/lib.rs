//! Reads data sets - tables, arrays, images - as rows of numbers and says what
//! fields they have. Knows nothing of plans, splits or seeds, and hands out no
//! files.

mod array;
mod csv_file;
mod dataset;
mod error;
mod field;
mod idx;
mod images;
mod npy;
mod npz;
mod table;
mod values;

pub use csv_file::COLUMNS_MAX;
pub use dataset::{Dataset, Kind, Selection};
pub use error::{Error, Place};
pub use field::{Field, Scale};
pub use table::Table;
