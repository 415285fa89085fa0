//! Runs on this machine alone: the local job, scores, the tests of a plan. No network, no keys.

mod checkpoint;
mod error;
mod evaluate;
mod local_file;
mod local_job;
mod model;
mod onnx;
mod plan_test;
mod prediction_table;

pub use checkpoint::resumed_seed;
pub use error::Error;
pub use evaluate::{EvaluateOptions, evaluate};
pub use fedwasm_artifact::{Component, load_plan};
pub use fedwasm_dataset::{Format, Renames, Volumes};
pub use fedwasm_record::load_params;
pub use fedwasm_sandbox::{Cancel, LimitArgs, Profile, Sandbox, WorkerOptions};
pub use local_file::{LocalFile, standard_training};
pub use local_job::{LocalEvent, LocalJob, LocalOptions, LocalResult};
pub use model::{EvaluateRows, PredictRows, UsableModel, load_preprocessing};
pub use plan_test::{Golden, PlanTestOptions, plan_suite};
pub use prediction_table::{PredictionColumn, PredictionTable, TableFormat, TableWriter};
