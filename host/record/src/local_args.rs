//! How a local job is scored while it trains, and which parameters are its result.

use fedwasm_protocol::Fields;

use crate::{EarlyStopping, Keep};

/// The most scores that the history of a local job is to hold.
pub const VALIDATIONS_MAX: u64 = 1_000;

/// How a local job is scored while it trains, and which parameters are its result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LocalArgs {
    /// Epochs from one score on the held-out rows to the next; 0: only at the end. None: each
    /// epoch, or fewer, so that there are [`VALIDATIONS_MAX`] at most.
    pub validate_every: Option<u64>,
    /// When to stop before all epochs are done.
    pub early_stopping: Option<EarlyStopping>,
    /// Whether the result is the model of the last epoch, or that of the best score.
    pub keep: Keep,
}

impl LocalArgs {
    /// Takes the table `[local]`; mistakes go to `fields`. An experiment and a local job of one
    /// file share `keep`, which stands above all tables.
    pub fn take(fields: &mut Fields, keep: Keep) -> Self {
        let mut table = fields.table("local");
        let validate_every = table.whole("validate_every", 0);
        let early_stopping = EarlyStopping::take(&mut table);
        if validate_every == Some(0) && early_stopping.is_some() {
            let what = "is 0, but `early_stopping` looks at scores after epochs";
            table.mistake("validate_every", what);
        }
        fields.absorb(table);
        Self { validate_every, early_stopping, keep }
    }

    /// The key that needs scores after epochs, if one does.
    pub fn needs_scores(&self) -> Option<&'static str> {
        match self {
            Self { early_stopping: Some(_), .. } => Some("local.early_stopping"),
            Self { keep: Keep::Best, .. } => Some("keep"),
            Self { validate_every: Some(1..), .. } => Some("local.validate_every"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_contradict_each_other_are_told() {
        let take = |text: &str| {
            let mut fields = Fields::new("", toml::from_str(text).unwrap());
            let args = LocalArgs::take(&mut fields, Keep::Last);
            (args, fedwasm_protocol::sentences(&fields.finish(), "\n"))
        };
        assert_eq!(take(""), (LocalArgs::default(), String::new()));
        let stopping = "early_stopping = { metric = \"loss\" }";
        let (args, mistakes) = take(&format!("[local]\nvalidate_every = 0\n{stopping}"));
        assert!(mistakes.starts_with("`local.validate_every` is 0, but"), "{mistakes}");
        assert_eq!(args.needs_scores(), Some("local.early_stopping"));
        let (args, mistakes) = take("[local]\nvalidate_every = 2\ncheckpoint = 3");
        assert!(mistakes.starts_with("`local.checkpoint` is unknown"), "{mistakes}");
        assert_eq!(args.needs_scores(), Some("local.validate_every"));
    }
}
