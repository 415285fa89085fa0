//! Models as ONNX.

use crate::model_dir::{shipped, trained};
use crate::support::{data, fedwasm, root};

/// onnxruntime runs these files in tests/oracles/onnx_run.py, which writes them.
#[test]
fn onnx_files_are_those_that_onnxruntime_ran() {
    for (name, target) in [("logistic-regression", "benign"), ("linear-regression", "mean_radius")]
    {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let args = "[training]\nepochs = 1\nrandom_seed = 1\ntest_ratio = 0.2\n\
                    loader_args = { batch_size = 16 }";
        std::fs::write(path("args.toml"), args).unwrap();
        let run =
            fedwasm(&["local", "--target", target, "--plan"]).arg(shipped(name)).arg("--data");
        let run = run.arg(data("breast_cancer.csv")).arg("--args").arg(path("args.toml"));
        run.arg("--out").arg(path("out")).ok();
        let export = fedwasm(&["model", "export"]).arg(path("out")).arg("--onnx");
        export.arg(path("model.onnx")).ok();
        let pinned = std::fs::read(root().join(format!("tests/data/onnx/{name}.onnx"))).unwrap();
        assert!(std::fs::read(path("model.onnx")).unwrap() == pinned, "{name}");
    }
}

#[test]
fn plans_that_onnx_does_not_cover_are_refused_by_name() {
    let trained = trained(&shipped("linear-svm"), "benign");
    let export = fedwasm(&["model", "export"]).arg(trained.out()).arg("--onnx");
    let ended = export.arg(trained.dir.path().join("model.onnx")).run();
    let expected = "the plan linear-svm cannot be exported to ONNX, which does not cover a component \
                    that holds no graph";
    assert!(ended.code == 2 && ended.stderr.contains(expected), "{}", ended.stderr);
}
