//! The shipped plans on real data: their weights against PyTorch's, and how well they do.

use serde_json::Value;

use crate::support::{fedwasm, root};

/// Trains a shipped plan for one epoch and compares all parameters with PyTorch's, to which
/// `tests/oracles/plans_torch.py` gave the same initial values and the same batches.
fn is_like_torch(plan: &str, data: &str, target: &str, args: &str) {
    let expected = std::fs::read_to_string(root().join("tests/data/plans_torch.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("args.toml");
    let text = format!("[training]\nepochs = 1\ntest_ratio = 0.2\nrandom_seed = 42\n{args}\n");
    std::fs::write(&file, text).unwrap();
    let component = root().join("plugins/dist").join(plan).with_extension("wasm");
    let command = fedwasm(&["local", "--target", target]).arg("--plan").arg(component);
    let command = command.arg("--data").arg(root().join("examples/data").join(data));
    command.arg("--args").arg(&file).arg("--out").arg(dir.path().join("out")).ok();
    let params = std::fs::read(dir.path().join("out/params.safetensors")).unwrap();
    let params = fedwasm_params::from_safetensors(&params).unwrap();
    let of_plan = expected[plan].as_object().unwrap();
    assert_eq!(params.iter().count(), of_plan.len());
    for (name, expected) in of_plan {
        let got = params.tensor(name).unwrap().floats().unwrap();
        let stride = (got.len() / 1000).max(1);
        let elements = expected["elements"].as_array().unwrap();
        assert_eq!(got.iter().step_by(stride).count(), elements.len());
        for (got, expected) in got.iter().step_by(stride).zip(elements) {
            let expected = expected.as_f64().unwrap();
            let tolerance = 1e-4 * expected.abs().max(1.0);
            assert!((got - expected).abs() < tolerance, "{plan}, {name}: {got} {expected}");
        }
        let norm = got.iter().map(|value| value * value).sum::<f64>().sqrt();
        let expected = expected["norm"].as_f64().unwrap();
        assert!((norm / expected - 1.0).abs() < 1e-4, "{plan}, {name}: {norm} {expected}");
    }
}

#[test]
fn one_epoch_of_tables_gives_the_weights_of_pytorch() {
    let batch = "loader_args = { batch_size = 32 }\noptimizer_args";
    let args = format!("{batch} = {{ lr = 0.1 }}");
    is_like_torch("logistic-regression", "breast_cancer.csv", "benign", &args);
    let args = format!("{batch} = {{ lr = 0.01 }}");
    is_like_torch("linear-regression", "diabetes.csv", "progression", &args);
    let args = format!("{batch} = {{ lr = 0.05 }}");
    is_like_torch("linear-svm", "breast_cancer.csv", "benign", &args);
}

/// Mean scores over five folds.
fn five_folds(plan: &str, data: &str, target: &str, args: &str) -> (Value, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("args.toml");
    std::fs::write(&file, args).unwrap();
    let component = root().join("plugins/dist").join(plan).with_extension("wasm");
    let command = fedwasm(&["--json", "local", "--target", target]).arg("--plan").arg(component);
    let command = command.arg("--data").arg(root().join("examples/data").join(data));
    let command = command.args(&["--seed", "1", "--folds", "5"]).arg("--args").arg(&file);
    let result = command.arg("--out").arg(dir.path().join("out")).ok().result();
    (result["metrics"].clone(), dir)
}

#[test]
fn tables_are_learned_as_well_as_scikit_learn_does() {
    // scikit-learn 1.9: 0.979 with its own folds.
    let args = "[training]\nepochs = 30\noptimizer_args = { lr = 0.1 }";
    let (scores, _) = five_folds("logistic-regression", "breast_cancer.csv", "benign", args);
    assert!(scores["accuracy"].as_f64().unwrap() >= 0.96, "{scores}");
    let args = "[training]\nepochs = 20\noptimizer_args = { lr = 0.05, momentum = 0.9 }\n\
                [model]\nhidden = 32";
    let (scores, _) = five_folds("mlp", "digits.csv", "digit", args);
    assert!(scores["accuracy"].as_f64().unwrap() >= 0.95, "{scores}");
    let args = "[training]\nepochs = 30\noptimizer_args = { lr = 0.02 }";
    let (scores, _) = five_folds("linear-svm", "breast_cancer.csv", "benign", args);
    assert!(scores["accuracy"].as_f64().unwrap() >= 0.96, "{scores}");
}

#[test]
fn diabetes_is_explained_as_far_as_a_line_can() {
    let args = "[training]\nepochs = 60\noptimizer_args = { lr = 0.01 }";
    let (_, dir) = five_folds("linear-regression", "diabetes.csv", "progression", args);
    let text = std::fs::read_to_string(root().join("examples/data/diabetes.csv")).unwrap();
    let last = |line: &str| line.rsplit(',').next().unwrap().parse::<f64>().unwrap();
    let targets: Vec<f64> = text.lines().skip(1).map(last).collect();
    let mut sum = 0.0;
    for index in 1..=5 {
        let fold = fedwasm_training::Fold { index, count: 5 };
        let (_, held_out) = fold.split(targets.len(), 1).unwrap();
        let values: Vec<f64> = held_out.iter().map(|row| targets[*row]).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / values.len() as f64;
        let out = dir.path().join(format!("out/fold-{index}"));
        let history = fedwasm_researcher::load_history(&out).unwrap();
        let metrics = &history.rounds[0].evaluation.as_ref().unwrap().metrics;
        sum += 1.0 - metrics["mean_square_error"] / variance;
    }
    // scikit-learn 1.9, ordinary least squares: 0.48 with its own folds.
    assert!(sum / 5.0 >= 0.45, "{}", sum / 5.0);
}

const MNIST: &str = "mnist10k/train-images-idx3-ubyte.gz";

#[test]
fn one_epoch_of_images_gives_the_weights_of_pytorch() {
    let batch = "loader_args = { batch_size = 64 }\noptimizer_args";
    let more = "momentum = 0.5, nesterov = true, weight_decay = 0.0001";
    is_like_torch("mlp", MNIST, "label", &format!("{batch} = {{ lr = 0.1, {more} }}"));
    is_like_torch("cnn", MNIST, "label", &format!("{batch} = {{ lr = 0.05 }}"));
}

/// Trains on the 8,000 images and scores on the 2,000 others.
fn mnist(plan: &str, epochs: u32, lr: f64) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("args.toml"), dir.path().join("out"));
    let text = format!(
        "[training]\nepochs = {epochs}\ntest_ratio = 0.0\nloader_args = {{ batch_size = 64 }}\n\
         optimizer_args = {{ lr = {lr} }}"
    );
    std::fs::write(&file, text).unwrap();
    let component = root().join("plugins/dist").join(plan).with_extension("wasm");
    let images = root().join("examples/data").join(MNIST);
    let command = fedwasm(&["local", "--target", "label", "--seed", "1"]).arg("--plan");
    let command = command.arg(&component).arg("--data").arg(images);
    command.arg("--args").arg(&file).arg("--out").arg(&out).ok();
    let command = fedwasm(&["--json", "evaluate", "--target", "label", "--plan"]).arg(component);
    let others = root().join("examples/data/mnist10k/t10k-images-idx3-ubyte.gz");
    let command = command.arg("--data").arg(others).arg("--params");
    let command = command.arg(out.join("params.safetensors")).arg("--preprocessing");
    let result = command.arg(out.join("preprocessing.json")).ok().result();
    result["metrics"]["accuracy"].as_f64().unwrap()
}

#[test]
fn images_are_learned() {
    let accuracy = mnist("mlp", 5, 0.1);
    assert!(accuracy >= 0.91, "{accuracy}");
    let accuracy = mnist("cnn", 10, 0.05);
    assert!(accuracy >= 0.95, "{accuracy}");
}
