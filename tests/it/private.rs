//! Differential privacy that a node enforces: floors that no request lowers, results that tell
//! nothing beside noised parameters, a budget that nothing resets, and a plan that steals rows.

use std::path::PathBuf;

use fedwasm_params::from_safetensors;
use fedwasm_protocol::{
    BlobRef, Body, Budget, DpArgs, DpKind, Mode, Progress, Reason, Refusal, RoundReply,
    RoundRequest,
};
use serde_json::Value;

use crate::fake::{Fake, Spy, enrol};
use crate::support::{Edit, Federation, data, event, fedwasm, guest, part, wait_until};

/// A node, and a researcher with a client of its own.
struct Stage {
    federation: Federation,
    mallory: Fake,
    /// A round that the node runs.
    good: RoundRequest,
}

/// The floors of most tests.
const FLOORS: &str = "clip = 0.5\nnoise_multiplier = 1.0\ntime_step_ms = 1";

fn asked(sigma: f64, clip: f64) -> DpArgs {
    DpArgs { kind: DpKind::Local, sigma, clip }
}

impl Stage {
    /// A node that ran one round in the clear.
    fn new(change: impl Fn(String) -> String) -> Self {
        let mut federation = Federation::start();
        let file = part(federation.dir.path(), 0, 2);
        federation.node("n0", &file);
        let spy = Spy::start(&federation);
        let experiment = federation.experiment(|text| {
            let text = text.edit("min_nodes = 2", "min_nodes = 1").edit("rounds = 2", "rounds = 1");
            let text = text.edit("test_on_global_updates = true", "");
            change(text)
        });
        federation.run(&experiment).ok();
        let mut good = spy.rounds().swap_remove(0);
        good.experiment_id = "mallory".parse().unwrap();
        let member = enrol(&federation, "researcher-mallory");
        let mallory = Fake::start(&federation, member, |_, _| {});
        Self { federation, mallory, good }
    }

    fn dir(&self) -> PathBuf {
        self.federation.dir.path().join("n0")
    }

    /// Starts the node again with these lines under `[privacy]`.
    fn restart(&mut self, floors: &str) {
        self.federation.nodes.clear();
        let file = self.dir().join("node.toml");
        let config = std::fs::read_to_string(&file).unwrap();
        let mut config: toml::Table = config.parse().unwrap();
        let privacy = format!("min_rows = 10\nprogress = true\n{floors}");
        config.insert("privacy".into(), privacy.parse::<toml::Table>().unwrap().into());
        std::fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
        self.start();
    }

    fn start(&mut self) {
        let running = fedwasm(&["node", "start"]).arg(self.dir()).start();
        running.wait_for(event("ready"));
        self.federation.nodes.push(running);
    }

    fn ask(&self, change: impl FnOnce(&mut RoundRequest)) -> Body {
        let mut request = self.good.clone();
        change(&mut request);
        let mut heard = self.mallory.heard.lock().unwrap();
        heard.retain(|message| !matches!(message.body, Body::Progress(_)));
        drop(heard);
        self.mallory.ask("n0", Body::Round(Box::new(request)))
    }

    fn answered(&self, change: impl FnOnce(&mut RoundRequest)) -> RoundReply {
        match self.ask(change) {
            Body::RoundReply(reply) => *reply,
            other => panic!("{other:?}"),
        }
    }

    fn refused(&self, change: impl FnOnce(&mut RoundRequest)) -> Refusal {
        match self.ask(change) {
            Body::Refused(refusal) => refusal,
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

    /// The values of the parameters of a reply, as its researcher fetches them.
    fn values(&self, reply: &RoundReply) -> Vec<f64> {
        self.values_of(&reply.params.unwrap(), reply.params_inline.as_deref())
    }

    fn values_of(&self, blob: &BlobRef, inline: Option<&[u8]>) -> Vec<f64> {
        let member = enrol(&self.federation, "researcher-mallory");
        let url = self.federation.repository.parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bytes = runtime.block_on(async {
            let repository = fedwasm_transport::Repository::new(url, Some(&member)).unwrap();
            repository.get_carried(blob, inline).await.unwrap()
        });
        let params = from_safetensors(&bytes).unwrap();
        params.iter().flat_map(|(_, tensor)| tensor.floats().unwrap()).collect()
    }

    /// `node privacy show`.
    fn account(&self) -> Value {
        let shown = fedwasm(&["--json", "node", "privacy", "show"]).arg(self.dir()).ok();
        shown.result()["datasets"][0].clone()
    }
}

/// The terms that held, as the reply has them.
fn held(reply: &RoundReply) -> String {
    reply.warnings.iter().find(|text| text.contains("differential privacy")).unwrap().clone()
}

#[test]
fn the_stricter_of_floor_and_request_holds_and_nothing_else_leaves() {
    let mut stage = Stage::new(|text| text);
    let clear = [stage.answered(|_| {}), stage.answered(|_| {})];
    assert_eq!(clear[0].params, clear[1].params);
    assert_eq!((clear[0].n_samples, clear[0].train_loss.is_some()), (228, true));

    stage.restart(FLOORS);
    let first = stage.answered(|_| {});
    assert!(held(&first).contains("L2 norm of 0.5 and has noise of multiplier 1;"), "{first:?}");
    assert_eq!((first.n_samples, first.n_steps, first.train_loss), (1, 1, None));
    assert!(first.optimizer_args.is_empty() && first.evaluation.is_none());
    assert_eq!(stage.told(), []);
    let second = stage.answered(|round| round.training.test_on_local_updates = true);
    assert!(second.params != first.params && first.params != clear[0].params);
    assert!(second.evaluation.unwrap().metrics.is_empty());

    for (sigma, clip, expected) in [
        (0.5, 9.0, "norm of 0.5 and has noise of multiplier 1;"),
        (0.5, 0.1, "norm of 0.1 and has noise of multiplier 1;"),
        (3.0, 9.0, "norm of 0.5 and has noise of multiplier 3;"),
        (3.0, 0.1, "norm of 0.1 and has noise of multiplier 3;"),
    ] {
        let reply = stage.answered(|round| round.training.dp_args = Some(asked(sigma, clip)));
        assert!(held(&reply).contains(expected), "{sigma} {clip}: {}", held(&reply));
    }
    // Asked for where no floor is.
    stage.restart("time_step_ms = 1");
    let reply = stage.answered(|round| round.training.dp_args = Some(asked(2.0, 0.25)));
    assert!(held(&reply).contains("norm of 0.25 and has noise of multiplier 2;"), "{reply:?}");
    assert_eq!(stage.answered(|_| {}).params, clear[0].params);
    let central = DpArgs { kind: DpKind::Central, ..asked(1.0, 1.0) };
    let refused = stage.refused(|round| round.training.dp_args = Some(central));
    assert_eq!(refused.reason, Reason::Unsupported);
    assert!(refused.message.contains("aggregator"), "{}", refused.message);
    let refused = stage.refused(|round| round.training.dp_args = Some(asked(0.0, 1.0)));
    assert_eq!(refused.reason, Reason::BadRequest);
    // The clip alone, for noise that the aggregator adds.
    let alone = |clip: f64| {
        let dp_args = DpArgs { kind: DpKind::Central, ..asked(0.0, clip) };
        let reply = stage.answered(move |round| round.training.dp_args = Some(dp_args));
        assert_eq!((reply.n_samples, reply.train_loss.is_some()), (228, true));
        reply
    };
    assert_eq!(alone(1e6).params, clear[0].params);
    let start = stage.values_of(&stage.good.params, stage.good.params_inline.as_deref());
    let norm = |reply: &RoundReply| {
        let steps = stage.values(reply).into_iter().zip(&start).map(|(y, x)| y - x);
        steps.map(|step| step * step).sum::<f64>().sqrt()
    };
    let (clear, clipped) = (norm(&clear[0]), norm(&alone(0.01)));
    assert!(clear > 0.1 && (clipped / 0.01 - 1.0).abs() < 1e-4, "{clear} {clipped}");
}

#[test]
fn every_other_floor_holds() {
    let mut stage = Stage::new(|text| text);
    // Of one dataset, above that of all.
    stage.restart("time_step_ms = 1\n[d]\nclip = 0.5\nnoise_multiplier = 2.0");
    assert!(held(&stage.answered(|_| {})).contains("multiplier 2;"));
    let refused = stage.refused(|round| round.mode = Mode::Validate);
    assert_eq!(refused.reason, Reason::Privacy);
    assert!(refused.message.contains("test_on_global_updates"), "{}", refused.message);

    let floors = format!("{FLOORS}\nmetrics = [\"accuracy\", \"train_loss\"]\nmetrics_digits = 1");
    stage.restart(&floors);
    let told = stage.answered(|round| round.mode = Mode::Validate).evaluation.unwrap();
    let of_accuracy = told.metrics.contains_key("accuracy");
    assert_eq!((told.n_rows, told.metrics.len(), of_accuracy), (1, 1, true));
    let reply = stage.answered(|_| {});
    for value in [told.metrics["accuracy"], reply.train_loss.unwrap()] {
        assert_eq!(format!("{value:.0e}").parse::<f64>().unwrap(), value);
    }
    // The fewest rows hold as before.
    let refused = stage.refused(|round| {
        round.mode = Mode::Validate;
        round.training.test_ratio = 5.5 / 285.0;
    });
    assert!(refused.message.contains("fewer than 10"), "{}", refused.message);

    stage.restart(&FLOORS.edit("time_step_ms = 1", "time_step_ms = 700"));
    let timing = stage.answered(|_| {}).timing;
    for ms in [timing.download_ms, timing.prepare_ms, timing.train_ms, timing.process_ms] {
        assert_eq!(ms % 700.0, 0.0, "{timing:?}");
    }
}

#[test]
fn a_budget_is_spent_before_a_plan_runs_and_nothing_gives_it_back() {
    let mut stage = Stage::new(|text| text);
    // Room for four rounds and a half.
    let epsilon = fedwasm_privacy::account::epsilon_of_gaussian(1.0 / 4.5f64.sqrt(), 1e-5).unwrap();
    let floors = format!("{FLOORS}\ndelta = 1e-5\nepsilon = {epsilon}");
    stage.restart(&floors);
    stage.answered(|_| {});
    let account = stage.account();
    assert_eq!((&account["rounds"], &account["rounds_left"]), (&1.into(), &3.into()));
    assert!((account["epsilon"].as_f64().unwrap() - 4.377_178).abs() < 1e-3, "{account}");

    // A round that fails has spent: here the node is killed while it runs.
    let long = |round: &mut RoundRequest| {
        round.training.budget = Budget::Updates { num_updates: 1_000_000 };
    };
    let mut request = stage.good.clone();
    long(&mut request);
    let to = stage.mallory.session_of("n0");
    let id = fedwasm_protocol::RequestId::random().unwrap();
    stage.mallory.say.send(&to, id, None, Body::Round(Box::new(request)));
    wait_until("an entry in the ledger", || stage.account()["rounds"] == 2);
    stage.federation.nodes[0].signal("KILL");
    stage.restart(&floors);
    assert_eq!(stage.account()["rounds"], 2);

    stage.answered(|round| round.experiment_id = "another".parse().unwrap());
    stage.answered(|round| round.round = 7);
    let refused = stage.refused(|round| round.experiment_id = "third".parse().unwrap());
    assert_eq!(refused.reason, Reason::Privacy);
    assert!(refused.message.contains("above its budget of"), "{}", refused.message);
    // A smaller clip is no smaller multiplier.
    stage.refused(|round| round.training.dp_args = Some(asked(0.5, 0.01)));
    // The same rows under another name, and the same name after it was registered again.
    let dir = stage.dir();
    let file = part(stage.federation.dir.path(), 0, 2);
    let add = |name: &str| {
        let add = fedwasm(&["node", "dataset", "add", "--tags", "t", "--name", name]);
        add.arg(&dir).arg("--path").arg(&file).ok();
    };
    add("e");
    let renamed = stage.refused(|round| {
        (round.dataset_id, round.experiment_id) = ("e".parse().unwrap(), "fourth".parse().unwrap());
    });
    assert!(renamed.message.contains("above its budget"), "{}", renamed.message);
    fedwasm(&["node", "dataset", "remove", "--name", "d"]).arg(&dir).ok();
    add("d");
    stage.restart(&floors);
    let again = stage.refused(|_| {});
    assert!(again.message.contains("above its budget"), "{}", again.message);
    assert_eq!(
        (&stage.account()["rounds"], &stage.account()["rounds_left"]),
        (&4.into(), &0.into())
    );
    // In words.
    let shown = fedwasm(&["node", "privacy", "show"]).arg(&dir).ok().stdout;
    assert!(shown.contains("in 4 rounds") && shown.contains("0.72 bits"), "{shown}");
}

/// Killed (-9) at any moment: no answer ever left without its entry, and the budget holds exactly.
#[test]
fn the_ledger_survives_a_kill_at_any_moment() {
    let mut stage = Stage::new(|text| text);
    let room = 14u64;
    let multiplier = 1.0 / (room as f64 + 0.5).sqrt();
    let epsilon = fedwasm_privacy::account::epsilon_of_gaussian(multiplier, 1e-5).unwrap();
    let floors = format!("{FLOORS}\ndelta = 1e-5\nepsilon = {epsilon}");
    stage.restart(&floors);
    let (mut answers, mut before) = (0, 0);
    for kill_ms in [0, 1, 2, 4, 8, 12, 16, 20, 25, 30, 40, 50, 70, 90, 120, 160] {
        let to = stage.mallory.session_of("n0");
        let id = fedwasm_protocol::RequestId::random().unwrap();
        let request = Body::Round(Box::new(stage.good.clone()));
        stage.mallory.say.send(&to, id.clone(), None, request);
        // The moment of the kill.
        std::thread::sleep(std::time::Duration::from_millis(kill_ms));
        stage.federation.nodes.clear();
        let heard = stage.mallory.heard.lock().unwrap();
        let mut answered = heard.iter().filter(|message| message.header.request_id == id);
        answers += u64::from(answered.any(|message| matches!(message.body, Body::RoundReply(_))));
        drop(heard);
        let rounds = stage.account()["rounds"].as_u64().unwrap();
        assert!((before..=before + 1).contains(&rounds), "{before} {rounds}");
        assert!(answers <= rounds && rounds <= room, "{answers} {rounds}");
        before = rounds;
        stage.start();
    }
    // The rest of the budget, and no more.
    for _ in before..room {
        stage.answered(|_| {});
    }
    assert!(stage.refused(|_| {}).message.contains("above its budget"));
    assert_eq!(stage.account()["rounds"], room);
}

/// Whoever holds the data runs a round again, noise and all.
#[test]
fn a_receipt_of_a_noised_round_is_verified_at_the_site() {
    let mut stage = Stage::new(|text| text);
    stage.restart(FLOORS);
    stage.answered(|_| {});
    let log = fedwasm(&["--json", "node", "log", "--kind", "run"]).arg(stage.dir()).ok().stdout;
    let (_, digest) = log.trim_end().rsplit_once("\"receipt\":\"").unwrap();
    let digest = digest.split('"').next().unwrap();
    let file = stage.federation.dir.path().join("receipt.json");
    let receipt = fedwasm(&["node", "receipt"]).arg(stage.dir()).arg(digest);
    receipt.arg("-o").arg(&file).ok();
    fedwasm(&["verify"]).arg(&file).arg("--data").arg(stage.dir()).ok();
}

/// The usual way, with the noise that the researcher asks for.
#[test]
fn an_experiment_runs_under_noise_and_is_recomputed() {
    let mut federation = Federation::start();
    for n in 0..2 {
        let file = part(federation.dir.path(), n, 2);
        federation.node(&format!("n{n}"), &file);
    }
    let experiment = |rest: &str| {
        federation.experiment(|text| {
            let noise = "epochs = 1\ndp_args = { type = \"local\", sigma = 0.05, clip = 1.0 }\n\
                         test_on_local_updates = true";
            let text = text.edit("epochs = 1", noise).edit("test_on_global_updates = true", "");
            let text = text.edit("rounds = 2", "rounds = 2\nkeep_uploads = true");
            format!("{text}{rest}")
        })
    };
    let scaffold = federation.run(&experiment("[aggregator]\nname = \"scaffold\"\n")).run();
    assert_eq!(scaffold.code, 5, "{}", scaffold.stderr);
    assert!(scaffold.stderr.contains("the auxiliary variable"), "{}", scaffold.stderr);
    let ended = federation.run(&experiment("")).ok();
    assert!(ended.stderr.contains("has noise of multiplier 0.05"), "{}", ended.stderr);
    let out = federation.dir.path().join("out");
    let history = fedwasm_researcher::load_history(&out).unwrap();
    let nodes = history.rounds.iter().flat_map(|round| round.nodes.values());
    let told = nodes.map(|node| (node.n_samples, node.train_loss)).collect::<Vec<_>>();
    assert_eq!(told, [(1, None); 4]);
    fedwasm(&["experiment", "verify"]).arg(out).ok();
}

/// Rows of 30 cells of breast_cancer.csv.
fn rows(start: usize) -> Vec<Vec<f64>> {
    let text = std::fs::read_to_string(data("breast_cancer.csv")).unwrap();
    let lines = text.lines().skip(1).skip(start).step_by(2);
    let cells = |line: &str| line.split(',').take(30).map(|cell| cell.parse().unwrap()).collect();
    lines.map(cells).collect()
}

/// The share of pairs of a member and another row whose member scores higher: 0.5 is chance.
fn area_under_the_curve(members: &[f64], others: &[f64]) -> f64 {
    let above = members.iter().flat_map(|member| {
        others.iter().map(move |other| match member.total_cmp(other) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        })
    });
    above.sum::<f64>() / (members.len() * others.len()) as f64
}

/// How well stolen rows tell members of the data from others: by the best match in direction.
fn attack(stolen: &[f64]) -> f64 {
    let norm = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>().sqrt();
    let unit = |row: &[f64]| -> Vec<f64> {
        let norm = norm(row).max(f64::MIN_POSITIVE);
        row.iter().map(|x| x / norm).collect()
    };
    let stolen: Vec<Vec<f64>> = stolen.chunks(30).map(unit).collect();
    let score = |row: &Vec<f64>| {
        let row = unit(row);
        let dots = stolen.iter().map(|one| one.iter().zip(&row).map(|(a, b)| a * b).sum::<f64>());
        dots.fold(f64::MIN, f64::max)
    };
    let scores = |start| rows(start).iter().map(score).collect::<Vec<_>>();
    area_under_the_curve(&scores(0), &scores(1))
}

#[test]
fn a_plan_that_steals_rows_learns_nothing_from_noise() {
    let thief = guest("thief").display().to_string();
    let mut stage = Stage::new(|text| {
        let text = text.edit(&crate::support::plan().display().to_string(), &thief);
        let text =
            text.edit("[model]\nn_classes = 2\n", "").edit("test_ratio = 0.2", "test_ratio = 0.0");
        text.edit("target = \"benign\"", "target = \"benign\"\nstandardize = false")
    });
    let clear = attack(&stage.values(&stage.answered(|_| {})));
    assert!(clear > 0.99, "{clear}");
    stage.restart(FLOORS);
    let noised = attack(&stage.values(&stage.answered(|_| {})));
    assert!((0.35..0.65).contains(&noised), "{noised}");
    // However large it writes them.
    let scale = |scale: f64| {
        move |round: &mut RoundRequest| {
            round.model = [("model.scale".to_owned(), fedwasm_protocol::Value::Real(scale))].into();
        }
    };
    let loud = attack(&stage.values(&stage.answered(scale(1e30))));
    assert!((0.35..0.65).contains(&loud), "{loud}");
    // Beyond float32: the round fails, and how stays at the node.
    let failed = stage.refused(scale(1e38));
    assert_eq!(failed.reason, Reason::PlanFailed);
    assert!(failed.message.contains("failed under differential privacy"), "{}", failed.message);
}
