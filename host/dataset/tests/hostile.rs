//! Files that lie, swell, or stop short. Each ends in an error that names it,
//! and none gets the memory that it asks for.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use fedwasm_dataset::{Dataset, Format};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Held by tests that look at the memory of this process.
static MEMORY: Mutex<()> = Mutex::new(());

fn sample(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/datasets");
    std::fs::read(dir.join(name)).unwrap()
}

/// Opens `bytes` and reads everything.
fn read(bytes: &[u8], format: Format) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    read_path(&path, format).map_err(|error| {
        assert!(error.contains("file"), "{error}");
        error
    })
}

fn read_path(path: &Path, format: Format) -> Result<(), String> {
    let dataset = Dataset::open(path, Some(format)).map_err(|error| error.to_string())?;
    let fields: Vec<usize> = (0..dataset.fields().len()).collect();
    for block in 0..dataset.n_blocks() {
        let block = dataset.read(block, &fields).map_err(|error| error.to_string())?;
        for (values, field) in block.columns.iter().zip(dataset.fields()) {
            assert_eq!(values.len(), block.n_rows * field.width());
        }
    }
    Ok(())
}

fn idx(axes: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, axes.len() as u8];
    axes.iter().for_each(|axis| bytes.extend(axis.to_be_bytes()));
    bytes.extend(elements);
    bytes
}

fn npy(header: &str, elements: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(elements);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
fn refused(bytes: &[u8], format: Format, words: &str) {
    let error = read(bytes, format).unwrap_err();
    assert!(error.contains(words), "{error}");
}

/// The largest resident size so far, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn lying_headers_are_held_against_the_file() {
    let u32s = [u32::MAX; 8];
    refused(
        &idx(&[1_000, 28, 28], &[0; 100]),
        Format::Idx,
        "announces 784000 bytes, but 100 were found",
    );
    refused(&idx(&[1, 2], &[0; 3]), Format::Idx, "announces 2 bytes, but 3 were found");
    refused(&idx(&u32s[..3], &[]), Format::Idx, "values of a row");
    refused(&idx(&u32s, &[]), Format::Idx, "values of a row");
    refused(&idx(&[1; 255], &[0]), Format::Idx, "axes: 255, at most 8 are read");
    refused(
        &idx(&[1_000_000_000], &[0]),
        Format::Idx,
        "announces 1000000000 bytes, but 1 were found",
    );
    refused(&idx(&[0, 28], &[]), Format::Idx, "has no values");
    refused(&idx(&[], &[1]), Format::Idx, "without axes");
    refused(b"\0\0\x77\x01\0\0\0\x01\0", Format::Idx, "which is not an IDX header");
    for (shape, words) in [
        ("(3,)", "announces 12 bytes, but 8 were found"),
        ("(99999999999, 1000)", "announces"),
        ("(99999999999999999999,)", "names no shape"),
        ("(2, 1000000000)", "values of a row: 1000000000, at most"),
        ("(1000000000000000000,)", "rows: 1000000000000000000, at most"),
        ("(4294967296, 4294967296, 4294967296)", "values of a row"),
        ("(-1,)", "names no shape"),
        ("()", "without axes"),
    ] {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
        refused(&npy(&header, &[0; 8]), Format::Npy, words);
    }
    let mut long = b"\x93NUMPY\x02\x00".to_vec();
    long.extend(u32::MAX.to_le_bytes());
    refused(&long, Format::Npy, "bytes of the NPY header: 4294967295, at most 65536");
    refused(b"\x93NUMPY\x09\x00\x01\x00", Format::Npy, "version 9");
}

#[test]
fn bombs_stop_where_the_header_does() {
    let _alone = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    let before = peak_kib();
    // 256 MiB of zeros in 260 KB.
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&idx(&[1, 28, 28], &[])).unwrap();
    for _ in 0..256 {
        bomb.write_all(&[0; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    refused(&bomb, Format::Idx, "the IDX header announces 784 bytes, but 785 were found");
    // The announced size is larger than any bound.
    let bomb = gzip(&idx(&[1 << 30, 28, 28], &[0; 64]));
    refused(&bomb, Format::Idx, "bytes of a gzip file, decompressed (unpack it first)");
    // The announced size is allowed, but the bytes are missing.
    let bomb = gzip(&idx(&[1 << 20, 28, 28], &[0; 64]));
    refused(&bomb, Format::Idx, "the IDX header announces 822083584 bytes, but 64 were found");
    refused(&zip_bomb(), Format::Npz, "the header of array `a` announces 8 bytes, but ");
    let after = peak_kib();
    assert!(after < before + (16 << 10), "{before} KiB became {after} KiB");
}

/// An archive whose array continues for 64 MiB beyond the size in its header.
fn zip_bomb() -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated);
    writer.start_file("a.npy", options).unwrap();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
    writer.write_all(&npy(header, &[0; 8])).unwrap();
    for _ in 0..64 {
        writer.write_all(&[0; 1 << 20]).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn images_say_their_size_before_they_get_memory() {
    let root = tempfile::tempdir().unwrap();
    for class in ["a", "b"] {
        std::fs::create_dir(root.path().join(class)).unwrap();
    }
    std::fs::write(root.path().join("b/1.png"), sample("images/b/1.png")).unwrap();
    let path = root.path().join("a/0.png");
    // A PNG of 60,000 x 60,000 grey pixels in a few bytes, and one of no height.
    for (width, height) in [(60_000u32, 60_000u32), (u32::MAX, u32::MAX), (1, 0)] {
        let mut png = sample("images/a/0.png");
        png[16..20].copy_from_slice(&width.to_be_bytes());
        png[20..24].copy_from_slice(&height.to_be_bytes());
        let crc = {
            let mut crc = flate2::Crc::new();
            crc.update(&png[12..29]);
            crc.sum()
        };
        png[29..33].copy_from_slice(&crc.to_be_bytes());
        std::fs::write(&path, png).unwrap();
        let error = read_path(root.path(), Format::Images).unwrap_err();
        assert!(error.contains("0.png"), "{error}");
    }
    // A JPEG that announces 65,500 x 65,500.
    let mut jpeg = sample("jpeg_colour/a/0.jpg");
    let at = jpeg.windows(2).position(|bytes| bytes == [0xff, 0xc0]).unwrap();
    jpeg[at + 5..at + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    std::fs::write(&path, jpeg).unwrap();
    let error = read_path(root.path(), Format::Images).unwrap_err();
    assert!(error.contains("0.png"), "{error}");
    std::fs::write(&path, "no image").unwrap();
    let error = read_path(root.path(), Format::Images).unwrap_err();
    assert!(error.contains("neither PNG nor JPEG"), "{error}");
}

#[test]
fn every_file_may_end_anywhere() {
    for (name, format) in [
        ("train-images-idx3-ubyte", Format::Idx),
        ("packed-images-idx3-ubyte.gz", Format::Idx),
        ("little.npy", Format::Npy),
        ("stored.npz", Format::Npz),
        ("deflated.npz", Format::Npz),
        ("snappy.parquet", Format::Parquet),
        ("gzip.parquet", Format::Parquet),
    ] {
        let whole = sample(name);
        let step = (whole.len() / 97).max(1);
        for len in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
            assert!(read(&whole[..len], format).is_err(), "{name} of {len} bytes");
        }
    }
}

#[test]
fn files_with_any_byte_changed_are_read_or_refused() {
    // The library's panics are caught; their words are not for this test's output.
    let _alone = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    std::panic::set_hook(Box::new(|_| {}));
    let before = peak_kib();
    for (name, format) in [
        ("none.parquet", Format::Parquet),
        ("snappy.parquet", Format::Parquet),
        ("pages_v2.parquet", Format::Parquet),
        ("stored.npz", Format::Npz),
        ("deflated.npz", Format::Npz),
        ("packed-images-idx3-ubyte.gz", Format::Idx),
        ("little.npy", Format::Npy),
    ] {
        let whole = sample(name);
        let step = (whole.len() / 700).max(1);
        for at in (0..whole.len()).step_by(step) {
            for change in [0xff, 0x80, 0x01] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                let _ = std::panic::catch_unwind(|| drop(read(&bytes, format)))
                    .map_err(|_| panic!("{name}: byte {at} ^ {change}"));
            }
        }
    }
    let after = peak_kib();
    drop(std::panic::take_hook());
    assert!(after < before + (300 << 10), "{before} KiB became {after} KiB");
}

#[test]
fn page_that_says_too_much_is_refused_before_it_is_read() {
    let swollen = sample("swollen.parquet");
    refused(&swollen, Format::Parquet, "bytes of a page of column `a`: 1073741824, at most");
}

// tests/oracles/hostile_parquet.py writes them.
#[test]
fn lies_of_parquet_are_found_before_there_is_memory_for_them() {
    let file = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/data/datasets/hostile")
            .join(name)
            .with_extension("parquet")
    };
    read_path(&file("honest"), Format::Parquet).unwrap();
    let before = peak_kib();
    for (name, words) in [
        ("rows", "blocks of rows: 4294967296, at most 1048576 are read"),
        ("dictionary", "more values than its bytes can hold"),
        ("children", "its footer is malformed"),
        ("deep", "columns nested deeper than 8"),
        ("overlapping", "all columns together"),
    ] {
        let error = read_path(&file(name), Format::Parquet).unwrap_err();
        assert!(error.contains(words), "{name}: {error}");
    }
    assert!(peak_kib() - before < 64 << 10, "{} KiB", peak_kib() - before);
}

#[test]
fn what_is_no_regular_file_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("train-images-idx3-ubyte");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    for format in [None].into_iter().chain(Format::ALL.map(Some)) {
        let error = Dataset::open(&path, format).unwrap_err().to_string();
        let is_folder = format.is_some_and(|format| {
            matches!(format, Format::Images | Format::Medical | Format::Bids)
        });
        assert!(is_folder || error.contains("it is not a regular file"), "{format:?}: {error}");
    }
}

#[test]
fn images_with_too_many_channels_are_no_images() {
    let header = |channels: u32| {
        format!("{{'descr': '|u1', 'fortran_order': False, 'shape': (1, {channels}, 1, 1), }}\n")
    };
    read(&npy(&header(1_024), &[1; 1_024]), Format::Npy).unwrap();
    refused(&npy(&header(1_025), &[1; 1_025]), Format::Npy, "1025, at most 1024 are read");
}

#[test]
fn whole_numbers_that_float64_does_not_hold_are_refused() {
    read(b"x,y\n9007199254740991,1\n-9.1e15,2\n", Format::Csv).unwrap();
    let error = read(b"x,y\n1,1\n9007199254740993,2\n", Format::Csv).unwrap_err();
    assert!(error.contains("line 3") && error.contains("9007199254740993"), "{error}");
}
