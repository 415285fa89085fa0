//! The number of rows of each class, and warnings about it.

use std::collections::BTreeMap;

/// The most classes that are counted one by one.
pub(crate) const CLASSES_MAX: usize = 65_536;
/// The most classes that a remark names.
const SHOWN_MAX: usize = 8;

/// Rows of each class of a run: those to train on, and those that are held out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classes {
    rows: BTreeMap<i64, (u64, u64)>,
}

impl Classes {
    /// Counts a row.
    pub(crate) fn add(&mut self, class: i64, is_held_out: bool) {
        if self.rows.len() >= CLASSES_MAX && !self.rows.contains_key(&class) {
            return;
        }
        let (train, test) = self.rows.entry(class).or_default();
        *(if is_held_out { test } else { train }) += 1;
    }

    /// A weight for each of `n` classes that gives all classes the same weight over the training
    /// rows: rows / (classes with rows * rows of the class), as scikit-learn's `balanced`. 1 for a
    /// class without training rows.
    pub(crate) fn balanced(&self, n: usize) -> Vec<f64> {
        let rows = |class: i64| self.rows.get(&class).map_or(0, |(train, _)| *train);
        let of_all = self.rows.values().filter(|(train, _)| *train > 0);
        let (k, total) = of_all.fold((0u64, 0u64), |(k, sum), (train, _)| (k + 1, sum + train));
        let weight = |class: i64| match rows(class) {
            0 => 1.0,
            rows => total as f64 / (k as f64 * rows as f64),
        };
        (0..n as i64).map(weight).collect()
    }

    /// All rows of a class.
    pub fn n_rows(&self, class: i64) -> u64 {
        self.rows.get(&class).map_or(0, |(train, test)| train + test)
    }

    /// The largest class that there is.
    pub fn largest(&self) -> Option<i64> {
        self.rows.last_key_value().map(|(class, _)| *class)
    }

    /// Whether there are two classes at most, and no held-out row is of class 1: then precision,
    /// recall and F1 say nothing.
    pub fn lacks_positives(&self) -> bool {
        let held_out: u64 = self.rows.values().map(|(_, test)| test).sum();
        let positives = self.rows.get(&1).map_or(0, |(_, test)| *test);
        self.largest().is_some_and(|largest| largest <= 1) && held_out > 0 && positives == 0
    }

    /// The warnings that people should read before they believe a score.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        let largest = self.largest().unwrap_or_default();
        if largest == 0 && !self.rows.is_empty() {
            remarks.push(
                "all rows are of class 0: a classifier needs at least two classes".to_owned(),
            );
        }
        // Larger gaps are not a slip, and walking through them takes long.
        let missing = (0..largest.min(CLASSES_MAX as i64)).filter(|class| self.n_rows(*class) == 0);
        let missing: Vec<i64> = missing.take(SHOWN_MAX + 1).collect();
        if !missing.is_empty() {
            let shown = missing.iter().take(SHOWN_MAX).map(i64::to_string).collect::<Vec<_>>();
            let more = if missing.len() > SHOWN_MAX { ", ..." } else { "" };
            let classes = if missing.len() == 1 { "class" } else { "classes" };
            remarks.push(format!(
                "no row is of {classes} {}{more}, and the largest class is {largest}: classes are \
                 numbered from 0 without gaps",
                shown.join(", ")
            ));
        }
        if largest > 0 && self.lacks_positives() {
            let text = "no held-out row is of class 1: precision, recall and F1 are left out";
            remarks.push(text.to_owned());
        }
        remarks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remarks(train: &[i64], test: &[i64]) -> Vec<String> {
        let mut classes = Classes::default();
        train.iter().for_each(|class| classes.add(*class, false));
        test.iter().for_each(|class| classes.add(*class, true));
        classes.remarks()
    }

    #[test]
    fn labels_that_do_not_begin_at_0_or_have_gaps_are_told() {
        assert!(remarks(&[0, 1, 1], &[1]).is_empty());
        assert!(remarks(&[0, 1], &[]).is_empty() && remarks(&[], &[]).is_empty());
        let [one] = &remarks(&[1, 2, 2], &[1])[..] else { panic!("one remark") };
        assert!(one.starts_with("no row is of class 0, and the largest class is 2"), "{one}");
        let many = remarks(&[20], &[]).remove(0);
        assert!(
            many.starts_with("no row is of classes 0, 1, 2, 3, 4, 5, 6, 7, ..., and"),
            "{many}"
        );
        assert_eq!(remarks(&[0, 0], &[]).len(), 1);
    }

    // compute_class_weight("balanced") of scikit-learn 1.7: tests/oracles/class_weights.py.
    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        let mut classes = Classes::default();
        for (class, rows) in [(0, 212), (1, 357), (3, 7)] {
            (0..rows).for_each(|_| classes.add(class, false));
        }
        classes.add(1, true);
        let expected = [0.9056603773584906, 0.5378151260504201, 1.0, 27.428571428571427];
        assert_eq!(classes.balanced(4), expected);
        assert_eq!(Classes::default().balanced(2), [1.0, 1.0]);
    }

    #[test]
    fn held_out_rows_without_positives_are_told() {
        let [one] = &remarks(&[0, 1], &[0, 0])[..] else { panic!("one remark") };
        assert!(one.contains("precision, recall and F1 are left out"), "{one}");
        // With more classes these are means over classes.
        assert!(remarks(&[0, 1, 2], &[0, 2]).is_empty());
    }
}
