//! `plan build` and `plan inspect`.

use std::path::{Path, PathBuf};

use crate::support::{Edit, fedwasm, plan, root};

/// The plans that are shipped.
const SHIPPED: [&str; 9] = [
    "cnn",
    "linear-regression",
    "linear-svm",
    "logistic-regression",
    "lstm",
    "mlp",
    "traced",
    "transformer",
    "unet",
];

/// Copies what a build reads to a directory that stays between runs, so that
/// only the first is slow. Its own build folder stays, too.
fn copy_of_sources(name: &str) -> PathBuf {
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    for dir in
        ["sdk", "compute", "graph", "interpreter", "traced-native"].into_iter().chain(SHIPPED)
    {
        let dir = Path::new("plugins").join(dir);
        let _ = std::fs::remove_dir_all(to.join(&dir));
        copy(&root().join(&dir), &to.join(dir));
    }
    for file in ["plugins/Cargo.toml", "plugins/Cargo.lock", "rust-toolchain.toml"] {
        std::fs::copy(root().join(file), to.join(file)).unwrap();
    }
    to.join("plugins")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

/// The sources give the embedded bytes, in any directory
/// and whatever the surroundings set.
#[test]
fn two_directories_give_the_shipped_bytes() {
    for (name, flags, plans) in [
        ("a", "", &SHIPPED[..]),
        ("another-directory/with a blank", "-Copt-level=0", &["logistic-regression"]),
    ] {
        let dir = copy_of_sources(name);
        for plan in plans {
            let (dir, file) = (dir.join(plan), dir.join("plan.wasm"));
            let command = fedwasm(&["--json", "plan", "build"]).env("RUSTFLAGS", flags).arg(&dir);
            let built = command.arg("-o").arg(&file).ok().result();
            assert_eq!(built["size"], std::fs::metadata(&file).unwrap().len());
            assert_eq!(built["name"], *plan);
            let shipped = root().join("plugins/dist").join(plan).with_extension("wasm");
            let (got, shipped) = (std::fs::read(&file).unwrap(), std::fs::read(shipped).unwrap());
            assert!(
                got == shipped,
                "{name}: {} bytes differ from plugins/dist ({} bytes); rebuild it with `cargo run \
                 -- plan build plugins/{plan} -o plugins/dist/{plan}.wasm`",
                got.len(),
                shipped.len(),
            );
        }
    }
}

#[test]
fn inspect_shows_what_a_plan_is_and_asks_for() {
    let shown = fedwasm(&["--json", "plan", "inspect"]).arg(plan()).ok().result();
    assert_eq!(shown["world"], "fedwasm:training-plan@0.2.0");
    assert_eq!(shown["arithmetic"], "compute@0.1");
    assert_eq!(shown["name"], "logistic-regression");
    assert_eq!(shown["licence"], "Apache-2.0 OR MIT");
    assert_eq!(shown["task"], "classification");
    let bytes = std::fs::read(plan()).unwrap();
    assert_eq!(shown["size"], bytes.len());
    assert_eq!(shown["plan_sha256"], fedwasm_protocol::Digest::of(&bytes).to_string());
    let imports = shown["imports"].as_array().unwrap();
    let ours = |name: &serde_json::Value| name.as_str().unwrap().starts_with("fedwasm:");
    assert!(imports.iter().all(ours) && !imports.is_empty());
    assert_eq!(shown["declaration"]["model"][0]["name"], "linear.weight");
    assert_eq!(shown["declaration"]["model"][0]["shape"], serde_json::json!([3, 4]));
    let names: Vec<_> = shown["arguments"].as_array().unwrap().iter().map(|a| &a["name"]).collect();
    assert_eq!(
        names,
        [
            "model.n_features",
            "model.n_classes",
            "model.class_weights",
            "optimizer.lr",
            "optimizer.momentum",
            "optimizer.nesterov",
            "optimizer.weight_decay",
            "optimizer.keep_state",
            "optimizer.clip_norm",
            "optimizer.clip_value",
            "optimizer.schedule",
            "optimizer.schedule_steps",
            "optimizer.schedule_factor",
            "optimizer.warmup_steps",
            "aggregator.fedprox_mu",
            "aggregator.scaffold",
        ]
    );
    let sizes = |key: &str| shown["sizes"][key].as_u64().unwrap();
    let (code, data) = (sizes("code_bytes"), sizes("data_bytes"));
    assert!(code > 10_000 && data > 1_000 && code + data < sizes("module_bytes"), "{shown}");
    let parts = sizes("module_bytes") + sizes("custom_bytes");
    assert!(sizes("module_bytes") < bytes.len() as u64 && parts > bytes.len() as u64 * 9 / 10);
    assert_eq!(sizes("memory_bytes") % 65_536, 0);
    let capabilities = shown["capabilities"].as_array().unwrap();
    assert_eq!(capabilities.len(), imports.len());
    assert!(capabilities.iter().all(|c| !c["words"].as_str().unwrap().contains("cannot describe")));
    let lock = std::fs::read(root().join("plugins/Cargo.lock")).unwrap();
    assert_eq!(shown["build"]["lock_sha256"], fedwasm_protocol::Digest::of(&lock).to_string());
    let text = fedwasm(&["plan", "inspect"]).arg(plan()).ok().stdout;
    assert!(text.contains("can         name values of the contract (fedwasm:"), "{text}");
    assert!(text.contains("draw randomness that follows from the seed"), "{text}");
    assert!(text.contains("optimizer.lr: a real number (default 0.01)"), "{text}");
}

#[test]
fn a_directory_that_is_not_a_plan_crate_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ended = fedwasm(&["plan", "build"]).arg(dir.path()).run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("is not a plan crate"), "{}", ended.stderr);
}

/// The plan's own file is what a researcher reads first: lines of code, without comments.
#[test]
fn shipped_plans_are_short() {
    for (plan, lines_max) in [
        ("logistic-regression", 40),
        ("linear-regression", 40),
        ("mlp", 40),
        ("cnn", 65),
        ("linear-svm", 65),
        ("lstm", 60),
        ("transformer", 65),
        ("unet", 120),
    ] {
        let source = root().join("plugins").join(plan).join("src/lib.rs");
        let source = std::fs::read_to_string(source).unwrap();
        let code = source.lines().map(str::trim);
        let code = code.filter(|line| !line.is_empty() && !line.starts_with("//")).count();
        assert!(code <= lines_max, "{plan}: {code} lines");
    }
}

/// Where rustup refuses, the error names the command to run.
#[test]
fn missing_target_names_the_command() {
    let dir = tempfile::tempdir().unwrap();
    script(dir.path(), "rustc", "echo /nowhere/lib");
    script(dir.path(), "rustup", "exit 1");
    let plan = root().join("plugins/logistic-regression");
    let rustc = dir.path().join("rustc");
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let command = fedwasm(&["plan", "build"]).env("RUSTC", rustc.to_str().unwrap());
    let ended = command.env("PATH", &path).arg(&plan).run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    let (said, error) = ended.stderr.split_once("error: ").unwrap();
    assert!(said.contains("running `rustup target add wasm32-unknown-unknown`"), "{said}");
    assert!(error.contains("run `rustup target add wasm32-unknown-unknown` in"), "{error}");
}

/// A site without rustup: Debian's compiler, the sources of the standard library and lld, in
/// `FEDWASM_SYSTEM_RUST` or /usr.
#[test]
fn a_compiler_without_rustup_builds_plans_offline() {
    let prefix = std::env::var("FEDWASM_SYSTEM_RUST").unwrap_or_else(|_| "/usr".into());
    let bin = Path::new(&prefix).join("bin");
    let needed = [
        bin.join("rustc"),
        bin.join("cargo"),
        bin.join("wasm-ld"),
        Path::new(&prefix).join("lib/rustlib/src/rust/library/vendor"),
    ];
    if let Some(missing) = needed.iter().find(|path| !path.exists()) {
        eprintln!("SKIPPED: {} is not there", missing.display());
        return;
    }
    let dir = copy_of_sources("system rust");
    std::fs::remove_file(dir.join("../../rust-toolchain.toml")).unwrap();
    let home = tempfile::tempdir().unwrap();
    let with_system = |args: &[&str]| {
        let path = format!("{}:/usr/bin:/bin", bin.display());
        let command = fedwasm(args).env("PATH", &path).env("RUSTC", "rustc").env("CARGO", "cargo");
        let home = home.path().to_str().unwrap();
        command.env("CARGO_HOME", home).env("CARGO_NET_OFFLINE", "true")
    };
    let found = with_system(&["doctor"]).run().stdout;
    assert!(found.contains("std from its sources"), "{found}");
    let file = dir.join("plan.wasm");
    let built = with_system(&["--json", "plan", "build"]).arg(&dir).arg("-o").arg(&file).ok();
    assert!(built.stderr.contains("compiling the target"), "{}", built.stderr);
    let shown = fedwasm(&["--json", "plan", "inspect"]).arg(&file).ok().result();
    assert!(shown["build"]["rustc"].as_str().unwrap().contains("std from its sources"), "{shown}");
    // It trains to what the shipped plan does: the arithmetic is the plan's, not the compiler's.
    let trained = |plan: &Path| {
        let command = fedwasm(&["--json", "local", "--seed", "1", "--target", "benign", "--plan"]);
        let command =
            command.arg(plan).arg("--data").arg(crate::support::data("breast_cancer.csv"));
        let out = tempfile::tempdir().unwrap();
        command.arg("--out").arg(out.path()).ok().result()["params_sha256"].clone()
    };
    assert_eq!(trained(&file), trained(&plan()));
}

/// Steps that `plan build` does by itself are not missing.
#[test]
fn doctor_says_that_a_build_installs_the_target() {
    let dir = tempfile::tempdir().unwrap();
    script(dir.path(), "rustc", "echo /nowhere/lib");
    script(dir.path(), "rustup", "exit 0");
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let rustc = dir.path().join("rustc").display().to_string();
    let doctor = || fedwasm(&["doctor"]).env("RUSTC", &rustc).env("PATH", &path);
    let text = doctor().ok().stdout;
    let line = text.lines().find(|line| line.contains("building plans")).unwrap();
    assert!(line.starts_with("ok ") && line.contains("has rustup install the target"), "{line}");
    std::fs::remove_file(dir.path().join("rustup")).unwrap();
    let text = doctor().env("PATH", &dir.path().display().to_string()).run().stdout;
    assert!(text.contains("is missing, and rustup, which installs it, was not found"), "{text}");
}

/// A crate that was copied and renamed, with the lock file of the other.
#[test]
fn a_renamed_crate_explains_how_to_update_its_lock_file() {
    let dir = tempfile::tempdir().unwrap();
    let toolchain = root().join("rust-toolchain.toml");
    std::fs::copy(toolchain, dir.path().join("rust-toolchain.toml")).unwrap();
    fedwasm(&["plan", "new", "bad"]).current_dir(dir.path()).ok();
    let manifest = dir.path().join("bad/Cargo.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    assert!(text.contains("name = \"bad\""), "{text}");
    std::fs::write(&manifest, text.edit("name = \"bad\"", "name = \"good\"")).unwrap();
    let build = || fedwasm(&["plan", "build", "bad"]).current_dir(dir.path());
    let ended = build().run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("does not match its Cargo.toml"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("--locked"), "{}", ended.stderr);
    let help = "run `cargo update --offline --workspace` in bad";
    assert!(ended.stderr.contains(help), "{}", ended.stderr);
    // The advice helps.
    let mut cargo = std::process::Command::new("cargo");
    cargo.args(["update", "--offline", "--workspace"]).current_dir(dir.path().join("bad"));
    assert!(cargo.output().unwrap().status.success());
    // Tests in a file of their own do not belong to the plan; a comment does.
    let digest =
        |ended: crate::support::Ended| ended.stdout.split("sha256:").nth(1).unwrap().to_owned();
    let source = dir.path().join("bad/src/lib.rs");
    let text = std::fs::read_to_string(&source).unwrap() + "\n#[cfg(test)]\nmod tests;\n";
    std::fs::write(&source, &text).unwrap();
    std::fs::write(dir.path().join("bad/src/tests.rs"), "#[test]\nfn one() {}\n").unwrap();
    let first = digest(build().ok());
    std::fs::write(dir.path().join("bad/src/tests.rs"), "#[test]\nfn two() {}\n").unwrap();
    assert_eq!(digest(build().ok()), first);
    std::fs::write(&source, format!("// A remark.\n{text}")).unwrap();
    assert_ne!(digest(build().ok()), first);
}

/// An executable of one line.
fn script(dir: &Path, name: &str, line: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{line}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn doctor_says_what_to_install_for_building_plans() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("no-rustc");
    let doctor = |json: &[&str]| fedwasm(json).arg("doctor").env("RUSTC", none.to_str().unwrap());
    let ended = doctor(&["--json"]).run();
    let result = ended.result();
    let findings = result["findings"].as_array().unwrap();
    let building = findings.iter().find(|finding| finding["what"] == "building plans").unwrap();
    assert_eq!(building["ok"], false);
    assert!(building["help"].as_str().unwrap().contains("apt install rustc-web"), "{building}");
    // Plans run without a compiler.
    let ended = doctor(&[]).ok();
    let text = ended.stdout;
    assert!(text.contains("absent   building plans"), "{text}");
    assert!(text.contains("no-rustc`, which compiles plans, was not found\n"), "{text}");
    assert!(text.contains("= help: install Rust with rustup (https://rustup.rs)"), "{text}");
}
