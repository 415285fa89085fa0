//! `fedwasm plan verify`.

use std::path::PathBuf;

use fedwasm_artifact::{Component, Inspection, Statement, StatementError, load_plan};
use fedwasm_protocol::printable;
use fedwasm_sandbox::Limits;
use fedwasm_trust::{BUNDLE_BYTES_MAX, BUNDLES_MAX, Bundle, Signature, State, Trust, Verdict};
use serde_json::{Value, json};

use crate::columns::Columns;
use crate::command_error::{CommandError, PLAN_REFUSED, USAGE};
use crate::commands::plan::traced;
use crate::printer::Printer;

/// Show the signers of a plan, its needs, and whether it is trusted.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The component.
    file: PathBuf,
    /// The trusted signers: a trust file, or one public key.
    #[arg(long)]
    trust: PathBuf,
    /// A signature or statement [default: all FILE*.sigstore.json]. May be repeated.
    #[arg(long)]
    bundle: Vec<PathBuf>,
}

pub(crate) fn run(args: Args, printer: &Printer) -> Result<(), CommandError> {
    let Args { file, trust, bundle } = args;
    let component = load_plan(&file)?;
    let trust = Trust::read(&trust)?;
    let paths = if bundle.is_empty() { fedwasm_trust::bundles_beside(&file)? } else { bundle };
    if paths.len() > BUNDLES_MAX {
        let text = format!("there are {} bundles, at most {BUNDLES_MAX} are checked", paths.len());
        return Err(CommandError::new(USAGE, text));
    }
    let mut bundles = Vec::new();
    for path in &paths {
        bundles.push(fedwasm_folder::read_file(path, BUNDLE_BYTES_MAX)?);
    }
    let (signatures, verdict, said) = judge(&trust, &component, &bundles);
    show(&component, &paths, &signatures, said.as_ref(), (verdict, &trust), printer);
    match verdict {
        Verdict::Trusted => Ok(()),
        verdict => {
            let text = match verdict {
                Verdict::Failed => format!("a signature of {} is invalid", file.display()),
                verdict => format!("{} is {verdict}", file.display()),
            };
            Err(CommandError::new(PLAN_REFUSED, text))
        }
    }
}

/// Checks all signatures of a plan, and all statements: one about another plan is invalid despite
/// its signature.
pub(crate) fn judge(
    trust: &Trust,
    component: &Component,
    bundles: &[Vec<u8>],
) -> (Vec<Signature>, Verdict, Option<Statement>) {
    let (mut signatures, mut verdict) = trust.judge(component.bytes(), bundles);
    let mut said = None;
    for (json, signature) in bundles.iter().zip(&mut signatures) {
        match statement(json, signature, trust, component) {
            Some(Ok(statement)) => said = Some(statement),
            // The place of the build and the dependencies do not matter for trust here.
            Some(Err(StatementError::Other { predicate })) => {
                signature.state = State::Aside(printable(&predicate));
            }
            Some(Err(error)) => {
                signature.state = State::Failed(error.to_string());
                verdict = Verdict::Failed;
            }
            None => {}
        }
    }
    (signatures, verdict, said)
}

/// A trusted signer's statement about the plan; an error if it is about another one.
fn statement(
    json: &[u8],
    signature: &Signature,
    trust: &Trust,
    component: &Component,
) -> Option<Result<Statement, StatementError>> {
    let State::Verified(name) = &signature.state else { return None };
    if !signature.is_statement {
        return None;
    }
    let key = trust.signers.iter().find(|(known, _)| known == name).map(|(_, key)| key)?;
    let payload = Bundle::from_json(json).and_then(|bundle| bundle.verify_statement(key)).ok()?;
    Some(Statement::about(&payload, component))
}

fn show(
    component: &Component,
    paths: &[PathBuf],
    signatures: &[Signature],
    said: Option<&Statement>,
    (verdict, trust): (Verdict, &Trust),
    printer: &Printer,
) {
    let inspection = component.inspect();
    let limits = Limits::default();
    let mut listed: Vec<Value> = Vec::new();
    for (path, signature) in paths.iter().zip(signatures) {
        let mut fields = json!(signature);
        fields["path"] = json!(path);
        listed.push(fields);
    }
    printer.event(
        "result",
        &json!({
            "plan_sha256": component.digest(), "size": inspection.size,
            "world": inspection.world, "imports": inspection.imports, "signatures": listed,
            "limits": limits, "statement": said.map(|said| &said.predicate),
            "verdict": verdict, "traced": traced::runtime_event(&inspection),
        }),
    );
    let columns = Columns::new(0).left(12).left(0);
    let line = |key: &str, value: &str| printer.line(columns.line(&[key, value]));
    print_signed(&inspection, component, signatures, &line);
    line("limits", &shown(&limits));
    print_said(said, &line);
    let why = match verdict {
        Verdict::Untrusted => {
            let (got, needed) = (signers(signatures), trust.threshold);
            format!(": {got} of {needed} trusted signers signed its bytes")
        }
        Verdict::Failed => ": a signature or statement is invalid".into(),
        Verdict::Revoked => ": the trust file revokes it".into(),
        _ => String::new(),
    };
    line("verdict", &format!("{verdict}{why}"));
}

fn print_signed(
    inspection: &Inspection,
    component: &Component,
    signatures: &[Signature],
    line: &dyn Fn(&str, &str),
) {
    let name = inspection.name.as_deref().unwrap_or("unnamed");
    let version = inspection.version.as_deref().unwrap_or_default();
    line("plan", &format!("{name} {version}"));
    line("digest", &format!("sha256:{}, {} bytes", component.digest(), inspection.size));
    line("world", &inspection.world);
    if let Some(traced) = &inspection.traced {
        line("runtime", &traced::runtime(traced));
    }
    if signatures.is_empty() {
        line("signatures", "none");
    }
    for (index, signature) in signatures.iter().enumerate() {
        let what = if signature.is_statement { "statement" } else { "bytes" };
        let key = signature.key.map_or("a key without a name".to_owned(), |key| key.short());
        let text = match &signature.state {
            State::Verified(name) => format!("OK       {what} by {name} ({key})"),
            State::Unknown => format!("UNKNOWN  {what} by {key}, not in the trust file"),
            State::Aside(predicate) => format!("ASIDE    {what} by {key}: {predicate}"),
            State::Failed(reason) => format!("FAILED   {what} by {key}: {reason}"),
        };
        line(if index == 0 { "signatures" } else { "" }, &text);
    }
    let imports = &inspection.imports;
    line("imports", &format!("{} allowed, 0 denied: {}", imports.len(), imports.join(", ")));
}

/// The statement of a trusted signer, and the source and packages that it names.
fn print_said(said: Option<&Statement>, line: &dyn Fn(&str, &str)) {
    match said.map(|said| &said.predicate) {
        Some(said) => {
            let arguments = said.description["arguments"].as_array().map_or(0, Vec::len);
            line("arguments", &format!("{arguments} declared (`plan inspect` lists them)"));
            if let Some(build) = &said.build {
                let lock = build.lock_sha256;
                line("built with", &format!("{}, lock file sha256:{lock}", build.rustc));
            }
        }
        None => line("statement", "none by a trusted signer"),
    }
    if let Some(source) = said.and_then(|said| said.predicate.source.as_ref()) {
        let modified = if source.modified { ", files changed since" } else { "" };
        let revision = source.revision.as_deref().unwrap_or("not under git");
        line("revision", &format!("{revision}{modified}"));
        let packages = source.dependencies.iter();
        let packages: Vec<String> =
            packages.map(|package| format!("{} {}", package.name, package.version)).collect();
        line("packages", &format!("{}: {}", packages.len(), packages.join(", ")));
    }
}

/// Distinct signers of the bytes.
fn signers(signatures: &[Signature]) -> usize {
    let verified = signatures.iter().filter(|signature| !signature.is_statement);
    let names = verified.filter_map(|signature| match &signature.state {
        State::Verified(name) => Some(name),
        _ => None,
    });
    names.collect::<std::collections::BTreeSet<_>>().len()
}

/// The default limits on this machine.
fn shown(limits: &Limits) -> String {
    format!(
        "{} MiB of memory, {} s a call, {} MiB of tensors",
        limits.memory_bytes_max >> 20,
        limits.time_ms_max / 1_000,
        limits.declared_bytes_max >> 20,
    )
}
