//! `fedwasm plan build`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fedwasm_artifact::{Component, Home, Inspection, load_plan};
use serde_json::json;

use crate::columns::Columns;
use crate::command_error::{CommandError, FAILED, PLAN_REFUSED, USAGE};
use crate::printer::Printer;

/// The environment variable that names the Python which has the package.
const PYTHON: &str = "FEDWASM_PYTHON";

/// Build a component from a plan crate or a Python file, the same bytes on every machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory of the plan crate, or a Python file, which runs here.
    #[arg(default_value = ".")]
    source: PathBuf,
    /// The component to write [default: NAME.wasm in the current directory].
    #[arg(short)]
    output: Option<PathBuf>,
    /// Calculate in the plan instead of at the host, on contract 0.1: slower, the same bits.
    #[arg(long)]
    in_guest: bool,
    /// The class of the plan, if the Python file has several.
    #[arg(long, value_name = "NAME", conflicts_with = "in_guest")]
    class: Option<String>,
    /// Write nothing; check whether the sources give this component.
    #[arg(long, conflicts_with_all = ["output", "in_guest"])]
    reproduce: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, printer: &Printer) -> Result<(), CommandError> {
    if let Some(file) = &args.reproduce {
        return reproduce(args, file, printer);
    }
    let home = if args.in_guest { Home::Guest } else { Home::Host };
    let (name, component) = built(args, home, printer)?;
    let path = args.output.clone().unwrap_or_else(|| format!("{name}.wasm").into());
    fedwasm_folder::write_file(&path, component.bytes())?;
    let blob = component.blob();
    printer.line(format!("{}  {} bytes  sha256:{}", path.display(), blob.size, blob.sha256));
    printer.event(
        "result",
        &json!({ "plan_sha256": blob.sha256, "size": blob.size, "path": path, "name": name }),
    );
    Ok(())
}

/// The plan's name and its component.
fn built(args: &Args, home: Home, printer: &Printer) -> Result<(String, Component), CommandError> {
    let source = &args.source;
    let is_python = source.extension().is_some_and(|extension| extension == "py");
    let usage = |text: String| Err(CommandError::new(USAGE, text));
    if is_python && source.is_file() {
        return match home {
            Home::Host => traced(source, args, printer),
            Home::Guest => usage(format!(
                "{}: plans in Python calculate at the host, not in the plan",
                source.display()
            )),
        };
    }
    if !source.exists() {
        return usage(format!("{} does not exist", source.display()));
    }
    if !source.is_dir() {
        let text = format!("{} is not a directory or a Python file", source.display());
        return usage(text + "\nhelp: name the directory of a plan crate, or a file `NAME.py`");
    }
    if args.class.is_some() {
        return usage("--class is for plans in Python".into());
    }
    let built = fedwasm_artifact::build(source, home, &mut |line| printer.note(line))?;
    Ok((built.name, built.component))
}

/// Has Python trace a plan, and admits the component that it writes.
fn traced(
    source: &Path,
    args: &Args,
    printer: &Printer,
) -> Result<(String, Component), CommandError> {
    let id = fedwasm_protocol::RequestId::random()?;
    let dir = std::env::temp_dir().join(format!("fedwasm-plan-{id}"));
    // Others can neither read the component nor put another in its place.
    fedwasm_folder::Folder::create_private(&dir)?;
    let path = dir.join("plan.wasm");
    let component = run_python(source, args.class.as_deref(), &path, printer)
        .and_then(|()| Ok(load_plan(&path)?));
    let _ = std::fs::remove_dir_all(&dir);
    let component = component?;
    let name = component.inspect().name.unwrap_or_else(|| "plan".into());
    Ok((name, component))
}

/// Runs `python3 -m fedwasm build`. All that it and the author's file print goes to standard error.
fn run_python(
    source: &Path,
    class: Option<&str>,
    output: &Path,
    printer: &Printer,
) -> Result<(), CommandError> {
    let python = std::env::var(PYTHON).ok().filter(|name| !name.is_empty());
    let python = python.unwrap_or_else(|| "python3".into());
    let mut command = Command::new(&python);
    command.args(["-m", "fedwasm", "build"]).arg(source).arg("-o").arg(output);
    if let Some(class) = class {
        command.args(["--class", class]);
    }
    // No module of the working directory stands in for the package (Python 3.11 and newer).
    command.env("PYTHONSAFEPATH", "1");
    command.stdin(Stdio::null()).stdout(std::io::stderr()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => CommandError::new(
            USAGE,
            format!(
                "the program `{python}`, which reads plans in Python, was not found\nhelp: install \
                 Python 3.10 or newer, or name one in the environment variable {PYTHON}"
            ),
        ),
        _ => CommandError::new(FAILED, format!("`{python}`: {error}")),
    })?;
    let mut has_package = true;
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            match line.ends_with(": No module named fedwasm") {
                true => has_package = false,
                false => printer.note(line),
            }
        }
    }
    let ended = child.wait()?;
    let failed =
        |kind, text: &str| Err(CommandError::new(kind, format!("{}: {text}", source.display())));
    match ended.success() {
        true if output.is_file() => return Ok(()),
        true => return failed(FAILED, "Python ended without an error, and wrote no component"),
        false => {}
    }
    if !has_package {
        let text = format!(
            "the package `fedwasm` is not installed for `{python}`\nhelp: install the wheel of \
             this release there, or name another Python in the environment variable {PYTHON}"
        );
        return Err(CommandError::new(USAGE, text));
    }
    // Its exit codes are those of this program.
    let kind = match ended.code() {
        Some(2) => USAGE,
        Some(3) => PLAN_REFUSED,
        _ => FAILED,
    };
    failed(kind, "Python could not build the plan")
}

/// The parts that a component's bytes follow from, by name.
fn origin(inspection: &Inspection) -> Vec<(&'static str, String)> {
    let mut parts = Vec::new();
    if let Some(traced) = &inspection.traced {
        parts.push(("graph", traced.graph_sha256.to_string()));
        parts.push(("runtime", traced.runtime_sha256.to_string()));
    }
    if let Some(build) = &inspection.build {
        parts.push(("sources", build.sources_sha256.to_string()));
        parts.push(("lock file", build.lock_sha256.to_string()));
        parts.push(("compiler", build.rustc.clone()));
        parts.push(("wit-component", build.wit_component.clone()));
    }
    parts
}

/// Builds again and compares.
fn reproduce(args: &Args, file: &Path, printer: &Printer) -> Result<(), CommandError> {
    let known = load_plan(file)?;
    let (_, built) = built(args, Home::of(&known), printer)?;
    let same = built.bytes() == known.bytes();
    let (there, here) = (origin(&known.inspect()), origin(&built.inspect()));
    let differences: Vec<_> = there
        .into_iter()
        .zip(here)
        .filter(|((part, there), (same_part, here))| part == same_part && there != here)
        .map(|((what, known), (_, built))| json!({ "what": what, "known": known, "built": built }))
        .collect();
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
