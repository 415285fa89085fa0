//! The sums of a site as whole numbers that may be added to those of other sites under masks: then
//! only the sums of all are known, and they are the same integers as in the clear.

use fedwasm_protocol::{
    COUNTED_MAX, ColumnSums, Digest, Edges, MOMENT_NUMBERS, Moments, NUMBER_MAX, Sums,
};

use crate::pooled::{below, padded};
use crate::{Error, Pooled, PooledColumn};

/// Numbers of the categories of a column: how many have each, and whether a site hides that; and
/// whether a site has values of other kinds.
const CATEGORY_NUMBERS: usize = 2 * COUNTED_MAX + 1;

/// Which numbers a site tells of which columns, in order. Equal at all sites and at the researcher.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteNumbers {
    /// The columns.
    names: Vec<String>,
    /// Histograms and categories; none for moments and missing values alone.
    counts: Option<Option<Edges>>,
}

impl SiteNumbers {
    /// Moments and missing values, of which scales are made.
    pub fn of_scales(names: Vec<String>) -> Self {
        Self { names, counts: None }
    }

    /// All that statistics tell but the extremes, which have no sum.
    ///
    /// * `edges` — of the histograms; columns without some get none.
    pub fn of_statistics(names: Vec<String>, edges: Option<Edges>) -> Self {
        Self { names, counts: Some(edges) }
    }

    /// The columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many numbers there are, saturating at 2^64 - 1.
    pub fn n(&self) -> u64 {
        let of = |name: &String| self.n_of(name) as u64;
        self.names.iter().map(of).fold(0, u64::saturating_add)
    }

    /// The digest of their meaning.
    ///
    /// # Errors
    /// [`Error::Statistics`] if the edges cannot be encoded.
    pub fn meaning(&self) -> Result<Digest, Error> {
        let mut bytes = b"fedwasm/site-numbers/v1".to_vec();
        if let Some(edges) = &self.counts {
            let edges = edges.as_ref().map(Edges::encode).transpose();
            let edges = edges.map_err(|reason| Error::Statistics { reason })?.unwrap_or_default();
            bytes.push(1);
            bytes.extend((edges.len() as u64).to_be_bytes());
            bytes.extend(edges);
        }
        for name in &self.names {
            bytes.extend((name.len() as u64).to_be_bytes());
            bytes.extend(name.as_bytes());
        }
        Ok(Digest::of(&bytes))
    }

    /// The numbers of a site.
    ///
    /// # Errors
    /// [`Error::Statistics`] if it has other columns, or tells nothing of one: then a sum would be
    /// about the other sites alone.
    pub fn numbers(&self, sums: &Sums) -> Result<Vec<u64>, Error> {
        if let Some(withheld) = sums.withheld.first() {
            let reason = format!(
                "the sums of `{withheld}` are about fewer rows than the minimum (those with a value, or \
                 with one of its few values), and a sum under masks must have the part of each node: \
                 leave it out of `inputs`"
            );
            return Err(Error::Statistics { reason });
        }
        if !sums.columns.iter().map(|column| &column.name).eq(&self.names) {
            let reason = "the dataset has other columns than the request is about".to_owned();
            return Err(Error::Statistics { reason });
        }
        let mut numbers = Vec::new();
        for column in &sums.columns {
            numbers.push(column.missing);
            numbers.extend(column.moments.numbers());
            let Some(edges) = &self.counts else { continue };
            let n_edges = self.n_edges(edges.as_ref(), &column.name);
            let below = padded(below(&column.histogram, n_edges), n_edges, column.n());
            numbers.extend(below.into_iter().flatten());
            numbers.push(u64::from(column.categories.is_empty()));
            for at in 0..COUNTED_MAX {
                let count = column.categories.get(at).copied().flatten();
                numbers.extend([count.unwrap_or_default(), u64::from(count.is_none())]);
            }
        }
        match numbers.iter().find(|number| **number > NUMBER_MAX) {
            Some(_) => Err(Error::Statistics { reason: "the dataset has too many values".into() }),
            None => Ok(numbers),
        }
    }

    /// The statistics of all sites, from the sums of their numbers.
    ///
    /// * `n_rows` — of all sites.
    ///
    /// # Errors
    /// [`Error::Statistics`] for other numbers than [`SiteNumbers::n`], and for impossible ones.
    pub fn pooled(&self, n_sites: usize, n_rows: u64, numbers: &[u64]) -> Result<Pooled, Error> {
        let wrong = |reason: String| Error::Statistics { reason };
        let mut columns = Vec::new();
        let mut left = numbers;
        for name in &self.names {
            let (own, rest) = left
                .split_at_checked(self.n_of(name))
                .ok_or_else(|| wrong("there are fewer numbers than sums".into()))?;
            left = rest;
            columns.push(self.column(name, n_sites, own).ok_or_else(|| {
                wrong(format!("the masked sums of column `{name}` are impossible"))
            })?);
        }
        match left.is_empty() {
            true => Ok(Pooled { n_sites, n_rows, columns }),
            false => Err(wrong("there are more numbers than sums".into())),
        }
    }

    fn column(&self, name: &str, n_sites: usize, numbers: &[u64]) -> Option<PooledColumn> {
        let (missing, numbers) = numbers.split_first()?;
        let (moments, numbers) = numbers.split_at_checked(MOMENT_NUMBERS)?;
        let moments = Moments::of_numbers(moments, u32::try_from(n_sites).ok()?)?;
        if !moments.are_possible() || moments.n() == 0 {
            return None;
        }
        let sums = ColumnSums { missing: *missing, ..ColumnSums::of(name.to_owned(), moments) };
        let column = PooledColumn::of_sites(&sums, n_sites);
        let Some(edges) = &self.counts else { return Some(column) };
        let n_edges = self.n_edges(edges.as_ref(), name);
        let (edges, numbers) = numbers.split_at_checked(2 * n_edges)?;
        let (edges, _) = edges.as_chunks::<2>();
        let (others, categories) = numbers.split_first()?;
        let (categories, _) = categories.as_chunks::<2>();
        let mut categories: Vec<Option<u64>> = match others {
            0 => categories.iter().map(|[n, hidden]| Some(*n).filter(|_| *hidden == 0)).collect(),
            _ => Vec::new(),
        };
        while categories.last().is_some_and(Option::is_none) {
            categories.pop();
        }
        Some(PooledColumn { below: edges.to_vec(), categories, ..column })
    }

    fn n_of(&self, name: &str) -> usize {
        let counts = match &self.counts {
            None => 0,
            Some(edges) => 2 * self.n_edges(edges.as_ref(), name) + CATEGORY_NUMBERS,
        };
        1 + MOMENT_NUMBERS + counts
    }

    /// The edges of a column.
    fn n_edges(&self, edges: Option<&Edges>, name: &str) -> usize {
        let own = edges.filter(|edges| edges.ends.contains_key(name));
        own.map_or(0, |edges| edges.n_bins as usize + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(values: &[f64], missing: u64, histogram: Vec<(u32, u64)>) -> Sums {
        let mut moments = Moments::default();
        values.iter().for_each(|value| assert!(moments.add(*value, 1)));
        let categories = vec![Some(values.len() as u64), None];
        let of = ColumnSums::of("a".into(), moments);
        let column = ColumnSums { missing, histogram, categories, ..of };
        let n_rows = values.len() as u64 + missing;
        Sums { n_rows, columns: vec![column], withheld: Vec::new() }
    }

    fn added(all: &[Vec<u64>]) -> Vec<u64> {
        (0..all[0].len()).map(|at| all.iter().map(|numbers| numbers[at]).sum()).collect()
    }

    #[test]
    fn sums_of_numbers_are_the_sums_in_the_clear() {
        let edges = Edges { n_bins: 2, ends: [("a".to_owned(), [0.0, 4.0])].into() };
        let sites = [
            site(&[1.0, -2.0, 4.0], 1, vec![(1, 1), (2, 1), (1, 1)]),
            site(&[0.1; 5], 0, vec![(4, 5)]),
            site(&[1e30, 3.0], 2, vec![(3, 1), (1, 1)]),
        ];
        let clear = Pooled::new(&sites, Some(&edges));
        let layout = SiteNumbers::of_statistics(vec!["a".into()], Some(edges));
        let all: Vec<Vec<u64>> = sites.iter().map(|sums| layout.numbers(sums).unwrap()).collect();
        assert_eq!(all[0].len() as u64, layout.n());
        let pooled = layout.pooled(3, 13, &added(&all)).unwrap();
        let mut expected = clear;
        // The last one is hidden by all.
        expected.columns[0].categories.pop();
        assert_eq!(pooled, expected);

        let scales = SiteNumbers::of_scales(vec!["a".into()]);
        let all: Vec<Vec<u64>> = sites.iter().map(|sums| scales.numbers(sums).unwrap()).collect();
        let scaled = scales.pooled(3, 13, &added(&all)).unwrap();
        assert_eq!(scaled.columns[0].moments, pooled.columns[0].moments);
        assert_ne!(scales.meaning().unwrap(), layout.meaning().unwrap());
        for wrong in [&added(&all)[1..], &[added(&all), vec![0]].concat()[..], &[0; 22]] {
            assert!(scales.pooled(3, 13, wrong).is_err());
        }
    }

    #[test]
    fn a_site_that_tells_nothing_of_a_column_is_in_no_sum() {
        let layout = SiteNumbers::of_scales(vec!["a".into()]);
        let mut sums = site(&[1.0, 2.0], 0, Vec::new());
        sums.withheld.push("b".into());
        assert!(layout.numbers(&sums).unwrap_err().to_string().contains("`b`"));
        let other = SiteNumbers::of_scales(vec!["c".into()]);
        assert!(other.numbers(&site(&[1.0], 0, Vec::new())).is_err());
    }
}
