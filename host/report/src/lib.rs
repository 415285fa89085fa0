//! Draws what runs left: curves, a page, event files for TensorBoard. Reads records and nothing
//! else.

mod compare;
mod curve;
mod error;
mod output;
mod page;
mod tensorboard;

pub use compare::compare_curves;
pub use error::Error;
pub use output::{report, write};
pub use tensorboard::TensorBoard;
