//! A researcher's side: experiments on a federation, the local job, and the
//! files that both leave behind. Never prints; tells what happens as events.

mod aggregate;
mod columns;
mod curve;
mod error;
mod evaluate;
mod experiment;
mod experiment_file;
mod history;
mod local_job;
mod output;
mod plan;
mod replies;
mod requests;

pub use error::Error;
pub use evaluate::{EvaluateOptions, evaluate};
pub use experiment::{Event, ExperimentResult, run_experiment};
pub use experiment_file::{
    AggregatorArgs, ExperimentFile, LocalFile, NetworkArgs, Selection, StrategyArgs, random_seed,
    standard_training,
};
pub use history::{History, NodeRecord, PlanRecord, RoundRecord, RoundTiming, StepRecord};
pub use local_job::{LocalEvent, LocalOptions, LocalResult, run_local};
pub use plan::{load_params, load_plan};
