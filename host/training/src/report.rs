//! Checks on a plan's own report.

use fedwasm_sandbox::{Described, FaultKind, Level, Metadata, Report};

use crate::Error;
use crate::error::not_announced;
use crate::round::{Events, RoundEvent};

/// Checks that the plan reports the rows that it was given.
pub(crate) fn check_rows(
    plan: &Described,
    report: Option<Report>,
    handed: u64,
) -> Result<Report, Error> {
    let report = report.ok_or_else(|| bad(plan, "it returned no report"))?;
    if report.rows == handed {
        Ok(report)
    } else {
        let text = format!("it reports {} rows, but it was given {handed}", report.rows);
        Err(bad(plan, text))
    }
}

/// Checks that a report has no names but those that the plan announces: a name
/// made from data would reveal them.
pub(crate) fn check_names(plan: &Described, report: &Report) -> Result<(), Error> {
    match report.metrics.keys().find(|name| !plan.metadata().may_report(name)) {
        Some(name) => Err(bad(plan, not_announced(name))),
        None => Ok(()),
    }
}

/// Passes only scalars whose names the plan announces, and warns once that others are left out.
pub(crate) struct Announced {
    metadata: Metadata,
    is_warned: bool,
}

impl Announced {
    pub(crate) fn of(plan: &Described) -> Self {
        Self { metadata: plan.metadata().clone(), is_warned: false }
    }

    pub(crate) fn retain(&mut self, values: &mut Vec<(String, f64)>, events: &mut Events) {
        let unannounced = values.iter().find(|(name, _)| !self.metadata.may_report(name));
        if let (Some((name, _)), false) = (unannounced, self.is_warned) {
            self.is_warned = true;
            let line = format!("left out: {}", not_announced(name));
            events(RoundEvent::Log(Level::Warn, line));
        }
        values.retain(|(name, _)| self.metadata.may_report(name));
    }
}

/// The plan's result does not answer the request.
pub(crate) fn bad(plan: &Described, what: impl std::fmt::Display) -> Error {
    fedwasm_sandbox::Error::from(plan.fault(FaultKind::BadOutput, what)).into()
}
