//! Epochs of whole models through [`Session`]: batches that are copied in, forward, loss, backward
//! and optimizer. `models.py` beside it trains the same models in PyTorch, runs both in turn and
//! prints the ratios; it starts this program as
//!
//! `models MODEL LEVEL THREADS`
//!
//! which trains an epoch for each line that it reads, and answers with processor time and wall
//! time in ms and the last loss. With a fourth argument it trains so many epochs at once, for
//! profilers.
#![expect(
    unsafe_code,
    reason = "the clock of the process, which the standard library does not read, and a pool"
)]

mod nets;
mod pool;

use std::io::BufRead as _;
use std::time::Instant;

use fedwasm_compute::kernels::simd::{Level, limit};
use fedwasm_compute::{Id, Mistake, Optimizer, Session, Shape, Tensor, Trained};

use nets::{Model, Values};

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    safe fn clock_gettime(clock: i32, to: &mut Timespec) -> i32;
}

/// Processor time of all threads, ms.
fn processor_ms() -> f64 {
    const PROCESS: i32 = 2;
    let mut at = Timespec { seconds: 0, nanoseconds: 0 };
    clock_gettime(PROCESS, &mut at);
    at.seconds as f64 * 1e3 + at.nanoseconds as f64 / 1e6
}

/// A number in [-½, ½) by a fixed rule, which `models.py` has, too.
fn number(nth: usize, seed: usize) -> f64 {
    let mut h = (nth as u32).wrapping_add((seed as u32).wrapping_mul(0x9e37_79b9));
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    f64::from(h ^ (h >> 16)) / 4_294_967_296.0 - 0.5
}

fn floats(sizes: &[usize], seed: usize, scale: f64) -> Vec<f32> {
    (0..sizes.iter().product()).map(|nth| (number(nth, seed) * scale) as f32).collect()
}

fn classes(len: usize, seed: usize, most: i64) -> Vec<i64> {
    (0..len).map(|nth| ((number(nth, seed) + 0.5) * most as f64) as i64).collect()
}

struct Training {
    model: &'static Model,
    session: Session,
    weights: Vec<Id>,
    buffers: Vec<Vec<Id>>,
    x: Tensor,
    y: Tensor,
    steps: u64,
}

impl Training {
    fn new(model: &'static Model, threads: usize) -> Result<Self, Mistake> {
        let mut session = if threads > 1 {
            Session::with_threads(1 << 31, Box::new(pool::Pool::new(threads)))
        } else {
            Session::new(1 << 31)
        };
        let mut weights = Vec::new();
        let mut buffers = Vec::new();
        for (nth, (sizes, values)) in model.weights.iter().enumerate() {
            let len: usize = sizes.iter().product();
            let elements = match values {
                Values::Random => {
                    let inputs = len / sizes[0];
                    floats(sizes, 100 + nth, 2.0 / (inputs as f64).sqrt())
                }
                Values::All(value) => vec![*value; len],
            };
            let tensor = Tensor::new(sizes, &elements).expect("sizes of the table");
            let id = session.insert(&tensor)?;
            session.keep(id)?;
            session.want_gradient(id, true)?;
            weights.push(id);
            let mut own = Vec::new();
            for _ in model.optimizer.buffers() {
                let zeros = session.insert(&Tensor::zeros(tensor.kind()))?;
                session.keep(zeros)?;
                own.push(zeros);
            }
            buffers.push(own);
        }
        let sizes: Vec<usize> = [model.rows].iter().chain(model.row).copied().collect();
        let len = sizes.iter().product();
        let x = match model.tokens {
            Some(most) => Tensor::new(&sizes, &classes(len, 1, most)),
            None => Tensor::new(&sizes, &floats(&sizes, 1, 2.0)),
        };
        let sizes: Vec<usize> = [model.rows].iter().chain(model.target).copied().collect();
        let y = Tensor::new(&sizes, &classes(sizes.iter().product(), 2, model.classes));
        let (x, y) = (x.expect("sizes of the table"), y.expect("sizes of the table"));
        Ok(Self { model, session, weights, buffers, x, y, steps: 0 })
    }

    /// Rows `start..end` as a tensor of the session.
    fn batch(&mut self, is_x: bool, start: usize, end: usize) -> Result<Id, Mistake> {
        let all = if is_x { &self.x } else { &self.y };
        let mut kind = all.kind();
        let each = kind.shape.len() / kind.shape.size(0);
        let sizes: Vec<usize> =
            [end - start].into_iter().chain(kind.shape.sizes().skip(1)).collect();
        kind.shape = Shape::new(&sizes).expect("fewer rows");
        self.session.create(kind, |to| {
            if let (Some(to), Some(from)) = (to.get_mut::<f32>(), all.get::<f32>()) {
                to.copy_from_slice(&from[start * each..end * each]);
            } else if let (Some(to), Some(from)) = (to.get_mut::<i64>(), all.get::<i64>()) {
                to.copy_from_slice(&from[start * each..end * each]);
            }
            Ok(())
        })
    }

    /// Trains over all rows; the last loss.
    fn epoch(&mut self) -> Result<f64, Mistake> {
        let mut last = 0.0;
        for start in (0..self.model.rows).step_by(self.model.batch) {
            let end = self.model.rows.min(start + self.model.batch);
            self.session.next_batch();
            let (x, y) = (self.batch(true, start, end)?, self.batch(false, start, end)?);
            let loss = (self.model.loss)(&mut self.session, x, y, &self.weights)?;
            last = self.session.get(loss)?.item().unwrap_or(f64::NAN);
            self.session.backward(loss)?;
            self.steps += 1;
            let trained: Vec<Trained> = self
                .weights
                .iter()
                .zip(&self.buffers)
                .map(|(value, buffers)| Trained { value: *value, buffers })
                .collect();
            self.session.step(&self.model.optimizer, self.model.rate, self.steps, &trained)?;
        }
        Ok(last)
    }
}

const SGD: Optimizer = Optimizer::Sgd { momentum: 0.0, is_nesterov: false, weight_decay: 0.0 };
const MOMENTUM: Optimizer = Optimizer::Sgd { momentum: 0.9, is_nesterov: false, weight_decay: 0.0 };
const ADAM: Optimizer =
    Optimizer::Adam { betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.0, is_decoupled: false };

fn main() -> Result<(), Mistake> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, level, threads, rest @ ..] = &arguments[..] else {
        eprintln!("models MODEL avx512|avx2|neon|plain THREADS [EPOCHS]; models are:");
        nets::MODELS.iter().for_each(|model| eprintln!("  {}", model.name));
        std::process::exit(2);
    };
    let level = match level.as_str() {
        "avx512" => Level::Avx512,
        "avx2" => Level::Avx2,
        "neon" => Level::Neon,
        _ => Level::Plain,
    };
    assert_eq!(limit(level), level, "the machine has this level");
    let model = nets::MODELS.iter().find(|model| model.name == name).expect("a model's name");
    let mut training = Training::new(model, threads.parse().expect("a number of threads"))?;
    if let Some(epochs) = rest.first() {
        for _ in 0..epochs.parse().expect("a number of epochs") {
            training.epoch()?;
        }
        println!("{}", training.epoch()?);
        return Ok(());
    }
    for _ in std::io::stdin().lock().lines() {
        let (wall, processor) = (Instant::now(), processor_ms());
        let loss = training.epoch()?;
        let (processor, wall) = (processor_ms() - processor, wall.elapsed().as_secs_f64() * 1e3);
        println!("{processor} {wall} {loss}");
    }
    Ok(())
}
