//! The two homes of a plan's tensors: at the host, and in the guest. All shipped plans train, predict
//! and score to the same bytes in both.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{fedwasm, root};

/// Rows of a table that are taken: the guest emulates fused products.
const ROWS: usize = 96;

/// A plan, its data, and its arguments.
const PLANS: [(&str, &str, &str); 8] = [
    ("logistic-regression", "examples/data/breast_cancer.csv", "benign"),
    ("linear-regression", "examples/data/diabetes.csv", "progression"),
    ("linear-svm", "examples/data/breast_cancer.csv", "benign"),
    ("mlp", "examples/data/digits.csv", "digit"),
    ("transformer", "examples/data/breast_cancer.csv", "benign"),
    ("lstm", "examples/data/breast_cancer.csv", "benign"),
    ("cnn", "plugins/cnn/data.csv", "target"),
    ("unet", "plugins/unet/data.npz", "mask"),
];

fn in_guest(plan: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{plan}-in-guest.wasm"));
    let dir = root().join("plugins").join(plan);
    fedwasm(&["plan", "build", "--in-guest"]).arg(dir).arg("-o").arg(&path).ok();
    path
}

/// The first rows of a file of lines, or the file.
fn few_rows(data: &str, dir: &Path) -> PathBuf {
    let from = root().join(data);
    if !data.ends_with(".csv") {
        return from;
    }
    let text = std::fs::read_to_string(from).unwrap();
    let lines: Vec<&str> = text.lines().take(ROWS + 1).collect();
    let path = dir.join("data.csv");
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    path
}

#[test]
fn shipped_plans_give_the_same_bytes_at_the_host_and_in_the_guest() {
    for (plan, data, target) in PLANS {
        let dir = tempfile::tempdir().unwrap();
        let args = dir.path().join("args.toml");
        let inputs = if plan == "unet" { "inputs = [\"image\"]\n" } else { "" };
        let model = match plan {
            "cnn" => "size = 16",
            "unet" => "size = 16\nfilters = 4\ndepth = 1",
            "transformer" => "width = 8\nhidden = 8\nlayers = 1",
            "lstm" => "step = 6\nunits = 8\nlayers = 2\ndropout = 0.25",
            _ => "",
        };
        let text = format!(
            "[data]\n{inputs}target = \"{target}\"\n[training]\nepochs = 1\ntest_ratio = 0.25\n\
             loader_args = {{ batch_size = 16 }}\noptimizer_args = {{ lr = 0.01 }}\n\
             [model]\n{model}\n"
        );
        std::fs::write(&args, text).unwrap();
        let data = few_rows(data, dir.path());
        let run = |component: &Path, out: &str| {
            let job = fedwasm(&["--json", "local", "--seed", "3", "--plan"]).arg(component);
            let job = job.arg("--data").arg(&data).arg("--args").arg(&args);
            let result = job.arg("--out").arg(dir.path().join(out)).ok().result();
            (result["params_sha256"].clone(), result["metrics"].clone(), result["n_steps"].clone())
        };
        let shipped = root().join("plugins/dist").join(plan).with_extension("wasm");
        let at_host = run(&shipped, "host");
        assert_eq!(run(&in_guest(plan), "guest"), at_host, "{plan}");
        assert!(at_host.2.as_u64().unwrap() > 1, "{plan}: {at_host:?}");
    }
}

#[test]
fn another_build_is_compared_with_a_plan() {
    let dist = |plan: &str| root().join("plugins/dist").join(plan).with_extension("wasm");
    let check = |twin: &Path| {
        let tried = fedwasm(&["--json", "plan", "test"]).arg(dist("logistic-regression"));
        let ended = tried.arg("--twin").arg(twin).run();
        let is_it = |event: &Value| event["name"] == "the other build gives the same bytes";
        let check = ended.events().into_iter().find(is_it).unwrap();
        (ended.code, check["outcome"].clone(), check["detail"].as_str().unwrap().to_owned())
    };
    let (code, outcome, detail) = check(&in_guest("logistic-regression"));
    assert!(code == 0 && outcome == "passed", "{outcome}: {detail}");
    let (code, outcome, detail) = check(&dist("mlp"));
    assert_eq!(
        (code, outcome.as_str(), detail.as_str()),
        (4, Some("failed"), "its shapes are others")
    );
}
