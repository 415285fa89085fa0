//! The book: its code compiles, its commands run, its page of commands is what the program says.

use std::path::{Path, PathBuf};

use crate::support::{Edit, Ended, Running, data, event, fedwasm, plan, root, shell};

/// A block of code on a page: what follows the backticks, and its lines.
struct Block {
    language: String,
    text: String,
}

/// The blocks of a page: of the book, or of the repository.
fn blocks(page: &str) -> Vec<Block> {
    let of_book = root().join("docs").join(page);
    let path = if of_book.exists() { of_book } else { root().join(page) };
    let text = std::fs::read_to_string(path).unwrap();
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

/// Each block of Rust is a module of one crate. Those of the SDK's README are tests of its own.
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
            let name = format!("{}_{nth}", page.trim_end_matches(".md").replace(['-', '/'], "_"));
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

/// The lines of a page that begin with `$`, without comments, in their order.
fn commands(page: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in blocks(page).iter().flat_map(|block| block.text.lines()) {
        let line = match (line.strip_prefix("$ "), goes_on) {
            (Some(command), _) => {
                commands.push(String::new());
                command
            }
            (None, true) => line,
            (None, false) => continue,
        };
        let line = line.split(" # ").next().unwrap().trim();
        let text = line.strip_suffix('\\').unwrap_or(line);
        goes_on = text != line;
        let last = commands.last_mut().unwrap();
        *last = format!("{last} {}", text.trim()).trim().to_owned();
    }
    commands
}

/// The commands of a page, run in a directory; each must be run once, or be left out by name.
pub struct Page {
    name: &'static str,
    left: Vec<String>,
    dir: PathBuf,
    /// Words of the page and their values here: addresses, files, digests.
    words: Vec<(String, String)>,
}

impl Page {
    pub fn open(name: &'static str, dir: &Path) -> Self {
        let left = commands(name);
        assert!(!left.is_empty(), "{name} has no commands");
        Self { name, left, dir: dir.to_owned(), words: Vec::new() }
    }

    pub fn word(mut self, from: &str, to: impl std::fmt::Display) -> Self {
        self.words.push((from.to_owned(), to.to_string()));
        self
    }

    /// Takes the next command that begins like this.
    pub fn take(&mut self, start: &str) -> String {
        let text = |command: &str| command.split_whitespace().collect::<Vec<_>>().join(" ");
        let at = self.left.iter().position(|command| text(command).starts_with(&text(start)));
        let at = at.unwrap_or_else(|| panic!("{}: no `{start}` is left", self.name));
        let command = self.left.remove(at);
        // Columns are aligned with blanks.
        self.words.iter().fold(text(&command), |text, (from, to)| text.replace(from, to))
    }

    pub fn shell(&self, command: &str) -> crate::support::Fedwasm {
        let home = self.dir.join("home").display().to_string();
        shell(command).current_dir(&self.dir).env("FEDWASM_HOME", &home)
    }

    /// Runs the next command that begins like this; it must end well.
    fn run(&mut self, start: &str) -> Ended {
        let command = self.take(start);
        let ended = self.shell(&command).run();
        let (name, Ended { code, stdout, stderr }) = (self.name, &ended);
        assert_eq!(*code, 0, "{name}: {command}\n{stdout}\n{stderr}");
        ended
    }

    /// Runs the next commands of the program that begin like these, one after the other.
    fn run_all(&mut self, starts: &str) {
        starts.split(", ").for_each(|start| drop(self.run(&format!("fedwasm {start}"))));
    }

    /// Starts the next command that begins like this, and waits until it is ready.
    fn start(&mut self, start: &str) -> (Running, serde_json::Value) {
        let command = self.take(start);
        let running = self.shell(&format!("exec {command}")).start();
        let ready = running.wait_for(event("ready"));
        (running, ready)
    }

    /// Starts the network of the page on free ports; from here on, commands find it.
    fn network(&mut self) -> Running {
        let at = self.words.len();
        self.words.push((
            "fedwasm network start".to_owned(),
            "fedwasm network start --mqtt 127.0.0.1:0 --http 127.0.0.1:0".to_owned(),
        ));
        let (network, ready) = self.start("fedwasm network start");
        self.words.truncate(at);
        let address = |key: &str| ready[key].as_str().unwrap().to_owned();
        let (mqtt, repository) = (address("mqtt"), address("repository"));
        for command in ["fedwasm node init", "fedwasm nodes"] {
            let with = format!("{command} --mqtt {mqtt} --repository {repository}");
            self.words.push((command.to_owned(), with));
        }
        self.words.push(("mqtt://127.0.0.1:1883".into(), mqtt));
        self.words.push(("http://127.0.0.1:8844".into(), repository));
        network
    }

    /// An experiment of the page, for the network of the page.
    fn experiment(&self, text: &str) {
        let has_network = text.contains("[network]");
        let text = self.words.iter().fold(text.to_owned(), |text, (from, to)| {
            if from.contains("://") { text.replace(from, to) } else { text }
        });
        let address = |scheme: &str| {
            let known = self.words.iter().find(|(from, _)| from.starts_with(scheme));
            known.unwrap().1.clone()
        };
        let network = format!(
            "\n[network]\nmqtt = {:?}\nrepository = {:?}\n",
            address("mqtt"),
            address("http")
        );
        let text = if has_network { text } else { text + &network };
        std::fs::write(self.dir.join("experiment.toml"), text).unwrap();
    }

    /// A command that cannot be run by a test; why.
    fn not_run(&mut self, start: &str, why: &str) {
        assert!(why.len() > 20, "{start}: {why}");
        self.take(start);
    }

    /// All that is left, in order.
    fn rest(&mut self) {
        while let Some(next) = self.left.first().cloned() {
            self.run(&next);
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.left.is_empty(), "{}: not run: {:#?}", self.name, self.left);
        }
    }
}

/// Every page with commands has a test below, or one in Python, where pages with code in Python run.
#[test]
fn every_page_with_commands_is_run() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let source = read("tests/it/book.rs") + &read("tests/it/stores.rs");
    for page in pages().into_iter().chain(["README.md".to_owned()]) {
        let named = format!("\"{page}\"");
        let is_run_in_python = read("host/python/tests/test_pages.py").contains(&named);
        let has_python = blocks(&page).iter().any(|block| block.language == "python");
        assert_eq!(is_run_in_python, has_python, "{page}");
        let is_run = is_run_in_python || source.contains(&format!("Page::open({named}"));
        assert_eq!(is_run, !commands(&page).is_empty() || has_python, "{page}");
    }
}

/// The first plan in Rust, one command after the other, with the files that the page shows.
#[test]
fn first_plan_is_as_the_book_says() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::copy(data("digits.csv"), dir.join("digits.csv")).unwrap();
    std::fs::copy(root().join("rust-toolchain.toml"), dir.join("rust-toolchain.toml")).unwrap();
    let mut page = Page::open("first-plan-rust.md", dir);
    let mut running = Vec::new();
    for block in blocks("first-plan-rust.md") {
        match block.language.as_str() {
            "console" => {
                for line in block.text.lines() {
                    let command = line.strip_prefix("$ ").unwrap();
                    match command {
                        "fedwasm network start" => running.push(page.network()),
                        "fedwasm node start site-1" => running.push(page.start(command).0),
                        _ => drop(page.run(command)),
                    }
                }
            }
            "rust" => {
                // The page includes the file that the command wrote, but for the name.
                let template = std::fs::read_to_string(root().join("plugins/mlp/src/lib.rs"));
                let written = std::fs::read_to_string(dir.join("digits/src/lib.rs")).unwrap();
                assert_eq!(template.unwrap().replace("Mlp", "Digits"), written);
            }
            "rust,plan" => std::fs::write(dir.join("digits/src/lib.rs"), block.text).unwrap(),
            "toml" if block.text.contains("rounds = ") => page.experiment(&block.text),
            "toml" => std::fs::write(dir.join("args.toml"), block.text).unwrap(),
            other => panic!("a block of {other}"),
        }
    }
    for (run, accuracy_min) in [("run", 0.94), ("run2", 0.96), ("federated", 0.90)] {
        let history = std::fs::read_to_string(dir.join(run).join("history.json")).unwrap();
        let history: serde_json::Value = serde_json::from_str(&history).unwrap();
        let text = history["rounds"].as_array().unwrap().last().unwrap().to_string();
        let (_, after) = text.split_once("\"accuracy\":").unwrap();
        let accuracy: f64 = after.split([',', '}']).next().unwrap().parse().unwrap();
        assert!(accuracy >= accuracy_min, "{run}: {accuracy}");
    }
}

/// The model of a run, from its first prediction to ONNX.
#[test]
fn commands_of_models_are_as_the_page_says() {
    Page::open("models.md", bench().path()).rest();
}

/// A directory with what pages take for granted: plans, data, keys.
fn bench() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::copy(root().join("rust-toolchain.toml"), path("rust-toolchain.toml")).unwrap();
    std::os::unix::fs::symlink(root().join("examples"), path("examples")).unwrap();
    for (from, to) in [
        ("breast_cancer.csv", "bc.csv"),
        ("breast_cancer.csv", "other.csv"),
        ("digits.csv", "digits.csv"),
    ] {
        std::fs::copy(data(from), path(to)).unwrap();
    }
    std::fs::copy(plan(), path("logistic-regression.wasm")).unwrap();
    for name in ["mlp.wasm", "digits.wasm"] {
        std::fs::copy(root().join("plugins/dist/mlp.wasm"), path(name)).unwrap();
    }
    fedwasm(&["keys", "generate"]).arg(path("alice.pem")).ok();
    let trust = "threshold = 1\n[[signer]]\nname = \"alice\"\nkey = \"alice.pem.pub\"\n";
    std::fs::write(path("trust.toml"), trust).unwrap();
    dir
}

/// `plans.md` and the README, whose plan is the same; then what the others do with a plan.
#[test]
fn commands_of_plans_and_runs_are_as_the_pages_say() {
    let dir = bench();
    let dir = dir.path();
    let path = |name: &str| dir.join(name);
    Page::open("plans.md", dir).rest();
    std::fs::copy(path("heart-risk.wasm"), path("plan.wasm")).unwrap();
    std::fs::copy(path("heart-risk.wasm"), path("my-plan.wasm")).unwrap();

    // Each page begins in a directory of its own.
    let _ = std::fs::remove_dir_all(path("run"));
    let mut page = Page::open("README.md", dir)
        .word("fedwasm plan build plugins/logistic-regression", "fedwasm plan build heart-risk")
        .word("fedwasm plan new heart-risk", "fedwasm plan new heart-risk-2")
        .word("plans/mine", "heart-risk")
        // The network that is started before is a federation, too.
        .word("fedwasm network init", "fedwasm network init --dir founded")
        .word("fed.example", "127.0.0.1");
    page.run_all("plan build, plan inspect, plan new, plan build, plan test");
    page.run_all("local, local, evaluate, local");
    let network = page.network();
    page.run_all("node init, node dataset add");
    let (mut node, _) = page.start("fedwasm node start");
    page.run("fedwasm node plan approve");
    let nodes = page.run("fedwasm nodes");
    assert!(nodes.stdout.contains("site-1"), "{}", nodes.stdout);
    let text = blocks("README.md").into_iter().find(|block| block.language == "toml").unwrap().text;
    let one_site = text.edit("min_nodes = 2", "min_nodes = 1");
    assert_ne!(one_site, text);
    page.experiment(&one_site.edit("rounds = 10", "rounds = 3\nkeep_uploads = true"));
    std::fs::remove_dir_all(path("run")).unwrap();
    page.run_all("experiment run, experiment show, plan sign, plan verify");
    page.not_run("fedwasm plan push", "it needs a registry; `it signing::` pushes to one");
    page.run_all("plan build, network init");
    page.not_run("fedwasm node plan list|show", "five commands in one line, run below");
    page.run_all("node log, experiment verify, verify");

    // An auditor has the run, the plan with its sources, and the node.
    let mut page = Page::open("auditors-guide.md", dir)
        .word("SOURCES", "heart-risk")
        .word(" round-0003", " run/receipts/round-0003");
    fedwasm(&["node", "log", "--checkpoint"])
        .arg(path("checkpoint-of-january.json"))
        .arg(path("site-1"))
        .ok();
    page.rest();

    let mut page = Page::open("from-fed-biomed.md", dir).word("my-plan -o", "heart-risk -o");
    page.words.extend(network_words(dir));
    page.run("fedwasm plan build");
    let toml = blocks("from-fed-biomed.md").into_iter().find(|block| block.language == "toml");
    page.experiment(&toml.unwrap().text);
    std::fs::remove_dir_all(path("run")).unwrap();
    fedwasm(&["node", "plan", "approve"]).arg(path("site-1")).arg(path("my-plan.wasm")).ok();
    page.run("fedwasm experiment run");
    let mnist = data("mnist10k").display().to_string();
    let mut of_data = Page::open("data.md", dir).word("mnist/", format!("{mnist}/"));
    let scans = format!("{mnist} --tags scans");
    of_data = of_data.word("/data/scans --tags scans --type images", scans);
    of_data = of_data.word("/srv/ward.db", crate::databases::ward(dir).display());
    let postgres = "fedwasm node dataset add site-1 --name cohort --tags cohort --from postgres";
    of_data.not_run(postgres, "databases/mod.rs does, where a server is");
    of_data.run("fedwasm data statistics");
    node.child.kill().unwrap();
    drop(network);

    std::fs::remove_dir_all(path("run")).unwrap();
    let other = "fedwasm local --plan digits.wasm --data digits.csv --target digit --out run2";
    let mut page = Page::open("local.md", dir);
    page.shell(other).ok();
    for folds in ["folds-a", "folds-b", "folds-c"] {
        page.shell(&format!("{} --folds 2", other.edit("run2", folds))).ok();
    }
    page.rest();
    of_data.rest();
}

/// The addresses of the network that the experiment file of this directory names.
fn network_words(dir: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(dir.join("experiment.toml")).unwrap();
    let value = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    };
    vec![
        ("mqtt://127.0.0.1:1883".into(), value("mqtt")),
        ("http://127.0.0.1:8844".into(), value("repository")),
    ]
}

/// A federation with certificates, from its founding to the change of a key.
#[test]
fn commands_of_the_operators_guide_are_as_it_says() {
    let dir = bench();
    let dir = dir.path();
    let mut page = Page::open("operators-guide.md", dir)
        .word("fed.example ", "127.0.0.1 ")
        .word("--host fed.example", "--host 127.0.0.1")
        .word("--mqtt off --http 0.0.0.0:8843", "--mqtt 127.0.0.1:0 --http 127.0.0.1:0")
        .word(" key.pem.pub", " site-1/identity/key.pem.pub")
        .word("/data/bc.csv", "bc.csv");
    page.not_run(
        "chown",
        "it needs root and mosquitto; `it tls::` runs mosquitto with these files",
    );
    page.run("fedwasm network init");
    let (_network, ready) = page.start("fedwasm network start");
    for (key, from) in
        [("mqtt", "mqtts://fed.example:8883"), ("repository", "https://fed.example:8843")]
    {
        page.words.push((from.to_owned(), ready[key].as_str().unwrap().to_owned()));
    }
    page.run("fedwasm node init");
    page.run("fedwasm network enrol");
    page.run("fedwasm node join");
    page.run("fedwasm node dataset add");
    let (mut node, _) = page.start("fedwasm node start");
    page.run("fedwasm keys generate alice");
    let enrol = "fedwasm network enrol --role researcher --id alice --key alice/key.pem.pub";
    page.shell(enrol).ok();
    page.run("fedwasm keys join");
    let nodes = page.run("fedwasm nodes");
    assert!(nodes.stdout.contains("site-1"), "{}", nodes.stdout);
    let experiment = format!(
        "name = \"bc\"\nplan = \"logistic-regression.wasm\"\nrounds = 1\n\
         [data]\ntags = [\"breast-cancer\"]\ntarget = \"benign\"\n[training]\nepochs = 1\n\
         test_ratio = 0.2\noptimizer_args = {{ lr = 0.1 }}\n[model]\nn_classes = 2\n\
         [network]\nmqtt = {}\nrepository = {}\nidentity = \"alice\"\n",
        ready["mqtt"], ready["repository"],
    );
    std::fs::write(dir.join("experiment.toml"), experiment).unwrap();
    let run = page.take("fedwasm experiment run");
    let waits = page.shell(&run).run();
    assert_eq!(waits.code, 3, "{}", waits.stderr);
    // An approval takes the digits that the list shows.
    let list = page.run("fedwasm node plan list").stdout;
    let digits = list.split_whitespace().nth(1).unwrap().to_owned();
    assert!(list.starts_with("pending") && digits.len() >= 16, "{list}");
    for (from, to) in
        [("5554e31000ef5195", &digits[..]), (" 5554e310", &format!(" {}", &digits[..8]))]
    {
        page.words.push((from.to_owned(), to.to_owned()));
    }
    page.run("fedwasm node plan show");
    page.run("fedwasm node plan approve");
    page.shell(&format!("rm -rf run; {run}")).ok();
    page.run("fedwasm node plan reject");
    page.run("fedwasm node plan revoke");
    node.child.kill().unwrap();
    page.rest();
}

/// The guide has every key of `node.toml`, and no other.
#[test]
fn every_key_of_a_node_is_in_the_operators_guide() {
    fn keys(prefix: &str, table: &toml::Table, all: &mut Vec<String>) {
        for (key, value) in table {
            match value {
                // Its keys have a table of their own.
                toml::Value::Table(_) if key == "limits" => all.push("limits".into()),
                toml::Value::Table(inner) => keys(&format!("{prefix}{key}."), inner, all),
                _ => all.push(format!("{prefix}{key}")),
            }
        }
    }
    let mut config = fedwasm_node::NodeConfig::new("n".parse().unwrap(), "m".into(), "r".into());
    // Keys that a file may leave out.
    config.worker = Some("w".into());
    config.roster_age_max_s = Some(1);
    config.privacy = toml::from_str("clip = 1\nnoise_multiplier = 1\nepsilon = 1\ndelta = 0.1\nmetrics = []\nmetrics_digits = 1\ntime_step_ms = 1\nsecagg = [\"masking\"]\nmin_parties = 3\nsecagg_clip = 1\nhonest_parties = 1\nstatistics = true\nstatistics_min_rows = 1\nstatistics_extremes = true").unwrap();
    config.approval.list = vec![fedwasm_protocol::Digest::of(b"")];
    let dir = tempfile::tempdir().unwrap();
    fedwasm(&["keys", "generate"]).arg(dir.path().join("k.pem")).ok();
    let key = fedwasm_trust::PublicKey::read(&dir.path().join("k.pem.pub")).unwrap();
    config.approval.operator = Some(key.clone());
    config.approval.former_operators = vec![key];
    let mut known = Vec::new();
    keys("", &toml::Table::try_from(&config).unwrap(), &mut known);
    let guide = std::fs::read_to_string(root().join("docs/operators-guide.md")).unwrap();
    let (_, table) = guide.split_once("| key of `node.toml` |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut told: Vec<String> = rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect();
    known.sort();
    told.sort();
    assert_eq!(told, known);
}

/// The summary has each page under its own title, and no title twice.
#[test]
fn titles_are_those_of_the_summary() {
    let summary = std::fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let mut titles = std::collections::BTreeSet::new();
    for page in pages().iter().filter(|page| *page != "SUMMARY.md") {
        let text = std::fs::read_to_string(root().join("docs").join(page)).unwrap();
        let title = text.lines().next().unwrap().strip_prefix("# ").unwrap().to_owned();
        assert!(summary.contains(&format!("[{title}]({page})")), "{page}: {title}");
        assert!(titles.insert(title.clone()), "{title}");
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
