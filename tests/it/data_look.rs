//! `fedwasm data describe` and `check`, and the look at a dataset that a node registers.

use std::path::Path;

use crate::support::{Edit, Federation, fedwasm, part, root};

const TABLE: &str = "pid;age;weight;ward;smoker;visit;outcome
P1;34;72,5;A;yes;2021-03-04;benign
P2;45;80,1;B;no;2021-04-05;malignant
P3;51;NA;A;no;2022-01-15;benign
P4;29;65,0;C;yes;2031-01-01;benign
P5;61;90,2;A;yes;2020-12-31;malignant
";

fn describe(file: &Path) -> String {
    fedwasm(&["data", "describe"]).arg(file).ok().stdout
}

/// Writes a file with the table that `describe` proposes.
fn proposed(dir: &Path, file: &Path) -> std::path::PathBuf {
    let text = describe(file);
    let at = text.find("[data]\n").unwrap_or_else(|| panic!("{text}"));
    let args = dir.join("proposed.toml");
    std::fs::write(&args, &text[at..]).unwrap();
    args
}

#[test]
fn a_table_is_described_as_a_person_reads_it_and_its_rules_pass_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("patients.csv");
    std::fs::write(&file, TABLE).unwrap();
    let text = describe(&file);
    let expected = "\
column   kind                 missing  different  values
pid      id                                    5
age      number                                5  29 to 61, mean 44
weight   number, decimal `,`   1 (NA)          4  65 to 90.2, mean 76.95
ward     category                              3  A (3), B (1), C (1)
smoker   boolean                               2  no (2), yes (3)
visit    date %Y-%m-%d                         5  2020-12-31 to 2031-01-01
outcome  category                              2  benign (3), malignant (2)

Remarks
- `pid`: tells one row from another, as an id does
- `visit`: has dates in the future, up to 2031-01-01

Proposed for experiment.toml, to be read before it is used:

[data]
target = \"outcome\"  # a guess; --target names another

[data.columns]
pid     = \"drop\"
age     = \"number\"
weight  = { kind = \"number\", decimal = \",\", impute = \"median\" }
ward    = { kind = \"category\", values = [\"A\", \"B\", \"C\"] }
smoker  = \"boolean\"
visit   = { kind = \"date\", since = \"2000-01-01\", format = \"%Y-%m-%d\" }
outcome = { kind = \"class\", values = [\"benign\", \"malignant\"] }
";
    assert!(text.ends_with(expected.trim_end()), "{text}");
    assert!(text.contains("patients.csv: 5 rows, 7 columns\n"), "{text}");
    let args = proposed(dir.path(), &file);
    let checked = fedwasm(&["data", "check"]).arg(&file).arg("--args").arg(&args).ok().stdout;
    assert!(checked.contains("5 rows, 6 columns are used, no mistake\n"), "{checked}");
    assert!(checked.contains("\nweight        1"), "{checked}");
    let json = fedwasm(&["--json", "data", "describe", "--target", "age"]).arg(&file).ok().result();
    assert_eq!((&json["rows"], &json["target"]), (&5.into(), &"age".into()));
    assert_eq!(json["columns"][2]["missing"], serde_json::json!({ "NA": 1 }));
    let wrong = fedwasm(&["data", "describe", "--target", "agge"]).arg(&file).run();
    assert!(wrong.code == 2 && wrong.stderr.contains("did you mean `age`?"), "{}", wrong.stderr);
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("patients.csv");
    std::fs::write(&file, TABLE).unwrap();
    let args = proposed(dir.path(), &file);
    let other = TABLE.replace("C;yes", "D;yes").replace("NA", "n.a.").replace("45", "");
    std::fs::write(&file, other + "P6;1\n").unwrap();
    let check = |json: &[&str]| {
        fedwasm(json).args(&["data", "check"]).arg(&file).arg("--args").arg(&args).run()
    };
    let ended = check(&[]);
    let expected = "\
column  cells  mistake                                         first at
            1  rows with another number of cells than the header  line 7 (2 cells)
age         1  missing, and the column has no `impute`         line 3
weight      1  not a number: `n.a.` (1)                        line 4
ward        1  not one of `values`: `D` (1)                    line 5
";
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((ended.code, words(&ended.stdout)), (2, words(expected)), "{}", ended.stdout);
    assert!(ended.stderr.contains("proposed.toml: 4 mistakes in 6 rows"), "{}", ended.stderr);
    let ended = check(&["--json"]);
    let result = ended.events().into_iter().find(|event| event["event"] == "result").unwrap();
    assert_eq!((ended.code, &result["n_mistakes"]), (2, &4.into()));
    let ward = &result["columns"][2];
    assert_eq!((&ward["name"], &ward["mistakes"][0]["texts"]["D"]), (&"ward".into(), &1.into()));
    assert_eq!(ward["mistakes"][0]["places"], serde_json::json!([{ "line": 5 }]));
    std::fs::write(&args, "[training]\nepochs = 1\n").unwrap();
    let ended = check(&[]);
    assert!(ended.code == 2 && ended.stderr.contains("the table [data] is missing"));
}

#[test]
fn fields_of_arrays_images_and_typed_columns_are_named_with_their_shapes() {
    let datasets = root().join("tests/data/datasets");
    let text = describe(&datasets.join("stored.npz"));
    assert!(text.contains("f64"), "{text}");
    let text = describe(&crate::support::data("mnist10k"));
    assert!(text.contains("uint8 [28, 28]") && text.contains("target = \"label\""), "{text}");
    let text = describe(&root().join("tests/data/hospital/typed.parquet"));
    for expected in
        ["date %Y-%m-%d", "smoker  = \"boolean\"", "values = [\"benign\", \"malignant\"]"]
    {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

/// The operator learns of columns that are not numbers before a researcher's round fails, and a
/// file that was written to is told as that, whatever the reader says of it.
#[test]
fn a_node_looks_at_what_it_registers_and_tells_a_changed_file() {
    let mut federation = Federation::start();
    let files: Vec<_> = [0, 1].map(|n| part(federation.dir.path(), n, 2)).into();
    for (id, file) in ["a", "b"].iter().zip(&files) {
        federation.node(id, file);
    }
    let table = federation.dir.path().join("patients.csv");
    std::fs::write(&table, TABLE).unwrap();
    let node = federation.dir.path().join("a");
    let add = fedwasm(&[
        "--json", "node", "dataset", "add", "--name", "p", "--tags", "patients", "--path",
    ]);
    let added = add.arg(&table).arg(&node).ok();
    let remark = "`pid`: tells one row from another, as an id does";
    assert!(added.stderr.contains(&format!("warning: {remark}")), "{}", added.stderr);
    assert_eq!(added.result()["remarks"][0], remark);
    assert_eq!(added.result()["rows_looked_at"], 5);
    let registry = std::fs::read_to_string(node.join("datasets.json")).unwrap();
    assert!(registry.contains(remark), "{registry}");
    // As many rows and columns, and a cell that is no number any more.
    let text = std::fs::read_to_string(&files[0]).unwrap();
    let (head, rest) = text.split_once('\n').unwrap();
    let (_, cells) = rest.split_once(',').unwrap();
    std::fs::write(&files[0], format!("{head}\nx,{cells}")).unwrap();
    let experiment = federation.experiment(|text| text.edit("min_nodes = 2", "min_nodes = 1"));
    let run = fedwasm(&["--json", "experiment", "run"]).arg(experiment);
    let ended = run.arg("--out").arg(federation.dir.path().join("out")).ok();
    let events = ended.events();
    let dropped = events.iter().find(|event| event["event"] == "dropped").unwrap();
    let words = "dataset d changed since it was registered: its file was written to; at the node, \
                 `fedwasm node dataset refresh DIR --name d` registers it again";
    let reason = dropped["reason"].as_str().unwrap();
    assert!(dropped["node"] == "a" && reason.contains(words), "{dropped}");
    // The reader's words stay at the node.
    federation.nodes[0].wait_for_log("`x` is not a number");
}
