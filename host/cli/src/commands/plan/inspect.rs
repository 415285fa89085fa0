//! `fedwasm plan inspect`.

use std::path::{Path, PathBuf};

use fedwasm_artifact::{Inspection, Sizes, load_plan};
use fedwasm_local::LocalFile;
use fedwasm_protocol::{Arguments, prefix};
use fedwasm_sandbox::{
    ArgumentError, DataFacts, DataSpec, Declaration, Default, Dependency, Limits, Metadata,
    TensorSpec,
};
use serde_json::json;

use crate::columns::Columns;
use crate::command_error::CommandError;
use crate::commands::plan::traced;
use crate::commands::sandbox;
use crate::printer::Printer;

pub(crate) fn run(
    file: &Path,
    args: Option<PathBuf>,
    printer: &Printer,
) -> Result<(), CommandError> {
    let component = load_plan(file)?;
    let inspection = component.inspect();
    let args = args.as_deref().map(LocalFile::read).transpose()?.unwrap_or_default();
    let limits = Limits::default().with(&args.limits);
    let described = sandbox(args.strict, printer)?.describe(&component, limits)?;
    let (metadata, model) = (described.metadata(), args.model);
    // Shapes follow from arguments; values that only a dataset knows are examples.
    let facts = DataFacts { n_inputs: Some(4), n_classes: Some(3) };
    let arguments = metadata.arguments(&model, &facts, &prefix::ALL);
    let arguments = match arguments {
        Ok(arguments) => Ok(arguments),
        // Everything but shapes can be shown without it.
        Err(missing)
            if missing.each().iter().all(|one| matches!(one, ArgumentError::Missing { .. })) =>
        {
            Err(missing)
        }
        Err(error) => return Err(fedwasm_sandbox::Error::from(error).into()),
    };
    let session = arguments.as_ref().ok().map(|given| described.session(given.clone()));
    let session = session.transpose()?;
    let declaration = session.as_ref().map(|session| session.declaration());
    let shapes = Shapes { arguments: &arguments, declaration };
    event(&inspection, metadata, &shapes, printer);
    print(&inspection, metadata, &shapes, printer);
    traced::print_graph(&inspection, printer);
    Ok(())
}

/// The arguments that shapes follow from, or those that are missing, and the shapes.
struct Shapes<'a> {
    arguments: &'a Result<Arguments, ArgumentError>,
    declaration: Option<&'a Declaration>,
}

fn event(inspection: &Inspection, metadata: &Metadata, shapes: &Shapes<'_>, printer: &Printer) {
    let Shapes { arguments, declaration } = shapes;
    let capabilities: Vec<_> = inspection
        .imports
        .iter()
        .map(|name| json!({ "interface": name, "words": words(name) }))
        .collect();
    printer.event(
        "result",
        &json!({
            "plan_sha256": inspection.plan_sha256,
            "size": inspection.size,
            "world": inspection.world,
            "arithmetic": inspection.arithmetic,
            "name": metadata.name,
            "version": metadata.version,
            "task": metadata.task,
            "licence": inspection.licence,
            "source": inspection.source,
            "sizes": inspection.sizes,
            "imports": inspection.imports,
            "capabilities": capabilities,
            "exports": inspection.exports,
            "arguments": metadata.arguments,
            "dependencies": metadata.dependencies,
            "declared_for": arguments.as_ref().ok(),
            "declaration": declaration,
            "build": inspection.build,
            "traced": inspection.traced,
        }),
    );
}

fn print(inspection: &Inspection, metadata: &Metadata, shapes: &Shapes<'_>, printer: &Printer) {
    let unknown = || "unknown".to_owned();
    let columns = Columns::new(0).left(12).left(0);
    let line = |key: &str, value: &str| printer.line(columns.line(&[key, value]));
    line("plan", &format!("{} {}", metadata.name, metadata.version));
    line("digest", &format!("sha256:{}", inspection.plan_sha256));
    print_sizes(inspection.size, &inspection.sizes, &line);
    line("world", &inspection.world);
    line("arithmetic", &inspection.arithmetic.clone().unwrap_or_else(unknown));
    line("task", &format!("{:?}", metadata.task).to_lowercase());
    match inspection.traced {
        Some(_) => traced::lines(inspection).iter().for_each(|(key, text)| line(key, text)),
        None => {
            line("licence", &inspection.licence.clone().unwrap_or_else(unknown));
            line("source", &inspection.source.clone().unwrap_or_else(unknown));
        }
    }
    for (index, name) in inspection.imports.iter().enumerate() {
        let key = if index == 0 { "can" } else { "" };
        line(key, &format!("{} ({name})", words(name)));
    }
    line("cannot", "reach files, the network, a clock, the environment, or another plan");
    line("exports", &inspection.exports.join(", "));
    print_arguments(metadata, &line);
    match (shapes.arguments, shapes.declaration) {
        (Ok(given), Some(declaration)) => {
            let value = |(key, value)| format!("{key} = {}", json!(value));
            let values: Vec<String> = given.iter().map(value).collect();
            print_declaration(declaration, &values.join(", "), &line);
        }
        (Err(missing), _) => line("shapes", &format!("{missing}; --args FILE gives it")),
        (Ok(_), None) => {}
    }
    if let Some(build) = &inspection.build {
        let compiler = format!("{}, wit-component {}", build.rustc, build.wit_component);
        match inspection.traced {
            Some(_) => line("built with", &format!("{compiler} (its runtime)")),
            None => line("built with", &compiler),
        }
        line("sources", &format!("sha256:{}", build.sources_sha256));
        line("lock file", &format!("sha256:{}", build.lock_sha256));
    }
}

fn print_sizes(size: u64, sizes: &Sizes, line: &dyn Fn(&str, &str)) {
    let Sizes { modules, functions, .. } = *sizes;
    line("size", &format!("{size} bytes"));
    let modules = if modules == 1 { "module" } else { "modules" };
    line("", &format!("{} in {} {modules}", sizes.module_bytes, sizes.modules));
    line("", &format!("  {} code, {functions} functions", sizes.code_bytes));
    line("", &format!("  {} data", sizes.data_bytes));
    line("", &format!("{} names and metadata", sizes.custom_bytes));
    line("memory", &format!("starts with {} KiB", sizes.memory_bytes >> 10));
}

/// The abilities that an interface of the contract gives a plan, in words.
fn words(interface: &str) -> &'static str {
    let name = interface.split_once('/').map_or(interface, |(_, name)| name);
    match name.split_once('@').map_or(name, |(name, _)| name) {
        "types" => "name values of the contract",
        "store" => "read its parameters, auxiliary variables and state; write them while it trains",
        "loader" => "take the batches that the host hands out",
        "predictions" => "give scores while it predicts",
        "monitor" => "write log lines and report numbers, within bounds",
        "compute" => "calculate with tensors that stay at the host",
        "random" => "draw randomness that follows from the seed",
        _ => "use an interface that this version cannot describe",
    }
}

fn print_arguments(metadata: &Metadata, line: &dyn Fn(&str, &str)) {
    for (index, argument) in metadata.arguments.iter().enumerate() {
        let default = match &argument.default {
            Default::Required => "required".to_owned(),
            Default::InputColumns => "default: input columns".to_owned(),
            Default::TargetClasses => "default: classes of the target, locally".to_owned(),
            Default::Value(value) => format!("default {}", json!(value)),
        };
        let key = if index == 0 { "arguments" } else { "" };
        line(key, &format!("{}: {} ({default}): {}", argument.name, argument.kind, argument.doc));
    }
    let needs: Vec<String> = metadata
        .dependencies
        .iter()
        .map(|dependency| match dependency {
            Dependency::HostFeature(name) => format!("host feature {name}"),
            Dependency::DataColumn(name) => format!("column {name}"),
            Dependency::Runtime(version) => format!("contract {version}"),
        })
        .collect();
    line("needs", if needs.is_empty() { "nothing beyond the contract" } else { "" });
    needs.iter().for_each(|need| line("", need));
}

fn print_declaration(declaration: &Declaration, example: &str, line: &dyn Fn(&str, &str)) {
    line("shapes", &format!("with {example}"));
    for (what, specs) in [("input", &declaration.inputs), ("target", &declaration.targets)] {
        for DataSpec { name, dtype, shape } in specs {
            line("", &format!("{what} {name}: {dtype} {shape:?} a row"));
        }
    }
    for (what, specs) in [
        ("", &declaration.model),
        ("auxiliary in: ", &declaration.aux_in),
        ("auxiliary out: ", &declaration.aux_out),
        ("state: ", &declaration.state),
    ] {
        for TensorSpec { name, dtype, shape, trainable, scope } in specs {
            let kind = if *trainable { "trainable" } else { "constant" };
            let scope = format!("{scope:?}").to_lowercase();
            line("", &format!("{what}{name}: {dtype} {shape:?}, {kind}, {scope}"));
        }
    }
}
