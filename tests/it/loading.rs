//! How rows are loaded, through the binary: names of a site, changed rows, weights of classes and
//! rows drawn by class.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Edit, Federation, Fedwasm, fedwasm, plan, root};

/// 120 rows of 24 patients, named by texts; a quarter are of class 1.
fn hospital(dir: &Path, name: &str, header: &str) -> PathBuf {
    let row = |n: u32| {
        let (patient, day) = (n * 7 % 24, n * 37 % 120);
        let (a, b, y) = (n % 11, n * n % 13, u32::from(n.is_multiple_of(4)));
        format!("P-{patient:02},{day},{a},{b},{y}\n")
    };
    let path = dir.join(name);
    std::fs::write(&path, format!("{header}\n{}", (0..120).map(row).collect::<String>())).unwrap();
    path
}

const OF_ALL: &str = "patient,day,age,dose,ill";
const OWN: &str = "Patient,Tag,Alter,Dosis,krank";
const RENAMES: [&str; 10] = [
    "--rename",
    "Patient=patient",
    "--rename",
    "Tag=day",
    "--rename",
    "Alter=age",
    "--rename",
    "Dosis=dose",
    "--rename",
    "krank=ill",
];

fn local(plan: &Path, dir: &Path, file: &Path, args: &str) -> Fedwasm {
    let path = dir.join("args.toml");
    std::fs::write(&path, args).unwrap();
    let command = fedwasm(&["--json", "local", "--seed", "3", "--plan"]).arg(plan).arg("--data");
    command.arg(file).arg("--args").arg(path)
}

fn sha256(command: Fedwasm) -> Value {
    command.ok().result()["params_sha256"].clone()
}

#[test]
fn a_file_with_its_own_names_is_the_file_with_those_of_all() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (own, of_all) = (hospital(dir, "own.csv", OWN), hospital(dir, "all.csv", OF_ALL));
    let splits = ["\"stratified\"", "{ group = \"patient\" }", "{ time = \"day\" }"];
    for split in splits {
        let args = format!(
            "[data]\ntarget = \"ill\"\ninputs = [\"age\", \"dose\"]\nsplit = {split}\n\
             [data.columns]\nage = {{ kind = \"number\", scale = \"min-max\" }}\n\
             [training]\nepochs = 1\ntest_ratio = 0.25"
        );
        let ours = || local(&plan(), dir, &own, &args).args(&RENAMES);
        let theirs = || local(&plan(), dir, &of_all, &args);
        assert_eq!(sha256(ours()), sha256(theirs()), "{split}");
        let folds = |command: Fedwasm| command.args(&["--folds", "4"]).ok().result();
        assert_eq!(folds(ours())["table"], folds(theirs())["table"], "{split}");
        let plain = local(&plan(), dir, &own, &args).run();
        assert!(plain.stderr.contains("there is no column"), "{}", plain.stderr);
    }
    // A file of names, and both together.
    let names = dir.join("names.toml");
    std::fs::write(&names, "Alter = \"age\"\nDosis = \"dose\"\nkrank = \"ill\"\n").unwrap();
    let describe = fedwasm(&["--json", "data", "describe"]).arg(&own);
    let described = describe.arg("--renames").arg(&names).args(&["--rename", "Tag=day"]).ok();
    let columns = described.result()["columns"].clone();
    let columns: Vec<&str> =
        columns.as_array().unwrap().iter().filter_map(|column| column["name"].as_str()).collect();
    assert_eq!(columns, ["Patient", "day", "age", "dose", "ill"]);
    let args = dir.join("args.toml");
    let check = fedwasm(&["data", "check"]).arg(&own).arg("--args").arg(&args);
    check.args(&RENAMES).ok();
    for (flags, expected) in [
        (&["--rename", "Altr=age"][..], "there is no column `Altr`; did you mean `Alter`?"),
        (&["--rename", "Alter=Dosis"], "`Alter` is renamed to `Dosis`, which is there already"),
        (&["--rename", "Alter=x", "--rename", "Dosis=x"], "are both renamed to `x`"),
        (&["--rename", "Alter"], "--rename Alter: write OLD=NEW"),
        (&["--rename", "Alter=x", "--rename", "Alter=y"], "another new name is given, too"),
    ] {
        let ended = local(&plan(), dir, &own, "[data]\ntarget = \"ill\"\n").args(flags).run();
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

fn verify(federation: &Federation, receipt: &str, node: &str) -> crate::support::Ended {
    let receipt = federation.dir.path().join("out/receipts").join(receipt);
    let command = fedwasm(&["--json", "verify"]).arg(receipt);
    command.arg("--data").arg(federation.dir.path().join(node)).run()
}

#[test]
fn a_site_maps_its_names_and_receipts_hold_the_map() {
    let mut federation = Federation::start();
    let dir = federation.dir.path().to_owned();
    let (own, of_all) = (hospital(&dir, "own.csv", OWN), hospital(&dir, "all.csv", OF_ALL));
    federation.node("all", &of_all);
    let repository = federation.repository.clone();
    federation.node_that("own", &own, &RENAMES, &repository);
    let list = fedwasm(&["node", "dataset", "list"]).arg(dir.join("own")).ok();
    assert!(list.stdout.contains("d has Alter as age, Dosis as dose,"), "{}", list.stdout);
    let change = |text: String| {
        text.edit("rounds = 2", "rounds = 1\nkeep_uploads = true")
            .edit("target = \"benign\"", "target = \"ill\"\nsplit = { group = \"patient\" }")
            .edit("[training]", "inputs = [\"age\", \"dose\"]\n[training]")
            .edit(
                "[model]\nn_classes = 2\n",
                "[model]\nn_classes = 2\nclass_weights = \"balanced\"\n",
            )
    };
    federation.run(&federation.experiment(change)).ok();
    // Equal rows, seeds and names: equal parameters.
    let params = ["all", "own"].map(|node| {
        let again = verify(&federation, &format!("round-0001-{node}-train.json"), node);
        assert_eq!(again.code, 0, "{}", again.stderr);
        again.result()["receipt"]["result"]["params"]["sha256"].clone()
    });
    assert!(params[0].is_string() && params[0] == params[1], "{params:?}");
    // A refresh keeps the names; with other names it is not the run any more.
    let refresh = fedwasm(&["--json", "node", "dataset", "refresh", "--name", "d"]);
    let now = refresh.arg(dir.join("own")).ok().result();
    assert_eq!(now["columns"], serde_json::json!(["patient", "day", "age", "dose", "ill"]));
    assert_eq!(now["renames"]["Alter"], "age");
    let registry = dir.join("own/datasets.json");
    let text = std::fs::read_to_string(&registry).unwrap();
    let swapped = text.edit("\"Alter\": \"age\"", "\"Alter\": \"dose\"");
    let swapped = swapped.edit("\"Dosis\": \"dose\"", "\"Dosis\": \"age\"");
    std::fs::write(&registry, swapped).unwrap();
    let again = verify(&federation, "round-0001-own-train.json", "own");
    assert_ne!(again.code, 0);
    assert!(again.stderr.contains("dataset: "), "{}", again.stderr);
}

/// 40 pictures of 16 x 16: a bright upper or lower half. Images and labels as MNIST's.
fn pictures(dir: &Path) -> PathBuf {
    let n = 40u32;
    let mut images = vec![0, 0, 8, 3];
    [n, 16, 16].iter().for_each(|length| images.extend(length.to_be_bytes()));
    let mut labels = vec![0, 0, 8, 1];
    labels.extend(n.to_be_bytes());
    for picture in 0..n {
        let class = picture % 2;
        labels.push(class as u8);
        let pixel = |at: u32| {
            let bright = (at / 128 == class) as u32;
            (100 * bright + (at * 31 + picture * 17) % 97) as u8
        };
        images.extend((0..256).map(pixel));
    }
    std::fs::write(dir.join("train-images-idx3-ubyte"), images).unwrap();
    std::fs::write(dir.join("train-labels-idx1-ubyte"), labels).unwrap();
    dir.to_owned()
}

const CHANGES: &str = "[data.augment]\nflip = [\"width\"]\ncrop = 2\nnoise = 0.1\n\
                       intensity = { scale = [0.8, 1.2], shift = [-0.1, 0.1] }\n";

#[test]
fn training_rows_are_changed_by_the_seed_and_held_out_rows_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let data = pictures(dir);
    let cnn = root().join("plugins/dist/cnn.wasm");
    let args = |lr: f64, changes: &str| {
        format!(
            "[data]\ntarget = \"label\"\n{changes}[training]\nepochs = 2\ntest_ratio = 0.25\n\
             loader_args = {{ batch_size = 7 }}\noptimizer_args = {{ lr = {lr} }}\n\
             [model]\nsize = 16\nfilters1 = 2\nfilters2 = 2\n"
        )
    };
    let run = |lr: f64, changes: &str| local(&cnn, dir, &data, &args(lr, changes)).ok().result();
    let changed = run(0.1, CHANGES)["params_sha256"].clone();
    assert_eq!(changed, run(0.1, CHANGES)["params_sha256"]);
    assert_ne!(changed, run(0.1, "")["params_sha256"]);
    // Next to nothing is learned at this rate, so scores tell of the held-out rows alone.
    assert_eq!(run(1e-30, CHANGES)["metrics"], run(1e-30, "")["metrics"]);
    for (changes, expected) in [
        ("[data.augment]\nfields = [\"label\"]\ncrop = 1\n", "`label` is not an input of this run"),
        ("[data.augment]\nflip = [\"depth\"]\n", "has no depth to flip"),
        ("[data.augment]\nflp = [\"width\"]\n", "did you mean `flip`?"),
    ] {
        let ended = local(&cnn, dir, &data, &args(0.1, changes)).run();
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

#[test]
fn a_node_changes_rows_as_it_was_asked_and_does_so_again() {
    let mut federation = Federation::start();
    let dir = federation.dir.path().to_owned();
    let folder = dir.join("pictures");
    std::fs::create_dir(&folder).unwrap();
    pictures(&folder);
    for node in ["n0", "n1"] {
        federation.node_of(node, &folder, "idx");
    }
    let cnn = root().join("plugins/dist/cnn.wasm").display().to_string();
    let own = plan().display().to_string();
    let change = |text: String| {
        let text = text.edit(&own, &cnn).edit("target = \"benign\"", "target = \"label\"");
        let text = text.edit("[training]", &format!("{CHANGES}[training]"));
        text.edit("n_classes = 2", "n_classes = 2\nsize = 16\nfilters1 = 2\nfilters2 = 2")
            .edit("test_ratio = 0.2", "test_ratio = 0.25")
            .edit("batch_size = 32 ", "batch_size = 16, sampling = \"balanced\" ")
    };
    federation.run(&federation.experiment(change)).ok();
    let receipt = "round-0002-n0-train.json";
    let again = verify(&federation, receipt, "n0");
    assert_eq!(again.code, 0, "{}", again.stderr);
    let receipt = std::fs::read_to_string(dir.join("out/receipts").join(receipt)).unwrap();
    let signed: Value = serde_json::from_str(&receipt).unwrap();
    use base64::Engine as _;
    let payload = signed["payload"].as_str().unwrap();
    let payload = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    assert!(payload.contains("\"augment\":{") && payload.contains("\"sampling\":\"balanced\""));
}

#[test]
fn classes_get_weights_or_are_drawn_alike() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let file = hospital(dir, "all.csv", OF_ALL);
    let args = |data: &str, loader: &str, model: &str| {
        format!(
            "[data]\ntarget = \"ill\"\ninputs = [\"age\", \"dose\"]\n{data}[training]\nepochs = 3\n\
             test_ratio = 0.0\nloader_args = {{ batch_size = 8 {loader}}}\n[model]\n{model}\n"
        )
    };
    let run =
        |loader: &str, model: &str| sha256(local(&plan(), dir, &file, &args("", loader, model)));
    // 90 rows of class 0 and 30 of class 1: n / (k * count) = 120 / 180 and 120 / 60.
    let balanced = run("", "class_weights = \"balanced\"");
    assert_eq!(balanced, run("", "class_weights = [0.6666666666666666, 2.0]"));
    assert_ne!(balanced, run("", ""));
    let drawn = run(", sampling = \"balanced\"", "");
    assert_eq!(drawn, run(", sampling = \"balanced\"", ""));
    assert!(drawn != run("", "") && drawn != balanced);
    // Rare cases are found: with weights or draws the model says "ill" more often.
    let recall = |loader: &str, model: &str| {
        let args = args("split = \"stratified\"\n", loader, model)
            .edit("epochs = 3", "epochs = 20")
            .edit("test_ratio = 0.0", "test_ratio = 0.25");
        local(&plan(), dir, &file, &args).ok().result()["metrics"]["recall"].as_f64().unwrap()
    };
    let plain = recall("", "");
    assert!(recall("", "class_weights = \"balanced\"") > plain);
    assert!(recall(", sampling = \"balanced\"", "") > plain);
    // Where they cannot be, by name.
    let regression = root().join("plugins/dist/linear-regression.wasm");
    let large = dir.join("large.csv");
    let rows: String = (0..40_000).map(|n| format!("{},{},{}\n", n % 7, n % 5, n % 2)).collect();
    std::fs::write(&large, format!("age,dose,ill\n{rows}")).unwrap();
    let small = "memory_mib = 1\nstandardize = \"none\"\n";
    let logistic = plan();
    for (plan, file, data, loader, model, expected) in [
        (
            &regression,
            &file,
            "",
            "",
            "class_weights = [1.0, 2.0]",
            "`model.class_weights` is unknown",
        ),
        (
            &regression,
            &file,
            "",
            ", sampling = \"balanced\"",
            "",
            "`sampling = \"balanced\"` draws rows by class, but the target is not one column of",
        ),
        (&logistic, &large, small, ", sampling = \"balanced\"", "", "raise `memory_mib` of [data]"),
        (
            &logistic,
            &large,
            small,
            "",
            "class_weights = \"balanced\"",
            "`class_weights = \"balanced\"` counts the training rows of each class, but the dataset",
        ),
        (&logistic, &file, "", "", "class_weights = [1.0]", "has 1 weights: expected 2"),
        (&logistic, &file, "", "", "class_weights = \"even\"", "`model.class_weights` is"),
    ] {
        let ended = local(plan, dir, file, &args(data, loader, model)).run();
        assert_ne!(ended.code, 0, "{expected}");
        assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
    }
}
