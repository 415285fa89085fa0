//! New plans: a copy of a shipped one, with all of its dependencies, so that it builds offline.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::command_error::{CommandError, FAILED, USAGE};

/// Names and contents.
type Files = &'static [(&'static str, &'static [u8])];

/// A crate of `plugins/`.
pub(crate) struct Crate {
    /// The name of its package.
    pub(crate) name: &'static str,
    /// Whether it is a plan, and so a template.
    is_plan: bool,
    /// Its manifest, inheriting nothing; other crates lie beside it.
    manifest: &'static str,
    /// Crates that it depends on.
    dependencies: &'static [&'static str],
    /// All files but the manifest.
    files: Files,
}

// CRATES and WIT, written by build.rs.
include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The most characters of a name, those of the contract.
const NAME_CHARS_MAX: usize = 64;
/// Names that no plan can have, since Cargo or the compiler refuses them.
const RESERVED: [&str; 60] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "fn",
    "final",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "union",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    "build",
    "deps",
    "examples",
];
/// Rows of the data that come with a plan.
const ROWS: u64 = 200;
/// Their file, unless the template has one.
const DATA: &str = "data.csv";

/// The plans that a new one can start from.
pub(crate) fn templates() -> impl Iterator<Item = &'static Crate> {
    CRATES.iter().filter(|of| of.is_plan)
}

/// Finds a template.
pub(crate) fn template(name: &str) -> Result<&'static Crate, CommandError> {
    templates().find(|of| of.name == name).ok_or_else(|| {
        let all: Vec<String> = templates().map(|of| format!("`{}`", of.name)).collect();
        let text =
            format!("the template `{name}` does not exist\nhelp: there are {}", all.join(", "));
        CommandError::new(USAGE, text)
    })
}

/// Checks the name of a plan, which is the name of its crate.
pub(crate) fn check_name(name: &str) -> Result<(), CommandError> {
    let wrong = |reason: &str| {
        let text = format!("`{name}` is not a valid plan name: {reason}");
        Err(CommandError::new(USAGE, text + "\nhelp: take a name like `heart-risk`"))
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    match name {
        _ if !name.starts_with(|c: char| c.is_ascii_lowercase()) => {
            wrong("it must start with a letter from a to z")
        }
        _ if !name.chars().all(plain) => {
            wrong("it may only have the characters a to z, 0 to 9, - and _")
        }
        _ if name.len() > NAME_CHARS_MAX => {
            wrong(&format!("it has more than {NAME_CHARS_MAX} characters"))
        }
        _ if RESERVED.contains(&name) => wrong("Rust or Cargo reserves this name"),
        _ if CRATES.iter().any(|of| !of.is_plan && of.name == name) => {
            wrong("a crate that the plan depends on has this name")
        }
        _ => Ok(()),
    }
}

/// Returns all files of a new plan: paths from its directory, and contents.
pub(crate) fn plan(name: &str, template: &Crate) -> Result<Vec<(PathBuf, Vec<u8>)>, CommandError> {
    let mut files: Vec<(PathBuf, Vec<u8>)> = vec![
        ("Cargo.toml".into(), manifest(name, template)?.into()),
        ("Cargo.lock".into(), lock(name, template).into()),
        (".gitignore".into(), b"/target\n".into()),
        ("README.md".into(), readme(name, template).into()),
    ];
    files.extend(companions(template));
    for (path, content) in template.files.iter().filter(|(path, _)| path.ends_with(".rs")) {
        let content = renamed(&String::from_utf8_lossy(content), template.name, name);
        files.push((path.into(), content.into()));
    }
    for of in needed(template) {
        let dir = Path::new("vendor").join(of.name);
        files.push((dir.join("Cargo.toml"), of.manifest.into()));
        files.extend(of.files.iter().map(|(path, content)| (dir.join(path), content.to_vec())));
    }
    let wit = Path::new("vendor/wit");
    files.extend(WIT.iter().map(|(path, content)| (wit.join(path), content.to_vec())));
    Ok(files)
}

/// The files of a new plan beside its code and its README: arguments, rows, and what else the
/// template has.
pub(crate) fn companions(template: &Crate) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<(PathBuf, Vec<u8>)> = vec![("args.toml".into(), ARGS.into())];
    if data_file(template) == DATA {
        files.push((DATA.into(), data().into()));
    }
    for (path, content) in template.files.iter().filter(|(path, _)| !path.ends_with(".rs")) {
        // The template's own files win: a plan of images needs other data.
        files.retain(|(known, _)| known != Path::new(path));
        files.push((path.into(), content.to_vec()));
    }
    files
}

/// The rows that come with a new plan: the template's own, such as images, or columns.
pub(crate) fn data_file(template: &Crate) -> &'static str {
    let own = template.files.iter().map(|(path, _)| *path).find(|path| path.starts_with("data."));
    own.unwrap_or(DATA)
}

/// The crates that a template is built from, each once.
fn needed(template: &Crate) -> Vec<&'static Crate> {
    let (mut found, mut left) = (Vec::new(), template.dependencies.to_vec());
    while let Some(name) = left.pop() {
        let of = CRATES.iter().find(|of| of.name == name);
        let Some(of) = of.filter(|of| !found.iter().any(|known: &&Crate| known.name == of.name))
        else {
            continue;
        };
        left.extend(of.dependencies);
        found.push(of);
    }
    found.sort_by_key(|of| of.name);
    found
}

fn manifest(name: &str, template: &Crate) -> Result<String, CommandError> {
    let broken = |error: &dyn std::fmt::Display| CommandError::new(FAILED, error);
    let mut manifest: Table = template.manifest.parse().map_err(|e: toml::de::Error| broken(&e))?;
    let mut package = match manifest.remove("package") {
        Some(Value::Table(package)) => package,
        _ => Table::new(),
    };
    // The template's own files.
    for key in ["name", "version", "description", "repository"] {
        package.remove(key);
    }
    let dependencies = manifest.get_mut("dependencies").and_then(Value::as_table_mut);
    for (name, dependency) in dependencies.into_iter().flatten() {
        if let Some(dependency) = dependency.as_table_mut() {
            dependency.insert("path".into(), format!("vendor/{name}").into());
        }
    }
    let text = |table: &Table| toml::to_string(table).map_err(|error| broken(&error));
    Ok(format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\n{}\n{}\n\
         # A workspace of its own, wherever it lies.\n[workspace]\nexclude = [\"vendor\"]\n",
        text(&package)?,
        text(&manifest)?,
    ))
}

/// Cargo's lock file: nothing comes from a registry, so there is nothing to resolve.
fn lock(name: &str, template: &Crate) -> String {
    let vendored = needed(template).into_iter();
    let mut packages: Vec<(&str, String, &[&str])> = vendored
        .map(|of| (of.name, version(of), of.dependencies))
        .chain([(name, "0.1.0".to_owned(), template.dependencies)])
        .collect();
    packages.sort_by_key(|(name, ..)| *name);
    let mut text = String::from(
        "# This file is automatically @generated by Cargo.\n\
         # It is not intended for manual editing.\nversion = 4\n",
    );
    for (name, version, dependencies) in packages {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n");
        let mut dependencies = dependencies.to_vec();
        dependencies.sort_unstable();
        if !dependencies.is_empty() {
            let lines: String = dependencies.iter().map(|name| format!(" \"{name}\",\n")).collect();
            let _ = write!(text, "dependencies = [\n{lines}]\n");
        }
    }
    text
}

fn version(of: &Crate) -> String {
    let manifest: Table = of.manifest.parse().unwrap_or_default();
    let version = manifest.get("package").and_then(|package| package.get("version"));
    version.and_then(Value::as_str).unwrap_or("0.1.0").to_owned()
}

/// Calls the type of the template, `LogisticRegression`, by the new name, `HeartRisk`.
fn renamed(source: &str, from: &str, to: &str) -> String {
    let (from, to) = (camel_case(from), camel_case(to));
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut text, mut rest) = (String::new(), source);
    while let Some(at) = rest.find(&from) {
        let (before, after) = (&rest[..at], &rest[at + from.len()..]);
        // A type of another crate keeps its name.
        let is_foreign = before.ends_with("::");
        let whole = !is_foreign && !before.ends_with(is_word) && !after.starts_with(is_word);
        text += before;
        text += if whole { &to } else { &from };
        rest = after;
    }
    text + rest
}

pub(crate) fn camel_case(name: &str) -> String {
    let words = name.split(['-', '_']).filter(|word| !word.is_empty());
    words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect()
}

/// Two classes that overlap a little, the same on every machine.
fn data() -> String {
    let mut text = String::from("x1,x2,x3,x4,target\n");
    let mut state: u64 = 42;
    let mut draw = || {
        // Knuth's MMIX generator; its upper bits, as thousandths from -1 to 1.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % 2_001) as i64 - 1_000
    };
    for _ in 0..ROWS {
        let x = [draw(), draw(), draw(), draw()];
        let class = u8::from(2 * x[0] - x[1] + x[2] / 2 + draw() / 3 > 0);
        for value in x {
            let sign = if value < 0 { "-" } else { "" };
            let _ = write!(text, "{sign}{}.{:03},", value.abs() / 1_000, value.abs() % 1_000);
        }
        let _ = writeln!(text, "{class}");
    }
    text
}

/// How the data that come with a plan are trained on.
const ARGS: &str = "\
# For `fedwasm local --args`; an experiment takes the same sections.
[data]
target = \"target\"      # inputs: all other columns
standardize = \"federation\"   # inputs are scaled alike at all sites

[training]
epochs = 20
loader_args = { batch_size = 16 }
optimizer_args = { lr = 0.1 }
test_ratio = 0.25      # held out and scored
random_seed = 42
";

fn readme(name: &str, template: &Crate) -> String {
    format!(
        "# {name}
A training plan for fedwasm, started from the plan `{template}`.
```
fedwasm plan build {name}                  # {name}.wasm; no network is needed
fedwasm plan test {name}.wasm --args {name}/args.toml    # the promises of every plan, and its gradient
fedwasm local --plan {name}.wasm --data {name}/{data} --args {name}/args.toml --out run
```
These are run from the directory that holds `{name}`.
- `src/lib.rs`: the model, a training step, a prediction.
- `args.toml`: training arguments; `fedwasm plan inspect {name}.wasm` lists those of the plan.
- `{data}`: made-up rows; put your own in their place.
- `vendor/`: the SDK, its dependencies, and the contract (`wit/`) that this `fedwasm` implements.
- `Cargo.lock`: keep it with the sources; the bytes of the plan follow from both.
",
        template = template.name,
        data = data_file(template),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_crates() {
        for good in ["a", "heart-risk", "net_2", &"a".repeat(64)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        for bad in
            ["", "-a", "2a", "Ab", "a b", "a/b", "..", "é", "fn", "std", "fedwasm-sdk", &long]
        {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn types_are_renamed_as_whole_words() {
        let got = renamed("struct Mlp; impl MlpX for Mlp {} Mlp", "mlp", "heart-risk_2");
        assert_eq!(got, "struct HeartRisk2; impl MlpX for HeartRisk2 {} HeartRisk2");
    }

    #[test]
    fn every_template_is_complete() {
        assert!(templates().any(|of| of.name == "logistic-regression"));
        for of in templates() {
            let files = plan("x", of).unwrap();
            let has = |path: &str| files.iter().any(|(known, _)| known == Path::new(path));
            for path in [
                "src/lib.rs",
                "vendor/fedwasm-sdk/src/bindings/v0_2_0.rs",
                "vendor/fedwasm-compute/src/lib.rs",
                "vendor/wit/compute.wit",
            ] {
                assert!(has(path), "{}: {path}", of.name);
            }
        }
    }
}
