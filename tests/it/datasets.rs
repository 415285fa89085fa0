//! Data of every kind, through the binary.

use std::path::Path;

use serde_json::Value;

use crate::support::{Federation, Fedwasm, data, fedwasm, guest, plan, root};

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
fn params(out: &Path, name: &str) -> Vec<f64> {
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
    assert!(ended.stderr.contains("no target; name the column"), "{}", ended.stderr);
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
    // What the plan takes can be looked up, as far as it is known.
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
            "the input `image`; the plan takes the inputs `inputs`, `picture`",
        ),
        (", picture = 'image'", "", "no field is meant for `picture`"),
        ("['i8', 'u8']", "['i8']", "takes 2 values as input `inputs`, the dataset gives 1"),
        ("second = 'f64'", "second = ['f64', 'i8']", "i8"),
    ] {
        std::fs::write(&args, data.replace(from, to) + training).unwrap();
        let ended = run(&dir.path().join("bad")).run();
        assert!(ended.code != 0 && ended.stderr.contains(words), "{to}: {}", ended.stderr);
    }
}

/// A table of three whole blocks and a part of one, as a node and a local run read it.
#[test]
fn what_is_larger_than_memory_is_read_in_blocks() {
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
fn federation_trains_on_images() {
    let mut federation = Federation::start();
    for id in ["a", "b"] {
        federation.node_of(id, &data("mnist10k"), "idx");
    }
    let change = |text: String| {
        text.replace("\"benign\"", "\"label\"").replace("n_classes = 2", "n_classes = 10")
    };
    let result = federation.run(&federation.experiment(change)).ok().result();
    assert!(result["metrics"]["accuracy"].as_f64().unwrap() > 0.85, "{result}");
}
