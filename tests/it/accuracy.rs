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
