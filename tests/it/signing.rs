//! Signed plans. Sigstore's own verifier is asked in `tests/oracles/sigstore_verify.mjs`.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Ended, fedwasm, listening, root};

/// A plan in a directory of its own, and keys.
struct Bench {
    dir: tempfile::TempDir,
}

fn bench() -> Bench {
    let bench = Bench { dir: tempfile::tempdir().unwrap() };
    std::fs::copy(crate::support::plan(), bench.path("p.wasm")).unwrap();
    for key in ["a.pem", "b.pem"] {
        fedwasm(&["keys", "generate"]).arg(bench.path(key)).ok();
    }
    bench
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn sign(&self, key: &str, to: &str) -> Ended {
        let run = fedwasm(&["--json", "plan", "sign"]).arg(self.path("p.wasm")).arg("--key");
        run.arg(self.path(key)).arg("-o").arg(self.path(to)).run()
    }

    fn verify(&self, trust: &str) -> (i32, Value) {
        let run = fedwasm(&["--json", "plan", "verify"]).arg(self.path("p.wasm"));
        let ended = run.arg("--trust").arg(self.path(trust)).run();
        let result = ended.events().into_iter().find(|event| event["event"] == "result");
        (ended.code, result.unwrap_or_else(|| panic!("{}", ended.stderr)))
    }
}

#[test]
fn a_plan_is_not_signed_failed_or_verified() {
    let bench = bench();
    let verdict = |trust: &str| {
        let (code, result) = bench.verify(trust);
        (code, result["verdict"].as_str().unwrap().to_owned())
    };
    assert_eq!(verdict("a.pem.pub"), (3, "not-signed".into()));
    assert_eq!(bench.sign("a.pem", "p.wasm.sigstore.json").code, 0);
    assert_eq!(verdict("a.pem.pub"), (0, "trusted".into()));
    assert_eq!(verdict("b.pem.pub"), (3, "untrusted".into()));
    // Somebody else's signature is not overwritten, and has a place of its own.
    let ended = bench.sign("b.pem", "p.wasm.sigstore.json");
    assert!(
        ended.code == 2 && ended.stderr.contains("belongs to another signer"),
        "{}",
        ended.stderr
    );
    assert_eq!(bench.sign("b.pem", "p.wasm.b.sigstore.json").code, 0);
    let trust = |threshold: u32, revoked: &str| {
        let text = format!(
            "threshold = {threshold}\nrevoked = [{revoked}]\n[[signer]]\nname = \"a\"\nkey = \
             \"a.pem.pub\"\n[[signer]]\nname = \"b\"\nkey = \"b.pem.pub\"\n"
        );
        std::fs::write(bench.path("trust.toml"), text).unwrap();
    };
    trust(2, "");
    assert_eq!(verdict("trust.toml"), (0, "trusted".into()));
    let digest = bench.verify("trust.toml").1["plan_sha256"].to_string();
    trust(2, &digest);
    assert_eq!(verdict("trust.toml"), (3, "revoked".into()));
    trust(2, "");
    std::fs::remove_file(bench.path("p.wasm.b.sigstore.json")).unwrap();
    assert_eq!(verdict("trust.toml"), (3, "untrusted".into()));
}

#[test]
fn one_byte_of_plan_signature_or_statement_is_enough_to_fail() {
    let bench = bench();
    bench.sign("a.pem", "p.wasm.sigstore.json");
    let plan = std::fs::read(bench.path("p.wasm")).unwrap();
    // A byte that changes nothing for the engine: of the name in a custom section.
    let at = plan.windows(19).position(|window| window == b"logistic-regression").unwrap();
    let mut changed = plan.clone();
    changed[at] = b'L';
    std::fs::write(bench.path("p.wasm"), &changed).unwrap();
    let (code, result) = bench.verify("a.pem.pub");
    assert_eq!((code, &result["verdict"]), (3, &json!("failed")));
    std::fs::write(bench.path("p.wasm"), &plan).unwrap();
    for name in ["p.wasm.sigstore.json", "p.wasm.statement.sigstore.json"] {
        let good = std::fs::read_to_string(bench.path(name)).unwrap();
        let mut bundle: Value = serde_json::from_str(&good).unwrap();
        let sig = match bundle["messageSignature"].is_object() {
            true => &mut bundle["messageSignature"]["signature"],
            false => &mut bundle["dsseEnvelope"]["signatures"][0]["sig"],
        };
        let text = sig.as_str().unwrap();
        let flipped = if text.as_bytes()[20] == b'A' { "B" } else { "A" };
        *sig = json!(format!("{}{flipped}{}", &text[..20], &text[21..]));
        std::fs::write(bench.path(name), bundle.to_string()).unwrap();
        let (code, result) = bench.verify("a.pem.pub");
        assert_eq!((code, &result["verdict"]), (3, &json!("failed")), "{name}");
        std::fs::write(bench.path(name), good).unwrap();
    }
    assert_eq!(bench.verify("a.pem.pub").0, 0);
}

#[test]
fn a_statement_covers_its_own_plan_alone() {
    let bench = bench();
    let source = root().join("plugins/logistic-regression");
    let run = fedwasm(&["plan", "sign"]).arg(bench.path("p.wasm")).arg("--key");
    run.arg(bench.path("a.pem")).arg("--source").arg(source).ok();
    let statement = bench.verify("a.pem.pub").1["statement"].clone();
    let packages = statement["source"]["dependencies"].as_array().unwrap();
    assert!(packages.iter().any(|package| package["name"] == "fedwasm-sdk"));
    assert_eq!(statement["description"]["name"], "logistic-regression");
    assert!(statement["build"]["rustc"].as_str().unwrap().starts_with("rustc 1."));
    // The statement of another plan, signed by the same key, beside this one.
    let other = bench.path("other.wasm");
    std::fs::copy(crate::support::misbehaves(), &other).unwrap();
    fedwasm(&["plan", "sign"]).arg(&other).arg("--key").arg(bench.path("a.pem")).ok();
    let stolen = bench.path("other.wasm.statement.sigstore.json");
    std::fs::copy(stolen, bench.path("p.wasm.x.sigstore.json")).unwrap();
    let (code, result) = bench.verify("a.pem.pub");
    assert_eq!((code, &result["verdict"]), (3, &json!("failed")));
    // Sources that are not those of the plan say nothing about it.
    let run = fedwasm(&["plan", "sign"]).arg(&other).arg("--key").arg(bench.path("a.pem"));
    let ended = run.arg("--source").arg(root().join("plugins/logistic-regression")).run();
    assert!(ended.code == 2 && ended.stderr.contains("not the lock file"), "{}", ended.stderr);
}

/// A statement of another kind about this plan, such as where it was built (SLSA), is named and
/// decides nothing; one about other bytes is wrong all the same.
#[test]
fn statements_of_other_kinds_are_named_and_left_aside() {
    let bench = bench();
    bench.sign("a.pem", "p.wasm.sigstore.json");
    let digest = bench.verify("a.pem.pub").1["plan_sha256"].clone();
    let key = fedwasm_trust::KeyPair::read(&bench.path("a.pem")).unwrap();
    let attest = |digest: &Value| {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{ "name": "p.wasm", "digest": { "sha256": digest } }],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": { "buildDefinition": {} },
        });
        let statement = statement.to_string();
        let bundle = fedwasm_trust::Bundle::sign_statement(statement.as_bytes(), &key).unwrap();
        std::fs::write(bench.path("p.wasm.slsa.sigstore.json"), bundle.to_json()).unwrap();
    };
    attest(&digest);
    let (code, result) = bench.verify("a.pem.pub");
    assert_eq!((code, &result["verdict"]), (0, &json!("trusted")));
    let listed = result["signatures"].as_array().unwrap();
    let aside = listed.iter().find(|one| one["state"] == "aside").unwrap();
    assert_eq!(aside["detail"], "https://slsa.dev/provenance/v1");
    // Our own statement is still what is said.
    assert_eq!(result["statement"]["description"]["name"], "logistic-regression");
    // It counts for nothing by itself.
    for name in ["p.wasm.sigstore.json", "p.wasm.statement.sigstore.json"] {
        std::fs::remove_file(bench.path(name)).unwrap();
    }
    let (code, result) = bench.verify("a.pem.pub");
    assert_eq!((code, &result["verdict"]), (3, &json!("untrusted")));
    attest(&json!("00".repeat(32)));
    let (code, result) = bench.verify("a.pem.pub");
    assert_eq!((code, &result["verdict"]), (3, &json!("failed")));
}

#[test]
fn openssl_accepts_our_signatures() {
    use base64::Engine as _;
    let bench = bench();
    bench.sign("a.pem", "p.wasm.sigstore.json");
    let bundle = std::fs::read(bench.path("p.wasm.sigstore.json")).unwrap();
    let bundle: Value = serde_json::from_slice(&bundle).unwrap();
    let signature = bundle["messageSignature"]["signature"].as_str().unwrap();
    let signature = base64::engine::general_purpose::STANDARD.decode(signature).unwrap();
    std::fs::write(bench.path("sig"), signature).unwrap();
    let verify = |file: PathBuf| {
        let mut openssl = Command::new("openssl");
        openssl.args(["dgst", "-sha256", "-verify"]).arg(bench.path("a.pem.pub"));
        let output = openssl.arg("-signature").arg(bench.path("sig")).arg(file).output();
        output.expect("openssl is installed").status.success()
    };
    assert!(verify(bench.path("p.wasm")));
    assert!(!verify(bench.path("a.pem.pub")));
}

#[test]
fn plans_are_rebuilt_and_compared() {
    let source = root().join("plugins/logistic-regression");
    let reproduce = |plan: PathBuf| {
        fedwasm(&["--json", "plan", "build"]).arg(&source).arg("--reproduce").arg(plan).run()
    };
    let ended = reproduce(crate::support::plan());
    let result = |ended: &Ended| {
        ended.events().into_iter().find(|event| event["event"] == "result").unwrap()
    };
    assert_eq!((ended.code, &result(&ended)["identical"]), (0, &json!(true)), "{}", ended.stderr);
    let ended = reproduce(crate::support::personal().to_owned());
    assert_eq!((ended.code, &result(&ended)["identical"]), (1, &json!(false)));
    assert!(result(&ended)["differences"].to_string().contains("sources"));
}

/// Debian's `docker-registry`; where it must be, its absence is a failure.
#[expect(clippy::print_stderr, reason = "a test that did not run says so")]
fn registry(dir: &std::path::Path) -> Option<(std::process::Child, u16)> {
    let found = std::path::Path::new("/usr/bin/docker-registry").exists();
    assert!(
        found || std::env::var_os("FEDWASM_REQUIRE_REGISTRY").is_none(),
        "docker-registry is not installed"
    );
    if !found {
        eprintln!("SKIPPED: docker-registry is not installed");
        return None;
    }
    Some(listening("docker-registry", |port| {
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: 127.0.0.1:{port}\n",
            dir.join("registry").display()
        );
        std::fs::write(dir.join("registry.yml"), config).unwrap();
        Command::new("/usr/bin/docker-registry")
            .arg("serve")
            .arg(dir.join("registry.yml"))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap()
    }))
}

#[test]
fn plans_go_to_a_registry_and_come_back_with_their_signatures() {
    let bench = bench();
    let Some((mut child, port)) = registry(bench.dir.path()) else { return };
    bench.sign("a.pem", "p.wasm.sigstore.json");
    bench.sign("b.pem", "p.wasm.b.sigstore.json");
    let reference = format!("127.0.0.1:{port}/plans/mine:1.0");
    let push = || {
        fedwasm(&["--json", "plan", "push"]).arg(bench.path("p.wasm")).arg(&reference).ok().result()
    };
    let pushed = push();
    // Nothing in it depends on when or where.
    assert_eq!((&push(), &pushed["signatures"]), (&pushed, &json!(4)));
    let back = bench.path("back/q.wasm");
    let pull = || fedwasm(&["--json", "plan", "pull"]).arg(&reference).arg("-o").arg(&back).run();
    let pulled = pull();
    assert_eq!(pulled.code, 0, "{}", pulled.stderr);
    assert_eq!(pulled.result()["plan_sha256"], pushed["plan_sha256"]);
    assert_eq!(std::fs::read(&back).unwrap(), std::fs::read(bench.path("p.wasm")).unwrap());
    let verify = |key: &str| {
        fedwasm(&["plan", "verify"]).arg(&back).arg("--trust").arg(bench.path(key)).run().code
    };
    assert_eq!((verify("a.pem.pub"), verify("b.pem.pub")), (0, 0));
    // Existing files are not overwritten.
    assert_eq!(pull().code, 2);
    // A registry whose bytes are others than their digest says.
    let digest = pushed["plan_sha256"].as_str().unwrap();
    let data = bench.path("registry/docker/registry/v2/blobs/sha256");
    let data = data.join(&digest[..2]).join(digest).join("data");
    let mut bytes = std::fs::read(&data).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&data, bytes).unwrap();
    std::fs::remove_dir_all(bench.path("back")).unwrap();
    let ended = pull();
    assert_ne!(ended.code, 0, "{}", ended.stdout);
    assert!(!back.exists());
    let _ = child.kill();
    let _ = child.wait();
}

/// Asks a registry on this machine; the status, and where it sends to.
fn ask(port: u16, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, String) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\
         content-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let location = answer.lines().find_map(|line| line.strip_prefix("Location: "));
    let location = location.unwrap_or_default().trim();
    let host = format!("http://127.0.0.1:{port}");
    (status, location.strip_prefix(&host).unwrap_or(location).to_owned())
}

#[test]
fn each_signer_pushes_and_the_signatures_of_others_stay() {
    let bench = bench();
    let Some((mut child, port)) = registry(bench.dir.path()) else { return };
    let reference = format!("127.0.0.1:{port}/plans/mine:1.0");
    // Each has the plan and a signature of its own, and knows nothing of the other one's.
    for (key, name) in [("a.pem", "of-a"), ("b.pem", "of-b")] {
        let dir = bench.path(name);
        std::fs::create_dir(&dir).unwrap();
        std::fs::copy(bench.path("p.wasm"), dir.join("p.wasm")).unwrap();
        let sign = fedwasm(&["plan", "sign"]).arg(dir.join("p.wasm")).arg("--key");
        sign.arg(bench.path(key)).ok();
        fedwasm(&["plan", "push"]).arg(dir.join("p.wasm")).arg(&reference).ok();
    }
    let trust = "threshold = 2\n[[signer]]\nname = \"a\"\nkey = \"a.pem.pub\"\n\
                 [[signer]]\nname = \"b\"\nkey = \"b.pem.pub\"\n";
    std::fs::write(bench.path("trust.toml"), trust).unwrap();
    let back = bench.path("back/q.wasm");
    let pulled = fedwasm(&["--json", "plan", "pull"]).arg(&reference).arg("-o").arg(&back).ok();
    assert_eq!(pulled.result()["signatures"].as_array().unwrap().len(), 4);
    fedwasm(&["plan", "verify"]).arg(&back).arg("--trust").arg(bench.path("trust.toml")).ok();
    let _ = child.kill();
    let _ = child.wait();
    // A registry that fails has not said that there are none.
    let ended =
        fedwasm(&["plan", "pull"]).arg(&reference).arg("-o").arg(bench.path("r.wasm")).run();
    assert_eq!(ended.code, 1, "{}", ended.stderr);
}

#[test]
fn plans_pushed_by_other_tools_are_pulled() {
    let bench = bench();
    let Some((mut child, port)) = registry(bench.dir.path()) else { return };
    let plan = std::fs::read(bench.path("p.wasm")).unwrap();
    let digest_of = |bytes: &[u8]| format!("sha256:{}", fedwasm_protocol::Digest::of(bytes));
    let put_blob = |bytes: &[u8]| {
        let (status, to) = ask(port, "POST", "/v2/plans/theirs/blobs/uploads/", "a/b", b"");
        assert_eq!(status, 202);
        let to = format!("{to}&digest={}", digest_of(bytes));
        assert_eq!(ask(port, "PUT", &to, "application/octet-stream", bytes).0, 201);
        json!({ "digest": digest_of(bytes), "size": bytes.len() })
    };
    let layer = |kind: &str, bytes: &[u8]| {
        let mut layer = put_blob(bytes);
        layer["mediaType"] = json!(kind);
        layer
    };
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let push = |tag: &str, layers: &[Value]| {
        // As oras writes it by default.
        let config = layer("application/vnd.unknown.config.v1+json", b"{}");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers,
        });
        let path = format!("/v2/plans/theirs/manifests/{tag}");
        assert_eq!(ask(port, "PUT", &path, kind, manifest.to_string().as_bytes()).0, 201);
    };
    let component = layer("application/wasm", &plan);
    let readme = layer("text/markdown", b"# read me");
    push("one", &[readme.clone(), component.clone()]);
    push("none", std::slice::from_ref(&readme));
    push("two", &[component.clone(), component]);
    let pull = |tag: &str| {
        let reference = format!("127.0.0.1:{port}/plans/theirs:{tag}");
        let to = bench.path(&format!("{tag}.wasm"));
        fedwasm(&["plan", "pull"]).arg(reference).arg("-o").arg(to).run()
    };
    assert_eq!(pull("one").code, 0);
    assert_eq!(std::fs::read(bench.path("one.wasm")).unwrap(), plan);
    for (tag, expected) in [("none", "not hold a WebAssembly component"), ("two", "2 WebAssembly")]
    {
        let ended = pull(tag);
        assert!(ended.code != 0 && ended.stderr.contains(expected), "{}", ended.stderr);
    }
    let _ = child.kill();
    let _ = child.wait();
}
