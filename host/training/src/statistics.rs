//! Statistics of the columns of a dataset over all of its rows, as sums that may leave a site:
//! nothing in them is about fewer rows than the site's minimum.

use fedwasm_dataset::{Block, Dataset, Field};
use fedwasm_protocol::{COLUMNS_MAX, COUNTED_MAX, ColumnRule, ColumnSums, Edges, Sums};

use crate::Error;
use crate::exact_fit::{ExactFit, Steps};
use crate::preprocessing::{n_scales, scale_names};

/// Few different values: from the number of values, their sum and that of their squares follows how
/// often each of three is there, and with whole counts and some luck how often each of so many.
const FEW_VALUES: usize = 8;
/// The most cells that are counted at once, of all histograms and codes: 64 MiB.
const CELLS_MAX: usize = 1 << 23;

/// The part of statistics that a site lets out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disclosure {
    /// The fewest values behind a number.
    pub min_rows: u64,
    /// The fewest missing values that are told, if there are some: 0 but where the asker chose the
    /// words for them, and so which values are counted.
    pub min_missing: u64,
    /// Whether the smallest and the largest value are told: they are those of single rows.
    pub extremes: bool,
}

/// Sums up columns over all rows of a dataset, block by block.
///
/// * `columns` — their names; all of the dataset's if none.
/// * `edges` — of the histograms, by the name of a sum; columns without some get none.
/// * `is_over` — whether the work may end early; its answer is then [`Error::Cancelled`].
///
/// # Errors
/// [`Error::Dataset`], [`Error::Statistics`], [`Error::Cancelled`].
pub fn statistics(
    dataset: &Dataset,
    columns: Option<&[String]>,
    edges: Option<&Edges>,
    disclosure: Disclosure,
    is_over: &dyn Fn() -> bool,
) -> Result<Sums, Error> {
    let all = dataset.fields();
    let chosen: Vec<usize> = match columns {
        Some(names) => names.iter().map(|name| dataset.position(name)).collect::<Result<_, _>>()?,
        None => (0..all.len()).collect(),
    };
    let fields: Vec<&Field> = chosen.iter().map(|at| &all[*at]).collect();
    let n_sums: usize = fields.iter().map(|field| n_scales(field)).sum();
    if n_sums > COLUMNS_MAX {
        let reason = format!(
            "the columns have {n_sums} values a row, and statistics are of {COLUMNS_MAX} at most: \
             name fewer columns with `inputs`"
        );
        return Err(Error::Statistics { reason });
    }
    let mut fit = ExactFit::new(fields.iter().map(|field| (*field, Steps::Plain)));
    let rules = chosen.iter().map(|at| dataset.rule(*at));
    let mut tallies: Vec<Tally> = fields
        .iter()
        .zip(rules)
        .flat_map(|(field, rule)| Tally::of_field(field, rule, edges))
        .collect();
    let n_cells: usize = tallies.iter().map(Tally::n_cells).sum();
    if n_cells > CELLS_MAX {
        let reason = format!(
            "the histograms and codes of the columns have {n_cells} cells, and statistics count \
             {CELLS_MAX} at most: name fewer columns with `inputs`, or use fewer bins"
        );
        return Err(Error::Statistics { reason });
    }
    for index in 0..dataset.n_blocks() {
        if is_over() {
            return Err(Error::Cancelled);
        }
        let block = dataset.read(index, &chosen)?;
        fit.add(&block, |_| true);
        count(&fields, &block, edges, &mut tallies);
    }
    let mut sums = Sums { n_rows: dataset.n_rows(), ..Sums::default() };
    for (column, tally) in fit.finish()?.into_iter().zip(tallies) {
        match tally.is_of_few(&column, disclosure) {
            true => sums.withheld.push(column.name),
            false => sums.columns.push(tally.told(column, disclosure)),
        }
    }
    Ok(sums)
}

/// Counts of one sum beside its moments.
#[derive(Debug)]
struct Tally {
    extremes: Option<[f64; 2]>,
    ends: Option<[f64; 2]>,
    /// The cells of its histogram, made when the first value comes.
    cells: Vec<u64>,
    n_cells: usize,
    /// How often each value is there; none of pixels.
    counts: Option<Counts>,
    /// How many codes there are, if its values are those of a category, a class or a boolean.
    n_codes: Option<usize>,
}

impl Tally {
    fn of_field(field: &Field, rule: Option<&ColumnRule>, edges: Option<&Edges>) -> Vec<Self> {
        // Of pixels all values are known beforehand, and a channel has many a row.
        let counts = field.n_channels().is_none();
        let n_codes = rule.and_then(ColumnRule::n_categories);
        let of = |name: String| {
            let ends = edges.filter(|_| counts).and_then(|edges| edges.ends.get(&name)).copied();
            let n_bins = edges.map_or(0, |edges| edges.n_bins as usize);
            let values_max = n_codes.unwrap_or(0).max(COUNTED_MAX);
            Self {
                extremes: None,
                ends,
                cells: Vec::new(),
                n_cells: ends.map_or(0, |_| n_bins + 2),
                counts: counts.then(|| Counts { values: Some(Vec::new()), values_max }),
                n_codes,
            }
        };
        scale_names([field]).into_iter().map(of).collect()
    }

    /// Cells that are counted.
    fn n_cells(&self) -> usize {
        self.n_cells + self.n_codes.unwrap_or(0)
    }

    fn add(&mut self, value: f64, edges: Option<&Edges>) {
        if value.is_nan() {
            return;
        }
        let [low, high] = self.extremes.get_or_insert([value, value]);
        (*low, *high) = (low.min(value), high.max(value));
        if let (Some(ends), Some(edges)) = (self.ends, edges) {
            self.cells.resize(self.n_cells, 0);
            self.cells[edges.cell(ends, value)] += 1;
        }
        if let Some(counts) = &mut self.counts {
            counts.add(value);
        }
    }

    /// Whether its sums would be about fewer rows than the minimum: those with a value, those with one
    /// of its codes or few values, which the sums count, or those that chosen words make missing.
    fn is_of_few(&self, column: &ColumnSums, disclosure: Disclosure) -> bool {
        let Disclosure { min_rows, min_missing, .. } = disclosure;
        if column.n() < min_rows.max(1) || (1..min_missing).contains(&column.missing) {
            return true;
        }
        let Some(values) = self.values() else { return false };
        let is_counted = self.n_codes.is_some() || values.len() <= FEW_VALUES;
        is_counted && n_rare(values, min_rows) > 0
    }

    /// The different values and how often each is there, unless they are too many.
    fn values(&self) -> Option<&[(f64, u64)]> {
        self.counts.as_ref()?.values.as_deref()
    }

    /// The part of it that may leave.
    fn told(self, column: ColumnSums, disclosure: Disclosure) -> ColumnSums {
        let Disclosure { min_rows, extremes, .. } = disclosure;
        let extremes = self.extremes.filter(|_| extremes);
        let values = self.values();
        // With all other counts the sums would tell those of the few that are hidden.
        let n_hidden = values.map_or(0, |values| n_rare(values, min_rows));
        if (1..=FEW_VALUES).contains(&n_hidden) {
            return ColumnSums { extremes, ..column };
        }
        let categories = values.and_then(categories).unwrap_or_default();
        ColumnSums {
            extremes,
            histogram: merged(&self.cells, min_rows),
            categories: hidden(categories, column.n(), min_rows),
            ..column
        }
    }
}

/// How often each value of a column is there, while there are few.
#[derive(Debug)]
struct Counts {
    /// In ascending order; none once there are too many.
    values: Option<Vec<(f64, u64)>>,
    values_max: usize,
}

impl Counts {
    fn add(&mut self, value: f64) {
        let Some(values) = &mut self.values else { return };
        // Minus zero is zero.
        let value = value + 0.0;
        match values.binary_search_by(|(known, _)| known.total_cmp(&value)) {
            Ok(at) => values[at].1 += 1,
            Err(_) if values.len() == self.values_max => self.values = None,
            Err(at) => values.insert(at, (value, 1)),
        }
    }
}

/// How many of the values fewer rows than the minimum have.
fn n_rare(values: &[(f64, u64)], min_rows: u64) -> usize {
    values.iter().filter(|(_, count)| *count < min_rows).count()
}

/// Counts by whole number from 0 on, if all values are such and below [`COUNTED_MAX`].
fn categories(values: &[(f64, u64)]) -> Option<Vec<u64>> {
    let mut counts = Vec::new();
    for (value, count) in values {
        if value.fract() != 0.0 || !(0.0..COUNTED_MAX as f64).contains(value) {
            return None;
        }
        counts.resize(*value as usize, 0);
        counts.push(*count);
    }
    Some(counts)
}

fn count(fields: &[&Field], block: &Block, edges: Option<&Edges>, tallies: &mut [Tally]) {
    let mut tallies = tallies.iter_mut();
    for (field, values) in fields.iter().zip(&block.columns) {
        let (n, width) = (n_scales(field), field.width());
        let plane = (width / n.max(1)).max(1);
        let unit = if field.is_image() { 255.0 } else { 1.0 };
        for (at, tally) in tallies.by_ref().take(n).enumerate() {
            for row in 0..block.n_rows {
                let start = row * width + at * plane;
                values.each(start..start + plane, |value| tally.add(value / unit, edges));
            }
        }
    }
}

/// A bit a row that is not held out.
pub(crate) fn packed(held_out: impl Iterator<Item = bool>) -> Vec<u8> {
    let mut packed = Vec::new();
    for (row, held_out) in held_out.enumerate() {
        if row % 8 == 0 {
            packed.push(0);
        }
        if let (Some(last), false) = (packed.last_mut(), held_out) {
            *last |= 1 << (row % 8);
        }
    }
    packed
}

/// Neighbouring cells put together until each has at least `min` values: how many cells, and how
/// many values.
fn merged(cells: &[u64], min: u64) -> Vec<(u32, u64)> {
    let (mut merged, mut open) = (Vec::<(u32, u64)>::new(), (0, 0));
    for count in cells {
        open = (open.0 + 1, open.1 + count);
        if open.1 >= min.max(1) {
            merged.push(std::mem::take(&mut open));
        }
    }
    match merged.last_mut() {
        Some(last) => *last = (last.0 + open.0, last.1 + open.1),
        None if open.1 > 0 => merged.push(open),
        None => {}
    }
    merged
}

/// Counts of categories without those of fewer than `min` values. Those that are hidden are at least so
/// many values together: their number follows from `n` and the others.
fn hidden(counts: Vec<u64>, n: u64, min: u64) -> Vec<Option<u64>> {
    let is_told = |count: &u64| *count >= min.max(1);
    let mut told: Vec<Option<u64>> =
        counts.into_iter().map(|count| Some(count).filter(is_told)).collect();
    let rest = n - told.iter().flatten().sum::<u64>().min(n);
    if (1..min).contains(&rest) {
        let known = told.iter_mut().filter(|count| count.is_some());
        if let Some(smallest) = known.min_by_key(|count| **count) {
            *smallest = None;
        }
    }
    while told.last().is_some_and(Option::is_none) {
        told.pop();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_dataset::Element;
    use fedwasm_protocol::{ColumnRules, Moments};

    #[test]
    fn cells_are_put_together_until_enough_values_are_in_them() {
        assert_eq!(merged(&[0, 3, 4, 12, 0, 2, 0], 5), [(3, 7), (4, 14)]);
        assert_eq!(merged(&[9, 0, 9], 5), [(1, 9), (2, 9)]);
        assert_eq!(merged(&[1, 2], 5), [(2, 3)]);
        assert_eq!(merged(&[1, 0, 2], 0), [(1, 1), (2, 2)]);
        assert!(merged(&[0, 0], 5).is_empty() && merged(&[], 5).is_empty());
        let cells: Vec<u64> = (0..100).map(|n| n * 7 % 11).collect();
        let merged = merged(&cells, 10);
        assert!(merged.iter().all(|(_, count)| *count >= 10));
        assert_eq!(merged.iter().map(|(n, _)| *n as usize).sum::<usize>(), cells.len());
        assert_eq!(merged.iter().map(|(_, n)| n).sum::<u64>(), cells.iter().sum::<u64>());
    }

    /// The columns of a table that are told, with the counts of their categories, and the others.
    fn told(columns: &[(&str, &str, Vec<String>)], disclosure: Disclosure) -> (Vec<String>, Sums) {
        let rules: String =
            columns.iter().map(|(name, rule, _)| format!("{name} = {rule}\n")).collect();
        let mut text = columns.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(",") + "\n";
        for row in 0..columns[0].2.len() {
            let cells: Vec<&str> = columns.iter().map(|of| of.2[row].as_str()).collect();
            text += &(cells.join(",") + "\n");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        let rules = ColumnRules::parse(rules.parse().unwrap()).unwrap();
        let dataset = Dataset::open(&path, None).unwrap();
        let dataset = dataset.with_rules(&rules, &["?".to_owned()]).unwrap();
        let sums = statistics(&dataset, None, None, disclosure, &|| false).unwrap();
        (sums.columns.iter().map(|column| column.name.clone()).collect(), sums)
    }

    /// So many cells of each text, one after the other.
    fn cells(of: &[(&str, usize)]) -> Vec<String> {
        of.iter().flat_map(|(text, n)| vec![(*text).to_owned(); *n]).collect()
    }

    #[test]
    fn columns_whose_sums_count_few_rows_are_withheld() {
        let number = "'number'";
        let code = |values: &str| {
            format!(
                "{{ kind = 'category', encode = 'code', values = {values}, unknown = 'other' }}"
            )
        };
        let (two, ten) = (code("['a', 'b']"), code("[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"));
        // Each value as often as the other, but for the first, which 5 rows have.
        let few = |n: usize| -> Vec<String> {
            let rest = (0..95).map(|row| (1 + row % (n - 1)).to_string());
            cells(&[("0", 5)]).into_iter().chain(rest).collect()
        };
        let halves = |column: Vec<String>| column.into_iter().map(|cell| cell + ".5").collect();
        let columns = [
            ("flag", number, cells(&[("0", 95), ("1", 5)])),
            ("level", number, cells(&[("0.5", 40), ("7", 50), ("-3", 10)])),
            ("rare_level", number, cells(&[("0.5", 41), ("7", 50), ("-3", 9)])),
            ("eight", number, halves(few(8))),
            ("nine", number, halves(few(9))),
            ("counted", number, few(9)),
            ("constant", number, cells(&[("3", 100)])),
            ("ward", &two, cells(&[("a", 45), ("b", 45), ("c", 10)])),
            ("rare_ward", &two, cells(&[("a", 45), ("b", 46), ("c", 9)])),
            ("rare_code", &ten, few(10)),
            ("smoker", "'boolean'", cells(&[("yes", 3), ("no", 97)])),
            ("gap", number, (0..97).map(|n| n.to_string()).chain(cells(&[("?", 3)])).collect()),
            ("gaps", number, (0..90).map(|n| n.to_string()).chain(cells(&[("?", 10)])).collect()),
        ];
        let disclosure = Disclosure { min_rows: 10, min_missing: 10, extremes: false };
        let (names, sums) = told(&columns, disclosure);
        assert_eq!(names, ["level", "nine", "counted", "constant", "ward", "gaps"]);
        let others = ["flag", "rare_level", "eight", "rare_ward", "rare_code", "smoker", "gap"];
        assert_eq!(sums.withheld, others);
        // The count of the rarest would follow from the others and the sums.
        let categories = |name: &str| {
            let found = sums.columns.iter().find(|column| column.name == name).unwrap();
            found.categories.clone()
        };
        assert!(categories("counted").is_empty());
        assert_eq!(categories("ward"), [Some(45), Some(45), Some(10)]);
        // The usual words for missing values are not chosen by the asker.
        let usual = Disclosure { min_missing: 0, ..disclosure };
        assert!(told(&columns, usual).0.contains(&"gap".to_owned()));
        let all = Disclosure { min_rows: 1, min_missing: 1, extremes: false };
        assert!(told(&columns, all).1.withheld.is_empty());
    }

    #[test]
    fn histograms_beside_few_rare_values_are_not_told() {
        let of = |counts: &[u64]| {
            let ends = [("x".to_owned(), [0.0, counts.len() as f64])].into();
            let edges = Edges { n_bins: counts.len() as u32, ends };
            let field = Field { name: "x".into(), element: Element::Float64, shape: Vec::new() };
            let mut tally = Tally::of_field(&field, None, Some(&edges)).remove(0);
            let mut moments = Moments::default();
            for (value, count) in counts.iter().enumerate() {
                assert!(moments.add(value as f64, *count));
                (0..*count).for_each(|_| tally.add(value as f64, Some(&edges)));
            }
            let disclosure = Disclosure { min_rows: 10, min_missing: 0, extremes: false };
            tally.told(ColumnSums::of("x".into(), moments), disclosure)
        };
        let frequent = of(&[20; 12]);
        assert_eq!((frequent.categories.len(), frequent.histogram.len()), (12, 12));
        let mut counts = [20; 12];
        counts[3] = 2;
        let rare = of(&counts);
        assert!(rare.categories.is_empty() && rare.histogram.is_empty(), "{rare:?}");
        // Three sums do not tell nine counts.
        let many = of(&[2; 12]);
        assert!(many.categories.is_empty() && !many.histogram.is_empty(), "{many:?}");
    }

    #[test]
    fn the_cells_of_all_histograms_together_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        let names: Vec<String> = (0..9_000).map(|n| format!("c{n}")).collect();
        let row = vec!["1"; names.len()].join(",");
        std::fs::write(&path, format!("{}\n{row}\n{row}\n", names.join(","))).unwrap();
        let dataset = Dataset::open(&path, None).unwrap();
        let disclosure = Disclosure { min_rows: 1, min_missing: 0, extremes: false };
        let of = |n_bins: u32| {
            let ends = names.iter().map(|name| (name.clone(), [0.0, 1.0])).collect();
            let edges = Edges { n_bins, ends };
            statistics(&dataset, None, Some(&edges), disclosure, &|| false)
        };
        assert_eq!(of(900).unwrap().columns.len(), 9_000);
        let error = of(1_000).unwrap_err().to_string();
        assert!(error.contains("9018000 cells") && error.contains("fewer bins"), "{error}");
    }

    #[test]
    fn no_category_of_few_values_can_be_calculated_from_the_others() {
        assert_eq!(hidden(vec![212, 357], 569, 10), [Some(212), Some(357)]);
        // The 3 would follow from n and the others.
        assert_eq!(hidden(vec![40, 3, 20], 63, 10), [Some(40)]);
        assert_eq!(hidden(vec![40, 6, 6], 52, 10), [Some(40)]);
        assert_eq!(hidden(vec![4, 6, 0, 30], 40, 10), [None, None, None, Some(30)]);
        assert!(hidden(vec![3], 3, 10).is_empty());
        assert_eq!(hidden(vec![1, 0, 2], 3, 0), [Some(1), None, Some(2)]);
    }
}
