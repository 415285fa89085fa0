//! Files that lie, that are cut or that are bombs: an error that says so, and no memory for what
//! is not there.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};

use fedwasm_dataset::{Dataset, Error};

fn given(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/datasets").join(name)
}

/// Opens and reads everything; the message without the path of the folder.
fn error(dir: &Path, name: &str) -> String {
    let dataset = Dataset::open(&dir.join(name));
    let read = dataset.and_then(|dataset| dataset.count_rows());
    let shown = format!("{}/", dir.display());
    read.unwrap_err().to_string().replace(&shown, "")
}

fn idx(kind: u8, shape: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, kind, shape.len() as u8];
    shape.iter().for_each(|axis| bytes.extend(axis.to_be_bytes()));
    bytes.extend(data);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn idx_files_that_lie_are_refused() {
    let labels = idx(8, &[2], &[0, 1]);
    let cut = &gzip(&idx(8, &[2, 1], &[7, 9]))[..20];
    let mut damaged = gzip(&idx(8, &[2, 1], &[7, 9]));
    let at = damaged.len() - 6;
    damaged[at] ^= 1;
    let cases: [(&str, Vec<u8>, &str); 11] = [
        ("one number is missing", idx(8, &[2, 2], &[0; 3]), "15 bytes, its header says 16"),
        ("one is too many", idx(8, &[2, 2], &[0; 5]), "17 bytes, its header says 16"),
        ("2^128 numbers", idx(8, &[u32::MAX; 4], &[]), "more than 4194304 numbers in a row"),
        ("2^32 rows", idx(8, &[u32::MAX], &[]), "more than 268435456 numbers in an array"),
        ("no rows", idx(8, &[0, 2], &[]), "there are no rows"),
        ("200 axes", vec![0, 0, 8, 200], "200 axes, at most 8 are read"),
        ("unknown type", idx(10, &[2], &[0; 2]), "the type of its numbers, 0x0a, is unknown"),
        ("another number of rows", idx(8, &[3], &[0; 3]), "labels of shape [2] for 3 images"),
        ("compressed and short", gzip(&idx(8, &[2, 1_000], &[0; 9])), "9 bytes, its header says"),
        ("compressed and cut", cut.to_vec(), ""),
        ("compressed and damaged", damaged, ""),
    ];
    for (what, images, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x-images-idx2-ubyte"), images).unwrap();
        std::fs::write(dir.path().join("x-labels-idx2-ubyte"), &labels).unwrap();
        let error = error(dir.path(), "x-images-idx2-ubyte");
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn compressed_bomb_is_read_no_further_than_its_header_says() {
    let dir = tempfile::tempdir().unwrap();
    // 64 MiB of zeros in 64 KiB.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&idx(8, &[2, 1], &[0; 2])).unwrap();
    (0..64).for_each(|_| encoder.write_all(&[0; 1 << 20]).unwrap());
    let images = encoder.finish().unwrap();
    assert!(images.len() < 128 << 10);
    std::fs::write(dir.path().join("a-images-idx2.gz"), images).unwrap();
    std::fs::write(dir.path().join("a-labels-idx2.gz"), gzip(&idx(8, &[2], &[0; 2]))).unwrap();
    let error = error(dir.path(), "a-images-idx2.gz");
    assert_eq!(error, "a-images-idx2.gz: there are more bytes than the header says");
}

#[test]
fn labels_have_to_be_beside_images() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x-images-idx2"), idx(8, &[1, 1], &[0])).unwrap();
    let alone = error(dir.path(), "x-images-idx2");
    assert!(alone.contains("there is no x-labels-idx2 or x-labels-idx2.gz"), "{alone}");
    std::fs::write(dir.path().join("other"), idx(8, &[1, 1], &[0])).unwrap();
    let nameless = error(dir.path(), "other");
    assert!(nameless.contains("`images` in it"), "{nameless}");
    std::fs::write(dir.path().join("y-images-idx2"), "").unwrap();
    let folder = Dataset::open(dir.path()).unwrap_err().to_string();
    assert!(folder.contains("name one of its files of images: x-images-idx2, y-"), "{folder}");
}

fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn header(descr: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}")
}

#[test]
fn arrays_that_lie_are_refused() {
    let infinite = f32::INFINITY.to_le_bytes();
    let cases: [(Vec<u8>, &str); 9] = [
        (npy(&header("<f4", "2, 2"), &[0; 12]), "its header says"),
        (npy(&header("<f4", "2, 2"), &[0; 20]), "its header says"),
        (npy(&header("<f4", "1, 1000000000"), &[0; 4]), "more than 4194304 numbers in a row"),
        (npy(&header("<f4", "1, 70000"), &[0; 280_000]), "70000 columns, at most 65536"),
        (npy(&header("<f4", "4000000000000000000, 9"), &[0; 4]), "numbers in an array"),
        (npy(&header("<f4", "1, 1"), &infinite), "row 1, column `array`: `inf` is not a finite"),
        (npy(&header("<f4", "2,"), &[0; 8]), "expected rows and columns"),
        (npy(&header("|O", "1, 1"), &[0; 8]), "Python objects"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), "a header of 4294967295 bytes"),
    ];
    for (bytes, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.npy"), bytes).unwrap();
        let error = error(dir.path(), "a.npy");
        assert!(error.contains(expected), "{error}");
    }
}

/// A zip file with these entries.
fn archive(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated);
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn archives_that_lie_are_refused() {
    let label = |n: &str, len: usize| npy(&header("|u1", &format!("{n},")), &vec![0; len]);
    let bomb = npy(&header("|u1", "2, 1"), &vec![0; 64 << 20]);
    let whole = archive(&[("x.npy", label("2", 2))]);
    let mut lies = whole.clone();
    // The size of the entry in the directory at the end.
    let at = lies.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    lies[at + 24..at + 28].copy_from_slice(&u32::MAX.to_le_bytes()[..]);
    let cases: [(Vec<u8>, &str); 9] = [
        (archive(&[("x.npy", bomb)]), "its header says"),
        (archive(&[("x.txt", label("2", 2))]), "column 1 is called `x.txt`"),
        (archive(&[("x.npy", label("2", 2)), ("y.npy", label("3", 3))]), "`y` has 3 rows where"),
        (archive(&[("x.npy", label("9999999999999", 2))]), "numbers in an array"),
        (archive(&[("x.npy", label("", 1))]), "`x`: the array has no axis"),
        (archive(&[("x.npy", b"no array".to_vec())]), "`x`: no array of NumPy"),
        (whole[..whole.len() - 9].to_vec(), ""),
        (lies, ""),
        (archive(&[]), ""),
    ];
    for (nth, (bytes, expected)) in cases.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.npz"), bytes).unwrap();
        let error = error(dir.path(), "a.npz");
        assert!(error.contains(expected), "{nth}: {error}");
    }
    let objects = Dataset::open(&given("objects.npz")).unwrap_err().to_string();
    assert!(objects.contains("`label`: an array of Python objects"), "{objects}");
}

/// A PNG with these sides, as its header says, and some of its data.
fn png(width: u32, height: u32, rows: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    let row = vec![0; width as usize + 1];
    let mut data = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    (0..rows).for_each(|_| data.write_all(&row).unwrap());
    writer.write_chunk(png::chunk::IDAT, &data.finish().unwrap()).unwrap();
    drop(writer);
    bytes
}

#[test]
fn images_that_lie_are_refused() {
    let jpeg = std::fs::read(given("grey/a/2.jpg")).unwrap();
    let mut huge = jpeg.clone();
    let at = huge.windows(2).position(|bytes| bytes == [0xff, 0xc0]).unwrap();
    huge[at + 5..at + 9].copy_from_slice(&[0xff; 4]);
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("a/1.png", png(60_000, 60_000, 1), "more than 4194304 pixels in an image"),
        ("a/1.png", png(16_000, 16_000, 1), "more than 4194304 pixels in an image"),
        ("a/1.png", png(100, 100, 50), ""),
        ("a/1.png", b"text".to_vec(), ""),
        ("a/1.jpg", jpeg[..jpeg.len() / 2].to_vec(), ""),
        ("a/1.jpg", huge, ""),
        ("a/1.gif", jpeg, "a/1.gif: neither .png nor .jpg nor .jpeg"),
    ];
    for (name, bytes, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join(name), bytes).unwrap();
        let error = Dataset::open(dir.path()).and_then(|folder| folder.count_rows()).unwrap_err();
        assert!(error.to_string().contains(expected), "{name}: {error}");
    }
}

#[test]
fn images_of_a_folder_have_one_size() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("a")).unwrap();
    std::fs::write(dir.path().join("a/1.png"), png(3, 2, 2)).unwrap();
    std::fs::write(dir.path().join("a/2.png"), png(2, 3, 3)).unwrap();
    let error = Dataset::open(dir.path()).unwrap().count_rows().unwrap_err();
    assert!(matches!(error, Error::OtherShape { ref got, .. } if *got == [1, 3, 2]), "{error}");
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(Dataset::open(empty.path()), Err(Error::NoRows { .. })));
}

#[test]
fn a_billion_columns_are_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let header: String = (0..100_000).map(|nth| format!("c{nth},")).collect();
    std::fs::write(dir.path().join("a.csv"), header + "y\n").unwrap();
    assert_eq!(error(dir.path(), "a.csv"), "a.csv: 100001 columns, at most 65536 are read");
    std::fs::write(dir.path().join("b.csv"), vec![b','; 16 << 20]).unwrap();
    assert_eq!(error(dir.path(), "b.csv"), "b.csv: the header is longer than 8388608 bytes");
}
