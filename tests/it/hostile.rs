//! Every guest of `tests/guests/hostile` and `tests/guests/generated`, each in
//! a worker, within small limits, each to the end that its own first lines
//! name; and a good plan right after each, on the same host.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fedwasm_artifact::Component;
use fedwasm_dataset::Dataset;
use fedwasm_protocol::{Arguments, DataArgs, TrainingArgs};
use fedwasm_sandbox::{Cancel, DataFacts, Described, Error, Limits, Sandbox};
use fedwasm_training::{Before, Examples, Round, Turn};

use crate::generated;
use crate::support::{root, workers};

/// Guests in both folders.
const GUESTS: usize = 264;
/// Time of one call. Loops take all of it.
const TIME_MS_MAX: u64 = 2_000;
/// The time of a guest in all: its calls that end well, one that does not,
/// and a machine with other things to do.
const WALL_MAX: Duration = Duration::from_secs(20);
/// The memory of the process of a guest: its memory, its tensors, the engine.
const PEAK_BYTES_MAX: u64 = 192 << 20;

/// Small enough that every limit is reached at once.
fn limits() -> Limits {
    Limits {
        memory_bytes_max: 64 << 20,
        time_ms_max: TIME_MS_MAX,
        compile_ms_max: 5_000,
        compile_bytes_max: 1 << 30,
        host_calls_max: 100_000,
        host_call_bytes_max: 20 << 20,
        prediction_bytes_max: 16 << 20,
        declared_bytes_max: 16 << 20,
        scalars_max: 1_000,
        ..Limits::default()
    }
}

/// Makes the component of a guest in text: fields of a module that replace
/// those of the skeleton, as that file says, or a whole component.
pub fn component(skeleton: &str, guest: &str) -> Vec<u8> {
    let is_component = lists(guest)[0].starts_with("(component");
    if is_component {
        return wat::parse_str(guest).unwrap_or_else(|error| panic!("{guest}: {error}"));
    }
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(root().join("wit/released/0.1.0")).unwrap();
    let world = resolve.select_world(&[package], Some("training-plan")).unwrap();
    let mut module = wat::parse_str(merge(skeleton, guest)).unwrap();
    let utf8 = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, utf8).unwrap();
    let encoder = wit_component::ComponentEncoder::default().validate(false);
    encoder.module(&module).unwrap().encode().unwrap()
}

/// A good plan with one more field in its module.
pub fn with_module_field(field: &str) -> Vec<u8> {
    let skeleton = std::fs::read_to_string(root().join("tests/guests/hostile/skeleton.wat"));
    component(&skeleton.unwrap(), field)
}

fn merge(skeleton: &str, guest: &str) -> String {
    let module = lists(skeleton)[0];
    let fields = lists(&module["(module".len()..module.len() - 1]);
    let mut own: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut added = Vec::new();
    for field in lists(guest) {
        match key(field).filter(|key| fields.iter().any(|field| self::key(field) == Some(*key))) {
            Some(key) => assert!(own.insert(key, field).is_none(), "{key:?} twice"),
            None => added.push(field),
        }
    }
    let fields = fields.iter().map(|field| match key(field).and_then(|key| own.get(&key)) {
        Some(replaced) => *replaced,
        None => field,
    });
    let all: Vec<&str> = fields.chain(added).collect();
    format!("(module\n{})", all.join("\n"))
}

/// Keyword and `$name` of a field.
fn key(field: &str) -> Option<(&str, &str)> {
    let mut words = field.trim_start_matches('(').split_whitespace();
    let (keyword, name) = (words.next()?, words.next()?.trim_end_matches([')', '(']));
    name.starts_with('$').then_some((keyword, name))
}

/// The lists of a text, one after the other, without what is between them.
fn lists(text: &str) -> Vec<&str> {
    let (mut found, mut depth, mut start, mut at) = (Vec::new(), 0_usize, 0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        match &bytes[at..] {
            [b';', b';', ..] => {
                at += text[at..].find('\n').unwrap_or(text.len() - at);
            }
            [b'(', b';', ..] => {
                let mut inside = 0_usize;
                loop {
                    match &bytes[at..] {
                        [b'(', b';', ..] => (inside, at) = (inside + 1, at + 2),
                        [b';', b')', ..] => (inside, at) = (inside - 1, at + 2),
                        [] => panic!("a comment without an end"),
                        _ => at += 1,
                    }
                    if inside == 0 {
                        break;
                    }
                }
            }
            [b'"', ..] => {
                at += 1;
                while bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            [b'(', ..] => {
                if depth == 0 {
                    start = at;
                }
                (depth, at) = (depth + 1, at + 1);
            }
            [b')', ..] => {
                (depth, at) = (depth - 1, at + 1);
                if depth == 0 {
                    found.push(&text[start..at]);
                }
            }
            _ => at += 1,
        }
    }
    found
}

/// The sandbox of all guests.
struct Host {
    sandbox: Sandbox,
    file: Dataset,
    data: DataArgs,
    training: TrainingArgs,
    good: Component,
    _dir: tempfile::TempDir,
}

/// How a guest ended: where, how, and the words for it.
type End = (&'static str, String, String);

impl Host {
    fn new(skeleton: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.csv");
        let rows: String =
            (0..40).map(|n| format!("{n},{},{},{}\n", n % 7, n * n, n % 2)).collect();
        std::fs::write(&path, format!("a,b,c,y\n{rows}")).unwrap();
        let training = "epochs = 2\ntest_ratio = 0.5\nrandom_seed = 1\ntest_batch_size = 8\nloader_args = { batch_size = 4 }";
        Self {
            sandbox: workers(),
            file: Dataset::open(&path, None).unwrap(),
            data: DataArgs::of("y"),
            training: TrainingArgs::parse(training.parse().unwrap()).unwrap(),
            good: Component::admit(component(skeleton, "(data $nothing \"\")")).unwrap(),
            _dir: dir,
        }
    }

    /// Everything that a node and a local job do with a plan.
    fn run(&self, component: &Component) -> Result<(), (&'static str, fedwasm_training::Error)> {
        let cancel = Cancel::new();
        let plan = self.sandbox.describe(component, limits());
        let plan: Described = plan.map_err(|error| ("describe", error.into()))?;
        let facts = DataFacts { n_inputs: Some(3), n_classes: None };
        let none = Arguments::new();
        let round = Round::new(&plan, &none, &self.training, &none, &facts);
        let round = round.map_err(|error| ("declare", error))?;
        let node = "n".parse().unwrap();
        let turn = Turn { random_seed: 1, round: 1, node };
        let examples = Examples::read(&self.file, &self.data, &round, &turn);
        let examples = examples.map_err(|error| ("data", error))?;
        let params = round.initial_params(1, &cancel).map_err(|error| ("init", error))?;
        let before = Before { params, ..Before::default() };
        let trained = round.train(&examples, before, &turn, Box::new(drop), &cancel);
        let trained = trained.map_err(|error| ("train", error))?;
        assert!(trained.params.iter().all(|(_, tensor)| tensor.is_finite()));
        let scored = round.evaluate(&examples, &trained.params, trained.kept.as_ref(), 1, &cancel);
        scored.map(drop).map_err(|error| ("evaluate", error))
    }

    fn end(&self, bytes: Vec<u8>) -> End {
        let component = match Component::admit(bytes) {
            Ok(component) => component,
            Err(error) => {
                let kind = format!("{error:?}");
                let kind = kind.split([' ', '{']).next().unwrap_or_default().to_owned();
                return ("admission", kind, error.to_string());
            }
        };
        match self.run(&component) {
            Ok(()) => ("nowhere", String::new(), String::new()),
            Err((place, fedwasm_training::Error::Sandbox(Error::Fault(fault)))) => {
                assert_eq!(fault.plan.digest, component.digest());
                (place, format!("{:?}", fault.kind), fault.to_string())
            }
            Err((place, error)) => (place, "Other".into(), error.to_string()),
        }
    }
}

/// Watches the workers that this thread starts.
struct Watcher {
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watcher {
    fn start() -> Self {
        let own = std::fs::read_link("/proc/thread-self").unwrap();
        let children = Path::new("/proc").join(own).join("children");
        let (peak, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (high, stopped) = (Arc::clone(&peak), Arc::clone(&stop));
        let watch = move || {
            while !stopped.load(Ordering::Relaxed) {
                let pids = std::fs::read_to_string(&children).unwrap_or_default();
                for pid in pids.split_whitespace() {
                    // Before it is a worker, a child is still this process.
                    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
                    if !line.unwrap_or_default().contains(fedwasm_sandbox::WORKER_ARGUMENT) {
                        continue;
                    }
                    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
                    let kib = status.unwrap_or_default().lines().find_map(|line| {
                        line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok()
                    });
                    high.fetch_max(kib.unwrap_or(0_u64) << 10, Ordering::Relaxed);
                }
                // Often enough to see the peak, seldom enough to leave the processor to the guests.
                std::thread::sleep(Duration::from_millis(3));
            }
        };
        Self { peak, stop, thread: Some(std::thread::spawn(watch)) }
    }

    fn take_peak(&self) -> u64 {
        self.peak.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// A guest: its name, how it is to end, its bytes.
struct Guest {
    name: String,
    ends: String,
    bytes: Vec<u8>,
    /// Whether compiling it, which has limits of its own, takes more than running.
    is_dear: bool,
}

fn guests(skeleton: &str) -> Vec<Guest> {
    let only = std::env::var("FEDWASM_GUEST").ok();
    let mut guests = Vec::new();
    let mut entries: Vec<_> = std::fs::read_dir(root().join("tests/guests/hostile"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name == "skeleton" || only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let ends = text.lines().find_map(|line| line.strip_prefix(";; ends: ")).unwrap_or("?");
        let (ends, bytes) = (ends.to_owned(), component(skeleton, &text));
        let is_dear = text.lines().any(|line| line == ";; compiling is dear");
        guests.push(Guest { name, ends, bytes, is_dear });
    }
    let good = component(skeleton, "(data $nothing \"\")");
    for (name, ends, bytes) in generated::ALL {
        if only.as_ref().is_none_or(|only| only == name) {
            let (name, ends) = (name.to_string(), ends.to_string());
            guests.push(Guest { name, ends, bytes: bytes(&good), is_dear: false });
        }
    }
    guests
}

#[test]
fn every_hostile_guest_meets_its_end_and_the_host_goes_on() {
    let skeleton = root().join("tests/guests/hostile/skeleton.wat");
    let skeleton = std::fs::read_to_string(skeleton).unwrap();
    let host = Host::new(&skeleton);
    host.run(&host.good).unwrap();
    let guests = guests(&skeleton);
    let (next, mistakes) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    let work = || {
        let watcher = Watcher::start();
        while let Some(guest) = guests.get(next.fetch_add(1, Ordering::Relaxed)) {
            watcher.take_peak();
            let start = Instant::now();
            let (place, kind, words) = host.end(guest.bytes.clone());
            let (time, peak) = (start.elapsed(), watcher.take_peak());
            let got = format!("{place} {kind}").trim().to_owned();
            let mut wrong = Vec::new();
            if !guest.ends.split(" | ").any(|end| end == got) {
                wrong.push(format!("ended: {got}, not: {}", guest.ends));
            }
            if time > WALL_MAX {
                wrong.push(format!("took {time:?}"));
            }
            // Compiling has a limit of its own.
            let most = match words.contains("compiling") || guest.is_dear {
                true => limits().compile_bytes_max,
                false => PEAK_BYTES_MAX,
            };
            if peak > most {
                wrong.push(format!("held {} MiB", peak >> 20));
            }
            if words.chars().any(|c| c.is_control() && c != '\n') || words.len() > 8 << 10 {
                wrong.push("commands the terminal".into());
            }
            if let Err((place, error)) = host.run(&host.good) {
                wrong.push(format!("the good plan fails after it in {place}: {error}"));
            }
            if std::env::var_os("FEDWASM_GUESTS_SHOWN").is_some() {
                let (name, mib) = (&guest.name, peak >> 20);
                let words: String = words.chars().take(160).collect();
                eprintln!(
                    "{name}|{got}|{} ms|{mib} MiB|{}",
                    time.as_millis(),
                    words.replace('\n', " ")
                );
            }
            if !wrong.is_empty() {
                mistakes.lock().unwrap().push(format!(
                    "{}: {}: {words}",
                    guest.name,
                    wrong.join("; ")
                ));
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let mistakes = mistakes.into_inner().unwrap();
    assert!(mistakes.is_empty(), "{} guests:\n{}", mistakes.len(), mistakes.join("\n"));
    // All of them: one that is added or lost is one that somebody looked at.
    assert!(
        guests.len() == GUESTS || std::env::var_os("FEDWASM_GUEST").is_some(),
        "{}",
        guests.len()
    );
}
