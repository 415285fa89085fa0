//! The texts of refusals that researchers get. Paths, cells and words of a plan stay in the node's
//! log; only a reason and facts about the request leave.

use std::io;

use fedwasm_protocol::{BlobRef, Reason, Refusal, printable};
use fedwasm_sandbox::FaultKind;

use crate::error::NO_SPACE;

/// A refusal whose message is fit to print.
pub(crate) fn refusal(reason: Reason, message: String) -> Refusal {
    Refusal { reason, message: printable(&message) }
}

pub(crate) fn training_refusal(error: &fedwasm_training::Error) -> Refusal {
    use fedwasm_training::Error as E;
    let reason = match error {
        E::Sandbox(error) => return sandbox_refusal(error),
        E::Dataset(error) => return unreadable(error),
        E::BatchTooLarge { .. } | E::Tensors { .. } => Reason::BadRequest,
        _ => Reason::Dataset,
    };
    refusal(reason, error.to_string())
}

/// A file can fail while it is read: its path and its cells stay in the node's log.
fn unreadable(error: &dyn std::fmt::Display) -> Refusal {
    tracing::warn!("{error}");
    refusal(Reason::Dataset, "the dataset cannot be read; the node's log says more".into())
}

/// A call that needs no data takes too long only on a busy machine: it may succeed another time.
pub(crate) fn pure_refusal(error: &fedwasm_sandbox::Error) -> Refusal {
    let refusal = sandbox_refusal(error);
    match error {
        fedwasm_sandbox::Error::Fault(fault) if fault.kind == FaultKind::DeadlineExceeded => {
            Refusal { reason: Reason::PlanKilled, ..refusal }
        }
        _ => refusal,
    }
}

/// A fault's kind leaves the node; its detail, which a plan wrote and which
/// could carry rows, stays in the node's log.
fn sandbox_refusal(error: &fedwasm_sandbox::Error) -> Refusal {
    use fedwasm_sandbox::Error as E;
    match error {
        E::Fault(fault) => {
            if fault.kind == FaultKind::Cancelled {
                return refusal(Reason::Expired, "the round was cancelled".into());
            }
            tracing::warn!("{fault}");
            let reason = match fault.kind {
                FaultKind::InvalidArgument => Reason::BadRequest,
                FaultKind::Killed => Reason::PlanKilled,
                // No data were involved: these are words about the plan itself.
                FaultKind::Refused => return refusal(Reason::PlanRefused, fault.to_string()),
                _ => Reason::PlanFailed,
            };
            let message = format!("{} {}; the node's log says more", fault.plan, fault.kind);
            refusal(reason, message)
        }
        E::Argument(_) | E::Params { .. } => refusal(Reason::BadRequest, error.to_string()),
        E::Loader { .. } => unreadable(error),
        _ => {
            tracing::error!("{error}");
            refusal(Reason::Internal, "the node cannot run plans; its log says more".into())
        }
    }
}

/// A plan is compiled without any data, so the compiler's words may leave.
pub(crate) fn compiler_refusal(error: &fedwasm_sandbox::Error) -> Refusal {
    match error {
        fedwasm_sandbox::Error::Fault(fault) => {
            tracing::warn!("{fault}");
            let reason = match fault.kind {
                FaultKind::Cancelled => Reason::Expired,
                FaultKind::Refused => Reason::PlanRefused,
                _ => Reason::PlanFailed,
            };
            refusal(reason, fault.to_string())
        }
        error => {
            tracing::error!("{error}");
            let text = "the node cannot compile plans; its log says more".to_owned();
            refusal(Reason::Internal, text)
        }
    }
}

/// The node's own files cannot be written.
pub(crate) fn unwritable(error: io::Error) -> Refusal {
    tracing::error!("the files of experiments could not be written: {error}");
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&error.kind());
    let why = if full { format!(": {NO_SPACE}") } else { String::new() };
    refusal(Reason::Internal, format!("the node cannot write its files{why}"))
}

/// A blob could not be fetched or stored.
pub(crate) fn blob_refusal(error: fedwasm_transport::Error) -> Refusal {
    refusal(Reason::Blob, error.to_string())
}

/// Refuses a blob that is larger than `max` bytes, before it is fetched.
pub(crate) fn check_size(what: &str, blob: &BlobRef, max: u64) -> Result<(), Refusal> {
    if blob.size > max {
        let message = format!("{what}: {} bytes, at most {max} are accepted", blob.size);
        return Err(refusal(Reason::BadRequest, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_protocol::Digest;

    #[test]
    fn what_a_machine_without_memory_or_time_does_is_no_failure_of_the_plan() {
        let fault = |kind| {
            let (name, version) = ("p".to_owned(), "1".to_owned());
            let plan = fedwasm_sandbox::PlanName { name, version, digest: Digest::of(b"p") };
            fedwasm_sandbox::Error::from(fedwasm_sandbox::Fault { plan, kind, detail: "x".into() })
        };
        let (killed, late) = (fault(FaultKind::Killed), fault(FaultKind::DeadlineExceeded));
        assert_eq!(sandbox_refusal(&killed).reason, Reason::PlanKilled);
        assert_eq!(sandbox_refusal(&late).reason, Reason::PlanFailed);
        assert_eq!(pure_refusal(&late).reason, Reason::PlanKilled);
        assert_eq!(pure_refusal(&fault(FaultKind::Panicked)).reason, Reason::PlanFailed);
    }

    #[test]
    fn a_full_disk_is_told_by_one_name() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let text = unwritable(full()).message;
        assert_eq!(text, "the node cannot write its files: no space is left on its disk");
        let other = unwritable(io::Error::from(io::ErrorKind::PermissionDenied)).message;
        assert_eq!(other, "the node cannot write its files");
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        let error = crate::Error::from(rusqlite::Error::SqliteFailure(code, None));
        assert_eq!(error.to_string(), "registry.db: no space is left on its disk");
    }

    #[test]
    fn paths_and_cells_stay_at_the_node() {
        let path = std::path::Path::new("/secret/patients.csv");
        let dataset = fedwasm_dataset::Dataset::open(path, None).unwrap_err();
        let reason = dataset.to_string();
        assert!(reason.contains("secret"), "{reason}");
        let loader = fedwasm_sandbox::Error::Loader { reason };
        for error in [fedwasm_training::Error::from(dataset), loader.into()] {
            let refusal = training_refusal(&error);
            assert_eq!(refusal.reason, Reason::Dataset);
            assert!(!refusal.message.contains("secret"), "{}", refusal.message);
        }
    }
}
