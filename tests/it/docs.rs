//! The files and tests that the documentation names exist.

use std::collections::BTreeSet;

use crate::support::{fedwasm, root};

/// The texts between backticks of a page.
fn quoted(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
}

#[test]
fn every_test_of_the_page_for_fed_biomed_exists() {
    let mut n = 0;
    for quoted in quoted("docs/from-fed-biomed.md") {
        let Some((path, name)) = quoted.split_once(".rs: ") else { continue };
        assert_has_test(&format!("{path}.rs"), name);
        n += 1;
    }
    assert!(n > 100, "{n}");
}

#[test]
fn every_scenario_of_the_page_for_fed_biomed_exists() {
    let mut n = 0;
    for quoted in quoted("docs/from-fed-biomed.md") {
        let Some((name, test)) = quoted.split_once(".py: ") else { continue };
        let path = root().join("host/python/tests/scenarios").join(name).with_extension("py");
        let source = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(source.contains(&format!("def {test}(")), "{} has no {test}", path.display());
        n += 1;
    }
    assert!(n > 10, "{n}");
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

/// Panics unless a source has a test of this name; any will do if the name is empty.
#[track_caller]
fn assert_has_test(path: &str, name: &str) {
    let source = std::fs::read_to_string(root().join(path)).unwrap_or_default();
    assert!(source.contains("#[test]") || source.contains("#[tokio::test"), "{path} has no tests");
    assert!(name.is_empty() || source.contains(&format!("fn {name}(")), "{path} has no {name}");
}

/// Panics unless there is the test that a page names: `it MODULE::NAME` is one of this binary,
/// `ROOM MODULE::tests::NAME` and `ROOM tests/FILE::NAME` are of a room. Tells whether the text names a test at all.
#[track_caller]
fn assert_is_there(quoted: &str) -> bool {
    let Some((room, path)) = quoted.split_once(' ') else { return false };
    let Some((module, name)) = path.rsplit_once("::") else { return false };
    match room {
        "it" => {
            let module = format!("tests/it/{}", module.replace("::", "/"));
            let is_folder = root().join(&module).is_dir();
            assert_has_test(&format!("{module}{}.rs", if is_folder { "/mod" } else { "" }), name);
        }
        room => {
            let file = module.trim_end_matches("::tests").replace("::", "/");
            // Beside the sources, or among them.
            let beside = format!("host/{room}/{file}.rs");
            let is_beside = root().join(&beside).exists();
            let among = format!("host/{room}/src/{file}.rs");
            assert_has_test(if is_beside { &beside } else { &among }, name);
        }
    }
    true
}

/// The attacks of the threat model, each with its test.
#[test]
fn every_test_of_the_threat_model_exists() {
    let n = quoted("docs/threat-model.md").iter().filter(|text| assert_is_there(text)).count();
    assert!(n >= 50, "{n}");
}

/// The tests, guests and limits that the page on security names.
#[test]
fn every_test_guest_and_limit_of_the_security_page_exists() {
    let (mut tests, mut guests, mut limits) = (0, 0, 0);
    let known = std::fs::read_to_string(root().join("host/protocol/src/limits.rs")).unwrap();
    for quoted in quoted("SECURITY.md") {
        tests += usize::from(assert_is_there(&quoted));
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

/// A node takes the settings that pages show.
#[test]
fn settings_of_privacy_on_pages_are_those_of_a_node() {
    let mut n = 0;
    for page in ["docs/privacy.md", "docs/operators-guide.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        for block in blocks.filter(|block| block.contains("[privacy]")) {
            let dir = tempfile::tempdir().unwrap();
            let node = dir.path().join("n");
            fedwasm(&["node", "init", "--id", "n"]).arg(&node).ok();
            let file = node.join("node.toml");
            let written = std::fs::read_to_string(&file).unwrap();
            let mut config: toml::Table = written.parse().unwrap();
            config.extend(block.parse::<toml::Table>().unwrap());
            std::fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
            let read = fedwasm(&["node", "privacy", "show"]).arg(&node).run();
            assert_eq!(read.code, 0, "{page}: {block}{}", read.stderr);
            n += 1;
        }
    }
    assert!(n >= 6, "{n}");
}
