//! Draws what runs left: curves, a page, event files for TensorBoard. Reads records and nothing
//! else.

mod card;
mod compare;
mod curve;
mod error;
mod output;
mod page;
mod partition;
mod tensorboard;

pub use card::{card_html, card_markdown};
pub use compare::{compare_curves, compare_page, draw_history, draw_lines};
pub use error::Error;
pub use output::{report, write};
pub use partition::partition_svg;
pub use tensorboard::TensorBoard;
