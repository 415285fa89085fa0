//! The facts of a plan that a reviewer needs.

use fedwasm_artifact::{Component, Inspection};
use fedwasm_node::{Decision, KnownPlan, Ruling};
use fedwasm_protocol::{Digest, printable};
use fedwasm_sandbox::Metadata;
use fedwasm_trust::{Signature, State, Trust, Verdict};
use serde_json::{Value, json};

use super::decide::terms;
use super::{Desk, describe};
use crate::columns::Columns;
use crate::command_error::{CommandError, USAGE};
use crate::commands::plan::{judge, traced};
use crate::printer::{Printer, utc};

/// Lines of a page: a heading, empty where the one above still holds, and a text.
type Lines = Vec<(&'static str, String)>;

/// The known facts of a plan.
struct Review<'a> {
    plan: &'a KnownPlan,
    metadata: Metadata,
    inspection: Inspection,
    standing: String,
    signatures: Vec<Signature>,
    verdict: Verdict,
    decisions: Vec<Decision>,
    /// The version that was approved last, and what is new against it.
    before: Option<(KnownPlan, Vec<String>)>,
}

pub(super) fn show(desk: &Desk, plan: &KnownPlan, printer: &Printer) -> Result<(), CommandError> {
    let review = Review::of(desk, plan, printer)?;
    review.event(printer);
    let columns = Columns::new(0).left(14).left(0);
    for lines in [review.who(), review.signers(), review.abilities(), review.past()] {
        for (key, value) in lines {
            printer.line(columns.line(&[key, &value]));
        }
    }
    traced::print_graph(&review.inspection, printer);
    if review.verdict == Verdict::Failed {
        printer.note("warning: a signature of this plan is invalid");
    }
    Ok(())
}

impl<'a> Review<'a> {
    fn of(desk: &Desk, plan: &'a KnownPlan, printer: &Printer) -> Result<Self, CommandError> {
        let (component, signatures) = admitted(desk, &plan.digest)?;
        let metadata = describe(&component, printer)?;
        let trust = Trust::read(&desk.dir.join("trust.toml"));
        let trust = trust.unwrap_or(Trust { threshold: 1, ..Trust::default() });
        let (signatures, verdict, _) = judge(&trust, &component, &signatures);
        let decisions = desk.database.decisions(&plan.digest, &desk.operators)?;
        let before = match approved_before(desk, plan)? {
            Some(before) => {
                let (old, _) = admitted(desk, &before.digest)?;
                let old_metadata = describe(&old, printer)?;
                let differences = differences((&old, &old_metadata), (&component, &metadata));
                Some((before, differences))
            }
            None => None,
        };
        Ok(Self {
            plan,
            metadata,
            inspection: component.inspect(),
            standing: desk.standing(&plan.digest)?,
            signatures,
            verdict,
            decisions: decisions.into_iter().map(|(decision, _)| decision).collect(),
            before,
        })
    }

    fn event(&self, printer: &Printer) {
        let Self { plan, metadata, inspection, standing, .. } = self;
        let before = self.before.as_ref();
        printer.event(
            "result",
            &json!({
                "plan": plan, "standing": standing, "size": inspection.size,
                "world": inspection.world, "imports": inspection.imports,
                "arguments": metadata.arguments, "dependencies": metadata.dependencies,
                "signatures": self.signatures, "verdict": self.verdict, "build": inspection.build,
                "traced": inspection.traced,
                "decisions": self.decisions,
                "approved_before": before.map(|(before, _)| &before.digest),
                "differences": before.map_or(&[][..], |(_, differences)| differences),
            }),
        );
    }

    fn who(&self) -> Lines {
        let Self { plan, metadata, .. } = self;
        let asked_by = plan.requested_by.clone().unwrap_or_else(|| "no researcher".into());
        let mut lines = vec![
            ("plan", format!("{} {}", metadata.name, metadata.version)),
            ("digest", format!("sha256:{} (the same at every site)", plan.digest)),
            ("standing", self.standing.clone()),
            ("asked for by", asked_by),
        ];
        if !plan.description.is_empty() {
            lines.push(("for", plan.description.clone()));
        }
        for (nth, (column, rule)) in plan.columns.iter().enumerate() {
            // Names and texts are the researcher's.
            let line = printable(&format!("{column} = {rule}"));
            lines.push((if nth == 0 { "columns" } else { "" }, line));
        }
        lines.push(("size", format!("{} bytes", self.inspection.size)));
        lines
    }

    fn signers(&self) -> Lines {
        if self.signatures.is_empty() {
            return vec![("signers", "none: the plan is not signed".into())];
        }
        let line = |signature: &Signature| {
            let key = signature.key.map_or("a key without a name".to_owned(), |key| key.short());
            match &signature.state {
                State::Verified(name) if signature.is_statement => {
                    format!("OK       {name} ({key}), a statement about it")
                }
                State::Verified(name) => format!("OK       {name} ({key}), its bytes"),
                State::Unknown => format!("UNKNOWN  {key}, not in the node's trust.toml"),
                State::Aside(predicate) => format!("ASIDE    {key}: {predicate}"),
                State::Failed(reason) => format!("FAILED   {key}: {reason}"),
            }
        };
        let lines = self.signatures.iter().map(|signature| ("", line(signature)));
        [("signers", self.verdict.to_string())].into_iter().chain(lines).collect()
    }

    fn abilities(&self) -> Lines {
        let can = "compute on the batches it is handed, report numbers and log lines, draw from";
        let mut lines = vec![
            ("imports", self.inspection.imports.join(", ")),
            ("can", can.to_owned()),
            ("", "the seed; no file, clock, network, environment or other plan".to_owned()),
        ];
        for (index, argument) in self.metadata.arguments.iter().enumerate() {
            let key = if index == 0 { "arguments" } else { "" };
            lines.push((key, format!("{}: {}: {}", argument.name, argument.kind, argument.doc)));
        }
        lines.extend(traced::lines(&self.inspection));
        if let Some(build) = &self.inspection.build {
            let of = if self.inspection.traced.is_some() { "its runtime, " } else { "" };
            lines.push(("built with", format!("{} ({of}as it states itself)", build.rustc)));
            lines.push(("sources", format!("sha256:{}", build.sources_sha256)));
        }
        lines
    }

    /// The version that was approved before, and the decisions about this one.
    fn past(&self) -> Lines {
        let mut lines = match &self.before {
            Some((before, differences)) => {
                let digest = before.digest.to_string();
                let text = format!("{} {} was approved", &digest[..12], before.version);
                let new = differences.iter().map(|difference| ("", difference.clone()));
                [("before", text)].into_iter().chain(new).collect()
            }
            None => vec![("before", "no other version was approved".to_owned())],
        };
        for (index, decision) in self.decisions.iter().enumerate() {
            let key = if index == 0 { "decision" } else { "earlier" };
            let when = utc(decision.time_ms);
            let text = format!("{when} {}{}", decision.ruling.as_str(), terms(decision));
            lines.push((key, text));
        }
        lines
    }
}

/// A plan that the node knows, with its signatures.
fn admitted(desk: &Desk, digest: &Digest) -> Result<(Component, Vec<Vec<u8>>), CommandError> {
    let (bytes, signatures) = desk.database.plan(digest)?;
    let component = Component::admit_as(bytes, digest);
    Ok((component.map_err(|error| CommandError::new(USAGE, error))?, signatures))
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
    compare("world", before.world.clone(), after.world.clone());
    compare("imports", before.imports.join(", "), after.imports.join(", "));
    compare("task", format!("{:?}", old.1.task), format!("{:?}", new.1.task));
    let runtime = |of: &Inspection| of.traced.as_ref().map_or("none".into(), traced::runtime);
    compare("runtime", runtime(&before), runtime(&after));
    let needs = |metadata: &Metadata| json!(metadata.dependencies).to_string();
    compare("needs", needs(old.1), needs(new.1));
    if let (Some(before), Some(after)) = (&before.build, &after.build) {
        let text = |digest: Digest| digest.to_string();
        compare("sources", text(before.sources_sha256), text(after.sources_sha256));
        compare("lock file", text(before.lock_sha256), text(after.lock_sha256));
        compare("compiler", before.rustc.clone(), after.rustc.clone());
    }
    found.extend(traced::differences(&before, &after));
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
