//! `plan new`: what it writes builds without a network, passes `plan test`, and trains.

use std::path::Path;

use crate::support::{Edit, Fedwasm, fedwasm, root};

/// A command line that runs in `dir`, with no network and no registry.
fn offline(dir: &Path, args: &[&str]) -> Fedwasm {
    let home = dir.join("cargo-home").display().to_string();
    let command = fedwasm(args).current_dir(dir).env("CARGO_NET_OFFLINE", "true");
    command.env("CARGO_HOME", &home)
}

fn templates() -> Vec<String> {
    let ended = fedwasm(&["plan", "new", "x", "--template", "none-such"]).run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    let (_, list) = ended.stderr.split_once("help: there are ").unwrap();
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_template_builds_offline_and_trains() {
    let templates = templates();
    assert!(templates.contains(&"logistic-regression".to_owned()), "{templates:?}");
    for template in templates {
        let dir = tempfile::tempdir().unwrap();
        // The compiler of this repository; a plan has none of its own.
        let toolchain = root().join("rust-toolchain.toml");
        std::fs::copy(toolchain, dir.path().join("rust-toolchain.toml")).unwrap();
        let dir = dir.path();
        offline(dir, &["plan", "new", "heart-risk", "--template", &template]).ok();
        offline(dir, &["plan", "build", "heart-risk"]).ok();
        let args = ["--args", "heart-risk/args.toml"];
        let tried = offline(dir, &["--json", "plan", "test", "heart-risk.wasm"]).args(&args);
        let tried = tried.ok().result();
        assert_eq!(tried["failed"], 0, "{template}: {tried}");
        let readme = std::fs::read_to_string(dir.join("heart-risk/README.md")).unwrap();
        let data = ["heart-risk/data.csv", "heart-risk/data.npz"];
        let data = data.into_iter().find(|data| readme.contains(data)).unwrap();
        let command = offline(dir, &["--json", "local", "--plan", "heart-risk.wasm"]);
        let command = command.args(&["--data", data, "--out", "run"]);
        let trained = command.args(&args).ok().result();
        let metrics = &trained["metrics"];
        assert!(metrics["loss"].as_f64().unwrap().is_finite(), "{template}: {trained}");
        if let Some(accuracy) = metrics["accuracy"].as_f64() {
            assert!(accuracy > 0.8, "{template}: {trained}");
        }
        assert!(dir.join("run/params.safetensors").is_file(), "{template}");
        let shown = offline(dir, &["--json", "plan", "inspect", "heart-risk.wasm"]).ok().result();
        assert_eq!(shown["name"], "heart-risk");
        // One source of truth: the plan's own file, under another name.
        let from = root().join("plugins").join(&template).join("src/lib.rs");
        let (from, to) = (std::fs::read_to_string(from), dir.join("heart-risk/src/lib.rs"));
        let (from, to) = (from.unwrap(), std::fs::read_to_string(to).unwrap());
        assert_eq!(from.lines().count(), to.lines().count(), "{template}");
        assert!(to.contains("export!(HeartRisk);"), "{template}: {to}");
    }
}

/// A plan that draws numbers while it trains draws them as if there had been no break.
#[test]
fn dropout_resumes_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let toolchain = root().join("rust-toolchain.toml");
    std::fs::copy(toolchain, dir.path().join("rust-toolchain.toml")).unwrap();
    let dir = dir.path();
    offline(dir, &["plan", "new", "drop", "--template", "mlp"]).ok();
    let source = dir.join("drop/src/lib.rs");
    let text = std::fs::read_to_string(&source).unwrap();
    let hidden = "Linear::new(args.n_features, args.hidden),";
    let forward = "&self.hidden.forward(&batch.inputs).relu()";
    let text = text
        .edit("hidden: Linear, output", "hidden: Linear, dropout: Dropout, output")
        .edit(hidden, &format!("{hidden}\n            dropout: Dropout::new(0.3),"))
        .edit(forward, &format!("&self.dropout.forward({forward})"))
        .edit("type Optimizer = Sgd;", "type Optimizer = Adam;");
    std::fs::write(&source, text).unwrap();
    offline(dir, &["plan", "build", "drop"]).ok();
    let run = |epochs: u32, out: &str, more: &[&str]| {
        let args = format!("[training]\nepochs = {epochs}\nloader_args = {{ batch_size = 7 }}\n");
        std::fs::write(dir.join("args.toml"), args).unwrap();
        let command = offline(dir, &["--json", "local", "--plan", "drop.wasm", "--seed", "5"]);
        let data = root().join("examples/data/digits.csv");
        let command = command.arg("--data").arg(data).args(&["--target", "digit"]);
        let result = command.args(&["--args", "args.toml", "--out", out]).args(more).ok().result();
        (result["params_sha256"].clone(), result["metrics"].clone())
    };
    let whole = run(4, "whole", &[]);
    assert_ne!(run(1, "run", &[]), whole);
    assert_eq!(run(4, "run", &["--resume"]), whole);
}

/// Plans in Python are built where the package is: `host/python/tests/test_templates.py`.
#[test]
fn plans_in_python_have_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let new = |name: &str, template: &str| {
        let args = ["plan", "new", name, "--language", "python", "--template", template];
        offline(dir.path(), &args).run()
    };
    let ended = new("heart-risk", "mlp");
    assert!(ended.stdout.contains("plan build heart-risk/plan.py"), "{}", ended.stdout);
    let source = std::fs::read_to_string(dir.path().join("heart-risk/plan.py")).unwrap();
    assert!(source.contains("class HeartRisk(fw.Plan):\n    name = \"heart-risk\"\n"), "{source}");
    for (name, template, expected) in [
        ("x", "unet", "the template `unet` does not exist in Python"),
        ("none", "mlp", "Python reserves `None`"),
        ("heart-risk", "mlp", "heart-risk already exists"),
    ] {
        let ended = new(name, template);
        assert!(ended.code == 2 && ended.stderr.contains(expected), "{name}: {}", ended.stderr);
    }
}

/// `plan build plan.py` where there is no Python, or none with the package.
#[test]
fn missing_python_and_missing_package_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("plan.py");
    std::fs::write(&file, "").unwrap();
    let build = |python: &str| {
        let run = fedwasm(&["plan", "build"]).arg(&file).env("FEDWASM_PYTHON", python);
        run.current_dir(dir.path()).run()
    };
    let ended = build("no-such-python");
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("`no-such-python`, which reads plans in Python, was not found"));
    // A program that says the same as a Python without the package.
    let python = "/bin/sh";
    let script = dir.path().join("python");
    let text = format!("#!{python}\necho \"$0: No module named fedwasm\" >&2\nexit 1\n");
    std::fs::write(&script, text).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ended = build(script.to_str().unwrap());
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("the package `fedwasm` is not installed"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("No module named"), "{}", ended.stderr);
    for args in [&["--in-guest"][..], &["--class", "A", "--in-guest"]] {
        let ended = fedwasm(&["plan", "build"]).arg(&file).args(args).run();
        assert_eq!(ended.code, 2, "{}", ended.stderr);
    }
    let names = std::fs::read_dir(dir.path()).unwrap();
    assert_eq!(names.count(), 2, "nothing is left behind");
}

#[test]
fn existing_files_stay_and_bad_names_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("mine")).unwrap();
    std::fs::write(dir.path().join("mine/file"), "precious").unwrap();
    for (name, expected) in [
        ("mine", "mine already exists"),
        ("2x", "it must start with a letter"),
        ("../x", "it must start with a letter"),
        ("a/b", "only have the characters"),
        ("Heart", "it must start with a letter from a to z"),
        ("match", "Rust or Cargo reserves this name"),
        ("fedwasm-sdk", "a crate that the plan depends on"),
    ] {
        let ended = offline(dir.path(), &["plan", "new", name]).run();
        assert!(ended.code == 2 && ended.stderr.contains(expected), "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains("\n  = help: "), "{name}: {}", ended.stderr);
    }
    assert_eq!(std::fs::read_to_string(dir.path().join("mine/file")).unwrap(), "precious");
    let names = std::fs::read_dir(dir.path()).unwrap();
    assert_eq!(names.count(), 1, "nothing is left behind");
}
