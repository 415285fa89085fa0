//! Statistics of columns with rules: what stands for missing values, and scales.
//!
//! Rows are passed over in ascending order, block by block, as often as the statistics need; the
//! sums are compensated (Neumaier 1974) and follow the rows alone, so that they are the same bits
//! for a dataset in memory and for one that is read block by block. A median is exact: its bits
//! are found sixteen at a time by counting, which takes four passes and, for each of at most
//! [`SELECTIONS_MAX`] at once, half a MiB.

mod sums;

use std::collections::BTreeMap;
use std::ops::Range;

use fedwasm_dataset::{Block, Dataset, Error as DataError, Field, Place, Values};
use fedwasm_protocol::{ColumnKind, ColumnRule, Scale, Standardize, Unknown};

use self::sums::Sum;
use crate::layout::Layout;
use crate::prepared::{Prepared, PreparedColumn};
use crate::preprocessing::scale_names;
use crate::treatment::{Filled, Statistic, Treatment, fills, is_one_hot, scale_of};
use crate::{ColumnScale, Error, Preprocessing};

/// The most different values that are counted for `impute = "most-frequent"`.
const DIFFERENT_MAX: usize = 65_536;
/// The most medians that are looked for in one pass: 32 MiB of counts.
const SELECTIONS_MAX: usize = 64;

/// Passes over all rows once: calls its argument with each block, in order, and with the training
/// rows among those of the dataset.
pub(crate) type Pass<'a> = dyn Fn(&mut Visit<'_>) -> Result<(), Error> + 'a;
/// Is shown a block.
pub(crate) type Visit<'a> = dyn FnMut(&Block, &dyn Fn(u64) -> bool) -> Result<(), Error> + 'a;

/// The scales of some fields, by their place in the layout.
pub(crate) type Scales = Vec<(usize, Vec<ColumnScale>)>;

/// A field with a rule.
struct Column<'a> {
    /// Where it is among the columns of a block.
    at: usize,
    field: &'a Field,
    rule: &'a ColumnRule,
    is_target: bool,
    /// What stands for a missing value, once it is known.
    fill: Option<f64>,
}

/// The fields with rules, in the order of the layout.
pub(crate) struct ColumnFit<'a> {
    dataset: &'a Dataset,
    columns: Vec<Column<'a>>,
}

impl<'a> ColumnFit<'a> {
    pub(crate) fn new(dataset: &'a Dataset, layout: &Layout) -> Self {
        let column = |(at, field): (usize, &usize)| {
            let rule = dataset.rule(*field)?;
            let fill = match Filled::of(rule) {
                Filled::With(fill) => Some(fill),
                _ => None,
            };
            let is_target = at >= layout.n_input_fields;
            Some(Column { at, field: &dataset.fields()[*field], rule, is_target, fill })
        };
        Self { dataset, columns: layout.fields.iter().enumerate().filter_map(column).collect() }
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Fits everything, and counts what is done. Returns the scales of each input with a rule,
    /// with its place in the layout.
    ///
    /// # Errors
    /// [`Error::NothingToImpute`], and [`Error::Dataset`]: a value or target is missing, too many
    /// values differ.
    pub(crate) fn fit(
        mut self,
        standardize: Standardize,
        pass: &Pass<'_>,
    ) -> Result<(Scales, Prepared), Error> {
        let prepared =
            self.survey(pass, |column| !matches!(Filled::of(column.rule), Filled::Nothing))?;
        self.impute(pass)?;
        let scales = self.scale(standardize, pass)?;
        let inputs = self.columns.iter().zip(scales).filter(|(column, _)| !column.is_target);
        let all = inputs.map(|(column, (mean, std))| {
            let fills = fills(column.rule, column.field, column.by_rule());
            let names = scale_names([column.field]);
            let is_measured = column.rule.is_measured();
            let scale = |(at, (name, fill)): (usize, (String, Option<f64>))| {
                // Behind the number there may be its flag.
                let (mean, std) = if is_measured && at == 0 { (mean, std) } else { (0.0, 1.0) };
                ColumnScale { name, mean, std, fill }
            };
            (column.at, names.into_iter().zip(fills).enumerate().map(scale).collect())
        });
        Ok((all.collect(), prepared))
    }

    /// Adds what rules alone say to scales that were fitted elsewhere, and counts what is done.
    ///
    /// # Errors
    /// [`Error::Preprocessing`] if a statistic is missing, and as [`ColumnFit::fit`].
    pub(crate) fn given(
        &self,
        mut scales: Preprocessing,
        pass: &Pass<'_>,
    ) -> Result<(Preprocessing, Prepared), Error> {
        if self.is_empty() {
            return Ok((scales, Prepared::default()));
        }
        for column in self.columns.iter().filter(|column| !column.is_target) {
            let names = scale_names([column.field]);
            let with = column.by_rule();
            let known = fills(column.rule, column.field, with);
            for (name, fill) in names.iter().zip(known) {
                let scale = scales.columns.iter_mut().find(|scale| scale.name == *name);
                if let Some(scale) = scale.filter(|scale| scale.fill.is_none()) {
                    scale.fill = fill;
                }
            }
            let first = scales.columns.iter().find(|scale| Some(&scale.name) == names.first());
            let is_fitted = matches!(Filled::of(column.rule), Filled::Fitted(_));
            if is_fitted && first.is_none_or(|scale| scale.fill.is_none()) {
                return Err(Error::Preprocessing { column: column.field.name.clone() });
            }
        }
        let filled = |column: &Column<'_>| !matches!(Filled::of(column.rule), Filled::Nothing);
        let prepared = self.survey(pass, filled)?;
        Ok((scales, prepared))
    }

    /// Counts what is done in all rows.
    ///
    /// # Errors
    /// [`Error::Dataset`]: a value is missing that has no fill, or a target.
    fn survey(
        &self,
        pass: &Pass<'_>,
        has_fill: impl Fn(&Column<'_>) -> bool,
    ) -> Result<Prepared, Error> {
        let mut all: Vec<PreparedColumn> = Vec::new();
        for column in &self.columns {
            all.push(PreparedColumn { name: column.field.name.clone(), ..Default::default() });
        }
        let filled: Vec<bool> = self.columns.iter().map(has_fill).collect();
        let (mut rows_with_missing, mut no_target) = (0, None::<(Place, usize)>);
        pass(&mut |block, _| {
            for row in 0..block.n_rows {
                let mut is_missing = false;
                for (nth, (column, done)) in self.columns.iter().zip(&mut all).enumerate() {
                    let value = column.value(block, row);
                    if value.is_nan() {
                        is_missing = true;
                        done.missing += 1;
                        if column.is_target {
                            no_target.get_or_insert((block.place(row), nth));
                        } else if !filled[nth] {
                            let (path, place) = (self.dataset.path().to_owned(), block.place(row));
                            let column = column.field.name.clone();
                            return Err(DataError::MissingValue { path, place, column }.into());
                        }
                    }
                    let [low, high] = column.rule.clip.unwrap_or([f64::MIN, f64::MAX]);
                    let is_clipped = !value.is_nan() && !(low..=high).contains(&value);
                    done.clipped += u64::from(is_clipped);
                    done.unknown += u64::from(column.is_unknown(value));
                }
                rows_with_missing += u64::from(is_missing);
            }
            Ok(())
        })?;
        if let Some((place, nth)) = no_target {
            let (path, column) = (self.dataset.path().to_owned(), all[nth].name.clone());
            let n = all[nth].missing;
            return Err(DataError::MissingTargets { path, place, column, n }.into());
        }
        all.iter_mut().for_each(|done| done.imputed = done.missing);
        all.retain(|done| done.missing + done.clipped + done.unknown > 0);
        Ok(Prepared { rows_with_missing, columns: all })
    }

    /// Finds what stands for missing values.
    fn impute(&mut self, pass: &Pass<'_>) -> Result<(), Error> {
        let wanted = |column: &Column<'_>| match Filled::of(column.rule) {
            Filled::Fitted(statistic) if !column.is_target => Some(statistic),
            _ => None,
        };
        let statistics: Vec<Option<Statistic>> = self.columns.iter().map(wanted).collect();
        if statistics.iter().all(Option::is_none) {
            return Ok(());
        }
        let (mut sums, mut counts) = (vec![Sum::default(); statistics.len()], Vec::new());
        counts.resize_with(statistics.len(), BTreeMap::<u64, u64>::new);
        self.each(pass, |nth, column, value| {
            if statistics[nth].is_none() || value.is_nan() {
                return Ok(());
            }
            sums[nth].add(value);
            if statistics[nth] == Some(Statistic::MostFrequent) {
                *counts[nth].entry(key(value)).or_default() += 1;
                if counts[nth].len() > DIFFERENT_MAX {
                    let (path, column) =
                        (self.dataset.path().to_owned(), column.field.name.clone());
                    let error = DataError::TooManyValues { path, column, max: DIFFERENT_MAX };
                    return Err(error.into());
                }
            }
            Ok(())
        })?;
        let mut medians = Vec::new();
        for (nth, statistic) in statistics.iter().enumerate() {
            let n = sums[nth].n;
            if statistic.is_some() && n == 0 {
                let column = self.columns[nth].field.name.clone();
                return Err(Error::NothingToImpute { column });
            }
            match statistic {
                None => {}
                Some(Statistic::Mean) => self.columns[nth].fill = Some(sums[nth].mean()),
                Some(Statistic::MostFrequent) => {
                    // Of equals the smallest, as scikit-learn's SimpleImputer.
                    let most = counts[nth].iter().rev().max_by_key(|(_, n)| **n);
                    self.columns[nth].fill = most.map(|(key, _)| value_of(*key));
                }
                Some(Statistic::Median) => medians.push((nth, n)),
            }
        }
        self.medians(&medians, pass)
    }

    /// Finds the medians of some columns with so many values.
    fn medians(&mut self, of: &[(usize, u64)], pass: &Pass<'_>) -> Result<(), Error> {
        let ranks = of.iter().flat_map(|(nth, n)| [(*nth, (n - 1) / 2), (*nth, n / 2)]);
        let mut ranks: Vec<(usize, u64)> = ranks.collect();
        ranks.dedup();
        let mut found: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for ranks in ranks.chunks(SELECTIONS_MAX) {
            let mut selections: Vec<Selection> =
                ranks.iter().map(|of| Selection::new(*of)).collect();
            let mut places = vec![0..0; self.columns.len()];
            for (at, selection) in selections.iter().enumerate() {
                let place: &mut Range<usize> = &mut places[selection.nth];
                *place = if place.end == 0 { at..at + 1 } else { place.start..at + 1 };
            }
            for _ in 0..4 {
                self.each(pass, |nth, _, value| {
                    if !value.is_nan() {
                        let own = &mut selections[places[nth].clone()];
                        own.iter_mut().for_each(|selection| selection.count(key(value)));
                    }
                    Ok(())
                })?;
                selections.iter_mut().for_each(Selection::narrow);
            }
            for selection in selections {
                found.entry(selection.nth).or_default().push(value_of(selection.prefix));
            }
        }
        for (nth, values) in found {
            let middle = values.iter().sum::<f64>() / values.len() as f64;
            self.columns[nth].fill = Some(middle);
        }
        Ok(())
    }

    /// Finds mean and divisor of each column; those of columns that are not scaled are 0 and 1.
    fn scale(&self, standardize: Standardize, pass: &Pass<'_>) -> Result<Vec<(f64, f64)>, Error> {
        let scale = |column: &Column<'_>| {
            if column.is_target { Scale::None } else { scale_of(column.rule, standardize) }
        };
        let scales: Vec<Scale> = self.columns.iter().map(scale).collect();
        let mut found = vec![(0.0, 1.0); scales.len()];
        if scales.iter().all(|scale| *scale == Scale::None) {
            return Ok(found);
        }
        let treatments: Vec<Treatment> = self.columns.iter().map(Column::treatment).collect();
        let mut sums = vec![Sum::default(); scales.len()];
        let mut ranges = vec![(f64::INFINITY, f64::NEG_INFINITY); scales.len()];
        self.each_unclipped(pass, |nth, value| {
            let value = treatments[nth].number(value);
            if scales[nth] != Scale::None && !value.is_nan() {
                sums[nth].add(value);
                let (low, high) = ranges[nth];
                ranges[nth] = (low.min(value), high.max(value));
            }
            Ok(())
        })?;
        let mut squares = vec![Sum::default(); scales.len()];
        if scales.contains(&Scale::Standard) {
            self.each_unclipped(pass, |nth, value| {
                let distance = treatments[nth].number(value) - sums[nth].mean();
                if scales[nth] == Scale::Standard && !distance.is_nan() {
                    squares[nth].add(distance * distance);
                }
                Ok(())
            })?;
        }
        for (nth, found) in found.iter_mut().enumerate() {
            let (low, high) = ranges[nth];
            let (mean, divisor) = match scales[nth] {
                Scale::None => continue,
                Scale::Standard => (sums[nth].mean(), squares[nth].mean().sqrt()),
                Scale::MinMax => (low, high - low),
            };
            // Of a constant column, or of none.
            let divides = low < high && divisor.is_normal();
            let mean = if mean.is_finite() { mean } else { 0.0 };
            let std = if divides { divisor } else { 1.0 };
            *found = (mean, std);
        }
        Ok(found)
    }

    /// Passes each value of the training rows, clipped.
    fn each(
        &self,
        pass: &Pass<'_>,
        mut take: impl FnMut(usize, &Column<'_>, f64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let clips: Vec<Option<[f64; 2]>> = self.columns.iter().map(|of| of.rule.clip).collect();
        self.each_unclipped(pass, |nth, value| {
            let value = clips[nth].map_or(value, |[low, high]| value.clamp(low, high));
            take(nth, &self.columns[nth], value)
        })
    }

    fn each_unclipped(
        &self,
        pass: &Pass<'_>,
        mut take: impl FnMut(usize, f64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        pass(&mut |block, is_training| {
            for row in (0..block.n_rows).filter(|row| is_training(block.first_row + *row as u64)) {
                for (nth, column) in self.columns.iter().enumerate() {
                    take(nth, column.value(block, row))?;
                }
            }
            Ok(())
        })
    }
}

impl Column<'_> {
    /// The number of a row, or the place of its category; NaN if it is missing.
    fn value(&self, block: &Block, row: usize) -> f64 {
        let Some(Values::Float64(values)) = block.columns.get(self.at) else { return f64::NAN };
        let width = self.field.width();
        let values = values.get(row * width..(row + 1) * width).unwrap_or_default();
        let Some(first) = values.first() else { return f64::NAN };
        if is_one_hot(self.rule) && !first.is_nan() {
            let place = values.iter().position(|value| *value == 1.0);
            return place.map_or(f64::NAN, |at| at as f64);
        }
        *first
    }

    /// The number or place that stands for a missing value. No place is -1: then all values of a
    /// one-hot category are 0.
    fn by_rule(&self) -> Option<f64> {
        match Filled::of(self.rule) {
            Filled::Zeros => Some(-1.0),
            _ => self.fill,
        }
    }

    fn is_unknown(&self, value: f64) -> bool {
        match &self.rule.kind {
            ColumnKind::Category { values, unknown: Unknown::Other, .. } => {
                value == values.len() as f64
            }
            _ => false,
        }
    }

    /// The steps before scaling.
    fn treatment(&self) -> Treatment {
        let (clip, log1p) = (self.rule.clip, self.rule.log1p);
        Treatment { clip, fill: self.fill, log1p, mean: 0.0, std: 1.0 }
    }
}

/// The value of a rank among those of a column, bits by bits from the highest.
struct Selection {
    nth: usize,
    /// Among the values with this prefix.
    rank: u64,
    prefix: u64,
    /// How many bits of the prefix are known.
    known: u32,
    counts: Vec<u64>,
}

impl Selection {
    fn new((nth, rank): (usize, u64)) -> Self {
        Self { nth, rank, prefix: 0, known: 0, counts: vec![0; 1 << 16] }
    }

    fn count(&mut self, key: u64) {
        if self.known == 0 || key >> (64 - self.known) == self.prefix {
            self.counts[(key >> (48 - self.known) & 0xffff) as usize] += 1;
        }
    }

    /// Takes the sixteen bits in which the rank lies.
    fn narrow(&mut self) {
        let mut at = 0;
        while at < 0xffff && self.rank >= self.counts[at] {
            self.rank -= self.counts[at];
            at += 1;
        }
        self.prefix = self.prefix << 16 | at as u64;
        self.known += 16;
        self.counts.fill(0);
    }
}

/// A number whose order is that of the values. Minus zero is zero.
fn key(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn value_of(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_protocol::{ColumnRules, MISSING_WORDS};

    const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/columns/");

    fn words() -> Vec<String> {
        MISSING_WORDS.map(str::to_owned).to_vec()
    }

    fn file(text: &str) -> (tempfile::TempDir, Dataset) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        let dataset = Dataset::open(&path, None).unwrap();
        (dir, dataset)
    }

    fn ruled(dataset: &Dataset, rules: &str) -> Dataset {
        let rules = ColumnRules::parse(rules.parse().unwrap()).unwrap();
        dataset.with_rules(&rules, &words()).unwrap()
    }

    /// All fields as inputs, but the last `n_targets`.
    fn layout(dataset: &Dataset, n_targets: usize) -> Layout {
        let fields: Vec<usize> = (0..dataset.fields().len()).collect();
        let n_input_fields = fields.len() - n_targets;
        Layout { fields, n_input_fields, inputs: vec![], targets: vec![] }
    }

    /// The rows of a dataset, `n` a block.
    fn blocks(dataset: &Dataset, n: usize) -> Vec<Block> {
        let fields: Vec<usize> = (0..dataset.fields().len()).collect();
        let whole = dataset.read(0, &fields).unwrap();
        let cut = |start: usize| {
            let rows = start..whole.n_rows.min(start + n);
            let columns = whole.columns.iter().zip(dataset.fields()).map(|(values, field)| {
                let Values::Float64(values) = values else { panic!("float64") };
                let width = field.width();
                Values::Float64(values[rows.start * width..rows.end * width].to_vec())
            });
            Block::new(start as u64, rows.len(), columns.collect())
        };
        (0..whole.n_rows).step_by(n).map(cut).collect()
    }

    fn fit(dataset: &Dataset, n_targets: usize, n: usize) -> Result<(Scales, Prepared), Error> {
        let (layout, blocks) = (layout(dataset, n_targets), blocks(dataset, n));
        let is_training = |row: u64| row % 5 != 4;
        let pass =
            |visit: &mut Visit<'_>| blocks.iter().try_for_each(|block| visit(block, &is_training));
        let (scales, prepared) = ColumnFit::new(dataset, &layout).fit(Standardize::Site, &pass)?;
        Ok((scales, prepared))
    }

    // tests/oracles/columns_sklearn.py makes table, rules and matrix.
    #[test]
    fn the_matrix_equals_that_of_scikit_learn() {
        let rules = std::fs::read_to_string(format!("{DATA}columns.toml")).unwrap();
        let plain = Dataset::open(format!("{DATA}table.csv").as_ref(), None).unwrap();
        let dataset = ruled(&plain, &rules);
        let matrix = std::fs::read_to_string(format!("{DATA}matrix.json")).unwrap();
        let matrix: Vec<Vec<f64>> = serde_json::from_str(&matrix).unwrap();
        let (scales, prepared) = fit(&dataset, 0, 1_000).unwrap();
        let block = &blocks(&dataset, 1_000)[0];
        for (row, expected) in matrix.iter().enumerate() {
            let mut got = Vec::new();
            for (field, scales) in &scales {
                let rule = dataset.rule(*field).unwrap();
                let Values::Float64(values) = &block.columns[*field] else { panic!("float64") };
                for (at, scale) in scales.iter().enumerate() {
                    let value = values[row * scales.len() + at];
                    got.push(Treatment::new(rule, at, scale).apply(value));
                }
            }
            assert_eq!(got.len(), expected.len());
            for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
                let off = (got - expected).abs() / expected.abs().max(1.0);
                assert!(off < 1e-12, "row {row}, value {at}: {got}, not {expected}");
            }
        }
        // The same bits however the rows are cut into blocks.
        for n in [1, 7, 100] {
            let (cut, counts) = fit(&dataset, 0, n).unwrap();
            assert_eq!(format!("{cut:?}"), format!("{scales:?}"), "{n}");
            assert_eq!(counts, prepared);
        }
        let clipped = prepared.columns.iter().find(|column| column.name == "clipped").unwrap();
        assert!(clipped.clipped > 50 && clipped.missing == 0, "{clipped:?}");
    }

    #[test]
    fn medians_are_exact_for_any_numbers() {
        for values in [
            vec![3.0],
            vec![-1.0, 2.0],
            vec![-0.0, 0.0, 1e-300],
            vec![5.0, -7.0, 5.0, 1e30, -1e30, 0.1, 0.2],
            (0..1_000).map(|n| f64::from(n * 7_919 % 1_000) / 7.0 - 50.0).collect(),
        ] {
            let cells: Vec<String> = values.iter().map(|value| format!("{value:e}")).collect();
            let (_dir, dataset) = file(&format!("x,y\n{},0\n", cells.join(",0\n")));
            let dataset =
                ruled(&dataset, "x = { kind = 'number', impute = 'median', scale = 'none' }");
            let layout = layout(&dataset, 0);
            let blocks = blocks(&dataset, 13);
            let pass =
                |visit: &mut Visit<'_>| blocks.iter().try_for_each(|block| visit(block, &|_| true));
            let found = ColumnFit::new(&dataset, &layout).fit(Standardize::Site, &pass).unwrap();
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let n = sorted.len();
            let expected = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0;
            assert_eq!(found.0[0].1[0].fill, Some(expected), "{n}");
        }
    }

    #[test]
    fn missing_values_and_targets_are_told_by_place_and_count() {
        let (_dir, dataset) = file("x,y\n1,0\n?,1\n3,\n4,\n");
        let missing = ruled(&dataset, "x = 'number'\ny = 'boolean'");
        let error = fit(&missing, 1, 2).unwrap_err();
        let Error::Dataset(DataError::MissingValue { place, column, .. }) = error else {
            panic!("{error}");
        };
        assert_eq!((place, column.as_str()), (Place::Row(1), "x"));
        let target = ruled(&dataset, "x = { kind = 'number', impute = 0 }\ny = 'boolean'");
        let error = fit(&target, 1, 2).unwrap_err();
        let Error::Dataset(DataError::MissingTargets { place, n, .. }) = error else {
            panic!("{error}");
        };
        assert_eq!((place, n), (Place::Row(2), 2));
    }

    #[test]
    fn statistics_without_values_and_of_too_many_are_refused() {
        let (_dir, empty) = file("x,y\n?,0\n?,1\n");
        let empty = ruled(&empty, "x = { kind = 'number', impute = 'mean' }");
        assert!(
            matches!(fit(&empty, 1, 9), Err(Error::NothingToImpute { column }) if column == "x")
        );
        let rows: String = (0..=2 * DIFFERENT_MAX).map(|n| format!("{n}\n")).collect();
        let (_dir, many) = file(&format!("x\n{rows}"));
        let many = ruled(&many, "x = { kind = 'number', impute = 'most-frequent' }");
        let layout = layout(&many, 0);
        let pass = |visit: &mut Visit<'_>| {
            (0..many.n_blocks()).try_for_each(|at| visit(&many.read(at, &[0]).unwrap(), &|_| true))
        };
        let error = ColumnFit::new(&many, &layout).fit(Standardize::Site, &pass).unwrap_err();
        assert!(matches!(error, Error::Dataset(DataError::TooManyValues { .. })), "{error}");
    }

    #[test]
    fn a_flag_is_enough_for_a_category() {
        let (_dir, dataset) = file("w,y\nA,0\n?,1\n");
        let dataset =
            ruled(&dataset, "w = { kind = 'category', values = ['A', 'B'], flag_missing = true }");
        let (scales, prepared) = fit(&dataset, 1, 9).unwrap();
        let fills: Vec<Option<f64>> = scales[0].1.iter().map(|scale| scale.fill).collect();
        assert_eq!(fills, [Some(0.0), Some(0.0), None]);
        assert_eq!(prepared.rows_with_missing, 1);
        assert_eq!(prepared.remarks(), ["column `w`: values 1 missing and imputed"]);
    }
}
