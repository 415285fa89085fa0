//! Signed plans. Sigstore's own verifier is asked in `tests/oracles/sigstore_verify.mjs`.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Ended, fedwasm, root};

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
    assert!(ended.code == 2 && ended.stderr.contains("another signer's"), "{}", ended.stderr);
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
fn a_statement_says_where_a_plan_is_from_and_about_no_other() {
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
fn plans_are_built_again_and_compared() {
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
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
         http:\n  addr: 127.0.0.1:{port}\n",
        dir.join("registry").display()
    );
    std::fs::write(dir.join("registry.yml"), config).unwrap();
    let child = Command::new("/usr/bin/docker-registry")
        .arg("serve")
        .arg(dir.join("registry.yml"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(std::time::Instant::now() < deadline, "the registry does not listen");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Some((child, port))
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
    // What is there is not overwritten.
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
