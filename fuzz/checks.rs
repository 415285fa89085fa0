//! What must hold for any bytes at all. The fuzz targets search for bytes for
//! which it does not; an ordinary test runs it on those that were found.

use fedwasm_artifact::Component;
use fedwasm_dataset::{Dataset, Format, Volumes};
use fedwasm_params::{DType, from_safetensors, mpk, to_safetensors};
use fedwasm_privacy::double_masking::{
    Boxes, Consent, Reveal, SealedShares, Setup, Survivors, TakesKeys,
};
use fedwasm_privacy::masking::Context;
use fedwasm_privacy::{Coding, SignedKeys};
use fedwasm_protocol::{
    ColumnKind, ColumnRule, ColumnRules, DateFormat, Day, Encode, Message, Sealed, SecaggArgs,
    Unknown, decode_content, encode_content,
};
use fedwasm_sql::{Passwords, SnapshotLimits, Source, take_snapshot};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Runs the check of this name.
pub fn check(name: &str, bytes: &[u8]) {
    match name {
        "admission" => admission(bytes),
        "mpk" => parameters(bytes),
        "messages" => messages(bytes),
        "csv" => csv(bytes),
        "data" => data(bytes),
        "sums" => sums(bytes),
        "graphs" => graphs(bytes),
        "volumes" => volumes(bytes),
        "dicom" => dicom(bytes),
        "shards" => shards(bytes),
        "pixels" => pixels(bytes),
        "sqlite" => sqlite(bytes),
        other => panic!("no check is called {other}"),
    }
}

/// A component is admitted or refused; what is admitted can be inspected, and
/// keeps its bytes.
pub fn admission(bytes: &[u8]) {
    match Component::admit(bytes.to_vec()) {
        Ok(component) => {
            assert_eq!(component.bytes(), bytes);
            let inspection = component.inspect();
            assert_eq!(inspection.size, bytes.len() as u64);
        }
        Err(error) => assert_printable(&error.to_string()),
    }
}

/// Parameters are read or refused; what is read is written and read again to
/// the same.
pub fn parameters(bytes: &[u8]) {
    if let Ok(value) = mpk::decode(bytes) {
        let written = mpk::encode(&value).expect("what was read can be written");
        // NaNs are not equal to themselves: bytes are.
        let again = mpk::decode(&written).expect("what was written can be read");
        assert_eq!(mpk::encode(&again).expect("again"), written);
    }
    if let Ok(params) = mpk::read_params(bytes) {
        let written = mpk::write_params("researcher", &params).expect("written");
        assert_eq!(mpk::read_params(&written).expect("read"), params);
    }
    if let Ok(params) = from_safetensors(bytes) {
        let written = to_safetensors(&params).expect("written");
        // Its order is the writer's own.
        let again = from_safetensors(&written).expect("read");
        assert_eq!(to_safetensors(&again).expect("again"), written);
    }
}

/// A message is taken apart or refused, by itself or as one of its parts; what
/// is read is written and read again. Signatures are not checked: what comes
/// after them must hold for any participant.
pub fn messages(bytes: &[u8]) {
    let read = |sealed: Sealed| -> Result<Message, _> {
        let header = sealed.header()?;
        sealed.open(header)
    };
    match Sealed::decode(bytes).and_then(read) {
        Ok(message) => {
            // What was read may be larger when all its names are written out.
            if let (Ok(header), Ok(body)) = (message.header.encode(), message.body.encode()) {
                let mut again = message.header.clone();
                again.body = fedwasm_protocol::BlobRef::of(&body);
                let header = again.encode().unwrap_or(header);
                let sealed = Sealed { header, body, signature: Vec::new() };
                assert_eq!(read(sealed).expect("what was written can be read").header, again);
            }
        }
        Err(error) => assert_printable(&error.to_string()),
    }
    // The same bytes as a body of its own, whose digest nobody could guess otherwise.
    if let Ok(body) = fedwasm_protocol::Body::decode(bytes)
        && let Ok(written) = body.encode()
    {
        let again = fedwasm_protocol::Body::decode(&written).expect("read again");
        assert_eq!(again.encode().expect("again"), written);
    }
}

/// The content of a step of a secure sum is read or refused; the first byte says of which one. What is
/// read is checked without its signatures, and written and read again.
pub fn sums(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 9 {
        0 => _ = content::<Context>(bytes),
        1 => {
            if let Some(setup) = content::<Setup>(bytes) {
                let _ = TakesKeys::new(setup);
            }
        }
        2 => _ = content::<Vec<SignedKeys>>(bytes),
        3 => _ = content::<SealedShares>(bytes),
        4 => _ = content::<Boxes>(bytes),
        5 => _ = content::<Survivors>(bytes),
        6 => _ = content::<Vec<Consent>>(bytes),
        7 => _ = content::<Reveal>(bytes),
        _ => {
            if let Some(args) = content::<SecaggArgs>(bytes) {
                let specs = [("w", DType::Float32, &[2u64, 3][..])];
                let _ = Coding::new(&args, 3, &specs, &[]);
            }
        }
    }
}

fn content<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match decode_content::<T>(bytes) {
        Ok(content) => {
            let written = encode_content(&content).expect("what was read can be written");
            let again: T = decode_content(&written).expect("what was written can be read");
            assert_eq!(encode_content(&again).expect("again"), written);
            Some(content)
        }
        Err(error) => {
            assert_printable(&error.to_string());
            None
        }
    }
}

/// A graph is read or refused; what is read is written as it was, and can be shown. What can be run
/// has facts.
pub fn graphs(bytes: &[u8]) {
    let graph = match fedwasm_graph::decode(bytes) {
        Ok(graph) => graph,
        Err(error) => return assert_printable(&error.to_string()),
    };
    assert_eq!(fedwasm_graph::encode(&graph), bytes);
    assert_printable(&graph.text().to_string());
    let _ = graph.counts();
    match graph.check() {
        Ok(()) => assert_printable(&graph.facts().to_string()),
        Err(error) => assert_printable(&error.to_string()),
    }
}

/// A table is read or refused.
pub fn csv(bytes: &[u8]) {
    dataset(Format::Csv, "d.csv", bytes);
}

/// Any other data are read or refused; the first byte says what they are.
pub fn data(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let (format, name) = match kind % 8 {
        0 => (Format::Parquet, "d.parquet"),
        1 => (Format::Idx, "images-idx3-ubyte"),
        2 => (Format::Idx, "images-idx3-ubyte.gz"),
        3 => (Format::Npy, "d.npy"),
        4 => (Format::Npz, "d.npz"),
        5 => (Format::Images, "a/0.png"),
        6 => (Format::Images, "a/0.jpg"),
        _ => return csv(bytes),
    };
    dataset(format, name, bytes);
}

/// A volume is read or refused; the first byte says whether it is packed, and whether it is resampled.
pub fn volumes(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let name = if kind & 1 == 0 { "s/v/d.nii" } else { "s/v/d.nii.gz" };
    let shape = (kind & 2 == 0).then_some([3, 4, 5]);
    let spacing = (kind & 4 == 0).then_some([1.5, 2.0, 0.7]);
    let settings = Volumes { shape, spacing, ..Volumes::default() };
    dataset_with(Format::Medical, name, bytes, &settings);
}

/// A slice is read or refused.
pub fn dicom(bytes: &[u8]) {
    dataset(Format::Medical, "s/v/d.dcm", bytes);
}

/// Samples are read or refused.
pub fn shards(bytes: &[u8]) {
    dataset(Format::Tar, "d.tar", bytes);
}

/// An image is decoded or refused, with its Exif data and its alpha channel.
pub fn pixels(bytes: &[u8]) {
    dataset(Format::Images, "a/0.png", bytes);
}

/// A database answers or is refused; the first byte says whether the rest is its file, or a query of
/// the file that fuzzing started from.
pub fn sqlite(bytes: &[u8]) {
    const FILE: &[u8] = include_bytes!("../tests/data/fuzz/sqlite/file");
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let (file, queries) = match kind % 2 {
        0 => (
            bytes,
            vec!["SELECT * FROM t", "SELECT * FROM v", "SELECT name, sql FROM sqlite_schema"],
        ),
        _ => match std::str::from_utf8(bytes) {
            Ok(query) => (&FILE[1..], vec![query]),
            Err(_) => return,
        },
    };
    let folder = std::env::temp_dir().join(format!("fedwasm-fuzz-sql-{}", std::process::id()));
    let (from, out) = (folder.join("a.db"), folder.join("a.parquet"));
    std::fs::create_dir_all(&folder).expect("a scratch folder");
    std::fs::write(&from, file).expect("a scratch file");
    let limits = SnapshotLimits { seconds: 1, rows: 10_000, mib: 4 };
    for query in queries {
        let mut into = std::fs::File::create(&out).expect("a scratch file");
        let source = Source::Sqlite(from.clone());
        match take_snapshot(&source, query, limits, &Passwords::default(), &mut into) {
            Err(error) => assert_printable(&error.to_string()),
            Ok(taken) => {
                taken.remarks.iter().for_each(|remark| assert_printable(remark));
                let dataset = Dataset::open(&out, Some(Format::Parquet)).expect("a snapshot");
                assert_eq!(dataset.n_rows(), taken.n_rows);
                for field in 0..dataset.fields().len() {
                    let texts = (0..dataset.n_blocks()).map(|at| dataset.texts(at, field));
                    let n: usize = texts.map_while(Result::ok).map(|texts| texts.len()).sum();
                    assert!(n as u64 <= taken.n_rows);
                }
            }
        }
    }
    assert_eq!(std::fs::read(&from).expect("the file"), file, "it is only read");
    std::fs::remove_dir_all(&folder).expect("a scratch folder");
}

fn dataset(format: Format, name: &str, bytes: &[u8]) {
    dataset_with(format, name, bytes, &Volumes::default());
}

/// Rows are as many as were counted, and only finite numbers; packing changes nothing.
fn dataset_with(format: Format, name: &str, bytes: &[u8], settings: &Volumes) {
    let folder = std::env::temp_dir().join(format!("fedwasm-fuzz-{}", std::process::id()));
    let file = folder.join(name);
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a scratch folder");
    std::fs::write(&file, bytes).expect("a scratch file");
    let is_folder = matches!(format, Format::Images | Format::Medical);
    let path = if is_folder { &folder } else { &file };
    if format == Format::Images {
        // One class alone is refused.
        std::fs::create_dir_all(folder.join("b")).expect("a scratch folder");
        std::fs::write(folder.join("b/1.png"), bytes).expect("a scratch file");
    }
    if let Ok(dataset) = Dataset::open_with(path, Some(format), settings) {
        let fields: Vec<usize> = (0..dataset.fields().len()).collect();
        for block in 0..dataset.n_blocks() {
            let rows = dataset.rows(block);
            let Ok(read) = dataset.read(block, &fields) else { break };
            assert_eq!(read.n_rows as u64, rows.end - rows.start);
            for (values, field) in read.columns.iter().zip(dataset.fields()) {
                assert_eq!(values.len(), read.n_rows * field.width());
                values.each(0..values.len(), |value| assert!((value as f32).is_finite()));
            }
            let unpacked = read.pack().unpack();
            assert_eq!(unpacked.columns, read.columns);
        }
        for turn in 0..KINDS {
            by_rules(&dataset, turn);
        }
    }
    std::fs::remove_dir_all(&folder).expect("a scratch folder");
}

/// Kinds of rules that are tried.
const KINDS: usize = 5;

/// Each column by a rule: numbers as many as the field says, finite or missing, or an error that
/// can be printed.
fn by_rules(dataset: &Dataset, turn: usize) {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let mut rules = ColumnRules::default();
    for (at, field) in dataset.fields().iter().enumerate().filter(|(_, of)| of.shape.is_empty()) {
        let kind = match (at + turn) % KINDS {
            0 => ColumnKind::Number { decimal: ',', thousands: Some('.') },
            1 => ColumnKind::Boolean { yes: texts(&["1", "true"]), no: texts(&["0", "false"]) },
            2 => ColumnKind::Date { since: Day::default(), format: DateFormat::default() },
            3 => ColumnKind::Drop,
            _ => ColumnKind::Category {
                values: texts(&["a", "1"]),
                unknown: Unknown::Other,
                encode: Encode::OneHot,
            },
        };
        let flag_missing = kind != ColumnKind::Drop;
        rules.insert(field.name.clone(), ColumnRule { flag_missing, ..ColumnRule::of(kind) });
    }
    let Ok(ruled) = dataset.with_rules(&rules, &texts(&["", "?"])) else { return };
    for field in 0..ruled.fields().len() {
        for block in 0..ruled.n_blocks() {
            match ruled.read(block, &[field]) {
                Err(error) => assert_printable(&error.to_string()),
                Ok(read) => {
                    let values = &read.columns[0];
                    assert_eq!(values.len(), read.n_rows * ruled.fields()[field].width());
                    let is_ruled = ruled.rule(field).is_some();
                    values.each(0..values.len(), |value| {
                        assert!((value as f32).is_finite() || (is_ruled && value.is_nan()));
                    });
                }
            }
        }
    }
}

/// No byte of a stranger commands the terminal of whoever reads an error.
fn assert_printable(text: &str) {
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
}
