//! Volumes equal nibabel's, and folders of subjects become rows by rule.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::path::{Path, PathBuf};

use fedwasm_dataset::{
    Check, Dataset, FaultKind, Format, Look, LookKind, Place, Renames, Values, Volumes,
};
use fedwasm_protocol::{ColumnRules, DataArgs, MISSING_WORDS};
use serde::Deserialize;
use serde_json::{Value, json};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/datasets").join(name)
}

/// A reading of tests/oracles/volumes.py.
#[derive(Deserialize)]
struct Reading {
    file: String,
    settings: Value,
    shape: Vec<u64>,
    values: Vec<f64>,
}

fn settings(value: Value) -> Volumes {
    serde_json::from_value(value).unwrap()
}

/// Puts a file into the folder of a subject.
fn put(root: &Path, place: &str, bytes: &[u8]) {
    let path = root.join(place);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn volume(name: &str) -> Vec<u8> {
    std::fs::read(data("nifti").join(name)).unwrap()
}

fn floats(dataset: &Dataset, field: &str) -> Vec<f32> {
    let at = dataset.position(field).unwrap();
    let blocks = (0..dataset.n_blocks()).map(|block| dataset.read(block, &[at]).unwrap());
    let values = blocks.flat_map(|block| match block.columns.into_iter().next().unwrap() {
        Values::Float32(values) => values,
        Values::Float64(values) => values.into_iter().map(|value| value as f32).collect(),
        Values::UInt8(values) => values.into_iter().map(f32::from).collect(),
    });
    values.collect()
}

#[test]
fn volumes_equal_those_of_nibabel() {
    let readings: Vec<Reading> =
        serde_json::from_slice(&std::fs::read(data("nifti/values.json")).unwrap()).unwrap();
    assert!(readings.len() >= 39, "{}", readings.len());
    for Reading { file, settings: wanted, shape, values } in readings {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), &format!("s1/v/{file}"), &volume(&file));
        let case = format!("{file} {wanted}");
        let is_exact = wanted.get("shape").is_none() && wanted.get("spacing").is_none();
        let dataset = Dataset::open_with(dir.path(), None, &settings(wanted)).unwrap();
        assert_eq!(dataset.format(), Format::Medical);
        assert_eq!(dataset.fields()[0].shape, [&[1], &shape[..]].concat(), "{case}");
        let read = floats(&dataset, "v");
        assert_eq!(read.len(), values.len(), "{case}");
        for (at, (read, expected)) in read.iter().zip(&values).enumerate() {
            let apart = (f64::from(*read) - expected).abs();
            // Interpolated values are sums whose order differs; they are rounded to float32.
            let allowed = if is_exact { 0.0 } else { 2e-7 * expected.abs().max(1e-3) };
            let allowed = if case.contains("z-score") { 1e-6 } else { allowed };
            assert!(apart <= allowed, "{case}, voxel {at}: {read} is not {expected}");
        }
    }
}

/// Three subjects with T1 and label, of whom one lacks the label, and a table.
fn subjects(root: &Path) {
    for (subject, files) in
        [("s1", &["T1", "label"][..]), ("s2", &["T1"]), ("s3", &["T1", "label"])]
    {
        for modality in files {
            put(root, &format!("{subject}/{modality}/{subject}.nii.gz"), &volume("classes.nii.gz"));
        }
    }
    let table = "FOLDER_NAME,age,sex\ns3,61,F\ns1,47.5,M\ns2,33,F\ns9,1,F\n";
    std::fs::write(root.join("demographics.csv"), table).unwrap();
}

#[test]
fn subjects_without_a_modality_are_refused_or_left_out_by_rule() {
    let dir = tempfile::tempdir().unwrap();
    subjects(dir.path());
    let open = |value| Dataset::open_with(dir.path(), None, &settings(value));
    let error = open(json!({})).unwrap_err().to_string();
    let words = "1 of 3 subjects lack something (label: 1): s2; `missing = \"skip\"`";
    assert!(error.contains(words), "{error}");
    let dataset = open(json!({ "missing": "skip" })).unwrap();
    assert_eq!(dataset.n_rows(), 2);
    let remarks = dataset.remarks();
    let expected = [
        "`demographics.csv` is not read; `table` and `subject` of the settings join it to the subjects",
        "1 of 3 subjects lack something (label: 1): s2; they are left out",
    ];
    assert_eq!(remarks, expected);
    let dataset = open(json!({ "modalities": { "T1": {} } })).unwrap();
    assert_eq!((dataset.n_rows(), dataset.fields().len()), (3, 1));
    let error = open(json!({ "modalities": { "T2": {} } })).unwrap_err().to_string();
    assert!(error.ends_with("no subject has `T2`; they have T1, label"), "{error}");
}

#[test]
fn a_table_is_joined_by_subject() {
    let dir = tempfile::tempdir().unwrap();
    subjects(dir.path());
    let wanted = json!({
        "missing": "skip", "table": "demographics.csv", "subject": "FOLDER_NAME", "shape": [2, 2, 2]
    });
    let dataset = Dataset::open_with(dir.path(), None, &settings(wanted)).unwrap();
    let names: Vec<&str> = dataset.fields().iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["T1", "label", "age", "sex"]);
    assert_eq!(floats(&dataset, "age"), [47.5, 61.0]);
    let remark = "1 of the table's lines are about subjects without a folder";
    assert!(dataset.remarks().iter().any(|found| found == remark), "{:?}", dataset.remarks());
    let error = dataset.read(0, &[3]).unwrap_err().to_string();
    assert!(
        error.contains("demographics.csv: line 3, column `sex`: `M` is not a number"),
        "{error}"
    );
    // A subject without a line is one that lacks something.
    std::fs::write(dir.path().join("demographics.csv"), "FOLDER_NAME,age\ns1,1\ns2,2\n").unwrap();
    let wanted = json!({
        "table": "demographics.csv", "subject": "FOLDER_NAME", "modalities": { "T1": {} }
    });
    let error = Dataset::open_with(dir.path(), None, &settings(wanted)).unwrap_err().to_string();
    assert!(
        error.contains("1 of 3 subjects lack something (a line of the table: 1): s3"),
        "{error}"
    );
}

#[test]
fn texts_of_the_table_are_looked_at_checked_and_read_by_rules() {
    let dir = tempfile::tempdir().unwrap();
    subjects(dir.path());
    let wanted = settings(json!({
        "table": "demographics.csv", "subject": "FOLDER_NAME", "modalities": { "T1": {} }
    }));
    let missing = MISSING_WORDS.map(str::to_owned).to_vec();
    let look =
        Look::of(dir.path(), None, &wanted, &Renames::new(), missing.clone(), u64::MAX).unwrap();
    let kinds: Vec<&LookKind> = look.columns.iter().map(|column| &column.kind).collect();
    assert!(matches!(kinds[0], LookKind::Array { .. }), "{kinds:?}");
    assert!(matches!(kinds[1..], [LookKind::Number { .. }, LookKind::Category]), "{kinds:?}");
    assert_eq!(look.columns[2].values, [("F".to_owned(), 2), ("M".to_owned(), 1)].into());
    let data = |values: &str| {
        let rules = format!("sex = {{ kind = 'category', values = {values} }}\nage = 'number'");
        let columns = ColumnRules::parse(rules.parse().unwrap()).unwrap();
        let inputs = Some(vec!["T1".to_owned(), "sex".into()].into());
        DataArgs { columns, inputs, ..DataArgs::of("age") }
    };
    let check = Check::of(dir.path(), None, &wanted, &Renames::new(), &data("['F', 'M']")).unwrap();
    assert_eq!(check.n_mistakes(), 0, "{check:?}");
    let check = Check::of(dir.path(), None, &wanted, &Renames::new(), &data("['F', 'D']")).unwrap();
    let fault = &check.columns.iter().find(|column| column.name == "sex").unwrap().faults;
    let fault = &fault[&FaultKind::Unknown];
    assert_eq!((fault.n, &fault.places[..]), (1, &[Place::Line(3)][..]));
    let dataset = Dataset::open_with(dir.path(), None, &wanted).unwrap();
    let ruled = dataset.with_rules(&data("['F', 'M']").columns, &missing).unwrap();
    assert_eq!(floats(&ruled, "sex"), [0.0, 1.0, 1.0, 0.0, 1.0, 0.0]);
    assert_eq!(floats(&ruled, "age"), [47.5, 33.0, 61.0]);
    let at = dataset.position("sex").unwrap();
    assert_eq!(dataset.texts(0, at).unwrap(), ["M", "F", "F"]);
}

#[test]
fn bids_gives_a_row_a_session() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let bytes = volume("classes.nii.gz");
    for place in [
        "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz",
        "sub-01/ses-b/anat/sub-01_ses-b_T1w.nii.gz",
        "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz",
        "sub-02/ses-a/func/sub-02_ses-a_bold.nii.gz",
        "derivatives/manual/sub-01/ses-a/anat/sub-01_ses-a_label-lesion_mask.nii.gz",
        "derivatives/manual/sub-01/ses-b/anat/sub-01_ses-b_label-lesion_mask.nii.gz",
        "derivatives/manual/sub-02/ses-a/anat/sub-02_ses-a_label-lesion_mask.nii.gz",
    ] {
        put(root, place, &bytes);
    }
    put(root, "participants.tsv", b"participant_id\tage\nsub-01\t30\nsub-02\t40\n");
    let dataset = Dataset::open(root, None).unwrap();
    assert_eq!((dataset.format(), dataset.n_rows()), (Format::Bids, 3));
    let names: Vec<&str> = dataset.fields().iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["T1w", "label-lesion_mask", "age"]);
    assert_eq!(floats(&dataset, "age"), [30.0, 30.0, 40.0]);
    assert_eq!(Format::Bids.files(root).unwrap().len(), 7);
}

#[test]
fn a_mask_of_another_space_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "s1/T1/a.nii.gz", &volume("classes.nii.gz"));
    let mut moved = Vec::new();
    let packed = volume("classes.nii.gz");
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut moved).unwrap();
    // The first place of the sform's line about the patient's front.
    moved[308..312].copy_from_slice(&100f32.to_le_bytes());
    put(dir.path(), "s1/label/a.nii", &moved);
    let dataset = Dataset::open(dir.path(), None).unwrap();
    dataset.read(0, &[0]).unwrap();
    let error = dataset.read(0, &[1]).unwrap_err().to_string();
    assert!(error.contains("the mask covers another space than s1/T1/a.nii.gz"), "{error}");
}

#[test]
fn volumes_of_two_shapes_need_a_shape() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "s1/T1/a.nii.gz", &volume("classes.nii.gz"));
    put(dir.path(), "s2/T1/a.nii", &volume("ras_i16.nii"));
    let dataset = Dataset::open(dir.path(), None).unwrap();
    let error = dataset.read(0, &[0]).unwrap_err().to_string();
    let words = "the volume has shape [5, 4, 3] (depth, height, width), that of the first subject \
                 has [7, 6, 5]; `shape`";
    assert!(error.contains(words), "{error}");
    let shape = settings(json!({ "shape": [4, 4, 4] }));
    let dataset = Dataset::open_with(dir.path(), None, &shape).unwrap();
    assert_eq!(floats(&dataset, "T1").len(), 2 * 64);
}

#[test]
fn settings_that_cannot_be_are_named() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "s1/T1/a.nii.gz", &volume("classes.nii.gz"));
    for (wanted, words) in [
        (json!({ "shape": [0, 1, 1] }), "`shape` is [0, 1, 1]; each length is 1 or more"),
        (json!({ "spacing": [0.0, 1.0, 1.0] }), "`spacing` is [0.0, 1.0, 1.0], in millimetres"),
        (json!({ "table": "../x.csv", "subject": "a" }), "`table` is `../x.csv`; it must be"),
        (json!({ "table": "x.csv" }), "`subject` of the settings must name the column of `x.csv`"),
        (json!({ "subject": "id" }), "`subject` of the settings needs a `table`"),
        (json!({ "modalities": { "T1": { "window": [3, 2] } } }), "`window` of `T1` is [3, 2]"),
        (
            json!({ "modalities": { "T1": { "kind": "mask", "normalize": "z-score" } } }),
            "`T1` is a mask, whose values are classes: `window` and `normalize` do not go with it",
        ),
        (json!({ "shape": [4096, 4096, 4096] }), "values of a row: 68719476736, at most 4194304"),
    ] {
        let error = Dataset::open_with(dir.path(), None, &settings(wanted)).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    let table = dir.path().join("t.csv");
    std::fs::write(&table, "a,b\n1,2\n").unwrap();
    let error =
        Dataset::open_with(&table, None, &settings(json!({ "shape": [1, 1, 1] }))).unwrap_err();
    assert!(error.to_string().contains("do not go with the format `csv`"), "{error}");
}

#[test]
fn a_volume_that_changed_is_named() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "s1/T1/a.nii.gz", &volume("classes.nii.gz"));
    let dataset = Dataset::open(dir.path(), None).unwrap();
    put(dir.path(), "s1/T1/a.nii.gz", &volume("lps_u8.nii.gz"));
    let error = dataset.read(0, &[0]).unwrap_err().to_string();
    assert!(error.contains("the file changed while it was read"), "{error}");
}
