//! Volumes that lie, swell, or stop short, and folders that lead astray. Each ends in an error that
//! names the file, and none gets the memory that it asks for.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::io::Write;
use std::path::Path;

use fedwasm_dataset::{Dataset, Format, Volumes};
use flate2::Compression;
use flate2::write::GzEncoder;

/// A header of the first version, 2 x 2 x 2 voxels of int16, and their 16 bytes.
fn nifti() -> Vec<u8> {
    let mut bytes = vec![0; 368];
    set(&mut bytes, 0, 348i32.to_le_bytes());
    for (at, length) in [3i16, 2, 2, 2, 1, 1, 1, 1].into_iter().enumerate() {
        set(&mut bytes, 40 + 2 * at, length.to_le_bytes());
    }
    set(&mut bytes, 70, 4i16.to_le_bytes());
    set(&mut bytes, 72, 16i16.to_le_bytes());
    (0..4).for_each(|at| set(&mut bytes, 76 + 4 * at, 1f32.to_le_bytes()));
    set(&mut bytes, 108, 352f32.to_le_bytes());
    set(&mut bytes, 344, *b"n+1\0");
    bytes
}

/// The same of the second version.
fn second() -> Vec<u8> {
    let mut bytes = vec![0; 560];
    set(&mut bytes, 0, 540i32.to_le_bytes());
    set(&mut bytes, 4, *b"n+2\0\r\n\x1a\n");
    set(&mut bytes, 12, 4i16.to_le_bytes());
    set(&mut bytes, 14, 16i16.to_le_bytes());
    for (at, length) in [3i64, 2, 2, 2, 1, 1, 1, 1].into_iter().enumerate() {
        set(&mut bytes, 16 + 8 * at, length.to_le_bytes());
    }
    (0..4).for_each(|at| set(&mut bytes, 80 + 8 * at, 1f64.to_le_bytes()));
    set(&mut bytes, 168, 544i64.to_le_bytes());
    bytes
}

fn set<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Opens a folder with one volume and reads it.
fn read(bytes: &[u8], end: &str) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("s1/v")).unwrap();
    std::fs::write(dir.path().join(format!("s1/v/file{end}")), bytes).unwrap();
    read_folder(dir.path()).map_err(|error| {
        assert!(error.contains("file"), "{error}");
        error
    })
}

fn read_folder(path: &Path) -> Result<(), String> {
    let dataset = Dataset::open(path, Some(Format::Medical)).map_err(|error| error.to_string())?;
    let fields: Vec<usize> = (0..dataset.fields().len()).collect();
    for block in 0..dataset.n_blocks() {
        dataset.read(block, &fields).map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[track_caller]
fn refused(bytes: &[u8], words: &str) {
    for (bytes, end) in [(bytes.to_vec(), ".nii"), (gzip(bytes), ".nii.gz")] {
        let error = read(&bytes, end).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

/// The largest resident size so far, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn headers_that_lie_are_refused_by_name() {
    read(&nifti(), ".nii").unwrap();
    read(&second(), ".nii").unwrap();
    let f32s = |at: usize, value: f32| (at, value.to_le_bytes().to_vec());
    let i16s = |at: usize, value: i16| (at, value.to_le_bytes().to_vec());
    for (edits, words) in [
        (vec![(0, vec![1, 2, 3, 4])], "begins with neither 348 nor 540"),
        (vec![(344, b"ni1\0".to_vec())], "whose voxels are in another file (.img)"),
        (vec![(344, vec![0; 4])], "no magic bytes of NIfTI"),
        (vec![i16s(40, 0)], "announces 0 axes"),
        (vec![i16s(40, 8)], "announces 8 axes"),
        (vec![i16s(40, -1)], "announces -1 axes"),
        (vec![i16s(42, 0)], "axis 1 has length 0"),
        (vec![i16s(44, -32768)], "axis 2 has length -32768"),
        (vec![i16s(46, 3)], "announces 24 bytes, but 16 were found"),
        (vec![i16s(42, 32767), i16s(44, 32767), i16s(46, 32767)], "bytes of a volume: 70362301"),
        (vec![i16s(40, 4), i16s(48, 9)], "a series of 9 volumes; `frame` of its modality"),
        (vec![i16s(40, 5), i16s(50, 3)], "an image of 5 axes"),
        (vec![i16s(70, 32), i16s(72, 64)], "complex numbers (datatype 32)"),
        (vec![i16s(70, 128), i16s(72, 24)], "colours (datatype 128)"),
        (vec![i16s(70, 99)], "a type that NIfTI does not know (datatype 99)"),
        (vec![i16s(72, 8)], "datatype 4 has 16 bits, not 8"),
        (vec![f32s(108, -1.0)], "voxels cannot begin at -1,"),
        (vec![f32s(108, 351.0)], "voxels cannot begin at 351, only from 352 on"),
        (vec![f32s(108, 352.5)], "voxels cannot begin at 352.5"),
        (vec![f32s(108, f32::NAN)], "voxels cannot begin at NaN"),
        (vec![f32s(108, 1e30)], "voxels cannot begin at 1000000015"),
        (vec![f32s(108, 4096.0)], "announces 16 bytes, but 0 were found"),
        (vec![f32s(112, 1.0), f32s(116, f32::INFINITY)], "its intercept is inf"),
        (vec![f32s(80, 0.0)], "the axes of its affine do not span space"),
        (vec![f32s(80, f32::NAN)], "its affine has a number that is not finite"),
        (vec![i16s(254, 1)], "the axes of its affine do not span space"),
        (vec![i16s(252, 1), f32s(256, 2.0)], "its quaternion is longer than 1"),
        (vec![i16s(252, 1), f32s(256, f32::NAN)], "its quaternion is longer than 1"),
        (vec![i16s(252, 1), f32s(84, -1.0)], "the spacing of axis 2 is -1"),
        (vec![f32s(112, f32::MAX)], "which is not a finite float32"),
    ] {
        let mut bytes = nifti();
        for (at, value) in edits {
            bytes[at..at + value.len()].copy_from_slice(&value);
        }
        // A slope that is too large needs voxels that are not 0.
        if words.contains("finite float32") {
            (352..368).step_by(2).for_each(|at| set(&mut bytes, at, 9i16.to_le_bytes()));
        }
        refused(&bytes, words);
    }
    let mut vast = second();
    (1..4).for_each(|at| set(&mut vast, 16 + 8 * at, (1i64 << 40).to_le_bytes()));
    refused(&vast, "bytes of a volume: 18446744073709551615, at most 1073741824");
    let mut wide = second();
    set(&mut wide, 24, (1i64 << 40).to_le_bytes());
    refused(&wide, "bytes of a volume: 8796093022208, at most");
    let mut far = second();
    set(&mut far, 168, i64::MAX.to_le_bytes());
    refused(&far, "voxels cannot begin at 9223372036854776000");
}

/// A few voxels that lie far apart are very many on a fine grid.
#[test]
fn a_grid_of_too_many_voxels_is_refused_before_it_is_made() {
    let shape: Volumes = serde_json::from_str(r#"{ "spacing": [1.0, 1.0, 1.0] }"#).unwrap();
    let edge = u32::MAX;
    let vast = format!(r#"{{ "shape": [{edge}, {edge}, {edge}] }}"#);
    let vast: Volumes = serde_json::from_str(&vast).unwrap();
    for (apart, settings, words) in [
        (1e30f32, &shape, "values of a row: 18446744073709551615, at most 4194304; its grid"),
        (1e3, &shape, "values of a row: 8000000000, at most 4194304; its grid is [2000, "),
        (1.0, &vast, "values of a row: 18446744073709551615, at most 4194304"),
    ] {
        let mut bytes = nifti();
        (1..4).for_each(|at| set(&mut bytes, 76 + 4 * at, apart.to_le_bytes()));
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("s1/v")).unwrap();
        std::fs::write(dir.path().join("s1/v/file.nii"), bytes).unwrap();
        let error = Dataset::open_with(dir.path(), Some(Format::Medical), settings).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn every_shorter_file_is_refused() {
    for whole in [nifti(), second()] {
        for len in (0..whole.len()).step_by(5) {
            read(&whole[..len], ".nii").unwrap_err();
        }
        let packed = gzip(&whole);
        for len in 0..packed.len() {
            read(&packed[..len], ".nii.gz").unwrap_err();
        }
    }
}

#[test]
fn bombs_stop_where_the_header_does() {
    let before = peak_kib();
    // 64 MiB of zeros behind the voxels; and before them, up to the furthest place.
    let mut behind = GzEncoder::new(Vec::new(), Compression::best());
    behind.write_all(&nifti()).unwrap();
    (0..64).for_each(|_| behind.write_all(&[0; 1 << 20]).unwrap());
    read(&behind.finish().unwrap(), ".nii.gz").unwrap();
    let mut start = nifti();
    set(&mut start, 108, ((64 << 20) as f32).to_le_bytes());
    let mut front = GzEncoder::new(Vec::new(), Compression::best());
    front.write_all(&start).unwrap();
    (0..63).for_each(|_| front.write_all(&[0; 1 << 20]).unwrap());
    let error = read(&front.finish().unwrap(), ".nii.gz").unwrap_err();
    assert!(error.contains("announces 16 bytes, but 0 were found"), "{error}");
    // Announced, allowed, and absent.
    let mut large = nifti();
    (1..4).for_each(|at| set(&mut large, 40 + 2 * at, 512i16.to_le_bytes()));
    let shape = Volumes { shape: Some([4, 4, 4]), ..Volumes::default() };
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("s1/v")).unwrap();
    std::fs::write(dir.path().join("s1/v/file.nii.gz"), gzip(&large)).unwrap();
    let error = read_folder(dir.path()).unwrap_err();
    assert!(error.contains("values of a row: 134217728, at most 4194304"), "{error}");
    let dataset = Dataset::open_with(dir.path(), None, &shape).unwrap();
    let error = dataset.read(0, &[0]).unwrap_err().to_string();
    assert!(error.contains("announces 268435456 bytes, but 16 were found"), "{error}");
    let after = peak_kib();
    assert!(after < before + (32 << 10), "{before} KiB became {after} KiB");
}

#[cfg(unix)]
#[test]
fn links_and_odd_files_end_in_words() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    std::fs::create_dir_all(root.join("s1/v")).unwrap();
    // A folder in itself is a subject without volumes, and is never entered deeper.
    symlink(root, root.join("s1/loop")).unwrap();
    std::fs::write(root.join("s1/v/file.nii"), nifti()).unwrap();
    read_folder(root).unwrap();
    // A link that leads nowhere.
    symlink("/nonexistent", root.join("s1/v/gone.nii")).unwrap();
    let error = read_folder(root).unwrap_err();
    assert!(error.contains("s1/v: No such file"), "{error}");
    std::fs::remove_file(root.join("s1/v/gone.nii")).unwrap();
    // A device is not a file, so the modality is absent.
    std::fs::remove_file(root.join("s1/v/file.nii")).unwrap();
    symlink("/dev/zero", root.join("s1/v/file.nii")).unwrap();
    let error = read_folder(root).unwrap_err();
    assert!(error.contains("it has no volumes"), "{error}");
    // Two files of one modality.
    std::fs::remove_file(root.join("s1/v/file.nii")).unwrap();
    ["a.nii", "b.nii.gz"].iter().for_each(|name| {
        std::fs::write(root.join("s1/v").join(name), nifti()).unwrap();
    });
    let error = read_folder(root).unwrap_err();
    assert!(error.contains("two volumes, `a.nii` and `b.nii.gz`; a modality has one"), "{error}");
}
