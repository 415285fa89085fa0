//! Plans in workers: built, given data and weights, and timed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use fedwasm_artifact::Component;
use fedwasm_compute::{Dtype, Tensor};
use fedwasm_dataset::Dataset;
use fedwasm_params::Params;
use fedwasm_protocol::{Arguments, DataArgs, Standardize, TrainingArgs, Value};
use fedwasm_sandbox::{Cancel, DataFacts, Described, Limits, Sandbox};
use fedwasm_training::{Before, Examples, Round, RoundEvent, Turn, facts};

use crate::nets::Model;
use crate::training::Training;
use crate::{Times, root, timed};

/// What all plans share.
pub(crate) struct Setup<'a> {
    pub(crate) sandbox: Sandbox,
    pub(crate) dir: &'a Path,
}

impl Setup<'_> {
    fn data(&self) -> PathBuf {
        self.dir.join("data.npz")
    }

    /// Writes the rows of a model, as `numpy.savez`.
    pub(crate) fn write_data(&self, of: &Training) {
        let mut archive = zip::ZipWriter::new(std::fs::File::create(self.data()).unwrap());
        let stored = zip::CompressionMethod::Stored;
        let options = zip::write::SimpleFileOptions::default().compression_method(stored);
        for (name, tensor) in [("x.npy", &of.x), ("y.npy", &of.y)] {
            archive.start_file(name, options).unwrap();
            archive.write_all(&npy(tensor)).unwrap();
        }
        archive.finish().unwrap();
    }

    /// Builds a plan, once.
    pub(crate) fn build(&self, plan: &str, is_in_guest: bool) -> Component {
        let name = format!("{}{is_in_guest}.wasm", plan.replace('/', "-"));
        let file = self.dir.join(name);
        if !file.exists() {
            let mut command = Command::new(env!("CARGO_BIN_EXE_fedwasm"));
            command.args(["plan", "build", "-o"]).arg(&file).arg(root().join(plan));
            let done = command.args(is_in_guest.then_some("--in-guest")).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        Component::admit(std::fs::read(file).unwrap()).unwrap()
    }
}

/// A tensor as an NPY file.
fn npy(tensor: &Tensor) -> Vec<u8> {
    let kind = tensor.kind();
    let dtype = if kind.dtype == Dtype::I64 { "<i8" } else { "<f4" };
    let sizes: String = kind.shape.sizes().map(|size| format!("{size}, ")).collect();
    let mut header =
        format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({sizes}), }}");
    header += &" ".repeat(63 - (10 + header.len()) % 64);
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\0".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(tensor.to_bytes());
    bytes
}

/// A plan with the rows and first weights of a model.
pub(crate) struct Plan {
    plan: Described,
    model: &'static Model,
    arguments: Arguments,
    facts: DataFacts,
    examples: Examples,
    params: Params,
    turn: Turn,
    /// Least times of an epoch, and of so many more.
    base: Times,
    more: Times,
}

/// The table `[model]` of a text.
fn arguments(text: &str) -> Arguments {
    let table: toml::Table = text.parse().unwrap();
    let model = table.get("model").and_then(toml::Value::as_table).into_iter().flatten();
    let value = |value: &toml::Value| match value {
        toml::Value::Integer(n) => Value::Integer(*n),
        other => Value::Text(other.as_str().unwrap().to_owned()),
    };
    model.map(|(key, of)| (format!("model.{key}"), value(of))).collect()
}

impl Plan {
    pub(crate) fn new(
        setup: &Setup,
        component: &Component,
        text: &str,
        limits: Limits,
        model: &'static Model,
        start: &Training,
    ) -> Self {
        let plan = setup.sandbox.describe(component, limits).unwrap();
        let file = Dataset::open(&setup.data(), None).unwrap();
        let data = DataArgs { standardize: Standardize::None, ..DataArgs::of("y") };
        let arguments = arguments(text);
        let turn = Turn { random_seed: 1, round: 1, node: "bench".parse().unwrap() };
        let facts = facts(&file, &data, plan.metadata(), &arguments).unwrap();
        let round = round(&plan, model, &arguments, &facts, "epochs = 1", true);
        let examples = Examples::read(&file, &data, &round, &turn).unwrap();
        let specs = round.declaration().model.iter().zip(&start.weights);
        let params = specs.map(|(spec, id)| {
            let tensor = start.session.get(*id).unwrap();
            let shape = tensor.kind().shape.sizes().map(|size| size as u64).collect();
            let values = tensor.get::<f32>().unwrap();
            (spec.name.clone(), fedwasm_params::Tensor::from_f32(shape, values).unwrap())
        });
        let params = Params::new(params.collect()).unwrap();
        let (base, more) = (Times::NONE, Times::NONE);
        Self { plan, model, arguments, facts, examples, params, turn, base, more }
    }

    /// Trains; returns the times and the last loss.
    fn train(&self, budget: &str, is_shuffled: bool) -> (Times, f64) {
        let round =
            round(&self.plan, self.model, &self.arguments, &self.facts, budget, is_shuffled);
        let last = Arc::new(Mutex::new(f64::NAN));
        let to = Arc::clone(&last);
        let events = Box::new(move |event| {
            if let RoundEvent::Step { values, .. } = event {
                *to.lock().unwrap() = values[0].1;
            }
        });
        let before = Before { params: self.params.clone(), ..Before::default() };
        let train = || round.train(&self.examples, before, &self.turn, events, &Cancel::new());
        let (trained, Times { wall, .. }) = timed(train);
        let processor = trained.unwrap().usage.processor_us as f64 / 1e3;
        (Times { wall, processor }, *last.lock().unwrap())
    }

    /// The last loss of an epoch in order.
    pub(crate) fn loss_of_first_epoch(&self) -> f64 {
        self.train("epochs = 1", false).1
    }

    /// Trains so many epochs, always as many; returns the least times of one so far. Start and end of
    /// the call are in all times, and fall out of the difference.
    pub(crate) fn least_of(&mut self, epochs: usize) -> Times {
        for _ in 0..2 {
            self.base = self.base.least(self.train("epochs = 1", true).0);
        }
        let more = format!("epochs = {}", 1 + epochs);
        self.more = self.more.least(self.train(&more, true).0);
        self.more.each_beyond(self.base, epochs)
    }

    /// The processor time of an epoch in milliseconds, from that of a few batches.
    pub(crate) fn epoch_of_few_batches(&self) -> f64 {
        let time = |n: usize| self.train(&format!("num_updates = {n}"), true).0;
        let one = time(1).least(time(1));
        let n = if one.processor > 1_000.0 { 1 } else { 10 };
        let each = time(1 + n).each_beyond(one, n).processor;
        each * self.model.rows.div_ceil(self.model.batch) as f64
    }
}

fn round(
    plan: &Described,
    model: &Model,
    arguments: &Arguments,
    facts: &DataFacts,
    budget: &str,
    is_shuffled: bool,
) -> Round {
    let Model { batch, rate, .. } = model;
    let text = format!(
        "{budget}\nloader_args = {{ batch_size = {batch}, shuffle = {is_shuffled} }}\n\
         test_ratio = 0.0\nrandom_seed = 1\noptimizer_args = {{ lr = {rate} }}"
    );
    let training = TrainingArgs::parse(text.parse().unwrap()).unwrap();
    Round::new(plan, arguments, &training, &Arguments::new(), facts).unwrap()
}

/// The nanoseconds of a call of the host: what `model.n` of them take more than fewer.
pub(crate) fn call(setup: &Setup, plan: &str, text: &str) -> f64 {
    const CALLS: [i64; 2] = [32_000, 3_232_000];
    let file = setup.dir.join("rows.csv");
    std::fs::write(&file, "x,y\n0.5,0\n0.25,1\n").unwrap();
    let plan = setup.sandbox.describe(&setup.build(plan, false), Limits::default()).unwrap();
    let file = Dataset::open(&file, None).unwrap();
    let data = DataArgs { standardize: Standardize::None, ..DataArgs::of("y") };
    let turn = Turn { random_seed: 1, round: 1, node: "bench".parse().unwrap() };
    let time = |n: i64| {
        let mut arguments = arguments(text);
        arguments.insert("model.n".into(), Value::Integer(n));
        let facts = facts(&file, &data, plan.metadata(), &arguments).unwrap();
        let training =
            "epochs = 1\nloader_args = { batch_size = 2 }\ntest_ratio = 0.0\nrandom_seed = 1";
        let training = TrainingArgs::parse(training.parse().unwrap()).unwrap();
        let round = Round::new(&plan, &arguments, &training, &Arguments::new(), &facts).unwrap();
        let examples = Examples::read(&file, &data, &round, &turn).unwrap();
        let params = round.initial_params(1, &Cancel::new()).unwrap();
        let once = || {
            let before = Before { params: params.clone(), ..Before::default() };
            let train = || round.train(&examples, before, &turn, Box::new(drop), &Cancel::new());
            train().unwrap().usage.processor_us as f64
        };
        (0..5).map(|_| once()).fold(f64::INFINITY, f64::min)
    };
    (time(CALLS[1]) - time(CALLS[0])) * 1e3 / (CALLS[1] - CALLS[0]) as f64
}
