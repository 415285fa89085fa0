//! What the documentation says of this repository is there.

use std::collections::BTreeSet;

use crate::support::root;

/// The texts between backticks of a page.
fn quoted(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
}

#[test]
fn every_test_that_the_page_for_fed_biomed_names_is_there() {
    let mut n = 0;
    for quoted in quoted("docs/from-fed-biomed.md") {
        let Some((path, name)) = quoted.split_once(".rs: ") else { continue };
        let path = root().join(format!("{path}.rs"));
        let source = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(source.contains(&format!("fn {name}(")), "{} has no {name}", path.display());
        n += 1;
    }
    assert!(n > 100, "{n}");
}

#[test]
fn every_fault_of_the_list_has_its_test() {
    let faults: BTreeSet<String> = quoted("docs/from-fed-biomed.md")
        .into_iter()
        .filter_map(|text| Some(text.split("fault_").nth(1)?.get(..2)?.to_owned()))
        .collect();
    let all: BTreeSet<String> = (1..=12).map(|n| format!("{n:02}")).collect();
    assert_eq!(faults, all);
}

/// The attacks of the threat model, each with its test.
#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let mut n = 0;
    for quoted in quoted("docs/threat-model.md") {
        let (path, name) = match quoted.split_once("::") {
            Some((module, name)) if module.starts_with("it ") => {
                (format!("tests/it/{}.rs", &module[3..]), name.to_owned())
            }
            Some((module, name)) if module.contains(' ') => {
                let (room, file) = module.split_once(' ').unwrap();
                (format!("host/{room}/src/{file}.rs"), name.replace("tests::", ""))
            }
            _ => continue,
        };
        let source = std::fs::read_to_string(root().join(&path)).unwrap_or_default();
        assert!(source.contains(&format!("fn {name}")), "{path} has no {name}");
        n += 1;
    }
    assert!(n > 20, "{n}");
}

/// The tests, guests and limits that the page on security names.
#[test]
fn what_the_page_on_security_names_is_there() {
    let (mut tests, mut guests, mut limits) = (0, 0, 0);
    let known = std::fs::read_to_string(root().join("host/protocol/src/limits.rs")).unwrap();
    for quoted in quoted("SECURITY.md") {
        if let Some((module, name)) = quoted.strip_prefix("it ").and_then(|it| it.split_once("::"))
        {
            let path = root().join(format!("tests/it/{module}.rs"));
            let source = std::fs::read_to_string(&path).unwrap();
            assert!(name.is_empty() || source.contains(&format!("fn {name}(")), "{quoted}");
            tests += 1;
        }
        let guest = root().join(format!("tests/guests/hostile/{quoted}.wat"));
        guests += usize::from(guest.is_file());
        if quoted.ends_with("_max") {
            assert!(known.contains(&format!("{quoted}: ")), "{quoted}");
            limits += 1;
        }
    }
    // Every limit of a call is on the page.
    let all =
        known.lines().filter(|line| line.trim_start().contains("_max: ") && line.contains(" = "));
    assert!(tests >= 10 && guests >= 8, "{tests} {guests}");
    assert!(limits >= all.count(), "{limits}");
}
