//! Secure sums against rounds in the clear, and made again from their files.

use fedwasm_params::Params;
use fedwasm_protocol::Metric;
use fedwasm_researcher::History;

use crate::secagg_researcher::{DOUBLE, MASKING, experiment, history, nodes, out, params};
use crate::support::{Edit, Federation, Fedwasm, fedwasm, part};

/// Computes an experiment again.
fn verify(federation: &Federation) -> Fedwasm {
    fedwasm(&["--json", "experiment", "verify"]).arg(out(federation))
}

#[test]
fn sums_are_made_again_from_masked_vectors_and_altered_files_are_named() {
    for scheme in [MASKING, DOUBLE] {
        let federation = Federation::start();
        let _nodes = nodes(&federation, 4);
        let secagg = format!("{scheme}random = 0.25\n");
        federation.run(&experiment(&federation, &secagg, |text| text)).ok();
        let found = verify(&federation).ok().result();
        assert_eq!(found["rounds"], 2, "{found}");
        let dir = out(&federation);
        let last = history(&federation).rounds[1].clone();
        let upload = last.nodes.values().next().unwrap().upload.unwrap();
        let history = std::fs::read_to_string(dir.join("history.json")).unwrap();
        let file = |name: &str| dir.join(name);
        let cases: [(&str, &dyn Fn(), &str); 4] = [
            (
                "secagg/round-0002-train.json",
                &|| {
                    let file = file("secagg/round-0002-train.json");
                    let text = std::fs::read_to_string(&file).unwrap();
                    std::fs::write(&file, text.replacen("\"clip\":3.0", "\"clip\":2.0", 1))
                        .unwrap();
                },
                "does not have the digest",
            ),
            (
                &format!("uploads/{upload}.safetensors"),
                &|| {
                    let file = file(&format!("uploads/{upload}.safetensors"));
                    let mut bytes = std::fs::read(&file).unwrap();
                    *bytes.last_mut().unwrap() ^= 1;
                    std::fs::write(&file, bytes).unwrap();
                },
                "has other bytes",
            ),
            (
                "history.json",
                &|| {
                    let text = history.replace("\"n_samples\": 320", "\"n_samples\": 321");
                    assert_ne!(text, history);
                    std::fs::write(file("history.json"), text).unwrap();
                },
                "sum to other rows",
            ),
            (
                "history.json",
                &|| {
                    let text = history.replace("\"n_rows\": 80", "\"n_rows\": 81");
                    assert_ne!(text, history);
                    std::fs::write(file("history.json"), text).unwrap();
                },
                "sum to other scores",
            ),
        ];
        for (name, alter, expected) in cases {
            let before = std::fs::read(file(name)).unwrap();
            alter();
            let ended = verify(&federation).run();
            assert_ne!(ended.code, 0, "{name}");
            assert!(ended.stderr.contains(expected), "{name}: {}", ended.stderr);
            std::fs::write(file(name), before).unwrap();
        }
        verify(&federation).ok();
    }
}

/// The parameters after an experiment of real nodes, with and without secure aggregation.
fn both_ways(secagg: &str, change: impl Fn(String) -> String) -> (Params, Params, History) {
    let mut federation = Federation::start();
    for node in 0..3 {
        let file = part(federation.dir.path(), node, 3);
        federation.node(&format!("n{node}"), &file);
    }
    let of = |text: String, secagg: &str| {
        let text = text
            .edit("min_nodes = 2\n", "")
            .edit("rounds = 2", "rounds = 3\nkeep_uploads = true\nscore_initial = true");
        let text = text.edit("test_on_global", "test_on_local_updates = true\ntest_on_global");
        change(text) + secagg
    };
    federation.run(&federation.experiment(|text| of(text, ""))).ok();
    let clear = params(&out(&federation).join("params.safetensors"));
    let in_the_clear = history(&federation);
    std::fs::remove_dir_all(out(&federation)).unwrap();
    federation.run(&federation.experiment(|text| of(text, secagg))).ok();
    verify(&federation).ok();
    let summed = params(&out(&federation).join("params.safetensors"));
    let history = history(&federation);
    for (clear, summed) in in_the_clear.rounds.iter().zip(&history.rounds) {
        assert_eq!((clear.n_samples(), clear.n_steps()), (summed.n_samples(), summed.n_steps()));
        let (a, b) = (clear.evaluation.as_ref().unwrap(), summed.evaluation.as_ref().unwrap());
        assert_eq!(a.n_rows, b.n_rows);
        // Counts are in no sum: a score of all is the mean of the nodes' that have it.
        assert!(
            b.sums.is_none()
                && a.metrics.keys().filter(|name| !Metric::is_error(name)).eq(b.metrics.keys())
        );
        for (name, value) in &b.metrics {
            let of_nodes = clear.scores().into_values();
            let of_nodes =
                of_nodes.filter_map(|one| Some((one.n_rows as f64, one.metrics.get(name)?)));
            let (rows, sum) =
                of_nodes.fold((0.0, 0.0), |(rows, sum), (n, of)| (rows + n, sum + n * of));
            assert!((value - sum / rows).abs() < 1e-4, "{name}: {value}, {}", sum / rows);
        }
        assert!((clear.train_loss().unwrap() - summed.train_loss().unwrap()).abs() < 1e-3);
    }
    (clear, summed, history)
}

#[test]
fn real_nodes_give_the_result_of_clear_rounds_up_to_the_quantiser() {
    let scaffold = |text: String| text + "[aggregator]\nname = \"scaffold\"\n";
    let plain = |text: String| text;
    let cases: [(&str, &dyn Fn(String) -> String); 3] =
        [(MASKING, &plain), (DOUBLE, &plain), (MASKING, &scaffold)];
    for (secagg, change) in cases {
        let (clear, summed, history) = both_ways(secagg, change);
        assert!(history.rounds.iter().all(|round| round.secagg.is_some()));
        for (name, tensor) in clear.iter() {
            let others = summed.tensor(name).unwrap().floats().unwrap();
            for (a, b) in tensor.floats().unwrap().into_iter().zip(others) {
                assert!((a - b).abs() < 1e-4, "{name}: {a} and {b}");
            }
        }
    }
}
