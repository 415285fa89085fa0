//! Files of a site under the names of a federation.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::path::{Path, PathBuf};

use fedwasm_dataset::{Check, Dataset, Error, Format, Look, LookKind, Renames, Volumes};
use fedwasm_protocol::{ColumnKind, ColumnRule, ColumnRules, DataArgs};

fn renames(pairs: &[(&str, &str)]) -> Renames {
    pairs.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect()
}

fn open(path: &Path, pairs: &[(&str, &str)]) -> Result<Dataset, String> {
    let opened = Dataset::open(path, None).and_then(|file| file.renamed(&renames(pairs)));
    opened.map_err(|error| error.to_string())
}

fn names(dataset: &Dataset) -> Vec<&str> {
    dataset.fields().iter().map(|field| field.name.as_str()).collect()
}

fn write(dir: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_table_with_other_names_is_the_table_that_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let own = write(dir.path(), "own.csv", "alter,y,gewicht\n50,0,70\n61,1,80\n");
    let of_all = write(dir.path(), "all.csv", "age,y,weight\n50,0,70\n61,1,80\n");
    let ours = open(&own, &[("alter", "age"), ("gewicht", "weight")]).unwrap();
    let theirs = open(&of_all, &[]).unwrap();
    assert_eq!(ours.fields(), theirs.fields());
    assert_eq!(ours.read(0, &[0, 1, 2]).unwrap(), theirs.read(0, &[0, 1, 2]).unwrap());
    assert_eq!(ours.position("weight").unwrap(), 2);
    let error = ours.position("alter").unwrap_err().to_string();
    assert!(error.contains("there is no column `alter`"), "{error}");
    assert_eq!(ours.keys("age").unwrap(), theirs.keys("age").unwrap());
    // Rules are for the new names, and remain so.
    let mut rules = ColumnRules::default();
    rules.insert(
        "age".into(),
        ColumnRule::of(ColumnKind::Boolean { yes: vec!["50".into()], no: vec!["61".into()] }),
    );
    let ruled = ours.with_rules(&rules, &[]).unwrap();
    assert!(ruled.rule(0).is_some() && names(&ruled) == ["age", "y", "weight"]);
}

#[test]
fn messages_have_the_new_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "d.csv", "alter,y\nx,0\n61,1\n");
    let file = open(&path, &[("alter", "age")]).unwrap();
    match file.read(0, &[0]).unwrap_err() {
        Error::NotANumber { column, .. } => assert_eq!(column, "age"),
        other => panic!("{other}"),
    }
    let look =
        Look::of(&path, None, &Volumes::default(), &renames(&[("alter", "age")]), vec![], u64::MAX)
            .unwrap();
    assert_eq!(look.columns[0].name, "age");
    let by_node = Look::of_dataset(&file, vec![], u64::MAX).unwrap();
    assert_eq!(by_node, look);
    let data = DataArgs::of("y");
    let check =
        Check::of(&path, None, &Volumes::default(), &renames(&[("alter", "age")]), &data).unwrap();
    assert_eq!((check.columns[0].name.as_str(), check.n_mistakes()), ("age", 1));
    let error = Check::of(&path, None, &Volumes::default(), &renames(&[("altr", "age")]), &data)
        .unwrap_err();
    assert!(error.to_string().contains("did you mean `alter`?"), "{error}");
}

#[test]
fn two_columns_may_change_their_names_with_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "d.csv", "a,b\n1,2\n");
    let file = open(&path, &[("a", "b"), ("b", "a")]).unwrap();
    assert_eq!((names(&file), file.position("b").unwrap()), (vec!["b", "a"], 0));
    let error = open(&path, &[("a", "b")]).unwrap_err();
    assert!(error.contains("`a` is renamed to `b`, which is there already"), "{error}");
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/datasets").join(name)
}

/// Copies a file of the tests into a folder.
fn put(root: &Path, place: &str, from: &str) {
    let path = root.join(place);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::copy(data(from), path).unwrap();
}

// Malignant is class 1 at both sites, in whichever language the folders are.
#[test]
fn folders_of_classes_have_the_order_of_their_new_names() {
    let dir = tempfile::tempdir().unwrap();
    let (own, of_all) = (dir.path().join("own"), dir.path().join("all"));
    for (ours, theirs, image) in
        [("boesartig", "malignant", "images/b/1.png"), ("gutartig", "benign", "images/a/0.png")]
    {
        for name in ["0.png", "1.png"] {
            put(&own, &format!("{ours}/{name}"), image);
            put(&of_all, &format!("{theirs}/{name}"), image);
        }
    }
    let pairs = [("boesartig", "malignant"), ("gutartig", "benign"), ("image", "scan")];
    let (ours, theirs) = (open(&own, &pairs).unwrap(), open(&of_all, &[]).unwrap());
    assert_eq!((names(&ours), ours.format()), (vec!["scan", "label"], Format::Images));
    let (read, expected) = (ours.read(0, &[0, 1]).unwrap(), theirs.read(0, &[0, 1]).unwrap());
    assert_eq!(read, expected);
    let mut labels = Vec::new();
    read.columns[1].each(0..4, |label| labels.push(label));
    assert_eq!(labels, [0.0, 0.0, 1.0, 1.0]);
    for (pairs, expected) in [
        (&[("bösartig", "malignant")][..], "there is no column `bösartig`"),
        (&[("boesartig", "gutartig")], "`boesartig` is renamed to `gutartig`, which is there"),
        (&[("boesartig", "x"), ("gutartig", "x")], "are both renamed to `x`"),
    ] {
        let error = open(&own, pairs).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn arrays_and_modalities_have_new_names() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "s1/T1w/a.nii.gz", "nifti/classes.nii.gz");
    put(dir.path(), "s1/label/a.nii.gz", "nifti/classes.nii.gz");
    let before = Dataset::open(dir.path(), None).unwrap();
    let file = before.renamed(&renames(&[("T1w", "scan")])).unwrap();
    assert_eq!(file.fields()[0].name, "scan");
    assert_eq!(file.read(0, &[0]).unwrap(), before.read(0, &[0]).unwrap());
    let look = Look::of_dataset(&file, vec![], u64::MAX).unwrap();
    assert!(matches!(look.columns[0].kind, LookKind::Array { .. }));
    assert_eq!(look.columns[0].name, "scan");
    let arrays = Dataset::open(&data("stored.npz"), None).unwrap();
    let first = names(&arrays)[0].to_owned();
    let file = arrays.renamed(&renames(&[(&first, "renamed")])).unwrap();
    assert_eq!(file.read(0, &[0]).unwrap(), arrays.read(0, &[0]).unwrap());
    assert_eq!(names(&file)[0], "renamed");
}
