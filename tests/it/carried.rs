//! Small parameters ride in messages: in those of the researcher and in those of nodes, checked
//! like all that comes over the network, and by the repository where a message is full.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fedwasm_params::{Params, Tensor, from_safetensors, to_safetensors};
use fedwasm_protocol::{BlobRef, Body, INLINE_BYTES_MAX, Mode, Reason, RoundReply, RoundRequest};
use serde_json::Value;

use crate::fake::{Fake, Spy, columns, enrol, usual};
use crate::support::{Edit as _, Federation, fedwasm, part};

/// The digests of the blobs in the repository.
fn stored(federation: &Federation) -> BTreeSet<String> {
    let blobs = federation.dir.path().join("network/blobs/sha256");
    let names = std::fs::read_dir(blobs).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// All requests and replies of rounds that were heard.
fn said(spy: &Spy) -> (Vec<RoundRequest>, Vec<RoundReply>) {
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    for message in spy.heard() {
        match message.body {
            Body::Round(request) => requests.push(*request),
            Body::RoundReply(reply) => replies.push(*reply),
            _ => {}
        }
    }
    (requests, replies)
}

/// A federation of two nodes with parts of breast cancer.
fn federation() -> Federation {
    let mut federation = Federation::start();
    for n in 0..2 {
        let file = part(federation.dir.path(), n, 2);
        federation.node(&format!("n{n}"), &file);
    }
    federation
}

/// The first round that nodes were asked for, with its parameters in the repository.
pub fn first_by_repository(federation: &Federation, spy: &Spy) -> RoundRequest {
    let mut request = spy.rounds().swap_remove(0);
    let member = enrol(federation, "researcher-mallory");
    let url = federation.repository.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let inline = request.params_inline.take().unwrap();
    request.params = runtime.block_on(async {
        let repository = fedwasm_transport::Repository::new(url, Some(&member)).unwrap();
        repository.put(inline).await.unwrap()
    });
    request
}

fn json(path: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn small_parameters_never_reach_the_repository_and_receipts_do_not_have_their_bytes() {
    let federation = federation();
    let spy = Spy::start(&federation);
    let kept = |text: String| text.edit("rounds = 2", "rounds = 2\nkeep_uploads = true");
    federation.run(&federation.experiment(kept)).ok();
    let (requests, replies) = said(&spy);
    assert_eq!((requests.len(), replies.len()), (8, 8));
    for request in &requests {
        assert!(request.params.matches(request.params_inline.as_deref().unwrap()));
    }
    let trained: Vec<&RoundReply> = replies.iter().filter(|reply| reply.params.is_some()).collect();
    assert_eq!(trained.len(), 4);
    for reply in trained {
        assert!(reply.params.unwrap().matches(reply.params_inline.as_deref().unwrap()));
    }
    // The plan alone.
    assert_eq!(stored(&federation), [requests[0].plan.sha256.to_string()].into());
    let out = federation.dir.path().join("out");
    fedwasm(&["experiment", "verify"]).arg(&out).ok();
    // A node keeps what it started from, and runs its rounds again from that.
    let node = federation.dir.path().join("n0");
    let receipts = std::fs::read_dir(out.join("receipts")).unwrap();
    let receipts = receipts.map(|entry| entry.unwrap().path());
    let receipts: Vec<_> = receipts.filter(|path| !path.ends_with("membership.json")).collect();
    assert_eq!(receipts.len(), 8);
    for path in receipts {
        let envelope = json(&path);
        let payload = BASE64.decode(envelope["payload"].as_str().unwrap()).unwrap();
        let receipt: Value = serde_json::from_slice(&payload).unwrap();
        assert!(receipt["request"].get("params_inline").is_none(), "{receipt}");
        if receipt["node"] == "node-n0" {
            fedwasm(&["verify"]).arg(&path).arg("--data").arg(&node).ok();
        }
    }
    let inputs = requests.iter().map(|request| request.params.sha256.to_string());
    let inputs: BTreeSet<String> = inputs.collect();
    assert_eq!(inputs.len(), 3);
    assert!(inputs.iter().all(|digest| node.join("inputs").join(digest).exists()));
}

#[test]
fn where_a_message_is_full_they_go_through_the_repository_with_the_same_result() {
    let federation = federation();
    let spy = Spy::start(&federation);
    // 130 classes of 30 inputs: 16,120 bytes of parameters. Names of classes and of missing values
    // take up to 49 KiB beside them.
    let run = |name: &str, n_bytes: usize| {
        spy.clear();
        let word = |kind: &str, n: usize| format!("{kind}{n:0n_bytes$}");
        let words: Vec<String> = (0..64).map(|n| word("m", n)).collect();
        let mut classes = vec!["0".to_owned(), "1".to_owned()];
        classes.extend((2..130).map(|n| word("c", n)));
        let experiment = federation.experiment(|text| {
            let data = format!(
                "missing = {words:?}\n[data.columns]\nbenign = {{ kind = \"class\", values = \
                 {classes:?} }}\n[training]"
            );
            let text = text.edit("rounds = 2", "rounds = 2\nkeep_uploads = true");
            text.edit("[training]", &data).edit("n_classes = 2", "n_classes = 130")
        });
        federation.run(&experiment).ok();
        let out = federation.dir.path().join("out");
        fedwasm(&["experiment", "verify"]).arg(&out).ok();
        std::fs::rename(&out, federation.dir.path().join(name)).unwrap();
        said(&spy)
    };
    let (roomy, _) = run("roomy", 4);
    assert!(roomy.iter().all(|request| request.params_inline.is_some()));
    let before = stored(&federation);
    assert!(!before.contains(&roomy[0].params.sha256.to_string()));
    let (full, replies) = run("full", 249);
    assert!(full.iter().all(|request| request.params_inline.is_none()));
    let (now, digests) = (stored(&federation), full.iter().map(|request| request.params.sha256));
    let digests: BTreeSet<String> = digests.map(|digest| digest.to_string()).collect();
    assert_eq!((full.len(), digests.len()), (8, 3));
    assert!(digests.iter().all(|digest| now.contains(digest)));
    // Replies have room: they do not repeat the names.
    let trained = replies.iter().filter(|reply| reply.params.is_some());
    assert!(trained.clone().count() == 4 && trained.clone().all(|r| r.params_inline.is_some()));
    let result = |name: &str| json(&federation.dir.path().join(name).join("history.json"));
    let params = |history: Value| -> Vec<Value> {
        let rounds = history["rounds"].as_array().unwrap().clone();
        rounds.iter().map(|round| round["params_sha256"].clone()).collect()
    };
    assert_eq!(params(result("roomy")), params(result("full")));
}

#[test]
fn a_node_refuses_bytes_that_are_not_those_of_the_request() {
    let mut federation = Federation::start();
    let file = part(federation.dir.path(), 0, 2);
    federation.node("n0", &file);
    let spy = Spy::start(&federation);
    let experiment = federation.experiment(|text| text.edit("min_nodes = 2", "min_nodes = 1"));
    federation.run(&experiment).ok();
    let mut good = spy.rounds().swap_remove(0);
    good.experiment_id = "mallory".parse().unwrap();
    let mallory = Fake::start(&federation, enrol(&federation, "researcher-mallory"), |_, _| {});
    let ask = |inline: Option<Vec<u8>>, params: BlobRef| {
        let request = RoundRequest { params, params_inline: inline, ..good.clone() };
        mallory.ask("n0", Body::Round(Box::new(request)))
    };
    let refused = |inline: Vec<u8>, params: BlobRef| match ask(Some(inline), params) {
        Body::Refused(refusal) => {
            assert_eq!(refusal.reason, Reason::Blob);
            refusal.message
        }
        other => panic!("{other:?}"),
    };
    let bytes = good.params_inline.clone().unwrap();
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    let text = refused(other.clone(), good.params);
    assert!(text.contains(&format!("the digest {}", good.params.sha256)), "{text}");
    // The digest is theirs, the length is not.
    let text = refused(bytes.clone(), BlobRef { size: good.params.size + 1, ..good.params });
    assert!(text.contains("does not have the digest"), "{text}");
    let long = vec![0; INLINE_BYTES_MAX + 1];
    let text = refused(long.clone(), BlobRef::of(&long));
    assert!(text.contains("a payload of 16385 bytes, at most 16384"), "{text}");
    // Nothing of them was kept under the good digest.
    assert!(matches!(ask(Some(bytes), good.params), Body::RoundReply(_)));
    // The repository never had it.
    assert!(
        matches!(ask(None, good.params), Body::Refused(refusal) if refusal.reason == Reason::Blob)
    );
}

#[test]
fn a_node_whose_bytes_are_not_those_of_its_reply_is_dropped() {
    let mut federation = Federation::start();
    let file = part(federation.dir.path(), 0, 2);
    federation.node("good", &file);
    let change = |request: &RoundRequest, reply: &mut RoundReply| match request.round {
        // Another model under the digest of the first.
        1 => {
            let params = from_safetensors(reply.params_inline.as_ref().unwrap()).unwrap();
            let zeros = params.iter().map(|(name, tensor)| {
                let zeros = Tensor::zeros(tensor.dtype(), tensor.shape().to_vec());
                (name.to_owned(), zeros.unwrap())
            });
            let zeros = Params::new(zeros.collect()).unwrap();
            reply.params_inline = Some(to_safetensors(&zeros).unwrap());
        }
        _ => reply.params_inline = Some(vec![0; INLINE_BYTES_MAX + 1]),
    };
    let _liar = Fake::node(
        &federation,
        "liar",
        columns(),
        Box::new(move |request| {
            let mut body = usual(request);
            if let (Body::RoundReply(reply), Mode::Train) = (&mut body, request.mode) {
                change(request, reply);
            }
            Some(vec![body])
        }),
    );
    let experiment = federation.experiment(|text| text.edit("min_nodes = 2", "min_nodes = 1"));
    let ended = federation.run(&experiment).ok();
    assert_eq!(ended.result()["nodes"], serde_json::json!(["good"]), "{}", ended.stderr);
    let history = json(&federation.dir.path().join("out/history.json"));
    for (round, words) in [(0, "does not have the digest"), (1, "a payload of 16385 bytes")] {
        let dropped = history["rounds"][round]["dropped"]["liar"].as_str().unwrap();
        assert!(dropped.contains(words), "{dropped}");
    }
}
