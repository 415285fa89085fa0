//! Attempts to read rows one by one with nothing but shipped plans and arguments: every
//! number that leaves a node is about ten rows or more.

use std::path::PathBuf;

use fedwasm_protocol::{Body, Budget, Mode, Progress, Reason, RoundReply, RoundRequest, Value};

use crate::fake::{Fake, Spy, enrol};
use crate::support::{Edit, Federation, data, event, fedwasm, part, root};

/// Rows of the node's file.
const N_ROWS: f64 = 285.0;

/// A node whose plans are approved by hand, and a researcher with a client of its own.
struct Stage {
    federation: Federation,
    mallory: Fake,
    /// A round that the node runs.
    good: RoundRequest,
}

fn linear_regression() -> PathBuf {
    root().join("plugins/dist/linear-regression.wasm")
}

fn node_dir(federation: &Federation) -> PathBuf {
    federation.dir.path().join("n0")
}

/// Starts the node again with another configuration.
fn restart(federation: &mut Federation, change: impl FnOnce(String) -> String) {
    federation.nodes.clear();
    let file = node_dir(federation).join("node.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let changed = change(config.clone());
    assert_ne!(changed, config);
    std::fs::write(file, changed).unwrap();
    let running = fedwasm(&["node", "start"]).arg(node_dir(federation)).start();
    running.wait_for(event("ready"));
    federation.nodes.push(running);
}

/// Approves linear regression with bounds that leave sizes free.
fn approve(federation: &Federation, rest: &[&str]) {
    let run = fedwasm(&["node", "plan", "approve"]).arg(node_dir(federation));
    run.arg(linear_regression()).args(&["--bound", "optimizer.lr<=0.5"]).args(rest).ok();
}

fn stage() -> Stage {
    let mut federation = Federation::start();
    let file = part(federation.dir.path(), 0, 2);
    federation.node("n0", &file);
    restart(&mut federation, |config| config.edit("policy = \"any\"", "policy = \"hand\""));
    approve(&federation, &[]);
    let spy = Spy::start(&federation);
    let experiment = federation.experiment(|text| {
        let plan = crate::support::plan().display().to_string();
        let text = text.edit(&plan, linear_regression().to_str().unwrap());
        let text = text.edit("min_nodes = 2", "min_nodes = 1").edit("rounds = 2", "rounds = 1");
        text.edit("[model]\nn_classes = 2\n", "")
    });
    federation.run(&experiment).ok();
    let mut good = spy.rounds().swap_remove(0);
    good.experiment_id = "mallory".parse().unwrap();
    let member = enrol(&federation, "researcher-mallory");
    let mallory = Fake::start(&federation, member, |_, _| {});
    Stage { federation, mallory, good }
}

impl Stage {
    fn ask(&self, change: impl FnOnce(&mut RoundRequest)) -> Body {
        let mut request = self.good.clone();
        change(&mut request);
        self.mallory
            .heard
            .lock()
            .unwrap()
            .retain(|message| !matches!(message.body, Body::Progress(_)));
        self.mallory.ask("n0", Body::Round(Box::new(request)))
    }

    /// The node refuses by name.
    fn refused(&self, rows: u64, change: impl FnOnce(&mut RoundRequest)) {
        match self.ask(change) {
            Body::Refused(refusal) => {
                assert_eq!(refusal.reason, Reason::Privacy, "{}", refusal.message);
                let expected = format!(" {rows} row");
                assert!(refusal.message.contains(&expected), "{}", refusal.message);
                assert!(refusal.message.contains("fewer than 10"), "{}", refusal.message);
            }
            other => panic!("{rows} rows: {other:?}"),
        }
    }

    fn answered(&self, change: impl FnOnce(&mut RoundRequest)) -> RoundReply {
        match self.ask(change) {
            Body::RoundReply(reply) => *reply,
            other => panic!("{other:?}"),
        }
    }

    /// The numbers that were told while the newest round ran.
    fn told(&self) -> Vec<Progress> {
        let heard = self.mallory.heard.lock().unwrap();
        let progress = heard.iter().filter_map(|message| match &message.body {
            Body::Progress(progress) => Some(progress.clone()),
            _ => None,
        });
        progress.collect()
    }
}

/// The share that holds out so many rows.
fn ratio(n_rows: u64) -> f64 {
    (n_rows as f64 + 0.5) / N_ROWS
}

/// Weights zero, one held-out row: the square root of the loss is the cell, of any column.
#[test]
fn cells_by_the_loss_of_one_held_out_row() {
    let stage = stage();
    let header = std::fs::read_to_string(data("breast_cancer.csv")).unwrap();
    let mut columns = header.lines().next().unwrap().split(',');
    let input = columns.next().unwrap();
    for target in columns.take(6) {
        for rows in [1, 9] {
            stage.refused(rows, |round| {
                round.mode = Mode::Validate;
                round.data.target = fedwasm_protocol::DataArgs::of(target).target;
                round.data.inputs = Some(vec![input.to_owned()].into());
                round.training.test_ratio = ratio(rows);
            });
        }
    }
    let reply = stage.answered(|round| {
        round.mode = Mode::Validate;
        round.training.test_ratio = ratio(10);
    });
    assert_eq!(reply.evaluation.unwrap().n_rows, 10);
    // Nor does a row tell by being left out of what is trained on.
    stage.refused(1, |round| {
        round.training.test_ratio = ratio(1);
        round.training.test_on_global_updates = false;
    });
}

/// Trained on one row, the weights are the row.
#[test]
fn rows_by_the_weights_of_a_model_trained_on_one() {
    let stage = stage();
    for rows in [1, 9] {
        stage.refused(rows, |round| round.training.test_ratio = ratio(285 - rows));
        let batch = |round: &mut RoundRequest, budget| {
            round.training.loader_args.batch_size = rows as u32;
            round.training.budget = budget;
        };
        stage.refused(rows, |round| batch(round, Budget::Updates { num_updates: 1 }));
        // The same few rows in every epoch.
        stage.refused(rows, |round| {
            batch(round, Budget::Epochs { epochs: 10, batch_maxnum: Some(1) });
            round.training.loader_args.shuffle = false;
        });
        stage.refused(rows, |round| {
            batch(round, Budget::Epochs { epochs: 1, batch_maxnum: None });
            round.training.dry_run = true;
        });
    }
    let reply = stage.answered(|round| {
        round.training.loader_args.batch_size = 5;
        round.training.budget = Budget::Epochs { epochs: 1, batch_maxnum: Some(2) };
    });
    assert_eq!((reply.n_steps, reply.n_samples), (2, 228));
}

/// Losses of batches of one row, batch by batch.
#[test]
fn losses_of_single_rows_while_a_round_runs() {
    let stage = stage();
    let reply = stage.answered(|round| {
        round.training.loader_args.batch_size = 1;
        round.training.log_interval = 1;
        round.training.optimizer_args = [("optimizer.lr".to_owned(), Value::Real(0.001))].into();
    });
    assert_eq!(reply.n_steps, 228);
    let said = reply.warnings.join("\n");
    assert!(said.contains("losses of single batches are withheld: batches have 1 rows"), "{said}");
    let told = stage.told();
    assert!(!told.is_empty() && told.iter().all(|p| p.loss.is_none() && p.points.is_empty()));
    // The last batch of an epoch has the rows that are left, here three.
    stage.answered(|round| {
        round.training.loader_args.batch_size = 45;
        round.training.log_interval = 1;
    });
    let points: Vec<u64> = stage.told().iter().flat_map(|p| &p.points).map(|p| p.step).collect();
    assert!(points.contains(&1) && !points.contains(&6), "{points:?}");
}

/// An operator decides otherwise, for one plan by name or for all progress.
#[test]
fn floors_are_set_by_the_operator() {
    let mut stage = stage();
    approve(&stage.federation, &["--min-rows", "2"]);
    let one = |round: &mut RoundRequest| round.training.test_ratio = ratio(1);
    match stage.ask(one) {
        Body::Refused(refusal) => assert!(refusal.message.contains("fewer than 2"), "{refusal:?}"),
        other => panic!("{other:?}"),
    }
    stage.answered(|round| round.training.test_ratio = ratio(2));
    approve(&stage.federation, &[]);
    stage.refused(2, |round| round.training.test_ratio = ratio(2));
    restart(&mut stage.federation, |config| {
        config.edit("min_rows = 10", "min_rows = 30").edit("progress = true", "progress = false")
    });
    match stage.ask(|round| round.training.test_ratio = ratio(29)) {
        Body::Refused(refusal) => assert!(refusal.message.contains("fewer than 30"), "{refusal:?}"),
        other => panic!("{other:?}"),
    }
    stage.answered(|_| {});
    assert_eq!(stage.told(), []);
}
