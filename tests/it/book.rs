//! The book: its code compiles, its commands run, its page of commands is what the program says.

use std::path::Path;

use crate::support::{fedwasm, root};

/// A block of code on a page: what follows the backticks, and its lines.
struct Block {
    language: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(root().join("docs").join(page)).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block { language: language.to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text += &(line.to_owned() + "\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page}: a block without end");
    blocks
}

fn pages() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("docs")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<String> = names.filter(|name| name.ends_with(".md")).collect();
    pages.sort();
    pages
}

/// Every page is in the summary, and whatever pages refer to is there.
#[test]
fn pages_are_listed_and_links_lead_somewhere() {
    let summary = std::fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    for page in pages() {
        assert!(page == "SUMMARY.md" || summary.contains(&format!("({page})")), "{page}");
        let text = std::fs::read_to_string(root().join("docs").join(&page)).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap();
            if !path.is_empty() && !link.contains("://") {
                assert!(root().join("docs").join(path).exists(), "{page}: {link}");
            }
        }
        for include in text.split("{{#include ").skip(1).filter_map(|rest| rest.split('}').next()) {
            assert!(root().join("docs").join(include).is_file(), "{page}: {include}");
        }
    }
}

/// Each block of Rust is a module of one crate.
#[test]
fn code_compiles() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("book");
    std::fs::create_dir_all(dir.join("src")).unwrap();
    let sdk = root().join("plugins/sdk").canonicalize().unwrap();
    let manifest = format!(
        "[package]\nname = \"book\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         [dependencies]\nfedwasm-sdk = {{ path = {sdk:?} }}\n[workspace]\n"
    );
    std::fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    let mut modules = String::new();
    for page in pages() {
        for (nth, block) in blocks(&page).into_iter().enumerate() {
            if !block.language.starts_with("rust") || block.text.contains("{{#include") {
                continue;
            }
            let name = format!("{}_{nth}", page.trim_end_matches(".md").replace('-', "_"));
            let import = match block.text.contains("use fedwasm_sdk") {
                true => "",
                false => "use fedwasm_sdk::*;\n",
            };
            let text = block.text.replace("//!", "//");
            modules += &format!("mod {name} {{\n#![allow(dead_code)]\n{import}{text}}}\n");
        }
    }
    assert!(modules.matches("mod ").count() >= 4, "{modules}");
    std::fs::write(dir.join("src/lib.rs"), modules).unwrap();
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["check", "--offline", "--target", "wasm32-unknown-unknown"]).current_dir(&dir);
    let output = cargo.env("CARGO_TARGET_DIR", dir.join("target")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The commands of the first plan, one after the other, with the files that the page shows.
#[test]
fn first_plan_is_as_the_book_says() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::copy(root().join("examples/data/digits.csv"), dir.join("digits.csv")).unwrap();
    std::fs::copy(root().join("rust-toolchain.toml"), dir.join("rust-toolchain.toml")).unwrap();
    let mut commands = 0;
    for block in blocks("first-plan.md") {
        match block.language.as_str() {
            "console" => {
                for line in block.text.lines() {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    assert_eq!(words[..2], ["$", "fedwasm"], "{line}");
                    fedwasm(&words[2..]).current_dir(dir).ok();
                    commands += 1;
                }
            }
            "rust" => {
                // What the page includes is what the command wrote, but for the name.
                let template = std::fs::read_to_string(root().join("plugins/mlp/src/lib.rs"));
                let written = std::fs::read_to_string(dir.join("digits/src/lib.rs")).unwrap();
                assert_eq!(template.unwrap().replace("Mlp", "Digits"), written);
            }
            "rust,plan" => std::fs::write(dir.join("digits/src/lib.rs"), block.text).unwrap(),
            "toml" if block.text.contains("[model]") => {
                std::fs::write(dir.join("args.toml"), block.text).unwrap();
            }
            "toml" => {
                std::fs::write(dir.join("experiment.toml"), block.text).unwrap();
                let file = dir.join("experiment.toml");
                fedwasm_researcher::ExperimentFile::read(&file).unwrap();
            }
            other => panic!("a block of {other}"),
        }
    }
    assert_eq!(commands, 6);
    for (run, accuracy_min) in [("run", 0.94), ("run2", 0.96)] {
        let history = std::fs::read_to_string(dir.join(run).join("history.json")).unwrap();
        let history: serde_json::Value = serde_json::from_str(&history).unwrap();
        let text = history.to_string();
        let (_, after) = text.split_once("\"accuracy\":").unwrap();
        let accuracy: f64 = after.split([',', '}']).next().unwrap().parse().unwrap();
        assert!(accuracy >= accuracy_min, "{run}: {accuracy}");
    }
}

/// `FEDWASM_BLESS=1` writes the page.
#[test]
fn page_of_commands_is_what_the_program_says() {
    let mut page = String::from(
        "# The command line\nWhat `fedwasm COMMAND --help` says, of all commands. Results go to standard \
         output, progress and logs to standard error; `--json` makes the results JSON Lines.\n\n\
         Exit codes: 0 done; 1 the run failed; 2 usage or configuration; 3 a plan was refused; 4 a plan \
         failed; 5 not enough nodes, or a deadline passed.\n",
    );
    write_help(&mut page, &[]);
    let path = root().join("docs/command-line.md");
    if std::env::var_os("FEDWASM_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/command-line.md is out of date: FEDWASM_BLESS=1 writes it");
}

fn write_help(page: &mut String, command: &[&str]) {
    let help = fedwasm(&[command, &["--help"]].concat()).ok().stdout;
    if !command.is_empty() {
        let name = command.join(" ");
        let marks = "#".repeat(command.len() + 1);
        *page += &format!("\n{marks} {name}\n```text\n{}\n```\n", help.trim_end());
    }
    let listed = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
    let listed = listed.lines().take_while(|line| !line.is_empty());
    for name in listed.filter_map(|line| line.split_whitespace().next()) {
        if name != "help" {
            write_help(page, &[command, &[name]].concat());
        }
    }
}
