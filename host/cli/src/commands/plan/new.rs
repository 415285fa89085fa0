//! `fedwasm plan new`.

use std::path::Path;

use serde_json::json;

use crate::command_error::{CommandError, USAGE};
use crate::printer::Printer;
use crate::python_template::python_plan;
use crate::template::{check_name, data_file, plan, template};

/// The language of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Language {
    Rust,
    Python,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The name of the plan, and of the directory that is made.
    name: String,
    /// The shipped plan that it starts from.
    #[arg(long, default_value = "logistic-regression")]
    template: String,
    /// The language that it is written in.
    #[arg(long, value_enum, default_value = "rust")]
    language: Language,
}

pub(crate) fn run(args: &Args, printer: &Printer) -> Result<(), CommandError> {
    let name = args.name.as_str();
    check_name(name)?;
    let files = match args.language {
        Language::Rust => plan(name, template(&args.template)?)?,
        Language::Python => python_plan(name, &args.template)?,
    };
    let data = data_file(template(&args.template)?);
    let taken = || {
        let text = format!("{name} already exists\nhelp: take another name, or remove it");
        CommandError::new(USAGE, text)
    };
    let dir = Path::new(name);
    if dir.symlink_metadata().is_ok() {
        return Err(taken());
    }
    // Whole or absent: it gets its name once all files are written.
    let partial = format!(".{name}.{}", std::process::id());
    let partial = Path::new(&partial);
    std::fs::create_dir(partial)?;
    let written = files.iter().try_for_each(|(path, content)| {
        let path = partial.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, content)
    });
    let done = written.and_then(|()| match dir.symlink_metadata() {
        Ok(_) => Err(std::io::ErrorKind::AlreadyExists.into()),
        Err(_) => std::fs::rename(partial, dir),
    });
    if let Err(error) = done {
        let _ = std::fs::remove_dir_all(partial);
        return Err(match error.kind() {
            std::io::ErrorKind::AlreadyExists => taken(),
            _ => error.into(),
        });
    }
    let source = match args.language {
        Language::Rust => name.to_owned(),
        Language::Python => format!("{name}/plan.py"),
    };
    printer.line(format!("{name}/  {} files, from {}", files.len(), args.template));
    printer
        .line(format!("\nnext:\n  fedwasm plan build {source}\n  fedwasm plan test {name}.wasm"));
    printer.line(format!(
        "  fedwasm local --plan {name}.wasm --data {name}/{data} --args {name}/args.toml",
    ));
    printer.event(
        "result",
        &json!({ "name": name, "dir": dir, "template": args.template, "files": files.len() }),
    );
    Ok(())
}
