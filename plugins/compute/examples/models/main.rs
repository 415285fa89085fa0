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
mod training;

use std::io::BufRead as _;
use std::time::Instant;

use fedwasm_compute::kernels::simd::{Level, limit};
use fedwasm_compute::{Mistake, Session};

use training::Training;

/// Bytes of a session at most.
const BYTES_MAX: usize = 1 << 31;

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
    let session = match threads.parse().expect("a number of threads") {
        1 => Session::new(BYTES_MAX),
        n => Session::with_threads(BYTES_MAX, Box::new(pool::Pool::new(n))),
    };
    let mut training = Training::new(model, session)?;
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
