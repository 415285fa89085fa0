//! Files that NumPy, pyarrow and Pillow wrote (tests/oracles/datasets.py) give
//! the numbers that they hold there.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fedwasm_dataset::{Dataset, Element, Format};

#[derive(serde::Deserialize)]
struct Rows {
    pixels: Vec<f64>,
    label: Vec<f64>,
    columns: BTreeMap<String, Vec<f64>>,
    jpeg: BTreeMap<String, Jpeg>,
}

#[derive(serde::Deserialize)]
struct Jpeg {
    shape: Vec<u64>,
    pixels: Vec<f64>,
}

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/datasets")
}

fn rows() -> Rows {
    serde_json::from_slice(&std::fs::read(dir().join("rows.json")).unwrap()).unwrap()
}

/// All values of a field.
fn field(dataset: &Dataset, name: &str) -> Vec<f64> {
    let at = dataset.position(name).unwrap();
    let mut all = Vec::new();
    for block in 0..dataset.n_blocks() {
        let block = dataset.read(block, &[at]).unwrap();
        block.columns[0].each(0..block.columns[0].len(), |value| all.push(value));
    }
    all
}

fn open(name: &str, format: Format) -> Dataset {
    let path = dir().join(name);
    let dataset = Dataset::open(&path, None).unwrap();
    assert_eq!(dataset.format(), format, "{name}");
    dataset
}

#[test]
fn idx_files_plain_and_packed() {
    let expected = rows();
    for name in ["train-images-idx3-ubyte", "packed-images-idx3-ubyte.gz"] {
        let dataset = open(name, Format::Idx);
        let shapes: Vec<_> = dataset.fields().iter().map(|field| &field.shape[..]).collect();
        assert_eq!(shapes, [&[3, 4][..], &[]]);
        assert_eq!(field(&dataset, "image"), expected.pixels);
        assert_eq!(field(&dataset, "label"), expected.label);
        assert_eq!(Format::Idx.files(dataset.path()).unwrap().len(), 2);
    }
    let reals = field(&open("reals-idx2", Format::Idx), "values");
    let columns = [&expected.columns["f64"], &expected.columns["i16"]];
    let both: Vec<f64> = (0..8).flat_map(|row| columns.map(|column| column[row])).collect();
    assert_eq!(reals, both);
    let files = Format::Idx.files(&dir()).unwrap();
    assert!(files[0].ends_with("train-images-idx3-ubyte"), "{files:?}");
    // Two pairs in one folder: which one is meant?
    let folder = tempfile::tempdir().unwrap();
    for name in ["a-images-idx3-ubyte", "b-images-idx3-ubyte"] {
        let labels = name.replace("images", "labels").replace("idx3", "idx1");
        for (name, from) in [(name, &files[0]), (&labels, &files[1])] {
            std::fs::copy(from, folder.path().join(name)).unwrap();
        }
    }
    let error = Dataset::open(folder.path(), Some(Format::Idx)).unwrap_err().to_string();
    let names = "a-images-idx3-ubyte, b-images-idx3-ubyte; name one of them";
    assert!(error.ends_with(names), "{error}");
}

#[test]
fn arrays_of_numpy() {
    let expected = rows();
    let little = open("little.npy", Format::Npy);
    assert_eq!(little.fields()[0].element, Element::Float32);
    let f32s = &expected.columns["f32"];
    let twice: Vec<f64> = f32s.iter().map(|value| 2.0 * value).collect();
    assert_eq!((&field(&little, "0"), field(&little, "1")), (f32s, twice.clone()));
    let by_column = open("columns.npy", Format::Npy);
    assert_eq!((&field(&by_column, "0"), field(&by_column, "1")), (f32s, twice));
    assert_eq!(field(&open("big.npy", Format::Npy), "values"), expected.columns["i32"]);
    for name in ["stored.npz", "deflated.npz"] {
        let dataset = open(name, Format::Npz);
        assert_eq!(field(&dataset, "image"), expected.pixels);
        for (column, values) in &expected.columns {
            assert_eq!(&field(&dataset, column), values, "{name} {column}");
        }
    }
    for (name, words) in [
        ("fortran.npy", "a column-major array; save `numpy.ascontiguousarray` of it"),
        ("objects.npy", "an array of objects (a pickle), which could run code; save numbers"),
        ("records.npy", "an array of records; save one array for each field"),
        ("halves.npy", "elements of type `<f2`; save numbers of 8 to 64 bits"),
    ] {
        let error = Dataset::open(&dir().join(name), None).unwrap_err().to_string();
        assert!(error.ends_with(words), "{error}");
    }
}

#[test]
fn parquet_files_of_pyarrow() {
    let expected = rows();
    for (name, n_blocks) in [("none", 3), ("snappy", 3), ("gzip", 3), ("pages_v2", 1)] {
        let dataset = open(&format!("{name}.parquet"), Format::Parquet);
        assert_eq!((dataset.n_rows(), dataset.n_blocks()), (8, n_blocks), "{name}");
        for (column, values) in &expected.columns {
            assert_eq!(&field(&dataset, column), values, "{name} {column}");
        }
        assert_eq!(field(&dataset, "label"), expected.label);
    }
    let nulls = open("nulls.parquet", Format::Parquet);
    let error = nulls.read(0, &[0]).unwrap_err().to_string();
    assert!(error.contains("row 1, column `a`: the cell is empty\nhelp: "), "{error}");
    let error = nulls.read(0, &[1]).unwrap_err().to_string();
    assert!(error.contains("column `b`: dates, decimals and texts are not numbers"), "{error}");
    let zstd = open("zstd.parquet", Format::Parquet).read(0, &[0]).unwrap_err().to_string();
    assert!(zstd.contains("compression with ZSTD is not read; write it with Snappy"), "{zstd}");
}

/// tests/oracles/foreign_parquet.py made the files.
#[test]
fn parquet_files_of_duckdb_fastparquet_and_pandas() {
    for name in ["duckdb", "fastparquet"] {
        let dataset = open(&format!("{name}.parquet"), Format::Parquet);
        for (column, values) in [
            ("u8", [0.0, 1.0, 127.0, 128.0, 200.0, 255.0]),
            ("u16", [0.0, 1.0, 32_767.0, 32_768.0, 40_000.0, 65_535.0]),
            ("u32", [0.0, 1.0, 2_147_483_647.0, 2_147_483_648.0, 3e9, 4_294_967_295.0]),
            ("u64", [0.0, 1.0, 4_294_967_296.0, 9_007_199_254_740_991.0, 2f64.powi(53), 7.0]),
            ("i32", [0.0, -1.0, 2_147_483_647.0, -2_147_483_648.0, 5.0, 6.0]),
        ] {
            assert_eq!(field(&dataset, column), values, "{name} {column}");
        }
        let beyond = dataset.position("beyond").unwrap();
        let error = dataset.read(0, &[beyond]).unwrap_err().to_string();
        assert!(error.contains("18446744073709551615 is larger than 2^53"), "{name}: {error}");
    }
    let durations = open("durations.parquet", Format::Parquet);
    assert_eq!(field(&durations, "a"), [1.0, 2.0, 3.0]);
    for (column, words) in [("wait", "durations are not read"), ("half", "reals of 16 bits")] {
        let at = durations.position(column).unwrap();
        let error = durations.read(0, &[at]).unwrap_err().to_string();
        assert!(error.contains(&format!("column `{column}`: {words}")), "{error}");
    }
    let [remark] = &open("pandas_index.parquet", Format::Parquet).remarks()[..] else { panic!() };
    assert!(remark.starts_with("`__index_level_0__` is an index that pandas wrote"), "{remark}");
}

#[test]
fn files_of_others_are_called_by_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let gzip = {
        use std::io::Write as _;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"a,y\n1,0\n").unwrap();
        gzip.finish().unwrap()
    };
    let workbook = {
        use std::io::Write as _;
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file("docProps/app.xml", options).unwrap();
        zip.write_all(b"<x/>").unwrap();
        zip.finish().unwrap().into_inner()
    };
    for (bytes, words) in [
        (&gzip[..], "a gzip file without an IDX file in it; unpack it with gunzip"),
        (&workbook, "a workbook, such as Excel's, which is not read; save it as CSV"),
        (b"ARROW1\0\0", "a Feather (Arrow) file, which is not read; save it as CSV or Parquet"),
        (b"PARE0000", "an encrypted Parquet file"),
        (b"\x80\x04\x95\0", "a pickle, which could run code"),
        (b"sep=;\na;b\n1;2\n", "Excel's note about the delimiter; remove it"),
        (b"\xff\xfea\0,\0y\0\n\0", "not text in UTF-8; save it as CSV in UTF-8"),
        (b"gr\xf6\xdfe,y\n1,0\n", "the header is not UTF-8; save it as CSV in UTF-8"),
    ] {
        let path = dir.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        let error = Dataset::open(&path, None).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn one_class_is_refused_and_files_that_are_left_out_are_told() {
    let root = tempfile::tempdir().unwrap();
    let from = dir().join("images");
    let put = |from: &Path, to: &str| {
        let to = root.path().join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    };
    put(&from.join("a/0.png"), "data/0.png");
    put(&from.join("a/0.png"), "target.csv");
    let error = Dataset::open(root.path(), None).unwrap_err().to_string();
    assert!(error.contains("the folder has one class only, `data`"), "{error}");
    put(&from.join("b/1.png"), "other/1.png");
    for name in ["other/1.bmp", "other/2.BMP", "data/x.tif", "data/noext", "data/.DS_Store"] {
        put(&from.join("b/1.png"), name);
    }
    let dataset = Dataset::open(root.path(), None).unwrap();
    assert_eq!(dataset.n_rows(), 2);
    assert_eq!(
        dataset.remarks(),
        [
            "5 files are left out, since only .png, .jpg and .jpeg are read: 2 .bmp, 1 .csv, 1 .tif, \
          1 without extension"
        ]
    );
}

#[test]
fn folders_of_images() {
    let expected = rows();
    let dataset = open("images", Format::Images);
    assert_eq!(dataset.fields()[0].shape, [1, 3, 4]);
    // Class by class: rows 0, 3, 6; 1, 4, 7; 2, 5.
    let order = [0, 3, 6, 1, 4, 7, 2, 5];
    let pixels: Vec<f64> =
        order.iter().flat_map(|row| expected.pixels[row * 12..(row + 1) * 12].to_vec()).collect();
    assert_eq!(field(&dataset, "image"), pixels);
    assert_eq!(field(&dataset, "label"), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 2.0]);
    for (name, jpeg) in &expected.jpeg {
        // One class alone is refused: here the other one is the same image.
        let root = tempfile::tempdir().unwrap();
        for class in ["a", "b"] {
            std::fs::create_dir(root.path().join(class)).unwrap();
            let from = dir().join(format!("jpeg_{name}/a/0.jpg"));
            std::fs::copy(from, root.path().join(class).join("0.jpg")).unwrap();
        }
        let dataset = Dataset::open(root.path(), None).unwrap();
        assert_eq!(dataset.fields()[0].shape, jpeg.shape);
        // Decoders may round differently (ITU-T T.83 allows it): by a step or two.
        let got = field(&dataset, "image");
        assert_eq!(got.len(), 2 * jpeg.pixels.len());
        let got = &got[..jpeg.pixels.len()];
        let far = got.iter().zip(&jpeg.pixels).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(far <= 2.0, "{name}: {far}");
    }
}

/// Of tests/oracles/odd_images.py: alpha that says nothing is dropped, 16 bits become reals from 0 to 1,
/// and photographs stand upright.
#[test]
fn images_with_alpha_of_16_bits_and_of_turned_cameras() {
    let file = std::fs::read(dir().join("odd_images/pixels.json")).unwrap();
    let expected: BTreeMap<String, Jpeg> = serde_json::from_slice(&file).unwrap();
    assert_eq!(expected.len(), 11);
    for (name, Jpeg { shape, pixels }) in expected {
        let root = tempfile::tempdir().unwrap();
        for class in ["a", "b"] {
            std::fs::create_dir(root.path().join(class)).unwrap();
            let from = dir().join("odd_images").join(&name);
            std::fs::copy(from, root.path().join(class).join(&name)).unwrap();
        }
        let dataset = Dataset::open(root.path(), None).unwrap();
        assert_eq!(dataset.fields()[0].shape, shape, "{name}");
        let is_deep = name.contains("16");
        let element = if is_deep { Element::Float32 } else { Element::UInt8 };
        assert_eq!(dataset.fields()[0].element, element, "{name}");
        let got = field(&dataset, "image");
        let far = got.iter().zip(&pixels).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        // Decoders of JPEG may round differently; lines and columns that change places differ by 20
        // and more.
        let allowed = if name.ends_with(".jpg") { 2.0 } else { 0.0 };
        assert!(got.len() == 2 * pixels.len() && far <= allowed, "{name}: {far}");
    }
}

#[test]
fn images_that_are_not_alike_or_not_offered_are_named() {
    let root = tempfile::tempdir().unwrap();
    let class = root.path().join("a");
    std::fs::create_dir(&class).unwrap();
    std::fs::create_dir(root.path().join("b")).unwrap();
    std::fs::copy(dir().join("images/b/1.png"), root.path().join("b/1.png")).unwrap();
    for name in ["transparent.png", "transparent16.png"] {
        std::fs::copy(dir().join("odd_images").join(name), class.join("0.png")).unwrap();
        let error = Dataset::open(root.path(), None).unwrap_err().to_string();
        let words = "an image with transparent pixels; save it as grey or RGB";
        assert!(error.contains(words) && error.contains("0.png"), "{error}");
    }
    std::fs::copy(dir().join("images/a/0.png"), class.join("0.png")).unwrap();
    for (name, words) in [
        ("small.png", "shape [1, 2, 4], the first one has [1, 3, 4]"),
        ("palette.png", "shape [3, 3, 4], the first one has [1, 3, 4]"),
        ("alpha.png", "shape [3, 3, 4], the first one has [1, 3, 4]"),
        ("deep.png", "an image of 16 bits a channel, the first one has 8"),
    ] {
        std::fs::copy(dir().join("odd").join(name), class.join("1.png")).unwrap();
        let dataset = Dataset::open(root.path(), None).unwrap();
        let error = dataset.read(0, &[0]).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("1.png"), "{error}");
    }
}

#[test]
fn classes_have_images_and_images_stay_what_they_are() {
    let root = tempfile::tempdir().unwrap();
    let from = dir().join("images");
    for (class, name) in [("a", "0.png"), ("a", "3.png"), ("b", "1.png")] {
        std::fs::create_dir_all(root.path().join(class)).unwrap();
        std::fs::copy(from.join(class).join(name), root.path().join(class).join(name)).unwrap();
    }
    // Of a program, not of a class.
    std::fs::create_dir(root.path().join(".ipynb_checkpoints")).unwrap();
    let dataset = Dataset::open(root.path(), None).unwrap();
    assert_eq!(field(&dataset, "label"), [0.0, 0.0, 1.0]);
    std::fs::copy(from.join("c/2.png"), root.path().join("a/new.png")).unwrap();
    std::fs::rename(root.path().join("a/new.png"), root.path().join("a/3.png")).unwrap();
    let error = dataset.read(0, &[0]).unwrap_err().to_string();
    assert!(error.contains("3.png") && error.contains("changed"), "{error}");
    std::fs::create_dir(root.path().join("c")).unwrap();
    let error = Dataset::open(root.path(), None).unwrap_err().to_string();
    assert!(error.contains("a class without images"), "{error}");
}
