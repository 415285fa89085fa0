//! A dataset of a million images of 8 x 8 pixels in a tar archive (or `FEDWASM_IMAGES` of them) in
//! `FEDWASM_LOOK_DIR` (that of temporary files): seconds to open it and to read all of it, and the
//! memory that the process had at most.
//!
//! ```text
//! cargo bench -p fedwasm-dataset --bench images
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "this is what a benchmark is for")]
#![allow(unreachable_pub, reason = "a module of the integration tests")]

#[path = "../it/tar_of_images.rs"]
mod tar_of_images;

use std::path::PathBuf;
use std::time::Instant;

use fedwasm_dataset::{Dataset, Format};

fn main() {
    let n: usize = std::env::var("FEDWASM_IMAGES").map_or(1_000_000, |n| n.parse().unwrap());
    let dir = std::env::var_os("FEDWASM_LOOK_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let path = dir.join("fedwasm-images.tar");
    tar_of_images::write(&path, n);
    let before = peak_kib();
    let start = Instant::now();
    let dataset = Dataset::open(&path, Some(Format::Tar)).unwrap();
    assert_eq!(dataset.n_rows(), n as u64);
    let opened = peak_kib();
    println!(
        "open   {:>7.2} s, {} MiB more: {:.1} bytes an image",
        start.elapsed().as_secs_f64(),
        (opened - before) >> 10,
        ((opened - before) << 10) as f64 / n as f64
    );
    let start = Instant::now();
    let fields: Vec<usize> = (0..dataset.fields().len()).collect();
    let mut rows = 0;
    for block in 0..dataset.n_blocks() {
        rows += dataset.read(block, &fields).unwrap().n_rows;
    }
    assert_eq!(rows, n);
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "read   {seconds:>7.2} s, {:.0} images a second, {} MiB at most",
        n as f64 / seconds,
        peak_kib() >> 10
    );
    std::fs::remove_file(&path).unwrap();
}

/// The memory that this process had at most, in KiB.
fn peak_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}
