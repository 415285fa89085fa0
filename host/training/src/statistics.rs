//! Statistics of the columns of a dataset over all of its rows, as sums that may leave a site:
//! nothing in them is about fewer rows than the site's minimum.

use fedwasm_dataset::{Block, Dataset, Field};
use fedwasm_protocol::{COLUMNS_MAX, COUNTED_MAX, ColumnSums, Edges, Sums};

use crate::Error;
use crate::exact_fit::{ExactFit, Steps};
use crate::preprocessing::{n_scales, scale_names};

/// The part of statistics that a site lets out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disclosure {
    /// The fewest values behind a number.
    pub min_rows: u64,
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
    let mut tallies: Vec<Tally> =
        fields.iter().flat_map(|field| Tally::of_field(field, edges)).collect();
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
        match column.n() < disclosure.min_rows.max(1) {
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
    cells: Vec<u64>,
    /// Values by whole number; none once a value is something else.
    categories: Option<Vec<u64>>,
}

impl Tally {
    fn of_field(field: &Field, edges: Option<&Edges>) -> Vec<Self> {
        // Of pixels all values are known beforehand, and a channel has many a row.
        let counts = field.n_channels().is_none();
        let of = |name: String| {
            let ends = edges.filter(|_| counts).and_then(|edges| edges.ends.get(&name));
            let n_cells = edges.map_or(0, |edges| edges.n_bins as usize + 2);
            Self {
                extremes: None,
                ends: ends.copied(),
                cells: vec![0; if ends.is_some() { n_cells } else { 0 }],
                categories: counts.then(Vec::new),
            }
        };
        scale_names([field]).into_iter().map(of).collect()
    }

    fn add(&mut self, value: f64, edges: Option<&Edges>) {
        if value.is_nan() {
            return;
        }
        let [low, high] = self.extremes.get_or_insert([value, value]);
        (*low, *high) = (low.min(value), high.max(value));
        if let (Some(ends), Some(edges)) = (self.ends, edges) {
            self.cells[edges.cell(ends, value)] += 1;
        }
        let is_counted = value.fract() == 0.0 && (0.0..COUNTED_MAX as f64).contains(&value);
        match &mut self.categories {
            Some(counts) if is_counted => {
                let at = value as usize;
                if counts.len() <= at {
                    counts.resize(at + 1, 0);
                }
                counts[at] += 1;
            }
            categories => *categories = None,
        }
    }

    /// The part of it that may leave.
    fn told(self, column: ColumnSums, Disclosure { min_rows, extremes }: Disclosure) -> ColumnSums {
        ColumnSums {
            extremes: self.extremes.filter(|_| extremes),
            histogram: merged(&self.cells, min_rows),
            categories: hidden(self.categories.unwrap_or_default(), column.n(), min_rows),
            ..column
        }
    }
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
