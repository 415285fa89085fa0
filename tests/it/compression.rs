//! Updates that travel in fewer bytes: the result is what travelled, and everything that records it
//! is about that.

use fedwasm_protocol::{Body, Mode, Payload};
use serde_json::{Value, json};

use crate::fake::{Fake, columns, usual};
use crate::support::{Edit, Federation, fedwasm, part, plan, root};

fn federation(n: usize) -> Federation {
    let mut federation = Federation::start();
    for k in 0..n {
        let file = part(federation.dir.path(), k, n);
        federation.node(&format!("n{k}"), &file);
    }
    federation
}

/// An experiment of a network of 30 inputs, 128 hidden units and 2 classes, 4,226 numbers.
fn experiment(text: &str, compression: &str) -> String {
    let mlp = root().join("plugins/dist/mlp.wasm").display().to_string();
    let text = text.edit(&plan().display().to_string(), &mlp).edit("rounds = 2", "rounds = 6");
    let text = text.edit("rounds = 6", "rounds = 6\nkeep_uploads = true");
    text.edit("n_classes = 2", "n_classes = 2\nhidden = 128")
        .edit("epochs = 1", &format!("epochs = 2{compression}"))
}

/// The last entry of a node's log about training.
fn left(federation: &Federation, node: &str) -> Value {
    let log =
        fedwasm(&["--json", "node", "log", "--kind", "run"]).arg(federation.dir.path().join(node));
    let mut runs = log.ok().events().into_iter().filter(|event| event["mode"] == "train");
    runs.next_back().unwrap()["left"].clone()
}

#[test]
fn updates_travel_in_fewer_bytes_and_records_are_about_what_travelled() {
    let federation = federation(2);
    let run = |compression: &str| {
        let file = federation.experiment(|text| experiment(&text, compression));
        federation.run(&file).ok().result()
    };
    let out = federation.dir.path().join("out");
    let whole = run("");
    let size = |left: &Value, of: &str| left[of]["size"].as_u64().unwrap();
    let (usual, float32) = (left(&federation, "n0"), 4 * 4_226);
    assert!(usual["compressed"].is_null() && size(&usual, "params") > float32);
    for (name, bytes_max) in [("bfloat16", 2 * 4_226), ("int8", 4_226 + 4 * 20)] {
        let compression = format!("\ncompression = \"{name}\"");
        let result = run(&compression);
        let left = left(&federation, "n0");
        // The receipt names the parameters that the update leads to.
        assert_eq!(size(&left, "params"), size(&usual, "params"));
        assert!(size(&left, "compressed") <= bytes_max, "{left}");
        assert_ne!(result["params_sha256"], whole["params_sha256"]);
        let metric = |result: &Value, name: &str| result["metrics"][name].as_f64().unwrap();
        let loss = metric(&result, "loss") / metric(&whole, "loss");
        assert!((loss - 1.0).abs() < 0.02, "{name}: {loss} times the loss of whole parameters");
        // All updates are aggregated again, and a run is repeated from its receipt.
        let verified = fedwasm(&["--json", "experiment", "verify"]).arg(&out).ok().result();
        assert_eq!(verified["verified"], true);
        let receipt = out.join("receipts/round-0003-n1-train.json");
        let again = fedwasm(&["--json", "verify"]).arg(&receipt).arg("--data");
        let again = again.arg(federation.dir.path().join("n1")).ok().result();
        assert_eq!((&again["verified"], &again["rerun"]), (&json!(true), &json!(true)));
        assert_eq!(run(&compression)["params_sha256"], result["params_sha256"]);
    }
}

/// The bytes of an update are a node's own words: what they lead to must be what its receipt names.
#[test]
fn an_update_that_leads_elsewhere_is_not_believed() {
    let federation = federation(1);
    let answers = |bytes: Vec<u8>| {
        move |request: &fedwasm_protocol::RoundRequest| {
            let Body::RoundReply(mut reply) = usual(request) else { return None };
            let trains = request.mode == Mode::Train;
            // An update travels once.
            reply.params_inline = None;
            reply.compressed = trains.then(|| Payload::inline(bytes.clone()));
            Some(vec![Body::RoundReply(reply)])
        }
    };
    let run = |compression: &str| {
        let file = federation.experiment(|text| {
            let text = text.edit("min_nodes = 2", "min_nodes = 1").edit("rounds = 2", "rounds = 1");
            text.edit("epochs = 1", &format!("epochs = 1{compression}"))
        });
        federation.run(&file).ok().events()
    };
    let why = |events: &[Value]| {
        let dropped = events.iter().find(|event| event["event"] == "dropped");
        dropped.map(|event| event["reason"].as_str().unwrap().to_owned())
    };
    // Logistic regression on 30 inputs has 62 numbers.
    let ones = [0x80, 0x3f].repeat(62);
    let bfloat16 = "\ncompression = \"bfloat16\"";
    for (bytes, compression, expected) in [
        (vec![0; 124], bfloat16, None),
        (ones, bfloat16, Some("does not lead to the parameters of its receipt")),
        ([0x80, 0x7f].repeat(62), bfloat16, Some("not finite")),
        (vec![0; 123], bfloat16, Some("123 bytes of an update")),
        (vec![0; 4_096], bfloat16, Some("too large")),
        (vec![0; 124], "", Some("its reply lacks a part")),
    ] {
        let _fake = Fake::node(&federation, "x", columns(), Box::new(answers(bytes)));
        let (events, expected) = (run(compression), expected.map(str::to_owned));
        match (why(&events), expected) {
            (None, None) => {}
            (Some(why), Some(expected)) => assert!(why.contains(&expected), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
