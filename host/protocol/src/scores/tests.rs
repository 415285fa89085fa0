//! Sums that come from elsewhere: files and nodes.

use super::*;

fn classes(columns: usize, rows: &[(usize, usize, f64)]) -> ClassSums {
    let mut sums = ClassSums::new(columns);
    let mut likelihood = Likelihood::new(columns < 3);
    let mut histogram = Histogram::default();
    for (class, said, probability) in rows {
        sums.count(Some(*class), *said);
        if columns < 3 {
            likelihood.add_binary([1.0 - probability, *probability], *class == 1);
            histogram.add(*probability, *class == 1);
        } else {
            likelihood.add(std::iter::repeat_n(1.0 / columns as f64, columns), *class);
        }
    }
    sums.reading = Some(Reading::Probabilities);
    sums.likelihood = Some(likelihood);
    sums.histogram = (columns < 3).then_some(histogram);
    sums
}

fn binary() -> ClassSums {
    classes(2, &[(0, 0, 0.25), (1, 1, 0.75), (1, 0, 0.5), (0, 0, 0.0), (1, 1, 1.0)])
}

#[test]
fn sums_come_back_from_text_and_from_messages() {
    let many = classes(SUMMED_CLASSES_MAX, &[(0, 1, 0.0), (1_023, 1_023, 0.0)]);
    for sums in [binary(), classes(3, &[(0, 2, 0.0), (2, 2, 0.0)]), many] {
        let sums = ScoreSums::Classes(sums).checked().unwrap();
        let json = serde_json::to_string(&sums).unwrap();
        assert_eq!(serde_json::from_str::<ScoreSums>(&json).unwrap(), sums, "{json}");
        let bytes = rmp_serde::to_vec_named(&sums).unwrap();
        assert_eq!(rmp_serde::from_slice::<ScoreSums>(&bytes).unwrap(), sums);
    }
    let mut real = RealSums::default();
    real.add([1.0, 2.0].into_iter(), [1.5, 2.0].into_iter());
    let sums = ScoreSums::Reals(vec![real; SUMMED_OUTPUTS_MAX]).checked().unwrap();
    let json = serde_json::to_string(&sums).unwrap();
    assert_eq!(serde_json::from_str::<ScoreSums>(&json).unwrap(), sums);
    assert_eq!(sums.rows(), 2);
    assert!(ScoreSums::Reals(vec![real; SUMMED_OUTPUTS_MAX + 1]).checked().is_none());
    assert!(ScoreSums::Reals(Vec::new()).checked().is_none());
}

/// The largest sums fit into a message of 64 KiB beside 16 KiB of payloads.
#[test]
fn the_largest_sums_fit_into_a_message() {
    let counts = |k: usize| (0..k).map(|nth| (nth, nth, 0.5)).collect::<Vec<_>>();
    for sums in [
        classes(SUMMED_CLASSES_MAX, &counts(SUMMED_CLASSES_MAX)),
        classes(CONFUSION_CLASSES_MAX, &counts(CONFUSION_CLASSES_MAX)),
        classes(2, &(0..50_000).map(|n| (n % 2, n % 2, n as f64 / 5e4)).collect::<Vec<_>>()),
    ] {
        let one = ScoreSums::Classes(sums);
        let sums = ScoreSums::joined(std::iter::repeat_n(&one, 1_000)).unwrap().checked().unwrap();
        let bytes = rmp_serde::to_vec_named(&sums).unwrap();
        assert!(bytes.len() < 24 << 10, "{}", bytes.len());
    }
    let too_many = ScoreSums::Classes(classes(SUMMED_CLASSES_MAX + 1, &[(0, 0, 0.0)]));
    assert!(too_many.checked().is_none());
}

#[test]
fn sums_that_contradict_themselves_are_refused() {
    let good = serde_json::to_value(ScoreSums::Classes(binary())).unwrap();
    assert!(serde_json::from_value::<ScoreSums>(good.clone()).is_ok());
    for (path, value) in [
        ("/classes/rows", serde_json::json!(6)),
        ("/classes/rows", serde_json::json!(u64::MAX)),
        ("/classes/columns", serde_json::json!(3)),
        ("/classes/columns", serde_json::json!(0)),
        ("/classes/columns", serde_json::json!(u64::MAX)),
        ("/classes/table", serde_json::json!(["2 0", "1"])),
        ("/classes/table", serde_json::json!(["2 0", "1 -2"])),
        ("/classes/table", serde_json::json!(["18446744073709551615 0", "4 2"])),
        ("/classes/table", serde_json::json!(["2 0", "1 2", "0 0"])),
        ("/classes/histogram", serde_json::json!("3:1/1")),
        ("/classes/likelihood/log_loss", serde_json::json!(-1.0)),
        ("/classes/likelihood/brier_score", serde_json::json!(null)),
        ("/classes/likelihood/calibration", serde_json::json!([])),
        ("/classes/likelihood/calibration/0/rows", serde_json::json!(7)),
        ("/classes/likelihood/calibration/0/positives", serde_json::json!(3)),
    ] {
        let mut wrong = good.clone();
        *wrong.pointer_mut(path).unwrap() = value;
        assert!(serde_json::from_value::<ScoreSums>(wrong).is_err(), "{path}");
    }
}

#[test]
fn sums_of_other_things_are_not_added() {
    let of = |columns| ScoreSums::Classes(classes(columns, &[(0, 0, 0.0)]));
    let (two, three, reals) = (of(2), of(3), ScoreSums::Reals(vec![RealSums::default()]));
    assert!(ScoreSums::joined([&two, &three].into_iter()).is_none());
    assert!(ScoreSums::joined([&two, &reals].into_iter()).is_none());
    assert!(ScoreSums::joined(std::iter::empty()).is_none());
    let four = ScoreSums::joined([&two, &two, &two, &two].into_iter()).unwrap();
    assert_eq!((four.rows(), four.metrics()["accuracy"]), (4, 1.0));
    assert!(four.checked().is_some());
}

/// Nodes whose scores have different meanings have no probabilities together; with one column the
/// order of rows stays.
#[test]
fn probabilities_of_some_nodes_are_none_of_all() {
    let with = |reading: Reading, columns| {
        let mut sums = classes(columns, &[(0, 0, 0.25), (1, 1, 0.75)]);
        sums.likelihood = sums.likelihood.filter(|_| reading != Reading::Scores);
        sums.reading = Some(reading);
        ScoreSums::Classes(sums)
    };
    let names = |a: &ScoreSums, b: &ScoreSums| {
        let all = ScoreSums::joined([a, b].into_iter()).unwrap().checked().unwrap();
        let all = all.metrics();
        [all.contains_key("log_loss"), all.contains_key("roc_auc")]
    };
    let (given, softmax) = (with(Reading::Probabilities, 2), with(Reading::Softmax, 2));
    assert_eq!(names(&given, &given), [true, true]);
    assert_eq!(names(&given, &softmax), [false, false]);
    let (given, scores) = (with(Reading::Probabilities, 1), with(Reading::Scores, 1));
    assert_eq!(names(&given, &scores), [false, true]);
    assert_eq!(names(&scores, &given), [false, true]);
}

/// A plan with one column may meet other classes: they are wrong rows, and no class of their own.
#[test]
fn rows_of_other_classes_are_counted_apart() {
    let mut sums = ClassSums::new(1);
    for (class, said) in [(Some(1), 1), (Some(7), 1), (None, 0)] {
        sums.count(class, said);
    }
    let sums = ScoreSums::Classes(sums).checked().unwrap();
    let metrics = sums.metrics();
    assert_eq!((metrics["accuracy"], metrics["precision"]), (1.0 / 3.0, 0.5));
    assert!(!metrics.contains_key("balanced_accuracy"));
    assert_eq!(sums.report().unwrap().confusion.unwrap(), [[0, 0], [0, 1], [1, 1]]);
}

#[test]
fn sums_of_masks_come_back_and_those_that_cannot_be_are_refused() {
    let mut sums = MaskSums::new(3);
    sums.rows = 2;
    for (class, said) in [(0, 0), (1, 1), (2, 0), (1, 2), (0, 0), (2, 2)] {
        sums.count(class, said);
    }
    let sums = ScoreSums::Masks(sums).checked().unwrap();
    let json = serde_json::to_string(&sums).unwrap();
    assert_eq!(json, r#"{"masks":{"rows":2,"columns":3,"table":["2 2 2","3 1 2","2 1 1"]}}"#);
    assert_eq!(serde_json::from_str::<ScoreSums>(&json).unwrap(), sums);
    let bytes = rmp_serde::to_vec_named(&sums).unwrap();
    assert_eq!(rmp_serde::from_slice::<ScoreSums>(&bytes).unwrap(), sums);
    for (from, to) in [
        // No rows; rows of unequal voxels; another number of classes; no scores at all.
        ("\"rows\":2", "\"rows\":0"),
        ("\"rows\":2", "\"rows\":4"),
        ("\"columns\":3", "\"columns\":4"),
        ("\"columns\":3", "\"columns\":0"),
        // More voxels said than there are; more right than said; a table of two lines.
        ("3 1 2", "4 1 2"),
        ("2 1 1", "2 2 1"),
        (",\"2 1 1\"", ""),
        ("2 2 2", "18446744073709551615 2 2"),
    ] {
        let wrong = json.replace(from, to);
        assert_ne!(wrong, json);
        assert!(serde_json::from_str::<ScoreSums>(&wrong).is_err(), "{wrong}");
    }
    let mut many = MaskSums::new(SUMMED_CLASSES_MAX + 1);
    many.rows = 1;
    many.count(0, 0);
    assert!(ScoreSums::Masks(many).checked().is_none());
}
