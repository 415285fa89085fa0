//! `fedwasm plan test`.

use std::path::{Path, PathBuf};

use fedwasm_artifact::load_plan;
use fedwasm_local::{Golden, LocalFile, PlanTestOptions, plan_suite};
use fedwasm_protocol::{DataArgs, FieldSelection};
use fedwasm_sandbox::Cancel;
use fedwasm_training::{Check, CheckVerdict, DrawnInputs};
use serde_json::json;

use crate::command_error::{CommandError, PLAN_FAILED, USAGE};
use crate::commands::{sandbox, target};
use crate::printer::Printer;

/// The golden file beside a plan.
const GOLDEN: &str = "golden.toml";
/// The name of the check of golden metrics.
const GOLDEN_CHECK: &str = "training on known data gives the golden metrics";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component.
    file: PathBuf,
    /// A file with [model] and [limits], such as that of an experiment.
    #[arg(long)]
    pub(super) args: Option<PathBuf>,
    /// Another build of the plan, such as with --in-guest, which must give the same bytes.
    #[arg(long)]
    twin: Option<PathBuf>,
    /// Rows to test the plan on: data as for `fedwasm local` [default: random rows].
    #[arg(long)]
    data: Option<PathBuf>,
    /// The column to predict.
    #[arg(long, requires = "data")]
    target: Option<String>,
    /// The seed of all randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The golden metrics that the plan must reach [default: PLAN.golden.toml beside PLAN.wasm].
    #[arg(long)]
    golden: Option<PathBuf>,
    /// Write the current metrics to the golden file; with --data, to a new one.
    #[arg(long)]
    bless: bool,
}

pub(crate) fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    let component = load_plan(&args.file)?;
    let twin = args.twin.as_deref().map(load_plan).transpose()?;
    let file = args.args.as_deref().map(LocalFile::read).transpose()?.unwrap_or_default();
    let sandbox = sandbox(file.strict, printer)?;
    let data = match &args.data {
        Some(path) => {
            let read = (&**path, None, &Default::default(), &Default::default());
            let target = target(&file, args.target.as_deref(), read)?;
            let data = file.data.clone().unwrap_or_else(|| DataArgs::of(target.clone()));
            Some((path.clone(), DataArgs { target, ..data }))
        }
        None => None,
    };
    let golden = golden(&args, data.as_ref().map(|(_, data)| &data.target))?;
    let random_seed = args.seed;
    let file_of_rows = data.as_ref().map(|(path, _)| path.display().to_string());
    let options = PlanTestOptions { component, twin, sandbox, file, data, random_seed };
    let (component, sandbox) = (options.component.clone(), options.sandbox.clone());
    let cancel = Cancel::new();
    let suite = plan_suite(options, &cancel)?;
    let rows = match suite.drawn() {
        None => file_of_rows.unwrap_or_default(),
        Some(DrawnInputs::Reals) => "drawn".into(),
        Some(DrawnInputs::WholeBelow(n)) => format!("drawn, inputs whole numbers below {n}"),
    };
    printer.line(format!(
        "testing {} {} on {} rows ({rows}), seed {random_seed}\n",
        suite.plan().plan().name,
        suite.plan().plan().version,
        suite.n_rows(),
    ));
    let show = |check: &Check| {
        printer.event("check", &json!(check));
        let (state, detail) = match &check.verdict {
            CheckVerdict::Passed(detail) => ("ok", detail),
            CheckVerdict::Failed(_) => ("FAILED", &String::new()),
            CheckVerdict::Warned(detail) => ("warning", detail),
            CheckVerdict::NotApplicable(why) => ("not applicable", why),
            CheckVerdict::NotRun(cause) => {
                let name = check.name;
                printer.line(format!("check {name} ... not run: it depends on `{cause}`"));
                return;
            }
        };
        let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
        printer.line(format!("check {} ... {state}{detail}", check.name));
    };
    let mut checks = suite.run(show)?;
    if let Some((path, golden)) = golden {
        let here = path.parent().unwrap_or(Path::new(""));
        let metrics = golden.train(&component, &sandbox, here, &cancel)?;
        let off = golden.deviations(&metrics);
        let verdict = match args.bless {
            true => {
                let n = metrics.len();
                Golden { metrics, ..golden }.write(&path)?;
                CheckVerdict::Passed(format!("{n} metrics written to {}", path.display()))
            }
            false if off.is_empty() => CheckVerdict::Passed(path.display().to_string()),
            false => CheckVerdict::Failed(format!("{}: {}", path.display(), off.join("; "))),
        };
        let check = Check { name: GOLDEN_CHECK, verdict };
        show(&check);
        checks.push(check);
    }
    end(&checks, &component, printer)
}

/// The golden file to compare with or to write, if there is one.
fn golden(
    args: &Args,
    target: Option<&FieldSelection>,
) -> Result<Option<(PathBuf, Golden)>, CommandError> {
    let beside = args.file.with_extension(GOLDEN);
    let path = args.golden.clone().unwrap_or(beside);
    match (args.bless, &args.data, target) {
        (true, Some(data), Some(target)) => {
            // Relative paths in the file are relative to it; these are to the current directory.
            let absolute = |path: &Path| path.canonicalize().map_err(CommandError::from);
            let here = absolute(path.parent().filter(|dir| *dir != "").unwrap_or(Path::new(".")))?;
            let relative = |path: &Path| -> Result<PathBuf, CommandError> {
                let path = absolute(path)?;
                Ok(path.strip_prefix(&here).map(Path::to_owned).unwrap_or(path))
            };
            let file = args.args.as_deref().map(relative).transpose()?;
            let golden = Golden::new(relative(data)?, target.clone(), file, args.seed);
            Ok(Some((path, golden)))
        }
        _ if path.exists() || args.golden.is_some() => {
            Ok(Some((path.clone(), Golden::read(&path)?)))
        }
        (true, ..) => {
            let text = format!(
                "{} does not exist; name the data to train on with --data and --target",
                path.display()
            );
            Err(CommandError::new(USAGE, text))
        }
        _ => Ok(None),
    }
}

fn end(
    checks: &[Check],
    component: &fedwasm_artifact::Component,
    printer: &Printer,
) -> Result<(), CommandError> {
    // Each cause once, with the checks that it failed.
    let mut causes: Vec<(&str, Vec<&str>)> = Vec::new();
    let (mut passed, mut failed, mut warned, mut left, mut not_run) = (0, 0, 0, 0, 0);
    for check in checks {
        match &check.verdict {
            CheckVerdict::Passed(_) => passed += 1,
            CheckVerdict::Warned(_) => warned += 1,
            CheckVerdict::NotApplicable(_) => left += 1,
            CheckVerdict::NotRun(_) => not_run += 1,
            CheckVerdict::Failed(detail) => {
                failed += 1;
                match causes.iter_mut().find(|(known, _)| known == detail) {
                    Some((_, names)) => names.push(check.name),
                    None => causes.push((detail, vec![check.name])),
                }
            }
        }
    }
    if failed > 0 {
        printer.line("\nfailures:");
    }
    for (detail, names) in &causes {
        printer.line(format!("  {}\n    {detail}", names.join("\n  ")));
    }
    let state = if failed == 0 { "ok" } else { "FAILED" };
    let warnings = if warned == 0 { String::new() } else { format!("; {warned} with a warning") };
    let unrun = if not_run == 0 { String::new() } else { format!("; {not_run} not run") };
    printer.line(format!(
        "\nresult: {state}. {passed} passed{warnings}; {failed} failed{unrun}; {left} not applicable"
    ));
    printer.event(
        "result",
        &json!({
            "plan_sha256": component.digest(), "passed": passed, "warned": warned,
            "failed": failed, "not_run": not_run, "not_applicable": left,
        }),
    );
    match failed {
        0 => Ok(()),
        n => Err(CommandError::new(PLAN_FAILED, format!("{n} of {} checks failed", checks.len()))),
    }
}
