//! `data describe` and `data check` on a file of some GiB (2, or `FEDWASM_LOOK_GIB`) in
//! `FEDWASM_LOOK_DIR` (that of temporary files), against a plain read of it: seconds, processor time,
//! and the memory that the process had at most.
//!
//! ```text
//! cargo bench -p fedwasm-dataset --bench look
//! ```
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "this is what a benchmark is for")]

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use fedwasm_dataset::{Check, Look, Renames, Volumes};
use fedwasm_protocol::{ColumnRules, DataArgs, MISSING_WORDS};

fn main() {
    let gib: f64 = std::env::var("FEDWASM_LOOK_GIB").map_or(2.0, |gib| gib.parse().unwrap());
    let dir = std::env::var_os("FEDWASM_LOOK_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let path = dir.join("fedwasm-look.csv");
    write(&path, (gib * f64::from(1 << 30)) as u64);
    println!(
        "{:<10} {:>8} {:>10} {:>10} {:>10}",
        "", "seconds", "processor", "to read", "peak MiB"
    );
    // Once before, so that all find the file as warm.
    read(&path);
    let plain = timed("read", 0.0, || read(&path));
    timed("describe", plain, || {
        let missing = MISSING_WORDS.map(str::to_owned).to_vec();
        let look =
            Look::of(&path, None, &Volumes::default(), &Renames::new(), missing, u64::MAX).unwrap();
        assert_eq!(look.columns.len(), 14);
    });
    let rules = "sodium = { kind = 'number', impute = 'median' }\n\
                 ward = { kind = 'category', values = ['A', 'B', 'C', 'ICU'] }\n\
                 smoker = 'boolean'\nvisit = 'date'\n\
                 outcome = { kind = 'class', values = ['benign', 'malignant'] }\n";
    let columns = ColumnRules::parse(rules.parse().unwrap()).unwrap();
    let data = DataArgs { columns, ..DataArgs::of("outcome") };
    timed("check", plain, || {
        assert_eq!(
            Check::of(&path, None, &Volumes::default(), &Renames::new(), &data)
                .unwrap()
                .n_mistakes(),
            0
        );
    });
    std::fs::remove_file(&path).unwrap();
}

/// Prints what `run` takes, and returns the seconds.
fn timed(name: &str, plain: f64, run: impl FnOnce()) -> f64 {
    let (start, processor) = (Instant::now(), processor());
    run();
    let seconds = start.elapsed().as_secs_f64();
    let processor = self::processor() - processor;
    let ratio = if plain > 0.0 { format!("{:.1}", seconds / plain) } else { String::new() };
    println!("{name:<10} {seconds:>8.2} {processor:>10.2} {ratio:>10} {:>10}", peak_mib());
    seconds
}

fn read(path: &Path) {
    let (mut file, mut buffer) = (std::fs::File::open(path).unwrap(), vec![0; 1 << 20]);
    while file.read(&mut buffer).unwrap() > 0 {}
}

/// Writes a table of a hospital with 14 columns: whole and real numbers, missing ones, texts, dates.
fn write(path: &Path, n_bytes: u64) {
    let mut state = 1u64;
    let mut draw = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        (state >> 33) % n
    };
    let mut rows = String::new();
    for _ in 0..200_000 {
        let sodium = draw(20);
        let sodium = if sodium == 0 { "NA".to_owned() } else { (sodium + 130).to_string() };
        rows += &format!(
            "{},{}.{},{}.{:03},{sodium},{},{},20{}-{:02}-{:02}",
            18 + draw(80),
            50 + draw(60),
            draw(10),
            draw(2),
            draw(1_000),
            ["A", "B", "C", "ICU"][draw(4) as usize],
            ["yes", "no"][draw(2) as usize],
            10 + draw(15),
            1 + draw(12),
            1 + draw(28),
        );
        for _ in 0..6 {
            rows += &format!(",0.{:04}", draw(10_000));
        }
        rows += if draw(2) == 0 { ",benign\n" } else { ",malignant\n" };
    }
    let mut file = std::fs::File::create(path).unwrap();
    let head = "age,weight,creatinine,sodium,ward,smoker,visit,l1,l2,l3,l4,l5,l6,outcome\n";
    file.write_all(head.as_bytes()).unwrap();
    for _ in 0..n_bytes.div_ceil(rows.len() as u64) {
        file.write_all(rows.as_bytes()).unwrap();
    }
}

/// The processor time of this process so far, in seconds.
fn processor() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // User and system time, in hundredths of a second (proc_pid_stat(5)).
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// The memory that this process had at most, in MiB.
fn peak_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}
