//! The first mistake, and where the author made it.

use std::panic::Location;

use fedwasm_compute::{Mistake, Rule};

use super::with;
use crate::{PlanError, Result};

/// The first mistake, and the modules that are at work.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    first: Option<PlanError>,
    /// Names of modules within modules, and where the outermost was called.
    path: Vec<String>,
    place: Option<&'static Location<'static>>,
    /// Why the home did not do an operation.
    pub(super) refusal: Option<PlanError>,
}

impl Mistakes {
    pub(super) fn note(&mut self, error: PlanError) {
        self.first.get_or_insert(error);
    }
}

/// What a mistake of the library is to a plan: an index is of the data, everything else of the plan.
pub(crate) fn refused(mistake: &Mistake) -> PlanError {
    match mistake.rule {
        Rule::Index { .. } => PlanError::BadData(mistake.to_string()),
        _ => PlanError::Internal(mistake.to_string()),
    }
}

/// Notes a mistake, unless there was one before, with the place in the author's source.
#[track_caller]
pub(crate) fn note(error: PlanError) {
    let here = Location::caller();
    with(|engine| {
        let place = engine.mistakes.place.unwrap_or(here);
        let mut prefix = format!("{}:{}: ", place.file(), place.line());
        if !engine.mistakes.path.is_empty() {
            prefix += &format!("in `{}`: ", engine.mistakes.path.join("."));
        }
        let put = |text: String| prefix + &text;
        engine.mistakes.note(match error {
            PlanError::Cancelled => PlanError::Cancelled,
            PlanError::InvalidArgument(text) => PlanError::InvalidArgument(put(text)),
            PlanError::BadData(text) => PlanError::BadData(put(text)),
            PlanError::NonFinite(text) => PlanError::NonFinite(put(text)),
            PlanError::Unsupported(text) => PlanError::Unsupported(put(text)),
            PlanError::Internal(text) => PlanError::Internal(put(text)),
        });
    });
}

/// Notes that no model has these numbers.
#[track_caller]
pub(crate) fn note_argument(text: String) {
    note(PlanError::InvalidArgument(text));
}

/// The first mistake, if there was one.
pub(crate) fn check() -> Result<()> {
    with(|engine| engine.mistakes.first.clone().map_or(Ok(()), Err))
}

/// Says that a module of this name is at work, within those that are.
pub(crate) fn enter(name: &str, place: &'static Location<'static>) {
    with(|engine| {
        engine.mistakes.path.push(name.to_owned());
        engine.mistakes.place.get_or_insert(place);
    });
}

/// Says that it is done.
pub(crate) fn leave() {
    with(|engine| {
        engine.mistakes.path.pop();
        if engine.mistakes.path.is_empty() {
            engine.mistakes.place = None;
        }
    });
}
