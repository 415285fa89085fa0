//! `fedwasm node plan`: which plans may run at a node.

mod decide;
mod show;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use fedwasm_artifact::Component;
use fedwasm_node::{Bound, Database, Decision, KnownPlan, NodeConfig, Ruling};
use fedwasm_protocol::{Digest, NodeId, ResearcherId};
use fedwasm_sandbox::{Limits, Metadata};
use fedwasm_transport::now_ms;
use fedwasm_trust::PublicKey;
use serde_json::json;

use self::decide::{About, Terms, decide};
use self::show::show;
use crate::columns::Columns;
use crate::command_error::{CommandError, USAGE};
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
        /// A bound of the approval, such as `training.epochs<=10`, `optimizer.lr>=0.01`,
        /// `model.hidden=16,32` or `model.layers=linear 1..512,relu`. May be repeated.
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
    let (mut rows, mut all) = (Vec::new(), Vec::new());
    for plan in &plans {
        let who = plan.requested_by.as_deref().unwrap_or("no researcher");
        // As many digits as an approval takes.
        let digits = plan.digest.to_string().chars().take(DIGITS_TO_APPROVE_MIN).collect();
        let name = format!("{} {}", plan.name, plan.version);
        rows.push(vec![desk.standing(&plan.digest)?, digits, name, format!("for {who}")]);
    }
    let columns = Columns::new(2).left(8).left(0).left(0).left(0).fit(&rows);
    for (plan, row) in plans.iter().zip(&rows) {
        let decision = desk.newest(&plan.digest)?;
        printer.line(columns.line(row));
        if !plan.description.is_empty() {
            printer.line(format!("          for: {}", plan.description));
        }
        if let Some(note) = decision.as_ref().map(|d| &d.note).filter(|note| !note.is_empty()) {
            printer.line(format!("          {note}"));
        }
        all.push(json!({ "plan": plan, "standing": row[0], "decision": decision }));
    }
    printer.event("result", &json!({ "plans": all }));
    Ok(())
}

fn describe(component: &Component, printer: &Printer) -> Result<Metadata, CommandError> {
    let described = sandbox(false, printer)?.describe(component, Limits::default())?;
    Ok(described.metadata().clone())
}
