//! Noise that the aggregator adds, through real nodes: measured, recomputed from its seed, resumed
//! to the same bytes, and ended by a budget.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fedwasm_params::{Params, from_safetensors, to_f64};
use fedwasm_protocol::Digest;
use fedwasm_researcher::{History, load_history};
use serde_json::{Value, json};

use crate::support::{Edit, Ended, Federation, fedwasm, part};

fn federation() -> Federation {
    let mut federation = Federation::start();
    for n in 0..3 {
        let file = part(federation.dir.path(), n, 3);
        federation.node(&format!("n{n}"), &file);
    }
    federation
}

/// An experiment with these lines at the top and at the end.
fn experiment(federation: &Federation, top: &str, end: &str) -> PathBuf {
    federation.experiment(|text| {
        let text = text.edit("min_nodes = 2", "min_nodes = 3");
        text.edit("rounds = 2", &format!("keep_uploads = true\n{top}")) + end
    })
}

fn out(federation: &Federation) -> PathBuf {
    federation.dir.path().join("out")
}

fn verify(dir: &Path) -> Ended {
    fedwasm(&["--json", "experiment", "verify"]).arg(dir).run()
}

fn params(path: &Path) -> Params {
    from_safetensors(&std::fs::read(path).unwrap()).unwrap()
}

fn upload(out: &Path, digest: &Digest) -> Params {
    params(&out.join("uploads").join(format!("{digest}.safetensors")))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Rounds of an experiment, as noise minus the mean of what nodes sent, in deviations.
fn noise(out: &Path, history: &History, z: f64) -> Vec<f64> {
    let mut all = Vec::new();
    for (number, record) in (1..).zip(&history.rounds) {
        let uploads: Vec<Params> =
            record.nodes.values().map(|node| upload(out, &node.upload.unwrap())).collect();
        let before = match number {
            1 => upload(out, &history.initial_sha256.unwrap()),
            _ => params(&out.join(format!("params/round-{:04}.safetensors", number - 1))),
        };
        let after = params(&out.join(format!("params/round-{number:04}.safetensors")));
        let x = to_f64(&before, &before).unwrap();
        let clip = record.privacy.unwrap().clip;
        let mut mean = vec![0.0; x.len()];
        for update in &uploads {
            let y = to_f64(update, &before).unwrap();
            let moves: Vec<f64> = y.iter().zip(&x).map(|(y, x)| y - x).collect();
            let norm = moves.iter().map(|step| step * step).sum::<f64>().sqrt();
            // Nodes clip.
            assert!(norm < clip * (1.0 + 1e-6), "{norm} {clip}");
            mean.iter_mut()
                .zip(moves)
                .for_each(|(mean, step)| *mean += step / uploads.len() as f64);
        }
        let sigma = z * clip / uploads.len() as f64;
        let after = to_f64(&after, &before).unwrap();
        all.extend(
            after.iter().zip(x).zip(mean).map(|((after, x), mean)| (after - x - mean) / sigma),
        );
    }
    all
}

#[test]
fn noise_is_that_of_the_file_and_is_recomputed_from_its_seed_alone() {
    let federation = federation();
    let text = "[privacy]\nnoise_multiplier = 0.8\nclip = 0.05\ndelta = 1e-5\n";
    let file = experiment(&federation, "rounds = 6\nkeep_params = true", text);
    let ended = federation.run(&file).ok();
    let out = out(&federation);
    let history = load_history(&out).unwrap();
    let last = history.rounds.last().unwrap().privacy.unwrap();
    let expected = fedwasm_privacy::account::epsilon_of_gaussian(0.8 / 6f64.sqrt(), 1e-5).unwrap();
    assert!((last.epsilon / expected - 1.0).abs() < 1e-9 && last.delta == 1e-5, "{last:?}");
    assert_eq!(ended.result()["privacy"], json!(last));
    let rising: Vec<f64> = history.rounds.iter().map(|r| r.privacy.unwrap().epsilon).collect();
    assert!(rising.is_sorted() && rising[0] < rising[5], "{rising:?}");
    let at_nodes = &history.arguments["training"]["dp_args"];
    assert_eq!(at_nodes, &json!({ "type": "central", "sigma": 0.0, "clip": 0.05 }));

    let noise = noise(&out, &history, 0.8);
    let n = noise.len() as f64;
    let deviation = (noise.iter().map(|x| x * x).sum::<f64>() / n).sqrt();
    // Of n numbers, 4 deviations of the deviation.
    assert!((deviation - 1.0).abs() < 4.0 / (2.0 * n).sqrt(), "{deviation} of {n}");

    let shown = fedwasm(&["experiment", "show"]).arg(&out).ok().stdout;
    assert!(shown.contains("privacy    epsilon") && shown.contains("delta 1e-5"), "{shown}");
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Epsilon") && page.contains("noise 0.8"), "{page}");

    // The seed is for its owner, and in no other file.
    let seed = out.join("noise.seed");
    assert_eq!(std::fs::metadata(&seed).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = std::fs::read_to_string(&seed).unwrap();
    let digits = secret.lines().nth(1).unwrap();
    let written = std::fs::read_to_string(out.join("history.json")).unwrap();
    assert!(digits.len() == 64 && !written.contains(digits) && !page.contains(digits));

    let verified = verify(&out);
    assert_eq!(
        (verified.code, &verified.result()["rounds"]),
        (0, &json!(6)),
        "{}",
        verified.stderr
    );
    std::fs::write(&seed, secret.edit(digits, &"7".repeat(64))).unwrap();
    let refused = verify(&out);
    assert!(refused.stderr.contains("the seed of another experiment"), "{}", refused.stderr);
    // All the rest is checked without it.
    std::fs::remove_file(&seed).unwrap();
    let unknown = verify(&out);
    assert_eq!(unknown.code, 1);
    for said in ["6 rounds cannot be computed again", "noise.seed", "18 receipts"] {
        assert!(unknown.stderr.contains(said), "{}", unknown.stderr);
    }
    let epsilon = json!(last.epsilon).to_string();
    std::fs::write(out.join("history.json"), written.edit(&epsilon, "0.5")).unwrap();
    let refused = verify(&out);
    assert!(
        refused.stderr.contains("round 6: clip, noise multiplier or epsilon"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_resumed_experiment_has_the_same_noise_and_an_adaptive_clip_the_same_bound() {
    let federation = federation();
    let end = "[aggregator]\nname = \"fedadam\"\n[privacy]\nnoise_multiplier = 0.5\nclip = 0.3\n\
               adaptive = { learning_rate = 1.0 }\n";
    let top = "rounds = 4\nsave_breakpoints = true\nkeep_breakpoints = 9";
    let file = experiment(&federation, top, end);
    let whole = federation.run(&file).ok();
    let out = out(&federation);
    let clips = |dir: &Path| -> Vec<f64> {
        let rounds = load_history(dir).unwrap().rounds;
        rounds.iter().map(|round| round.privacy.unwrap().clip).collect()
    };
    let bounds = clips(&out);
    assert!(bounds[0] == 0.3 && bounds.windows(2).all(|pair| pair[0] != pair[1]), "{bounds:?}");
    assert_eq!(verify(&out).code, 0);

    let resume = |dir: &Path| {
        fedwasm(&["--json", "experiment", "run", "--resume"]).arg(&file).arg("--out").arg(dir).run()
    };
    for after in [0, 2] {
        let again = federation.dir.path().join(format!("again-{after}"));
        copy(&out, &again);
        for round in after + 1..=4 {
            std::fs::remove_dir_all(again.join(format!("breakpoints/round-{round:04}"))).unwrap();
        }
        let ended = resume(&again);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert_eq!(ended.result()["params_sha256"], whole.result()["params_sha256"], "{after}");
        assert_eq!(clips(&again), bounds);
        assert_eq!(verify(&again).code, 0);
    }
    // Another method goes on with the bound.
    let text = std::fs::read_to_string(&file).unwrap();
    let other = text.edit("\"fedadam\"", "\"fedavgm\"").edit("rounds = 4", "rounds = 6");
    std::fs::write(&file, other).unwrap();
    let again = federation.dir.path().join("again-0");
    let changed = ["--json", "experiment", "run", "--resume", "--change"];
    fedwasm(&changed).arg(&file).arg("--out").arg(&again).ok();
    let after = clips(&again);
    assert!(
        after.starts_with(&bounds) && after.len() == 6 && !after[4..].contains(&0.3),
        "{after:?}"
    );
    assert_eq!(verify(&again).result()["rounds"], json!(6));
    std::fs::write(&file, text).unwrap();
    // Not with other noise, and not with other settings.
    let again = federation.dir.path().join("again-2");
    std::fs::remove_file(again.join("noise.seed")).unwrap();
    let refused = resume(&again);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("needs the seed of its noise"), "{}", refused.stderr);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.edit("noise_multiplier = 0.5", "noise_multiplier = 0.6")).unwrap();
    let refused = resume(&out);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("`privacy.noise_multiplier` was 0.5"), "{}", refused.stderr);
}

#[test]
fn a_budget_ends_an_experiment_by_name_before_it_is_passed() {
    let federation = federation();
    let two = fedwasm_privacy::account::epsilon_of_gaussian(1.0 / 2f64.sqrt(), 1e-6).unwrap();
    let end =
        |budget: f64| format!("[privacy]\nnoise_multiplier = 1\nclip = 0.1\nepsilon = {budget}\n");
    let file = experiment(&federation, "rounds = 5", &end(two * 1.01));
    let ended = federation.run(&file).ok();
    let said = |event: &Value| event["event"] == "stopped";
    let stopped = ended.events().into_iter().find(said).unwrap();
    let reason = stopped["reason"].as_str().unwrap();
    assert!(reason.starts_with("the next round would take epsilon from"), "{reason}");
    assert!(reason.contains("above `privacy.epsilon`"), "{reason}");
    let history = load_history(&out(&federation)).unwrap();
    assert_eq!((history.rounds.len(), history.status), (2, format!("stopped: {reason}")));
    assert_eq!(verify(&out(&federation)).code, 0);
    // Not one round.
    let ended = federation.run(&experiment(&federation, "rounds = 5", &end(1.0))).run();
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("a single round is worth"), "{}", ended.stderr);
}

#[test]
fn arguments_of_fedbiomed_mean_noise_of_the_aggregator() {
    let federation = federation();
    let with = |aggregator: &str| {
        let file = experiment(&federation, "rounds = 1", aggregator);
        let text = std::fs::read_to_string(&file).unwrap();
        let noise = "epochs = 1\ndp_args = { sigma = 1.0, clip = 0.1 }";
        std::fs::write(&file, text.edit("epochs = 1", noise)).unwrap();
        file
    };
    let refused = federation.run(&with("[aggregator]\nname = \"median\"\n")).run();
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("`aggregator.name` is `median`: noise"), "{}", refused.stderr);
    let ended = federation.run(&with("")).ok();
    let privacy = &ended.result()["privacy"];
    assert_eq!((&privacy["noise_multiplier"], &privacy["clip"]), (&json!(1.0), &json!(0.1)));
    assert_eq!(verify(&out(&federation)).code, 0);
}
