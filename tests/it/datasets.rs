//! Data of every kind, through the binary.

use std::path::Path;

use serde_json::Value;

use crate::support::{Edit, Federation, Fedwasm, data, fedwasm, guest, part, plan, root};

fn written(name: &str) -> std::path::PathBuf {
    root().join("tests/data/datasets").join(name)
}

fn local(plan: &Path, file: &Path) -> Fedwasm {
    fedwasm(&["--json", "local", "--seed", "1", "--plan"]).arg(plan).arg("--data").arg(file)
}

fn digest(result: &Value) -> String {
    result["params_sha256"].as_str().unwrap().to_owned()
}

/// The parameters of a run, by name.
pub fn params(out: &Path, name: &str) -> Vec<f64> {
    let bytes = std::fs::read(out.join("params.safetensors")).unwrap();
    let params = fedwasm_params::from_safetensors(&bytes).unwrap();
    params.tensor(name).unwrap().floats().unwrap()
}

#[test]
fn mnist_is_learned_as_images_and_as_vectors() {
    let dir = tempfile::tempdir().unwrap();
    let args = dir.path().join("args.toml");
    let text = "[training]\nepochs = 1\nloader_args = { batch_size = 64 }\n\
                optimizer_args = { lr = 0.1 }\ntest_ratio = 0.0\n";
    std::fs::write(&args, text).unwrap();
    for (name, least) in [("logistic-regression", 0.88), ("cnn", 0.92)] {
        let plan = root().join("plugins/dist").join(name).with_extension("wasm");
        let out = dir.path().join(name);
        let command = local(&plan, &data("mnist10k")).arg("--args").arg(&args);
        let result = command.arg("--out").arg(&out).ok().result();
        assert_eq!(result["n_train"], 8_000);
        let scales = std::fs::read_to_string(out.join("preprocessing.json")).unwrap();
        let scales: Value = serde_json::from_str(&scales).unwrap();
        let [image] = &scales["columns"].as_array().unwrap()[..] else { panic!("{scales}") };
        // numpy: (images / 255).mean(), .std()
        assert!((image["mean"].as_f64().unwrap() - 0.130_975_256_977_902).abs() < 1e-9, "{image}");
        assert!((image["std"].as_f64().unwrap() - 0.308_513_085_271_869).abs() < 1e-9, "{image}");
        let held_out = data("mnist10k/t10k-images-idx3-ubyte.gz");
        let scored = fedwasm(&["--json", "evaluate", "--plan"]).arg(&plan).arg("--params");
        let scored = scored.arg(out.join("params.mpk")).arg("--data").arg(held_out).ok().result();
        assert!(scored["metrics"]["accuracy"].as_f64().unwrap() > least, "{name}: {scored}");
    }
}

#[test]
fn equal_numbers_give_equal_bits_from_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let rows: Value =
        serde_json::from_str(&std::fs::read_to_string(written("rows.json")).unwrap()).unwrap();
    let cells = |name: &str| rows["columns"][name].as_array().unwrap().clone();
    let csv = dir.path().join("a.csv");
    let lines = cells("f64").into_iter().zip(cells("i16")).zip(cells("f32"));
    let lines = lines.map(|((a, b), c)| format!("{a},{b},{c}\n")).collect::<String>();
    std::fs::write(&csv, "f64,i16,f32\n".to_owned() + &lines).unwrap();
    let args = dir.path().join("args.toml");
    let text = "[data]\ninputs = ['f64', 'i16']\ntarget = 'f32'\n";
    std::fs::write(&args, text).unwrap();
    let plan = root().join("plugins/dist/linear-regression.wasm");
    let train = |file: &Path| digest(&local(&plan, file).arg("--args").arg(&args).ok().result());
    for name in ["none.parquet", "snappy.parquet", "gzip.parquet", "stored.npz", "deflated.npz"] {
        assert_eq!(train(&written(name)), train(&csv), "{name}");
    }
    // The columns of a table have numbers instead of names.
    let twice = cells("f32").into_iter().map(|v| format!("{v},{}\n", 2.0 * v.as_f64().unwrap()));
    std::fs::write(&csv, "0,1\n".to_owned() + &twice.collect::<String>()).unwrap();
    let train = |file: &Path| digest(&local(&plan, file).args(&["--target", "1"]).ok().result());
    for name in ["little.npy", "columns.npy"] {
        assert_eq!(train(&written(name)), train(&csv), "{name}");
    }
}

#[test]
fn folders_of_images_and_archives_are_trained_on() {
    let dir = tempfile::tempdir().unwrap();
    let args = dir.path().join("args.toml");
    std::fs::write(&args, "[training]\nepochs = 1\ntest_ratio = 0.0\n").unwrap();
    let train = |file: &Path| local(&plan(), file).arg("--args").arg(&args);
    assert_eq!(train(&written("images")).ok().result()["n_train"], 8);
    let archive = written("deflated.npz");
    assert_eq!(train(&archive).args(&["--target", "label"]).ok().result()["n_train"], 8);
    let ended = train(&archive).run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("the target is missing; name the column"), "{}", ended.stderr);
    let ended = train(&archive).args(&["--target", "labl", "--type", "npz"]).run();
    assert!(ended.stderr.contains("did you mean `label`?"), "{}", ended.stderr);
    let ended = train(&archive).args(&["--type", "parquet"]).run();
    assert_ne!(ended.code, 0);
}

// One step of all rows from zero: each weight is the mean of input times target, times the
// learning rate.
#[test]
fn plans_get_several_inputs_and_targets() {
    let dir = tempfile::tempdir().unwrap();
    let (args, out) = (dir.path().join("args.toml"), dir.path().join("out"));
    let data = "[data]\nstandardize = false\ninputs = { inputs = ['i8', 'u8'], picture = 'image' }\n\
                target = { targets = ['f32'], second = 'f64' }\n";
    let training = "[training]\nepochs = 1\ntest_ratio = 0.0\noptimizer_args = { lr = 0.001 }\n\
                    [model]\nn_numbers = 2\n";
    std::fs::write(&args, data.to_owned() + training).unwrap();
    let plan = guest("several");
    // `plan inspect` lists the inputs of the plan, as far as they are known.
    let inspect = || fedwasm(&["plan", "inspect"]).arg(&plan);
    let unknown = inspect().ok().stdout;
    assert!(unknown.contains("`model.n_numbers` is missing") && unknown.contains("arguments"));
    let known = inspect().arg("--args").arg(&args).ok().stdout;
    for line in ["input inputs: float32 [2] a row", "target second: float32 [1] a row"] {
        assert!(known.contains(line), "{known}");
    }
    let run = |out: &Path| {
        local(&plan, &written("stored.npz")).arg("--args").arg(&args).arg("--out").arg(out)
    };
    run(&out).ok();
    let rows: Value =
        serde_json::from_str(&std::fs::read_to_string(written("rows.json")).unwrap()).unwrap();
    let list = |value: &Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let column = |name: &str| list(&rows["columns"][name]);
    let pixels = list(&rows["pixels"]);
    let close = |got: f64, inputs: &[f64], targets: &[f64]| {
        let sum: f64 = inputs.iter().zip(targets).map(|(input, target)| input * target).sum();
        let expected = 0.001 * sum / targets.len() as f64;
        assert!((got - expected).abs() < 1e-6 * expected.abs().max(1e-3), "{got} {expected}");
    };
    for (got, name) in params(&out, "of_numbers").into_iter().zip(["i8", "u8"]) {
        close(got, &column(name), &column("f32"));
    }
    for (at, got) in params(&out, "of_picture").into_iter().enumerate() {
        let pixels: Vec<f64> =
            pixels.iter().skip(at).step_by(12).map(|pixel| pixel / 255.0).collect();
        close(got, &pixels, &column("f64"));
    }
    // Both targets are scored, and mistakes are told.
    let scored = fedwasm(&["--json", "evaluate", "--plan"]).arg(&plan).arg("--args").arg(&args);
    let scored = scored.arg("--params").arg(out.join("params.mpk")).arg("--data");
    let scored = scored.arg(written("stored.npz")).ok().result();
    for metric in ["mean_square_error_1", "mean_square_error_2"] {
        assert!(scored["metrics"][metric].is_number(), "{scored}");
    }
    for (from, to, words) in [
        (
            "picture = 'image'",
            "image = 'image'",
            "the input `image`, but the plan takes the inputs `inputs`, `picture`",
        ),
        (", picture = 'image'", "", "no field is selected for `picture`"),
        ("['i8', 'u8']", "['i8']", "takes 2 values a row as input `inputs`, the dataset gives 1"),
        ("second = 'f64'", "second = ['f64', 'i8']", "i8"),
    ] {
        std::fs::write(&args, data.edit(from, to) + training).unwrap();
        let ended = run(&dir.path().join("bad")).run();
        assert!(ended.code != 0 && ended.stderr.contains(words), "{to}: {}", ended.stderr);
    }
}

/// A table of three whole blocks and a part of one, as a node and a local run read it.
#[test]
fn data_larger_than_memory_are_read_in_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let (csv, args) = (dir.path().join("big.csv"), dir.path().join("args.toml"));
    let mut text = "a,b,y\n".to_owned();
    for row in 0..200_000_u64 {
        let (a, b) = (row.wrapping_mul(2_654_435_761) % 1_000, row * row % 997);
        text += &format!("{a},{b},{}\n", (3 * a) as f64 - 0.5 * b as f64);
    }
    std::fs::write(&csv, text).unwrap();
    let write = |memory: &str, training: &str| {
        let text = format!(
            "[data]\ntarget = 'y'\n{memory}\n[training]\n{training}\ntest_ratio = 0.25\n\
             loader_args = {{ batch_size = 1000 }}\noptimizer_args = {{ lr = 0.1 }}\n"
        );
        std::fs::write(&args, text).unwrap();
    };
    let plan = root().join("plugins/dist/linear-regression.wasm");
    let run = || local(&plan, &csv).arg("--args").arg(&args);
    write("memory_mib = 1", "epochs = 2");
    let whole = run().ok().result();
    assert_eq!((&whole["n_train"], &whole["n_test"]), (&150_000.into(), &50_000.into()));
    assert!(whole["metrics"]["explained_variance"].as_f64().unwrap() > 0.99, "{whole}");
    assert_eq!(digest(&run().ok().result()), digest(&whole));
    // A break between blocks, and folds.
    let out = dir.path().join("out");
    write("memory_mib = 1", "num_updates = 77");
    run().arg("--out").arg(&out).ok();
    write("memory_mib = 1", "num_updates = 300");
    let resumed = run().arg("--out").arg(&out).arg("--resume").ok().result();
    assert_eq!(digest(&resumed), digest(&whole));
    write("memory_mib = 1", "epochs = 2");
    let folds = run().args(&["--folds", "3"]).ok();
    let held_out: u64 = folds.events().iter().filter_map(|event| event["n_test"].as_u64()).sum();
    assert_eq!(held_out, 200_000, "{:?}", folds.events());
    // The order of rows is another one, what is learned is not.
    write("", "epochs = 2");
    let kept = run().ok().result();
    assert_ne!(digest(&kept), digest(&whole));
    assert_eq!(kept["n_test"], 50_000);
}

#[test]
fn suspicious_labels_and_index_columns_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("d.csv");
    let rows = |first: u32| (0..60).map(move |n| format!("{},{}\n", n % 13, n % 2 + first));
    let run = |text: String| {
        std::fs::write(&csv, text).unwrap();
        local(&plan(), &csv).args(&["--target", "y"]).run()
    };
    let good = run("a,y\n".to_owned() + &rows(0).collect::<String>());
    assert!(good.code == 0 && !good.stderr.contains("warning"), "{}", good.stderr);
    let slip = run("a,y\n".to_owned() + &rows(1).collect::<String>());
    let words = "warning: no row is of class 0, and the largest class is 2";
    assert!(slip.code == 0 && slip.stderr.contains(words), "{}", slip.stderr);
    let headless = run(rows(0).collect());
    assert!(headless.code == 2, "{}", headless.stderr);
    assert!(headless.stderr.contains("the first line holds only numbers"), "{}", headless.stderr);
    let indexed = local(&plan(), &written("pandas_index.parquet")).args(&["--target", "y"]);
    let ended = indexed.run();
    assert!(ended.code == 2 && ended.stderr.contains("is an index that pandas wrote"));
    let args = dir.path().join("args.toml");
    let text = "[data]\ntarget = 'y'\ninputs = ['__index_level_0__', 'i32']\n\
                [training]\nepochs = 1\ntest_ratio = 0\n";
    std::fs::write(&args, text).unwrap();
    local(&plan(), &written("pandas_index.parquet")).arg("--args").arg(&args).ok();
    let text = "[data]\ntarget = 'y'\ninputs = ['y', 'i32']\n[training]\nepochs = 1\n";
    std::fs::write(&args, text).unwrap();
    let twice = local(&plan(), &written("pandas_index.parquet")).arg("--args").arg(&args).run();
    assert!(twice.code == 2 && twice.stderr.contains("has `y`, which is the target"));
}

/// The rule is one, with a file and without.
#[test]
fn a_fifth_of_the_rows_is_held_out_by_default() {
    let dir = tempfile::tempdir().unwrap();
    let args = dir.path().join("args.toml");
    let file = data("breast_cancer.csv");
    let rows = |text: Option<&str>| {
        let command = local(&plan(), &file).args(&["--target", "benign"]);
        let command = match text {
            Some(text) => {
                std::fs::write(&args, text).unwrap();
                command.arg("--args").arg(&args)
            }
            None => command,
        };
        let result = command.ok().result();
        (result["n_train"].as_u64().unwrap(), result["n_test"].as_u64().unwrap())
    };
    for text in [None, Some("[training]\nepochs = 1"), Some("[model]\nn_classes = 2")] {
        assert_eq!(rows(text), (456, 113), "{text:?}");
    }
    assert_eq!(rows(Some("[training]\nepochs = 1\ntest_ratio = 0")), (569, 0));
}

/// A file that grows is named at the next request, and can be registered again.
#[test]
fn a_changed_dataset_is_reported_and_refreshed() {
    let mut federation = Federation::start();
    let files: Vec<_> = [0, 1].map(|n| part(federation.dir.path(), n, 2)).into();
    for (id, file) in ["a", "b"].iter().zip(&files) {
        federation.node(id, file);
    }
    let run = |out: &str| {
        let experiment = federation.experiment(|text| text.edit("min_nodes = 2", "min_nodes = 1"));
        let command = fedwasm(&["--json", "experiment", "run"]).arg(experiment);
        command.arg("--out").arg(federation.dir.path().join(out)).ok()
    };
    assert_eq!(run("before").result()["nodes"], serde_json::json!(["a", "b"]));
    let begun = |rounds: u32, rest: &[&str]| {
        let experiment = federation.experiment(|text| {
            text.edit("min_nodes = 2", "min_nodes = 1")
                .edit("rounds = 2", &format!("rounds = {rounds}\nsave_breakpoints = true"))
        });
        let command = fedwasm(&["--json", "experiment", "run"]).arg(experiment).args(rest);
        command.arg("--out").arg(federation.dir.path().join("begun")).ok()
    };
    begun(1, &[]);
    let text = std::fs::read_to_string(&files[0]).unwrap();
    let more: String = text.lines().skip(1).take(3).map(|line| format!("{line}\n")).collect();
    std::fs::write(&files[0], text + &more).unwrap();
    let ended = run("grown");
    let events = ended.events();
    let dropped = events.iter().find(|event| event["event"] == "dropped").unwrap();
    let reason = dropped["reason"].as_str().unwrap();
    let words = "dataset d changed since it was registered: it had 285 rows and now has 288";
    assert!(dropped["node"] == "a" && reason.contains(words), "{dropped}");
    assert!(reason.contains("`fedwasm node dataset refresh DIR --name d`"), "{dropped}");
    federation.nodes[0].wait_for_log(words);
    let dir = federation.dir.path().join("a");
    let refreshed = fedwasm(&["--json", "node", "dataset", "refresh", "--name", "d"]).arg(&dir);
    let refreshed = refreshed.ok().result();
    assert_eq!((&refreshed["rows_before"], &refreshed["rows"]), (&285.into(), &288.into()));
    // An experiment that had begun goes on without it: other rows would be held out.
    let ended = begun(2, &["--resume"]);
    assert_eq!(ended.result()["nodes"], serde_json::json!(["b"]), "{}", ended.stdout);
    assert!(ended.stdout.contains("its data changed since experiment"), "{}", ended.stdout);
    let after = run("after");
    assert_eq!(after.result()["nodes"], serde_json::json!(["a", "b"]), "{}", after.stdout);
    fedwasm(&["node", "dataset", "remove", "--name", "d"]).arg(&dir).ok();
    let log = fedwasm(&["--json", "node", "log"]).arg(&dir).ok().stdout;
    for kind in ["dataset-added", "dataset-refreshed", "dataset-removed", "refused"] {
        assert!(log.contains(kind), "{kind}: {log}");
    }
    assert!(log.contains(words), "{log}");
    fedwasm(&["node", "log", "--check"]).arg(&dir).ok();
    // Of experiments only rows are compared, and the output says so.
    let compare = |a: &str, b: &str| {
        let of = |out: &str| federation.dir.path().join(out);
        fedwasm(&["compare"]).arg(of(a)).arg(of(b)).ok().stdout
    };
    let text = compare("before", "after");
    assert!(text.contains("rows of a ") && text.contains("228 trained on, 57 scored"), "{text}");
    assert!(text.contains("not compared: data"), "{text}");
    assert!(!text.contains("the same"), "{text}");
    let same = compare("before", "before");
    assert!(same.contains("the same plan, start, seed, arguments, rows\n"), "{same}");
}

/// Terminal, report and `compare` show the same numbers of a round.
#[test]
fn training_losses_are_weighted_by_rows_everywhere() {
    let mut federation = Federation::start();
    for (id, start, step) in [("a", 0, 8), ("b", 1, 2)] {
        let file = part(federation.dir.path(), start, step);
        federation.node(id, &file);
    }
    let experiment = federation.experiment(|text| text);
    let out = federation.dir.path().join("out");
    let run = fedwasm(&["experiment", "run"]).arg(&experiment).arg("--out").arg(&out).ok().stdout;
    let shown = fedwasm(&["experiment", "show"]).arg(&out).ok().stdout;
    for record in &fedwasm_researcher::load_history(&out).unwrap().rounds {
        let nodes: Vec<_> = record.nodes.values().collect();
        let (rows, losses) = (
            nodes.iter().map(|node| node.n_samples as f64).collect::<Vec<_>>(),
            nodes.iter().map(|node| node.train_loss.unwrap()).collect::<Vec<_>>(),
        );
        let weighted = (rows[0] * losses[0] + rows[1] * losses[1]) / (rows[0] + rows[1]);
        let plain = f64::midpoint(losses[0], losses[1]);
        assert_ne!(format!("{weighted:.4}"), format!("{plain:.4}"));
        for text in [&run, &shown] {
            let expected = format!("training loss {weighted:.4}");
            assert!(text.contains(&expected), "{expected}: {text}");
        }
    }
}

/// 20,000 columns: their names do not fit into a message, and do not hide other datasets.
#[test]
fn wide_tables_are_found_and_trained_on() {
    let mut federation = Federation::start();
    let names: Vec<String> = (0..20_000).map(|n| format!("gene_{n}")).collect();
    let mut text = format!("{},y\n", names.join(","));
    for row in 0..60u64 {
        let cells = (0..20_000u64).map(|n| ((row * 7_919 + n * 104_729) % 10).to_string());
        text += &format!("{},{}\n", cells.collect::<Vec<_>>().join(","), row % 2);
    }
    let wide = federation.dir.path().join("wide.csv");
    std::fs::write(&wide, text).unwrap();
    for id in ["a", "b"] {
        federation.node(id, &wide);
    }
    let narrow = fedwasm(&["node", "dataset", "add", "--name", "narrow", "--tags", "n", "--path"]);
    narrow.arg(data("breast_cancer.csv")).arg(federation.dir.path().join("a")).ok();
    let nodes = fedwasm(&["--json", "nodes", "--mqtt", &federation.mqtt, "--repository"]);
    let nodes = nodes.arg(&federation.repository).ok().result();
    let datasets = nodes["nodes"][0]["datasets"].as_array().unwrap();
    let columns = |at: usize| datasets[at]["columns"].as_array().unwrap().len();
    assert_eq!((datasets.len(), columns(0), columns(1)), (2, 20_001, 31), "{}", nodes["nodes"][1]);
    let change = |text: String| {
        let text = text.edit("\"benign\"", "\"y\"").edit("[model]\nn_classes = 2\n", "");
        text.edit("rounds = 2", "rounds = 2\nkeep_uploads = true") + "[model]\nn_classes = 2\n"
    };
    let ended = federation.run(&federation.experiment(change)).ok();
    assert_eq!(ended.result()["nodes"], serde_json::json!(["a", "b"]), "{}", ended.stdout);
    let out = federation.dir.path().join("out");
    assert_eq!(params(&out, "linear.weight").len(), 40_000);
    fedwasm(&["experiment", "verify"]).arg(&out).ok();
    // At the site, the round can be run again: the names are kept with its other inputs.
    let receipts =
        std::fs::read_dir(out.join("receipts")).unwrap().map(|entry| entry.unwrap().path());
    let receipt = receipts.into_iter().find(|path| path.to_string_lossy().contains("-a")).unwrap();
    let again =
        fedwasm(&["verify"]).arg(receipt).arg("--data").arg(federation.dir.path().join("a"));
    let text = again.ok().stdout;
    for line in ["\nended      20", "\nseed       42\n", "\ntraining   {", "\nmodel      {"] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn federation_trains_on_images() {
    let mut federation = Federation::start();
    for id in ["a", "b"] {
        federation.node_of(id, &data("mnist10k"), "idx");
    }
    let change =
        |text: String| text.edit("\"benign\"", "\"label\"").edit("n_classes = 2", "n_classes = 10");
    let result = federation.run(&federation.experiment(change)).ok().result();
    assert!(result["metrics"]["accuracy"].as_f64().unwrap() > 0.85, "{result}");
}
