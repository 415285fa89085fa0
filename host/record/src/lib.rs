//! The records of runs: history, breakpoints, uploads, receipts; the differences of two runs, and
//! the check of an experiment against its files. Uses no network.

mod arguments;
mod breakpoint;
mod central;
mod compare;
mod error;
mod files;
mod history;
mod job_state;
mod local_args;
mod model;
mod node_states;
mod overview;
mod paired;
mod rounds;
mod schedule;
mod secagg;
pub mod sections;
mod steps;
mod stopping;
mod summary;
pub mod uploads;
#[cfg(feature = "verify")]
mod verify;

pub use arguments::{Difference, OWN, differences, method};
pub use breakpoint::Breakpoint;
pub use central::{
    AdaptiveArgs, CentralArgs, NEEDS_A_MEAN, NOISE_SEED, NoiseSeed, PrivacyRecord, carried, noised,
};
pub use compare::{Comparison, MetricPair, RunFold, compare};
pub use error::Error;
pub use files::{
    load_history, load_params, load_params_and_digest, params_digest, prepare, write_history,
    write_scales,
};
pub use history::{
    ChangeRecord, FINISHED, History, NodeRecord, PlanRecord, RUNNING, RoundRecord, RoundTiming,
    ScoreRecord, WRITTEN_BY, combine,
};
pub use job_state::{JobState, Member, Reply};
pub use local_args::{LocalArgs, VALIDATIONS_MAX};
pub use model::{
    MODEL, MODEL_FILE, MODEL_SIGNATURE, Model, ModelFile, ModelParts, RunRecord, SignModel,
    SiteRecord, load_init, model_dir,
};
pub use node_states::NodeStates;
pub use overview::{Method, MethodLine, Overview, RUNS_MAX, Run, Test, overview};
pub use paired::Paired;
pub use rounds::{RoundsEnd, RoundsFile, read_rounds};
pub use schedule::{LrSchedule, in_round, lr_of};
pub use secagg::{
    AskedNodes, SecaggRecord, keep_asked, keep_transcript, load_asked, numbers_sha256,
};
pub use steps::{StepRecord, Steps, bounded};
pub use stopping::{BestRecord, Choice, EarlyStopping, Keep, ValidationRecord};
pub use summary::{Spread, summarise};
#[cfg(feature = "verify")]
pub use verify::{Verified, verify_experiment, verify_with};
