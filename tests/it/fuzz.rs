//! What fuzzing found, and what it started from, once each as an ordinary
//! test. One folder a target: `tests/data/fuzz/TARGET`.

#[path = "../../fuzz/checks.rs"]
mod checks;

use crate::support::root;

#[test]
fn inputs_found_by_fuzzing_end_in_a_value_or_an_error() {
    let mut n = 0;
    for target in std::fs::read_dir(root().join("tests/data/fuzz")).unwrap() {
        let target = target.unwrap();
        for file in std::fs::read_dir(target.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            checks::check(target.file_name().to_str().unwrap(), &bytes);
            n += 1;
        }
    }
    assert!(n >= 20, "{n}");
}
