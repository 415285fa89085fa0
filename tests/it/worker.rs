//! The second wall: the process of a plan, its cache, and what happens when
//! one of both sides dies.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fedwasm_artifact::Component;
use fedwasm_params::{Params, Tensor};
use fedwasm_sandbox::{Batch, Cancel, FaultKind, Limits, Loader, Sandbox, Start, WorkerOptions};
use serde_json::{Value, json};

use crate::support::{Fedwasm, Running, data, fedwasm, plan, wait_for, wait_until, workers};

/// Processes that `pid` started and that are workers.
pub fn workers_of(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let line = std::fs::read_to_string(format!("/proc/{child}/cmdline"));
            if line.unwrap_or_default().contains("__worker") {
                found.push(child.parse().unwrap());
            }
        }
    }
    found
}

/// Waits for a worker of `pid` that computes.
fn busy_worker(pid: u32) -> u32 {
    wait_for("a worker that computes", || {
        workers_of(pid).into_iter().find(|worker| {
            let stat = std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
            // User time in ticks, the 14th field.
            let ticks = stat.split_whitespace().nth(13).and_then(|ticks| ticks.parse().ok());
            ticks.unwrap_or(0) > 30
        })
    })
}

fn is_there(pid: u32) -> bool {
    // A dead child that was not waited for counts as gone.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.trim_start().starts_with('Z') && !rest.is_empty())
}

/// A local job whose plan loops, and is compiled: the worker that computes is the plan's.
fn looping(dir: &Path) -> Running {
    local(tempfile::tempdir().unwrap().path(), "none").ok();
    local(dir, "loop").start()
}

fn local(dir: &Path, deed: &str) -> Fedwasm {
    std::fs::create_dir_all(dir).unwrap();
    let args = dir.join("args.toml");
    let text = format!("[training]\nepochs = 1\nrandom_seed = 1\n[model]\ndeed = \"{deed}\"");
    std::fs::write(&args, text).unwrap();
    fedwasm(&["--json", "local", "--target", "benign", "--out"])
        .arg(dir.join("out"))
        .arg("--plan")
        .arg(crate::support::misbehaves())
        .arg("--data")
        .arg(data("breast_cancer.csv"))
        .arg("--args")
        .arg(args)
}

#[test]
fn a_worker_has_nothing_but_its_plan() {
    let dir = tempfile::tempdir().unwrap();
    let job = looping(dir.path());
    let worker = busy_worker(job.child.id());
    let read = |what: &str| std::fs::read_to_string(format!("/proc/{worker}/{what}")).unwrap();
    assert_eq!(read("environ"), "");
    let status = read("status");
    let field = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!((field("NoNewPrivs:").as_str(), field("Seccomp:").as_str()), ("1", "2"));
    // Of its own user namespace, too.
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    // Both filters, above whatever this machine sets for everybody.
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let filters = |status: &str| -> u32 {
        let line = status.lines().find(|line| line.starts_with("Seccomp_filters:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    assert_eq!(filters(&status), filters(&own) + 2);
    for space in ["net", "user"] {
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{space}")).unwrap();
        assert_ne!(namespace(&worker.to_string()), namespace("self"), "{space}");
    }
    // Standard streams and the worker's own copies of the two pipes.
    let open: Vec<String> = std::fs::read_dir(format!("/proc/{worker}/fd"))
        .unwrap()
        .map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap().display().to_string())
        .collect();
    assert_eq!(open.len(), 5, "{open:?}");
    assert!(open.iter().all(|target| target.starts_with("pipe:")), "{open:?}");
    let limits = read("limits");
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(limit("Max core file size"), "0");
    assert_eq!(limit("Max file size"), "0");
    assert_eq!(limit("Max open files"), "16");
    assert_ne!(limit("Max data size"), "unlimited");
    assert_ne!(limit("Max cpu time"), "unlimited");
    assert_eq!(std::fs::read_link(format!("/proc/{worker}/cwd")).unwrap(), Path::new("/"));
}

#[test]
fn a_worker_that_dies_is_a_fault_and_one_without_a_host_dies() {
    let dir = tempfile::tempdir().unwrap();
    let job = looping(dir.path());
    let worker = busy_worker(job.child.id());
    assert!(Command::new("kill").args(["-9", &worker.to_string()]).status().unwrap().success());
    let (code, events) = job.end();
    let last: &Value = events.last().unwrap();
    assert_eq!(code, 4, "{events:?}");
    let message = last["message"].as_str().unwrap();
    assert!(message.contains("was killed: its process died of"), "{message}");
    assert!(!dir.path().join("out/params.safetensors").exists());

    let job = looping(dir.path());
    let worker = busy_worker(job.child.id());
    job.signal("KILL");
    wait_until("the end of a plan without a host", || !is_there(worker));
}

#[test]
fn endless_compiling_can_be_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    let guests = crate::support::root().join("tests/guests/hostile");
    let read = |name: &str| std::fs::read_to_string(guests.join(name)).unwrap();
    let bomb = crate::hostile::component(&read("skeleton.wat"), &read("compile-bomb.wat"));
    let path = dir.path().join("bomb.wasm");
    std::fs::write(&path, bomb).unwrap();
    let job = fedwasm(&["--json", "local", "--target", "benign", "--seed", "1", "--plan"])
        .arg(path)
        .arg("--data")
        .arg(data("breast_cancer.csv"))
        .env("XDG_CACHE_HOME", dir.path().to_str().unwrap())
        .start();
    let worker = busy_worker(job.child.id());
    let start = Instant::now();
    job.signal("INT");
    let (code, events) = job.end();
    assert_eq!(code, 1, "{events:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(!is_there(worker));
}

#[test]
fn a_worker_is_reused_until_a_fault() {
    let component = Component::admit(std::fs::read(plan()).unwrap()).unwrap();
    let described = workers().describe(&component, Limits::default()).unwrap();
    let own = || {
        let children = std::fs::read_link("/proc/thread-self").unwrap();
        std::fs::read_to_string(Path::new("/proc").join(children).join("children")).unwrap()
    };
    let first = own();
    let none = fedwasm_protocol::Arguments::new();
    // Without its arguments the plan gives up, or panics: that worker is gone.
    assert!(described.session(none).is_err());
    assert_ne!(own(), first);
    let facts = fedwasm_sandbox::DataFacts { n_inputs: Some(3), n_classes: Some(2) };
    let all = ["model.", "optimizer.", "aggregator."];
    let given = described.metadata().arguments(&[].into(), &facts, &all);
    let given = given.unwrap();
    described.session(given.clone()).unwrap();
    let second = own();
    described.session(given).unwrap();
    assert_eq!(own(), second);
}

/// Batches of a kilobyte, more than a pipe holds.
struct Many(u32);

impl Loader for Many {
    fn next(&mut self) -> Result<Option<Batch>, String> {
        self.0 -= 1;
        let inputs = Tensor::from_f32(vec![64, 3], &[0.0; 192]).unwrap();
        let batch = Batch { rows: 64, inputs: vec![("inputs".into(), inputs)], targets: vec![] };
        Ok((self.0 > 0).then_some(batch))
    }
}

/// Workers that somebody else has taken over: each says its messages, after a
/// second those that follow, and reads none.
fn liars(dir: &Path, workers: &[(&[Value], &[Value])]) -> Sandbox {
    use std::os::unix::fs::PermissionsExt as _;
    let write = |name: String, messages: &[Value]| {
        let mut bytes = Vec::new();
        for message in messages {
            // The elements of tensors follow their message as they are.
            if let Some(raw) = message.get("Raw").and_then(Value::as_array) {
                bytes.extend(raw.iter().map(|byte| byte.as_u64().unwrap() as u8));
                continue;
            }
            let message = rmp_serde::to_vec_named(message).unwrap();
            bytes.extend((message.len() as u64).to_le_bytes());
            bytes.extend(message);
        }
        std::fs::write(dir.join(name), bytes).unwrap();
    };
    for (n, (first, last)) in workers.iter().enumerate() {
        write(format!("first-{n}"), first);
        write(format!("last-{n}"), last);
    }
    std::fs::write(dir.join("n"), "0\n").unwrap();
    let program = dir.join("liar");
    let script = format!(
        "#!/bin/sh\ncd {}\nread n < n\necho $((n + 1)) > n\n/bin/cat first-$n\n/bin/sleep 1\n\
         /bin/cat last-$n\nexec /bin/sleep 600\n",
        dir.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    Sandbox::new(WorkerOptions { program: Some(program), cache: None }).unwrap()
}

#[test]
fn a_lying_worker_does_not_block_its_host() {
    let ready = json!({ "Ready": { "version": env!("CARGO_PKG_VERSION"), "protections": [] } });
    let compiled = json!({ "Compiled": [1, 2, 3] });
    let usage = json!({
        "memory_bytes": 0, "host_calls": 0, "fuel": null, "random_bytes": 0, "processor_us": 0,
    });
    let done = |said: Value, model: Value| {
        json!({ "Done": { "Ok": {
            "said": said, "model": model, "aux_out": [], "state": [], "predictions": [],
            "n_batches": 1, "usage": usage,
        } } })
    };
    let metadata = json!({ "Metadata": {
        "name": "liar", "version": "0.1.0", "task": "classification",
        "arguments": [], "dependencies": [],
    } });
    let spec = json!([{ "name": "w", "dtype": "float32", "shape": [1], "trainable": true, "scope": "shared" }]);
    let shapes = json!([{ "name": "inputs", "dtype": "float32", "shape": [3] }]);
    let declaration = json!({ "Declaration": {
        "inputs": shapes, "targets": [], "model": spec, "aux_in": [], "aux_out": [], "state": [],
    } });
    let report = json!({ "Report": { "steps": 1, "rows": 64, "metrics": [] } });
    let component = Component::admit(std::fs::read(plan()).unwrap()).unwrap();
    let fault = |error| match error {
        fedwasm_sandbox::Error::Fault(fault) => (fault.kind, fault.detail),
        other => panic!("no fault: {other}"),
    };

    // It answers well, and leaves the batches in the pipe.
    let dir = tempfile::tempdir().unwrap();
    let described = done(metadata.clone(), json!([]));
    let declared = done(declaration, json!([]));
    let trained = [done(report, json!([4])), json!({ "Raw": [0, 0, 0, 0] })];
    let compiler = [ready.clone(), compiled.clone()];
    let loaded = [ready.clone(), json!("Loaded")];
    let shapes = [&loaded[..], &[described, declared]].concat();
    let sandbox = liars(dir.path(), &[(&compiler, &[]), (&shapes, &[]), (&loaded, &trained)]);
    let limits = Limits { time_ms_max: 60_000, ..Limits::default() };
    let session = sandbox.describe(&component, limits).unwrap().session([].into()).unwrap();
    let model = Tensor::from_f32(vec![1], &[0.0]).unwrap();
    let model = Params::new(vec![("w".into(), model)]).unwrap();
    let start = Start { model, ..Start::default() };
    let before = Instant::now();
    let loader = Box::new(Many(4_000));
    let result = session.train(start, [0; 32], loader, Box::new(drop), &Cancel::new());
    assert!(before.elapsed() < Duration::from_secs(30), "{:?}", before.elapsed());
    let (kind, detail) = fault(result.unwrap_err());
    assert_eq!(kind, FaultKind::Killed, "{detail}");
    assert!(detail.contains("stopped reading its batches"), "{detail}");

    // It answers something else, nonsense, another call, nothing at all, or far too much.
    let describe = |last: &[Value]| {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { time_ms_max: 500, ..Limits::default() };
        let said = [&loaded[..], last].concat();
        let sandbox = liars(dir.path(), &[(&compiler, &[]), (&said, &[])]);
        fault(sandbox.describe(&component, limits).unwrap_err())
    };
    let (kind, detail) = describe(&[json!("Loaded")]);
    assert_eq!((kind, &*detail), (FaultKind::Killed, "its answer does not fit the request"));
    let (kind, detail) = describe(&[json!({ "Nothing": [] })]);
    assert!(kind == FaultKind::Killed && detail.contains("unreadable message"), "{detail}");
    assert_eq!(describe(&[done(json!("Nothing"), json!([]))]).0, FaultKind::BadOutput);
    assert_eq!(describe(&[]).0, FaultKind::DeadlineExceeded);
    let line = json!({ "Log": ["info", "x".repeat(1_000)] });
    assert_eq!(describe(&vec![line; 20_000]).0, FaultKind::Killed);
    let (kind, detail) = describe(&[done(metadata.clone(), json!(vec![json!(null); 1 << 18]))]);
    assert!(kind == FaultKind::Killed && detail.contains("at most 131072"), "{detail}");
    let (kind, detail) = describe(&[json!({ "Log": ["info", "x".repeat(9 << 20)] })]);
    assert!(kind == FaultKind::BadOutput && detail.contains("too large"), "{detail}");
    // The host's own words are not its to say: they would leave a node.
    let refused = json!({ "Done": { "Err": { "Plan": ["refused", "row 17"] } } });
    assert_eq!(describe(&[refused]).0, FaultKind::BadOutput);

    // An answer to another step ends the step: no worker compiles for ever.
    let dir = tempfile::tempdir().unwrap();
    let stale = [ready, json!({ "Stale": "again" })];
    let sandbox = liars(dir.path(), &[(&stale, &[])]);
    let (kind, _) = fault(sandbox.describe(&component, Limits::default()).unwrap_err());
    assert_eq!(kind, FaultKind::Killed);
}

/// Everything that can be wrong with an entry of the cache: it is compiled
/// anew and said, and the next time it is used again.
#[test]
fn compiled_plans_are_cached_and_authenticated() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let compiled = home.join("fedwasm/compiled");
    let local = || {
        let job = fedwasm(&["--json", "local", "--target", "benign", "--seed", "1", "--plan"]);
        let job = job.arg(plan()).arg("--data").arg(data("breast_cancer.csv"));
        let ended = job.env("XDG_CACHE_HOME", home.to_str().unwrap()).ok();
        let digest = ended.result()["params_sha256"].as_str().unwrap().to_owned();
        (digest, ended.stderr)
    };
    let entry = || {
        let entries = std::fs::read_dir(&compiled).unwrap().map(|entry| entry.unwrap().path());
        let mut entries = entries.filter(|path| path.extension().is_some_and(|e| e == "compiled"));
        let entry = entries.next().unwrap();
        assert_eq!(entries.next(), None);
        entry
    };
    let (digest, words) = local();
    assert!(!words.contains("cache"), "{words}");
    let good = std::fs::read(entry()).unwrap();
    assert_eq!(local().0, digest);
    assert_eq!(std::fs::read(entry()).unwrap(), good);

    // A bit of machine code; an entry cut short; one of another machine's key; an empty one.
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let foreign = [vec![7; 32], good[32..].to_vec()].concat();
    let poisoned =
        [flipped(good.len() / 2), flipped(0), good[..good.len() - 1].to_vec(), foreign, Vec::new()];
    for bytes in poisoned {
        std::fs::write(entry(), bytes).unwrap();
        let (got, words) = local();
        assert_eq!(got, digest);
        assert!(words.contains("in the cache is ignored"), "{words}");
        // Compiled again, and good again.
        assert!(!local().1.contains("cache"));
    }
    // With a key that is not the one that it was written with.
    std::fs::write(compiled.join("key"), [1; 32]).unwrap();
    assert!(local().1.contains("it was not written by this cache"));
    // A directory that others may write to is not used at all.
    let mode = |mode: &str| {
        let status = Command::new("chmod").arg(mode).arg(&compiled).status().unwrap();
        assert!(status.success());
    };
    mode("777");
    let (got, words) = local();
    assert_eq!(got, digest);
    assert!(
        words.contains("compiled plans cannot be cached")
            && words.contains("accessible to other users")
    );
}

#[test]
fn doctor_lists_the_protections() {
    let ended = fedwasm(&["--json", "doctor"]).ok();
    let findings = ended.result()["findings"].as_array().unwrap().clone();
    let names: Vec<&str> = findings.iter().map(|f| f["what"].as_str().unwrap()).collect();
    for name in [
        "worker",
        "closed descriptors",
        "resource limits",
        "network namespace",
        "no capabilities",
        "no new privileges",
        "landlock",
        "seccomp",
    ] {
        let at = names.iter().position(|known| *known == name);
        let finding = &findings[at.unwrap_or_else(|| panic!("{name} is not among {names:?}"))];
        assert_eq!(finding["ok"], true, "{finding}");
    }
}

#[test]
fn a_missing_worker_program_is_an_error() {
    let program = Some("/nowhere/fedwasm".into());
    let sandbox = Sandbox::new(WorkerOptions { program, cache: None }).unwrap();
    let component = Component::admit(std::fs::read(plan()).unwrap()).unwrap();
    let error = sandbox.describe(&component, Limits::default()).unwrap_err().to_string();
    assert!(error.contains("a worker of /nowhere/fedwasm could not be started"), "{error}");
    // A program that is something else.
    let program = Some("/bin/true".into());
    let sandbox = Sandbox::new(WorkerOptions { program, cache: None }).unwrap();
    let error = sandbox.describe(&component, Limits::default()).unwrap_err().to_string();
    assert!(error.contains("a worker of /bin/true could not be started"), "{error}");
}
