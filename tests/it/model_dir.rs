//! Models of runs: the directory, `predict`, `evaluate`, `model verify`, and `init`.

use std::path::{Path, PathBuf};

use fedwasm_params::{Params, Tensor, from_safetensors, to_safetensors};
use fedwasm_protocol::Digest;
use fedwasm_record::Model;
use serde_json::{Value, json};

use crate::support::{Edit, Ended, Federation, Fedwasm, data, fedwasm, part, plan, root};

/// A local run on breast cancer data, and its directory.
pub struct Trained {
    pub dir: tempfile::TempDir,
}

pub fn shipped(name: &str) -> PathBuf {
    root().join(format!("plugins/dist/{name}.wasm"))
}

fn local(plan: &Path, target: &str, out: &Path) -> Fedwasm {
    let run = fedwasm(&["--json", "local", "--target", target, "--seed", "1", "--plan"]).arg(plan);
    run.arg("--data").arg(data("breast_cancer.csv")).arg("--out").arg(out)
}

pub fn trained(plan: &Path, target: &str) -> Trained {
    let trained = Trained { dir: tempfile::tempdir().unwrap() };
    local(plan, target, &trained.out()).ok();
    trained
}

impl Trained {
    pub fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn model(&self) -> PathBuf {
        self.out().join("model")
    }

    fn verify(&self, extra: &[&str]) -> Ended {
        fedwasm(&["model", "verify"]).arg(self.model()).args(extra).run()
    }

    /// Writes a file of the model, and names it in `model.json` as it is.
    fn replace(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.model().join(name), bytes).unwrap();
        self.edit(|model| {
            model["files"][name] =
                json!({ "sha256": Digest::of(bytes).to_string(), "bytes": bytes.len() });
        });
    }

    fn edit(&self, change: impl Fn(&mut Value)) {
        let path = self.model().join("model.json");
        let mut model: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut model);
        std::fs::write(&path, serde_json::to_vec(&model).unwrap()).unwrap();
    }
}

fn predict(model: &Path, file: &Path) -> Fedwasm {
    fedwasm(&["predict"]).arg(model).arg("--data").arg(file)
}

fn evaluate(model: &Path, file: &Path) -> Fedwasm {
    fedwasm(&["--json", "evaluate"]).arg(model).arg("--data").arg(file)
}

/// The cells of a table, a line a row; its header first.
fn cells(csv: &str) -> Vec<Vec<String>> {
    csv.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// The columns of breast cancer data by name.
fn column(name: &str) -> Vec<f64> {
    let table = cells(&std::fs::read_to_string(data("breast_cancer.csv")).unwrap());
    let at = table[0].iter().position(|column| column == name).unwrap();
    table[1..].iter().map(|row| row[at].parse().unwrap()).collect()
}

/// Writes breast cancer data without a column, with the others turned round and an id in front.
fn without(dir: &Path, target: &str) -> PathBuf {
    let table = cells(&std::fs::read_to_string(data("breast_cancer.csv")).unwrap());
    let left: Vec<usize> = (0..table[0].len()).rev().filter(|at| table[0][*at] != target).collect();
    let lines = table.iter().enumerate().map(|(nth, row)| {
        let id = if nth == 0 { "patient".to_owned() } else { format!("p-{nth}") };
        let rest = left.iter().map(|at| row[*at].clone());
        [id].into_iter().chain(rest).collect::<Vec<_>>().join(",")
    });
    let path = dir.join("unlabelled.csv");
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    path
}

#[test]
fn predictions_without_a_target_are_those_that_were_scored() {
    let trained = trained(&plan(), "benign");
    let metrics = evaluate(&trained.out(), &data("breast_cancer.csv")).ok().result();
    let file = without(trained.dir.path(), "benign");
    let said = predict(&trained.model(), &file).args(&["--id", "patient"]).ok();
    let table = cells(&said.stdout);
    assert_eq!(table[0], ["row", "patient", "predicted", "probability_0", "probability_1"]);
    let classes = column("benign");
    assert_eq!(table.len() - 1, classes.len());
    let mut right = 0;
    for (nth, (row, class)) in table[1..].iter().zip(&classes).enumerate() {
        assert_eq!(row[..2], [nth.to_string(), format!("p-{}", nth + 1)]);
        let shares = [3, 4].map(|at: usize| row[at].parse::<f64>().unwrap());
        assert!((shares[0] + shares[1] - 1.0).abs() < 1e-15, "{row:?}");
        assert_eq!(row[2], u8::from(shares[1] > shares[0]).to_string(), "{row:?}");
        right += u32::from(row[2].parse::<f64>().unwrap() == *class);
    }
    let accuracy = f64::from(right) / classes.len() as f64;
    assert_eq!(metrics["metrics"]["accuracy"], json!(accuracy));
    assert!(accuracy > 0.95 && metrics["scaled"] == json!(true), "{metrics}");
    // The flags that name the files of a run one by one say the same.
    let flags = fedwasm(&["--json", "evaluate", "--plan"]).arg(plan()).arg("--params");
    let flags = flags.arg(trained.out().join("params.safetensors"));
    let by_flags = flags.arg("--data").arg(data("breast_cancer.csv")).ok().result();
    assert_eq!(by_flags["metrics"], metrics["metrics"]);
    // An id that is not there.
    let ended = predict(&trained.model(), &file).args(&["--id", "patiant"]).run();
    assert!(ended.stderr.contains("did you mean `patient`?"), "{}", ended.stderr);
}

#[test]
fn values_are_those_that_were_scored_bit_for_bit_in_csv_and_in_parquet() {
    let trained = trained(&shipped("linear-regression"), "mean_radius");
    let scored = evaluate(&trained.model(), &data("breast_cancer.csv")).ok().result();
    let file = without(trained.dir.path(), "mean_radius");
    let table = cells(&predict(&trained.model(), &file).ok().stdout);
    assert_eq!(table[0], ["row", "predicted"]);
    let said: Vec<f64> = table[1..].iter().map(|row| row[1].parse().unwrap()).collect();
    // Targets are float32 for the plan and its scores.
    let targets = column("mean_radius").into_iter().map(|value| f64::from(value as f32));
    let squares = targets.zip(&said).map(|(target, said)| (target - said) * (target - said));
    let mean = squares.sum::<f64>() / said.len() as f64;
    assert_eq!(scored["metrics"]["mean_square_error"], json!(mean));
    let write = |name: &str| {
        let out = trained.dir.path().join(name);
        predict(&trained.model(), &file).arg("--out").arg(&out).ok();
        std::fs::read(out).unwrap()
    };
    assert_eq!(write("a.parquet"), write("b.parquet"));
    assert_eq!(write("a.csv"), write("b.csv"));
    let parquet = trained.dir.path().join("a.parquet");
    let parquet = fedwasm_dataset::Dataset::open(&parquet, None).unwrap();
    let at = parquet.position("predicted").unwrap();
    let mut read = Vec::new();
    for block in 0..parquet.n_blocks() {
        let values = &parquet.read(block, &[at]).unwrap().columns[0];
        values.each(0..values.len(), |value| read.push(value));
    }
    assert_eq!(read, said);
    let ended = predict(&trained.model(), &file).args(&["--out", "scores.xlsx"]).run();
    assert!(ended.code == 2 && ended.stderr.contains("neither a .csv nor"), "{}", ended.stderr);
}

#[test]
fn a_model_whose_files_are_not_those_that_it_names_is_refused_by_name() {
    let refused = |wanted: &str, harm: &dyn Fn(&Trained)| {
        let trained = trained(&plan(), "benign");
        assert_eq!(trained.verify(&[]).code, 0);
        harm(&trained);
        for ended in
            [trained.verify(&[]), predict(&trained.out(), &data("breast_cancer.csv")).run()]
        {
            assert_eq!(ended.code, 3, "{wanted}: {}", ended.stderr);
            assert!(ended.stderr.contains(wanted), "{wanted}: {}", ended.stderr);
        }
    };
    refused("params.safetensors is another file than model.json names", &|trained| {
        let path = trained.model().join("params.safetensors");
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(path, bytes).unwrap();
    });
    refused("is larger than", &|trained| {
        let path = trained.model().join("preprocessing.json");
        let longer = [std::fs::read(&path).unwrap(), vec![b' ']].concat();
        std::fs::write(path, longer).unwrap();
    });
    refused("names `../../secret`, which is not a file of a model", &|trained| {
        trained.edit(|model| {
            model["files"]["../../secret"] = model["files"]["plan.wasm"].clone();
        });
    });
    refused("model.json has format 2, this program reads 1", &|trained| {
        trained.edit(|model| model["format"] = json!(2));
    });
    refused(
        "params.safetensors has 9223372036854775807 bytes by model.json, at most",
        &|trained| {
            trained.edit(|model| {
                model["files"]["params.safetensors"]["bytes"] = json!(i64::MAX);
            });
        },
    );
    refused("unknown field `extra`", &|trained| trained.edit(|model| model["extra"] = json!(1)));
    refused("model.json does not name plan.wasm", &|trained| {
        trained.edit(|model| drop(model["files"].as_object_mut().unwrap().remove("plan.wasm")));
    });
    refused("names two digests of the plan", &|trained| trained.replace("plan.wasm", b"other"));
    refused("plan.wasm: ", &|trained| {
        trained.replace("plan.wasm", b"no wasm");
        trained
            .edit(|model| model["plan"]["sha256"] = model["files"]["plan.wasm"]["sha256"].clone());
    });
    refused("params.safetensors: ", &|trained| trained.replace("params.safetensors", b"\xff"));
    refused("preprocessing.json: ", &|trained| trained.replace("preprocessing.json", b"{}"));
    refused("not a regular file", &|trained| {
        let path = trained.model().join("params.safetensors");
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    });
    refused("params.safetensors: ", &|trained| {
        // The very bytes, but outside.
        let path = trained.model().join("params.safetensors");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("../params.safetensors", path).unwrap();
    });
    refused("the plan itself that it is logistic-regression", &|trained| {
        trained.edit(|model| model["plan"]["name"] = json!("mlp"));
    });
}

#[test]
fn a_directory_without_a_model_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ended = predict(dir.path(), &data("breast_cancer.csv")).run();
    assert!(ended.code == 3 && ended.stderr.contains("it has no model.json"), "{}", ended.stderr);
}

#[test]
fn a_local_model_is_signed_by_any_key_that_is_asked() {
    let trained = trained(&plan(), "benign");
    let key = trained.dir.path().join("a.pem");
    let other = trained.dir.path().join("b.pem");
    for key in [&key, &other] {
        fedwasm(&["keys", "generate"]).arg(key).ok();
    }
    let public = |key: &Path| format!("{}.pub", key.display());
    let by = |key: &Path| trained.verify(&["--key", &public(key)]).code;
    assert_eq!(by(&key), 3);
    fedwasm(&["model", "sign"]).arg(trained.model()).arg("--key").arg(&key).ok();
    assert_eq!((by(&key), by(&other)), (0, 3));
    trained.edit(|model| model["run"]["name"] = json!("another"));
    assert_eq!(by(&key), 3);
}

fn federation(n: usize) -> Federation {
    let mut federation = Federation::start();
    for node in 0..n {
        // The fourth part stays here.
        let file = part(federation.dir.path(), node, n + 1);
        federation.node(&format!("n{node}"), &file);
    }
    federation
}

#[test]
fn a_federated_model_scores_a_file_that_no_node_had() {
    let federation = federation(3);
    let experiment = federation.experiment(|text| {
        text.edit("min_nodes = 2", "min_nodes = 3")
            .edit("target = \"benign\"", "target = \"benign\"\nstandardize = true")
    });
    let result = federation.run(&experiment).ok().result();
    let out = federation.dir.path().join("out");
    let model = Model::read(&out).unwrap();
    let about = &model.about;
    assert_eq!(json!(about.params_sha256()), result["params_sha256"]);
    assert_eq!(json!(about.evaluation.as_ref().unwrap().metrics), result["metrics"]);
    assert_eq!(about.sites.len(), 3);
    for site in about.sites.values() {
        assert!(site.n_samples > 90 && site.evaluation.is_some() && site.receipt.is_some());
        assert!(site.approved_by.as_ref().is_some_and(|by| !by.is_empty()), "{site:?}");
    }
    // The researcher signed it.
    let key = federation.dir.path().join("researcher/key.pem");
    let verify = fedwasm(&["model", "verify"]).arg(&out).arg("--key").arg(key).run();
    assert_eq!(verify.code, 0, "{}", verify.stderr);
    let fourth = part(federation.dir.path(), 3, 4);
    // Each site has scaled by its own rows.
    for ended in [predict(&out, &fourth).run(), evaluate(&out, &fourth).run()] {
        assert!(ended.code == 2 && ended.stderr.contains("--scales FILE"), "{}", ended.stderr);
    }
    let scales = std::fs::read_dir(federation.dir.path().join("n0/experiments")).unwrap();
    let mut scales = scales.map(|entry| entry.unwrap().path().join("preprocessing.json"));
    let scales = scales.find(|path| path.is_file()).unwrap();
    let scored = evaluate(&out, &fourth).arg("--scales").arg(&scales).ok().result();
    let said = predict(&out, &fourth).arg("--scales").arg(&scales).ok().stdout;
    let (said, truth) = (cells(&said), cells(&std::fs::read_to_string(&fourth).unwrap()));
    let target = truth[0].iter().position(|name| name == "benign").unwrap();
    let pairs = said[1..].iter().zip(&truth[1..]);
    let right = pairs.filter(|(said, truth)| said[1] == truth[target]).count();
    let accuracy = right as f64 / (truth.len() - 1) as f64;
    assert_eq!(scored["metrics"]["accuracy"], json!(accuracy));
    assert!(accuracy > 0.9, "{accuracy}");
    // The next experiment starts from it.
    let text = std::fs::read_to_string(&experiment).unwrap();
    let next = federation.dir.path().join("next.toml");
    std::fs::write(&next, text.edit("rounds = 2", "rounds = 1\ninit = \"out/model\"")).unwrap();
    let run = fedwasm(&["--json", "experiment", "run"]).arg(&next).arg("--out");
    run.arg(federation.dir.path().join("next")).ok();
    let history = std::fs::read(federation.dir.path().join("next/history.json")).unwrap();
    let history: Value = serde_json::from_slice(&history).unwrap();
    assert_eq!(history["initial_sha256"], result["params_sha256"]);
}

/// Runs no batch, so that the result is the start.
const NO_BATCH: &str = "[training]\nepochs = 1\nbatch_maxnum = 0\ntest_ratio = 0\n\
                        loader_args = { batch_size = 32 }\noptimizer_args = { lr = 0.1 }\n";

#[test]
fn a_run_starts_from_a_model_or_from_the_parts_of_it_that_are_named() {
    let trained = trained(&plan(), "benign");
    let given = from_safetensors(&std::fs::read(trained.out().join("params.safetensors")).unwrap());
    let given = given.unwrap();
    let start = |name: &str, text: &str| {
        let args = trained.dir.path().join(format!("{name}.toml"));
        std::fs::write(&args, format!("{text}\n{NO_BATCH}")).unwrap();
        let out = trained.dir.path().join(name);
        let ended = local(&plan(), "benign", &out).arg("--args").arg(args).run();
        let params = std::fs::read(out.join("params.safetensors"));
        (ended, params.ok().map(|bytes| from_safetensors(&bytes).unwrap()))
    };
    let (_, drawn) = start("drawn", "");
    let (ended, all) = start("all", "init = \"out\"");
    assert_eq!(all.as_ref(), Some(&given), "{}", ended.stderr);
    let (ended, part) = start("part", "init = \"out/model\"\ninit_only = [\"*.weight\"]");
    let (part, drawn) = (part.unwrap_or_else(|| panic!("{}", ended.stderr)), drawn.unwrap());
    assert_eq!(part.tensor("linear.weight"), given.tensor("linear.weight"));
    assert_eq!(part.tensor("linear.bias"), drawn.tensor("linear.bias"));
    assert_ne!(part.tensor("linear.bias"), given.tensor("linear.bias"));
    // The file of another network.
    let other = Params::new(vec![(
        "linear.weight".into(),
        Tensor::from_f32(vec![2, 4], &[0.0; 8]).unwrap(),
    )]);
    let file = trained.dir.path().join("other.safetensors");
    std::fs::write(file, to_safetensors(&other.unwrap()).unwrap()).unwrap();
    for (name, text, expected) in [
        (
            "none",
            "init = \"out\"\ninit_only = [\"linear.wieght\"]",
            "`linear.wieght`, which matches no parameter of the plan that can start so; did you \
             mean `linear.weight`?",
        ),
        (
            "shape",
            "init = \"other.safetensors\"\ninit_only = [\"linear.weight\"]",
            "the parameter `linear.weight`, which `init_only` chooses, is float32 [2, 4] where it \
             is given, and float32 [2, 30] in the plan",
        ),
        (
            "absent",
            "init = \"other.safetensors\"\ninit_only = [\"*.bias\"]",
            "the parameter `linear.bias`, which `init_only` chooses, is not among the given ones, \
             which are linear.weight",
        ),
        ("alone", "init_only = [\"*\"]", "chooses parameters of `init`, which is not given"),
        ("empty", "init = \"out\"\ninit_only = []", "is empty; name parameters"),
        ("both", "init = \"out\"\nparams = \"p\"", "is given beside `params`"),
    ] {
        let (ended, _) = start(name, text);
        assert_eq!(ended.code, 2, "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{name}: {}", ended.stderr);
    }
}

/// Rows of a made-up table: a number with gaps, a category, and a class in words.
fn ward_rows(with_outcome: bool) -> String {
    let mut text = String::from(if with_outcome { "age,ward,outcome\n" } else { "ward,age\n" });
    for row in 0..240u32 {
        let age = row * 37 % 90;
        let ward = ["A", "B", "C"][row as usize % 3];
        let outcome = if age > 45 || ward == "C" { "malignant" } else { "benign" };
        let age = if row % 12 == 0 { "NA".to_owned() } else { age.to_string() };
        text += &match with_outcome {
            true => format!("{age},{ward},{outcome}\n"),
            false => format!("{ward},{age}\n"),
        };
    }
    text
}

#[test]
fn a_model_carries_the_rules_of_its_columns_and_the_names_of_classes() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("ward.csv"), ward_rows(true)).unwrap();
    std::fs::write(path("new.csv"), ward_rows(false)).unwrap();
    let args = r#"
[data]
target = "outcome"
[data.columns]
age = { kind = "number", impute = "median", flag_missing = true }
ward = { kind = "category", values = ["A", "B", "C"] }
outcome = { kind = "class", values = ["benign", "malignant"] }
[training]
epochs = 30
random_seed = 1
test_ratio = 0.2
optimizer_args = { lr = 0.1 }
"#;
    std::fs::write(path("args.toml"), args).unwrap();
    let run = fedwasm(&["local", "--plan"]).arg(plan()).arg("--data").arg(path("ward.csv"));
    run.arg("--args").arg(path("args.toml")).arg("--out").arg(path("out")).ok();
    let scored = evaluate(&path("out"), &path("ward.csv")).ok().result();
    let table = cells(&predict(&path("out"), &path("new.csv")).ok().stdout);
    assert_eq!(table[0], ["row", "predicted", "probability_benign", "probability_malignant"]);
    let truth = cells(&ward_rows(true));
    let pairs = table[1..].iter().zip(&truth[1..]);
    let right = pairs.filter(|(said, truth)| said[1] == truth[2]).count();
    let accuracy = right as f64 / 240.0;
    assert_eq!(scored["metrics"]["accuracy"], json!(accuracy));
    assert!(accuracy > 0.8, "{accuracy}");
    // A ward that the rule does not know.
    std::fs::write(path("other.csv"), "age,ward\n3,D\n").unwrap();
    let ended = predict(&path("out"), &path("other.csv")).run();
    assert!(ended.code == 2 && ended.stderr.contains("`D`"), "{}", ended.stderr);
    let export = fedwasm(&["model", "export"]).arg(path("out")).arg("--onnx");
    let ended = export.arg(path("model.onnx")).run();
    assert!(ended.stderr.contains("rules of columns (`[data.columns]`)"), "{}", ended.stderr);
}
