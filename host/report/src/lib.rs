//! Draws what runs left: curves, a page, event files for TensorBoard. Reads records and nothing
//! else.

mod compare;
mod curve;
mod error;
mod output;
mod page;
mod tensorboard;

pub use compare::{compare_curves, draw_history, draw_lines};
pub use error::Error;
pub use output::{report, write};
pub use tensorboard::TensorBoard;
