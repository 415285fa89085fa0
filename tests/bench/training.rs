//! Time per epoch of the shipped plans in the sandbox, against the same crates compiled natively,
//! against what the machine could do at most, and against PyTorch where there is one:
//!
//! ```text
//! cargo bench -p fedwasm --bench training
//! ```
//!
//! Everything runs on one thread, and takes turns, so that what else the machine does falls on
//! all. The native twin uses AVX2 where there is some. The machine's own limit is the time that
//! the multiplications and additions of the model take in a loop of fused ones in registers. The
//! interpreter of PyTorch is `python3`, or what `FEDWASM_BENCH_PYTHON` names.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "this is what a benchmark is for")]

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use fedwasm_artifact::Component;
use fedwasm_dataset::Dataset;
use fedwasm_protocol::{Arguments, DataArgs, TrainingArgs, Value};
use fedwasm_sandbox::{Cancel, Described, Limits, Sandbox, WorkerOptions};
use fedwasm_sdk::{
    Conv2d, Flatten, Linear, MaxPool2d, Optimizer, Relu, Sequential, Sgd, Targets, Tensor,
    cross_entropy,
};
use fedwasm_training::{Before, Examples, Round, Turn, facts};

/// What is trained.
struct Case {
    name: &'static str,
    title: &'static str,
    plan: &'static str,
    model: &'static [(&'static str, i64)],
    rows: usize,
    /// Shape of one row.
    shape: &'static [usize],
    n_classes: usize,
    batch: usize,
    /// Multiplications, each with an addition, of one row forward.
    products: usize,
    /// Of those, in the first layer, which has no gradient of the inputs.
    of_first: usize,
    build: fn() -> Sequential,
    /// Epochs at a time.
    epochs: usize,
}

const CASES: [Case; 4] = [
    Case {
        name: "logistic",
        title: "logistic regression 569 x 30, batch 32",
        plan: "logistic-regression",
        model: &[],
        rows: 569,
        shape: &[30],
        n_classes: 2,
        batch: 32,
        products: 60,
        of_first: 60,
        build: || Sequential::new().then("linear", Linear::new(30, 2).unwrap()),
        epochs: 50,
    },
    Case {
        name: "mlp-digits",
        title: "MLP 64-32-10, 1,797 rows, batch 32",
        plan: "mlp",
        model: &[("model.hidden", 32)],
        rows: 1797,
        shape: &[64],
        n_classes: 10,
        batch: 32,
        products: 64 * 32 + 32 * 10,
        of_first: 64 * 32,
        build: || mlp(64, 32),
        epochs: 20,
    },
    Case {
        name: "mlp-784",
        title: "MLP 784-128-10, 6,400 rows, batch 64",
        plan: "mlp",
        model: &[],
        rows: 6400,
        shape: &[784],
        n_classes: 10,
        batch: 64,
        products: 784 * 128 + 128 * 10,
        of_first: 784 * 128,
        build: || mlp(784, 128),
        epochs: 3,
    },
    Case {
        name: "cnn",
        title: "CNN 8 and 16 filters of 5 x 5, 6,400 rows of 28 x 28, batch 64",
        plan: "cnn",
        model: &[],
        rows: 6400,
        shape: &[1, 28, 28],
        n_classes: 10,
        batch: 64,
        products: 8 * 25 * 24 * 24 + 16 * 200 * 8 * 8 + 256 * 10,
        of_first: 8 * 25 * 24 * 24,
        build: || {
            Sequential::new()
                .then("conv1", Conv2d::new(1, 8, 5).unwrap())
                .then("pool1", MaxPool2d::new(2))
                .then("relu1", Relu::new())
                .then("conv2", Conv2d::new(8, 16, 5).unwrap())
                .then("pool2", MaxPool2d::new(2))
                .then("relu2", Relu::new())
                .then("flatten", Flatten::new())
                .then("output", Linear::new(256, 10).unwrap())
        },
        epochs: 1,
    },
];

fn mlp(inputs: usize, hidden: usize) -> Sequential {
    Sequential::new()
        .then("hidden", Linear::new(inputs, hidden).unwrap())
        .then("relu", Relu::new())
        .then("output", Linear::new(hidden, 10).unwrap())
}

/// Turns that are taken; the fastest counts.
const TURNS: usize = 7;

fn main() {
    let cache = tempfile::tempdir().unwrap();
    let program = Some(env!("CARGO_BIN_EXE_fedwasm").into());
    let private = Some(cache.path().join("compiled"));
    let sandbox = Sandbox::new(WorkerOptions { program, cache: private }).unwrap();
    let torch = torch();
    let flops = fused_per_second();
    println!("fused multiply-adds in registers: {:.1} GFLOP/s", flops / 1e9);
    println!("milliseconds an epoch, and how many times as fast the guest is\n");
    for case in &CASES {
        let rows = Rows::new(case);
        let file = cache.path().join("rows.csv");
        std::fs::write(&file, rows.csv()).unwrap();
        let mut guest = guest(&sandbox, case, &file);
        let mut native = native(case, &rows);
        let (mut best_guest, mut best_native) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..TURNS {
            best_guest = best_guest.min(guest());
            best_native = best_native.min(native());
        }
        // Forward once, backward twice, but for the gradient of the first layer's inputs.
        let products = (3 * case.products - case.of_first) * case.rows;
        let limit = 2e3 * products as f64 / flops;
        println!("{}", case.title);
        let line = |what: &str, time: f64| {
            println!("  {what:<24} {time:9.3} ms   {:6.2}", time / best_guest);
        };
        line("guest", best_guest);
        line("native twin", best_native);
        line("the machine's limit", limit);
        match torch.as_ref().and_then(|torch| torch[case.name].as_f64()) {
            Some(time) => line("PyTorch, one thread", time),
            None => println!("  PyTorch                  cannot be imported"),
        }
    }
}

/// Made-up rows.
struct Rows {
    inputs: Vec<f32>,
    classes: Vec<i64>,
    row: usize,
}

impl Rows {
    fn new(case: &Case) -> Self {
        let row = case.shape.iter().product();
        let mut state = 1u32;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        let inputs = (0..case.rows * row).map(|_| (next() >> 20) as f32 / 4096.0).collect();
        let n_classes = case.n_classes as u32;
        let classes = (0..case.rows).map(|_| i64::from((next() >> 8) % n_classes)).collect();
        Self { inputs, classes, row }
    }

    fn csv(&self) -> String {
        let header: Vec<String> = (0..self.row).map(|nth| format!("x{nth}")).collect();
        let mut text = header.join(",") + ",class\n";
        for (row, class) in self.inputs.chunks(self.row).zip(&self.classes) {
            for x in row {
                text.push_str(&format!("{x},"));
            }
            text.push_str(&format!("{class}\n"));
        }
        text
    }
}

/// Trains the plan in a worker and returns the milliseconds of an epoch.
fn guest(sandbox: &Sandbox, case: &Case, file: &Path) -> impl FnMut() -> f64 {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let plan = root.join("plugins/dist").join(case.plan).with_extension("wasm");
    let plan = Component::admit(std::fs::read(plan).unwrap()).unwrap();
    let plan: Described = sandbox.describe(&plan, Limits::default()).unwrap();
    let data = DataArgs { standardize: false, ..DataArgs::of("class") };
    let model: Arguments =
        case.model.iter().map(|(key, n)| ((*key).to_owned(), Value::Integer(*n))).collect();
    let file = Dataset::open(file, None).unwrap();
    let node: fedwasm_protocol::NodeId = "bench".parse().unwrap();
    let turn = Turn { random_seed: 1, round: 1, node };
    let facts = facts(&file, &data, plan.metadata(), &model).unwrap();
    let round = |epochs: usize| {
        let text = format!(
            "epochs = {epochs}\nloader_args = {{ batch_size = {} }}\ntest_ratio = 0.0\n\
             random_seed = 1\noptimizer_args = {{ lr = 0.01 }}",
            case.batch
        );
        let training = TrainingArgs::parse(text.parse().unwrap()).unwrap();
        Round::new(&plan, &model, &training, &Arguments::new(), &facts).unwrap()
    };
    // Start and end of a session are in both, and fall out of the difference.
    let (one, many) = (round(1), round(1 + case.epochs));
    let examples = Examples::read(&file, &data, &one, &turn).unwrap();
    let params = one.initial_params(1, &Cancel::new()).unwrap();
    let epochs = case.epochs as f64;
    move || {
        let time = |round: &Round| {
            let before = Before { params: params.clone(), ..Before::default() };
            let start = Instant::now();
            let events = Box::new(|_| {});
            round.train(&examples, before, &turn, events, &Cancel::new()).unwrap();
            ms(start)
        };
        let base = time(&one).min(time(&one));
        (time(&many) - base) / epochs
    }
}

/// Trains the same layers natively and returns the milliseconds of an epoch.
fn native(case: &Case, rows: &Rows) -> impl FnMut() -> f64 {
    let mut network = (case.build)();
    // Any values do: zeros would stay zeros.
    let mut state = 7u32;
    for (_, layer) in network.layers() {
        for (_, parameter) in layer.parameters() {
            for value in parameter.value.data_mut() {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *value = (state >> 8) as f32 / 1.7e8 - 0.05;
            }
        }
    }
    let sgd = Sgd::with_lr(0.01);
    let n = case.rows;
    // An order that is not that of memory.
    let order: Vec<usize> = (0..n).map(|nth| nth * 7919 % n).collect();
    move || {
        let start = Instant::now();
        for batch in order.chunks(case.batch) {
            let mut shape = vec![batch.len()];
            shape.extend(case.shape);
            let row = |nth: &usize| rows.inputs[nth * rows.row..][..rows.row].iter().copied();
            let inputs = Tensor::new(&shape, batch.iter().flat_map(row).collect()).unwrap();
            let classes = batch.iter().map(|nth| rows.classes[*nth]).collect();
            let scores = network.forward(inputs).unwrap();
            let (loss, gradient) = cross_entropy(&scores, &Targets::Classes(classes)).unwrap();
            network.backward(gradient).unwrap();
            black_box(loss);
            for (_, layer) in network.layers() {
                for (_, parameter) in layer.parameters() {
                    let (value, gradient) = (&mut parameter.value, &mut parameter.gradient);
                    sgd.step(1, value.data_mut(), gradient.data_mut(), &mut []);
                    gradient.data_mut().fill(0.0);
                }
            }
        }
        ms(start)
    }
}

/// Floating-point operations a second of fused multiply-adds that wait for nothing.
fn fused_per_second() -> f64 {
    const ROUNDS: u64 = 20_000_000;
    let best = (0..5).map(|_| {
        let start = Instant::now();
        let operations = fedwasm_kernels::limit::fused(ROUNDS);
        operations as f64 / start.elapsed().as_secs_f64()
    });
    best.fold(0.0, f64::max)
}

/// What PyTorch takes, by case; none if it cannot be imported.
fn torch() -> Option<serde_json::Value> {
    let python = std::env::var("FEDWASM_BENCH_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/bench/training_torch.py");
    let output = std::process::Command::new(python).arg(script).output().ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
