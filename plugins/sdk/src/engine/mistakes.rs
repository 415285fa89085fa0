//! The first mistake, and where the author made it.

use std::panic::Location;
use std::rc::Rc;

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
    /// In a source that was not compiled into this component.
    source: Option<Source>,
    /// Why the home did not do an operation.
    pub(super) refusal: Option<PlanError>,
}

/// A call in a source that was not compiled into this component: mistakes in it name this place.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Such as "model.py:12"; empty if it is not known.
    pub place: Rc<str>,
    /// The module that is called, such as "net.0"; empty if it is a function.
    pub module: Rc<str>,
}

impl Source {
    /// Does a call at this place.
    pub fn within<T>(&self, f: impl FnOnce() -> T) -> T {
        let before = with(|engine| engine.mistakes.source.replace(self.clone()));
        let done = f();
        let _own = with(|engine| std::mem::replace(&mut engine.mistakes.source, before));
        done
    }

    fn prefix(&self, mut prefix: String, path: &[String]) -> String {
        if !self.place.is_empty() {
            prefix = format!("{}: ", self.place);
        }
        let path: Vec<&str> = [&*self.module]
            .into_iter()
            .filter(|name| !name.is_empty())
            .chain(path.iter().map(String::as_str))
            .collect();
        if !path.is_empty() {
            prefix += &format!("in `{}`: ", path.join("."));
        }
        prefix
    }
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
        let mistakes = &engine.mistakes;
        let source = mistakes.source.clone();
        let prefix = source
            .unwrap_or_default()
            .prefix(format!("{}:{}: ", place.file(), place.line()), &mistakes.path);
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

/// Notes a mistake, and returns the first.
#[track_caller]
pub fn noted(error: PlanError) -> PlanError {
    note(error.clone());
    check().err().unwrap_or(error)
}

/// The first mistake, if there was one; it is forgotten.
#[cfg(not(target_arch = "wasm32"))]
pub fn take_mistake() -> Option<PlanError> {
    with(|engine| engine.mistakes.first.take())
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
