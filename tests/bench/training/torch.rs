//! PyTorch in a process of its own, which trains an epoch for each line that it is sent.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use fedwasm_compute::kernels::simd::{Level, level};

use crate::Times;

/// What holds PyTorch and its libraries to AVX2.
const AVX2: [(&str, &str); 3] = [
    ("ATEN_CPU_CAPABILITY", "avx2"),
    ("MKL_ENABLE_INSTRUCTIONS", "AVX2"),
    ("ONEDNN_MAX_CPU_ISA", "AVX2"),
];

pub(crate) struct Torch {
    process: Child,
    answers: BufReader<ChildStdout>,
    least: Times,
}

fn python() -> Command {
    let python = std::env::var("FEDWASM_BENCH_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut command = Command::new(python);
    if level() == Level::Avx2 {
        command.envs(AVX2);
    }
    command
}

impl Torch {
    /// Its version; none if it cannot be imported.
    pub(crate) fn version() -> Option<String> {
        let output =
            python().args(["-c", "import torch; print(torch.__version__)"]).output().ok()?;
        let version = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (!version.is_empty()).then_some(version)
    }

    pub(crate) fn new(model: &str, threads: usize) -> Self {
        let script = crate::root().join("plugins/compute/examples/models/models.py");
        let mut command = python();
        command.arg(script).args(["--worker", model, &threads.to_string()]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { process, answers, least: Times::NONE }
    }

    /// Trains an epoch; returns its times and the last loss.
    pub(crate) fn epoch(&mut self) -> (Times, f64) {
        self.process.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let numbers: Vec<f64> = line.split_whitespace().map(|n| n.parse().unwrap()).collect();
        (Times { processor: numbers[0], wall: numbers[1] }, numbers[2])
    }

    /// Trains so many epochs; returns the least times of one so far.
    pub(crate) fn least_of(&mut self, epochs: usize) -> Times {
        for _ in 0..epochs {
            self.least = self.least.least(self.epoch().0);
        }
        self.least
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
