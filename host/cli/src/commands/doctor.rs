//! `fedwasm doctor`.

use std::time::Instant;

use fedwasm_sandbox::{Protection, Sandbox, WorkerOptions};
use serde_json::{Value, json};

use crate::columns::Columns;
use crate::command_error::{CommandError, FAILED};
use crate::printer::Printer;

/// One check.
struct Finding {
    what: String,
    /// The missing part; none if the check passed.
    missing: Option<String>,
    detail: String,
    /// The cure.
    help: Option<String>,
    /// Whether plans run without it.
    is_optional: bool,
}

impl Finding {
    fn new(what: &str, result: Result<String, String>) -> Self {
        let (detail, missing) = match result {
            Ok(detail) => (detail, None),
            Err(missing) => (String::new(), Some(missing)),
        };
        Self { what: what.to_owned(), missing, detail, help: None, is_optional: false }
    }
}

pub(crate) fn run(printer: &Printer) -> Result<(), CommandError> {
    let options = WorkerOptions::of_user();
    let uncached = WorkerOptions { cache: None, ..options.clone() };
    let mut findings = Vec::new();
    let worker = Sandbox::new(uncached).and_then(|sandbox| {
        let start = Instant::now();
        let protections = sandbox.protections()?;
        Ok((sandbox, protections, start.elapsed()))
    });
    let mut lost = 0;
    let works = worker.is_ok();
    match worker {
        Ok((sandbox, protections, time)) => {
            // The name of this program, not its path.
            let program = sandbox
                .program()
                .map(|program| std::fs::read_link(program).unwrap_or(program.to_owned()));
            let program = program.map(|program| program.display().to_string());
            let ms = time.as_secs_f64() * 1e3;
            let detail = format!("{}, starts in {ms:.0} ms", program.unwrap_or_default());
            findings.push(Finding::new("worker", Ok(detail)));
            for Protection { name, missing } in protections {
                lost += usize::from(missing.is_some());
                let result = missing.map_or(Ok("held".to_owned()), Err);
                findings.push(Finding::new(&name, result));
            }
        }
        Err(error) => findings.push(Finding::new("worker", Err(error.to_string()))),
    }
    findings.push(Finding::new("compiled plans", cache(options)));
    let toolchain = fedwasm_artifact::toolchain().map_err(CommandError::from);
    let help = toolchain.as_ref().err().and_then(|error| error.help.clone());
    let toolchain =
        Finding::new("building plans", toolchain.map_err(|error| error.message.clone()));
    findings.push(Finding { help, is_optional: true, ..toolchain });
    let mut rows = Vec::new();
    for Finding { what, missing, detail, help, is_optional } in &findings {
        rows.push(match missing {
            Some(missing) if *is_optional => ["absent", what, missing].map(str::to_owned).to_vec(),
            Some(missing) => ["missing", what, missing].map(str::to_owned).to_vec(),
            None => ["ok", what, detail].map(str::to_owned).to_vec(),
        });
        if let Some(help) = help {
            rows.push(vec![String::new(), String::new(), format!("= help: {help}")]);
        }
    }
    Columns::new(1).left(8).left(22).left(0).print(&rows, printer);
    let all: Vec<Value> = findings
        .iter()
        .map(|Finding { what, missing, detail, help, .. }| {
            let detail = missing.as_ref().unwrap_or(detail);
            json!({ "what": what, "ok": missing.is_none(), "detail": detail, "help": help })
        })
        .collect();
    printer.event("result", &json!({ "findings": all }));
    match (works, lost) {
        (true, 0) => Ok(()),
        (true, lost) => {
            let message = format!("plans run here without {lost} of their protections");
            Err(CommandError::new(FAILED, message))
        }
        (false, _) => Err(CommandError::new(FAILED, "plans cannot run here")),
    }
}

/// The directory of compiled plans, if there is one.
fn cache(options: WorkerOptions) -> Result<String, String> {
    let dir = options.cache.clone().ok_or("the home directory is unknown")?;
    match Sandbox::new(options) {
        Err(error @ fedwasm_sandbox::Error::Cache(_)) => Err(error.to_string()),
        _ => Ok(format!("kept in {}", dir.display())),
    }
}
