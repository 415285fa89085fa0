//! A researcher's side: experiments on a federation, the local job, and the
//! files that both leave behind. Never prints; tells what happens as events.

mod aggregate;
mod aux_vars;
mod breakpoint;
mod columns;
mod curve;
mod error;
mod evaluate;
mod event;
mod experiment;
mod experiment_file;
mod history;
mod job;
mod local_job;
mod monitor;
mod node_states;
mod output;
mod plan;
mod present;
mod replies;
mod report;
mod requests;
mod resume;
mod search;
mod strategy;
mod tensorboard;

pub use aggregate::{AggregateError, Aggregator, AggregatorArgs, Moments, Update, Updates};
pub use aux_vars::{AuxVars, ReceivedAuxVars, transpose};
pub use breakpoint::Breakpoint;
pub use columns::Member;
pub use error::Error;
pub use evaluate::{EvaluateOptions, evaluate};
pub use event::{Event, Events};
pub use experiment::{Experiment, ExperimentOptions, ExperimentResult, run_experiment};
pub use experiment_file::{ExperimentFile, LocalFile, NetworkArgs, random_seed, standard_training};
pub use fedwasm_artifact::Component;
pub use fedwasm_sandbox::Cancel;
pub use history::{History, NodeRecord, PlanRecord, RoundRecord, RoundTiming, StepRecord};
pub use job::{Job, JobOptions, JobState, Replies};
pub use local_job::{LocalEvent, LocalJob, LocalOptions, LocalResult};
pub use node_states::NodeStates;
pub use output::{load_history, report};
pub use plan::{load_params, load_plan};
pub use present::{NodePresent, present};
pub use replies::Reply;
pub use strategy::{EarlyStopping, Selection, StrategyArgs};
