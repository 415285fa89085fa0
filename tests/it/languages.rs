//! Plans in other languages, written from the contract alone: the shipped plan of the SDK, bit for
//! bit. `tests/guests/LANGUAGE/build.sh` makes them by the commands of `docs/other-languages.md`.

use std::path::{Path, PathBuf};

use fedwasm_protocol::Digest;
use serde_json::{Value, json};

use crate::support::{Edit, Ended, Federation, data, fedwasm, root};

/// Each with a plan of the same model.
const LANGUAGES: [&str; 3] = ["c", "javascript", "python"];

/// The plan that the SDK makes.
fn shipped() -> PathBuf {
    root().join("plugins/dist/mlp.wasm")
}

/// The plans that are here. The one in C is kept in the repository; the others are large and
/// their bytes differ from build to build, so that `.ci/run` builds them.
#[expect(clippy::print_stderr, reason = "a test that did not run says so")]
fn plans() -> Vec<(&'static str, PathBuf)> {
    let built = |language: &'static str| {
        let path = root().join(format!("tests/guests/{language}/mlp.wasm"));
        if path.is_file() {
            return Some((language, path));
        }
        let build = format!("tests/guests/{language}/build.sh builds it");
        let is_needed = std::env::var_os("FEDWASM_REQUIRE_LANGUAGES").is_some() || language == "c";
        assert!(!is_needed, "the plan in {language} is missing; {build}");
        eprintln!("SKIPPED: the plan in {language} is missing; {build}");
        None
    };
    LANGUAGES.into_iter().filter_map(built).collect()
}

fn inspected(plan: &Path) -> Value {
    fedwasm(&["--json", "plan", "inspect"]).arg(plan).ok().result()
}

/// Admission, compiling and `describe`, in a worker.
#[test]
fn plans_in_other_languages_announce_what_the_shipped_one_does() {
    let expected = inspected(&shipped());
    let all = expected["arguments"].as_array().unwrap();
    for (language, plan) in plans() {
        let got = inspected(&plan);
        assert_eq!(got["name"], format!("mlp-{language}"));
        assert_eq!(got["world"], expected["world"], "{language}");
        assert_eq!(got["declaration"], expected["declaration"], "{language}");
        let arguments = got["arguments"].as_array().unwrap();
        assert_eq!(arguments.len(), 7, "{language}");
        for argument in arguments {
            let same = |known: &&Value| {
                ["name", "kind", "default"].iter().all(|key| known[key] == argument[key])
            };
            assert!(all.iter().any(|known| same(&known)), "{language}: {argument}");
        }
    }
}

/// Runs a plan on the digits and returns what came of it.
fn local(plan: &Path, args: &str) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("args.toml");
    std::fs::write(&file, args).unwrap();
    let command = fedwasm(&["--json", "local", "--target", "digit", "--seed", "42", "--plan"]);
    let command = command.arg(plan).arg("--data").arg(data("digits.csv"));
    command.arg("--args").arg(&file).run()
}

#[test]
fn five_epochs_give_the_parameters_of_the_shipped_plan_bit_for_bit() {
    let nesterov = "[training]\nepochs = 5\nloader_args = { batch_size = 50 }\n\
         optimizer_args = { lr = 0.05, momentum = 0.9, nesterov = true, weight_decay = 0.001 }\n\
         test_on_global_updates = true\n[model]\nhidden = 37\n";
    let results = |plan: &Path| {
        ["[training]\nepochs = 5\n", nesterov].map(|args| {
            let ended = local(plan, args);
            assert_eq!(ended.code, 0, "{}", ended.stderr);
            let mut result = ended.result();
            result.as_object_mut().unwrap().remove("plan_sha256");
            assert!(result["metrics"]["accuracy"].as_f64().unwrap() > 0.8, "{result}");
            result
        })
    };
    let expected = results(&shipped());
    assert_ne!(expected[0]["params_sha256"], expected[1]["params_sha256"]);
    for (language, plan) in plans() {
        assert_eq!(results(&plan), expected, "{language}");
    }
}

/// Not the one in Python, which compiles for half a minute more in the strict profile; it passes.
#[test]
fn plans_in_c_and_javascript_pass_the_tests_of_a_plan() {
    for (language, plan) in plans().into_iter().filter(|(language, _)| *language != "python") {
        let result = fedwasm(&["--json", "plan", "test"]).arg(&plan).ok().result();
        assert_eq!((&result["failed"], &result["passed"]), (&json!(0), &json!(15)), "{language}");
    }
}

/// What the host says goes through the plan, and what the plan says arrives: errors, not traps.
#[test]
fn mistakes_of_plans_in_other_languages_arrive_in_words() {
    for (language, plan) in plans() {
        for (args, words) in [
            ("[model]\nhidden = 0\n", "refused its arguments: "),
            ("[model]\nhidden = 100000000\n", "2^28"),
            ("optimizer_args = { lr = -1.0 }\n", "optimizer.lr"),
            ("optimizer_args = { lr = 1e30 }\n", "left the range of finite numbers"),
            ("[model]\nn_classes = 3\n", "cross entropy of f32 [32, 3], i64 [32]: index "),
        ] {
            let ended = local(&plan, &format!("[training]\nepochs = 1\n{args}"));
            assert_ne!(ended.code, 0, "{language}: {args}");
            assert!(ended.stderr.contains(words), "{language}: {args}{}", ended.stderr);
            assert!(!ended.stderr.contains("panicked"), "{language}: {args}{}", ended.stderr);
        }
    }
}

/// Writes every third row of the digits from `start` on, and fewer the later it starts.
fn third(dir: &Path, start: usize) -> PathBuf {
    let text = std::fs::read_to_string(data("digits.csv")).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let rows = lines.skip(start).step_by(3).take(600 - 100 * start);
    let rows: Vec<&str> = std::iter::once(header).chain(rows).collect();
    let path = dir.join(format!("third-{start}.csv"));
    std::fs::write(&path, rows.join("\n") + "\n").unwrap();
    path
}

/// Three nodes whose operators decide by hand: no plan runs unapproved.
fn federation() -> Federation {
    let mut federation = Federation::start();
    for n in 0..3 {
        let file = third(federation.dir.path(), n);
        federation.node(&format!("n{n}"), &file);
    }
    federation.nodes.clear();
    for n in 0..3 {
        let config = federation.dir.path().join(format!("n{n}/node.toml"));
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text.edit("policy = \"any\"", "policy = \"hand\"")).unwrap();
        federation.start_node(&format!("n{n}"));
    }
    federation
}

#[test]
fn a_federation_of_three_nodes_gives_the_model_of_the_shipped_plan_bit_for_bit() {
    let federation = federation();
    let run = |plan: &Path| {
        let experiment = federation.experiment(|text| {
            let text = text.edit("\"benign\"", "\"digit\"").edit("n_classes = 2", "n_classes = 10");
            let text = text.edit("min_nodes = 2", "min_nodes = 3").edit("lr = 0.1", "lr = 0.05");
            let own = crate::support::plan().display().to_string();
            text.edit(&own, &plan.display().to_string())
        });
        let out = federation.dir.path().join("out");
        if out.exists() {
            std::fs::remove_dir_all(&out).unwrap();
        }
        let ended = federation.run(&experiment).run();
        let params = std::fs::read(out.join("params.safetensors"));
        (ended, params.map(|params| Digest::of(&params)).ok())
    };
    let approved = |plan: &Path| {
        let (ended, _) = run(plan);
        assert!(ended.stderr.contains("the plan is pending there"), "{}", ended.stderr);
        for n in 0..3 {
            let node = federation.dir.path().join(format!("n{n}"));
            fedwasm(&["node", "plan", "approve"]).arg(node).arg(plan).ok();
        }
        let (ended, params) = run(plan);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        (ended.result()["metrics"].clone(), params.unwrap())
    };
    let expected = approved(&shipped());
    assert!(expected.0["accuracy"].as_f64().unwrap() > 0.5, "{}", expected.0);
    for (language, plan) in plans() {
        assert_eq!(approved(&plan), expected, "{language}");
    }
}

/// The commands of a block or a script, one after the other, in one line each.
fn commands(source: &str) -> Vec<String> {
    let joined = source.replace("\\\n", " ");
    let lines = joined.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// What a script adds to the page: it stops at an error, goes to its folder, and installs once.
fn commands_of_script(language: &str) -> Vec<String> {
    let path = root().join(format!("tests/guests/{language}/build.sh"));
    let script = std::fs::read_to_string(path).unwrap();
    let script = script.edit("set -eu\n", "");
    let script = script.edit("\"$(dirname \"$0\")\"", &format!("tests/guests/{language}"));
    commands(&script.replace("command -v clang-22 >/dev/null ||\n", ""))
}

#[test]
fn the_page_on_other_languages_has_the_commands_of_the_scripts() {
    let page = std::fs::read_to_string(root().join("docs/other-languages.md")).unwrap();
    for language in LANGUAGES {
        let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
        let begins = format!("cd tests/guests/{language}\n");
        let of_page = blocks.filter(|block| block.starts_with(&begins)).map(commands);
        let expected = vec![commands_of_script(language)];
        assert_eq!(of_page.collect::<Vec<_>>(), expected, "{language}");
    }
    for engine in ["jco", "wasmtime_py"] {
        let script = format!("tests/oracles/{engine}/run.sh");
        assert!(page.contains(&format!("{script} fedwasm\n")), "{script}");
        assert!(root().join(script).is_file());
    }
}
