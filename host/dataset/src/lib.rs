//! Reads data sets as tables of numbers and says what columns they have.
//! Knows nothing of plans, splits or seeds, and hands out no files.

mod csv_file;
mod error;
mod table;

pub use csv_file::{COLUMNS_MAX, CsvFile};
pub use error::Error;
pub use table::Table;
