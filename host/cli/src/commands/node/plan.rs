//! `fedwasm node plan`: which plans may run at a node.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use fedwasm_artifact::Component;
use fedwasm_artifact::load_plan;
use fedwasm_node::{
    Bound, Database, Decision, KnownPlan, NodeConfig, OPERATOR_KEY, Registration, Ruling,
};
use fedwasm_protocol::{Digest, NodeId, ResearcherId};
use fedwasm_sandbox::{Limits, Metadata};
use fedwasm_transport::now_ms;
use fedwasm_trust::{BUNDLE_BYTES_MAX, KeyPair, PublicKey, State, Trust, Verdict};
use serde_json::{Value, json};

use crate::command_error::{CommandError, USAGE};
use crate::commands::plan::{bundles_beside, judge};
use crate::commands::sandbox;
use crate::printer::Printer;

/// The shortest piece of a digest with which a plan is approved.
const DIGITS_TO_APPROVE_MIN: usize = 16;
/// The shortest piece of a digest that names a plan.
const DIGITS_MIN: usize = 6;

/// Decide which plans may run here.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the plans that were asked for, and the decisions about them.
    List {
        /// The node's directory.
        dir: PathBuf,
    },
    /// Show the facts about a plan for its review.
    Show {
        /// The node's directory.
        dir: PathBuf,
        /// The plan: the first digits of its digest.
        plan: String,
    },
    /// Approve a plan.
    Approve {
        #[command(flatten)]
        about: About,
        /// Days that the approval is valid [default: no expiry].
        #[arg(long)]
        days: Option<u64>,
        /// A bound of the approval, such as `training.epochs<=10`, `optimizer.lr>=0.01` or
        /// `model.hidden=16,32`. May be repeated.
        #[arg(long = "bound")]
        bounds: Vec<Bound>,
        /// The fewest rows behind a released number, instead of the node's `min_rows`.
        #[arg(long)]
        min_rows: Option<u64>,
        /// Approve the plan for this researcher only. May be repeated.
        #[arg(long = "researcher", value_parser = researcher)]
        researchers: Vec<ResearcherId>,
    },
    /// Reject a plan.
    Reject {
        #[command(flatten)]
        about: About,
    },
    /// Delete a plan without decisions.
    Forget {
        /// The node's directory.
        dir: PathBuf,
        /// The plan: the first digits of its digest.
        plan: String,
    },
    /// Revoke an approval: the next round does not run.
    Revoke {
        #[command(flatten)]
        about: About,
    },
}

/// The subject of a decision, and the operator.
#[derive(Debug, clap::Args)]
pub(crate) struct About {
    /// The node's directory.
    dir: PathBuf,
    /// The plan: the first digits of its digest, or its file if no researcher asked for it yet.
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
struct Terms {
    expires_ms: Option<u64>,
    bounds: Vec<Bound>,
    min_rows: Option<u64>,
    researchers: Vec<ResearcherId>,
}

/// A researcher's id, with `researcher-` before it or without.
fn researcher(text: &str) -> Result<ResearcherId, fedwasm_protocol::IdError> {
    text.strip_prefix("researcher-").unwrap_or(text).parse()
}

/// The node's rules and its registry.
struct Desk {
    dir: PathBuf,
    config: NodeConfig,
    node: NodeId,
    operators: Vec<PublicKey>,
    database: Database,
}

pub(crate) fn run(command: Command, printer: &Printer) -> Result<(), CommandError> {
    match command {
        Command::List { dir } => list(&Desk::open(&dir)?, printer),
        Command::Show { dir, plan } => {
            let desk = Desk::open(&dir)?;
            let plan = desk.find(&plan)?;
            show(&desk, &plan, printer)
        }
        Command::Forget { dir, plan } => {
            let desk = Desk::open(&dir)?;
            let digest = desk.find(&plan)?.digest;
            desk.database.forget(&digest, now_ms())?;
            printer.line(format!("forgotten {digest}"));
            printer.event("result", &json!({ "plan": digest }));
            Ok(())
        }
        Command::Approve { about, days, bounds, min_rows, researchers } => {
            let now = now_ms();
            let expires_ms = days.map(|days| {
                let life = Duration::from_secs(days.saturating_mul(24 * 3_600));
                now.saturating_add(u64::try_from(life.as_millis()).unwrap_or(u64::MAX))
            });
            let terms = Terms { expires_ms, bounds, min_rows, researchers };
            decide(about, Ruling::Approved, terms, printer)
        }
        Command::Reject { about } => decide(about, Ruling::Rejected, Terms::default(), printer),
        Command::Revoke { about } => decide(about, Ruling::Revoked, Terms::default(), printer),
    }
}

impl Desk {
    fn open(dir: &Path) -> Result<Self, CommandError> {
        let (config, _) = NodeConfig::open(dir)?;
        let database = Database::open(dir, &config.identity(dir)?)?;
        let operators = config.approval.operators()?;
        let node = config.id.clone();
        Ok(Self { dir: dir.to_owned(), config, node, operators, database })
    }

    /// The plan whose digest begins like this.
    fn find(&self, text: &str) -> Result<KnownPlan, CommandError> {
        let text = text.strip_prefix("sha256:").unwrap_or(text);
        if text.len() < DIGITS_MIN {
            let message = format!("`{text}` is too short; give {DIGITS_MIN} digits or more");
            return Err(CommandError::new(USAGE, message));
        }
        let mut plans = self.database.plans()?;
        plans.retain(|plan| plan.digest.to_string().starts_with(text));
        match plans.pop() {
            Some(plan) if plans.is_empty() => Ok(plan),
            Some(_) => Err(CommandError::new(USAGE, format!("several plans begin with `{text}`"))),
            None => {
                let digest = text.to_owned();
                Err(fedwasm_node::Error::NoPlan { digest }.into())
            }
        }
    }

    fn newest(&self, digest: &Digest) -> Result<Option<Decision>, CommandError> {
        let decisions = self.database.decisions(digest, &self.operators)?;
        Ok(decisions.into_iter().next().map(|(decision, _)| decision))
    }

    fn standing(&self, digest: &Digest) -> Result<String, CommandError> {
        Ok(match self.newest(digest)? {
            None => "pending".into(),
            Some(decision) if decision.expires_ms.is_some_and(|end| end <= now_ms()) => {
                "expired".into()
            }
            Some(decision) => decision.ruling.as_str().to_owned(),
        })
    }
}

fn list(desk: &Desk, printer: &Printer) -> Result<(), CommandError> {
    let plans = desk.database.plans()?;
    if plans.is_empty() {
        printer.line("no plan was asked for yet");
    }
    let mut all = Vec::new();
    for plan in plans {
        let standing = desk.standing(&plan.digest)?;
        let decision = desk.newest(&plan.digest)?;
        let digest = plan.digest.to_string();
        let who = plan.requested_by.as_deref().unwrap_or("no researcher");
        let (name, version) = (&plan.name, &plan.version);
        // As many digits as an approval takes.
        let digits = &digest[..DIGITS_TO_APPROVE_MIN];
        printer.line(format!("{standing:<9} {digits}  {name} {version}  for {who}"));
        if !plan.description.is_empty() {
            printer.line(format!("          for: {}", plan.description));
        }
        if let Some(note) = decision.as_ref().map(|d| &d.note).filter(|note| !note.is_empty()) {
            printer.line(format!("          {note}"));
        }
        all.push(json!({ "plan": plan, "standing": standing, "decision": decision }));
    }
    printer.event("result", &json!({ "plans": all }));
    Ok(())
}

fn decide(
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
            for bundle in bundles_beside(file)? {
                signatures.push(fedwasm_folder::read_file(&bundle, BUNDLE_BYTES_MAX)?);
            }
            let registration = Registration {
                component: &component,
                signatures: &signatures,
                requested_by: None,
                description: "",
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
    printer.line(format!("{:<9} {digest}{}", ruling.as_str(), terms(&decision)));
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

fn show(desk: &Desk, plan: &KnownPlan, printer: &Printer) -> Result<(), CommandError> {
    let (bytes, signatures) = desk.database.plan(&plan.digest)?;
    let component = Component::admit_as(bytes, &plan.digest)
        .map_err(|error| CommandError::new(USAGE, error))?;
    let metadata = describe(&component, printer)?;
    let inspection = component.inspect();
    let trust = Trust::read(&desk.dir.join("trust.toml"));
    let trust = trust.unwrap_or(Trust { threshold: 1, ..Trust::default() });
    let (judged, verdict, _) = judge(&trust, &component, &signatures);
    let standing = desk.standing(&plan.digest)?;
    let decisions = desk.database.decisions(&plan.digest, &desk.operators)?;
    let before = approved_before(desk, plan)?;
    let differences = match &before {
        Some(before) => {
            let (bytes, _) = desk.database.plan(&before.digest)?;
            let old = Component::admit_as(bytes, &before.digest)
                .map_err(|error| CommandError::new(USAGE, error))?;
            let old_metadata = describe(&old, printer)?;
            differences((&old, &old_metadata), (&component, &metadata))
        }
        None => Vec::new(),
    };
    printer.event(
        "result",
        &json!({
            "plan": plan, "standing": standing, "size": inspection.size,
            "world": inspection.world, "imports": inspection.imports,
            "arguments": metadata.arguments, "dependencies": metadata.dependencies,
            "signatures": judged, "verdict": verdict, "build": inspection.build,
            "decisions": decisions.iter().map(|(decision, _)| decision).collect::<Vec<_>>(),
            "approved_before": before.as_ref().map(|before| &before.digest),
            "differences": differences,
        }),
    );
    let line = |key: &str, value: &str| printer.line(format!("{key:<14}{value}"));
    line("plan", &format!("{} {}", metadata.name, metadata.version));
    line("digest", &format!("sha256:{} (the same at every site)", plan.digest));
    line("standing", &standing);
    line("asked for by", plan.requested_by.as_deref().unwrap_or("no researcher"));
    if !plan.description.is_empty() {
        line("for", &plan.description);
    }
    line("size", &format!("{} bytes", inspection.size));
    match judged.is_empty() {
        true => line("signers", "none: the plan is not signed"),
        false => line("signers", &format!("{verdict}")),
    }
    for signature in &judged {
        let key = signature.key.map_or("a key without a name".to_owned(), |key| key.short());
        line(
            "",
            &match &signature.state {
                State::Verified(name) if signature.is_statement => {
                    format!("OK       {name} ({key}), a statement about it")
                }
                State::Verified(name) => format!("OK       {name} ({key}), its bytes"),
                State::Unknown => format!("UNKNOWN  {key}, not in the node's trust.toml"),
                State::Aside(predicate) => format!("ASIDE    {key}: {predicate}"),
                State::Failed(reason) => format!("FAILED   {key}: {reason}"),
            },
        );
    }
    line("imports", &inspection.imports.join(", "));
    line("can", "compute on the batches it is handed, report numbers and log lines, draw from");
    line("", "the seed; no file, clock, network, environment or other plan");
    for (index, argument) in metadata.arguments.iter().enumerate() {
        let key = if index == 0 { "arguments" } else { "" };
        line(key, &format!("{}: {}: {}", argument.name, argument.kind, argument.doc));
    }
    if let Some(build) = &inspection.build {
        line("built with", &format!("{} (as it states itself)", build.rustc));
        line("sources", &format!("sha256:{}", build.sources_sha256));
    }
    match &before {
        Some(before) => {
            let digest = before.digest.to_string();
            line("before", &format!("{} {} was approved", &digest[..12], before.version));
            for difference in &differences {
                line("", difference);
            }
        }
        None => line("before", "no other version was approved"),
    }
    for (index, (decision, _)) in decisions.iter().enumerate() {
        let key = if index == 0 { "decision" } else { "earlier" };
        let when = crate::printer::utc(decision.time_ms);
        line(key, &format!("{when} {}{}", decision.ruling.as_str(), terms(decision)));
    }
    if verdict == Verdict::Failed {
        printer.note("warning: a signature of this plan is invalid");
    }
    Ok(())
}

/// The scope of a decision, and its reason.
fn terms(decision: &Decision) -> String {
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

fn describe(component: &Component, printer: &Printer) -> Result<Metadata, CommandError> {
    let described = sandbox(false, printer)?.describe(component, Limits::default())?;
    Ok(described.metadata().clone())
}

/// The plan of the same name that was approved last.
fn approved_before(desk: &Desk, plan: &KnownPlan) -> Result<Option<KnownPlan>, CommandError> {
    let mut newest: Option<(u64, KnownPlan)> = None;
    for other in desk.database.plans()? {
        if other.name != plan.name || other.digest == plan.digest {
            continue;
        }
        let decisions = desk.database.decisions(&other.digest, &desk.operators)?;
        let approved = decisions.iter().find(|(d, _)| d.ruling == Ruling::Approved);
        if let Some((decision, _)) = approved
            && newest.as_ref().is_none_or(|(time, _)| *time < decision.time_ms)
        {
            newest = Some((decision.time_ms, other));
        }
    }
    Ok(newest.map(|(_, plan)| plan))
}

/// The changes against another version, in words.
fn differences(old: (&Component, &Metadata), new: (&Component, &Metadata)) -> Vec<String> {
    let (before, after) = (old.0.inspect(), new.0.inspect());
    let mut found = Vec::new();
    let mut compare = |what: &str, old: String, new: String| {
        if old != new {
            found.push(format!("{what}: {old} -> {new}"));
        }
    };
    compare("version", old.1.version.clone(), new.1.version.clone());
    compare("size", before.size.to_string(), after.size.to_string());
    compare("world", before.world, after.world);
    compare("imports", before.imports.join(", "), after.imports.join(", "));
    compare("task", format!("{:?}", old.1.task), format!("{:?}", new.1.task));
    let needs = |metadata: &Metadata| json!(metadata.dependencies).to_string();
    compare("needs", needs(old.1), needs(new.1));
    if let (Some(before), Some(after)) = (before.build, after.build) {
        let text = |digest: Digest| digest.to_string();
        compare("sources", text(before.sources_sha256), text(after.sources_sha256));
        compare("lock file", text(before.lock_sha256), text(after.lock_sha256));
        compare("compiler", before.rustc, after.rustc);
    }
    let arguments = |metadata: &Metadata| -> std::collections::BTreeMap<String, Value> {
        metadata.arguments.iter().map(|a| (a.name.clone(), json!(a))).collect()
    };
    let (before, after) = (arguments(old.1), arguments(new.1));
    for (name, argument) in &after {
        match before.get(name) {
            None => found.push(format!("argument {name} is new")),
            Some(known) if known != argument => found.push(format!("argument {name} has changed")),
            Some(_) => {}
        }
    }
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    found.extend(gone.map(|name| format!("argument {name} was removed")));
    found
}
