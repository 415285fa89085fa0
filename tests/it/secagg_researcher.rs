//! Secure sums as the researcher makes them, with nodes that keep to the protocol and nodes that do
//! not.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fedwasm_params::{Params, from_safetensors};
use fedwasm_privacy::Stream;
use fedwasm_protocol::{Body, Mode, Reason, Refusal, RoundReply, SecaggStep};
use fedwasm_researcher::{History, load_history};

use crate::fake::Fake;
use crate::secure_node::{N_SCORED, N_TRAINED, Otherwise, change_of, secure_node};
use crate::support::{Edit, Ended, Federation, fedwasm};

/// What nodes `a` to `e` add to every value.
const CHANGES: [f64; 5] = [0.5, -0.25, 0.125, 0.25, 1.0];
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

pub fn nodes(federation: &Federation, n: usize) -> Vec<Fake> {
    nodes_with(federation, n, "", Otherwise::default())
}

/// The first `n` nodes; that of the name `odd` does something otherwise.
pub fn nodes_with(federation: &Federation, n: usize, odd: &str, otherwise: Otherwise) -> Vec<Fake> {
    let mut otherwise = Some(otherwise);
    let node = |(id, change): (&str, f64)| {
        let own = otherwise.take_if(|_| id == odd).unwrap_or_default();
        secure_node(federation, id, change, own)
    };
    NAMES.into_iter().zip(CHANGES).take(n).map(node).collect()
}

pub fn experiment(
    federation: &Federation,
    secagg: &str,
    change: impl Fn(String) -> String,
) -> PathBuf {
    federation.experiment(|text| {
        let text = text.edit("min_nodes = 2\n", "");
        let text = text.edit("round_deadline_s = 120", "round_deadline_s = 20");
        change(text.edit("rounds = 2", "rounds = 2\nkeep_uploads = true")) + secagg
    })
}

pub const MASKING: &str = "[secagg]\nscheme = \"masking\"\n";
pub const DOUBLE: &str = "[secagg]\nscheme = \"double_masking\"\n";

pub fn out(federation: &Federation) -> PathBuf {
    federation.dir.path().join("out")
}

pub fn history(federation: &Federation) -> History {
    load_history(&out(federation)).unwrap()
}

pub fn params(file: &Path) -> Params {
    from_safetensors(&std::fs::read(file).unwrap()).unwrap()
}

/// Checks that every value moved by `each` in each of two rounds.
fn assert_moved(federation: &Federation, each: f64) {
    let history = history(federation);
    let initial = history.initial_sha256.unwrap();
    let before = params(&out(federation).join("uploads").join(format!("{initial}.safetensors")));
    let after = params(&out(federation).join("params.safetensors"));
    let rounds = history.rounds.len() as f64;
    // Half a step of the quantiser a round, and the rounding of float32.
    let step = 3.0 / f64::from((1 << 23) - 1);
    for (name, tensor) in after.iter() {
        let before = before.tensor(name).unwrap().floats().unwrap();
        for (after, before) in tensor.floats().unwrap().into_iter().zip(before) {
            let off = (after - before - rounds * change_of(name, each)).abs();
            assert!(off <= rounds * step / 2.0 + 1e-6, "{name} is off by {off}");
        }
    }
}

fn failed(federation: &Federation, experiment: &Path) -> Ended {
    let ended = federation.run(experiment).run();
    assert_ne!(ended.code, 0, "{}", ended.stdout);
    ended
}

#[test]
fn masks_cancel_and_only_sums_are_recorded() {
    let federation = Federation::start();
    let nodes = nodes(&federation, 3);
    let experiment = experiment(&federation, MASKING, |text| text);
    federation.run(&experiment).ok();
    assert_moved(&federation, CHANGES[..3].iter().sum::<f64>() / 3.0);
    let history = history(&federation);
    for round in &history.rounds {
        let sum = round.secagg.as_ref().unwrap();
        assert_eq!((sum.n_samples, sum.n_steps), (3 * N_TRAINED, 9));
        assert_eq!(sum.sum_of.len(), 3);
        assert!((round.train_loss().unwrap() - 0.25).abs() < 1e-4);
        let scores = round.evaluation.as_ref().unwrap();
        assert_eq!(scores.n_rows, 3 * N_SCORED);
        assert!((scores.metrics["accuracy"] - 0.875 / 3.0).abs() < 1e-4);
        for node in round.nodes.values() {
            assert_eq!((node.n_samples, node.train_loss), (0, None));
            assert!(node.evaluation.is_none() && node.global_evaluation.is_none());
        }
    }
    // One context for both rounds and their scores.
    let heard = nodes[0].heard.lock().unwrap();
    let steps = heard.iter().filter(|message| matches!(message.body, Body::Secagg(_)));
    assert_eq!(steps.count(), 2);
}

#[test]
fn results_of_single_nodes_are_shown_nowhere() {
    let federation = Federation::start();
    let _nodes = nodes(&federation, 3);
    let all = |text: String| {
        let text = text.edit("rounds = 2", "rounds = 2\ntensorboard = true\nscore_initial = true");
        text.edit("test_on_global", "test_on_local_updates = true\ntest_on_global")
    };
    let experiment = experiment(&federation, MASKING, all);
    let ended = federation.run(&experiment).ok();
    let events = ended.events();
    let round = events.iter().find(|event| event["event"] == "round").unwrap();
    assert_eq!(round["train_loss"], serde_json::json!({}));
    assert_eq!(round["secagg"]["n_samples"], 3 * N_TRAINED);
    let agreed = events.iter().find(|event| event["event"] == "agreed").unwrap();
    assert_eq!((&agreed["scheme"], &agreed["nodes"]), (&"masking".into(), &3.into()));
    let shown = fedwasm(&["experiment", "show"]).arg(out(&federation)).ok().stdout;
    assert!(shown.contains("secure aggregation (masking), sum of 3 nodes"), "{shown}");
    assert!(shown.contains("all nodes  240 samples, 9 steps, training loss 0.25"), "{shown}");
    assert!(!shown.contains("0 samples,\n") && !shown.contains("training loss -"), "{shown}");
    let page = std::fs::read_to_string(out(&federation).join("report.html")).unwrap();
    assert!(page.contains("sum of 3 nodes") && !page.contains("Training rows"), "{page}");
    let runs = std::fs::read_dir(out(&federation).join("tensorboard")).unwrap();
    let runs: Vec<_> = runs.map(|run| run.unwrap().file_name()).collect();
    assert_eq!(runs, ["all-nodes"]);
}

#[test]
fn double_masking_sums_too() {
    let federation = Federation::start();
    let _nodes = nodes(&federation, 4);
    let experiment = experiment(&federation, DOUBLE, |text| text);
    federation.run(&experiment).ok();
    assert_moved(&federation, CHANGES[..4].iter().sum::<f64>() / 4.0);
}

/// Changes a node's answer to a round.
fn reply(change: impl Fn(&mut RoundReply) + Send + 'static) -> Otherwise {
    Otherwise::answers(move |_, mut body| {
        if let Body::RoundReply(reply) = &mut body {
            change(reply);
        }
        Some(body)
    })
}

#[test]
fn wrong_answers_are_refused_by_name() {
    let cases: Vec<(Otherwise, &str)> = vec![
        (reply(|reply| reply.secagg = None), "it answered in the clear"),
        (
            reply(|reply| reply.secagg.as_mut().unwrap().clip = 4.0),
            "it limits values to 4, at most 3 was asked for",
        ),
        (
            reply(|reply| reply.secagg.as_mut().unwrap().sum_id = [7; 32].into()),
            "its part is of another sum",
        ),
        (reply(|reply| reply.secagg.as_mut().unwrap().parties = 4), "it masked for 4 nodes"),
        (reply(|reply| reply.encryption_factor = None), "it sent no check value"),
        (reply(|reply| reply.encryption_factor = Some(vec![0; 3])), "has 3 bytes, expected 24"),
        (reply(|reply| reply.n_samples = 80), "it told rows in the clear"),
        (reply(|reply| reply.train_loss = Some(0.5)), "it told a training loss in the clear"),
        (
            Otherwise::masks(|vectors| {
                vectors.get_mut(&Stream::Params).unwrap().pop();
            }),
            "its masked vectors: ",
        ),
        (
            Otherwise::masks(|vectors| {
                vectors.remove(&Stream::Counts);
            }),
            "its masked vectors: ",
        ),
    ];
    for (otherwise, text) in cases {
        let federation = Federation::start();
        let _nodes = nodes_with(&federation, 3, "b", otherwise);
        let secagg = format!("{MASKING}random = 0.5\n");
        let ended = failed(&federation, &experiment(&federation, &secagg, |text| text));
        let expected = format!("lacks the part of b ({text}");
        assert!(ended.stderr.contains("lacks the part of b ("), "{text}: {}", ended.stderr);
        assert!(ended.stderr.contains(text), "{expected}: {}", ended.stderr);
    }
}

#[test]
fn altered_sums_are_refused() {
    for (stream, at) in [(Stream::Params, 0), (Stream::Check, 0), (Stream::Counts, 3)] {
        let federation = Federation::start();
        let altered = Otherwise::masks(move |vectors| {
            let lanes = vectors.get_mut(&stream).unwrap();
            lanes[at] = lanes[at].wrapping_add(1 << 60);
        });
        let _nodes = nodes_with(&federation, 3, "b", altered);
        let secagg = format!("{MASKING}random = 0.5\n");
        let ended = failed(&federation, &experiment(&federation, &secagg, |text| text));
        assert!(ended.stderr.contains("wrong or altered"), "{stream:?}: {}", ended.stderr);
    }
}

#[test]
fn a_lost_part_is_named_and_a_retry_asks_the_same_nodes() {
    let federation = Federation::start();
    // Silent the first time it is asked for a round.
    let asked = Arc::new(AtomicUsize::new(0));
    let times = Arc::clone(&asked);
    let lost = Otherwise::answers(move |question, body| match question {
        Body::Round(_) if times.fetch_add(1, Ordering::SeqCst) == 0 => {
            Some(Body::Refused(Refusal { reason: Reason::Internal, message: "disk full".into() }))
        }
        _ => Some(body),
    });
    let nodes = nodes_with(&federation, 4, "b", lost);
    let few = |text: String| {
        text.edit(
            "round_deadline_s",
            "min_nodes = 3\nretries = 1\nretry_pause_s = 0\nround_deadline_s",
        )
    };
    let ended = federation.run(&experiment(&federation, MASKING, few)).ok();
    let events = ended.events();
    let retry = events.iter().find(|event| event["event"] == "retry").unwrap();
    let reason = retry["reason"].as_str().unwrap();
    assert!(reason.contains("lacks the part of b (disk full)"), "{reason}");
    assert!(reason.contains("no smaller set is asked"), "{reason}");
    assert_moved(&federation, CHANGES[..4].iter().sum::<f64>() / 4.0);
    // Both tries had the same nodes and, as pads serve once, other keys.
    let rounds = nodes[0].rounds();
    let first = |round: u32| {
        let of = rounds.iter().filter(move |r| (r.round, r.mode) == (round, Mode::Train));
        of.map(|request| request.secagg.as_ref().unwrap().sum_id).collect::<Vec<_>>()
    };
    assert_eq!(first(1).len(), 2);
    assert_ne!(first(1)[0], first(1)[1]);
}

#[test]
fn a_set_that_was_asked_is_kept_over_a_restart() {
    let federation = Federation::start();
    let silent = Otherwise::answers(|question, body| match question {
        Body::Round(request) if request.round == 2 => {
            Some(Body::Refused(Refusal { reason: Reason::Internal, message: "disk full".into() }))
        }
        _ => Some(body),
    });
    let mut nodes = nodes_with(&federation, 4, "d", silent);
    let few = |text: String| {
        let text = text.edit("rounds = 2", "rounds = 2\nsave_breakpoints = true");
        text.edit("round_deadline_s", "min_nodes = 3\nround_deadline_s")
    };
    let experiment = experiment(&federation, MASKING, few);
    failed(&federation, &experiment);
    assert_eq!(history(&federation).rounds.len(), 1);
    // Three nodes would be enough for a round, but this round was begun with four.
    nodes.pop();
    let ended = federation.to_out(&experiment, "--resume").run();
    assert!(ended.stderr.contains("lacks the part of d (it is not connected)"), "{}", ended.stderr);
    assert_eq!(ended.code, 5);
    nodes.push(secure_node(&federation, "d", CHANGES[3], Otherwise::default()));
    federation.to_out(&experiment, "--resume").ok();
    assert_moved(&federation, CHANGES[..4].iter().sum::<f64>() / 4.0);
}

#[test]
fn keys_that_were_forgotten_are_agreed_upon_anew() {
    let federation = Federation::start();
    let forgot = Arc::new(AtomicUsize::new(0));
    let once = Arc::clone(&forgot);
    let forgetful = Otherwise::answers(move |question, body| match question {
        Body::Round(request) if request.round == 2 && once.fetch_add(1, Ordering::SeqCst) == 0 => {
            let message = "the keys of this sum are not here".into();
            Some(Body::Refused(Refusal { reason: Reason::State, message }))
        }
        _ => Some(body),
    });
    let _nodes = nodes_with(&federation, 3, "c", forgetful);
    federation.run(&experiment(&federation, MASKING, |text| text)).ok();
    assert_moved(&federation, CHANGES[..3].iter().sum::<f64>() / 3.0);
}

#[test]
fn double_masking_survives_losses_at_every_step_down_to_its_threshold() {
    let steps = [
        Some(SecaggStep::Keys),
        Some(SecaggStep::Agree),
        None,
        Some(SecaggStep::Consent),
        Some(SecaggStep::Reveal),
    ];
    for step in steps {
        let lost = move || {
            Otherwise::answers(move |question, body| {
                let is_lost = match question {
                    Body::Secagg(request) => Some(request.step) == step,
                    Body::Round(_) => step.is_none(),
                    _ => false,
                };
                let message = "disk full".into();
                Some(match is_lost {
                    true => Body::Refused(Refusal { reason: Reason::Internal, message }),
                    false => body,
                })
            })
        };
        let federation = Federation::start();
        // Five nodes need four at each step.
        let mut nodes = nodes_with(&federation, 5, "e", lost());
        let few = |text: String| {
            let text = text.edit("rounds = 2", "rounds = 1");
            text.edit("round_deadline_s", "min_nodes = 3\nround_deadline_s")
        };
        let experiment = experiment(&federation, DOUBLE, few);
        federation.run(&experiment).ok();
        let is_in = matches!(step, Some(SecaggStep::Consent | SecaggStep::Reveal));
        let n = if is_in { 5 } else { 4 };
        assert_moved(&federation, CHANGES[..n].iter().sum::<f64>() / n as f64);
        let sum = history(&federation).rounds[0].secagg.clone().unwrap();
        assert_eq!(sum.sum_of.len(), n, "{step:?}");

        std::fs::remove_dir_all(out(&federation)).unwrap();
        nodes.remove(0);
        nodes.push(secure_node(&federation, "a2", 0.5, lost()));
        let other = std::fs::read_to_string(&experiment).unwrap();
        std::fs::write(&experiment, other.edit("random_seed = 42", "random_seed = 43")).unwrap();
        let ended = failed(&federation, &experiment);
        assert!(ended.stderr.contains("3 of at least 4 nodes"), "{step:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("a2, e: disk full"), "{step:?}: {}", ended.stderr);
    }
}

#[test]
fn what_cannot_be_summed_is_refused_before_the_first_round() {
    let federation = Federation::start();
    let nodes = nodes(&federation, 3);
    let median =
        experiment(&federation, MASKING, |text| text + "[aggregator]\nname = \"median\"\n");
    let ended = failed(&federation, &median);
    assert!(ended.stderr.contains("only their sum is known"), "{}", ended.stderr);
    assert_eq!(ended.code, 2);
    let four = experiment(&federation, &format!("{MASKING}min_parties = 4\n"), |text| text);
    let ended = failed(&federation, &four);
    assert!(ended.stderr.contains("3 nodes, a sum needs 4 to 64"), "{}", ended.stderr);
    let checked = fedwasm(&["experiment", "check"]).arg(&four).run();
    assert!(checked.stderr.contains("3 nodes, a sum needs 4 to 64"), "{}", checked.stderr);
    assert_ne!(checked.code, 0);
    assert!(nodes.iter().all(|node| node.rounds().is_empty()));
}
