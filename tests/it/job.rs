//! Nodes and rounds as a researcher sees them and decides about them.

use std::path::Path;

use fedwasm_protocol::{ApprovalStatus, Body, Budget, Mode, Reason, RoundRequest};

const ONE_EPOCH: Budget = Budget::Epochs { epochs: 1, batch_maxnum: None };
use serde_json::{Value, json};

use crate::fake::{Fake, Spy, columns, enrol_in, stranger, usual};
use crate::support::{Edit, Federation, Proxy, data, event, fedwasm, part, wait_until, workers};

fn federation(n: usize) -> Federation {
    let mut federation = Federation::start();
    for node in 0..n {
        let file = part(federation.dir.path(), node, n.max(2));
        federation.node(&format!("n{node}"), &file);
    }
    federation
}

fn rounds(events: &[Value]) -> Vec<&Value> {
    events.iter().filter(|event| event["event"] == "round").collect()
}

#[test]
fn nodes_lists_ids_data_and_latency() {
    let federation = federation(2);
    let nodes =
        |tags: &str| fedwasm(&["--json", "nodes", "--mqtt", &federation.mqtt, "--tags", tags]);
    let all = nodes("u").ok().result();
    let first = &all["nodes"][0];
    assert_eq!(all["nodes"].as_array().unwrap().len(), 2);
    assert_eq!((&first["node"], &first["datasets"][0]["rows"]), (&json!("n0"), &json!(285)));
    assert_eq!(first["datasets"][0]["columns"].as_array().unwrap().len(), 31);
    let latency = first["latency_ms"].as_f64().unwrap();
    assert!(latency > 0.0 && latency < 10_000.0, "{latency}");
    assert_eq!(nodes("x").ok().result()["nodes"][0]["datasets"], json!([]));
    let text = fedwasm(&["nodes", "--mqtt", &federation.mqtt]).ok().stdout;
    assert!(text.contains("n1") && text.contains("[t,u]  284 rows, 31 columns"), "{text}");
}

#[test]
fn finished_and_running_experiments_are_shown() {
    let federation = federation(2);
    let out = federation.dir.path().join("out");
    let show = || fedwasm(&["--json", "experiment", "show"]).arg(&out).ok().result();
    let experiment = federation.experiment(|text| {
        let text = text.edit("rounds = 2", "rounds = 4\ntensorboard = true");
        let text = text.edit("test_on_global", "test_on_local_updates = true\ntest_on_global");
        text.edit("epochs = 1", "num_updates = 3000")
    });
    let running = federation.run(&experiment).start();
    running.wait_for(|event| event["event"] == "round" && event["round"] == 2);
    let shown = show();
    assert_eq!((&shown["status"], &shown["rounds_max"]), (&json!("running"), &json!(4)));
    assert!(shown["rounds"].as_u64().unwrap() >= 1);
    let (code, events) = running.end();
    assert_eq!(code, 0);
    let shown = show();
    let result = events.last().unwrap();
    assert_eq!((&shown["status"], &shown["rounds"]), (&json!("finished"), &json!(4)));
    assert_eq!(shown["params_sha256"], result["params_sha256"]);
    let html = federation.dir.path().join("r.html");
    let text = fedwasm(&["experiment", "show", "--html"]).arg(&html).arg(&out).ok().stdout;
    assert!(text.contains("experiment test (finished)") && text.contains("n1"), "{text}");
    let page = std::fs::read_to_string(&html).unwrap();
    assert_eq!(page, std::fs::read_to_string(out.join("report.html")).unwrap());
    assert!(page.contains("<svg") && page.contains("n0") && page.contains("f1_score"));
    // Event files of each node, with the seed's tags.
    for node in ["n0", "n1"] {
        let dir = std::fs::read_dir(out.join("tensorboard").join(node)).unwrap();
        let files: Vec<_> = dir.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1);
        let bytes = String::from_utf8_lossy(&std::fs::read(&files[0]).unwrap()).into_owned();
        for tag in [
            "TRAINING/loss",
            "VALIDATION ON LOCAL UPDATES/accuracy",
            "VALIDATION ON GLOBAL UPDATES/accuracy",
        ] {
            assert!(bytes.contains(tag), "{node}: {tag}");
        }
    }
    assert_eq!(fedwasm(&["experiment", "show", "/nowhere"]).run().code, 2);
}

#[test]
fn strategies_select_nodes_and_early_stopping_ends_the_run() {
    let federation = federation(3);
    let run = |strategy: &str| {
        let experiment = federation.experiment(|text| {
            let text = text.edit("rounds = 2", "rounds = 6");
            text.edit("min_nodes = 2", strategy)
        });
        federation.run(&experiment).ok()
    };
    let ended = run("name = \"random\"\nfraction = 0.6");
    let events = ended.events();
    let chosen: Vec<_> = rounds(&events).iter().map(|round| round["nodes"].clone()).collect();
    assert!(chosen.iter().all(|nodes| nodes.as_array().unwrap().len() == 2), "{chosen:?}");
    assert!(chosen.windows(2).any(|pair| pair[0] != pair[1]), "{chosen:?}");
    let again = run("name = \"random\"\nfraction = 0.6").result();
    assert_eq!(again["params_sha256"], ended.result()["params_sha256"]);
    let listed = run("name = \"list\"\nnodes = [\"n2\"]").result();
    assert_eq!(listed["nodes"], json!(["n2"]));
    let stopping = "early_stopping = { metric = \"accuracy\", patience = 1, min_delta = 0.5 }";
    let ended = run(stopping);
    let stopped = ended.events().into_iter().find(|event| event["event"] == "stopped").unwrap();
    assert!(stopped["reason"].as_str().unwrap().contains("since then (patience 1)"), "{stopped}");
    assert_eq!(ended.result()["rounds"], 2);
    // A metric that there is not would never stop it.
    let experiment = federation.experiment(|text| {
        text.edit("min_nodes = 2", "early_stopping = { metric = \"accurracy\" }")
    });
    let ended = federation.run(&experiment).run();
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("did you mean `accuracy`?"), "{}", ended.stderr);
    // Neither would a node that is not there.
    let experiment = federation.experiment(|text| {
        text.edit("min_nodes = 2", "name = \"list\"\nnodes = [\"n0\", \"n9\"]\nmin_nodes = 2")
    });
    let ended = federation.run(&experiment).run();
    assert_eq!(ended.code, 5);
    assert!(ended.stderr.contains("n9: it is not connected"), "{}", ended.stderr);
}

#[test]
fn too_few_rows_or_nodes_are_exit_code_5_after_the_retries() {
    let federation = federation(2);
    let run = |strategy: &str| {
        let experiment = federation.experiment(|text| text.edit("min_nodes = 2", strategy));
        federation.run(&experiment).run()
    };
    let ended = run("min_samples = 457\nretries = 2\nretry_pause_s = 0");
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("456 training rows of at least 457"), "{}", ended.stderr);
    let retries = ended.events().iter().filter(|event| event["event"] == "retry").count();
    assert_eq!(retries, 2);
    let ended = run("min_nodes = 3\nretries = 1\nretry_pause_s = 0");
    assert_eq!(ended.code, 5);
    assert!(ended.stderr.contains("2 of at least 3 nodes have the data"), "{}", ended.stderr);
}

#[test]
fn robust_aggregators_name_the_nodes_that_they_need() {
    let federation = federation(2);
    let run = |aggregator: &str| {
        let experiment =
            federation.experiment(|text| text + &format!("[aggregator]\n{aggregator}\n"));
        federation.run(&experiment).run()
    };
    for aggregator in [
        "name = \"median\"",
        "name = \"trimmed_mean\"",
        "name = \"fedavgm\"",
        "name = \"fedadagrad\"",
        "name = \"fedyogi\"",
        "name = \"norm_bound\"\nbound = 1",
    ] {
        let ended = run(aggregator);
        assert_eq!(ended.code, 0, "{aggregator}: {}", ended.stderr);
    }
    let ended = run("name = \"krum\"\nf = 1");
    assert_eq!(ended.code, 5);
    assert!(ended.stderr.contains("needs at least 5 nodes"), "{}", ended.stderr);
}

#[test]
fn late_reply_of_a_straggler_is_ignored_and_it_rejoins() {
    let mut federation = Federation::start();
    for n in 0..2 {
        let file = part(federation.dir.path(), n, 2);
        federation.node(&format!("n{n}"), &file);
    }
    let experiment = federation.experiment(|text| {
        let text = text.edit("epochs = 1", "num_updates = 2000").edit("rounds = 2", "rounds = 4");
        text.edit("min_nodes = 2", "min_nodes = 1").edit("deadline_s = 120", "deadline_s = 8")
    });
    let running = federation.run(&experiment).start();
    running.wait_for(|event| event["event"] == "progress" && event["node"] == "n1");
    federation.nodes[1].signal("STOP");
    let dropped = running.wait_for(event("dropped"));
    assert!(dropped["reason"].as_str().unwrap().contains("deadline"), "{dropped}");
    federation.nodes[1].signal("CONT");
    let (code, events) = running.end();
    assert_eq!(code, 0);
    let returned = events.iter().find(|event| event["event"] == "returned").unwrap();
    assert_eq!(returned["node"], "n1");
    assert_eq!(events.last().unwrap()["nodes"], json!(["n0", "n1"]));
}

#[test]
fn demands_that_a_node_cannot_meet_are_refused_by_name() {
    let federation = federation(2);
    let run = |training: &str| {
        let experiment = federation
            .experiment(|text| text.edit("epochs = 1", &format!("epochs = 1\n{training}")));
        federation.run(&experiment).run()
    };
    let ended = run("dp_args = { type = \"local\", sigma = 0, clip = 1 }");
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("`dp_args.sigma` is 0: it must"), "{}", ended.stderr);
    let ended = run("use_gpu = true");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("warning: n0: `use_gpu` is true"), "{}", ended.stderr);
    let history = fedwasm_researcher::load_history(&federation.dir.path().join("out")).unwrap();
    assert!(history.rounds[0].nodes.values().all(|node| node.device == "cpu"));
    assert!(history.rounds[0].nodes.values().all(|node| node.optimizer_args["lr"] > 0.09));
}

#[test]
fn node_that_forces_secure_aggregation_trains_nothing_in_the_clear() {
    let mut federation = Federation::start();
    let file = part(federation.dir.path(), 0, 2);
    federation.node("n0", &file);
    federation.nodes.clear();
    let config = federation.dir.path().join("n0/node.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.edit("force_secure_aggregation = false", "force_secure_aggregation = true");
    std::fs::write(&config, text).unwrap();
    let node = fedwasm(&["node", "start"]).arg(federation.dir.path().join("n0")).start();
    node.wait_for(event("ready"));
    let experiment = federation.experiment(|text| text.edit("min_nodes = 2", "min_nodes = 1"));
    let ended = federation.run(&experiment).run();
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("under secure aggregation only"), "{}", ended.stderr);
}

#[test]
fn node_runs_one_round_of_each_queues_two_and_is_busy_beyond() {
    let federation = federation(1);
    let experiment = federation.experiment(|text| {
        let text = text.edit("epochs = 1", "num_updates = 100000000");
        text.edit("min_nodes = 2", "min_nodes = 1")
    });
    let many = Fake::researcher(&federation, "many");
    let spy = Spy::start(&federation);
    let running = federation.run(&experiment).start();
    running.wait_for(event("progress"));
    // Another researcher asks for the same ten times.
    let mut round = spy.rounds().pop().unwrap();
    round.experiment_id = "another".parse().unwrap();
    let node = many.session_of("n0");
    for _ in 0..10 {
        many.say.send(&node, stranger(), None, Body::Round(Box::new(round.clone())));
    }
    let busy = || {
        let heard = many.heard.lock().unwrap();
        let is_busy =
            |body: &Body| matches!(body, Body::Refused(refusal) if refusal.reason == Reason::Busy);
        heard.iter().filter(|envelope| is_busy(&envelope.body)).count()
    };
    // One runs beside the first researcher's, two wait, and seven are told.
    wait_until("seven refusals", || busy() >= 7);
    assert_eq!(busy(), 7);
    let dir = federation.dir.path().join("n0");
    let began = || {
        let log = fedwasm(&["--json", "node", "log", "--kind", "started"]).arg(&dir).ok().events();
        log.iter().filter(|event| event["event"] == "entry").count()
    };
    wait_until("two rounds that began", || began() >= 2);
    assert_eq!(began(), 2);
}

#[test]
fn state_ids_are_given_back_to_the_node_that_named_them() {
    let federation = federation(1);
    let behaviour = |request: &RoundRequest| {
        let Body::RoundReply(mut reply) = usual(request) else { return None };
        if request.mode == Mode::Train {
            reply.state_id = Some(format!("state-{}", request.round).parse().unwrap());
        }
        Some(vec![Body::RoundReply(reply)])
    };
    let fake = Fake::node(&federation, "x", columns(), Box::new(behaviour));
    let experiment = federation.experiment(|text| text.edit("rounds = 2", "rounds = 3"));
    federation.run(&experiment).ok();
    let states: Vec<_> = fake
        .rounds()
        .into_iter()
        .map(|r| (r.round, r.mode, r.state_id.map(|id| id.to_string())))
        .collect();
    let state = |n: u32| Some(format!("state-{n}"));
    assert_eq!(
        states,
        [
            (1, Mode::Train, None),
            (1, Mode::Validate, state(1)),
            (2, Mode::Train, state(1)),
            (2, Mode::Validate, state(2)),
            (3, Mode::Train, state(2)),
            (3, Mode::Validate, state(3)),
        ]
    );
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once() {
    let federation = Federation::start();
    let experiment = federation.experiment(|text| {
        let text = text.edit("epochs = 1", "epoch = 1").edit("rounds = 2", "rounds = 0");
        text.edit("min_nodes", "min_node") + "[aggregator]\nname = \"fedavgg\"\n"
    });
    let ended = federation.run(&experiment).run();
    assert_eq!(ended.code, 2);
    for expected in [
        "`rounds` is 0",
        "`training.epoch` is unknown; did you mean `epochs`?",
        "`strategy.min_node` is unknown; did you mean `min_nodes`?",
        "did you mean `fedavg`?",
    ] {
        assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
    }
}

#[test]
fn scores_are_the_same_whatever_the_batch_size_of_tests() {
    let dir = tempfile::tempdir().unwrap();
    let run = |training: &str| {
        let args = dir.path().join("args.toml");
        let text = format!("[training]\nepochs = 1\ntest_ratio = 0.2\n{training}");
        std::fs::write(&args, text).unwrap();
        let plan: &Path = &crate::support::plan();
        let run = fedwasm(&["--json", "local", "--target", "benign", "--seed", "7", "--plan"]);
        run.arg(plan)
            .arg("--data")
            .arg(data("breast_cancer.csv"))
            .arg("--args")
            .arg(args)
            .ok()
            .result()
    };
    let (all, small) = (run(""), run("test_batch_size = 7"));
    assert_eq!(all["params_sha256"], small["params_sha256"]);
    assert_eq!(all["metrics"]["f1_score"], small["metrics"]["f1_score"]);
    // Other rows are held out only if asked for, and a dry run is one batch.
    assert_ne!(run("shuffle_testing_dataset = true")["params_sha256"], all["params_sha256"]);
    assert_eq!(run("dry_run = true")["n_steps"], 1);
    assert_eq!(run("batch_maxnum = 3")["n_steps"], 3);
}

/// Fed-BioMed's `share_persistent_buffers`.
#[test]
fn running_statistics_are_shared_or_stay() {
    let federation = federation(2);
    let guest = crate::support::guest("normalised").display().to_string();
    let run = |change: &str| {
        let experiment = federation.experiment(|text| {
            let text = text.edit(&crate::support::plan().display().to_string(), &guest);
            let text = text.edit("n_classes = 2", "").edit("lr = 0.1", "lr = 0.01");
            text.edit("epochs = 1", change)
        });
        let ended = federation.run(&experiment).run();
        let params = federation.dir.path().join("out/params.safetensors");
        let params = std::fs::read(params).ok().map(|bytes| {
            let params = fedwasm_params::from_safetensors(&bytes).unwrap();
            params.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        });
        let _ = std::fs::remove_dir_all(federation.dir.path().join("out"));
        (ended, params.unwrap_or_default())
    };
    let running = |names: &[String]| names.iter().filter(|name| name.contains("running")).count();
    let (shared, names) = run("epochs = 3");
    assert_eq!((running(&names), names.len()), (2, 8), "{names:?}");
    let (stay, names) = run("epochs = 3\nshare_persistent_buffers = false");
    assert_eq!((running(&names), names.len()), (0, 6), "{names:?}");
    for ended in [shared, stay] {
        let accuracy = ended.result()["metrics"]["accuracy"].as_f64().unwrap();
        assert!(accuracy > 0.9, "{accuracy} {}", ended.stderr);
    }
    // A plan without any does not take it.
    let experiment = federation
        .experiment(|text| text.edit("epochs = 1", "epochs = 1\nshare_persistent_buffers = false"));
    let ended = federation.run(&experiment).run();
    assert!(
        ended.code != 0 && ended.stderr.contains("share_persistent_buffers"),
        "{}",
        ended.stderr
    );
}

#[test]
fn local_parameters_stay_at_their_node_and_go_on_from_round_to_round() {
    let federation = federation(2);
    let spy = Spy::start(&federation);
    let experiment = federation.experiment(|text| {
        let plan = crate::support::personal().display().to_string();
        let text = text.edit(&crate::support::plan().display().to_string(), &plan);
        let text = text.edit("n_classes = 2", "").edit("rounds = 2", "rounds = 3");
        text + "[aggregator]\nname = \"scaffold\"\n"
    });
    let result = federation.run(&experiment).ok().result();
    // The plan's own metric, beside the host's: 357 of 569 rows are of class 1.
    let prevalence = result["metrics"]["prevalence"].as_f64().unwrap();
    assert!((prevalence - 0.63).abs() < 0.1 && result["metrics"]["accuracy"].is_number());
    let params = std::fs::read(federation.dir.path().join("out/params.safetensors")).unwrap();
    let params = fedwasm_params::from_safetensors(&params).unwrap();
    assert_eq!(params.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["linear.weight"]);
    // No blob and no message holds a bias.
    let network = federation.dir.path().join("network/blobs/sha256");
    for blob in std::fs::read_dir(network).unwrap() {
        let bytes = std::fs::read(blob.unwrap().path()).unwrap();
        let is_plan = bytes.starts_with(b"\0asm");
        assert!(is_plan || !bytes.windows(4).any(|window| window == b"bias"));
    }
    for (_, bytes) in spy.raw() {
        assert!(!bytes.windows(4).any(|window| window == b"bias"));
    }
    // Each node keeps a bias of its own.
    let bias = |node: &str| {
        let dir = federation.dir.path().join(node).join("experiments");
        let dir = std::fs::read_dir(dir).unwrap().next().unwrap().unwrap().path().join("state");
        let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap()).collect();
        files.sort_by_key(|file| file.metadata().unwrap().modified().unwrap());
        let kept = |file: &std::fs::DirEntry| {
            let kept = std::fs::read(file.path()).unwrap();
            let kept = fedwasm_params::from_safetensors(&kept).unwrap();
            kept.tensor("local/linear.bias").unwrap().clone()
        };
        assert_eq!(files.len(), 2);
        (kept(&files[0]), kept(&files[1]))
    };
    let ((before, after), (_, other)) = (bias("n0"), bias("n1"));
    assert!(before != after && after != other);
}

#[test]
fn nodes_that_would_not_run_the_plan_are_left_out_before_the_first_round() {
    let federation = federation(2);
    let standings = [
        (
            "p",
            ApprovalStatus::Pending,
            "the plan is pending there; its operator decides (`fedwasm node plan approve`)",
        ),
        ("q", ApprovalStatus::Rejected, "the plan is rejected there"),
        ("r", ApprovalStatus::NotRegistered, "the plan is not registered there"),
    ];
    let fakes = standings.map(|(id, status, _)| {
        Fake::node_with(&federation, id, columns(), status, Box::new(|_| None))
    });
    let approved = ApprovalStatus::Approved;
    let fine = Fake::node_with(&federation, "s", columns(), approved, Box::new(|_| None));
    let ended = federation.run(&federation.experiment(|text| text)).ok();
    assert_eq!(ended.result()["nodes"], json!(["n0", "n1", "s"]));
    for (id, _, expected) in standings {
        let mut events = ended.events().into_iter().filter(|event| event["event"] == "dropped");
        assert_eq!(events.find(|event| event["node"] == id).unwrap()["reason"], expected);
    }
    assert!(fakes.iter().all(|fake| fake.rounds().is_empty()) && fine.rounds().len() == 4);
    // If it is the plan everywhere, it is the plan.
    let alone = Federation::start();
    let rejected = ApprovalStatus::Rejected;
    let _no = Fake::node_with(&alone, "x", columns(), rejected, Box::new(|_| None));
    let one = |text: String| text.edit("min_nodes = 2", "min_nodes = 1");
    assert_eq!(alone.run(&alone.experiment(one)).run().code, 3);
}

#[test]
fn parameters_come_from_memory_or_from_a_file_and_never_from_both() {
    use fedwasm_researcher::{Error, ExperimentFile, Job, JobOptions, load_params, load_plan};
    let federation = federation(1);
    let experiment = federation.experiment(|text| text.edit("min_nodes = 2", "min_nodes = 1"));
    federation.run(&experiment).ok();
    let out = federation.dir.path().join("out");
    let file = ExperimentFile::read(&experiment).unwrap();
    let component = load_plan(&file.plan).unwrap();
    let options = JobOptions { rounds: 1, ..file.job_options(&component, &[], &workers(), 42) };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (_stop, stopped) = tokio::sync::watch::channel(false);
        let mut job = Job::start(options, stopped, &mut drop).await.unwrap();
        let initial = job.params_sha256();
        assert_eq!(job.training_args().budget, ONE_EPOCH);
        assert_eq!(job.training_plan().metadata().name, "logistic-regression");
        assert_eq!(job.n_rows().values().sum::<u64>(), 285);
        let mpk = out.join("params.mpk");
        let trained = load_params(&mpk).unwrap();
        let both = job.update_parameters(Some(trained.clone()), Some(&mpk)).await;
        assert!(matches!(both, Err(Error::BothParameters { .. })), "{both:?}");
        assert_eq!(job.params_sha256(), initial);
        let from_file = job.update_parameters(None, Some(&mpk)).await.unwrap();
        assert_eq!(*job.params(), trained);
        assert_eq!(job.update_parameters(Some(trained), None).await.unwrap(), from_file);
        assert_eq!(job.update_parameters(None, None).await.unwrap(), from_file);
        let other = job.update_parameters(Some(Default::default()), None).await.unwrap_err();
        assert!(other.to_string().contains("do not fit the plan"), "{other}");
        assert!(job.update_parameters(None, Some(&out.join("absent.mpk"))).await.is_err());
        // A round by hand: train, say that it counts, score.
        let nodes = job.nodes();
        let aux = fedwasm_researcher::AuxVars::default();
        let trained = job.train(1, &nodes, &aux, &mut drop).await.unwrap();
        let replies = job.fetch_all(trained, &mut drop).await.unwrap();
        assert!(job.training_replies().is_empty());
        job.count(replies);
        assert_eq!(job.training_replies().len(), 1);
        let scores = job.validate(1, &nodes, &mut drop).await.unwrap();
        assert!(scores.values().all(|score| score.evaluation.is_some()));
        job.close().await;
    });
}

#[test]
fn another_plan_cannot_read_local_parameters() {
    let federation = federation(1);
    let spy = Spy::start(&federation);
    let run = |plan: &Path| {
        let experiment = federation.experiment(|text| {
            let text =
                text.edit(&crate::support::plan().display().to_string(), plan.to_str().unwrap());
            text.edit("n_classes = 2", "").edit("min_nodes = 2", "min_nodes = 1")
        });
        federation.run(&experiment).ok();
    };
    run(crate::support::personal());
    // The same experiment and state, with a plan to which the bias is shared.
    let round = spy.rounds().pop().unwrap();
    assert!(round.state_id.is_some());
    let other = fedwasm_protocol::Digest::of(&std::fs::read(crate::support::plan()).unwrap());
    let size = std::fs::metadata(crate::support::plan()).unwrap().len();
    let mut theft = round.clone();
    theft.plan = fedwasm_protocol::BlobRef { sha256: other, size };
    theft.model.insert("model.n_classes".into(), fedwasm_protocol::Value::Integer(2));
    // The repository has both plans.
    let experiment = federation.experiment(|text| text.edit("min_nodes = 2", "min_nodes = 1"));
    federation.run(&experiment).ok();
    // The very same researcher asks.
    let dir = federation.dir.path().join("researcher");
    let thief = Fake::start(&federation, enrol_in(&federation, &dir, "-"), |_, _| {});
    let answer = thief.ask("n0", Body::Round(Box::new(theft)));
    let Body::Refused(refusal) = answer else { panic!("{answer:?}") };
    assert!(refusal.message.contains("another researcher, plan or dataset"), "{}", refusal.message);
    // A state that no round left is refused.
    let again = || Body::Round(Box::new(round.clone()));
    assert!(matches!(thief.ask("n0", again()), Body::RoundReply(_)));
    let states = federation.dir.path().join("n0/experiments");
    let states = states.join(round.experiment_id.as_str()).join("state");
    for state in std::fs::read_dir(states).unwrap() {
        let path = state.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    let answer = thief.ask("n0", again());
    let Body::Refused(refusal) = answer else { panic!("{answer:?}") };
    assert_eq!(refusal.reason, Reason::State);
}

#[test]
fn restarted_silent_node_rejoins() {
    let mut federation = federation(2);
    let experiment = federation.experiment(|text| {
        let text = text.edit("epochs = 1", "num_updates = 3000").edit("rounds = 2", "rounds = 8");
        text.edit("min_nodes = 2", "min_nodes = 1").edit("deadline_s = 120", "deadline_s = 12")
    });
    let running = federation.run(&experiment).start();
    running.wait_for(|event| event["event"] == "progress" && event["node"] == "n1");
    federation.nodes[1].signal("STOP");
    running.wait_for(event("dropped"));
    // Dropped, it is killed and gone: its lock is free.
    drop(federation.nodes.remove(1));
    let node = fedwasm(&["node", "start"]).arg(federation.dir.path().join("n1")).start();
    node.wait_for(event("ready"));
    federation.nodes.push(node);
    running.wait_for(|event| event["event"] == "returned" && event["node"] == "n1");
    let both = json!(["n0", "n1"]);
    running.wait_for(|event| event["event"] == "round" && event["nodes"] == both);
}

#[test]
fn a_round_counts_even_if_its_scoring_is_cancelled() {
    let federation = federation(1);
    let behaviour = |request: &RoundRequest| match request.mode {
        Mode::Train => None,
        // Never answers.
        Mode::Validate | Mode::Scale | Mode::Statistics => Some(Vec::new()),
    };
    let _fake = Fake::node(&federation, "x", columns(), Box::new(behaviour));
    let experiment = federation.experiment(|text| text);
    let command = federation.run(&experiment).env("FEDWASM_LOG", "debug");
    let running = command.start();
    running.wait_for_log("round 1: parameters stored");
    running.signal("INT");
    let (code, events) = running.end();
    assert_eq!(code, 1);
    let round = events.iter().find(|event| event["event"] == "round").unwrap();
    let out = federation.dir.path().join("out");
    let history = fedwasm_researcher::load_history(&out).unwrap();
    assert_eq!((history.rounds.len(), history.status.as_str()), (1, "cancelled"));
    let params = std::fs::read(out.join("params.safetensors")).unwrap();
    let digest = fedwasm_protocol::Digest::of(&params);
    assert_eq!(history.rounds[0].params_sha256, digest);
    assert_eq!(round["params_sha256"], digest.to_string());
}

#[test]
fn huge_announced_rows_are_not_believed() {
    let federation = federation(2);
    let rows = |n_rows| {
        let dataset = fedwasm_protocol::DatasetEntry {
            dataset_id: "d".parse().unwrap(),
            tags: vec!["t".into()],
            n_rows,
            columns: columns(),
            shapes: [].into(),
        };
        Body::SearchReply(fedwasm_protocol::SearchReply {
            datasets: vec![dataset],
            columns: [].into(),
        })
    };
    let _fake = Fake::searched(&federation, "x", rows(u64::MAX));
    let ended = federation.run(&federation.experiment(|text| text)).ok();
    assert_eq!(ended.result()["nodes"], json!(["n0", "n1"]));
    let dropped = ended.events().into_iter().find(|event| event["event"] == "dropped").unwrap();
    assert!(dropped["reason"].as_str().unwrap().contains("that a dataset may have"), "{dropped}");
}

/// `--json` says exactly what a node said, and commands no terminal.
#[test]
fn names_from_peers_carry_no_terminal_codes_in_json() {
    let federation = federation(0);
    let name = "a\u{9b}2J\u{202e}b\u{200b}\u{7f}";
    let dataset = fedwasm_protocol::DatasetEntry {
        dataset_id: "d".parse().unwrap(),
        tags: vec!["t".into()],
        n_rows: 8,
        columns: vec![name.into()],
        shapes: [].into(),
    };
    let reply = fedwasm_protocol::SearchReply { datasets: vec![dataset], columns: [].into() };
    let _fake = Fake::searched(&federation, "x", Body::SearchReply(reply));
    let nodes = fedwasm(&["--json", "nodes", "--columns", "--mqtt", &federation.mqtt]);
    let ended = nodes.args(&["--repository", &federation.repository]).ok();
    let all = |value: &Value| value.to_string().contains('\u{9b}');
    assert!(ended.events().iter().any(all), "it is not there: {}", ended.stdout);
    let commands = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{200b}' | '\u{202e}');
    assert!(!ended.stdout.contains(commands), "{:?}", ended.stdout);
}

#[test]
fn heavy_auxiliary_variables_go_through_the_repository_and_light_ones_do_not() {
    let federation = federation(1);
    let spy = Spy::start(&federation);
    let run = |n_classes: u32| {
        spy.clear();
        let experiment = federation.experiment(|text| {
            let text = text.edit("min_nodes = 2", "min_nodes = 1");
            let text = text.edit("n_classes = 2", &format!("n_classes = {n_classes}"));
            text + "[aggregator]\nname = \"scaffold\"\n"
        });
        federation.run(&experiment).ok();
        let heard = spy.heard();
        let mut payloads = Vec::new();
        for envelope in heard.iter() {
            match &envelope.body {
                Body::Round(round) => {
                    payloads.extend([round.aux_shared.clone(), round.aux_own.clone()]);
                }
                Body::RoundReply(reply) => payloads.push(reply.aux.clone()),
                _ => {}
            }
        }
        payloads.into_iter().flatten().map(|payload| payload.bytes().unwrap().is_some()).collect()
    };
    // 31 numbers a class, four bytes each: 248 bytes, and 18,600.
    let (light, heavy): (Vec<bool>, Vec<bool>) = (run(2), run(150));
    assert_eq!((light.len(), heavy.len()), (6, 6));
    assert!(light.iter().all(|inline| *inline) && heavy.iter().all(|inline| !inline));
}

#[test]
fn local_job_works_as_a_library_and_refuses_unsupported_options() {
    use fedwasm_local::{LocalFile, LocalJob, LocalOptions, Renames, Volumes, load_plan};
    let text = "[data]\ntarget = \"benign\"\n[training]\nepochs = 1\n[model]\nn_classes = 2\n";
    let file = LocalFile::parse(text, Path::new("here")).unwrap();
    let options = LocalOptions {
        component: load_plan(&crate::support::plan()).unwrap(),
        sandbox: workers(),
        limits: file.limits,
        path: data("breast_cancer.csv"),
        format: None,
        volumes: Volumes::default(),
        renames: Renames::new(),
        data: file.data.unwrap(),
        training: file.training.unwrap(),
        model: file.model,
        params: None,
        init_only: Vec::new(),
        out: None,
        random_seed: 3,
        local: file.local,
        fold: None,
        resume: false,
        force: false,
        stop: fedwasm_researcher::Cancel::new(),
    };
    let job = LocalJob::new(options.clone()).unwrap();
    assert_eq!(job.training_args().budget, ONE_EPOCH);
    assert_eq!(job.training_plan().metadata().name, "logistic-regression");
    assert_eq!(job.model_args().len(), 1);
    let mut private = options;
    let kind = fedwasm_protocol::DpKind::Local;
    private.training.dp_args = Some(fedwasm_protocol::DpArgs { kind, sigma: 1.0, clip: 1.0 });
    assert!(matches!(LocalJob::new(private), Err(fedwasm_local::Error::DpArgs)));
}

#[test]
fn lost_connection_of_the_researcher_does_not_change_the_result() {
    let federation = federation(2);
    let change = |text: String| text.edit("epochs = 1", "num_updates = 8000");
    let whole = federation.run(&federation.experiment(change)).ok().result();
    let proxy = Proxy::start(federation.mqtt.trim_start_matches("mqtt://"));
    let experiment = federation.experiment(|text| {
        change(text).edit(&federation.mqtt, &format!("mqtt://127.0.0.1:{}", proxy.port))
    });
    let running = federation.run(&experiment).start();
    for round in 1..=2 {
        // Nodes call the round off, and are asked for it again.
        running.wait_for(|event| event["event"] == "progress" && event["round"] == round);
        proxy.cut();
    }
    let (code, events) = running.end();
    assert_eq!(code, 0, "{events:?}");
    let broken = events.last().unwrap();
    assert_eq!(broken["params_sha256"], whole["params_sha256"]);
    assert_eq!(broken["nodes"], json!(["n0", "n1"]));
    assert!(!events.iter().any(|event| event["event"] == "dropped"), "{events:?}");
}

/// Takes the update of the node with the smallest id.
#[derive(Debug, Default)]
struct First {
    first: Option<fedwasm_params::Params>,
}

impl fedwasm_researcher::Aggregator for First {
    fn name(&self) -> &str {
        "first"
    }

    fn begin(
        &mut self,
        _: &fedwasm_params::Params,
        _: &fedwasm_researcher::Samples,
    ) -> Result<(), fedwasm_researcher::AggregateError> {
        self.first = None;
        Ok(())
    }

    fn add(
        &mut self,
        _: &fedwasm_protocol::NodeId,
        update: &fedwasm_params::Params,
    ) -> Result<(), fedwasm_researcher::AggregateError> {
        self.first.get_or_insert_with(|| update.clone());
        Ok(())
    }

    fn finish(&mut self) -> Result<fedwasm_params::Params, fedwasm_researcher::AggregateError> {
        Ok(self.first.take().unwrap_or_default())
    }
}

#[test]
fn a_custom_aggregator_can_be_used() {
    use fedwasm_researcher::{Experiment, ExperimentFile, ExperimentOptions, load_plan};
    let federation = federation(2);
    let file = ExperimentFile::read(&federation.experiment(|text| text)).unwrap();
    let options = ExperimentOptions {
        component: load_plan(&file.plan).unwrap(),
        file,
        signatures: Vec::new(),
        sandbox: workers(),
        random_seed: 42,
        out: None,
        resume: false,
        change: false,
        force: false,
        params: None,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (ours, first) = runtime.block_on(async {
        let (_stop, stopped) = tokio::sync::watch::channel(false);
        let mut experiment =
            Experiment::start_with(options, Box::new(First::default()), stopped, &mut drop)
                .await
                .unwrap();
        experiment.run(&mut drop).await.unwrap();
        let node = experiment.job().training_replies().keys().next().unwrap().clone();
        let first = experiment.job().fetch_update(&node).await.unwrap();
        (experiment.finish().await.unwrap().params, first)
    });
    assert_eq!(ours, first);
}
