//! The shipped plan whose layers are an argument.

use fedwasm_artifact::traced::{NEWEST, splice};
use fedwasm_graph::encode;
use fedwasm_protocol::Digest;

use crate::support::{Edit, Federation, data, fedwasm, part, root};

#[path = "../../plugins/graph/examples/sequential.rs"]
#[expect(dead_code, reason = "its main function is for the example")]
mod example;

/// `FEDWASM_BLESS=1` writes it.
#[test]
fn shipped_sequential_plan_is_its_graph_in_the_shipped_runtime() {
    let path = root().join("plugins/dist/sequential.wasm");
    let bytes = splice(NEWEST, &encode(&example::graph())).unwrap();
    if std::env::var_os("FEDWASM_BLESS").is_some() {
        std::fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(Digest::of(&bytes), Digest::of(&std::fs::read(path).unwrap()));
}

/// A network and a convolutional one from the same component, by an argument; a layer that is not
/// one is named.
#[test]
fn layers_of_the_sequential_plan_are_an_argument() {
    let dir = tempfile::tempdir().unwrap();
    let plan = root().join("plugins/dist/sequential.wasm");
    let run = |layers: &str| {
        let args = dir.path().join("args.toml");
        let text = format!(
            "[data]\ntarget = \"digit\"\n[training]\nepochs = 5\ntest_ratio = 0.25\n\
             loader_args = {{ batch_size = 32 }}\noptimizer_args = {{ lr = 0.05 }}\n\
             [model]\nlayers = [{layers}]\n"
        );
        std::fs::write(&args, text).unwrap();
        let job = fedwasm(&["--json", "local", "--seed", "3", "--plan"]).arg(&plan);
        job.arg("--data").arg(data("digits.csv")).arg("--args").arg(&args)
    };
    let accuracy =
        |layers: &str| run(layers).ok().result()["metrics"]["accuracy"].as_f64().unwrap();
    let dense = "\"linear 16\", \"relu\", \"linear outputs\"";
    assert!(accuracy(dense) > 0.8);
    let windows = "\"reshape 1 8 8\", \"conv 8 3\", \"relu\", \"max_pool 2\", \"flatten\", \
                   \"linear outputs\"";
    assert!(accuracy(windows) > 0.8);
    let ended = run("\"linear 16\", \"lineer outputs\"").run();
    let told = "layer 1, `lineer outputs`: no layer has this name";
    assert!(ended.code != 0 && ended.stderr.contains(told), "{}", ended.stderr);
}

/// A plan whose layers are an argument is approved once, with bounds on what they may be.
#[test]
fn family_of_models_is_approved_once() {
    let mut federation = Federation::start();
    let dir = federation.dir.path().to_owned();
    federation.node("n", &part(&dir, 0, 4));
    let plan = root().join("plugins/dist/sequential.wasm");
    let approve = fedwasm(&["node", "plan", "approve"]).arg(dir.join("n")).arg(&plan);
    let layers = "model.layers=linear 1..32,linear outputs,relu,dropout 0..0.5";
    approve.args(&["--bound", layers, "--bound", "model.layers<=4"]).ok();
    let run = |layers: &str| {
        let experiment = federation.experiment(|text| {
            let own = format!("{:?}", crate::support::plan().display().to_string());
            let text = text.edit(&own, &format!("{:?}", plan.display().to_string()));
            let text = text.edit("min_nodes = 2", "min_nodes = 1").edit("rounds = 2", "rounds = 1");
            text.edit("n_classes = 2", &format!("n_classes = 2\nlayers = [{layers}]"))
        });
        let ended = federation.run(&experiment).run();
        (ended.code, ended.stderr)
    };
    let deep = r#""linear 32", "relu", "dropout 0.25", "linear outputs""#;
    for layers in [r#""linear outputs""#, deep] {
        let (code, text) = run(layers);
        assert_eq!(code, 0, "{text}");
    }
    for (layers, refused) in [
        (r#""linear 33", "linear outputs""#, "approved here with model.layers=linear 1..32"),
        (r#""linear 8", "tanh", "linear outputs""#, "approved here with model.layers=linear 1..32"),
        (&format!("{deep}, \"relu\""), "approved here with model.layers<=4 only"),
    ] {
        let (code, text) = run(layers);
        assert!(code == 3 && text.contains(refused), "{layers}: {text}");
    }
}
