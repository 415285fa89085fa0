//! The errors that a plan's author reads, word for word: the mistake, its place, its remedy.

use std::path::Path;

use crate::support::{data, fedwasm, misbehaves, plan};

/// The error of `local` with this file as --args: its last lines, from `error:` on.
fn local(plan: &Path, args: &str, target: &str) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("args.toml");
    std::fs::write(&file, args).unwrap();
    let command = fedwasm(&["local", "--seed", "1", "--target", target, "--plan"]).arg(plan);
    let command = command.arg("--data").arg(data("breast_cancer.csv"));
    let ended = command.arg("--args").arg(&file).run();
    (ended.code, error(&ended.stderr, dir.path()))
}

/// From `error:` on, with names instead of what differs between machines and builds.
fn error(stderr: &str, dir: &Path) -> String {
    let at = stderr.find("error: ").unwrap_or_else(|| panic!("no error in {stderr}"));
    let text = stderr[at..].replace(&format!("{}/", dir.display()), "");
    let text = text.replace(&data("").display().to_string(), "");
    let mut words = Vec::new();
    for piece in text.split('(') {
        let is_digest = |c: &str| c.len() == 12 && c.bytes().all(|b| b.is_ascii_hexdigit());
        match piece.split_once(')') {
            Some((first, rest)) if is_digest(first) => words.push(format!("DIGEST){rest}")),
            _ => words.push(piece.to_owned()),
        }
    }
    words.join("(")
}

#[test]
fn an_unknown_argument_is_shown_in_its_file() {
    let (code, text) = local(&plan(), "[model]\nn_feature = 3\n", "benign");
    assert_eq!(code, 2);
    assert_eq!(
        text,
        "error: argument `model.n_feature` is unknown to plan logistic-regression; \
         did you mean `model.n_features`?
 --> args.toml:2:1
  |
2 | n_feature = 3
  | ^^^^^^^^^"
    );
}

#[test]
fn an_argument_of_another_kind_is_shown_in_its_file() {
    let (code, text) = local(&plan(), "[model]\nn_features = \"x\"\n", "benign");
    assert_eq!(code, 2);
    assert_eq!(
        text,
        "error: argument `model.n_features` is a text, plan logistic-regression expects a whole \
         number
 --> args.toml:2:14
  |
2 | n_features = \"x\"
  |              ^^^
  |
  = help: `fedwasm plan inspect` lists the arguments of a plan"
    );
}

#[test]
fn all_mistakes_of_the_model_are_shown_in_their_file() {
    let (code, text) = local(&plan(), "[model]\nfoo = 3\nn_features = \"x\"\n", "benign");
    assert_eq!(code, 2);
    assert_eq!(
        text,
        "error: argument `model.foo` is unknown to plan logistic-regression; it knows model.n_features, \
         model.n_classes, model.class_weights, optimizer.lr, optimizer.momentum, optimizer.nesterov, \
         optimizer.weight_decay, optimizer.keep_state, optimizer.clip_norm, \
         optimizer.clip_value, optimizer.schedule, optimizer.schedule_steps, \
         optimizer.schedule_factor, optimizer.warmup_steps, aggregator.fedprox_mu, \
         aggregator.scaffold
 --> args.toml:2:1
  |
2 | foo = 3
  | ^^^

error: argument `model.n_features` is a text, plan logistic-regression expects a whole number
 --> args.toml:3:14
  |
3 | n_features = \"x\"
  |              ^^^
  |
  = help: `fedwasm plan inspect` lists the arguments of a plan"
    );
}

#[test]
fn mistakes_of_training_are_shown_in_their_file() {
    let args = "[training]\nepochs = -1\ntest_ratio = 2\nlr = 0.1\n";
    let (code, text) = local(&plan(), args, "benign");
    assert_eq!(code, 2);
    assert_eq!(
        text,
        "error: `training.epochs` is -1, expected a whole number, at least 0
 --> args.toml:2:10
  |
2 | epochs = -1
  |          ^^

error: `training.test_ratio` is 2, expected 0 <= test_ratio < 1
 --> args.toml:3:14
  |
3 | test_ratio = 2
  |              ^

error: `training.lr` is unknown here; it belongs in `optimizer_args`
 --> args.toml:4:1
  |
4 | lr = 0.1
  | ^^"
    );
}

#[test]
fn an_argument_out_of_range_is_shown_in_its_file() {
    let args = "[training]\nepochs = 1\ntest_ratio = 0.2\noptimizer_args = { lr = -1.0 }\n";
    let (code, text) = local(&plan(), args, "benign");
    assert_eq!(code, 2);
    assert_eq!(
        text,
        "error: plan logistic-regression 0.1.0 (DIGEST) refused its arguments: optimizer.lr is -1, \
         expected more than 0
 --> args.toml:4:25
  |
4 | optimizer_args = { lr = -1.0 }
  |                         ^^^^
  |
  = help: `fedwasm plan inspect` lists the arguments of a plan"
    );
}

#[test]
fn the_wrong_number_of_features_says_how_many_there_are() {
    let (code, text) = local(&plan(), "[model]\nn_features = 3\n", "benign");
    assert_eq!(code, 2);
    assert_eq!(
        text,
        "error: the plan takes 3 input columns, the dataset gives 30
  = help: name the columns with `inputs` under [data], or leave out the model argument that \
  counts them: most plans take it from the data"
    );
}

#[test]
fn an_unknown_column_names_the_nearest() {
    let (code, text) = local(&plan(), "", "benig");
    assert_eq!(code, 2);
    assert_eq!(
        text,
        "error: breast_cancer.csv: there is no column `benig`; did you mean `benign`?"
    );
}

#[test]
fn a_column_that_the_file_names_is_shown_there() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("args.toml");
    std::fs::write(&file, "[data]\ntarget = \"benign\"\ninputs = [\"mean_radius\", \"x\"]\n")
        .unwrap();
    let run = |json: &[&str]| {
        let command = fedwasm(&["local", "--seed", "1", "--plan"]).arg(plan()).args(json);
        let command = command.arg("--data").arg(data("breast_cancer.csv"));
        command.arg("--args").arg(&file).run()
    };
    let ended = run(&[]);
    let text = error(&ended.stderr, dir.path());
    assert_eq!(ended.code, 2);
    assert!(text.starts_with("error: breast_cancer.csv: there is no column `x`; "), "{text}");
    let place = "
 --> args.toml:3:26
  |
3 | inputs = [\"mean_radius\", \"x\"]
  |                          ^^^";
    assert!(text.ends_with(place), "{text}");
    let told = run(&["--json"]);
    let last: serde_json::Value =
        serde_json::from_str(told.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&last["line"], &last["column"]), (&3.into(), &26.into()));
    assert_eq!(last["place"], format!("{}:3:26", file.display()));
    assert!(last["message"].as_str().is_some_and(|text| text.contains("no column `x`")), "{last}");
}

#[test]
fn all_mistakes_of_an_experiment_and_of_a_node_are_shown_in_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let shown = |name: &str, text: &str, command: &[&str]| {
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        let target = if name == "node.toml" { dir.path() } else { &file };
        let ended = fedwasm(command).arg(target).run();
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        error(&ended.stderr, dir.path())
    };
    let text = "name = \"t\"\r\nround = 2\r\n\r\n[data]\r\ntarget = \"y\"\r\n\
                [training]\r\nepochs = 1\r\nloader_args.batch_sizes = 8\r\n";
    assert_eq!(
        shown("e.toml", text, &["experiment", "check"]),
        "error: `plan` is missing
--> e.toml

error: `rounds` is missing
--> e.toml

error: `data.tags` is missing; name the tags that datasets must have, or a `dataset`
 --> e.toml:4:1
  |
4 | [data]
  | ^^^^^^

error: `training.loader_args.batch_sizes` is unknown; did you mean `batch_size`?
 --> e.toml:8:13
  |
8 | loader_args.batch_sizes = 8
  |             ^^^^^^^^^^^

error: `round` is unknown; did you mean `rounds`?
 --> e.toml:2:1
  |
2 | round = 2
  | ^^^^^"
    );
    assert_eq!(
        shown("e.toml", "name = \"t\"\nrounds = many\n", &["experiment", "run"]),
        "error: string values must be quoted, expected literal string
 --> e.toml:2:10
  |
2 | rounds = many
  |          ^^^^"
    );
    let node = "id = \"a\"\nmqtt = \"mqtt://127.0.0.1:1883\"\nroster_refresh = 3\n";
    let text = shown("node.toml", node, &["node", "start"]);
    assert!(text.starts_with("error: unknown field `roster_refresh`, expected one of "), "{text}");
    assert!(text.ends_with("\n3 | roster_refresh = 3\n  | ^^^^^^^^^^^^^^"), "{text}");
}

#[test]
fn a_panic_names_file_and_line() {
    let (code, text) = local(misbehaves(), "[model]\ndeed = \"panic\"\n", "benign");
    assert_eq!(code, 4);
    let (first, rest) = text.split_once('\n').unwrap();
    let panic = "error: plan misbehaves 0.1.0 (DIGEST) panicked: panicked at ";
    assert!(first.starts_with(panic), "{text}");
    let source = crate::support::root().join("tests/guests/misbehaves/src/lib.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let line = source.lines().position(|line| line.contains("panic!(")).unwrap() + 1;
    let place = format!(" --> misbehaves/src/lib.rs:{line}:");
    assert!(rest.starts_with(&place), "{text}");
    let help = "\n  = help: the place is in the plan; `fedwasm plan test` tries it on a few rows";
    assert!(rest.ends_with(help), "{text}");
}

#[test]
fn limits_name_the_setting_that_helps() {
    for (args, expected) in [
        (
            "[model]\ndeed = \"hoard\"\n[limits]\nmemory_bytes_max = 16777216\n",
            "error: plan misbehaves 0.1.0 (DIGEST) ran out of memory: its memory and \
             its tensors may have 16777216 bytes together (`memory_bytes_max`)
  = help: give a larger `memory_bytes_max` under [limits], or smaller batches (`batch_size`)",
        ),
        (
            "[model]\ndeed = \"loop\"\n[limits]\ntime_ms_max = 500\n",
            "error: plan misbehaves 0.1.0 (DIGEST) exceeded its deadline: `train` took longer \
             than 500 ms (`time_ms_max`)
  = help: give a larger `time_ms_max` under [limits], or train for fewer epochs at once",
        ),
    ] {
        let (code, text) = local(misbehaves(), args, "benign");
        assert_eq!((code, text.as_str()), (4, expected));
    }
}

/// Components that do not fit the contract: made from the shipped plan's text.
#[test]
fn another_world_is_named_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let inspected = |bytes: &[u8]| {
        let file = dir.path().join("p.wasm");
        std::fs::write(&file, bytes).unwrap();
        let ended = fedwasm(&["plan", "inspect"]).arg(&file).run();
        assert_eq!(ended.code, 3, "{}", ended.stderr);
        error(&ended.stderr, dir.path())
    };
    let wit = |from: &str, to: &str| {
        let bytes = std::fs::read(plan()).unwrap();
        let mut changed = bytes.clone();
        for at in 0..bytes.len() - from.len() {
            if bytes[at..].starts_with(from.as_bytes()) {
                changed[at..at + to.len()].copy_from_slice(to.as_bytes());
            }
        }
        changed
    };
    assert_eq!(
        inspected(&wit("training-plan/plan@0.2.0", "training-plan/plan@0.3.0")),
        "error: p.wasm: the plan was built for fedwasm:training-plan@0.3.0, this host speaks \
         0.1.0, 0.2.0
  = help: build it again with the SDK of this version: `fedwasm plan build`"
    );
    assert_eq!(
        inspected(&wit("training-plan/plan@0.2.0", "training-plan/plan@0.1.0")),
        "error: p.wasm: the plan exports `fedwasm:training-plan/plan@0.1.0` and imports interfaces \
         of 0.2.0; all must be of one version"
    );
    assert_eq!(
        inspected(&wat::parse_str("(component)").unwrap()),
        "error: p.wasm: the plan does not export `fedwasm:training-plan/plan@0.2.0`
  = help: end the plan's lib.rs with `export!(MyPlan);`"
    );
    assert_eq!(
        inspected(b"# a text"),
        "error: p.wasm: the plan is something else, not a WebAssembly component; build it with \
         `fedwasm plan build`"
    );
}

#[test]
fn a_crate_that_is_not_a_plan_names_the_missing_part() {
    let dir = tempfile::tempdir().unwrap();
    let manifest =
        "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    let lock = "version = 4\n\n[[package]]\nname = \"x\"\nversion = \"0.1.0\"\n";
    std::fs::create_dir(dir.path().join("src")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("src/lib.rs", "pub fn nothing() {}\n");
    write("Cargo.toml", manifest);
    let build = || {
        let ended = fedwasm(&["plan", "build"]).arg(dir.path()).run();
        (ended.code, error(&ended.stderr, dir.path()).replace(dir.path().to_str().unwrap(), "DIR"))
    };
    let (code, text) = build();
    assert_eq!(code, 2);
    assert_eq!(
        text,
        "error: DIR: Cargo.lock is missing, and the bytes of a plan follow from it
  = help: run `cargo generate-lockfile` there, and keep the file with the sources"
    );
    write("Cargo.lock", lock);
    let (code, text) = build();
    assert_eq!(code, 2);
    assert_eq!(
        text,
        "error: the crate does not build a WebAssembly library
  = help: set `crate-type = [\"cdylib\"]` under [lib] in Cargo.toml"
    );
    write("Cargo.toml", &format!("{manifest}[lib]\ncrate-type = [\"cdylib\"]\n"));
    let (code, text) = build();
    assert_eq!(code, 3);
    assert_eq!(
        text,
        "error: the plan does not export `fedwasm:training-plan/plan@0.2.0`
  = help: end the plan's lib.rs with `export!(MyPlan);`"
    );
}

/// A file that is not regular could keep the command waiting for ever.
#[test]
fn a_pipe_in_place_of_a_file_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (shipped, rows) = (plan(), data("breast_cancer.csv"));
    let local = |plan: &Path, more: &[&str]| {
        let command = fedwasm(&["local", "--seed", "1", "--target", "benign", "--plan"]).arg(plan);
        command.arg("--data").arg(&rows).args(more).run()
    };
    let path = pipe.to_str().unwrap();
    let evaluate = fedwasm(&["evaluate", "--target", "benign", "--params", path, "--plan"]);
    for ended in [
        local(&pipe, &[]),
        local(&shipped, &["--args", path]),
        evaluate.arg(&shipped).arg("--data").arg(&rows).run(),
        fedwasm(&["experiment", "run", path]).run(),
    ] {
        assert!(ended.code > 0, "{ended:?}");
        assert!(ended.stderr.contains(&format!("{path}: it is not a regular file")), "{ended:?}");
    }
}

#[test]
fn a_node_whose_directory_is_open_to_others_does_not_start() {
    let mut federation = crate::support::Federation::start();
    federation.node("a", &data("breast_cancer.csv"));
    drop(federation.nodes.pop());
    let dir = federation.dir.path().join("a");
    let mode = |mode: &str| {
        let done = std::process::Command::new("chmod").arg(mode).arg(&dir).status().unwrap();
        assert!(done.success());
    };
    mode("755");
    let ended = fedwasm(&["node", "start"]).arg(&dir).run();
    assert!(ended.code > 0, "{ended:?}");
    let text = format!("accessible to other users; run `chmod go= {}`", dir.display());
    assert!(ended.stderr.contains(&text), "{}", ended.stderr);
    mode("go=");
    fedwasm(&["node", "start"]).arg(&dir).start().wait_for(crate::support::event("ready"));
}
