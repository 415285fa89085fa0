//! The error of a command: a message, a hint and an exit code.

use std::ops::{Deref, DerefMut};
use std::path::Path;

use fedwasm_explain::{Explained, Kind};
use fedwasm_protocol::Place;
use fedwasm_researcher::{Error, StrategyArgs};

/// The run failed.
pub(crate) const FAILED: Kind = Kind::Failed;
/// Usage or configuration.
pub(crate) const USAGE: Kind = Kind::Usage;
/// The plan is refused.
pub(crate) const PLAN_REFUSED: Kind = Kind::PlanRefused;
/// The plan failed.
pub(crate) const PLAN_FAILED: Kind = Kind::PlanFailed;

/// The error of a command.
#[derive(Debug)]
pub(crate) struct CommandError(Explained);

impl CommandError {
    pub(crate) fn new(kind: Kind, message: impl std::fmt::Display) -> Self {
        Self(Explained::new(kind, message))
    }

    /// The error of an experiment of this strategy.
    pub(crate) fn of_experiment(error: Error, strategy: &StrategyArgs) -> Self {
        Self(fedwasm_explain::of_experiment(error, strategy))
    }

    /// It is about what a file may give at this place.
    pub(crate) fn about(self, place: Place) -> Self {
        Self(self.0.about(place))
    }

    /// Shows the lines of `path` that give the wrong arguments, if there are any.
    pub(crate) fn in_file(self, path: Option<&Path>) -> Self {
        Self(self.0.in_file(path))
    }
}

impl Deref for CommandError {
    type Target = Explained;

    fn deref(&self) -> &Explained {
        &self.0
    }
}

impl DerefMut for CommandError {
    fn deref_mut(&mut self) -> &mut Explained {
        &mut self.0
    }
}

/// The errors that every door explains alike.
macro_rules! explained {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for CommandError {
            fn from(error: $error) -> Self {
                Self(error.into())
            }
        })*
    };
}

explained! {
    std::io::Error,
    getrandom::Error,
    fedwasm_artifact::BuildError,
    fedwasm_artifact::LoadError,
    fedwasm_local::Error,
    fedwasm_record::Error,
    fedwasm_report::Error,
    fedwasm_researcher::Error,
    fedwasm_sandbox::Error,
    fedwasm_training::Error,
    fedwasm_transport::Error,
    fedwasm_trust::Error,
}

impl From<fedwasm_hub::Error> for CommandError {
    fn from(error: fedwasm_hub::Error) -> Self {
        match error {
            fedwasm_hub::Error::Transport(error) => error.into(),
            error => Self::new(FAILED, error),
        }
    }
}

impl From<fedwasm_sql::Error> for CommandError {
    fn from(error: fedwasm_sql::Error) -> Self {
        use fedwasm_sql::Error as E;
        let code = match error {
            E::Connect { .. } | E::Server { .. } | E::Protocol { .. } | E::Write(_) => FAILED,
            _ => USAGE,
        };
        Self::new(code, error)
    }
}

impl From<fedwasm_simulation::Error> for CommandError {
    fn from(error: fedwasm_simulation::Error) -> Self {
        use fedwasm_simulation::Error as E;
        match error {
            E::Data(error) => fedwasm_local::Error::from(error).into(),
            E::Node(error) => error.into(),
            E::Researcher(error) => (*error).into(),
            E::Report(error) => error.into(),
            E::Io(error) => error.into(),
            error => Self::new(USAGE, error),
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
            E::File(file) => return Self(Explained::of_file(file)),
            E::Transport(error) => return error.into(),
            E::Sandbox(error) => return error.into(),
            E::Trust(error) => return error.into(),
            E::Sql(error) => return error.into(),
            E::Log { .. } => PLAN_REFUSED,
            E::Database(_) => FAILED,
            _ => USAGE,
        };
        Self::new(code, error)
    }
}
