//! A researcher's side: experiments on a federation and their rounds. Never prints; tells what
//! happens as events.

mod check;
mod error;
mod event;
mod experiment;
mod experiment_file;
mod identity;
mod job;
mod monitor;
mod phases;
mod present;
mod requests;
mod secagg;
mod statistics;
mod strategy;

pub use check::{Checked, NodeChecked, check_experiment, needs_out};
pub use error::Error;
pub use event::{Event, Events};
pub use experiment::{Experiment, ExperimentOptions, ExperimentResult, run_experiment};
pub use experiment_file::{ExperimentFile, NetworkArgs};
pub use fedwasm_aggregate::{
    AggregateError, Aggregator, AggregatorArgs, AuxVars, Moments, ReceivedAuxVars, RoundSum,
    Samples, Update, Updates, Weights, transpose,
};
pub use fedwasm_artifact::{Component, load_plan};
pub use fedwasm_protocol::seed::random_seed;
pub use fedwasm_record::{
    AdaptiveArgs, BestRecord, Breakpoint, CentralArgs, ChangeRecord, Difference, EarlyStopping,
    History, JobState, Keep, LrSchedule, Member, NodeRecord, NodeStates, PlanRecord, Reply,
    RoundRecord, RoundTiming, ScoreRecord, SecaggRecord, load_history, load_params,
};
pub use fedwasm_sandbox::{Cancel, LimitArgs, Profile, Sandbox, WorkerOptions};
pub use fedwasm_training::{Pooled, PooledColumn};
pub use identity::identities_of_user;
pub use job::{Fetched, Job, JobOptions};
pub use phases::{Replies, TrainedRound};
pub use present::{NodePresent, present};
pub use requests::{AnswerHere, Connection, NodesHere};
pub use secagg::{SecaggSettings, masked_statistics};
pub use statistics::{BINS, SiteStatistics, Statistics, statistics};
pub use strategy::{OwnSampler, Sampler, Selection, StrategyArgs};
