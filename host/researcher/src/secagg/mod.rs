//! Secure aggregation at the researcher: keys are agreed upon through it, masked vectors come in, and
//! it learns their sum. `round.rs` decides, the other files talk to nodes.

mod asked;
mod context;
mod demand;
mod double;
mod exchange;
mod file;
mod masking;
mod reply;
mod round;
mod statistics;
mod sum;

pub use file::SecaggSettings;
pub use statistics::masked_statistics;

pub(crate) use asked::Asked;
pub(crate) use context::Contexts;
pub(crate) use demand::{Demand, Question, check_plan, specs};
pub(crate) use reply::check_masked;
pub(crate) use round::check_start;
pub(crate) use sum::{Files, Summed};
