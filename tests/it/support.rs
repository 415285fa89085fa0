//! Shared by the tests: running the binary, federations on free ports, files.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use fedwasm_params::Tensor;
use fedwasm_sandbox::{Batch, Loader, Sandbox, WorkerOptions};
use serde_json::Value;

pub use crate::proxy::Proxy;

/// Longer than any test should take, so that a hang is a failure.
const TIME_MAX: Duration = Duration::from_secs(180);

/// Between two looks at something that is waited for.
const POLL_PAUSE: Duration = Duration::from_millis(5);

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

pub fn data(name: &str) -> PathBuf {
    root().join("examples/data").join(name)
}

/// The shipped component.
pub fn plan() -> PathBuf {
    root().join("plugins/dist/logistic-regression.wasm")
}

/// The guest `misbehaves`, compiled once.
pub fn misbehaves() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| guest("misbehaves"))
}

/// The guest `personal`, compiled once.
pub fn personal() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| guest("personal"))
}

/// Compiles a guest.
pub fn guest(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.wasm"));
    fedwasm(&["plan", "build", "-o"]).arg(&path).arg(root().join("tests/guests").join(name)).ok();
    path
}

/// Where plans of library calls run: in workers of the binary.
pub fn workers() -> Sandbox {
    let program = Some(env!("CARGO_BIN_EXE_fedwasm").into());
    Sandbox::new(WorkerOptions { program, cache: None }).unwrap()
}

/// So many batches of two rows of three inputs.
pub struct Rows(pub u32);

impl Loader for Rows {
    fn next(&mut self) -> Result<Option<Batch>, String> {
        if self.0 == 0 {
            return Ok(None);
        }
        self.0 -= 1;
        let inputs: Vec<f32> = (0..6).map(|n| (n * 7 + self.0) as f32 / 3.0).collect();
        Ok(Some(Batch {
            rows: 2,
            inputs: vec![("inputs".into(), Tensor::from_f32(vec![2, 3], &inputs).unwrap())],
            targets: vec![("targets".into(), Tensor::from_i64(vec![2], &[1, 0]).unwrap())],
        }))
    }
}

/// A command line of the binary.
pub struct Fedwasm(Command);

pub fn fedwasm(args: &[&str]) -> Fedwasm {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fedwasm"));
    command.args(args).env("RUST_BACKTRACE", "0");
    // Keys of tests are not the user's.
    command.env("FEDWASM_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"));
    Fedwasm(command)
}

/// A line for the shell, in which `fedwasm` is the binary.
pub fn shell(line: &str) -> Fedwasm {
    let binary = Path::new(env!("CARGO_BIN_EXE_fedwasm"));
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", binary.parent().unwrap().display());
    let mut command = Command::new("sh");
    command.args(["-c", line]).env("RUST_BACKTRACE", "0").env("PATH", path);
    Fedwasm(command)
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The JSON objects on standard output.
    pub fn events(&self) -> Vec<Value> {
        self.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The last of them.
    pub fn result(&self) -> Value {
        self.events().pop().unwrap_or_default()
    }
}

impl Fedwasm {
    pub fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.0.args(args);
        self
    }

    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.0.env(key, value);
        self
    }

    pub fn current_dir(mut self, dir: &Path) -> Self {
        self.0.current_dir(dir);
        self
    }

    /// Runs to the end.
    pub fn run(self) -> Ended {
        let mut running = self.start();
        let deadline = Instant::now() + TIME_MAX;
        while running.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the command does not end");
            std::thread::sleep(POLL_PAUSE);
        }
        let code = running.child.wait().unwrap().code().unwrap_or(-1);
        let lines = |receiver: &Receiver<String>| receiver.iter().collect::<Vec<_>>().join("\n");
        Ended { code, stdout: lines(&running.stdout), stderr: lines(&running.stderr) }
    }

    /// Runs to the end, which must be a good one.
    pub fn ok(self) -> Ended {
        let ended = self.run();
        assert_eq!(ended.code, 0, "{}\n{}", ended.stdout, ended.stderr);
        ended
    }

    /// Starts and goes on; killed when dropped.
    pub fn start(mut self) -> Running {
        let command = self.0.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = reader(child.stdout.take().unwrap());
        let stderr = reader(child.stderr.take().unwrap());
        Running { child, stdout, stderr }
    }
}

fn reader(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

/// A process of ours.
pub struct Running {
    pub child: Child,
    stdout: Receiver<String>,
    pub stderr: Receiver<String>,
}

impl Running {
    /// Waits for the next event that `wanted` accepts.
    pub fn wait_for(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + TIME_MAX;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.stdout.recv_timeout(left).unwrap_or_else(|_| {
                let errors: Vec<String> = self.stderr.try_iter().collect();
                panic!("the event does not come: {}", errors.join("\n"))
            });
            if let Some(event) = serde_json::from_str(&line).ok().filter(&wanted) {
                return event;
            }
        }
    }

    /// Waits for a line of the log that holds `text`.
    pub fn wait_for_log(&self, text: &str) {
        let deadline = Instant::now() + TIME_MAX;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.stderr.recv_timeout(left) {
                Ok(line) if line.contains(text) => return,
                Ok(_) => {}
                Err(_) => panic!("the log does not say {text}"),
            }
        }
    }

    /// Waits for the end and returns the exit code and the events until then.
    pub fn end(mut self) -> (i32, Vec<Value>) {
        let deadline = Instant::now() + TIME_MAX;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the command does not end");
            std::thread::sleep(POLL_PAUSE);
        }
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        let events = self.stdout.iter().filter_map(|line| serde_json::from_str(&line).ok());
        (code, events.collect())
    }

    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for something to be found, for as long as any test may take.
#[track_caller]
pub fn wait_for<T>(what: &str, found: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + TIME_MAX;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited for {what}, in vain");
        std::thread::sleep(POLL_PAUSE);
    }
}

/// Waits until something holds.
#[track_caller]
pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    wait_for(what, || holds().then_some(()));
}

/// Starts a server that cannot choose a free port itself. Another program may take the port before
/// the server does; then the server ends, and another port is tried.
pub fn listening(name: &str, start: impl Fn(u16) -> Child) -> (Child, u16) {
    for _ in 0..8 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = std::cell::RefCell::new(start(port));
        let listens = wait_for(name, || {
            if child.borrow_mut().try_wait().unwrap().is_some() {
                return Some(false);
            }
            TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(true)
        });
        let mut child = child.into_inner();
        // If it ended by now, somebody else answered.
        if listens && child.try_wait().unwrap().is_none() {
            return (child, port);
        }
    }
    panic!("{name} does not start");
}

pub fn event(name: &'static str) -> impl Fn(&Value) -> bool {
    move |event| event["event"] == name
}

/// A network and nodes, all on free ports.
pub struct Federation {
    pub dir: tempfile::TempDir,
    pub mqtt: String,
    pub repository: String,
    pub nodes: Vec<Running>,
    pub network: Option<Running>,
    /// Where it listens: `mqtt` and `repository`, unless a way that can be cut is in between.
    pub listens: (String, String),
}

/// Starts a network at these addresses.
fn network(dir: &Path, mqtt: &str, http: &str) -> Running {
    let network = fedwasm(&["network", "start", "--mqtt", mqtt, "--http", http]);
    network.arg("--dir").arg(dir.join("network")).start()
}

impl Federation {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let network = network(dir.path(), "127.0.0.1:0", "127.0.0.1:0");
        let ready = network.wait_for(event("ready"));
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        let (mqtt, repository) = (text("mqtt"), text("repository"));
        let listens = (mqtt.clone(), repository.clone());
        Self { dir, mqtt, repository, nodes: Vec::new(), network: Some(network), listens }
    }

    /// Sends the network a signal.
    pub fn signal_network(&self, name: &str) {
        self.network.as_ref().unwrap().signal(name);
    }

    /// Kills the network.
    pub fn stop_network(&mut self) {
        self.network = None;
    }

    /// Starts it again where it was.
    pub fn start_network(&mut self) {
        let mqtt = self.listens.0.trim_start_matches("mqtt://");
        let http = self.listens.1.trim_start_matches("http://").trim_end_matches('/');
        let network = network(self.dir.path(), mqtt, http);
        network.wait_for(event("ready"));
        self.network = Some(network);
    }

    /// Starts a node that was added before.
    pub fn start_node(&mut self, id: &str) {
        let node = fedwasm(&["node", "start"]).arg(self.dir.path().join(id)).start();
        node.wait_for(event("ready"));
        self.nodes.push(node);
    }

    /// Adds a node that offers one file.
    pub fn node(&mut self, id: &str, file: &Path) {
        self.node_of(id, file, "csv");
    }

    /// Adds a node that offers data of this kind.
    pub fn node_of(&mut self, id: &str, data: &Path, kind: &str) {
        let repository = self.repository.clone();
        self.node_that(id, data, &["--type", kind], &repository);
    }

    pub fn node_with_repository(&mut self, id: &str, file: &Path, repository: &str) {
        self.node_that(id, file, &["--type", "csv"], repository);
    }

    /// Adds a node whose dataset is registered with these options.
    pub fn node_that(&mut self, id: &str, file: &Path, options: &[&str], repository: &str) {
        let dir = self.dir.path().join(id);
        // It enrols with the real one.
        let own = &self.repository;
        fedwasm(&["node", "init", "--id", id, "--mqtt", &self.mqtt, "--repository", own])
            .args(&["--approve", "any"])
            .arg(&dir)
            .ok();
        let config = std::fs::read_to_string(dir.join("node.toml")).unwrap();
        let config = config.edit(own, repository);
        let config = config.edit("roster_refresh_s = 30", "roster_refresh_s = 1");
        std::fs::write(dir.join("node.toml"), config).unwrap();
        fedwasm(&["node", "dataset", "add", "--name", "d", "--tags", "t,u"])
            .args(options)
            .arg(&dir)
            .arg("--path")
            .arg(file)
            .ok();
        let node = fedwasm(&["node", "start"]).arg(&dir).start();
        node.wait_for(event("ready"));
        self.nodes.push(node);
    }

    /// Writes an experiment on breast cancer data; `change` edits the text.
    pub fn experiment(&self, change: impl Fn(String) -> String) -> PathBuf {
        let text = format!(
            r#"
name = "test"
plan = "{plan}"
rounds = 2
[data]
tags = ["t"]
target = "benign"
[training]
epochs = 1
loader_args = {{ batch_size = 32 }}
optimizer_args = {{ lr = 0.1 }}
test_ratio = 0.2
test_on_global_updates = true
random_seed = 42
[model]
n_classes = 2
[strategy]
min_nodes = 2
round_deadline_s = 120
patience_s = 0
[network]
mqtt = "{mqtt}"
repository = "{repository}"
identity = "researcher"
"#,
            plan = plan().display(),
            mqtt = self.mqtt,
            repository = self.repository,
        );
        let path = self.dir.path().join("experiment.toml");
        std::fs::write(&path, change(text)).unwrap();
        path
    }

    /// The command that runs it.
    pub fn run(&self, experiment: &Path) -> Fedwasm {
        self.to_out(experiment, "--force")
    }

    /// The same with a flag: `--resume` goes on from the newest breakpoint.
    pub fn to_out(&self, experiment: &Path, flag: &str) -> Fedwasm {
        let command = fedwasm(&["--json", "experiment", "run", flag]).arg(experiment);
        command.arg("--out").arg(self.dir.path().join("out"))
    }
}

/// A text with one part exchanged.
pub trait Edit {
    /// Exchanges `from`, which must be there exactly once: an edit that misses its template would
    /// leave a test that passes for another reason.
    fn edit(&self, from: &str, to: &str) -> String;

    /// Exchanges `from` wherever it is, which must be somewhere: for what a program wrote.
    fn edit_all(&self, from: &str, to: &str) -> String;
}

impl Edit for str {
    #[track_caller]
    fn edit(&self, from: &str, to: &str) -> String {
        let n = self.matches(from).count();
        assert!(n == 1, "`{from}` is in the text {n} times, not once:\n{self}");
        self.replacen(from, to, 1)
    }

    #[track_caller]
    fn edit_all(&self, from: &str, to: &str) -> String {
        assert!(self.contains(from), "`{from}` is not in the text:\n{self}");
        self.replace(from, to)
    }
}

/// Writes the rows `start, start + step, ...` of breast_cancer.csv to a file.
pub fn part(dir: &Path, start: usize, step: usize) -> PathBuf {
    let text = std::fs::read_to_string(data("breast_cancer.csv")).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let rows = lines.skip(start).step_by(step);
    let text: Vec<&str> = std::iter::once(header).chain(rows).collect();
    let path = dir.join(format!("part-{start}-of-{step}.csv"));
    std::fs::write(&path, text.join("\n") + "\n").unwrap();
    path
}
