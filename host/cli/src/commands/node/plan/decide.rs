//! Decisions on a plan: approvals with their terms, rejections and revocations.

use std::path::{Path, PathBuf};

use fedwasm_artifact::{Component, load_plan};
use fedwasm_node::{Bound, Decision, OPERATOR_KEY, Registration, Ruling};
use fedwasm_protocol::{ColumnRules, Digest, ResearcherId};
use fedwasm_transport::now_ms;
use fedwasm_trust::{BUNDLE_BYTES_MAX, KeyPair};
use serde_json::json;

use super::{DIGITS_TO_APPROVE_MIN, Desk, describe};
use crate::columns::Columns;
use crate::command_error::{CommandError, USAGE};
use crate::printer::Printer;

/// The subject of a decision, and the operator.
#[derive(Debug, clap::Args)]
pub(crate) struct About {
    /// The node's directory.
    dir: PathBuf,
    /// The plan: the first 16 digits of its digest or more, or its file if no researcher asked for it
    /// yet.
    plan: String,
    /// The reason, which researchers see.
    #[arg(long, default_value = "")]
    note: String,
    /// The operator's private key [default: the key in the node's directory].
    #[arg(long)]
    key: Option<PathBuf>,
}

/// The scope of an approval.
#[derive(Default)]
pub(super) struct Terms {
    pub(super) expires_ms: Option<u64>,
    pub(super) bounds: Vec<Bound>,
    pub(super) min_rows: Option<u64>,
    pub(super) researchers: Vec<ResearcherId>,
}

pub(super) fn decide(
    about: About,
    ruling: Ruling,
    Terms { expires_ms, bounds, min_rows, researchers }: Terms,
    printer: &Printer,
) -> Result<(), CommandError> {
    let About { dir, plan, note, key } = about;
    let desk = Desk::open(&dir)?;
    let path = key.unwrap_or_else(|| dir.join(OPERATOR_KEY));
    let key = KeyPair::read(&path)?;
    if desk.operators.first() != Some(key.public()) {
        let text = format!("{} is not the operator's key that node.toml names", path.display());
        return Err(CommandError::new(USAGE, text));
    }
    let file = Path::new(&plan);
    let digest = match file.is_file() {
        true => {
            // The operator registers it before any researcher asks for it.
            let component = load_plan(file)?;
            let mut signatures = Vec::new();
            for bundle in fedwasm_trust::bundles_beside(file)? {
                signatures.push(fedwasm_folder::read_file(&bundle, BUNDLE_BYTES_MAX)?);
            }
            let registration = Registration {
                component: &component,
                signatures: &signatures,
                requested_by: None,
                description: "",
                columns: &ColumnRules::default(),
                is_trusted: false,
            };
            desk.database.register(&registration, now_ms())?;
            component.digest()
        }
        false => desk.find(&plan)?.digest,
    };
    if ruling == Ruling::Approved {
        // A short piece of a digest can be forged.
        if !file.is_file() && plan.trim_start_matches("sha256:").len() < DIGITS_TO_APPROVE_MIN {
            let text = format!("approve with {DIGITS_TO_APPROVE_MIN} digits or more: {digest}");
            return Err(CommandError::new(USAGE, text));
        }
        check_bounds(&desk, &digest, &bounds, printer)?;
    }
    let operator = key.public().fingerprint();
    let time_ms = now_ms();
    let node = desk.node.clone();
    let decision = Decision {
        node,
        digest,
        ruling,
        note,
        time_ms,
        expires_ms,
        bounds,
        min_rows,
        researchers,
        operator,
    };
    desk.database.decide(&key, &decision)?;
    let row = [ruling.as_str(), &format!("{digest}{}", terms(&decision))];
    printer.line(Columns::new(1).left(9).left(0).line(&row));
    if ruling == Ruling::Approved {
        compile(&desk, &digest, printer);
    }
    printer.event("result", &json!(decision));
    Ok(())
}

/// Compiles an approved plan into the node's cache, so that its first round need not wait. A
/// failure does not undo the decision.
fn compile(desk: &Desk, digest: &Digest, printer: &Printer) {
    let compiled = || -> Result<(), CommandError> {
        let (bytes, _) = desk.database.plan(digest)?;
        let component =
            Component::admit_as(bytes, digest).map_err(|error| CommandError::new(USAGE, error))?;
        Ok(fedwasm_node::compile(&desk.config, &desk.dir, &component)?)
    };
    if let Err(error) = compiled() {
        printer.note(format!("the plan is not compiled yet: {}", error.message));
    }
}

/// A bound on an argument that does not exist would never hold a plan back.
fn check_bounds(
    desk: &Desk,
    digest: &Digest,
    bounds: &[Bound],
    printer: &Printer,
) -> Result<(), CommandError> {
    if bounds.is_empty() {
        return Ok(());
    }
    let (bytes, _) = desk.database.plan(digest)?;
    let component =
        Component::admit_as(bytes, digest).map_err(|error| CommandError::new(USAGE, error))?;
    let metadata = describe(&component, printer)?;
    for bound in bounds {
        if !bound.is_about(metadata.arguments.iter().map(|a| a.name.as_str())) {
            let text = format!("`{bound}`: neither training nor this plan has this argument");
            return Err(CommandError::new(USAGE, text));
        }
    }
    Ok(())
}

/// The scope of a decision, and its reason.
pub(super) fn terms(decision: &Decision) -> String {
    let mut terms = String::new();
    if !decision.bounds.is_empty() {
        let bounds: Vec<String> = decision.bounds.iter().map(ToString::to_string).collect();
        terms += &format!(", with {}", bounds.join(", "));
    }
    if let Some(min_rows) = decision.min_rows {
        terms += &format!(", about {min_rows} rows or more");
    }
    if !decision.researchers.is_empty() {
        let who: Vec<&str> = decision.researchers.iter().map(ResearcherId::as_str).collect();
        terms += &format!(", for {}", who.join(", "));
    }
    if let Some(end) = decision.expires_ms {
        terms += &format!(", until {}", crate::printer::utc(end));
    }
    if !decision.note.is_empty() {
        terms += &format!(": {}", decision.note);
    }
    terms
}
