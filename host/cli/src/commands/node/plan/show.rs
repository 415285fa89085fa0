//! What a reviewer needs to know of a plan.

use fedwasm_artifact::Component;
use fedwasm_node::{KnownPlan, Ruling};
use fedwasm_protocol::Digest;
use fedwasm_sandbox::Metadata;
use fedwasm_trust::{State, Trust, Verdict};
use serde_json::{Value, json};

use super::decide::terms;
use super::{Desk, describe};
use crate::command_error::{CommandError, USAGE};
use crate::commands::plan::judge;
use crate::printer::Printer;

pub(super) fn show(desk: &Desk, plan: &KnownPlan, printer: &Printer) -> Result<(), CommandError> {
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
    line("asked for by", plan.requested_by.as_deref().unwrap_or("nobody"));
    if !plan.description.is_empty() {
        line("for", &plan.description);
    }
    line("size", &format!("{} bytes", inspection.size));
    match judged.is_empty() {
        true => line("signers", "none: it is not signed"),
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
        line("built with", &format!("{} (by its own word)", build.rustc));
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
        printer.note("warning: a signature of this plan is wrong");
    }
    Ok(())
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

/// What is new against another version, in words.
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
            Some(known) if known != argument => found.push(format!("argument {name} is another")),
            Some(_) => {}
        }
    }
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    found.extend(gone.map(|name| format!("argument {name} is gone")));
    found
}
