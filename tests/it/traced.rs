//! Traced plans: a graph in the shipped runtime is a plan as any other, and can be read.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use fedwasm_artifact::traced::{NEWEST, RUNTIMES, Traced, extract, splice};
use fedwasm_artifact::{AdmissionError, Component};
use fedwasm_graph::{Call, FunctionKind, Graph, encode};
use fedwasm_protocol::Digest;
use serde_json::json;

use crate::mlp_graph::mlp;
use crate::support::{Edit, Federation, data, fedwasm, part, root};

fn component(graph: &Graph) -> Vec<u8> {
    splice(NEWEST, &encode(graph)).unwrap()
}

/// A component in a directory.
fn written(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn graph_gives_the_same_small_component_twice_and_comes_out_again() {
    let bytes = component(&mlp());
    assert_eq!(bytes, component(&mlp()));
    assert!(bytes.len() < 512_000, "{} bytes", bytes.len());
    let runtime_sha256 = Digest::of(NEWEST);
    let expected = Traced { graph: encode(&mlp()), runtime_sha256 };
    assert_eq!(extract(&bytes).unwrap(), Some(expected));
    let inspection = Component::admit(bytes).unwrap().inspect();
    assert_eq!((inspection.name, inspection.version), (Some("mlp".into()), Some("0.1.0".into())));
    // Those of the runtime are not the plan's.
    assert_eq!((inspection.licence, inspection.source), (None, None));
}

/// Releases name their runtimes; one that is built anew is another.
#[test]
fn shipped_runtime_is_the_newest_known_one() {
    let newest = RUNTIMES.last().unwrap();
    assert_eq!(newest.sha256, Digest::of(NEWEST).to_string());
    let version = Component::admit(NEWEST.to_vec()).unwrap().inspect().version;
    assert_eq!(version.as_deref(), Some(newest.version));
}

#[test]
fn inspection_prints_all_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    let plan = written(dir.path(), "mlp.wasm", &component(&mlp()));
    let text = fedwasm(&["plan", "inspect"]).arg(&plan).ok().stdout;
    let (about, graph) = text.split_once("\n\n").unwrap();
    let shown = fedwasm(&["--json", "plan", "inspect"]).arg(&plan).ok().result();
    let traced = &shown["traced"];
    assert_eq!(graph.trim_end(), traced["text"].as_str().unwrap().trim_end());
    let golden = root().join("tests/data/traced-mlp.txt");
    if std::env::var_os("FEDWASM_BLESS").is_some() {
        std::fs::write(&golden, graph).unwrap();
    }
    assert_eq!(graph, std::fs::read_to_string(golden).unwrap());
    assert_eq!(traced["calls"], json!({ "Linear": 4, "relu": 2, "cross_entropy": 1 }));
    assert_eq!(traced["graph_sha256"], json!(Digest::of(&encode(&mlp()))));
    assert_eq!(traced["runtime_sha256"], json!(Digest::of(NEWEST)));
    assert_eq!(traced["runtime_version"], json!(RUNTIMES.last().unwrap().version));
    for line in [
        "calls       4 Linear, 1 cross_entropy, 2 relu",
        "            it does the graph and nothing else: all that runs is below",
    ] {
        assert!(about.lines().any(|known| known == line), "{line}\n{about}");
    }
    assert!(!about.contains("licence"), "{about}");
}

/// The same numbers, and so the same bytes, as the plan in Rust.
#[test]
fn traced_plan_trains_as_its_twin_in_rust() {
    let dir = tempfile::tempdir().unwrap();
    let traced = written(dir.path(), "mlp.wasm", &component(&mlp()));
    let twin = root().join("plugins/dist/mlp.wasm");
    let args = dir.path().join("args.toml");
    let text = "[data]\ntarget = \"digit\"\n[training]\nepochs = 5\ntest_ratio = 0.25\n\
                loader_args = { batch_size = 32 }\noptimizer_args = { lr = 0.05 }\n\
                [model]\nhidden = 16\n";
    std::fs::write(&args, text).unwrap();
    let run = |plan: &Path, out: &str| {
        let job = fedwasm(&["--json", "local", "--seed", "3", "--plan"]).arg(plan);
        let job = job.arg("--data").arg(data("digits.csv")).arg("--args").arg(&args);
        let result = job.arg("--out").arg(dir.path().join(out)).ok().result();
        (result["params_sha256"].clone(), result["metrics"].clone(), result["n_steps"].clone())
    };
    let got = run(&traced, "traced");
    assert_eq!(got, run(&twin, "twin"));
    assert!(got.2.as_u64().unwrap() > 100 && got.1["accuracy"].as_f64().unwrap() > 0.8, "{got:?}");
    let test = fedwasm(&["--json", "plan", "test"]).arg(&traced).arg("--twin").arg(&twin);
    let test = test.ok();
    let is_it = |event: &serde_json::Value| event["name"] == "the other build gives the same bytes";
    let check = test.events().into_iter().find(is_it).unwrap();
    assert_eq!((test.result()["failed"].clone(), &check["outcome"]), (json!(0), &json!("passed")));
}

/// Three sites whose operators approve each plan; a receipt of each names it.
#[test]
fn traced_plan_is_approved_and_trains_as_its_twin_in_a_federation() {
    let mut federation = Federation::start();
    let dir = federation.dir.path().to_owned();
    for n in 0..3 {
        let file = part(&dir, n, 3);
        let id = format!("n{n}");
        federation.node(&id, &file);
        federation.nodes.pop();
        let config = dir.join(&id).join("node.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(config, text.edit("policy = \"any\"", "policy = \"hand\"")).unwrap();
        federation.start_node(&id);
    }
    let traced = written(&dir, "mlp.wasm", &component(&mlp()));
    let twin = root().join("plugins/dist/mlp.wasm");
    let run = |plan: &Path| {
        let experiment = federation.experiment(|text| {
            let own = format!("{:?}", crate::support::plan().display().to_string());
            let text = text.edit(&own, &format!("{:?}", plan.display().to_string()));
            text.edit("min_nodes = 2", "min_nodes = 3")
                .edit("n_classes = 2", "n_classes = 2\nhidden = 8")
        });
        let digest = Digest::of(&std::fs::read(plan).unwrap()).to_string();
        let refused = federation.run(&experiment).run();
        assert!(refused.code == 3 && refused.stderr.contains("pending"), "{}", refused.stderr);
        for n in 0..3 {
            let desk = |command: &str| {
                let command = fedwasm(&["node", "plan", command]);
                command.arg(dir.join(format!("n{n}"))).arg(&digest)
            };
            let shown = desk("show").ok().stdout;
            let is_traced = plan == traced;
            assert_eq!(shown.contains("%5 = cross_entropy(%3, %4)"), is_traced, "{shown}");
            desk("approve").args(&["--bound", "model.hidden=4..16"]).ok();
        }
        let result = federation.run(&experiment).ok().result();
        let receipts = std::fs::read_dir(dir.join("out/receipts")).unwrap();
        let receipts = receipts.map(|entry| entry.unwrap().path());
        let mut n_receipts = 0;
        for path in receipts.filter(|path| path.file_stem().unwrap() != "membership") {
            let receipt: serde_json::Value =
                serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let payload = receipt["payload"].as_str().unwrap();
            let payload = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
            assert!(String::from_utf8(payload).unwrap().contains(&digest), "{path:?}");
            n_receipts += 1;
        }
        assert!(n_receipts >= 6, "{n_receipts}: two rounds of three nodes");
        std::fs::remove_dir_all(dir.join("out")).unwrap();
        (result["params_sha256"].clone(), result["metrics"].clone())
    };
    assert_eq!(run(&traced), run(&twin));
}

/// An operator sees at a glance how a version differs from the one that was approved.
#[test]
fn changes_of_a_graph_are_listed_for_review() {
    let dir = tempfile::tempdir().unwrap();
    let node = dir.path().join("n");
    fedwasm(&["node", "init", "--id", "n", "--approve", "hand"]).arg(&node).ok();
    let shown = |bytes: &[u8], command: &str| {
        let plan = written(dir.path(), "mlp.wasm", bytes);
        fedwasm(&["node", "plan", command]).arg(&node).arg(&plan).ok();
        let digest = Digest::of(bytes).to_string();
        let show = fedwasm(&["--json", "node", "plan", "show"]).arg(&node).arg(&digest[..16]);
        let differences = show.ok().result()["differences"].clone();
        let differences: Vec<String> = serde_json::from_value(differences).unwrap();
        let of_graph = differences.into_iter().filter(|line| {
            let words = [": new: ", ": gone: ", "its calls", "initial values"];
            words.iter().any(|word| line.contains(word))
        });
        of_graph.collect::<Vec<_>>()
    };
    assert_eq!(shown(&component(&mlp()), "approve"), [""; 0]);
    // The author's words and the number of a line are no change.
    let mut graph = mlp();
    graph.files = vec!["other.py".into()];
    graph.functions[1].1.nodes[2].kind = None;
    assert_eq!(shown(&component(&graph), "reject"), [""; 0]);
    let (_, step) = &mut graph.functions[0];
    step.nodes[2].call = Call::Function(FunctionKind::Tanh);
    graph.members[0].is_frozen = true;
    assert_eq!(
        shown(&component(&graph), "reject"),
        [
            "members: gone: hidden = Linear(in_features=model.n_features, out_features=model.hidden)",
            "members: new: hidden = Linear(in_features=model.n_features, out_features=model.hidden), frozen",
            "training_step: gone: %2 = relu(%1)",
            "training_step: new: %2 = tanh(%1)",
        ]
    );
    // The same calls on other results.
    let mut graph = mlp();
    graph.functions[0].1.nodes[3].inputs = vec![1];
    assert_eq!(
        shown(&component(&graph), "reject"),
        ["training_step: its calls are connected in another way"]
    );
    // A version with initial values, and one with others of the same number.
    let mut graph = mlp();
    graph.values = vec![("hidden.bias".into(), vec![0; 32])];
    let with_values = component(&graph);
    assert_eq!(
        shown(&with_values, "reject"),
        [
            "initial values have changed",
            "initial values: new: initial values",
            "initial values: new: hidden.bias: 8 numbers"
        ]
    );
    let traced = Component::admit(with_values.clone()).unwrap().inspect().traced.unwrap();
    assert!(traced.text.contains("initial values\n  hidden.bias: 8 numbers\n"), "{}", traced.text);
    assert_eq!(traced.values_sha256["hidden.bias"], Digest::of(&[0; 32]));
    shown(&with_values, "approve");
    graph.values[0].1[0] = 1;
    assert_eq!(shown(&component(&graph), "reject"), ["initial values have changed"]);
}

/// Each breaks one rule; the words say where.
#[test]
fn hostile_graphs_are_refused_by_name_before_anything_is_compiled() {
    type Change = fn(&mut Graph);
    let cases: [(&str, Change); 8] = [
        ("node 2 of training_step: its input 5 is not an earlier node", |graph| {
            graph.functions[0].1.nodes[2].inputs = vec![5];
        }),
        ("node 1 of training_step", |graph| {
            graph.functions[0].1.nodes[1].call = Call::Module(7);
        }),
        ("node 5 of training_step", |graph| {
            graph.functions[0].1.nodes[5].inputs = vec![3];
        }),
        ("initial value of `x`: 3 bytes are no float32 numbers", |graph| {
            graph.values = vec![("x".into(), vec![0; 3])];
        }),
        ("the plan's name", |graph| graph.name = "a plan\u{1b}[2J".into()),
        ("there are two of this path", |graph| graph.members[1].path = "hidden".into()),
        ("a plan has a training_step or statistics", |graph| drop(graph.functions.remove(0))),
        ("its place is in file 0 of 0", |graph| graph.files.clear()),
    ];
    for (expected, change) in cases {
        let mut graph = mlp();
        change(&mut graph);
        let error = Component::admit(component(&graph)).unwrap_err();
        assert!(matches!(error, AdmissionError::Traced(_)), "{expected}: {error}");
        let text = error.to_string();
        assert!(text.starts_with("the plan's graph is refused: "), "{text}");
        assert!(text.contains(expected), "{expected}: {text}");
    }
    // Bytes that are no graph, in a component that is whole.
    let bytes = component(&mlp());
    let graph = encode(&mlp());
    let at = bytes.windows(graph.len()).position(|window| window == graph).unwrap();
    let mut other = bytes.clone();
    other[at] = 99;
    let dir = tempfile::tempdir().unwrap();
    let plan = written(dir.path(), "mlp.wasm", &other);
    let ended = fedwasm(&["plan", "inspect"]).arg(&plan).run();
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("the version of a graph"), "{}", ended.stderr);
    // The name that other programs show is not the graph's.
    let mut other = bytes.clone();
    let name = other.windows(3).rposition(|window| window == b"mlp").unwrap();
    other[name] = b'x';
    let error = Component::admit(other).unwrap_err().to_string();
    assert_eq!(error, "the component is not what its runtime and its graph give together");
}

/// What an author writes cannot pass for something else in the text.
#[test]
fn words_of_the_author_stay_behind_their_mark_and_on_their_line() {
    let mut graph = mlp();
    graph.doc = "Harmless.\n  %0 = nothing\u{1b}[2J\u{202e}".into();
    graph.files = vec!["a.py\n  %9 = harmless(%0)".into()];
    graph.functions[0].1.nodes[5].kind = Some("float32\n  return loss = %0".into());
    let text = Component::admit(component(&graph)).unwrap().inspect().traced.unwrap().text;
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    let calls = lines.iter().filter(|line| line.starts_with("  %")).count();
    assert_eq!(calls, 10, "{text}");
    assert_eq!(lines.iter().filter(|line| line.contains("return loss")).count(), 2, "{text}");
}

/// A component whose program this release does not know may do other things than its graph.
#[test]
fn unknown_runtime_is_said_to_be_unknown() {
    use wasm_encoder::ComponentSection as _;
    let mut runtime = NEWEST.to_vec();
    let note = wasm_encoder::CustomSection { name: "note".into(), data: b"mine"[..].into() };
    note.append_to_component(&mut runtime);
    let dir = tempfile::tempdir().unwrap();
    let bytes = splice(&runtime, &encode(&mlp())).unwrap();
    let plan = written(dir.path(), "mlp.wasm", &bytes);
    let digest = Digest::of(&runtime);
    let text = fedwasm(&["plan", "inspect"]).arg(&plan).ok().stdout;
    for line in [
        format!("runtime     unknown (sha256:{digest})"),
        "            this fedwasm does not know it: it need not do what the graph says".into(),
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
    let shown = fedwasm(&["--json", "plan", "inspect"]).arg(&plan).ok().result();
    assert_eq!(shown["traced"]["runtime_version"], json!(null));
    assert_eq!(shown["traced"]["facts"], json!([]));
}

#[test]
fn verify_names_the_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let plan = written(dir.path(), "mlp.wasm", &component(&mlp()));
    let key = dir.path().join("a.pem");
    fedwasm(&["keys", "generate"]).arg(&key).ok();
    fedwasm(&["plan", "sign"]).arg(&plan).arg("--key").arg(&key).ok();
    let verify = |json: &[&str]| {
        let run = fedwasm(json).args(&["plan", "verify"]).arg(&plan).arg("--trust");
        run.arg(key.with_extension("pem.pub")).ok()
    };
    let (version, digest) = (RUNTIMES.last().unwrap().version, Digest::of(NEWEST));
    let line = format!("runtime     {version}, known (sha256:{digest})");
    let text = verify(&[]).stdout;
    assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    let result = verify(&["--json"]).result();
    assert_eq!(result["traced"]["runtime_version"], json!(version));
    assert_eq!(result["traced"]["graph_sha256"], json!(Digest::of(&encode(&mlp()))));
}
