//! The rules of the house that no compiler checks: floors and absences as ARCHITECTURE.md has them,
//! sizes of files and functions, tests that cannot be forgotten, and words that hide a role.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::dependencies::{linked_by, package_of};
use crate::support::root;

/// Lines of code of a file, its unit tests left out.
const FILE_LINES_MAX: usize = 400;

/// Lines of code of a function, with its head.
const FUNCTION_LINES_MAX: usize = 70;

/// The files and functions that are longer, each with its length when it was listed.
const LONG: &str = "tests/it/long.txt";

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A room of ARCHITECTURE.md: what it depends on, and what it never links.
struct Room {
    name: String,
    stands_on: BTreeSet<String>,
    never_links: BTreeSet<String>,
}

/// The texts between backticks.
fn quoted(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows of the table of dependencies.
fn rooms() -> Vec<Room> {
    let text = read(&root().join("ARCHITECTURE.md"));
    let table = text.lines().skip_while(|line| !line.starts_with("| room | stands on |"));
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    let room = |row: &str| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [name, stands_on, never_links] = cells[..] else { panic!("{row}") };
        let name = quoted(name).pop_first().unwrap();
        Room { name, stands_on: quoted(stands_on), never_links: quoted(never_links) }
    };
    let rooms: Vec<Room> = rows.map(room).collect();
    assert!(!rooms.is_empty(), "ARCHITECTURE.md has no table of dependencies");
    rooms
}

/// The directories of `host/`.
fn directories() -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join("host")).unwrap().map(Result::unwrap);
    let rooms = entries.filter(|entry| entry.path().join("Cargo.toml").is_file());
    rooms.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// The rooms that a room's manifest names in `[dependencies]`.
fn named_by(room: &str) -> BTreeSet<String> {
    let manifest = read(&root().join("host").join(room).join("Cargo.toml"));
    let manifest: toml::Table = manifest.parse().unwrap();
    let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
    let names = dependencies.into_iter().flat_map(|table| table.keys());
    names.filter_map(|name| Some(name.strip_prefix("fedwasm-")?.to_owned())).collect()
}

#[test]
fn rooms_stand_on_the_rooms_that_the_table_names() {
    let rooms = rooms();
    let names: BTreeSet<String> = rooms.iter().map(|room| room.name.clone()).collect();
    assert_eq!(names, directories(), "rooms of ARCHITECTURE.md (left), directories of host/");
    for room in rooms {
        let named = named_by(&room.name);
        assert_eq!(room.stands_on, named, "{}: ARCHITECTURE.md (left), Cargo.toml", room.name);
    }
}

#[test]
fn rooms_link_nothing_that_the_table_excludes() {
    let all = linked_by("fedwasm");
    for room in rooms() {
        let linked = linked_by(&package_of(&room.name));
        let wrong: Vec<&String> = room.never_links.intersection(&linked).collect();
        assert!(wrong.is_empty(), "{} links {wrong:?} (cargo tree -e normal)", room.name);
        // A name that nothing has cannot be linked, and the row would promise nothing.
        for name in &room.never_links {
            assert!(all.contains(name), "{}: nothing links {name} any more", room.name);
        }
    }
}

/// The floor of each room, as it is drawn.
fn floors() -> BTreeMap<String, u32> {
    let text = read(&root().join("ARCHITECTURE.md"));
    let (_, text) = text.split_once("## Rooms and floors").unwrap();
    let drawing = text.split("```").nth(1).unwrap();
    let rooms = directories();
    let mut floors = BTreeMap::new();
    for line in drawing.lines() {
        let Some((floor, line)) = line.split_once(' ') else { continue };
        let Ok(floor) = floor.parse::<u32>() else { continue };
        // The first word is the floor's own name.
        let words =
            line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        for room in words.skip(1).filter(|word| rooms.contains(*word)) {
            let before = floors.insert(room.to_owned(), floor);
            assert!(before.is_none_or(|before| before == floor), "{room} is drawn on two floors");
        }
    }
    let drawn: BTreeSet<String> = floors.keys().cloned().collect();
    assert_eq!(drawn, rooms, "rooms that are drawn (left), directories of host/");
    floors
}

#[test]
fn no_arrow_points_up() {
    let floors = floors();
    for (room, floor) in &floors {
        for below in named_by(room) {
            let Some(other) = floors.get(&below) else { continue };
            assert!(other <= floor, "{room} of floor {floor} stands on {below} of floor {other}");
        }
    }
}

/// The sources under a directory, those of generated bindings left out.
fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", "guests", "bindings"].contains(&name.as_str()) {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") && name != "bindings.rs" {
            found.push(path);
        }
    }
}

fn is_code(line: &&str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//")
}

/// Whether the comment that ends above a line, attributes between, gives a reason for its length.
fn is_explained(above: &[&str]) -> bool {
    let is_part = |line: &&&str| line.trim().starts_with("//") || line.trim().starts_with("#[");
    above.iter().rev().take_while(is_part).any(|line| line.trim().starts_with("// long: "))
}

/// The name of the function that a line begins.
fn function(line: &str) -> Option<&str> {
    let (before, after) = line.trim_start().split_once("fn ")?;
    let is_qualifier = |word: &str| {
        ["const", "async", "unsafe", "extern", "\"C\""].contains(&word) || word.starts_with("pub")
    };
    let name = after.split(['(', '<']).next()?;
    (before.split_whitespace().all(is_qualifier) && !name.contains(' ')).then_some(name)
}

/// The files and functions of a source that are too long, by `path` and `path function`.
fn long_ones(path: &str, text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut long = Vec::new();
    let tests =
        lines.windows(2).position(|two| two[0] == "#[cfg(test)]" && two[1] == "mod tests {");
    let file = lines[..tests.unwrap_or(lines.len())].iter().copied().filter(is_code);
    let (n, head) = (file.count(), lines.iter().take_while(|line| !is_code(line)));
    let is_unit_test = path.ends_with("/tests.rs");
    let has_reason = head.into_iter().any(|line| line.starts_with("// long: "));
    if n > FILE_LINES_MAX && !is_unit_test && !has_reason {
        long.push((path.to_owned(), n));
    }
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function(line) else { continue };
        // rustfmt closes a function where its head begins.
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indent}}}");
        let is_short = line.ends_with(['}', ';']);
        let Some(length) = lines[at..].iter().position(|line| *line == end) else { continue };
        let n = lines[at..=at + length].iter().copied().filter(is_code).count();
        if !is_short && n > FUNCTION_LINES_MAX && !is_explained(&lines[..at]) {
            long.push((format!("{path} {name}"), n));
        }
    }
    long
}

#[test]
fn files_and_functions_fit_on_a_screen_or_say_why_not() {
    let mut paths = Vec::new();
    for dir in ["host", "plugins", "examples", "tests/it"] {
        sources(&root().join(dir), &mut paths);
    }
    assert!(paths.len() > 200, "{}", paths.len());
    let mut long = BTreeMap::new();
    for path in paths {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        long.extend(long_ones(&name, &read(&path)));
    }
    let text = read(&root().join(LONG));
    let head = text.lines().take_while(|line| line.starts_with('#'));
    let listed: BTreeMap<&str, usize> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').map(|(name, n)| (name, n.parse().unwrap())).unwrap())
        .collect();
    let mut mistakes: Vec<String> = Vec::new();
    for (name, n) in &long {
        match listed.get(name.as_str()) {
            Some(before) if n <= before => {}
            Some(before) => mistakes.push(format!("{name}: {n} lines of code, {before} before")),
            None => mistakes.push(format!(
                "{name}: {n} lines of code; cut it, or say why in a comment `// long: ...`"
            )),
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    // FEDWASM_BLESS=1 writes lengths that became shorter.
    let text = head.map(str::to_owned).chain(long.iter().map(|(name, n)| format!("{name} {n}")));
    let text = text.collect::<Vec<_>>().join("\n") + "\n";
    if std::env::var_os("FEDWASM_BLESS").is_some() {
        std::fs::write(root().join(LONG), text).unwrap();
        return;
    }
    let gone: Vec<&&str> = listed.keys().filter(|name| !long.contains_key(**name)).collect();
    assert!(gone.is_empty(), "take them off {LONG} (FEDWASM_BLESS=1): {gone:#?}");
}

/// A file that no module names is a test that never runs.
#[test]
fn every_file_of_tests_is_a_module() {
    let dir = root().join("tests/it");
    let main = read(&dir.join("main.rs"));
    let names = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name());
    for name in names.map(|name| name.into_string().unwrap()) {
        let Some(module) = name.strip_suffix(".rs").filter(|name| *name != "main") else {
            continue;
        };
        let line = format!("mod {module};");
        assert!(main.lines().any(|have| have == line), "tests/it/main.rs has no `{line}`");
    }
}

/// Words that hide who or what is meant, and starts of sentences without a noun.
const UNCLEAR: [&str; 8] =
    ["whoever", "nobody", "somebody", "What a ", "What the ", "Who is ", "What is ", "Who has "];

/// Words after "is no" that make it plain English.
const COMPARED: [&str; 4] = ["longer", "larger", "more", "other"];

/// Whether a line has `words` with no part of a name beside them.
fn has_words(line: &str, words: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(words).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + words.len()..]);
        let is_whole = words.ends_with(' ') || !after.starts_with(is_name);
        is_whole && !before.ends_with(is_name)
    })
}

/// "X is no Y" of a line; "there is no Y" is fine.
fn is_no(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.windows(4).any(|four| {
        let is_verb = ["is", "are", "was", "were"].contains(&four[1]) && four[2] == "no";
        is_verb && !four[0].ends_with("here") && !COMPARED.contains(&four[3])
    })
}

/// Messages, help texts and comments name the role and the thing that they are about.
#[test]
fn texts_say_who_and_what_is_meant() {
    let mut paths = Vec::new();
    for room in directories() {
        sources(&root().join("host").join(room).join("src"), &mut paths);
    }
    let mut mistakes = Vec::new();
    for path in paths {
        let text = read(&path);
        for (number, line) in text.lines().enumerate() {
            if is_no(line) || UNCLEAR.iter().any(|words| has_words(line, words)) {
                mistakes.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(mistakes.is_empty(), "name the role or the thing:\n{}", mistakes.join("\n"));
}

fn tests() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    sources(&root().join("tests/it"), &mut paths);
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (name(path), read(path))).collect()
}

/// A test that sleeps for a message is slow on a quiet machine and wrong on a busy one.
#[test]
fn no_test_sleeps_without_a_reason() {
    for (name, text) in tests().into_iter().filter(|(name, _)| name != "tidy.rs") {
        let lines: Vec<&str> = text.lines().collect();
        for two in lines.windows(2).filter(|two| two[1].contains("::sleep(")) {
            let is_poll = two[1].contains("sleep(POLL_PAUSE)");
            let has_reason = two[0].trim().starts_with("//");
            assert!(is_poll || has_reason, "{name}: wait for an event, or say why: {}", two[1]);
        }
    }
}

/// `edit` fails where its template changed; `replace` leaves the text as it was.
#[test]
fn templates_are_edited_and_not_searched() {
    let is_edit = |line: &&str| {
        let texts = ["text", "config", "experiment", "strategy", "training"];
        texts.iter().any(|name| line.contains(&format!("{name}.replace(\"")))
    };
    // The pages, whose texts are not templates.
    let others = tests().into_iter().filter(|(name, _)| name != "book.rs" && name != "tidy.rs");
    for (name, text) in others {
        assert_eq!(text.lines().find(|line| is_edit(line)), None, "{name}: use `edit`");
    }
}

/// The maps of ARCHITECTURE.md name every file of their rooms and no other; what every room has
/// (`lib.rs`, `error.rs`, tests) needs no word.
#[test]
fn maps_name_the_files_of_their_rooms() {
    let text = read(&root().join("ARCHITECTURE.md"));
    let mut maps = 0;
    for part in text.split("Under `host/").skip(1) {
        let (room, rest) = part.split_once("/src`:").unwrap();
        let rows = rest.lines().skip(3).take_while(|line| line.starts_with('|'));
        let first = rows.filter_map(|row| row.split('|').nth(1));
        let mut named: BTreeSet<String> = first.flat_map(quoted).collect();
        let entries = std::fs::read_dir(root().join("host").join(room).join("src")).unwrap();
        for entry in entries.map(Result::unwrap) {
            let mut name = entry.file_name().into_string().unwrap();
            if entry.path().is_dir() {
                name += "/";
            }
            let needs_no_word = ["lib.rs", "error.rs", "tests.rs", "tests/"].contains(&&*name);
            assert!(needs_no_word || named.remove(&name), "host/{room}: no word about {name}");
        }
        assert!(named.is_empty(), "host/{room} has no {named:?}");
        maps += 1;
    }
    assert!(maps >= 6, "{maps} maps");
}

/// The sandbox, which may have unsafe code, has all other lints of the workspace.
#[test]
fn the_sandbox_has_the_lints_of_the_workspace() {
    let lints = |path: &str, table: &str| {
        let text = read(&root().join(path));
        let (_, rest) = text.split_once(&format!("[{table}]\n")).unwrap();
        let lines = rest.lines().take_while(|line| !line.is_empty());
        let lines = lines.filter(|line| !line.starts_with('#') && !line.starts_with("unsafe_code"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    for table in ["rust", "clippy"] {
        let ours = lints("host/sandbox/Cargo.toml", &format!("lints.{table}"));
        assert_eq!(ours, lints("Cargo.toml", &format!("workspace.lints.{table}")), "{table}");
        assert!(ours.len() > 1);
    }
}
