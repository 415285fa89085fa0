//! From errors of the libraries to a message, a hint and an exit code.

use std::path::Path;

use fedwasm_aggregate::AggregateError;
use fedwasm_protocol::{FileMistakes, Mistake, Place, Reason};
use fedwasm_sandbox::FaultKind;

use crate::diagnosis::{self, Diagnosis};

/// The run failed.
pub(crate) const FAILED: u8 = 1;
/// Usage or configuration.
pub(crate) const USAGE: u8 = 2;
/// The plan is refused.
pub(crate) const PLAN_REFUSED: u8 = 3;
/// The plan failed.
pub(crate) const PLAN_FAILED: u8 = 4;
/// Not enough nodes, or a deadline passed.
pub(crate) const NODES: u8 = 5;

/// The largest file whose lines are shown.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The error of a command.
#[derive(Debug)]
pub(crate) struct CommandError {
    pub(crate) code: u8,
    /// The failure, in one or more lines.
    pub(crate) message: String,
    /// Where; lines of a source under it.
    pub(crate) place: Option<String>,
    /// The cure.
    pub(crate) help: Option<String>,
    /// The mistakes of a file, which the message names all.
    pub(crate) file: Option<FileMistakes>,
    /// The arguments that are wrong, for a file that gives them.
    arguments: Vec<Mistake>,
}

impl CommandError {
    pub(crate) fn new(code: u8, message: impl std::fmt::Display) -> Self {
        let message = message.to_string();
        // Errors of libraries may say what to do in a line of its own.
        let (message, help) = match message.split_once("\nhelp: ") {
            Some((message, help)) => (message.to_owned(), Some(help.to_owned())),
            None => (message, None),
        };
        Self { code, message, place: None, help, file: None, arguments: Vec::new() }
    }

    /// It is about what a file may give at this place.
    pub(crate) fn about(mut self, place: Place) -> Self {
        self.arguments.push(Mistake { place, message: self.message.clone() });
        self
    }

    /// Shows the lines of `path` that give the wrong arguments, if there are any.
    pub(crate) fn in_file(mut self, path: Option<&Path>) -> Self {
        if let (None, Some(path), false) = (&self.file, path, self.arguments.is_empty()) {
            let bytes = fedwasm_folder::read_file(path, FILE_BYTES_MAX).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            let given = |text| FileMistakes::of_arguments(path, text, &self.arguments);
            self.file = text.and_then(given);
        }
        self
    }

    /// All mistakes of a file.
    fn of_file(file: FileMistakes) -> Self {
        Self { file: Some(file.clone()), ..Self::new(USAGE, file) }
    }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        let code = match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidInput => USAGE,
            _ => FAILED,
        };
        Self::new(code, error)
    }
}

impl From<getrandom::Error> for CommandError {
    fn from(error: getrandom::Error) -> Self {
        Self::new(FAILED, format!("internal error: {error}"))
    }
}

impl From<fedwasm_artifact::BuildError> for CommandError {
    fn from(error: fedwasm_artifact::BuildError) -> Self {
        use fedwasm_artifact::BuildError as E;
        let code = match &error {
            E::NoPlan { .. } | E::NoLibrary | E::Metadata { .. } | E::MissingTarget { .. } => USAGE,
            E::OtherLock { .. } | E::NoLock { .. } | E::NoTool { .. } => USAGE,
            E::StaleLock { .. } | E::TargetNotAdded { .. } => USAGE,
            E::NotAPlan { .. } | E::Admission(_) => PLAN_REFUSED,
            _ => FAILED,
        };
        Self::new(code, error)
    }
}

impl From<fedwasm_sandbox::Error> for CommandError {
    fn from(error: fedwasm_sandbox::Error) -> Self {
        let Diagnosis { place, help, arguments } = diagnosis::of(&error);
        let of_message = Self::new(sandbox_code(&error), error);
        Self { place, help: of_message.help.or(help), arguments, ..of_message }
    }
}

impl From<fedwasm_training::Error> for CommandError {
    fn from(error: fedwasm_training::Error) -> Self {
        let places = match error {
            fedwasm_training::Error::Sandbox(error) => return error.into(),
            ref error => diagnosis::places(error),
        };
        places.into_iter().fold(Self::new(USAGE, error), Self::about)
    }
}

impl From<fedwasm_artifact::LoadError> for CommandError {
    fn from(error: fedwasm_artifact::LoadError) -> Self {
        use fedwasm_artifact::LoadError as E;
        let code = match error {
            E::Io(error) => return error.into(),
            E::Refused { .. } => PLAN_REFUSED,
            _ => USAGE,
        };
        Self::new(code, error)
    }
}

impl From<fedwasm_record::Error> for CommandError {
    fn from(error: fedwasm_record::Error) -> Self {
        use fedwasm_record::Error as E;
        let code = match error {
            E::Io(error) => return error.into(),
            E::Toml(file) => return Self::of_file(file),
            E::Trust(error) => return error.into(),
            E::Unverified { .. } => PLAN_REFUSED,
            E::NoUploads { .. } | E::File { .. } | E::Params { .. } | E::Out(_) => USAGE,
            E::Shapes(_) | E::Breakpoint { .. } | E::Busy { .. } => USAGE,
            E::Aggregation(AggregateError::TooFewNodes { .. }) => NODES,
            _ => FAILED,
        };
        Self::new(code, error)
    }
}

impl From<fedwasm_report::Error> for CommandError {
    fn from(error: fedwasm_report::Error) -> Self {
        use fedwasm_report::Error as E;
        match error {
            E::Record(error) => error.into(),
            E::Io(error) => error.into(),
            error => Self::new(FAILED, error),
        }
    }
}

impl From<fedwasm_local::Error> for CommandError {
    fn from(error: fedwasm_local::Error) -> Self {
        use fedwasm_local::Error as E;
        let code = match error {
            E::Io(error) => return error.into(),
            E::Training(error) => return error.into(),
            E::Record(error) => return error.into(),
            E::Report(error) => return error.into(),
            E::Resume { .. } | E::ResumeWhat | E::Interrupted { .. } | E::Finished { .. } => USAGE,
            E::DpArgs => {
                return Self::new(USAGE, error).about(Place::Value("training.dp_args".into()));
            }
            _ => FAILED,
        };
        Self::new(code, error)
    }
}

impl From<fedwasm_researcher::Error> for CommandError {
    fn from(error: fedwasm_researcher::Error) -> Self {
        use fedwasm_researcher::Error as E;
        let place = match &error {
            E::EarlyStopping(_) => Some("strategy.early_stopping.metric"),
            E::NoOut { key } => Some(*key),
            E::Aggregation(AggregateError::NeedsUpdates { .. }) => Some("aggregator.name"),
            _ => None,
        };
        let code = match error {
            E::Io(error) => return error.into(),
            E::Training(error) => return error.into(),
            E::Transport(error) => return error.into(),
            E::Trust(error) => return error.into(),
            E::Record(error) => return error.into(),
            E::Report(error) => return error.into(),
            E::NoIdentity { .. } | E::NoResearcher { .. } | E::OtherResearcher { .. } => USAGE,
            E::BothParameters { .. } | E::EarlyStopping(_) => USAGE,
            E::NoOut { .. } | E::Change { .. } => USAGE,
            // Plan and aggregator do not go together.
            E::AuxVars { .. } | E::Unsummable { .. } => PLAN_REFUSED,
            E::NotEnoughSamples { .. } | E::PartMissing { .. } => NODES,
            E::Aggregation(AggregateError::NeedsUpdates { .. }) => USAGE,
            E::Aggregation(AggregateError::TooFewNodes { .. }) => NODES,
            E::NotEnoughNodes { ref refused, .. } => {
                // If it is the plan at every node, it is the plan.
                let all = |reason| !refused.is_empty() && refused.iter().all(|r| r.1 == reason);
                let failed = [Reason::PlanFailed, Reason::PlanKilled];
                let all_plan_failed =
                    !refused.is_empty() && refused.iter().all(|r| failed.contains(&r.1));
                match () {
                    () if all_plan_failed => PLAN_FAILED,
                    () if all(Reason::PlanRefused) || all(Reason::NotApproved) => PLAN_REFUSED,
                    () if all(Reason::BadRequest) || all(Reason::Unsupported) => USAGE,
                    () => NODES,
                }
            }
            _ => FAILED,
        };
        match place {
            Some(field) => Self::new(code, error).about(Place::Value(field.into())),
            None => Self::new(code, error),
        }
    }
}

impl From<fedwasm_trust::Error> for CommandError {
    fn from(error: fedwasm_trust::Error) -> Self {
        use fedwasm_trust::Error as E;
        let code = match error {
            E::Io(error) => return error.into(),
            E::File(file) => return Self::of_file(file),
            E::Randomness => FAILED,
            _ => USAGE,
        };
        Self::new(code, error)
    }
}

impl From<fedwasm_transport::Error> for CommandError {
    fn from(error: fedwasm_transport::Error) -> Self {
        use fedwasm_transport::Error as E;
        let code = match error {
            E::Trust(error) => return error.into(),
            E::Address { .. } | E::NotLoopback { .. } | E::Tls { .. } => USAGE,
            E::NotEnrolled { .. } | E::OtherFederation { .. } => USAGE,
            _ => FAILED,
        };
        Self::new(code, error)
    }
}

impl From<fedwasm_hub::Error> for CommandError {
    fn from(error: fedwasm_hub::Error) -> Self {
        match error {
            fedwasm_hub::Error::Transport(error) => error.into(),
            error => Self::new(FAILED, error),
        }
    }
}

impl From<fedwasm_registry::Error> for CommandError {
    fn from(error: fedwasm_registry::Error) -> Self {
        Self::new(FAILED, error)
    }
}

impl From<fedwasm_node::Error> for CommandError {
    fn from(error: fedwasm_node::Error) -> Self {
        use fedwasm_node::Error as E;
        let code = match error {
            E::Io(error) => return error.into(),
            E::File(file) => return Self::of_file(file),
            E::Transport(error) => return error.into(),
            E::Sandbox(error) => return error.into(),
            E::Trust(error) => return error.into(),
            E::Log { .. } => PLAN_REFUSED,
            _ => USAGE,
        };
        Self::new(code, error)
    }
}

fn sandbox_code(error: &fedwasm_sandbox::Error) -> u8 {
    use fedwasm_sandbox::Error as E;
    match error {
        E::NoProgram | E::Worker { .. } | E::Cache(_) => USAGE,
        E::Fault(fault) if fault.kind == FaultKind::Cancelled => FAILED,
        E::Fault(fault) if fault.kind == FaultKind::InvalidArgument => USAGE,
        E::Fault(fault) if fault.kind == FaultKind::Refused => PLAN_REFUSED,
        E::Fault(_) => PLAN_FAILED,
        E::Argument(_) | E::Params { .. } => USAGE,
        _ => FAILED,
    }
}
