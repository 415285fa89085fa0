//! A researcher's side: experiments on a federation, the local job, and the
//! files that both leave behind. Never prints; tells what happens as events.

mod aggregate;
mod aux_vars;
mod breakpoint;
mod check;
mod checkpoint;
mod columns;
mod compare;
mod curve;
mod error;
mod evaluate;
mod event;
mod experiment;
mod experiment_file;
mod history;
mod identity;
mod job;
mod local_job;
mod membership;
mod monitor;
mod node_states;
mod output;
mod places;
mod plan;
mod plan_test;
mod present;
mod replies;
mod report;
mod requests;
mod resume;
mod schedule;
mod search;
mod starting;
mod strategy;
mod summary;
mod tensorboard;
mod uploads;
mod verify;

pub use aggregate::{AggregateError, Aggregator, AggregatorArgs, Moments, Update, Updates};
pub use aux_vars::{AuxVars, ReceivedAuxVars, transpose};
pub use breakpoint::Breakpoint;
pub use check::{Checked, NodeChecked, check_experiment, needs_out};
pub use checkpoint::resumed_seed;
pub use columns::Member;
pub use compare::{Comparison, Difference, MetricPair, compare, compare_curves};
pub use error::Error;
pub use evaluate::{EvaluateOptions, evaluate};
pub use event::{Event, Events};
pub use experiment::{Experiment, ExperimentOptions, ExperimentResult, run_experiment};
pub use experiment_file::{ExperimentFile, LocalFile, NetworkArgs, random_seed, standard_training};
pub use fedwasm_artifact::Component;
pub use fedwasm_sandbox::{Cancel, LimitArgs, Profile, Sandbox, WorkerOptions};
pub use history::{
    ChangeRecord, History, NodeRecord, PlanRecord, RoundRecord, RoundTiming, ScoreRecord,
    StepRecord,
};
pub use identity::identities_of_user;
pub use job::{Job, JobOptions, JobState, Replies};
pub use local_job::{LocalEvent, LocalJob, LocalOptions, LocalResult};
pub use node_states::NodeStates;
pub use output::{load_history, report};
pub use places::key_range;
pub use plan::{load_params, load_plan};
pub use plan_test::{Golden, PlanTestOptions, plan_suite};
pub use present::{NodePresent, present};
pub use replies::Reply;
pub use schedule::LrSchedule;
pub use strategy::{EarlyStopping, Selection, StrategyArgs};
pub use summary::{Spread, summarise};
pub use verify::{Verified, verify_experiment, verify_with};
