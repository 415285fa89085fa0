//! From errors of the rooms to a kind, a message and a cure, in the same words at every door. Prints
//! nothing.

mod diagnosis;

use std::path::Path;

use fedwasm_aggregate::AggregateError;
use fedwasm_protocol::{FileMistakes, Mistake, Place, Reason};
use fedwasm_sandbox::FaultKind;

use diagnosis::Diagnosis;

/// The kinds of failures; their numbers are the exit codes of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The run failed.
    Failed = 1,
    /// Usage or configuration.
    Usage = 2,
    /// The plan is refused.
    PlanRefused = 3,
    /// The plan failed.
    PlanFailed = 4,
    /// Not enough nodes, or a deadline passed.
    Nodes = 5,
}

/// The largest file whose lines are shown.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A failure, as people are told of it.
#[derive(Debug)]
pub struct Explained {
    /// Its kind.
    pub kind: Kind,
    /// The failure, in one or more lines.
    pub message: String,
    /// Where; lines of a source under it.
    pub place: Option<String>,
    /// The cure.
    pub help: Option<String>,
    /// The mistakes of a file, which the message names all.
    pub file: Option<FileMistakes>,
    /// The arguments that are wrong, for a file that gives them.
    arguments: Vec<Mistake>,
}

impl Explained {
    /// A failure with this message; a line `help: ...` in it is the cure.
    pub fn new(kind: Kind, message: impl std::fmt::Display) -> Self {
        let message = message.to_string();
        // Errors of libraries may say what to do in a line of its own.
        let (message, help) = match message.split_once("\nhelp: ") {
            Some((message, help)) => (message.to_owned(), Some(help.to_owned())),
            None => (message, None),
        };
        Self { kind, message, place: None, help, file: None, arguments: Vec::new() }
    }

    /// It is about what a file may give at this place.
    pub fn about(mut self, place: Place) -> Self {
        self.arguments.push(Mistake { place, message: self.message.clone() });
        self
    }

    /// Shows the lines of `path` that give the wrong arguments, if there are any.
    pub fn in_file(mut self, path: Option<&Path>) -> Self {
        if let (None, Some(path), false) = (&self.file, path, self.arguments.is_empty()) {
            let bytes = fedwasm_folder::read_file(path, FILE_BYTES_MAX).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            let given = |text| FileMistakes::of_arguments(path, text, &self.arguments);
            self.file = text.and_then(given);
        }
        self
    }

    /// All mistakes of a file.
    pub fn of_file(file: FileMistakes) -> Self {
        Self { file: Some(file.clone()), ..Self::new(Kind::Usage, file) }
    }
}

impl From<std::io::Error> for Explained {
    fn from(error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidInput => Kind::Usage,
            _ => Kind::Failed,
        };
        Self::new(kind, error)
    }
}

impl From<getrandom::Error> for Explained {
    fn from(error: getrandom::Error) -> Self {
        Self::new(Kind::Failed, format!("internal error: {error}"))
    }
}

impl From<fedwasm_artifact::BuildError> for Explained {
    fn from(error: fedwasm_artifact::BuildError) -> Self {
        use fedwasm_artifact::BuildError as E;
        let kind = match &error {
            E::NoPlan { .. } | E::NoLibrary | E::Metadata { .. } | E::MissingTarget { .. } => {
                Kind::Usage
            }
            E::OtherLock { .. } | E::NoLock { .. } | E::NoTool { .. } => Kind::Usage,
            E::StaleLock { .. } | E::TargetNotAdded { .. } => Kind::Usage,
            E::NotAPlan { .. } | E::Admission(_) => Kind::PlanRefused,
            _ => Kind::Failed,
        };
        Self::new(kind, error)
    }
}

impl From<fedwasm_sandbox::Error> for Explained {
    fn from(error: fedwasm_sandbox::Error) -> Self {
        let Diagnosis { place, help, arguments } = diagnosis::of(&error);
        let of_message = Self::new(sandbox_kind(&error), error);
        Self { place, help: of_message.help.or(help), arguments, ..of_message }
    }
}

impl From<fedwasm_training::Error> for Explained {
    fn from(error: fedwasm_training::Error) -> Self {
        let places = match error {
            fedwasm_training::Error::Sandbox(error) => return error.into(),
            ref error => diagnosis::places(error),
        };
        places.into_iter().fold(Self::new(Kind::Usage, error), Self::about)
    }
}

impl From<fedwasm_artifact::LoadError> for Explained {
    fn from(error: fedwasm_artifact::LoadError) -> Self {
        use fedwasm_artifact::LoadError as E;
        let kind = match error {
            E::Io(error) => return error.into(),
            E::Refused { .. } => Kind::PlanRefused,
            _ => Kind::Usage,
        };
        Self::new(kind, error)
    }
}

impl From<fedwasm_record::Error> for Explained {
    fn from(error: fedwasm_record::Error) -> Self {
        use fedwasm_record::Error as E;
        let kind = match error {
            E::Io(error) => return error.into(),
            E::Toml(file) => return Self::of_file(file),
            E::Trust(error) => return error.into(),
            E::Unverified { .. } | E::Model { .. } => Kind::PlanRefused,
            E::NoUploads { .. } | E::File { .. } | E::Params { .. } | E::Out(_) => Kind::Usage,
            E::Shapes(_) | E::Breakpoint { .. } | E::Busy { .. } => Kind::Usage,
            E::Aggregation(AggregateError::TooFewNodes { .. }) => Kind::Nodes,
            _ => Kind::Failed,
        };
        Self::new(kind, error)
    }
}

impl From<fedwasm_report::Error> for Explained {
    fn from(error: fedwasm_report::Error) -> Self {
        use fedwasm_report::Error as E;
        match error {
            E::Record(error) => error.into(),
            E::Io(error) => error.into(),
            error => Self::new(Kind::Failed, error),
        }
    }
}

impl From<fedwasm_local::Error> for Explained {
    fn from(error: fedwasm_local::Error) -> Self {
        use fedwasm_local::Error as E;
        let kind = match error {
            E::Io(error) => return error.into(),
            E::Training(error) => return error.into(),
            E::Record(error) => return error.into(),
            E::Report(error) => return error.into(),
            E::Resume { .. } | E::ResumeWhat | E::Interrupted { .. } | E::Finished { .. } => {
                Kind::Usage
            }
            E::Metric(_) | E::NoPause { .. } | E::TooManyScores { .. } => {
                let place = match &error {
                    E::NoPause { key } => key,
                    E::TooManyScores { .. } => "local.validate_every",
                    E::Metric(text) if text.starts_with("`keep") => "keep",
                    _ => "local.early_stopping.metric",
                };
                let place = Place::Value(place.into());
                return Self::new(Kind::Usage, error).about(place);
            }
            E::NoScales { .. } | E::Onnx { .. } => Kind::Usage,
            E::DpArgs => {
                return Self::new(Kind::Usage, error)
                    .about(Place::Value("training.dp_args".into()));
            }
            _ => Kind::Failed,
        };
        Self::new(kind, error)
    }
}

impl From<fedwasm_researcher::Error> for Explained {
    fn from(error: fedwasm_researcher::Error) -> Self {
        use fedwasm_researcher::Error as E;
        let place = match &error {
            E::EarlyStopping(text) if text.starts_with("`keep") => Some("keep"),
            E::EarlyStopping(_) => Some("strategy.early_stopping.metric"),
            E::NoOut { key } => Some(*key),
            E::Aggregation(AggregateError::NeedsUpdates { .. }) => Some("aggregator.name"),
            _ => None,
        };
        let kind = match error {
            E::Io(error) => return error.into(),
            E::Training(error) => return error.into(),
            E::Transport(error) => return error.into(),
            E::Trust(error) => return error.into(),
            E::Record(error) => return error.into(),
            E::Report(error) => return error.into(),
            E::NoIdentity { .. } | E::NoResearcher { .. } | E::OtherResearcher { .. } => {
                Kind::Usage
            }
            E::BothParameters { .. } | E::EarlyStopping(_) => Kind::Usage,
            E::NoOut { .. } | E::Change { .. } => Kind::Usage,
            // Plan and aggregator do not go together.
            E::AuxVars { .. } | E::Unsummable { .. } => Kind::PlanRefused,
            E::NotEnoughSamples { .. } | E::PartMissing { .. } | E::Outage { .. } => Kind::Nodes,
            E::Aggregation(AggregateError::NeedsUpdates { .. }) => Kind::Usage,
            E::Aggregation(AggregateError::TooFewNodes { .. }) => Kind::Nodes,
            E::NotEnoughNodes { ref refused, .. } => {
                // If it is the plan at every node, it is the plan.
                let all = |reason| !refused.is_empty() && refused.iter().all(|r| r.1 == reason);
                let failed = [Reason::PlanFailed, Reason::PlanKilled];
                let all_plan_failed =
                    !refused.is_empty() && refused.iter().all(|r| failed.contains(&r.1));
                match () {
                    () if all_plan_failed => Kind::PlanFailed,
                    () if all(Reason::PlanRefused) || all(Reason::NotApproved) => Kind::PlanRefused,
                    () if all(Reason::BadRequest) || all(Reason::Unsupported) => Kind::Usage,
                    () => Kind::Nodes,
                }
            }
            _ => Kind::Failed,
        };
        match place {
            Some(field) => Self::new(kind, error).about(Place::Value(field.into())),
            None => Self::new(kind, error),
        }
    }
}

impl From<fedwasm_trust::Error> for Explained {
    fn from(error: fedwasm_trust::Error) -> Self {
        use fedwasm_trust::Error as E;
        let kind = match error {
            E::Io(error) => return error.into(),
            E::File(file) => return Self::of_file(file),
            E::Randomness => Kind::Failed,
            _ => Kind::Usage,
        };
        Self::new(kind, error)
    }
}

impl From<fedwasm_transport::Error> for Explained {
    fn from(error: fedwasm_transport::Error) -> Self {
        use fedwasm_transport::Error as E;
        let kind = match error {
            E::Trust(error) => return error.into(),
            E::Address { .. } | E::NotLoopback { .. } | E::Tls { .. } => Kind::Usage,
            E::NotEnrolled { .. } | E::OtherFederation { .. } => Kind::Usage,
            _ => Kind::Failed,
        };
        Self::new(kind, error)
    }
}

/// Explains the error of an experiment, and suggests `min_nodes` if its strategy has none.
pub fn of_experiment(
    error: fedwasm_researcher::Error,
    strategy: &fedwasm_researcher::StrategyArgs,
) -> Explained {
    let got = match &error {
        fedwasm_researcher::Error::NotEnoughNodes { got, .. } if strategy.min_nodes.is_none() => {
            *got
        }
        _ => 0,
    };
    let mut error = Explained::from(error);
    if got > 0 && error.help.is_none() {
        error.help = Some(format!(
            "`min_nodes` of [strategy] is not given, so all nodes with the data are needed; set \
             `min_nodes = {got}` to run without the others"
        ));
    }
    error
}

fn sandbox_kind(error: &fedwasm_sandbox::Error) -> Kind {
    use fedwasm_sandbox::Error as E;
    match error {
        E::NoProgram | E::Worker { .. } | E::Cache(_) => Kind::Usage,
        E::Fault(fault) if fault.kind == FaultKind::Cancelled => Kind::Failed,
        E::Fault(fault) if fault.kind == FaultKind::InvalidArgument => Kind::Usage,
        E::Fault(fault) if fault.kind == FaultKind::Refused => Kind::PlanRefused,
        E::Fault(_) => Kind::PlanFailed,
        E::Argument(_) | E::Params { .. } => Kind::Usage,
        _ => Kind::Failed,
    }
}
