//! Embeds the files that `plan new` writes: the crates of `plugins/` and the contract, as they are
//! here.
//!
//! Manifests are rewritten to stand alone, since the new plan has no workspace to inherit from.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// Members of `plugins/` that traced plans are made with; no plan in Rust starts from them.
const TRACED: [&str; 3] = ["graph", "interpreter", "traced"];

fn main() -> Result<(), Box<dyn Error>> {
    // Asked when it runs: with a target folder of several checkouts, it was compiled in another.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets CARGO_MANIFEST_DIR")?;
    let root = Path::new(&package).join("../..").canonicalize()?;
    let plugins = root.join("plugins");
    let workspace = manifest(&plugins)?;
    let workspace = table(&workspace, "workspace")?;
    let members = workspace.get("members").and_then(Value::as_array).ok_or("no members")?;
    let mut crates = String::from("pub(crate) static CRATES: &[Crate] = &[\n");
    let members = members.iter().filter_map(Value::as_str);
    for member in members.filter(|member| !TRACED.contains(member)) {
        let dir = plugins.join(member);
        let manifest = standalone(manifest(&dir)?, workspace)?;
        let name = table(&manifest, "package")?.get("name").and_then(Value::as_str);
        let types = manifest.get("lib").and_then(|lib| lib.get("crate-type"));
        let is_plan = types.and_then(Value::as_array).is_some_and(|types| !types.is_empty());
        let dependencies = manifest.get("dependencies").and_then(Value::as_table);
        let dependencies: Vec<&String> =
            dependencies.iter().flat_map(|table| table.keys()).collect();
        writeln!(
            crates,
            "Crate {{ name: {:?}, is_plan: {is_plan}, manifest: {:?}, dependencies: &{:?}, \
             files: {} }},",
            name.ok_or("a crate without a name")?,
            toml::to_string(&manifest)?,
            dependencies,
            files(&dir)?,
        )?;
    }
    crates += "];\n";
    writeln!(crates, "pub(crate) static WIT: Files = {};", files(&root.join("wit"))?)?;
    let out = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    std::fs::write(PathBuf::from(out).join("embedded.rs"), crates)?;
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}

fn manifest(dir: &Path) -> Result<Table, Box<dyn Error>> {
    let path = dir.join("Cargo.toml");
    println!("cargo::rerun-if-changed={}", path.display());
    let text = std::fs::read_to_string(&path);
    Ok(text.map_err(|error| format!("{}: {error}", path.display()))?.parse()?)
}

fn table<'a>(table: &'a Table, key: &str) -> Result<&'a Table, Box<dyn Error>> {
    let inner = table.get(key).and_then(Value::as_table);
    inner.ok_or_else(|| format!("no [{key}] in a manifest").into())
}

/// Writes out the inherited keys of a manifest. Its dependencies must be crates of the workspace,
/// which will lie beside it under their names.
fn standalone(mut manifest: Table, workspace: &Table) -> Result<Table, Box<dyn Error>> {
    let shared = table(workspace, "package")?;
    if let Some(package) = manifest.get_mut("package").and_then(Value::as_table_mut) {
        for (key, value) in package.iter_mut() {
            if value.get("workspace").is_some() {
                *value = shared.get(key).ok_or("an inherited key that is not there")?.clone();
            }
        }
    }
    if let Some(dependencies) = manifest.get_mut("dependencies").and_then(Value::as_table_mut) {
        for (name, value) in dependencies.iter_mut() {
            let inherited = value.get("workspace").is_some();
            let from = if inherited { table(workspace, "dependencies")?.get(name) } else { None };
            let mut dependency = from.unwrap_or(value).as_table().cloned().unwrap_or_default();
            if dependency.insert("path".into(), format!("../{name}").into()).is_none() {
                return Err(format!("`{name}` is no crate of plugins/").into());
            }
            *value = dependency.into();
        }
    }
    for key in ["lints", "dev-dependencies", "test", "bench", "example"] {
        manifest.remove(key);
    }
    Ok(manifest)
}

/// Returns a Rust expression: names and contents of all files but the manifest, in ascending order
/// of names.
fn files(dir: &Path) -> Result<String, Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", dir.display());
    let (mut found, mut left) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(&next)? {
            let path = entry?.path();
            let name = path.strip_prefix(dir)?.to_str().ok_or("a name that is not UTF-8")?;
            // Only the files that build a plan; older contracts lie beside the current one, and unit
            // tests beside what they test.
            let skipped =
                ["target", "Cargo.toml", "Cargo.lock", "tests", "benches", "examples", "released"]
                    .contains(&name)
                    || name.ends_with("/tests")
                    || name.ends_with("tests.rs");
            match path.is_dir() {
                _ if skipped => {}
                true => left.push(path),
                false => found.push((name.replace('\\', "/"), path)),
            }
        }
    }
    found.sort();
    let mut text = String::from("&[");
    for (name, path) in found {
        write!(text, "({name:?}, include_bytes!({:?})), ", path.to_str().ok_or("not UTF-8")?)?;
    }
    Ok(text + "]")
}
