//! Aggregators in real federations, on data that differ between nodes.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Edit, Federation, data, root};

/// Writes the rows of digits.csv whose label is `2 n` or `2 n + 1`.
fn two_labels(dir: &Path, n: usize) -> PathBuf {
    let text = std::fs::read_to_string(data("digits.csv")).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let wanted = [2 * n, 2 * n + 1].map(|label| label.to_string());
    let is_wanted = |line: &&str| wanted.iter().any(|label| line.rsplit(',').next() == Some(label));
    let rows: Vec<&str> = std::iter::once(header).chain(lines.filter(is_wanted)).collect();
    let path = dir.join(format!("labels-{n}.csv"));
    std::fs::write(&path, rows.join("\n") + "\n").unwrap();
    path
}

/// Five nodes with two labels each.
fn federation() -> Federation {
    let mut federation = Federation::start();
    for n in 0..5 {
        let file = two_labels(federation.dir.path(), n);
        federation.node(&format!("n{n}"), &file);
    }
    federation
}

/// Runs rounds and returns the accuracy after each on the held-out rows of all
/// nodes, after checking it and the last parameters against PyTorch
/// (tests/oracles/federation_torch.py).
fn run_like_torch(
    federation: &Federation,
    case: &str,
    change: impl Fn(String) -> String,
) -> Vec<f64> {
    let experiment = federation.experiment(|text| {
        let text = text.edit("\"benign\"", "\"digit\"").edit("n_classes = 2", "n_classes = 10");
        let text = text.edit("lr = 0.1", "lr = 0.05").edit("test_ratio = 0.2", "test_ratio = 0.25");
        change(text)
    });
    let ended = federation.run(&experiment).ok();
    let rounds = ended.events().into_iter().filter(|event| event["event"] == "round");
    let curve: Vec<f64> =
        rounds.map(|round: Value| round["metrics"]["accuracy"].as_f64().unwrap()).collect();

    let expected = std::fs::read_to_string(root().join("tests/data/federation_torch.json"));
    let expected: Value = serde_json::from_str(&expected.unwrap()).unwrap();
    let expected = &expected[case];
    let numbers = |value: &Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    };
    for (got, expected) in curve.iter().zip(numbers(&expected["accuracy"])) {
        assert!((got - expected).abs() < 1e-12, "{case}: {got} {expected}");
    }
    let params = std::fs::read(federation.dir.path().join("out/params.safetensors")).unwrap();
    let params = fedwasm_params::from_safetensors(&params).unwrap();
    let weights = &expected["weights"][curve.len().to_string()];
    for name in ["weight", "bias"] {
        let got = params.tensor(&format!("linear.{name}")).unwrap().floats().unwrap();
        for (got, expected) in got.iter().zip(numbers(&weights[name])) {
            assert!((got - expected).abs() < 2e-6, "{case}, {name}: {got} {expected}");
        }
        let norm = got.iter().map(|value| value * value).sum::<f64>().sqrt();
        let expected = weights[format!("{name}_norm")].as_f64().unwrap();
        assert!((norm / expected - 1.0).abs() < 2e-6, "{case}, {name}: {norm} {expected}");
    }
    curve
}

#[test]
fn scaffold_beats_fedavg_where_nodes_have_two_labels_each() {
    let federation = federation();
    let curve = |case: &str, aggregator: &str| {
        run_like_torch(&federation, case, |text| {
            let text = text.edit("rounds = 2", "rounds = 20").edit("epochs = 1", "epochs = 5");
            text + &format!("[aggregator]\n{aggregator}\n")
        })
    };
    let fedavg = curve("fedavg", "name = \"fedavg\"");
    let fedprox = curve("fedprox", "name = \"fedprox\"\nmu = 0.1");
    let scaffold = curve("scaffold", "name = \"scaffold\"");
    println!("fedavg   {fedavg:.4?}\nfedprox  {fedprox:.4?}\nscaffold {scaffold:.4?}");
    assert_eq!((fedavg.len(), scaffold.len(), fedprox.len()), (20, 20, 20));
    assert!(scaffold[19] >= fedavg[19] + 0.015, "{} {}", scaffold[19], fedavg[19]);
    // In every round after the first few, not at the end alone.
    assert!(scaffold[5..].iter().zip(&fedavg[5..]).all(|(s, f)| s > f));
}

#[test]
fn momentum_goes_on_at_the_nodes_as_in_pytorch() {
    let curve = run_like_torch(&federation(), "keep_state", |text| {
        let text = text.edit("rounds = 2", "rounds = 3");
        text.edit("lr = 0.05", "lr = 0.05, momentum = 0.9, keep_state = true")
    });
    assert_eq!(curve.len(), 3);
}
