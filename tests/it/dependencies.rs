//! The packages that are linked have licences, sources and versions as deny.toml allows them. `cargo deny check
//! licenses bans sources` checks the same; this needs no tool and no network.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::support::root;

/// The package of a room of `host/`.
pub fn package_of(room: &str) -> String {
    match room {
        "cli" => "fedwasm".to_owned(),
        room => format!("fedwasm-{room}"),
    }
}

struct Package {
    name: String,
    version: String,
    licence: String,
    is_ours: bool,
}

/// The packages that `cargo tree` lists on this platform: the metadata have edges of features that are off.
fn tree(args: &[&str]) -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--prefix=none", "--format={p}|{l}"])
        .args(args)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // A package that was listed before has a mark.
    let lines = text.lines().filter(|line| !line.is_empty());
    let lines: BTreeSet<&str> = lines.map(|line| line.trim_end_matches(" (*)")).collect();
    let package = |line: &&str| {
        let (package, licence) = line.rsplit_once('|').unwrap();
        let mut words = package.split(' ');
        let (name, version) = (words.next().unwrap(), words.next().unwrap());
        Package {
            name: name.to_owned(),
            version: version.trim_start_matches('v').to_owned(),
            licence: licence.to_owned(),
            is_ours: package.contains(" (/"),
        }
    };
    lines.iter().map(package).collect()
}

/// The names of all packages that a package links.
pub fn linked_by(package: &str) -> BTreeSet<String> {
    tree(&["-e=normal", "-p", package]).into_iter().map(|package| package.name).collect()
}

/// The packages that the workspace links or builds with, without its own.
fn foreign() -> Vec<Package> {
    let mut all = tree(&["-e=normal,build", "--workspace"]);
    all.retain(|package| !package.is_ours);
    all
}

/// The rules.
fn deny() -> toml::Table {
    std::fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap()
}

fn list<'a>(table: &'a toml::Table, section: &str, key: &str) -> Vec<&'a toml::Value> {
    table[section].get(key).and_then(toml::Value::as_array).into_iter().flatten().collect()
}

/// The words of an SPDX expression; `/` is the old way to write OR.
fn words(expression: &str) -> Vec<String> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let spaced = spaced.replace(" WITH ", "_WITH_");
    spaced.split_whitespace().map(|word| word.replace("_WITH_", " WITH ")).collect()
}

/// Whether an expression can be met with these licences, from word `at` on.
fn is_met(words: &[String], at: &mut usize, allowed: &BTreeSet<&str>) -> bool {
    let mut any = false;
    loop {
        let mut all = true;
        loop {
            let word = &words[*at];
            *at += 1;
            let one = if word == "(" {
                let inner = is_met(words, at, allowed);
                assert_eq!(words[*at], ")");
                *at += 1;
                inner
            } else {
                allowed.contains(word.as_str())
            };
            all &= one;
            if words.get(*at).is_none_or(|word| word != "AND") {
                break;
            }
            *at += 1;
        }
        any |= all;
        if words.get(*at).is_none_or(|word| word != "OR") {
            return any;
        }
        *at += 1;
    }
}

#[test]
fn licence_expressions_are_evaluated() {
    let allowed = BTreeSet::from(["MIT", "Apache-2.0 WITH LLVM-exception"]);
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0 OR MIT", true),
        ("Unlicense/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(MIT OR GPL-3.0) AND ISC", false),
        ("Apache-2.0", false),
        ("Apache-2.0 WITH LLVM-exception", true),
    ] {
        assert_eq!(is_met(&words(expression), &mut 0, &allowed), expected, "{expression}");
    }
}

#[test]
fn every_licence_is_allowed() {
    let deny = deny();
    let texts = |key| list(&deny, "licenses", key).into_iter();
    let allowed: BTreeSet<&str> = texts("allow").filter_map(toml::Value::as_str).collect();
    let mut used = BTreeSet::new();
    for package in foreign() {
        let Package { name, version, licence, .. } = package;
        let expression = words(&licence);
        assert!(is_met(&expression, &mut 0, &allowed), "{name} {version}: {licence}");
        used.extend(expression);
    }
    let unused: Vec<&&str> = allowed.iter().filter(|name| !used.contains(**name)).collect();
    assert!(unused.is_empty(), "deny.toml allows what nothing has: {unused:?}");
}

#[test]
fn packages_come_from_the_registry_alone() {
    let deny = deny();
    let registries = list(&deny, "sources", "allow-registry");
    let lock: toml::Table =
        std::fs::read_to_string(root().join("Cargo.lock")).unwrap().parse().unwrap();
    for package in lock["package"].as_array().unwrap() {
        let Some(source) = package.get("source").and_then(toml::Value::as_str) else { continue };
        let is_it = |registry: &&toml::Value| source.strip_prefix("registry+") == registry.as_str();
        assert!(registries.iter().any(is_it), "{source}");
        assert!(package.get("checksum").is_some(), "{package}");
    }
}

#[test]
fn a_second_version_of_a_package_has_a_reason() {
    let deny = deny();
    let mut skipped = BTreeMap::new();
    for entry in list(&deny, "bans", "skip") {
        let text = |key: &str| entry[key].as_str().unwrap();
        assert!(!text("reason").is_empty(), "{entry}");
        skipped.insert(text("crate").to_owned(), false);
    }
    let mut kept: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in foreign() {
        match skipped.get_mut(&format!("{}@{}", package.name, package.version)) {
            Some(is_used) => *is_used = true,
            None => drop(kept.entry(package.name).or_default().insert(package.version)),
        }
    }
    let twice: Vec<_> = kept.iter().filter(|(_, versions)| versions.len() > 1).collect();
    assert!(twice.is_empty(), "take one, or give a reason in deny.toml: {twice:?}");
    for (name, is_used) in skipped {
        // A version that is the only one left needs no reason.
        let (package, _) = name.split_once('@').unwrap();
        assert!(is_used && kept.contains_key(package), "deny.toml: {name} is there no more");
    }
}

#[test]
fn banned_packages_are_not_linked() {
    let deny = deny();
    let banned = list(&deny, "bans", "deny").into_iter().map(|entry| entry["crate"].as_str());
    let banned: BTreeSet<&str> = banned.map(Option::unwrap).collect();
    let foreign = foreign();
    let found: Vec<&String> =
        foreign.iter().map(|p| &p.name).filter(|name| banned.contains(name.as_str())).collect();
    assert!(!banned.is_empty() && found.is_empty(), "{found:?}");
}

/// Whoever reads the manifest learns why each package is there.
#[test]
fn every_dependency_has_its_reason() {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = text.split_once("[workspace.dependencies]\n").unwrap().1;
    let lines: Vec<&str> = table.lines().take_while(|line| !line.starts_with('[')).collect();
    let mut checked = 0;
    for pair in lines.windows(2) {
        let [above, line] = pair else { panic!("{pair:?}") };
        if line.contains(" = ") && !line.starts_with("fedwasm-") && !line.starts_with('#') {
            assert!(above.starts_with("# "), "{line}: no comment above it says why");
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
}
