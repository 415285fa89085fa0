//! Series of DICOM files become volumes by the places of their slices, and hostile ones end in words.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::io::Write;
use std::path::{Path, PathBuf};

use fedwasm_dataset::{Dataset, Format, Values};
use serde::Deserialize;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/datasets/dicom")
}

/// A series of tests/oracles/dicom_series.py.
#[derive(Deserialize)]
struct Series {
    series: String,
    shape: Vec<u64>,
    values: Vec<f32>,
}

/// The slices of a series, by name.
fn slices(name: &str) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(data().join(name)).unwrap();
    let file = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, std::fs::read(entry.path()).unwrap())
    };
    let mut slices: Vec<_> = files.map(|entry| file(entry.unwrap())).collect();
    slices.sort();
    slices
}

/// Puts slices into a folder and reads the volume.
fn read(slices: &[(String, Vec<u8>)], place: &str) -> Result<(Vec<u64>, Vec<f32>), String> {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(place);
    std::fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in slices {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let dataset = Dataset::open(dir.path(), Some(Format::Medical));
    let dataset = dataset.map_err(|error| error.to_string())?;
    assert_eq!(Format::Medical.files(dir.path()).unwrap().len(), slices.len());
    let block = dataset.read(0, &[0]).map_err(|error| error.to_string())?;
    match &block.columns[0] {
        Values::Float32(values) => Ok((dataset.fields()[0].shape.clone(), values.clone())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn slices_become_a_volume_by_their_places() {
    let all: Vec<Series> =
        serde_json::from_slice(&std::fs::read(data().join("values.json")).unwrap()).unwrap();
    assert_eq!(all.len(), 4);
    for Series { series, shape, values } in all {
        let (found, read) = read(&slices(&series), "s1/CT").unwrap();
        assert_eq!(found, [&[1], &shape[..]].concat(), "{series}");
        assert_eq!(read, values, "{series}");
    }
}

#[test]
fn slices_may_lie_in_the_folder_of_the_subject() {
    let named = slices("axial").into_iter().map(|(name, bytes)| (format!("{name}.dcm"), bytes));
    let (shape, _) = read(&named.collect::<Vec<_>>(), "s1").unwrap();
    assert_eq!(shape, [1, 4, 5, 6]);
}

/// Replaces the first such bytes in each slice.
fn edited(slices: &[(String, Vec<u8>)], from: &[u8], to: &[u8]) -> Vec<(String, Vec<u8>)> {
    let edit = |(name, bytes): &(String, Vec<u8>)| {
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        let bytes = [&bytes[..at], to, &bytes[at + from.len()..]].concat();
        (name.clone(), bytes)
    };
    slices.iter().map(edit).collect()
}

/// The bytes of an element with its type and a short length.
fn element(tag: [u16; 2], kind: &str, value: &[u8]) -> Vec<u8> {
    let [group, element] = tag.map(u16::to_le_bytes);
    let length = (value.len() as u16).to_le_bytes();
    [&group, &element, kind.as_bytes(), &length, value].concat()
}

#[test]
fn slices_that_are_not_one_volume_are_refused_by_name() {
    let axial = slices("axial");
    let missing: Vec<_> = axial.iter().filter(|(name, _)| name != "IM0007").cloned().collect();
    let twice: Vec<_> = [&axial[..], &[("IM9".to_owned(), axial[1].1.clone())]].concat();
    let other = edited(&axial[..1], b"1.2.3.4\0", b"1.2.3.5\0");
    let two = [&other[..], &axial[1..]].concat();
    let sagittal = slices("sagittal").swap_remove(0).1;
    let mixed = [&[("A".to_owned(), sagittal)], &axial[..]].concat();
    for (slices, words) in [
        (missing, "slices at uneven distances: slice 2 of 3 lies where number 1.67 belongs"),
        (twice, "slices at uneven distances"),
        (two, "a slice of another series; a folder has one"),
        (mixed, "a slice of 6 x 5 pixels, the first has 6 x 5, or another type"),
    ] {
        let error = read(&slices, "s1/CT").unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn slices_that_are_not_offered_are_named() {
    let axial = slices("axial");
    let syntax = b"1.2.840.10008.1.2.1\0";
    let change = |tag, kind, from: &[u8], to: &[u8]| {
        edited(&axial, &element(tag, kind, from), &element(tag, kind, to))
    };
    for (slices, words) in [
        (edited(&axial, b"DICM", b"DOCM"), "`DICM` is not at byte 128"),
        (
            edited(&axial, syntax, b"1.2.840.10008.1.2.2\0"),
            "big-endian numbers, which are not read",
        ),
        (edited(&axial, syntax, b"1.2.840.10008.1.2.5\0"), "compressed by RLE, which are not read"),
        (edited(&axial, syntax, b"1.2.840.10008.1.2.4."), "compressed by JPEG or a like of it"),
        (
            edited(&axial, syntax, b"1.2.840.10008.1.2.9\0"),
            "the transfer syntax `1.2.840.10008.1.2.9`",
        ),
        (change([0x28, 2], "US", &[1, 0], &[3, 0]), "a slice in colours"),
        (change([0x28, 4], "CS", b"MONOCHROME2 ", b"MONOCHROME1 "), "not MONOCHROME2"),
        (change([0x28, 0x10], "US", &[5, 0], &[255, 255]), "announces 786420 bytes, but 60 were"),
        (change([0x28, 0x10], "US", &[5, 0], &[0, 0]), "announces 0 bytes, but 60 were"),
        (change([0x28, 0x100], "US", &[16, 0], &[12, 0]), "its pixels have 12 bits"),
        (change([0x28, 0x30], "DS", b"0.75\\1.25 ", b"0.75\\nope "), "does not say its spacing"),
        (change([0x28, 0x30], "DS", b"0.75\\1.25 ", b"0.00\\1e999"), "does not say its spacing"),
        (change([0x28, 0x30], "DS", b"0.75\\1.25 ", b"0.00\\0.00 "), "do not span space"),
    ] {
        let error = read(&slices, "s1/CT").unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn every_shorter_slice_is_refused() {
    for series in ["one", "sagittal", "coronal"] {
        let (name, whole) = slices(series).swap_remove(0);
        // Deflated data end with a byte that makes their number even.
        for len in (0..whole.len() - 1).step_by(3) {
            let slice = [(name.clone(), whole[..len].to_vec())];
            read(&slice, "s1/CT").unwrap_err();
        }
    }
}

#[test]
fn sequences_in_themselves_and_bombs_stop() {
    let (_, whole) = slices("one").swap_remove(0);
    let start = whole.windows(4).position(|window| window == [8, 0, 0x16, 0]).unwrap();
    // A sequence of undefined length, and an item of it, again and again.
    let sequence = [8, 0, 0x40, 0x11, b'S', b'Q', 0, 0, 255, 255, 255, 255];
    let item = [0xfe, 0xff, 0, 0xe0, 255, 255, 255, 255];
    let deep = [&sequence[..], &item].concat().repeat(100_000);
    let bytes = [&whole[..start], &deep].concat();
    let error = read(&[("a.dcm".into(), bytes)], "s1/CT").unwrap_err();
    assert!(error.contains("sequences lie in each other more than 32 times"), "{error}");
    let long = [8, 0, 0x40, 0x11, b'U', b'N', 0, 0, 254, 255, 255, 255];
    let bytes = [&whole[..start], &long].concat();
    let error = read(&[("a.dcm".into(), bytes)], "s1/CT").unwrap_err();
    assert!(error.contains("an element announces 4294967294 bytes, but 0 are left"), "{error}");
    // 128 MiB of zeros behind a header that announces deflate.
    let (_, deflated) = slices("coronal").swap_remove(0);
    let mut bomb = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    (0..128).for_each(|_| bomb.write_all(&[0; 1 << 20]).unwrap());
    let bytes = [&deflated[..meta_len(&deflated)], &bomb.finish().unwrap()].concat();
    let error = read(&[("a.dcm".into(), bytes)], "s1/CT").unwrap_err();
    assert!(error.contains("bytes of a slice: 67108865, at most 67108864"), "{error}");
}

/// Where the data of a file begin: its first element has the length of the others before them.
fn meta_len(bytes: &[u8]) -> usize {
    let length: [u8; 4] = bytes[140..144].try_into().unwrap();
    144 + u32::from_le_bytes(length) as usize
}
