//! `fedwasm verify`: checks a receipt, and at the site runs the round again.

use std::path::PathBuf;

use fedwasm_node::{Mismatch, read_receipt_of, rerun};
use fedwasm_protocol::{Evaluation, printable};
use fedwasm_sandbox::{InProcessOptions, Sandbox};
use fedwasm_trust::{Membership, RECEIPT_BYTES_MAX, Receipt, Roster, Signer};
use serde_json::json;

use crate::columns::Columns;
use crate::command_error::{CommandError, PLAN_REFUSED, USAGE};
use crate::commands::sandbox;
use crate::printer::{Printer, utc};

/// The largest file of a membership, in bytes.
const MEMBERSHIP_BYTES_MAX: u64 = 8 << 20;

/// Check a receipt: its signer and, at the site, that running the round again gives the same bytes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The receipt.
    receipt: PathBuf,
    /// The directory of the node that ran it: check the receipts before it, open its
    /// commitments, and run it again.
    #[arg(long)]
    data: Option<PathBuf>,
    /// A membership file with the roster, such as receipts/membership.json of an experiment.
    #[arg(long)]
    membership: Option<PathBuf>,
    /// Run it without compiler optimisation, in this process: another way to the same bytes.
    #[arg(long, requires = "data")]
    unoptimised: bool,
}

pub(crate) fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    let signed = fedwasm_folder::read_file(&args.receipt, RECEIPT_BYTES_MAX)?;
    let failed = |mismatch: Mismatch| {
        printer.event(
            "result",
            &json!({ "verified": false, "part": mismatch.part, "reason": mismatch.cause.to_string() }),
        );
        // The directory is not part of the receipt.
        let code = if mismatch.is_of_site() { USAGE } else { PLAN_REFUSED };
        CommandError::new(code, format!("{}: {mismatch}", args.receipt.display()))
    };
    let mut signer = None;
    let mut receipt = None;
    if let Some(path) = &args.membership {
        let json = fedwasm_folder::read_file(path, MEMBERSHIP_BYTES_MAX)?;
        let membership: Membership = serde_json::from_slice(&json)
            .map_err(|error| CommandError::new(USAGE, format!("{}: {error}", path.display())))?;
        let roster = serde_json::to_vec(&membership.roster).unwrap_or_default();
        let roster = Roster::verify(&roster, &membership.authority)?;
        let (read, by) = read_receipt_of(&signed, &roster).map_err(failed)?;
        if read.federation != roster.federation {
            let text = format!("of federation {}, not {}", read.federation, roster.federation);
            return Err(failed(Mismatch { part: "federation", cause: text.into() }));
        }
        (signer, receipt) = (Some(by), Some(read));
    }
    let mut again = None;
    if let Some(dir) = &args.data {
        let sandbox = match args.unoptimised {
            true => {
                let options = InProcessOptions { optimised: false, interruptible: true };
                Sandbox::in_process_with(options)?
            }
            false => sandbox(false, printer)?,
        };
        again = Some(rerun(dir, &signed, sandbox).map_err(failed)?);
        let keys = fedwasm_node::keys_of(dir)?;
        receipt = Some(fedwasm_node::read_receipt(&signed, &keys).map_err(failed)?);
    }
    let Some(receipt) = receipt else {
        let text = "the signer cannot be checked without a roster; give --membership FILE, or \
                    --data DIR at the site";
        return Err(CommandError::new(USAGE, text));
    };
    printer.event(
        "result",
        &json!({
            "verified": true, "rerun": again.is_some(),
            "chain": again.as_ref().map(|again| again.chain),
            "signed_by": receipt.node, "revoked": signer == Some(Signer::Revoked),
            "receipt": receipt,
        }),
    );
    show(&receipt, signer, printer);
    match &again {
        Some(again) => {
            let n = again.chain;
            printer.line(format!("chain      {n} receipts before it, back to the first"));
            printer.line("run again  the same bytes");
        }
        None => printer.line("run again  no: that needs the data, at the site (--data DIR)"),
    }
    printer.line("");
    printer.line("It proves that the node's key signed this record of this run and, if it was run");
    printer
        .line("again, that plan, parameters, arguments, seed and data give this result. It does");
    printer.line("not prove that the data are genuine, or that this was the only run.");
    Ok(())
}

fn show(receipt: &Receipt, signer: Option<Signer>, printer: &Printer) {
    let Receipt { node, researcher, request, result, engine, .. } = receipt;
    let columns = Columns::new(0).left(11).left(0);
    let line = |key: &str, value: String| printer.line(columns.line(&[key, &value]));
    let revoked = match signer {
        Some(Signer::Revoked) => ", with a key that was revoked since",
        _ => "",
    };
    line("signed by", format!("{node}{revoked}"));
    line("for", researcher.to_string());
    let mode = format!("{:?}", request.mode).to_lowercase();
    line("run", format!("{mode}, round {} of {}", request.round, request.experiment_id));
    line("ended", utc(receipt.time_ms));
    line("plan", format!("sha256:{}", request.plan.sha256));
    line("allowed by", receipt.approved_by.clone());
    line("from", format!("parameters sha256:{}", request.params.sha256));
    line("data", format!("{}, commitment {}", request.dataset_id, receipt.dataset));
    let seed = request.training.random_seed.map_or_else(|| "none".to_owned(), |n| n.to_string());
    line("seed", seed);
    for (table, arguments) in [
        ("training", serde_json::to_string(&request.training)),
        ("model", serde_json::to_string(&request.model)),
        ("aggregator", serde_json::to_string(&request.aggregator)),
    ] {
        let arguments = arguments.unwrap_or_default();
        if arguments != "{}" {
            line(table, printable(&arguments));
        }
    }
    let fedwasm_trust::Engine { fedwasm, wasmtime, profile, target } = engine;
    line("engine", format!("fedwasm {fedwasm}, wasmtime {wasmtime}, {profile}, {target}"));
    match result.params {
        Some(params) => line("gave", format!("parameters sha256:{}", params.sha256)),
        None => line("gave", "scores alone".into()),
    }
    let loss = result.train_loss.map_or_else(String::new, |loss| format!(", loss {loss:.4}"));
    line("", format!("{} samples, {} steps{loss}", result.n_samples, result.n_steps));
    if let Some(Evaluation { n_rows, metrics, .. }) = &result.evaluation {
        let score = |(name, value): (&String, &f64)| format!("{} {value:.4}", printable(name));
        let scores: Vec<String> = metrics.iter().map(score).collect();
        line("scores", format!("{} of {n_rows} held-out rows", scores.join(", ")));
    }
}
