//! Files that NumPy and Pillow wrote (tests/oracles/datasets.py) are read as they meant them.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use fedwasm_dataset::{Dataset, Scale, Table};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/datasets").join(name)
}

fn table(name: &str, inputs: Option<&[&str]>, targets: &[&str]) -> Table {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let dataset = Dataset::open(&path(name)).unwrap();
    dataset.table(inputs.map(names).as_deref(), &names(targets)).unwrap()
}

fn inputs(table: &Table) -> Vec<f64> {
    let mut all = Vec::new();
    (0..table.n_rows()).for_each(|row| table.input_row(row, &mut all));
    all
}

fn classes(table: &Table) -> Vec<i64> {
    (0..table.n_rows()).map(|row| table.class(row, 0).unwrap()).collect()
}

fn counting(n: usize) -> Vec<f64> {
    (0..n).map(|n| n as f64).collect()
}

#[test]
fn tables_of_numpy_are_read_whatever_their_type_and_order() {
    for kind in ["f8", "f4-big-endian", "i2", "fortran"] {
        let table = table(&format!("table-{kind}.npy"), Some(&["0", "1", "2"]), &[]);
        assert_eq!(inputs(&table), counting(15), "{kind}");
    }
    let booleans = table("table-bool.npy", Some(&["0", "2"]), &["1"]);
    assert_eq!(inputs(&booleans), [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    assert_eq!(classes(&booleans), [1, 1, 1, 1, 1]);
}

#[test]
fn arrays_of_numpy_are_found_by_name() {
    for name in ["arrays.npz", "arrays-compressed.npz"] {
        let one = table(name, Some(&["age", "colours"]), &["label"]);
        assert_eq!(classes(&one), [0, 1, 2, 1]);
        let (mut row, age) = (Vec::new(), 3.0);
        one.input_row(3, &mut row);
        assert_eq!(row[..3], [age, 36.0, 37.0]);
        let scale = |name: &str, n_values| Scale { name: name.into(), n_values };
        let colours = (0..3).map(|nth| scale(&format!("colours[{nth}]"), 4));
        assert_eq!(one.scales(), [vec![scale("age", 1)], colours.collect()].concat());
        // Pixels of one byte are shares of 255, other numbers are not.
        let pixels: Vec<f64> = counting(24).iter().map(|pixel| pixel / 255.0).collect();
        let one = table(name, Some(&["pixels"]), &["score"]);
        assert_eq!(inputs(&one), pixels);
        assert_eq!(one.scales(), [scale("pixels", 6)]);
        let mut scores = Vec::new();
        one.target_row(1, &mut scores);
        assert_eq!(scores, [2.0, 3.0]);
    }
}

#[test]
fn folder_of_idx_files_is_its_training_part() {
    let train = table("idx", None, &["label"]);
    let pixels: Vec<f64> = counting(24).iter().map(|pixel| pixel / 255.0).collect();
    assert_eq!((inputs(&train), classes(&train)), (pixels, vec![0, 1, 2, 1]));
    let test = table("idx/t10k-images-idx3-ubyte", None, &["label"]);
    assert_eq!((inputs(&test), classes(&test)), (counting(12), vec![2, 0]));
    assert_eq!(Dataset::open(&path("idx")).unwrap().count_rows().unwrap(), 4);
}

#[test]
fn classes_of_image_folders_are_numbered_in_the_order_of_names() {
    let folder = Dataset::open(&path("colours")).unwrap();
    assert_eq!(folder.fields()[0].shape, [3, 16, 24]);
    assert_eq!(folder.default_target(), Some("label"));
    let table = folder.table(None, &["label".into()]).unwrap();
    assert_eq!(classes(&table), [0, 0, 1, 1, 1]);
}

#[test]
fn images_are_those_that_pillow_wrote() {
    let grey = inputs(&table("grey.npy", Some(&columns()), &[]));
    let images = table("grey", None, &["label"]);
    let difference = |row: usize, expected: &dyn Fn(usize) -> f64| {
        let mut pixels = Vec::new();
        images.input_row(row, &mut pixels);
        let apart = |(nth, pixel): (usize, &f64)| (pixel * 255.0 - expected(nth)).abs();
        pixels.iter().enumerate().map(apart).fold(0.0, f64::max)
    };
    assert!(difference(0, &|nth| grey[nth]) < 1e-9);
    assert!(difference(2, &|nth| 255.0 - grey[nth]) < 1e-9);
    // JPEG loses a little.
    let lost = difference(1, &|nth| grey[nth]);
    assert!(lost > 0.0 && lost <= 4.0, "{lost}");
    let colours = table("colours", None, &["label"]);
    for (row, tolerance) in [(0, 1e-9), (1, 5.0), (2, 1e-9), (3, 24.0), (4, 8.0)] {
        let mut pixels = Vec::new();
        colours.input_row(row, &mut pixels);
        // Red is the grey image, green its complement, blue half of it, one after the other.
        for (nth, grey) in grey.iter().enumerate() {
            let expected = [*grey, 255.0 - grey, (grey / 2.0).floor()];
            for (channel, expected) in expected.iter().enumerate() {
                let got = pixels[channel * 16 * 24 + nth] * 255.0;
                assert!((got - expected).abs() <= tolerance, "{row}, {nth}: {got} {expected}");
            }
        }
    }
}

fn columns() -> Vec<&'static str> {
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"]
        .into_iter()
        .chain(["17", "18", "19", "20", "21", "22", "23"])
        .collect()
}
