//! `fedwasm experiment verify`: every round once more.

use std::path::Path;

use fedwasm_record::{Verified, verify_experiment};
use serde_json::json;

use crate::command_error::CommandError;
use crate::printer::Printer;

pub(super) fn verify(dir: &Path, printer: &Printer) -> Result<(), CommandError> {
    let verified = verify_experiment(dir)?;
    let Verified { rounds, receipts, without_receipt, federation, .. } = &verified;
    printer.line(format!("rounds     {rounds} computed again, each with the same bytes"));
    match federation {
        Some(federation) => {
            printer
                .line(format!("receipts   {receipts} signed by nodes of federation {federation}"));
        }
        None => printer.line("receipts   none: the identity of the nodes is not known"),
    }
    if *without_receipt > 0 {
        printer.line(format!("           {without_receipt} updates have no receipt"));
    }
    printer.line("");
    printer.line("It proves that the result follows from these uploads, and that nodes signed for");
    printer.line("those that have a receipt, and for their arguments, samples, losses and scores.");
    printer.line("Only the node itself can show that an upload follows from its data, with");
    printer.line("`fedwasm verify RECEIPT --data DIR`.");
    printer.event(
        "result",
        &json!({
            "verified": true, "rounds": rounds, "receipts": receipts,
            "without_receipt": without_receipt, "federation": federation,
            "plan_sha256": verified.plan_sha256, "params_sha256": verified.params_sha256,
        }),
    );
    Ok(())
}
