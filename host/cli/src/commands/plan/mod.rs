//! `fedwasm plan`: build, inspect, test, sign and verify.

mod registry;
mod sign;
mod test;
mod verify;

use std::path::PathBuf;

use clap::Subcommand;
use fedwasm_researcher::{LocalFile, load_plan};
use fedwasm_sandbox::{DataFacts, Declaration, Default, Dependency, Limits, Metadata, TensorSpec};
use serde_json::json;

use crate::command_error::{CommandError, FAILED, USAGE};
use crate::commands::sandbox;
use crate::printer::Printer;

pub(crate) use sign::{bundles_beside, sign};
pub(crate) use verify::judge;

/// Build and inspect training plans.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compile a plan crate to a component, the same bytes on every machine.
    Build {
        /// The directory of the plan crate.
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// The component to write; NAME.wasm in the current directory if none.
        #[arg(short)]
        output: Option<PathBuf>,
        /// Write nothing; say whether the sources give this component.
        #[arg(long, conflicts_with = "output")]
        reproduce: Option<PathBuf>,
    },
    /// Show what is in a component and what it asks for.
    Inspect {
        /// The component.
        file: PathBuf,
        /// Model arguments for the parameter shapes: the [model] of this file.
        #[arg(long)]
        args: Option<PathBuf>,
    },
    /// Try a plan: what every plan must keep, its gradient, and golden metrics.
    Test(test::Args),
    /// Sign a plan: its exact bytes, and what is known of it.
    Sign(sign::Args),
    /// Say who signed a plan, what it asks for, and whether it is trusted.
    Verify(verify::Args),
    /// Push a plan and its signatures to an OCI registry.
    Push(registry::PushArgs),
    /// Pull a plan and its signatures from an OCI registry.
    Pull(registry::PullArgs),
}

pub(crate) async fn run(command: Command, printer: &Printer) -> Result<(), CommandError> {
    match command {
        Command::Build { dir, reproduce: Some(file), .. } => reproduce(&dir, &file, printer),
        Command::Build { dir, output, reproduce: None } => build(&dir, output, printer),
        Command::Inspect { file, args } => inspect(&file, args, printer),
        Command::Test(args) => test::run(args, printer),
        Command::Sign(args) => sign::run(args, printer),
        Command::Verify(args) => verify::run(args, printer),
        Command::Push(args) => registry::push(args, printer).await,
        Command::Pull(args) => registry::pull(args, printer).await,
    }
}

fn build(
    dir: &std::path::Path,
    output: Option<PathBuf>,
    printer: &Printer,
) -> Result<(), CommandError> {
    if !dir.is_dir() {
        return Err(CommandError::new(USAGE, format!("{}: no such directory", dir.display())));
    }
    let built = fedwasm_artifact::build(dir, &mut |line| printer.note(line))?;
    let path = output.unwrap_or_else(|| format!("{}.wasm", built.name).into());
    fedwasm_folder::write_file(&path, built.component.bytes())?;
    let blob = built.component.blob();
    printer.line(format!("{}  {} bytes  sha256:{}", path.display(), blob.size, blob.sha256));
    printer.event(
        "result",
        &json!({ "plan_sha256": blob.sha256, "size": blob.size, "path": path, "name": built.name }),
    );
    Ok(())
}

/// Builds again and compares.
fn reproduce(
    dir: &std::path::Path,
    file: &std::path::Path,
    printer: &Printer,
) -> Result<(), CommandError> {
    let known = load_plan(file)?;
    let built = fedwasm_artifact::build(dir, &mut |line| printer.note(line))?.component;
    let same = built.bytes() == known.bytes();
    let differences = match (known.inspect().build, built.inspect().build) {
        _ if same => Vec::new(),
        (Some(known), Some(built)) => {
            let text = |digest: fedwasm_protocol::Digest| digest.to_string();
            [
                ("sources", text(known.sources_sha256), text(built.sources_sha256)),
                ("lock file", text(known.lock_sha256), text(built.lock_sha256)),
                ("compiler", known.rustc, built.rustc),
                ("wit-component", known.wit_component, built.wit_component),
            ]
            .into_iter()
            .filter(|(_, known, built)| known != built)
            .map(|(what, known, built)| json!({ "what": what, "known": known, "built": built }))
            .collect()
        }
        _ => Vec::new(),
    };
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
        printer.line(format!(
            "{:<12}{} there, {} here",
            text("what"),
            text("known"),
            text("built")
        ));
    }
    let text = match differences.is_empty() {
        true => "the same sources, lock file and tools give other bytes here",
        false => "it was built from other sources or with other tools",
    };
    Err(CommandError::new(FAILED, format!("{}: {text}", file.display())))
}

fn inspect(
    file: &std::path::Path,
    args: Option<PathBuf>,
    printer: &Printer,
) -> Result<(), CommandError> {
    let component = load_plan(file)?;
    let inspection = component.inspect();
    let args = args.as_deref().map(LocalFile::read).transpose()?.unwrap_or_default();
    let limits = Limits::default().with(&args.limits);
    let described = sandbox(args.strict, printer)?.describe(&component, limits)?;
    let (metadata, model) = (described.metadata(), args.model);
    // Shapes follow from arguments; what only a dataset knows is an example.
    let facts = DataFacts { n_inputs: Some(4), n_classes: Some(3) };
    let arguments = metadata.arguments(&model, &facts, &["model.", "optimizer.", "aggregator."]);
    let arguments = arguments.map_err(fedwasm_sandbox::Error::from)?;
    let session = described.session(arguments.clone())?;
    let declaration = session.declaration();
    printer.event(
        "result",
        &json!({
            "plan_sha256": inspection.plan_sha256,
            "size": inspection.size,
            "world": inspection.world,
            "name": metadata.name,
            "version": metadata.version,
            "task": metadata.task,
            "licence": inspection.licence,
            "source": inspection.source,
            "imports": inspection.imports,
            "exports": inspection.exports,
            "arguments": metadata.arguments,
            "dependencies": metadata.dependencies,
            "declared_for": arguments,
            "declaration": declaration,
            "build": inspection.build,
        }),
    );
    let unknown = || "unknown".to_owned();
    let line = |key: &str, value: &str| printer.line(format!("{key:<12}{value}"));
    line("plan", &format!("{} {}", metadata.name, metadata.version));
    line("digest", &format!("sha256:{}", inspection.plan_sha256));
    line("size", &format!("{} bytes", inspection.size));
    line("world", &inspection.world);
    line("task", &format!("{:?}", metadata.task).to_lowercase());
    line("licence", &inspection.licence.unwrap_or_else(unknown));
    line("source", &inspection.source.unwrap_or_else(unknown));
    line("imports", &inspection.imports.join(", "));
    line("exports", &inspection.exports.join(", "));
    print_arguments(metadata, &line);
    let values: Vec<String> =
        arguments.iter().map(|(key, value)| format!("{key} = {}", json!(value))).collect();
    print_declaration(declaration, &values.join(", "), &line);
    if let Some(build) = inspection.build {
        line("built with", &format!("{}, wit-component {}", build.rustc, build.wit_component));
        line("sources", &format!("sha256:{}", build.sources_sha256));
        line("lock file", &format!("sha256:{}", build.lock_sha256));
    }
    Ok(())
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
    line("parameters", &format!("with {example}"));
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
