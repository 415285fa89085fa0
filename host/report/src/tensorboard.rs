//! Scalars as TensorBoard reads them: a directory a node, as Fed-BioMed's
//! `Monitor` lays them out. Reads no clock; an event file is a log, so what a
//! killed run had not flushed is lost.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use fedwasm_protocol::{Metrics, NodeId, printable};

/// The most nodes that are written: each holds a file open, and no person reads
/// more lines in one chart.
const NODES_MAX: usize = 64;

/// The most tags of a node, each a chart of its own: the 192 metrics that a
/// reply may hold, in three phases, and some air.
const TAGS_MAX: usize = 640;

/// The longest tag, in characters.
const TAG_CHARS_MAX: usize = 128;

/// The most scalars of a node and a run, 70 MB or so: nodes decide how often
/// they report.
const SCALARS_MAX: u64 = 1_000_000;

/// The subject of a scalar, the first part of its tag. Fed-BioMed
/// 6.4.1, `Monitor._log_metric_result`, in upper case by `_summary_writer`.
const TRAINING: &str = "TRAINING";
const ON_GLOBAL_UPDATES: &str = "VALIDATION ON GLOBAL UPDATES";
const ON_LOCAL_UPDATES: &str = "VALIDATION ON LOCAL UPDATES";

/// The scalars of an experiment, a run a node. Numbers that are not finite,
/// also as `f32`, are left out, and so is what is past the limits of this file.
#[derive(Debug)]
pub struct TensorBoard {
    dir: PathBuf,
    runs: BTreeMap<NodeId, Run>,
}

#[derive(Debug)]
struct Run {
    file: EventFile,
    tags: BTreeSet<String>,
    n_scalars: u64,
}

impl TensorBoard {
    /// Writes to `dir/tensorboard/<node>/`, from a node's first scalar on.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), runs: BTreeMap::new() }
    }

    /// The same, without the event files that an earlier run of `node` left there.
    pub fn anew(dir: &Path, node: &NodeId) -> io::Result<Self> {
        let of_node = dir.join("tensorboard").join(node.as_str());
        match fs::read_dir(&of_node) {
            Ok(entries) => {
                for entry in entries {
                    let path = entry?.path();
                    if is_ours(&path) {
                        fs::remove_file(&path).map_err(|error| named(&error, &path))?;
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(named(&error, &of_node)),
        }
        Ok(Self::new(dir))
    }

    /// Writes a number that the plan reported at a batch.
    ///
    /// * `step` — batches of the node since the first round, from 1.
    pub fn training(
        &mut self,
        node: &NodeId,
        step: u64,
        metric: &str,
        value: f64,
        at: SystemTime,
    ) -> io::Result<()> {
        self.scalar(node, TRAINING, step, metric, value, at)
    }

    /// Writes scores of the aggregated model on a node's held-out rows.
    pub fn on_global_updates(
        &mut self,
        node: &NodeId,
        round: u32,
        metrics: &Metrics,
        at: SystemTime,
    ) -> io::Result<()> {
        metrics.iter().try_for_each(|(metric, value)| {
            self.scalar(node, ON_GLOBAL_UPDATES, round.into(), metric, *value, at)
        })
    }

    /// Writes scores of a node's own update on its held-out rows.
    pub fn on_local_updates(
        &mut self,
        node: &NodeId,
        round: u32,
        metrics: &Metrics,
        at: SystemTime,
    ) -> io::Result<()> {
        metrics.iter().try_for_each(|(metric, value)| {
            self.scalar(node, ON_LOCAL_UPDATES, round.into(), metric, *value, at)
        })
    }

    /// Hands everything to the operating system; of several errors, the first.
    pub fn flush(&mut self) -> io::Result<()> {
        let mut flushed = Ok(());
        for run in self.runs.values_mut() {
            flushed = flushed.and(run.file.flush());
        }
        flushed
    }

    fn scalar(
        &mut self,
        node: &NodeId,
        phase: &str,
        step: u64,
        metric: &str,
        value: f64,
        at: SystemTime,
    ) -> io::Result<()> {
        if !(value as f32).is_finite() {
            return Ok(());
        }
        let is_full = self.runs.len() == NODES_MAX;
        let run = match self.runs.entry(node.clone()) {
            Entry::Occupied(run) => run.into_mut(),
            Entry::Vacant(_) if is_full => return Ok(()),
            Entry::Vacant(place) => {
                let file = EventFile::create(&self.dir, node, at)?;
                place.insert(Run { file, tags: BTreeSet::new(), n_scalars: 0 })
            }
        };
        // Nodes and plans name metrics.
        let tag = printable(&format!("{phase}/{metric}"));
        let tag: String = tag.chars().take(TAG_CHARS_MAX).collect();
        let is_new = !run.tags.contains(&tag);
        if run.n_scalars == SCALARS_MAX || (is_new && run.tags.len() == TAGS_MAX) {
            return Ok(());
        }
        run.file.scalar(&tag, step, value, at)?;
        run.n_scalars += 1;
        if is_new {
            run.tags.insert(tag);
        }
        Ok(())
    }
}

/// One event file: records of TensorFlow's `record_writer.h`, each an `Event`
/// of its `event.proto`.
#[derive(Debug)]
pub(crate) struct EventFile {
    file: BufWriter<File>,
    /// For messages only.
    path: PathBuf,
}

impl EventFile {
    /// Makes the next file of `dir/tensorboard/<name>/`. A resumed experiment
    /// adds a file: TensorBoard reads all of a directory in the order of
    /// their names, and none that is older than the one it is at.
    pub(crate) fn create(dir: &Path, name: &NodeId, at: SystemTime) -> io::Result<Self> {
        let dir = dir.join("tensorboard").join(name.as_str());
        let number = fs::create_dir_all(&dir).and_then(|()| next_number(&dir));
        let number = number.map_err(|error| named(&error, &dir))?;
        let path = dir.join(format!("events.out.tfevents.{number:010}.fedwasm"));
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let file = BufWriter::new(file.map_err(|error| named(&error, &path))?);
        let mut events = Self { file, path };
        events.write(&version_event(at))?;
        Ok(events)
    }

    /// Appends a scalar.
    ///
    /// * `step` — at most `i64::MAX`, which stands for all above.
    /// * `value` — kept as `f32`.
    pub(crate) fn scalar(
        &mut self,
        tag: &str,
        step: u64,
        value: f64,
        at: SystemTime,
    ) -> io::Result<()> {
        self.write(&scalar_event(tag, step, value, at))
    }

    /// Passes the written bytes to the operating system.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|error| named(&error, &self.path))
    }

    fn write(&mut self, event: &[u8]) -> io::Result<()> {
        // In one piece: the buffer is emptied between records, so that a reader
        // who follows the file sees whole ones.
        self.file.write_all(&record(event)).map_err(|error| named(&error, &self.path))
    }
}

fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|n| n.starts_with("events.out.tfevents.") && n.ends_with(".fedwasm"))
}

/// Returns one more than the largest number of an event file of ours.
fn next_number(dir: &Path) -> io::Result<u64> {
    let mut next = 0;
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| {
            name.strip_prefix("events.out.tfevents.")?.strip_suffix(".fedwasm")?.parse().ok()
        });
        next = next.max(number.map_or(0, |number: u64| number.saturating_add(1)));
    }
    Ok(next)
}

fn named(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Frames data: its length, the checksum of the length, data, their checksum;
/// all little-endian.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(data.len() + 16);
    record.extend(length);
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(data);
    record.extend(masked_crc(data).to_le_bytes());
    record
}

/// Returns the CRC-32C, rotated and shifted so that a checksum of data that
/// hold checksums stays a good one (TensorFlow `crc32c.h`).
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// `Event { double wall_time = 1; string file_version = 3; }`
fn version_event(at: SystemTime) -> Vec<u8> {
    let mut event = wall_time(at);
    put_bytes(&mut event, 3, b"brain.Event:2");
    event
}

/// `Event { double wall_time = 1; int64 step = 2; Summary summary = 5; }` with
/// `Summary { repeated Value value = 1; }` and
/// `Value { string tag = 1; float simple_value = 2; }`.
fn scalar_event(tag: &str, step: u64, value: f64, at: SystemTime) -> Vec<u8> {
    let mut event = wall_time(at);
    let step = step.min(i64::MAX.unsigned_abs());
    if step != 0 {
        put_key(&mut event, 2, WireType::Varint);
        put_varint(&mut event, step);
    }
    let mut scalar = Vec::new();
    put_bytes(&mut scalar, 1, tag.as_bytes());
    // Zero too: the field is one of several that a value may have.
    put_key(&mut scalar, 2, WireType::Fixed32);
    scalar.extend((value as f32).to_le_bytes());
    let mut summary = Vec::new();
    put_bytes(&mut summary, 1, &scalar);
    put_bytes(&mut event, 5, &summary);
    event
}

/// Starts an event with its time, in seconds since 1970; none before.
fn wall_time(at: SystemTime) -> Vec<u8> {
    let mut event = Vec::new();
    if let Ok(since) = at.duration_since(UNIX_EPOCH)
        && !since.is_zero()
    {
        put_key(&mut event, 1, WireType::Fixed64);
        event.extend(since.as_secs_f64().to_le_bytes());
    }
    event
}

/// <https://protobuf.dev/programming-guides/encoding/#structure>
#[derive(Clone, Copy)]
enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

fn put_key(out: &mut Vec<u8>, field: u64, wire_type: WireType) {
    put_varint(out, field << 3 | wire_type as u64);
}

fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_key(out, field, WireType::Bytes);
    put_varint(out, bytes.len() as u64);
    out.extend(bytes);
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_700_000_000_500)
    }

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
        let mut files: Vec<_> = entries
            .map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap()))
            .collect();
        files.sort();
        files
    }

    /// Made by tensorboard 2.21.0:
    /// ```python
    /// import io
    /// from tensorboard.compat.proto import event_pb2, summary_pb2
    /// from tensorboard.summary.writer.record_writer import RecordWriter
    /// def scalar(tag, value):
    ///     value = summary_pb2.Summary.Value(tag=tag, simple_value=value)
    ///     return summary_pb2.Summary(value=[value])
    /// for event in [
    ///     event_pb2.Event(wall_time=1700000000.5, file_version="brain.Event:2"),
    ///     event_pb2.Event(wall_time=1700000000.5, step=300, summary=scalar("TRAINING/loss", 0.25)),
    ///     event_pb2.Event(wall_time=0, step=0, summary=scalar("a", 0)),
    /// ]:
    ///     file = io.BytesIO()
    ///     RecordWriter(file).write(event.SerializeToString())
    ///     print(file.getvalue().hex())
    /// ```
    #[test]
    fn bytes_are_those_of_tensorboard() {
        for (event, expected) in [
            (
                version_event(at()),
                "1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a322b353110",
            ),
            (
                scalar_event("TRAINING/loss", 300, 0.25, at()),
                "2400000000000000422b804d0900002040fc54d94110ac022a160a140a0d545241494e494e472f6c6f\
                 7373150000803e81b8aa14",
            ),
            (
                scalar_event("a", 0, 0.0, UNIX_EPOCH),
                "0c00000000000000f4c8fe0a2a0a0a080a016115000000001014ba56",
            ),
        ] {
            assert_eq!(hex(&record(&event)), expected);
        }
    }

    #[test]
    fn step_past_int64_is_clamped_and_time_before_1970_is_none() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        let event = scalar_event("a", u64::MAX, 1.0, before);
        assert_eq!(event, scalar_event("a", i64::MAX as u64, 1.0, UNIX_EPOCH));
        assert_eq!(hex(&event[..10]), "10ffffffffffffffff7f");
    }

    #[test]
    fn resumed_run_adds_a_file_and_leaves_the_first_alone() {
        let dir = tempfile::tempdir().unwrap();
        for step in 1..=2 {
            let mut board = TensorBoard::new(dir.path());
            board.training(&node("site-1"), step, "loss", 0.5, at()).unwrap();
            board.flush().unwrap();
        }
        let expected = |step| {
            let event = scalar_event("TRAINING/loss", step, 0.5, at());
            [record(&version_event(at())), record(&event)].concat()
        };
        let expected = [
            ("events.out.tfevents.0000000000.fedwasm".to_owned(), expected(1)),
            ("events.out.tfevents.0000000001.fedwasm".to_owned(), expected(2)),
        ];
        assert_eq!(files(&dir.path().join("tensorboard/site-1")), expected);
    }

    #[test]
    fn run_anew_leaves_the_files_of_others_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut board = TensorBoard::anew(dir.path(), &node("local")).unwrap();
        board.training(&node("local"), 1, "loss", 0.5, at()).unwrap();
        board.flush().unwrap();
        let of_node = dir.path().join("tensorboard/local");
        fs::write(of_node.join("events.out.tfevents.1.other"), b"theirs").unwrap();
        let mut board = TensorBoard::anew(dir.path(), &node("local")).unwrap();
        board.training(&node("local"), 2, "loss", 0.25, at()).unwrap();
        board.flush().unwrap();
        let names: Vec<String> = files(&of_node).into_iter().map(|file| file.0).collect();
        assert_eq!(
            names,
            ["events.out.tfevents.0000000000.fedwasm", "events.out.tfevents.1.other"]
        );
        let event = scalar_event("TRAINING/loss", 2, 0.25, at());
        assert!(files(&of_node)[0].1.ends_with(&record(&event)));
    }

    #[test]
    fn scores_get_the_tags_of_fedbiomed() {
        let dir = tempfile::tempdir().unwrap();
        let mut board = TensorBoard::new(dir.path());
        let metrics: Metrics = [("accuracy".to_owned(), 0.75)].into();
        board.on_local_updates(&node("a"), 3, &metrics, at()).unwrap();
        board.on_global_updates(&node("a"), 3, &metrics, at()).unwrap();
        board.flush().unwrap();
        let events = [
            version_event(at()),
            scalar_event("VALIDATION ON LOCAL UPDATES/accuracy", 3, 0.75, at()),
            scalar_event("VALIDATION ON GLOBAL UPDATES/accuracy", 3, 0.75, at()),
        ];
        let bytes: Vec<u8> = events.iter().flat_map(|event| record(event)).collect();
        assert_eq!(files(&dir.path().join("tensorboard/a"))[0].1, bytes);
    }

    #[test]
    fn what_no_chart_can_show_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut board = TensorBoard::new(dir.path());
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
            board.training(&node("a"), 1, "loss", value, at()).unwrap();
        }
        assert!(board.runs.is_empty() && !dir.path().join("tensorboard").exists());
    }

    #[test]
    fn nodes_tags_and_names_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut board = TensorBoard::new(dir.path());
        for index in 0..=NODES_MAX {
            board.training(&node(&format!("n{index}")), 1, "loss", 1.0, at()).unwrap();
        }
        assert_eq!(board.runs.len(), NODES_MAX);
        for index in 0..=TAGS_MAX {
            let metric = format!("{index}\n{}", "ä".repeat(1_000));
            board.training(&node("n0"), 1, &metric, 1.0, at()).unwrap();
        }
        let run = &board.runs[&node("n0")];
        assert_eq!((run.tags.len(), run.n_scalars), (TAGS_MAX, TAGS_MAX as u64));
        assert!(run.tags.iter().all(|tag| tag.chars().count() <= TAG_CHARS_MAX));
        assert!(!run.tags.iter().any(|tag| tag.contains('\n')));
        // Names that turn or hide text, or command a terminal.
        board.training(&node("n1"), 1, "\u{202e}a\u{200b}b\u{9b}c", 1.0, at()).unwrap();
        let tags: Vec<&String> = board.runs[&node("n1")].tags.iter().collect();
        assert!(tags.iter().any(|tag| tag.ends_with("/ a b c")), "{tags:?}");
    }

    #[test]
    fn last_scalar_below_the_limit_is_written_and_the_next_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut board = TensorBoard::new(dir.path());
        board.training(&node("a"), 1, "loss", 1.0, at()).unwrap();
        board.runs.get_mut(&node("a")).unwrap().n_scalars = SCALARS_MAX - 1;
        board.training(&node("a"), 2, "loss", 1.0, at()).unwrap();
        board.flush().unwrap();
        let length = || files(&dir.path().join("tensorboard/a"))[0].1.len();
        let before = length();
        board.training(&node("a"), 3, "loss", 1.0, at()).unwrap();
        board.flush().unwrap();
        assert_eq!(length(), before);
    }
}
