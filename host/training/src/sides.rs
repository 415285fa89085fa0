//! The side of each row where more than chance decides: by class, by group, by time. docs/data.md
//! has the rules for people; tests/oracles/seeds_and_shuffle.py is an independent implementation.
//!
//! Stratified: rows in the order of their class, and of a permutation with the seed of the split
//! within each class. Of the places `start..end` of a class, the first `floor(end * test_ratio) -
//! floor(start * test_ratio)` are held out; fold `index` of `count` holds out each place with the
//! remainder `index - 1` by `count`.
//!
//! Groups: their values in ascending order, permuted with the seed. Groups are held out in that
//! order until `floor(rows * test_ratio)` rows are, or more. For folds the largest come first, of
//! equals in that order, and each goes to the fold with the fewest rows, of equals the first.
//!
//! Time: rows in ascending order of time. The last `floor(rows * test_ratio)` are held out, and
//! those before them with the same time as the first of these. With folds, the last `count` pieces
//! of `floor(rows / (count + 1))` rows are held out one after the other; a fold trains on the rows
//! before its piece, and leaves those after it out (scikit-learn's `TimeSeriesSplit`). Rows of one
//! time are all in the later piece.

use fedwasm_dataset::Key;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::blocks::Held;
use crate::shuffle::permute;
use crate::{Error, Fold};

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// It is trained on.
    Train,
    /// It is held out.
    HeldOut,
    /// Neither: it is later than the held-out rows of a fold.
    Unused,
}

/// `floor(n * share)`, at most `n`.
pub(crate) fn part(n: usize, share: f64) -> usize {
    ((n as f64 * share).floor() as usize).min(n)
}

/// The sides of rows of these classes.
pub(crate) fn stratified(classes: &[i64], held: Held, seed: [u8; 32]) -> Vec<Side> {
    let mut order: Vec<usize> = (0..classes.len()).collect();
    permute(&mut order, &mut ChaCha20Rng::from_seed(seed));
    order.sort_by_key(|row| classes[*row]);
    let mut sides = vec![Side::Train; classes.len()];
    match held {
        Held::Fold(Fold { index, count }) => {
            let first = (index as usize).saturating_sub(1);
            let places = order.iter().skip(first).step_by(count.max(1) as usize);
            places.for_each(|row| sides[*row] = Side::HeldOut);
        }
        Held::Share(share) => {
            let mut start = 0;
            for class in order.chunk_by(|a, b| classes[*a] == classes[*b]) {
                let end = start + class.len();
                let n_test = part(end, share) - part(start, share);
                class.iter().take(n_test).for_each(|row| sides[*row] = Side::HeldOut);
                start = end;
            }
        }
    }
    sides
}

/// The sides of rows of these groups.
///
/// # Errors
/// [`Error::Groups`] if there are fewer groups than folds.
pub(crate) fn grouped(
    keys: &[Key],
    column: &str,
    held: Held,
    seed: [u8; 32],
) -> Result<Vec<Side>, Error> {
    let mut rows: Vec<usize> = (0..keys.len()).collect();
    rows.sort_by(|a, b| keys[*a].cmp(&keys[*b]));
    let mut groups: Vec<&[usize]> = rows.chunk_by(|a, b| keys[*a] == keys[*b]).collect();
    permute(&mut groups, &mut ChaCha20Rng::from_seed(seed));
    let mut sides = vec![Side::Train; keys.len()];
    let mut hold_out = |group: &[usize]| group.iter().for_each(|row| sides[*row] = Side::HeldOut);
    match held {
        Held::Share(share) => {
            let wanted = part(keys.len(), share);
            let mut n_test = 0;
            for group in groups {
                if n_test >= wanted {
                    break;
                }
                hold_out(group);
                n_test += group.len();
            }
        }
        Held::Fold(Fold { index, count }) => {
            if groups.len() < count as usize {
                let (column, groups) = (column.to_owned(), groups.len());
                return Err(Error::Groups { column, groups, folds: count });
            }
            groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
            let mut n_rows = vec![0; count as usize];
            for group in groups {
                let fewest = n_rows.iter().enumerate().min_by_key(|(_, n)| **n);
                let fold = fewest.map_or(0, |(fold, _)| fold);
                n_rows[fold] += group.len();
                if fold + 1 == index as usize {
                    hold_out(group);
                }
            }
        }
    }
    Ok(sides)
}

/// The sides of rows of these times.
///
/// # Errors
/// [`Error::Times`] if a fold has no rows to score, or none before these.
pub(crate) fn by_time(times: &[f64], column: &str, held: Held) -> Result<Vec<Side>, Error> {
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by(|a, b| times[*a].total_cmp(&times[*b]));
    let n = order.len();
    // The first place of the same time.
    let first = |mut at: usize| {
        while at > 0 && at < n && times[order[at - 1]] == times[order[at]] {
            at -= 1;
        }
        at
    };
    let (start, end) = match held {
        Held::Share(share) => (first(n - part(n, share)), n),
        Held::Fold(Fold { index, count }) => {
            let (index, count) = (index as usize, count as usize);
            let piece = n / (count + 1);
            let start = n - (count + 1 - index) * piece;
            let (start, end) = (first(start), first(start + piece));
            if start == 0 || start == end {
                let (index, count) = (index as u32, count as u32);
                return Err(Error::Times { column: column.to_owned(), index, count });
            }
            (start, end)
        }
    };
    let mut sides = vec![Side::Train; n];
    order[start..end].iter().for_each(|row| sides[*row] = Side::HeldOut);
    order[end..].iter().for_each(|row| sides[*row] = Side::Unused);
    Ok(sides)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_protocol::seed;

    const CLASSES: [i64; 12] = [0, 1, 0, 2, 1, 0, 0, 2, 0, 1, 0, 0];
    const PATIENTS: [f64; 12] = [7., 7., -2., 7., 30., 30., 5., 5., 5., 5., -2., 4.];
    const TIMES: [f64; 12] = [5., 1., 2., 2., 9., 8., 8., 3., 4., 8., 7., 6.];

    fn rows(sides: &[Side], side: Side) -> Vec<usize> {
        (0..sides.len()).filter(|row| sides[*row] == side).collect()
    }

    fn fold(index: u32, count: u32) -> Held {
        Held::Fold(Fold { index, count })
    }

    fn keys(values: &[f64]) -> Vec<Key> {
        values.iter().map(|value| Key::number(*value)).collect()
    }

    fn by_group(held: Held, seed: [u8; 32]) -> Vec<Side> {
        grouped(&keys(&PATIENTS), "patient", held, seed).unwrap()
    }

    // tests/oracles/seeds_and_shuffle.py prints these.
    #[test]
    fn held_out_rows_equal_the_python_twin() {
        let quarter = (Held::Share(0.25), seed::split(42));
        let held_out = |sides: Vec<Side>| rows(&sides, Side::HeldOut);
        assert_eq!(held_out(stratified(&CLASSES, quarter.0, quarter.1)), [1, 3, 8]);
        assert_eq!(held_out(by_group(quarter.0, quarter.1)), [4, 5, 11]);
        let folds = seed::folds(42);
        let of = |index| held_out(stratified(&CLASSES, fold(index, 3), folds));
        assert_eq!([1, 2, 3].map(of), [[1, 5, 6, 8], [2, 7, 9, 10], [0, 3, 4, 11]]);
        let of = |index| held_out(by_group(fold(index, 3), folds));
        assert_eq!([1, 2, 3].map(of), [[6, 7, 8, 9], [0, 1, 3, 11], [2, 4, 5, 10]]);
        let of = |held| {
            let sides = by_time(&TIMES, "t", held).unwrap();
            (rows(&sides, Side::Train), rows(&sides, Side::HeldOut))
        };
        let share: (&[usize], &[usize]) = (&[0, 1, 2, 3, 7, 8, 10, 11], &[4, 5, 6, 9]);
        let (train, test) = of(Held::Share(0.25));
        assert_eq!((&train[..], &test[..]), share);
        let expected: [(&[usize], &[usize]); 3] = [
            (&[1, 2, 3], &[0, 7, 8]),
            (&[0, 1, 2, 3, 7, 8], &[10, 11]),
            (&[0, 1, 2, 3, 7, 8, 10, 11], &[4, 5, 6, 9]),
        ];
        for (index, expected) in (1..).zip(expected) {
            let (train, test) = of(fold(index, 3));
            assert_eq!((&train[..], &test[..]), expected, "{index}");
        }
    }

    /// 212 rows of class 0 and 357 of class 1, as in breast_cancer.csv.
    fn benign() -> Vec<i64> {
        (0..569).map(|row| i64::from((row * 212) % 569 >= 212)).collect()
    }

    fn n_of_class(classes: &[i64], sides: &[Side], class: i64) -> usize {
        rows(sides, Side::HeldOut).into_iter().filter(|row| classes[*row] == class).count()
    }

    // tests/oracles/splits_sklearn.py prints these: StratifiedKFold's.
    #[test]
    fn stratified_folds_have_the_counts_of_scikit_learn() {
        let classes = benign();
        let of = |index| {
            let sides = stratified(&classes, fold(index, 5), seed::folds(7));
            [0, 1].map(|class| n_of_class(&classes, &sides, class))
        };
        let expected = [[43, 71], [43, 71], [42, 72], [42, 72], [42, 71]];
        assert_eq!([1, 2, 3, 4, 5].map(of), expected);
    }

    #[test]
    fn a_stratified_part_has_the_share_of_each_class_within_one_row() {
        let classes = benign();
        for (at, share) in [0.0, 0.1, 0.2, 0.25, 1.0 / 3.0, 0.5, 0.9].into_iter().enumerate() {
            let sides = stratified(&classes, Held::Share(share), seed::split(at as u64));
            for class in [0, 1] {
                let all = classes.iter().filter(|is| **is == class).count() as f64;
                let distance = n_of_class(&classes, &sides, class) as f64 - all * share;
                assert!(distance.abs() < 1.0, "{share} {class} {distance}");
            }
            assert_eq!(rows(&sides, Side::HeldOut).len(), part(569, share));
        }
    }

    // tests/oracles/splits_sklearn.py prints the sizes: GroupKFold's.
    #[test]
    fn groups_are_whole_and_every_row_is_held_out_once() {
        let of_group = |group: usize| std::iter::repeat_n(group as f64, 1 + 7 * group % 23);
        let values: Vec<f64> = (0..40).flat_map(of_group).collect();
        let keys = keys(&values);
        let mut times = vec![0; values.len()];
        let mut sizes = Vec::new();
        for index in 1..=4 {
            let sides = grouped(&keys, "g", fold(index, 4), seed::folds(3)).unwrap();
            let held_out = rows(&sides, Side::HeldOut);
            let is_in = |row: &usize| held_out.iter().any(|held| values[*held] == values[*row]);
            assert!(!rows(&sides, Side::Train).iter().any(is_in));
            held_out.iter().for_each(|row| times[*row] += 1);
            sizes.push(held_out.len());
        }
        sizes.sort_unstable();
        assert!(times.iter().all(|n| *n == 1));
        assert_eq!(sizes, [121, 121, 122, 122]);
        for share in [0.1, 0.3, 0.5] {
            let sides = grouped(&keys, "g", Held::Share(share), seed::split(3)).unwrap();
            let held_out = rows(&sides, Side::HeldOut).len();
            let wanted = part(values.len(), share);
            assert!((wanted..wanted + 23).contains(&held_out), "{share} {held_out}");
        }
        let error = grouped(&keys[..2], "g", fold(1, 5), [0; 32]).unwrap_err();
        assert_eq!(error.to_string().split(',').next(), Some("`g` has 2 different values"));
    }

    #[test]
    fn training_rows_are_earlier_than_all_held_out_rows() {
        let times: Vec<f64> = (0..200).map(|row| f64::from(row * 37 % 61)).collect();
        for held in [Held::Share(0.3), fold(1, 4), fold(4, 4)] {
            let sides = by_time(&times, "t", held).unwrap();
            let of = |side| rows(&sides, side).into_iter().map(|row| times[row]);
            let last = of(Side::Train).fold(f64::MIN, f64::max);
            let first = of(Side::HeldOut).fold(f64::MAX, f64::min);
            let end = of(Side::HeldOut).fold(f64::MIN, f64::max);
            assert!(last < first, "{held:?}: {last} {first}");
            assert!(of(Side::Unused).all(|time| time > end), "{held:?}");
        }
        let error = by_time(&[1.0; 20], "t", fold(1, 3)).unwrap_err().to_string();
        assert!(error.contains("too many rows are of one time"), "{error}");
        assert!(!by_time(&[1.0; 20], "t", Held::Share(0.5)).unwrap().contains(&Side::Train));
    }
}
