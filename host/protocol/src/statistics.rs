//! Statistics of columns as sums, which can be pooled over nodes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::columns::at_most;
use crate::{COLUMNS_MAX, DataArgs, DatasetId, Moments, NUMBER_MAX, Payload, VALUE_MAX, printable};

/// The most bytes of sums, and of edges, encoded.
pub const SUMS_BYTES_MAX: u64 = 64 << 20;
/// The most bins of a histogram.
pub const BINS_MAX: usize = 1_024;
/// The most whole numbers, from 0 on, whose values are counted one by one.
pub const COUNTED_MAX: usize = 64;
/// The most columns of sums: each value of an array is one.
const SUMS_MAX: usize = COLUMNS_MAX;
/// The longest name of a column in bytes.
const NAME_BYTES_MAX: usize = 1_024;

/// Asks a node for statistics of the columns of a dataset, over all of its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatisticsRequest {
    /// The dataset.
    pub dataset_id: DatasetId,
    /// Its columns, targets among them, and how they are read; all if it names no inputs.
    pub data: DataArgs,
    /// [`Edges`] of the histograms; none: without histograms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edges: Option<Payload>,
}

/// The statistics of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatisticsReply {
    /// The [`Sums`].
    pub sums: Payload,
}

/// The edges of histograms: as many bins of equal width for every column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edges {
    /// Bins between the ends, from 1 to [`BINS_MAX`].
    pub n_bins: u32,
    /// The first and the last edge by column.
    pub ends: BTreeMap<String, [f64; 2]>,
}

impl Edges {
    /// The edge `at`, from 0 to `n_bins`: the end of one bin and the start of the next.
    pub fn edge(&self, ends: [f64; 2], at: usize) -> f64 {
        let n = self.n_bins as usize;
        match at {
            0 => ends[0],
            at if at >= n => ends[1],
            // Of halves, so that the width of a large range does not overflow.
            at => {
                let share = at as f64 / n as f64;
                ends[0] * (1.0 - share) + ends[1] * share
            }
        }
    }

    /// Cells of the histogram of a value: 0 below the first edge, 1 to `n_bins` for the bins, which
    /// hold their first edge (the last one both), and `n_bins` + 1 beyond the last edge.
    pub fn cell(&self, ends: [f64; 2], value: f64) -> usize {
        let n = self.n_bins as usize;
        if value < ends[0] {
            return 0;
        }
        if value > ends[1] {
            return n + 1;
        }
        let (mut low, mut high) = (0, n);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.edge(ends, middle) <= value { low = middle } else { high = middle }
        }
        low + 1
    }

    /// Writes them as MessagePack.
    ///
    /// # Errors
    /// A text.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        rmp_serde::to_vec_named(self).map_err(|error| error.to_string())
    }

    /// Reads and checks them.
    ///
    /// # Errors
    /// A text.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let edges: Self = rmp_serde::from_slice(bytes)
            .map_err(|error| format!("the edges cannot be read: {error}"))?;
        edges.check().map(|()| edges)
    }

    /// Whether they make bins.
    ///
    /// # Errors
    /// A text.
    pub fn check(&self) -> Result<(), String> {
        let is_wrong = |[low, high]: &[f64; 2]| {
            !(low.is_finite() && high.is_finite() && high / 2.0 - low / 2.0 > 0.0)
        };
        if !(1..=BINS_MAX).contains(&(self.n_bins as usize)) || self.ends.len() > SUMS_MAX {
            return Err(format!("the edges have {} bins, at most {BINS_MAX}", self.n_bins));
        }
        match self.ends.iter().find(|(_, ends)| is_wrong(ends)) {
            Some((name, ends)) => Err(format!("the edges of `{}` are {ends:?}", printable(name))),
            None => Ok(()),
        }
    }
}

/// Sums over the rows of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sums {
    /// Rows that were read.
    pub n_rows: u64,
    /// The columns, in the order of the dataset.
    #[serde(deserialize_with = "at_most::<SUMS_MAX, _, _>")]
    pub columns: Vec<ColumnSums>,
    /// Columns about which nothing is told: fewer rows than the minimum have a value, or one of its few
    /// values or codes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "at_most::<SUMS_MAX, _, _>")]
    pub withheld: Vec<String>,
}

impl Sums {
    /// Writes them as MessagePack.
    ///
    /// # Errors
    /// A text.
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        let bytes = rmp_serde::to_vec_named(self).map_err(|error| error.to_string())?;
        match bytes.len() as u64 {
            len if len > SUMS_BYTES_MAX => {
                Err(format!("the statistics have {len} bytes, at most {SUMS_BYTES_MAX}"))
            }
            _ => Ok(bytes),
        }
    }

    /// Reads the sums of a node and checks that they are possible.
    ///
    /// * `n_rows` — the rows that the node announced: no more can be behind the sums.
    ///
    /// # Errors
    /// A text.
    pub fn decode(bytes: &[u8], n_rows: u64) -> Result<Self, String> {
        let sums: Self = rmp_serde::from_slice(bytes)
            .map_err(|error| format!("the statistics cannot be read: {error}"))?;
        if sums.n_rows > n_rows {
            return Err(format!(
                "the statistics are of {} rows, and {n_rows} were announced",
                sums.n_rows
            ));
        }
        let mut known = BTreeSet::new();
        let mut names = sums.columns.iter().map(|column| &column.name).chain(&sums.withheld);
        if let Some(twice) = names.find(|name| !known.insert(*name)) {
            return Err(format!("column `{}` is there twice", printable(twice)));
        }
        if sums.withheld.iter().any(|name| !is_showable(name)) {
            return Err("a column that is withheld has a name that cannot be shown".into());
        }
        match sums.columns.iter().find_map(|column| column.mistake(sums.n_rows)) {
            Some(mistake) => Err(mistake),
            None => Ok(sums),
        }
    }
}

/// Sums over the values of a column; of an array there is one a value, of images one a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSums {
    /// The column, as [`crate::DataArgs`] names it, with a place for arrays: `age`, `image[0]`.
    pub name: String,
    /// Missing values.
    #[serde(default)]
    pub missing: u64,
    /// How many values there are, and their sums.
    pub moments: Moments,
    /// The smallest and the largest value, if the site lets them out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extremes: Option<[f64; 2]>,
    /// The histogram on the edges of the request: neighbouring cells ([`Edges::cell`]) that were
    /// put together until enough rows are in them, each with how many cells and how many values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "at_most::<{ BINS_MAX + 2 }, _, _>")]
    pub histogram: Vec<(u32, u64)>,
    /// Values by category, if all are whole numbers from 0 on and below [`COUNTED_MAX`]. None
    /// for a category with too few rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "at_most::<COUNTED_MAX, _, _>")]
    pub categories: Vec<Option<u64>>,
}

impl ColumnSums {
    /// Moments alone.
    pub fn of(name: String, moments: Moments) -> Self {
        let (histogram, categories) = (Vec::new(), Vec::new());
        Self { name, missing: 0, moments, extremes: None, histogram, categories }
    }

    /// Values.
    pub fn n(&self) -> u64 {
        self.moments.n()
    }

    fn mistake(&self, n_rows: u64) -> Option<String> {
        let Self { missing, moments, extremes, histogram, categories, .. } = self;
        let n = self.n();
        let within = extremes.iter().flatten().all(|value| value.abs() < VALUE_MAX);
        let at_most = |counts: Vec<u64>| {
            let sum = counts.into_iter().try_fold(0u64, u64::checked_add);
            sum.is_some_and(|sum| sum <= n)
        };
        let cells = at_most(histogram.iter().map(|(_, count)| *count).collect());
        let counted = at_most(categories.iter().flatten().copied().collect());
        let what = if !is_showable(&self.name) {
            "a name that cannot be shown"
        } else if !within {
            "a smallest or largest value that no sum can have"
        } else if n == 0 || n > NUMBER_MAX || *missing > n_rows {
            "impossible counts"
        } else if !moments.are_possible() {
            "an impossible variance"
        } else if extremes.is_some_and(|[low, high]| low > high) {
            "a minimum above its maximum"
        } else if !cells || !counted {
            "more values in bins or categories than there are"
        } else {
            return None;
        };
        Some(format!("column `{}` has {what}", printable(&self.name)))
    }
}

fn is_showable(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX && printable(name) == name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges() -> Edges {
        Edges { n_bins: 4, ends: [("a".to_owned(), [-1.0, 1.0])].into() }
    }

    #[test]
    fn a_cell_holds_its_first_edge_and_the_last_one_both() {
        let edges = edges();
        let cell = |value| edges.cell([-1.0, 1.0], value);
        let cells = [-1.5, -1.0, -0.6, -0.5, 0.0, 0.4, 0.5, 1.0, 1.1].map(cell);
        assert_eq!(cells, [0, 1, 1, 2, 3, 3, 4, 4, 5]);
        assert_eq!([0, 1, 2, 4].map(|at| edges.edge([-1.0, 1.0], at)), [-1.0, -0.5, 0.0, 1.0]);
        // Ends whose difference is beyond float64.
        let far = [-f64::MAX, f64::MAX];
        assert_eq!(
            (edges.edge(far, 2), edges.cell(far, 1.0), edges.cell(far, f64::MAX)),
            (0.0, 3, 4)
        );
    }

    #[test]
    fn edges_that_are_no_range_or_too_many_are_refused() {
        assert_eq!(Edges::decode(&edges().encode().unwrap()).unwrap(), edges());
        for ends in [[1.0, 1.0], [2.0, 1.0], [f64::NAN, 1.0], [0.0, f64::INFINITY]] {
            let wrong = Edges { ends: [("a".to_owned(), ends)].into(), ..edges() };
            assert!(Edges::decode(&wrong.encode().unwrap()).is_err(), "{ends:?}");
        }
        for n_bins in [0, 1_025, u32::MAX] {
            assert!(Edges::decode(&Edges { n_bins, ..edges() }.encode().unwrap()).is_err());
        }
        assert!(Edges::decode(b"x").is_err() && Edges::decode(&[]).is_err());
    }

    type Change<'a> = &'a dyn Fn(&mut Sums);

    fn sums() -> Sums {
        let mut moments = Moments::default();
        (0..20).for_each(|n| assert!(moments.add(f64::from(n % 2), 1)));
        let column = ColumnSums {
            missing: 2,
            extremes: Some([0.0, 1.0]),
            histogram: vec![(2, 10), (4, 10)],
            categories: vec![Some(10), None],
            ..ColumnSums::of("a".into(), moments)
        };
        Sums { n_rows: 22, columns: vec![column], withheld: vec!["b".into()] }
    }

    #[test]
    fn impossible_sums_are_refused_by_name() {
        let of = |change: Change<'_>| {
            let mut sums = sums();
            change(&mut sums);
            Sums::decode(&sums.encode().unwrap(), 22).map_err(|error| error.to_string())
        };
        assert_eq!(of(&|_| {}).unwrap(), sums());
        let with = |change: fn(&mut [u64])| {
            let mut numbers = sums().columns[0].moments.numbers();
            change(&mut numbers);
            Moments::of_numbers(&numbers, 1).unwrap()
        };
        let wrong: [(Change<'_>, &str); 16] = [
            (&|s| s.n_rows = 23, "23 rows"),
            (&|s| s.columns[0].extremes = Some([f64::NAN, 1.0]), "no sum can have"),
            (&|s| s.columns[0].extremes = Some([0.0, f64::INFINITY]), "no sum can have"),
            (&|s| s.columns[0].extremes = Some([-VALUE_MAX, 1.0]), "no sum can have"),
            (&|s| s.columns[0].moments = with(|numbers| numbers[8..].fill(0)), "variance"),
            (&|s| s.columns[0].moments = with(|numbers| numbers[20] = u64::MAX), "too large"),
            (&|s| s.columns[0].extremes = Some([2.0, 1.0]), "minimum"),
            (&|s| s.columns[0].moments = Moments::default(), "counts"),
            (&|s| s.columns[0].missing = 23, "counts"),
            (&|s| s.columns[0].histogram = vec![(1, u64::MAX), (1, 1)], "more values"),
            (&|s| s.columns[0].categories = vec![Some(21)], "more values"),
            (&|s| s.columns[0].name = "a\u{1b}[2J".into(), "shown"),
            (&|s| s.columns.push(s.columns[0].clone()), "twice"),
            (&|s| s.withheld.push("a".into()), "`a` is there twice"),
            (&|s| s.withheld.push("c\u{1b}[2J".into()), "shown"),
            (&|s| s.withheld[0] = "b".repeat(1_025), "shown"),
        ];
        for (change, expected) in wrong {
            let error = of(change).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let many: Change<'_> = &|s| s.columns[0].categories = vec![Some(0); 65];
        assert!(of(many).is_err());
        let long: Change<'_> = &|s| s.columns[0].histogram = vec![(1, 0); 1_027];
        assert!(of(long).is_err());
        assert!(Sums::decode(b"x", 22).is_err());
    }
}
