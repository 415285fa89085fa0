//! Experiments as a user of Fed-BioMed's `Experiment` and `Job` knows them: what may be given,
//! changed, left out and looked at, and what is recorded of it.

use std::path::{Path, PathBuf};

use fedwasm_params::{DType, Params, Tensor, from_safetensors, to_safetensors};
use fedwasm_protocol::{
    ApprovalStatus, Body, Digest, Mode, Reason, Refusal, SearchReply, Value as V,
};
use fedwasm_record::{verify_experiment, verify_with};
use fedwasm_researcher::{
    AggregateError, Aggregator, Breakpoint, Error, Event, Experiment, ExperimentFile,
    ExperimentOptions, History, Samples, load_history, load_plan,
};
use serde_json::{Value, json};

use crate::fake::{Fake, Spy, columns, usual};
use crate::secure_node::secure;
use crate::support::{Edit, Ended, Federation, data, event, fedwasm, part, plan, root, workers};

fn federation(n: usize) -> Federation {
    let mut federation = Federation::start();
    for node in 0..n {
        let file = part(federation.dir.path(), node, n.max(2));
        federation.node(&format!("n{node}"), &file);
    }
    federation
}

fn out(federation: &Federation) -> PathBuf {
    federation.dir.path().join("out")
}

fn history(federation: &Federation) -> History {
    load_history(&out(federation)).unwrap()
}

fn resume(federation: &Federation, experiment: &Path, flags: &[&str]) -> Ended {
    federation.to_out(experiment, "--resume").args(flags).run()
}

fn verify(federation: &Federation) -> Ended {
    fedwasm(&["experiment", "verify"]).arg(out(federation)).run()
}

/// The options of an experiment that a program starts.
fn options(file: ExperimentFile, out: Option<PathBuf>) -> ExperimentOptions {
    ExperimentOptions {
        component: load_plan(&file.plan).unwrap(),
        file,
        signatures: Vec::new(),
        sandbox: workers(),
        random_seed: 42,
        out,
        resume: false,
        change: false,
        force: false,
        params: None,
    }
}

/// Takes the update of the node with the smallest id.
#[derive(Debug, Default)]
struct First {
    first: Option<Params>,
}

impl Aggregator for First {
    fn name(&self) -> &str {
        "first"
    }

    fn begin(&mut self, _: &Params, _: &Samples) -> Result<(), AggregateError> {
        self.first = None;
        Ok(())
    }

    fn add(&mut self, _: &fedwasm_protocol::NodeId, update: &Params) -> Result<(), AggregateError> {
        self.first.get_or_insert_with(|| update.clone());
        Ok(())
    }

    fn finish(&mut self) -> Result<Params, AggregateError> {
        Ok(self.first.take().unwrap_or_default())
    }
}

#[test]
fn a_custom_aggregator_is_recorded_by_its_name() {
    let federation = federation(2);
    let experiment = federation.experiment(|text| {
        text.edit("rounds = 2", "rounds = 2\nsave_breakpoints = true\nkeep_uploads = true")
    });
    let file = ExperimentFile::read(&experiment).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (_stop, stopped) = tokio::sync::watch::channel(false);
        let options = options(file.clone(), Some(out(&federation)));
        let mut experiment =
            Experiment::start_with(options, Box::new(First::default()), stopped, &mut drop)
                .await
                .unwrap();
        experiment.run(&mut drop).await.unwrap();
        experiment.finish().await.unwrap();
    });
    assert_eq!(history(&federation).arguments["aggregator"], json!({ "own": "first" }));
    // A program without the aggregator neither accuses nor verifies.
    let ended = verify(&federation);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    for said in ["2 rounds cannot be computed again: `first`", "4 receipts and the scores agree"] {
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    let verified = verify_with(&out(&federation), Some(Box::new(First::default()))).unwrap();
    assert_eq!((verified.rounds, verified.receipts), (2, 4));
    // The command line has the file's aggregator only.
    let text = std::fs::read_to_string(&experiment).unwrap();
    std::fs::write(&experiment, text.edit("rounds = 2", "rounds = 3")).unwrap();
    let ended = resume(&federation, &experiment, &[]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    let said = "`aggregator` was \"first\" of a custom program";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    // A changed upload is still found out.
    for upload in std::fs::read_dir(out(&federation).join("uploads")).unwrap() {
        let path = upload.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    assert!(matches!(
        verify_experiment(&out(&federation)),
        Err(fedwasm_record::Error::Unverified { .. })
    ));
}

/// A demand that nodes refuse.
const NO_NOISE: &str = "epochs = 1\ndp_args = { type = \"local\", sigma = 0, clip = 1 }";

#[test]
fn a_refusal_in_the_first_round_leaves_no_breakpoint() {
    let federation = federation(2);
    let saves = |text: String| text.edit("rounds = 2", "rounds = 2\nsave_breakpoints = true");
    let refused = federation.experiment(|text| saves(text).edit("epochs = 1", NO_NOISE));
    assert_eq!(federation.run(&refused).run().code, 2);
    assert!(!out(&federation).join("breakpoints").exists());
    // The same directory serves the next one, which asks everybody anew.
    federation.run(&federation.experiment(saves)).ok();
    assert!(out(&federation).join("breakpoints/round-0002").exists());
}

#[test]
fn nodes_without_the_data_do_not_change_the_exit_code() {
    let federation = federation(1);
    let nothing = Body::SearchReply(SearchReply { datasets: Vec::new(), columns: [].into() });
    let _stranger = Fake::searched(&federation, "x", nothing);
    let run = |change: &dyn Fn(String) -> String| {
        let one = |text: String| text.edit("min_nodes = 2", "min_nodes = 1");
        federation.run(&federation.experiment(|text| change(one(text)))).run()
    };
    let ended = run(&|text| text.edit("epochs = 1", NO_NOISE));
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    // A plan that fails everywhere is the plan.
    let skeleton = std::fs::read_to_string(root().join("tests/guests/hostile/skeleton.wat"));
    let guest = std::fs::read_to_string(root().join("tests/guests/hostile/nan-parameters.wat"));
    let failing = federation.dir.path().join("failing.wasm");
    let bytes = crate::hostile::component(&skeleton.unwrap(), &guest.unwrap());
    std::fs::write(&failing, bytes).unwrap();
    let ended = run(&|text| {
        let text = text.edit(&plan().display().to_string(), failing.to_str().unwrap());
        text.edit("n_classes = 2", "").edit("{ lr = 0.1 }", "{}")
    });
    assert_eq!(ended.code, 4, "{}", ended.stderr);
    let ended = run(&|text| text);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(!ended.events().iter().any(|event| event["event"] == "dropped"), "{}", ended.stdout);
    assert_eq!(ended.result()["nodes_expected"], json!(["n0"]));
    // Without any node that has the data, the error says so.
    let ended = run(&|text| text.edit("tags = [\"t\"]", "tags = [\"absent\"]"));
    assert_eq!(ended.code, 5);
    assert!(ended.stderr.contains("n0, x: no dataset has the tags absent"), "{}", ended.stderr);
}

#[test]
fn an_unapproved_plan_is_exit_code_3() {
    let federation = Federation::start();
    let nothing = Body::SearchReply(SearchReply { datasets: Vec::new(), columns: [].into() });
    let _stranger = Fake::searched(&federation, "s", nothing);
    let rejected = ApprovalStatus::Rejected;
    let _no = Fake::node_with(&federation, "x", columns(), rejected, Box::new(|_| None));
    let experiment = federation.experiment(|text| text.edit("min_nodes = 2", ""));
    let ended = federation.run(&experiment).run();
    assert_eq!(ended.code, 3, "{}", ended.stderr);
}

#[test]
fn all_found_nodes_are_required_unless_min_nodes_is_lower() {
    let mut federation = federation(2);
    let pending = ApprovalStatus::Pending;
    let fake = Fake::node_with(&federation, "x", columns(), pending, Box::new(|_| None));
    let all = |text: String| text.edit("min_nodes = 2", "");
    let ended = federation.run(&federation.experiment(all)).run();
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    for said in ["2 of at least 3 nodes may run the plan", "`min_nodes = 2` to run without"] {
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    // An experiment that asks for fewer runs with them, and its end says so.
    let experiment = federation.experiment(|text| text);
    let ended = federation.run(&experiment).ok();
    assert_eq!(ended.result()["nodes_expected"], json!(["n0", "n1", "x"]));
    assert!(ended.result()["missing"]["x"].as_str().unwrap().contains("pending"));
    let shown = fedwasm(&["experiment", "show"]).arg(out(&federation)).ok().stdout;
    assert!(shown.contains("2 of 3 in the last round") && shown.contains("not x: the plan is"));
    drop(fake);
    // A node that is lost ends it: the other alone is not what was begun.
    let long = federation.experiment(|text| {
        all(text).edit("rounds = 2", "rounds = 50").edit("epochs = 1", "num_updates = 2000")
    });
    let running = federation.run(&long).start();
    running.wait_for(event("round"));
    drop(federation.nodes.remove(1));
    let (code, events) = running.end();
    assert_eq!(code, 5, "{events:?}");
}

#[test]
fn a_node_that_refused_is_asked_again_in_the_next_round() {
    let federation = federation(1);
    let behaviour = |request: &fedwasm_protocol::RoundRequest| {
        let reason = Reason::PlanFailed;
        let refusal = Refusal { reason, message: "it ran out of memory".into() };
        match (request.mode, request.round) {
            (Mode::Train, 1 | 3) => Some(vec![Body::Refused(refusal)]),
            _ => Some(vec![usual(request)]),
        }
    };
    let fake = Fake::node(&federation, "x", columns(), Box::new(behaviour));
    let experiment = federation.experiment(|text| {
        text.edit("rounds = 2", "rounds = 4").edit("min_nodes = 2", "min_nodes = 1")
    });
    let ended = federation.run(&experiment).ok();
    let events = ended.events();
    let of = |name: &str| -> Vec<&Value> {
        events.iter().filter(|event| event["event"] == name).collect()
    };
    let nodes: Vec<_> = of("round").iter().map(|round| round["nodes"].clone()).collect();
    let (one, both) = (json!(["n0"]), json!(["n0", "x"]));
    assert_eq!(nodes, [one.clone(), both.clone(), one, both]);
    // It is back when it has delivered, not when it is asked.
    let returned: Vec<_> = of("returned").iter().map(|event| event["round"].clone()).collect();
    assert_eq!(returned, [2, 4]);
    let asked = fake.rounds();
    assert_eq!(asked.iter().filter(|request| request.mode == Mode::Train).count(), 4);
}

#[test]
fn the_random_number_of_secure_aggregation_is_carried_as_it_is_given() {
    let federation = Federation::start();
    let _nodes = ["a", "b", "c"].map(|id| secure(&federation, id));
    let spy = Spy::start(&federation);
    let run = |random: &str| {
        spy.clear();
        let secagg = format!("[secagg]\nservkey_id = \"k\"\nbiprime_id = \"b\"\n{random}");
        federation.run(&federation.experiment(|text| text + &secagg)).ok();
        spy.rounds().pop().unwrap().secagg.unwrap().random
    };
    assert_eq!(run("random = 0.25\n"), Some(0.25));
    let drawn = run("").unwrap();
    assert!((0.0..1.0).contains(&drawn) && drawn != 0.25, "{drawn}");
}

/// The tensors of a file in float64, as scikit-learn and NumPy write them.
pub fn doubled(params: &Params, path: &Path) {
    let double = |(name, tensor): (&str, &Tensor)| {
        let bytes = tensor.floats().unwrap().into_iter().flat_map(f64::to_le_bytes).collect();
        let tensor = Tensor::new(DType::Float64, tensor.shape().to_vec(), bytes).unwrap();
        (name.to_owned(), tensor)
    };
    let params = Params::new(params.iter().map(double).collect()).unwrap();
    std::fs::write(path, to_safetensors(&params).unwrap()).unwrap();
}

#[test]
fn an_experiment_starts_from_parameters_that_are_given() {
    let federation = federation(2);
    let first = federation.run(&federation.experiment(|text| text)).ok().result();
    let trained = first["params_sha256"].as_str().unwrap().to_owned();
    let dir = federation.dir.path();
    let given = dir.join("given.mpk");
    std::fs::copy(out(&federation).join("params.mpk"), &given).unwrap();
    let safetensors = std::fs::read(out(&federation).join("params.safetensors")).unwrap();
    let params = from_safetensors(&safetensors).unwrap();
    doubled(&params, &dir.join("doubled.safetensors"));
    std::fs::remove_dir_all(out(&federation)).unwrap();
    let from = |file: &str| {
        let head = format!("rounds = 1\nsave_breakpoints = true\nparams = \"{file}\"");
        federation.experiment(|text| text.edit("rounds = 2", &head))
    };
    let spy = Spy::start(&federation);
    let mut results = Vec::new();
    for file in ["given.mpk", "doubled.safetensors"] {
        let experiment = from(file);
        results.push(federation.run(&experiment).ok().result()["params_sha256"].clone());
        let history = history(&federation);
        assert_eq!(history.initial_sha256.unwrap().to_string(), trained, "{file}");
        let digest = Digest::of(&std::fs::read(dir.join(file)).unwrap());
        assert_eq!(history.arguments["params"], json!(digest));
        assert_eq!(spy.rounds()[0].params.sha256.to_string(), trained);
        // Another file is another experiment.
        if file == "doubled.safetensors" {
            let more = std::fs::read_to_string(&experiment).unwrap();
            let more = more.edit("rounds = 1", "rounds = 2").edit(file, "given.mpk");
            std::fs::write(&experiment, more).unwrap();
            let ended = resume(&federation, &experiment, &["--change"]);
            assert_eq!(ended.code, 2, "{}", ended.stderr);
            assert!(ended.stderr.contains("`params` was"), "{}", ended.stderr);
        }
        std::fs::remove_dir_all(out(&federation)).unwrap();
    }
    assert_eq!(results[0], results[1]);
    // Parameters that do not fit are refused before training, with the file and the tensor.
    let other = Tensor::from_f32(vec![3], &[0.0; 3]).unwrap();
    let weight = params.tensor("linear.weight").unwrap().clone();
    for (tensors, expected) in [
        (
            vec![("linear.weight", weight.clone()), ("linear.bias", other.clone())],
            "tensor `linear.bias` is float32 [3], expected float32 [2]",
        ),
        (vec![("linear.weight", weight.clone())], "no tensor is called `linear.bias`"),
        (
            vec![
                ("linear.weight", weight),
                ("linear.bias", Tensor::from_f32(vec![2], &[0.0, f32::NAN]).unwrap()),
            ],
            "tensor `linear.bias` is not finite",
        ),
    ] {
        let tensors = tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor));
        let params = Params::new(tensors.collect()).unwrap();
        std::fs::write(dir.join("bad.safetensors"), to_safetensors(&params).unwrap()).unwrap();
        let ended = federation.run(&from("bad.safetensors")).run();
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
        assert!(ended.stderr.contains("bad.safetensors"), "{}", ended.stderr);
    }
    let ended = federation.run(&from("absent.mpk")).run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
}

/// The learning rates that a node was asked to train with, round after round.
fn rates(spy: &Spy) -> Vec<(u32, V)> {
    let train = spy.rounds().into_iter().filter(|request| request.mode == Mode::Train);
    train.map(|r| (r.round, r.training.optimizer_args["optimizer.lr"].clone())).collect()
}

#[test]
fn a_learning_rate_follows_its_schedule_and_receipts_say_so() {
    let federation = federation(1);
    let spy = Spy::start(&federation);
    let experiment = federation.experiment(|text| {
        let schedule = "lr_schedule = { name = \"step\", step_size = 2, gamma = 0.5 }";
        let text = text.edit("epochs = 1", &format!("epochs = 1\n{schedule}"));
        text.edit("rounds = 2", "rounds = 4\nkeep_uploads = true").edit("min_nodes = 2", "")
    });
    federation.run(&experiment).ok();
    let rate = |round, lr| (round, V::Real(lr));
    assert_eq!(rates(&spy), [rate(1, 0.1), rate(2, 0.1), rate(3, 0.05), rate(4, 0.05)]);
    // The plan reports the number that it trained with.
    for record in &history(&federation).rounds {
        let lr = record.nodes.values().next().unwrap().optimizer_args["lr"];
        let expected = if record.round < 3 { 0.1 } else { 0.05 };
        assert!((lr - expected).abs() < 1e-8, "{lr}");
    }
    assert_eq!(verify(&federation).code, 0);
    // A history that claims another schedule is not that of the receipts.
    let path = out(&federation).join("history.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.edit_all("\"step_size\": 2", "\"step_size\": 3")).unwrap();
    let ended = verify(&federation);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("another value for training arguments"), "{}", ended.stderr);
}

#[test]
fn a_plan_that_declares_round_receives_its_number() {
    let federation = federation(1);
    let guest = crate::support::guest("counts");
    let counts = |head: &str| {
        federation.experiment(|text| {
            let text = text.edit(&plan().display().to_string(), guest.to_str().unwrap());
            let text = text.edit("n_classes = 2", "").edit("min_nodes = 2", "");
            text.edit("rounds = 2", head)
        })
    };
    let head = "rounds = 3\nsave_breakpoints = true\nscore_initial = true";
    let ended = federation.run(&counts(head)).ok();
    let told: Vec<(f64, f64)> = ended
        .events()
        .iter()
        .filter(|event| event["event"] == "round" || event["event"] == "initial")
        .map(|event| {
            let told = |name: &str| event["metrics"][name].as_f64().unwrap();
            (told("told_round"), told("told_rounds"))
        })
        .collect();
    assert_eq!(told, [(0.0, 3.0), (1.0, 3.0), (2.0, 3.0), (3.0, 3.0)]);
    // More rounds are not what it was told.
    let more = counts("rounds = 5\nsave_breakpoints = true\nscore_initial = true");
    let ended = resume(&federation, &more, &[]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("`rounds` was 3, now it is 5"), "{}", ended.stderr);
    assert_eq!(resume(&federation, &more, &["--change"]).code, 0);
    // Nobody says it in its place.
    std::fs::remove_dir_all(out(&federation)).unwrap();
    let by_hand = federation.experiment(|text| {
        let text = text.edit(&plan().display().to_string(), guest.to_str().unwrap());
        text.edit("n_classes = 2", "round = 7").edit("min_nodes = 2", "")
    });
    let ended = federation.run(&by_hand).run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("`model.round` is unknown"), "{}", ended.stderr);
    let local = fedwasm(&["--json", "local", "--target", "benign", "--seed", "1", "--plan"]);
    let local = local.arg(&guest).arg("--data").arg(data("breast_cancer.csv")).ok().result();
    assert_eq!(local["metrics"]["told_round"], json!(1.0));
}

#[test]
fn a_node_refuses_arguments_of_another_round() {
    let federation = federation(1);
    let guest = crate::support::guest("counts");
    let spy = Spy::start(&federation);
    let experiment = federation.experiment(|text| {
        let text = text.edit(&plan().display().to_string(), guest.to_str().unwrap());
        let text = text.edit("n_classes = 2", "").edit("min_nodes = 2", "");
        text.edit("rounds = 2", "rounds = 1")
    });
    federation.run(&experiment).ok();
    let mut round = spy.rounds().remove(0);
    round.model.insert("round".into(), V::Integer(7));
    let who = crate::fake::enrol_in(&federation, &federation.dir.path().join("researcher"), "-");
    let by_hand = Fake::start(&federation, who, |_, _| {});
    let answer = by_hand.ask("n0", Body::Round(Box::new(round)));
    let Body::Refused(refusal) = answer else { panic!("{answer:?}") };
    assert!(refusal.message.contains("`round` is set by the host"), "{}", refusal.message);
}

#[test]
fn changes_between_rounds_are_recorded() {
    let federation = federation(2);
    let spy = Spy::start(&federation);
    let saves = "save_breakpoints = true\nkeep_uploads = true";
    let text = |rounds: u32, lr: &str, aggregator: &str| {
        federation.experiment(|text| {
            let text = text.edit("rounds = 2", &format!("rounds = {rounds}\n{saves}"));
            text.edit("lr = 0.1", lr) + &format!("[aggregator]\n{aggregator}\n")
        })
    };
    federation.run(&text(2, "lr = 0.1", "name = \"fedadam\"")).ok();
    // The replies of the last round are there again, with what nodes uploaded.
    let breakpoint = Breakpoint::newest(&out(&federation), |_| {}).unwrap().unwrap();
    assert_eq!(breakpoint.job.replies.len(), 2);
    for (node, reply) in &breakpoint.job.replies {
        let record = &breakpoint.history.rounds[1].nodes[node];
        let bytes = to_safetensors(reply.params.as_ref().unwrap()).unwrap();
        assert_eq!((record.upload, record.n_samples), (Some(Digest::of(&bytes)), reply.n_samples));
    }
    let changed = text(3, "lr = 0.01", "name = \"fedadam\"\nlr = 0.5");
    let ended = resume(&federation, &changed, &[]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    for said in [
        "`aggregator.fedadam.lr` was 0.1, now it is 0.5; \
         `training.optimizer_args.lr` was 0.1, now it is 0.01",
        "--change continues",
    ] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    assert_eq!(resume(&federation, &changed, &["--change"]).code, 0);
    // Once more, to another method, which starts afresh.
    let changed = text(4, "lr = 0.01", "name = \"median\"");
    let ended = resume(&federation, &changed, &["--change"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let lr: Vec<V> = rates(&spy).into_iter().map(|(_, lr)| lr).collect();
    assert_eq!(lr, [0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01].map(V::Real));
    let history = history(&federation);
    let noted: Vec<(u32, &str, &str)> = history
        .changes
        .iter()
        .flat_map(|c| c.differences.iter().map(|d| (c.round, d.name.as_str(), d.b.as_str())))
        .collect();
    assert_eq!(
        noted,
        [
            (3, "aggregator.fedadam.lr", "0.5"),
            (3, "training.optimizer_args.lr", "0.01"),
            (4, "aggregator", "\"median\""),
        ]
    );
    assert_eq!(history.arguments_in(2)["training"]["optimizer_args"]["lr"], json!(0.1));
    let report = std::fs::read_to_string(out(&federation).join("report.html")).unwrap();
    assert!(report.contains("<h2>Changes</h2>"));
    let shown = fedwasm(&["experiment", "show"]).arg(out(&federation)).ok().stdout;
    assert!(shown.contains("from round 4: aggregator from"), "{shown}");
    // Each round is computed again with what it was asked for.
    let ended = verify(&federation);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    // Seed, data and model stay what they are, and so does what nodes keep.
    for (from, to, expected) in [
        ("random_seed = 42", "random_seed = 43", "`training.random_seed` was 42"),
        ("target = \"benign\"", "target = \"benign\"\nstandardize = false", "`data.standardize`"),
        ("lr = 0.01", "lr = 0.01, momentum = 0.9, keep_state = true", "model or node state"),
    ] {
        let experiment = text(5, "lr = 0.01", "name = \"median\"");
        let changed = std::fs::read_to_string(&experiment).unwrap().edit(from, to);
        std::fs::write(&experiment, changed).unwrap();
        let ended = resume(&federation, &experiment, &["--change"]);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
    }
}

#[test]
fn a_program_changes_a_running_experiment_between_rounds() {
    let federation = federation(2);
    let spy = Spy::start(&federation);
    let path = federation.experiment(|text| text.edit("rounds = 2", "rounds = 1"));
    let file = ExperimentFile::read(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let other = |from: &str, to: &str| {
        let text = text.edit("rounds = 1", "rounds = 3").edit(from, to);
        std::fs::write(&path, text).unwrap();
        ExperimentFile::read(&path).unwrap()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let result = runtime.block_on(async {
        let (_stop, stopped) = tokio::sync::watch::channel(false);
        let mut experiment =
            Experiment::start(options(file, None), stopped, &mut drop).await.unwrap();
        experiment.run(&mut drop).await.unwrap();
        // The job has the replies and the state of the experiment.
        let state = experiment.job().state();
        assert_eq!(state.replies.len(), 2);
        let refused = experiment.change(other("n_classes = 2", "n_classes = 3")).await;
        assert!(matches!(refused, Err(Error::Change { .. })), "{refused:?}");
        assert_eq!(experiment.history().unwrap().changes.len(), 0);
        experiment.change(other("lr = 0.1", "lr = 0.02")).await.unwrap();
        experiment.run_once(&mut drop).await.unwrap().unwrap();
        experiment
            .change(other("min_nodes = 2", "name = \"list\"\nnodes = [\"n1\"]"))
            .await
            .unwrap();
        experiment.run(&mut drop).await.unwrap();
        experiment.finish().await.unwrap()
    });
    assert_eq!(result.history.rounds.len(), 3);
    assert_eq!(result.nodes, ["n1".parse().unwrap()]);
    let rate = |round, lr| (round, V::Real(lr));
    let expected = [rate(1, 0.1), rate(1, 0.1), rate(2, 0.02), rate(2, 0.02), rate(3, 0.1)];
    assert_eq!(rates(&spy), expected);
    let rounds: Vec<u32> = result.history.changes.iter().map(|change| change.round).collect();
    assert_eq!(rounds, [2, 3]);
}

#[test]
fn models_of_rounds_are_kept_and_the_first_one_is_scored() {
    let federation = federation(2);
    let run = |keep: &str| {
        let head =
            format!("rounds = 4\nscore_initial = true\nkeep_uploads = true\nkeep_params = {keep}");
        let experiment = federation.experiment(|text| text.edit("rounds = 2", &head));
        federation.run(&experiment).ok()
    };
    let names = || {
        let names = std::fs::read_dir(out(&federation).join("params")).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let file = |round: u32| format!("round-{round:04}.safetensors");
    let ended = run("true");
    assert_eq!(names(), [0, 1, 2, 3, 4].map(file));
    let history = history(&federation);
    let digest = |round| {
        Digest::of(&std::fs::read(out(&federation).join("params").join(file(round))).unwrap())
    };
    assert_eq!(Some(digest(0)), history.initial_sha256);
    for record in &history.rounds {
        assert_eq!(digest(record.round), record.params_sha256);
    }
    // Scores of the first model: of all rows, and of each node.
    let initial = history.initial.unwrap();
    assert_eq!(initial.nodes.len(), 2);
    let all = initial.evaluation.unwrap();
    assert_eq!(all.n_rows, initial.nodes.values().map(|one| one.n_rows).sum::<u64>());
    let event = ended.events().into_iter().find(|event| event["event"] == "initial").unwrap();
    assert_eq!(event["metrics"]["loss"], json!(all.metrics["loss"]));
    let last = history.rounds.last().unwrap().evaluation.as_ref().unwrap();
    assert!(all.metrics["loss"] > last.metrics["loss"]);
    assert_eq!(verify(&federation).code, 0);
    let path = out(&federation).join("history.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut changed: Value = serde_json::from_str(&text).unwrap();
    let nodes = changed["initial"]["nodes"].as_object_mut().unwrap();
    nodes.values_mut().next().unwrap()["metrics"]["accuracy"] = json!(0.0);
    std::fs::write(&path, changed.to_string()).unwrap();
    let ended = verify(&federation);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("round 0: "), "{}", ended.stderr);
    run("2");
    assert_eq!(names(), [3, 4].map(file));
}

#[test]
fn scores_of_nodes_that_did_not_train_are_in_the_history() {
    let federation = federation(3);
    let experiment = federation.experiment(|text| {
        let text = text.edit("rounds = 2", "rounds = 2\nkeep_uploads = true");
        text.edit("min_nodes = 2", "name = \"random\"\nfraction = 0.3")
    });
    federation.run(&experiment).ok();
    let history = history(&federation);
    for record in &history.rounds {
        assert_eq!((record.nodes.len(), record.scored.len(), record.scores().len()), (1, 2, 3));
        let rows: u64 = record.scores().values().map(|one| one.n_rows).sum();
        assert_eq!(record.evaluation.as_ref().unwrap().n_rows, rows);
    }
    assert_eq!(verify(&federation).code, 0);
    // Theirs are checked, too.
    let path = out(&federation).join("history.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut changed: Value = serde_json::from_str(&text).unwrap();
    let scored = changed["rounds"][0]["scored"].as_object_mut().unwrap();
    scored.values_mut().next().unwrap()["metrics"]["accuracy"] = json!(1.0);
    std::fs::write(&path, changed.to_string()).unwrap();
    let ended = verify(&federation);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
}

#[test]
fn a_check_lists_the_nodes_and_starts_no_round() {
    let federation = federation(2);
    let check =
        |experiment: &Path| fedwasm(&["--json", "experiment", "check"]).arg(experiment).run();
    let all = |text: String| text.edit("min_nodes = 2", "");
    let nothing = Body::SearchReply(SearchReply { datasets: Vec::new(), columns: [].into() });
    let _stranger = Fake::searched(&federation, "s", nothing);
    let ended = check(&federation.experiment(all));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let result = ended.result();
    assert_eq!((&result["would_run"], &result["nodes_needed"]), (&json!(true), &json!(2)));
    assert_eq!(result["nodes"], json!(["n0", "n1"]));
    assert_eq!((&result["parameters"], &result["strangers"][0]["node"]), (&json!(62), &json!("s")));
    let pending = ApprovalStatus::Pending;
    let fake = Fake::node_with(&federation, "x", columns(), pending, Box::new(|_| None));
    let ended = check(&federation.experiment(all));
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    let events = ended.events();
    let of_fake = events.iter().find(|event| event["node"] == "x").unwrap();
    assert_eq!((&of_fake["would_run"], &of_fake["rows"]), (&json!(false), &json!(100)));
    assert!(of_fake["reason"].as_str().unwrap().contains("pending"), "{of_fake}");
    assert!(events.iter().any(|event| event["would_run"] == json!(false)));
    // A node that is listed and not there.
    let listed = federation
        .experiment(|text| text.edit("min_nodes = 2", "name = \"list\"\nnodes = [\"n0\", \"n9\"]"));
    let ended = check(&listed);
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("n9: it is not connected"), "{}", ended.stderr);
    let told = fedwasm(&["experiment", "check"]).arg(&listed).run().stdout;
    assert!(told.contains("n9         would not: it is not connected"), "{told}");
    assert!(told.contains("n1         dataset d, 284 rows; would not: `strategy.nodes`"), "{told}");
    // Mistakes of the file, and of arguments, come without anybody being asked.
    let wrong = federation.experiment(|text| text.edit("epochs = 1", "epoch = 1"));
    assert_eq!(check(&wrong).code, 2);
    let wrong = federation.experiment(|text| text.edit("n_classes = 2", "n_clases = 2"));
    assert_eq!(check(&wrong).code, 2);
    assert!(fake.rounds().is_empty());
    assert!(!out(&federation).exists());
}

#[test]
fn a_dataset_is_selected_by_name_and_excluded_nodes_stay_excluded() {
    let mut federation = federation(2);
    // A second dataset of the same tags at one node.
    let dir = federation.dir.path().join("n1");
    drop(federation.nodes.remove(1));
    let more = part(federation.dir.path(), 1, 4);
    fedwasm(&["node", "dataset", "add", "--name", "e", "--tags", "t", "--type", "csv"])
        .arg(&dir)
        .arg("--path")
        .arg(more)
        .ok();
    let node = fedwasm(&["node", "start"]).arg(&dir).start();
    node.wait_for(event("ready"));
    federation.nodes.push(node);
    let run = |rounds: u32, extra: &str| {
        let head = format!("rounds = {rounds}\nsave_breakpoints = true");
        federation.experiment(|text| {
            let text = text.edit("rounds = 2", &head).edit("min_nodes = 2", "min_nodes = 1");
            text.edit("target =", &format!("{extra}\ntarget ="))
        })
    };
    let ended = federation.run(&run(1, "")).ok();
    assert_eq!(ended.result()["nodes"], json!(["n0"]));
    let reason = &ended.result()["missing"]["n1"];
    assert!(reason.as_str().unwrap().contains("the datasets d, e all have the tags t"), "{reason}");
    // A resumed experiment tells it again.
    let ended = resume(&federation, &run(2, ""), &[]);
    let dropped = ended.events().into_iter().find(|event| event["event"] == "dropped").unwrap();
    assert_eq!(dropped["node"], "n1");
    assert!(dropped["reason"].as_str().unwrap().contains("no longer takes part"));
    std::fs::remove_dir_all(out(&federation)).unwrap();
    let ended = federation.run(&run(1, "dataset = { n1 = \"e\" }")).ok();
    assert_eq!(ended.result()["nodes"], json!(["n0", "n1"]));
    let rows = ended.events().into_iter().find(|event| event["event"] == "started").unwrap();
    assert_eq!(rows["nodes"], json!({ "n0": 285, "n1": 142 }));
}

#[test]
fn library_events_have_the_scores_of_the_initial_model() {
    let federation = federation(1);
    let path = federation.experiment(|text| {
        text.edit("rounds = 2", "rounds = 1\nscore_initial = true").edit("min_nodes = 2", "")
    });
    let file = ExperimentFile::read(&path).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut seen = Vec::new();
    runtime.block_on(async {
        let (_stop, stopped) = tokio::sync::watch::channel(false);
        let mut take = |event: Event| {
            if let Event::Initial(record) = event {
                seen.push(record.nodes.len());
            }
        };
        let mut experiment =
            Experiment::start(options(file, None), stopped, &mut take).await.unwrap();
        experiment.run(&mut take).await.unwrap();
        experiment.finish().await.unwrap();
    });
    assert_eq!(seen, [1]);
}
