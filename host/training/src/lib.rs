//! One round, or one evaluation, of one plan on one dataset: split, seeds,
//! standardisation, loader, metrics and the checks on what leaves. The only
//! code that runs a plan on data: nodes, the local job and `evaluate` all call
//! it, so they cannot differ.

mod augment;
mod blocks;
mod classes;
mod column_fit;
mod cross_validation;
mod error;
mod exact_fit;
mod examples;
mod facts;
mod foreign_params;
mod held_out;
mod layout;
mod loader;
mod metrics;
mod plan_checks;
mod pooled;
mod predict;
mod prepared;
mod preprocessing;
mod pretrained;
mod probabilities;
mod report;
mod round;
mod rows;
mod score;
mod shuffle;
mod sides;
mod site_numbers;
mod statistics;
mod treatment;

pub use classes::Classes;
pub use cross_validation::{FOLDS_MAX, Fold};
pub use error::Error;
pub use examples::Examples;
pub use facts::facts;
pub use foreign_params::fitted;
pub use plan_checks::{Check, CheckVerdict, DrawnInputs, ROWS_MAX, Suite, SuiteOptions, TestRows};
pub use pooled::{Pooled, PooledColumn};
pub use predict::{Meaning, Predictions, predict, probabilities};
pub use prepared::{Prepared, PreparedColumn};
pub use preprocessing::{ColumnScale, Preprocessing};
pub use round::{
    Before, Events, Length, Place, Round, RoundArgs, RoundEvent, Trained, Turn, batches_max,
    model_arguments,
};
pub use score::{evaluate, score_names};
pub use shuffle::{permute, split};
pub use site_numbers::SiteNumbers;
pub use statistics::{Disclosure, statistics};
