//! Why something does not leave a node, or does not count at the researcher.

/// An error of another room, kept as the source of one of this room.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why something does not leave a node, or does not count at the researcher.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is outside of what it may be.
    #[error("`{name}` is {got}, it must be {rule}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        got: String,
        /// What it must be.
        rule: &'static str,
    },
    /// Tensors of an update do not fit those it started from.
    #[error(transparent)]
    Params(#[from] fedwasm_params::Error),
    /// A value of an update is NaN or infinite.
    #[error("value {at} of the update of `{name}` is not finite")]
    NotFinite {
        /// The parameter.
        name: String,
        /// Position in the parameter, row-major, from 0.
        at: usize,
    },
    /// A value of an update is NaN or infinite.
    #[error("value {at} is not finite")]
    NotFiniteAt {
        /// Position among all values, from 0.
        at: usize,
    },
}

impl Error {
    /// A [`Error::Setting`].
    pub(crate) fn setting(
        name: &'static str,
        got: impl std::fmt::Display,
        rule: &'static str,
    ) -> Self {
        Self::Setting { name, got: got.to_string(), rule }
    }
}
