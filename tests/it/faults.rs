//! The faults of Fed-BioMed 4.5's `Job`, each with a test that it is not here.
//! docs/from-fed-biomed.md has the list.

use std::collections::BTreeMap;
use std::path::Path;

use fedwasm_params::{Params, Tensor, from_safetensors};
use fedwasm_protocol::{Body, Message, Mode, NodeId, Reason, Refusal, RoundRequest};
use serde_json::json;

use crate::fake::{Fake, Spy, columns, enrol, usual};
use crate::secure_node::{self, Otherwise, secure_node};
use crate::support::{Edit, Federation, fedwasm, part, plan};

/// A federation with `n` nodes that hold parts of breast_cancer.csv.
fn federation(n: usize) -> Federation {
    let mut federation = Federation::start();
    for node in 0..n {
        let file = part(federation.dir.path(), node, n);
        federation.node(&format!("n{node}"), &file);
    }
    federation
}

fn refusal(reason: Reason) -> Body {
    Body::Refused(Refusal { reason, message: "no".into() })
}

/// 1: code of the plan runs with all rights, mistakes end the process, and
/// constructors leave half of an object.
#[test]
fn fault_01_mistakes_are_values_and_nothing_half_built_remains() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let file = format!(
        "name = \"t\"\nplan = \"{}\"\nrounds = 1\n[data]\ntags = [\"t\"]\ntarget = \"benign\"\n\
         [training]\nepochs = 1\n[model]\nn_classes = 2\n[network]\nrepository = \"http://127.0.0.1:1\"",
        plan().display()
    );
    let file = fedwasm_researcher::ExperimentFile::parse(&file, dir.path()).unwrap();
    let options = fedwasm_researcher::ExperimentOptions {
        component: fedwasm_researcher::load_plan(&plan()).unwrap(),
        signatures: Vec::new(),
        sandbox: crate::support::workers(),
        file,
        random_seed: 1,
        out: None,
        resume: false,
        change: false,
        force: false,
        params: None,
    };
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let started = runtime.block_on(async {
        fedwasm_researcher::Experiment::start(options, stopped, &mut drop).await.map(drop)
    });
    // An error, no exit and no half of an experiment.
    assert!(started.unwrap_err().to_string().contains("cannot be reached"));
    let bad = fedwasm_researcher::load_plan(Path::new("dummy.model.py")).unwrap_err();
    assert!(bad.to_string().contains("dummy.model.py"), "{bad}");
}

/// 2: the wait has no deadline, and a node that replied and errs later is
/// waited for without end.
#[test]
fn fault_02_a_reply_that_an_error_follows_ends_the_wait() {
    let federation = federation(1);
    let behaviour = |request: &RoundRequest| {
        Some(vec![usual(request), refusal(Reason::Internal), refusal(Reason::PlanFailed)])
    };
    let _fake = Fake::node(&federation, "x", columns(), Box::new(behaviour));
    let result = federation.run(&federation.experiment(|text| text)).ok().result();
    assert_eq!((&result["nodes"], &result["rounds"]), (&json!(["n0", "x"]), &json!(2)));
}

/// 3: errors carry no job, so one of another experiment evicts a node.
#[test]
fn fault_03_errors_of_other_experiments_evict_no_node() {
    let federation = federation(2);
    // Another node, a participant as good as any, errs whenever one is asked for anything,
    // with the very id and digest of the request.
    let spy = std::sync::Arc::new(Spy::start(&federation));
    let other = Fake::start(&federation, enrol(&federation, "node-other"), |_, _| {});
    let (say, ears) = (other.say.clone(), std::sync::Arc::clone(&spy));
    std::thread::spawn(move || {
        let mut n = 0;
        for _ in 0..2_000 {
            let asked: Vec<Message> = ears.to_nodes();
            for message in &asked[n.min(asked.len())..] {
                say.answer(message, refusal(Reason::Internal));
            }
            n = asked.len();
            // Two thousand looks are ten seconds, longer than the experiment takes.
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    let ended = federation.run(&federation.experiment(|text| text)).ok();
    assert_eq!(ended.result()["nodes"], json!(["n0", "n1"]));
    // It errs in its own name only, and is left out.
    let events = ended.events();
    let mut dropped = events.iter().filter(|event| event["event"] == "dropped");
    assert!(dropped.all(|event| event["node"] == "other"), "{events:?}");
}

/// 4: after a breakpoint replies are filtered by another researcher's id, and
/// waited for without end.
#[test]
fn fault_04_resumed_under_the_same_id_replies_arrive() {
    let federation = federation(2);
    let experiment = federation
        .experiment(|text| text.edit("rounds = 2", "rounds = 1\nsave_breakpoints = true"));
    federation.run(&experiment).ok();
    let mpk = || std::fs::read(federation.dir.path().join("out/params.mpk")).unwrap();
    let id = |bytes: &[u8]| fedwasm_params::mpk::decode(bytes).unwrap();
    let before = id(&mpk());
    let text = std::fs::read_to_string(&experiment).unwrap().edit("rounds = 1", "rounds = 2");
    std::fs::write(&experiment, text).unwrap();
    federation.to_out(&experiment, "--resume").ok();
    let researcher = |value: &fedwasm_params::mpk::Value| format!("{value:?}")[..120].to_owned();
    assert_eq!(researcher(&before), researcher(&id(&mpk())));
}

/// 5: a round without training stores the researcher's own auxiliary variables
/// as a node's.
#[test]
fn fault_05_validation_neither_sends_nor_takes_auxiliary_variables() {
    let federation = federation(2);
    let spy = Spy::start(&federation);
    let experiment = federation.experiment(|text| text + "[aggregator]\nname = \"scaffold\"\n");
    federation.run(&experiment).ok();
    let rounds = spy.rounds();
    let of = |mode| rounds.iter().filter(move |request| request.mode == mode);
    assert_eq!((of(Mode::Train).count(), of(Mode::Validate).count()), (4, 4));
    assert!(of(Mode::Train).all(|r| r.aux_shared.is_some() && r.aux_own.is_some()));
    assert!(of(Mode::Validate).all(|r| r.aux_shared.is_none() && r.aux_own.is_none()));
    let heard = spy.heard();
    let replies = heard.iter().filter_map(|envelope| match &envelope.body {
        Body::RoundReply(reply) => Some(reply),
        _ => None,
    });
    for reply in replies {
        assert_eq!(reply.aux.is_some(), reply.params.is_some());
    }
}

/// 6: one failed download loses the replies of all nodes.
#[test]
fn fault_06_one_failed_download_keeps_the_other_replies() {
    let federation = federation(2);
    let behaviour = |request: &RoundRequest| {
        let Body::RoundReply(mut reply) = usual(request) else { return None };
        // Parameters that are not in the repository.
        let absent = fedwasm_protocol::BlobRef::of(b"absent");
        (reply.params, reply.params_inline) = (reply.params.map(|_| absent), None);
        Some(vec![Body::RoundReply(reply)])
    };
    // Before the others in the order of sums, and after them.
    let _fakes = ["m", "x"].map(|id| Fake::node(&federation, id, columns(), Box::new(behaviour)));
    let ended = federation.run(&federation.experiment(|text| text)).ok();
    assert_eq!(ended.result()["nodes"], json!(["n0", "n1"]));
    let events = ended.events();
    let dropped: Vec<_> = events.iter().filter(|event| event["event"] == "dropped").collect();
    let first: Vec<_> = dropped.iter().filter(|event| event["round"] == 1).collect();
    assert_eq!(first.iter().map(|event| &event["node"]).collect::<Vec<_>>(), ["m", "x"]);
    for event in first {
        assert!(event["reason"].as_str().unwrap().contains("404"), "{event}");
    }
}

fn named(params: &Params) -> BTreeMap<String, Tensor> {
    params.iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect()
}

/// 7: what is for one node goes to all if the data have an odd shape. The
/// types are tested in `aux_vars.rs`; these are the messages.
#[test]
fn fault_07_a_node_gets_its_own_auxiliary_variables_only() {
    let federation = federation(3);
    let spy = Spy::start(&federation);
    let experiment = federation.experiment(|text| text + "[aggregator]\nname = \"scaffold\"\n");
    federation.run(&experiment).ok();
    let heard = spy.heard();
    let read = |payload: &Option<fedwasm_protocol::Payload>| {
        named(&from_safetensors(payload.as_ref().unwrap().bytes().unwrap().unwrap()).unwrap())
    };
    // The replies of the first round, and the requests of the second.
    let mut said: BTreeMap<String, BTreeMap<String, Tensor>> = BTreeMap::new();
    let mut asked = Vec::new();
    for envelope in heard.iter() {
        match &envelope.body {
            Body::RoundReply(reply) if reply.aux.is_some() => {
                said.entry(envelope.header.sender.node_id().unwrap().to_string())
                    .or_insert_with(|| read(&reply.aux));
            }
            Body::Round(request) if request.mode == Mode::Train && request.round == 2 => {
                asked.push((read(&request.aux_own), read(&request.aux_shared)));
            }
            _ => {}
        }
    }
    let nodes: Vec<NodeId> = ["n0", "n1", "n2"].map(|id| id.parse().unwrap()).into();
    assert_eq!((said.len(), asked.len()), (3, 3));
    for node in &nodes {
        let own = &said[node.as_str()];
        // Exactly one request holds it, and no shared part does.
        assert_eq!(asked.iter().filter(|(asked, _)| asked == own).count(), 1);
        let values =
            |tensors: &BTreeMap<String, Tensor>| tensors.values().cloned().collect::<Vec<_>>();
        assert!(asked.iter().all(|(_, shared)| values(shared) != values(own)));
    }
    assert!(asked.windows(2).all(|pair| pair[0].1 == pair[1].1));
}

/// 8: without model arguments nothing can train, and `test_ratio = 0` fails.
#[test]
fn fault_08_omitted_arguments_have_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let args = dir.path().join("args.toml");
    std::fs::write(&args, "[training]\nepochs = 1\ntest_ratio = 0\n").unwrap();
    let run = fedwasm(&["--json", "local", "--target", "benign", "--plan"]).arg(plan());
    let run = run.arg("--data").arg(crate::support::data("breast_cancer.csv"));
    let result = run.arg("--args").arg(args).ok().result();
    assert_eq!((&result["n_train"], &result["n_test"]), (&json!(569), &json!(0)));
}

/// 9: one message is changed and sent again, with paths of the researcher in it.
#[test]
fn fault_09_each_message_is_distinct_and_holds_no_path() {
    let federation = federation(2);
    let spy = Spy::start(&federation);
    federation.run(&federation.experiment(|text| text)).ok();
    let heard = spy.to_nodes();
    let path = federation.dir.path().file_name().unwrap().to_str().unwrap().as_bytes();
    for (_, bytes) in spy.raw() {
        assert!(!bytes.windows(path.len()).any(|window| window == path));
        assert!(!bytes.windows(5).any(|window| window == b".wasm"));
    }
    let ids: std::collections::BTreeSet<_> =
        heard.iter().map(|message| &message.header.request_id).collect();
    assert_eq!(ids.len(), heard.len());
}

/// 10: breakpoints break when they are moved, loaded and saved again, or hold
/// a round without training, and lose the state of Scaffold. The rest is in
/// `resume.rs` and `breakpoint.rs`.
#[test]
fn fault_10_a_breakpoint_is_saved_again_after_it_was_loaded() {
    let federation = federation(2);
    let experiment = federation.experiment(|text| {
        let text = text.edit("rounds = 2", "rounds = 1\nsave_breakpoints = true");
        text + "[aggregator]\nname = \"scaffold\"\n"
    });
    let out = federation.dir.path().join("out");
    federation.run(&experiment).ok();
    for rounds in 2..4 {
        let text = std::fs::read_to_string(&experiment).unwrap();
        let text = text.edit(&format!("rounds = {}", rounds - 1), &format!("rounds = {rounds}"));
        std::fs::write(&experiment, text).unwrap();
        let result = federation.to_out(&experiment, "--resume").ok().result();
        assert_eq!(result["rounds"], rounds);
        let breakpoint = out.join(format!("breakpoints/round-000{rounds}"));
        let loaded = fedwasm_researcher::Breakpoint::load(&breakpoint).unwrap();
        assert_eq!(loaded.history.rounds.len(), rounds);
        // c_i of two nodes, for weight and bias.
        assert_eq!(loaded.aggregator.iter().filter(|(name, _)| name.starts_with("c.")).count(), 4);
    }
}

/// 11: the time of a node holds the pauses of a poll.
#[test]
fn fault_11_timings_exclude_pauses() {
    let federation = federation(2);
    federation.run(&federation.experiment(|text| text)).ok();
    let history = fedwasm_researcher::load_history(&federation.dir.path().join("out")).unwrap();
    let second = &history.rounds[1];
    for record in second.nodes.values() {
        let timing = record.timing;
        let inner = timing.download_ms + timing.prepare_ms + timing.train_ms + timing.upload_ms;
        assert!(record.total_ms >= inner, "{record:?}");
        // A poll of Fed-BioMed takes five seconds.
        assert!(record.total_ms < 5_000.0 && timing.process_ms <= timing.train_ms + 5.0);
        assert!(timing.process_ms > 0.0);
    }
}

/// 12: the last validation forgets secure aggregation, a bad argument is
/// answered twice, and wrong arguments raise late.
#[test]
fn fault_12_every_request_carries_secure_aggregation_and_is_answered_once() {
    let secure = Federation::start();
    let in_the_clear = Otherwise::answers(|question, body| match question {
        Body::Round(request) => Some(usual(request)),
        _ => Some(body),
    });
    let fake = secure_node(&secure, "x", 0.5, in_the_clear);
    let _others = ["y", "z"].map(|id| secure_node::secure(&secure, id));
    let experiment = secure.experiment(|text| {
        text + "[secagg]\nservkey_id = \"k\"\nbiprime_id = \"b\"\nclipping_range = 3\n"
    });
    let spy = Spy::start(&secure);
    let ended = secure.run(&experiment).run();
    assert_ne!(ended.code, 0, "{}", ended.stderr);
    // That it answers in the clear is not taken.
    let events = ended.events();
    let dropped = events.iter().find(|event| event["event"] == "dropped").unwrap();
    assert_eq!(dropped["node"], "x");
    let reason = dropped["reason"].as_str().unwrap();
    assert!(reason.contains("answered in the clear"), "{reason}");
    let rounds = fake.rounds();
    let secagg = rounds[0].secagg.as_ref().unwrap();
    assert_eq!((secagg.servkey_id.as_deref(), secagg.clip), (Some("k"), 3.0));
    assert!((0.0..1.0).contains(&secagg.random.unwrap()));
    let heard = spy.heard();
    let y = "node-y".parse().unwrap();
    let of_y = heard.iter().filter(|message| message.header.sender == y);
    let answers = of_y.filter(|e| matches!(e.body, Body::Refused(_) | Body::RoundReply(_)));
    assert_eq!(answers.count(), 1);
    let federation = federation(1);
    // A maximum above the number of batches is allowed; sigma must be given.
    let ok = |text: String| {
        let text = text.edit("min_nodes = 2", "min_nodes = 1");
        text.edit("epochs = 1", "epochs = 1\nbatch_maxnum = 4242")
    };
    federation.run(&federation.experiment(ok)).ok();
    let missing = |text: String| text.edit("epochs = 1", "epochs = 1\ndp_args = { clip = 1 }");
    let ended = federation.run(&federation.experiment(missing)).run();
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("`training.dp_args.sigma` is missing"), "{}", ended.stderr);
}
