//! `fedwasm plan sign`.

use std::path::{Path, PathBuf};

use fedwasm_artifact::load_plan;
use fedwasm_artifact::{Component, Statement, source};
use fedwasm_sandbox::Limits;
use fedwasm_trust::{Bundle, KeyPair};
use serde_json::json;

use crate::command_error::{CommandError, USAGE};
use crate::commands::sandbox;
use crate::printer::Printer;

/// Sign a plan: its exact bytes, and a statement about it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component.
    file: PathBuf,
    /// The signer's private key.
    #[arg(long)]
    key: PathBuf,
    /// The directory of the plan crate: its revision and its dependencies go
    /// into the statement.
    #[arg(long)]
    source: Option<PathBuf>,
    /// The file for the signature; the statement goes beside it [default: FILE.sigstore.json].
    #[arg(short)]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    let Args { file, key, source: sources, output } = args;
    let component = load_plan(&file)?;
    let key = KeyPair::read(&key)?;
    let path = output.unwrap_or_else(|| with_suffix(&file, ".sigstore.json"));
    let sources = sources.map(|dir| source(&dir, &component)).transpose()?;
    if let Some(source) = &sources
        && source.modified
    {
        printer.note("warning: files differ from the revision that the statement names");
    }
    let described = describe(&component, printer)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let statement = Statement::new(&component, &name, described, sources);
    let statement = Bundle::sign_statement(&statement.to_json(), &key)?;
    let signature = sign(&component, &key)?;
    let statement_path = statement_path(&path);
    for path in [&path, &statement_path] {
        check_own(path, &key)?;
    }
    fedwasm_folder::write_file(&path, &signature.to_json())?;
    fedwasm_folder::write_file(&statement_path, &statement.to_json())?;
    let fingerprint = key.public().fingerprint();
    printer.line(format!("plan       sha256:{}", component.digest()));
    printer.line(format!("key        {fingerprint}"));
    printer.line(format!("signature  {}", path.display()));
    printer.line(format!("statement  {}", statement_path.display()));
    printer.event(
        "result",
        &json!({
            "plan_sha256": component.digest(), "key": fingerprint, "signature": path,
            "statement": statement_path,
        }),
    );
    Ok(())
}

/// Signs the exact bytes of a plan.
pub(crate) fn sign(component: &Component, key: &KeyPair) -> Result<Bundle, CommandError> {
    Ok(Bundle::sign_bytes(component.bytes(), key)?)
}

/// The plan's own description.
fn describe(component: &Component, printer: &Printer) -> Result<serde_json::Value, CommandError> {
    let described = sandbox(false, printer)?.describe(component, Limits::default())?;
    let metadata = described.metadata();
    let description = json!({
        "name": metadata.name, "version": metadata.version, "task": metadata.task,
        "arguments": metadata.arguments, "dependencies": metadata.dependencies,
    });
    Ok(description)
}

/// Another signer's bundle is not overwritten.
fn check_own(path: &Path, key: &KeyPair) -> Result<(), CommandError> {
    if !path.exists() {
        return Ok(());
    }
    let json = fedwasm_folder::read_file(path, fedwasm_trust::BUNDLE_BYTES_MAX)?;
    let hint = Bundle::from_json(&json).ok().and_then(|bundle| bundle.hint());
    match hint == Some(key.public().fingerprint()) {
        true => Ok(()),
        false => {
            let text = format!(
                "{} belongs to another signer; choose another file with -o, such as \
                 PLAN.wasm.NAME.sigstore.json",
                path.display()
            );
            Err(CommandError::new(USAGE, text))
        }
    }
}

fn statement_path(path: &Path) -> PathBuf {
    let name = path.to_string_lossy();
    let stem = name.strip_suffix(".sigstore.json").unwrap_or(&name);
    format!("{stem}.statement.sigstore.json").into()
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
