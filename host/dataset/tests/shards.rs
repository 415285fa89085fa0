//! Samples in tar archives and folders of arrays, and archives that lie.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::path::{Path, PathBuf};

use fedwasm_dataset::{Dataset, Element, Format, Values};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/datasets").join(name)
}

/// A header with its sum.
fn header(name: &str, len: usize, kind: u8) -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{len:011o}").as_bytes());
    header[156] = kind;
    header[257..263].copy_from_slice(b"ustar\0");
    summed(header)
}

fn summed(mut header: Vec<u8>) -> Vec<u8> {
    header[148..156].fill(b' ');
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header
}

/// A member as a tar archive has it.
fn member(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut member = header(name, bytes.len(), b'0');
    member.extend(bytes);
    member.resize(member.len().next_multiple_of(512), 0);
    member
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}

fn open(bytes: &[u8]) -> Result<Dataset, String> {
    // The folder stays, since rows are read later.
    let path = tempfile::tempdir().unwrap().keep().join("file.tar");
    std::fs::write(&path, bytes).unwrap();
    Dataset::open(&path, None).map_err(|error| {
        let error = error.to_string();
        assert!(error.contains("file.tar"), "{error}");
        error
    })
}

fn values(dataset: &Dataset, name: &str) -> Vec<f64> {
    let at = dataset.position(name).unwrap();
    let mut all = Vec::new();
    for block in 0..dataset.n_blocks() {
        let block = dataset.read(block, &[at]).unwrap();
        block.columns[0].each(0..block.columns[0].len(), |value| all.push(value));
    }
    all
}

fn image(name: &str) -> Vec<u8> {
    std::fs::read(data("images").join(name)).unwrap()
}

#[test]
fn samples_equal_those_of_a_folder() {
    let folder = Dataset::open(&data("images"), None).unwrap();
    let mut members = Vec::new();
    for (class, names) in
        [("a", ["0", "3", "6"].as_slice()), ("b", &["1", "4", "7"]), ("c", &["2", "5"])]
    {
        for name in names {
            let label = ["a", "b", "c"].iter().position(|known| *known == class).unwrap();
            members
                .push(member(&format!("set/{name}.png"), &image(&format!("{class}/{name}.png"))));
            members.push(member(&format!("set/{name}.cls"), format!("{label}\n").as_bytes()));
            members.push(member(&format!("set/{name}.json"), b"{}"));
        }
    }
    let dataset = open(&archive(&members)).unwrap();
    assert_eq!((dataset.format(), dataset.n_rows()), (Format::Tar, 8));
    assert_eq!(dataset.default_target(), Some("label"));
    assert_eq!(dataset.fields()[1].shape, folder.fields()[0].shape);
    assert_eq!(values(&dataset, "image"), values(&folder, "image"));
    assert_eq!(values(&dataset, "label"), values(&folder, "label"));
    let remark = "8 members are left out, since only images, .cls and .npy are read: 8 .json";
    assert_eq!(dataset.remarks(), [remark]);
    // In a folder, archive after archive.
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("1.tar"), archive(&members[9..])).unwrap();
    std::fs::write(root.path().join("0.tar"), archive(&members[..9])).unwrap();
    let dataset = Dataset::open(root.path(), None).unwrap();
    assert_eq!(values(&dataset, "image"), values(&folder, "image"));
    assert_eq!(Format::Tar.files(root.path()).unwrap().len(), 2);
    // An archive that grew.
    std::fs::write(root.path().join("1.tar"), archive(&members)).unwrap();
    let error = dataset.read(0, &[0]).unwrap_err().to_string();
    assert!(error.contains("1.tar: the file changed while it was read"), "{error}");
}

/// tests/oracles/shards.py wrote it with Python's tarfile and NumPy: long names, both kinds.
#[test]
fn archives_of_python_give_their_arrays() {
    for name in ["gnu.tar", "pax.tar"] {
        let dataset = Dataset::open(&data("shards").join(name), None).unwrap();
        let shapes: Vec<_> = dataset.fields().iter().map(|f| (&f.name[..], f.element)).collect();
        assert_eq!(
            shapes,
            [("label", Element::Float64), ("x", Element::Float32), ("y", Element::Float64)]
        );
        assert_eq!(dataset.fields()[1].shape, [2, 3]);
        assert_eq!(values(&dataset, "label"), [3.0, 1.0, 4.0], "{name}");
        let x: Vec<f64> = (0..18).map(|at| f64::from(at) / 2.0).collect();
        assert_eq!(values(&dataset, "x"), x, "{name}");
        assert_eq!(values(&dataset, "y"), [-1.0, -2.0, -3.0], "{name}");
    }
}

#[test]
fn folders_of_arrays_have_a_field_a_file() {
    let dataset = Dataset::open(&data("shards/arrays"), None).unwrap();
    assert_eq!((dataset.format(), dataset.n_rows()), (Format::Npy, 3));
    assert_eq!(values(&dataset, "y"), [-1.0, -2.0, -3.0]);
    assert_eq!(dataset.fields()[0].shape, [2, 3]);
    assert_eq!(Format::Npy.files(&data("shards/arrays")).unwrap().len(), 2);
    let root = tempfile::tempdir().unwrap();
    std::fs::copy(data("shards/arrays/x.npy"), root.path().join("x.npy")).unwrap();
    std::fs::copy(data("little.npy"), root.path().join("z.npy")).unwrap();
    let error = Dataset::open(root.path(), None).unwrap_err().to_string();
    assert!(error.contains("rows, `x` has 3"), "{error}");
}

#[test]
fn archives_that_lie_or_lead_astray_are_refused_by_name() {
    let (png, cls) = (image("a/0.png"), member("a.cls", b"0"));
    let vast = |field: &[u8]| {
        let mut header = header("a.png", 0, b'0');
        header[124..136].copy_from_slice(field);
        summed(header)
    };
    // A long name of so many bytes.
    let long = |len: usize| {
        let mut name = vec![b'a'; len];
        name.resize(len.next_multiple_of(512), 0);
        name
    };
    for (members, words) in [
        (vec![], "it has no samples"),
        (vec![member("/etc/a.png", &png)], "the name `/etc/a.png` leads out of the archive"),
        (vec![member("a/../../b.png", &png)], "leads out of the archive"),
        (vec![member("a\\..\\b.png", &png)], "leads out of the archive"),
        (vec![header("a.png", 0, b'2')], "`a.png` is a link; an archive has regular files"),
        (vec![header("a.png", 0, b'1')], "`a.png` is a link"),
        (vec![header("a.png", 0, b'3')], "`a.png` is a device"),
        (vec![header("a.png", 0, b'S')], "`a.png` is a file with holes"),
        (vec![vast(b"77777777777\0")], "it announces 8589934591 bytes, but"),
        (vec![vast(&[255; 12])], "its length is not a number"),
        (
            vec![vast(&[128, 0, 0, 0, 127, 255, 255, 255, 255, 255, 255, 255])],
            "it announces 9223372",
        ),
        (vec![vast(b"99999999999\0")], "its length is not a number"),
        (vec![vec![1; 512]], "byte 0 is not the header of a member"),
        (vec![header("long", 1 << 20, b'L'), vec![b'a'; 1 << 20]], "longer than 64 KiB"),
        (
            vec![header("long", 4_200, b'L'), long(4_200), member("x", &png)],
            "its name has 4200 bytes, at most 4096",
        ),
        (vec![header("long", 4_090, b'L'), long(4_090), member("x", &png)], "it has no samples"),
        (vec![header("pax", 9, b'x'), vec![b'9'; 512]], "it has no samples"),
        (vec![header("pax", 9, b'x'), b"99 path=a".repeat(57)[..512].to_vec()], "are cut off"),
        (
            vec![member("a.png", &png), cls.clone(), member("b.png", &png)],
            "sample `b` has the parts image",
        ),
        (
            vec![member("a.png", &png), member("a.jpg", &png)],
            "sample `a` has two parts of one kind",
        ),
        (vec![member("a.png", b"text"), cls.clone()], "neither PNG nor JPEG"),
        (vec![member("a.txt", b"text")], "it has no samples"),
    ] {
        let error = open(&archive(&members)).unwrap_err();
        assert!(error.contains(words), "{words}: {error}");
    }
    for (label, words) in
        [("cat", "the class of sample 0 is `cat`"), (&"1".repeat(99)[..], "bytes of a part")]
    {
        let members = [member("a.png", &png), member("a.cls", label.as_bytes())];
        let read = |dataset: Dataset| dataset.read(0, &[0]).map_err(|error| error.to_string());
        let error = open(&archive(&members)).and_then(read).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    // An archive that is cut off within a member, and one without its end.
    let whole = archive(&[member("a.png", &png), cls]);
    let error = open(&whole[..560]).unwrap_err();
    assert!(error.contains("but 48 are left"), "{error}");
    assert_eq!(open(&whole[..whole.len() - 1024]).unwrap().n_rows(), 1);
}

/// Parts of a later sample, and long kinds of files in messages.
#[test]
fn every_sample_has_bounded_parts_and_messages_are_short() {
    let png = image("a/0.png");
    let parts = (0..65).map(|at| member(&format!("b.{at}.npy"), b"x"));
    let error = open(&archive(&[vec![member("a.png", &png)], parts.collect()].concat()));
    assert!(error.unwrap_err().contains("parts of a sample: 65, at most 64"));
    let kind = "k".repeat(90);
    let odd = [member("a.png", &png), member(&format!("a.{kind}"), b"")];
    let remarks = open(&archive(&odd)).unwrap().remarks().join("");
    assert!(remarks.contains(&kind[..40]) && !remarks.contains(&kind[..41]), "{remarks}");
    let odd = [member("a.png", &png), member(&format!("b.{kind}.npy"), b"")];
    let error = open(&archive(&odd)).unwrap_err();
    assert!(error.contains(&kind[..40]) && !error.contains(&kind[..41]), "{error}");
}

/// An archive of many samples is listed in flat memory: 16 bytes a part.
#[test]
fn twenty_thousand_samples_are_listed() {
    let png = image("a/0.png");
    let mut bytes = Vec::new();
    for at in 0..20_000 {
        bytes.extend(member(&format!("{at:06}.png"), &png));
        bytes.extend(member(&format!("{at:06}.cls"), format!("{}", at % 10).as_bytes()));
    }
    let dataset = open(&archive(&[bytes])).unwrap();
    assert_eq!(dataset.n_rows(), 20_000);
    let last = dataset.read(dataset.n_blocks() - 1, &[0]).unwrap();
    let Values::Float64(labels) = &last.columns[0] else { panic!("{last:?}") };
    assert_eq!(labels.last(), Some(&9.0));
    std::fs::remove_file(dataset.path()).unwrap();
}
