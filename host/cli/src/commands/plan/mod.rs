//! `fedwasm plan`: new, build, inspect, test, sign and verify.

mod inspect;
mod new;
mod registry;
mod sign;
mod test;
mod verify;

use std::path::PathBuf;

use clap::Subcommand;
use fedwasm_artifact::{Home, load_plan};
use serde_json::json;

use crate::columns::Columns;
use crate::command_error::{CommandError, FAILED, USAGE};
use crate::printer::Printer;

pub(crate) use sign::{bundles_beside, sign};
pub(crate) use verify::judge;

/// Build and inspect training plans.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create the crate of a new plan, with all of its dependencies.
    New(new::Args),
    /// Compile a plan crate to a component, the same bytes on every machine.
    Build {
        /// The directory of the plan crate.
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// The component to write [default: NAME.wasm in the current directory].
        #[arg(short)]
        output: Option<PathBuf>,
        /// Calculate in the plan instead of at the host, on contract 0.1: slower, the same bits.
        #[arg(long)]
        in_guest: bool,
        /// Write nothing; check whether the sources give this component.
        #[arg(long, conflicts_with_all = ["output", "in_guest"])]
        reproduce: Option<PathBuf>,
    },
    /// Show the contents of a component, its arguments and its needs.
    Inspect {
        /// The component.
        file: PathBuf,
        /// Model arguments for the parameter shapes: the [model] of this file.
        #[arg(long)]
        args: Option<PathBuf>,
    },
    /// Test a plan: the promises of every plan, its gradient, and golden metrics.
    Test(test::Args),
    /// Sign a plan: its exact bytes, and a statement about it.
    Sign(sign::Args),
    /// Show the signers of a plan, its needs, and whether it is trusted.
    Verify(verify::Args),
    /// Push a plan and its signatures to an OCI registry.
    Push(registry::PushArgs),
    /// Pull a plan and its signatures from an OCI registry.
    Pull(registry::PullArgs),
}

impl Command {
    /// The file of --args.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Inspect { args, .. } => args.clone(),
            Self::Test(args) => args.args.clone(),
            _ => None,
        }
    }
}

pub(crate) async fn run(command: Command, printer: &Printer) -> Result<(), CommandError> {
    match command {
        Command::New(args) => new::run(&args, printer),
        Command::Build { dir, reproduce: Some(file), .. } => reproduce(&dir, &file, printer),
        Command::Build { dir, output, in_guest, reproduce: None } => {
            build(&dir, if in_guest { Home::Guest } else { Home::Host }, output, printer)
        }
        Command::Inspect { file, args } => inspect::run(&file, args, printer),
        Command::Test(args) => test::run(args, printer),
        Command::Sign(args) => sign::run(args, printer),
        Command::Verify(args) => verify::run(args, printer),
        Command::Push(args) => registry::push(args, printer).await,
        Command::Pull(args) => registry::pull(args, printer).await,
    }
}

fn build(
    dir: &std::path::Path,
    home: Home,
    output: Option<PathBuf>,
    printer: &Printer,
) -> Result<(), CommandError> {
    if !dir.is_dir() {
        return Err(CommandError::new(USAGE, format!("{} is not a directory", dir.display())));
    }
    let built = fedwasm_artifact::build(dir, home, &mut |line| printer.note(line))?;
    let path = output.unwrap_or_else(|| format!("{}.wasm", built.name).into());
    fedwasm_folder::write_file(&path, built.component.bytes())?;
    let blob = built.component.blob();
    printer.line(format!("{}  {} bytes  sha256:{}", path.display(), blob.size, blob.sha256));
    printer.event(
        "result",
        &json!({ "plan_sha256": blob.sha256, "size": blob.size, "path": path, "name": built.name }),
    );
    Ok(())
}

/// Builds again and compares.
fn reproduce(
    dir: &std::path::Path,
    file: &std::path::Path,
    printer: &Printer,
) -> Result<(), CommandError> {
    let known = load_plan(file)?;
    let built =
        fedwasm_artifact::build(dir, Home::of(&known), &mut |line| printer.note(line))?.component;
    let same = built.bytes() == known.bytes();
    let differences = match (known.inspect().build, built.inspect().build) {
        _ if same => Vec::new(),
        (Some(known), Some(built)) => {
            let text = |digest: fedwasm_protocol::Digest| digest.to_string();
            [
                ("sources", text(known.sources_sha256), text(built.sources_sha256)),
                ("lock file", text(known.lock_sha256), text(built.lock_sha256)),
                ("compiler", known.rustc, built.rustc),
                ("wit-component", known.wit_component, built.wit_component),
            ]
            .into_iter()
            .filter(|(_, known, built)| known != built)
            .map(|(what, known, built)| json!({ "what": what, "known": known, "built": built }))
            .collect()
        }
        _ => Vec::new(),
    };
    printer.event(
        "result",
        &json!({
            "plan_sha256": known.digest(), "built_sha256": built.digest(), "identical": same,
            "differences": differences,
        }),
    );
    if same {
        printer.line(format!("identical   sha256:{}", known.digest()));
        return Ok(());
    }
    printer.line(format!("plan        sha256:{}", known.digest()));
    printer.line(format!("built here  sha256:{}", built.digest()));
    for difference in &differences {
        let text = |key: &str| difference[key].as_str().unwrap_or_default().to_owned();
        let both = format!("{} there, {} here", text("known"), text("built"));
        printer.line(Columns::new(0).left(12).left(0).line(&[text("what"), both]));
    }
    let text = match differences.is_empty() {
        true => "the same sources, lock file and tools give different bytes here",
        false => "it was built from other sources or with other tools",
    };
    Err(CommandError::new(FAILED, format!("{}: {text}", file.display())))
}
