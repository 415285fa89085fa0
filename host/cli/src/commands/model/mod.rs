//! `fedwasm model`.

mod card;
mod export;
mod show;
mod sign;
mod verify;

use std::path::PathBuf;

use clap::Subcommand;

use crate::command_error::CommandError;
use crate::printer::Printer;

/// Show, check and sign the models of runs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a model: its plan, columns, classes, scores and sites.
    Show {
        /// The directory of the model, or of the run that it is in.
        model: PathBuf,
    },
    /// Write a model's card: its data in numbers, arguments, scores by site, limits, and who approved
    /// the plan.
    Card {
        /// The directory of the model, or of the run that it is in.
        model: PathBuf,
        /// Write an HTML page instead of Markdown.
        #[arg(long)]
        html: bool,
        /// The file for the card [default: standard output].
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Write a model in another format.
    ///
    /// ONNX is written of traced plans, and of the shipped plans logistic-regression,
    /// linear-regression and mlp. Its input has the columns of the model in their order, in float64
    /// and as the dataset has them where the model holds their scales, otherwise in float32; its
    /// output `scores` is what the plan predicts.
    Export {
        /// The directory of the model, or of the run that it is in.
        model: PathBuf,
        /// The file for the model in ONNX.
        #[arg(long, value_name = "FILE")]
        onnx: PathBuf,
        /// The scales of the inputs (preprocessing.json) instead of those in the model.
        #[arg(long, value_name = "FILE")]
        scales: Option<PathBuf>,
    },
    /// Check the files of a model against their digests, its plan, and its signatures.
    ///
    /// The exit code is 3 if a file is not as `model.json` says, or if --key did not sign it.
    Verify {
        /// The directory of the model, or of the run that it is in.
        model: PathBuf,
        /// The public key that must have signed it.
        #[arg(long)]
        key: Option<PathBuf>,
    },
    /// Sign a model.
    Sign {
        /// The directory of the model, or of the run that it is in.
        model: PathBuf,
        /// The signer's private key.
        #[arg(long)]
        key: PathBuf,
    },
}

pub(crate) fn run(command: Command, printer: &Printer) -> Result<(), CommandError> {
    match command {
        Command::Show { model } => show::show(&model, printer),
        Command::Card { model, html, out } => card::card(&model, html, out.as_deref(), printer),
        Command::Export { model, onnx, scales } => {
            export::export(&model, &onnx, scales.as_deref(), printer)
        }
        Command::Verify { model, key } => verify::verify(&model, key.as_deref(), printer),
        Command::Sign { model, key } => sign::sign(&model, &key, printer),
    }
}
