//! Data of every kind, through the binary.

use std::path::Path;

use serde_json::Value;

use crate::support::{Federation, Fedwasm, data, fedwasm, plan, root};

fn written(name: &str) -> std::path::PathBuf {
    root().join("tests/data/datasets").join(name)
}

fn local(plan: &Path, file: &Path) -> Fedwasm {
    fedwasm(&["--json", "local", "--seed", "1", "--plan"]).arg(plan).arg("--data").arg(file)
}

fn digest(result: &Value) -> String {
    result["params_sha256"].as_str().unwrap().to_owned()
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
fn equal_numbers_give_equal_bits_from_csv_and_numpy() {
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("a.csv");
    let rows = (0..5).map(|row| format!("{},{},{}\n", 3 * row, 3 * row + 1, 3 * row + 2));
    std::fs::write(&csv, format!("0,1,2\n{}", rows.collect::<String>())).unwrap();
    let plan = root().join("plugins/dist/linear-regression.wasm");
    let train = |file: &Path| digest(&local(&plan, file).args(&["--target", "2"]).ok().result());
    for name in ["table-f8.npy", "table-i2.npy", "table-fortran.npy", "table-f4-big-endian.npy"] {
        assert_eq!(train(&written(name)), train(&csv), "{name}");
    }
}

#[test]
fn folders_of_images_and_archives_are_trained_on() {
    let dir = tempfile::tempdir().unwrap();
    let args = dir.path().join("args.toml");
    std::fs::write(&args, "[training]\nepochs = 1\ntest_ratio = 0.0\n").unwrap();
    let archive = written("arrays-compressed.npz");
    for (file, target, n_train) in [
        (written("colours"), None, 5),
        (written("grey"), None, 3),
        (archive.clone(), Some("label"), 4),
    ] {
        let command = local(&plan(), &file).arg("--args").arg(&args);
        let command = match target {
            Some(target) => command.args(&["--target", target]),
            None => command,
        };
        assert_eq!(command.ok().result()["n_train"], n_train, "{}", file.display());
    }
    let ended = local(&plan(), &archive).run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("no target; name the column"), "{}", ended.stderr);
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
