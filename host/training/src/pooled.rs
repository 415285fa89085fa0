//! Statistics of several sites as one: of the pooled rows, by their sums alone. Sums are added in the
//! order in which sites are given, so the same sites give the same bytes.

use std::collections::HashMap;

use fedwasm_protocol::{ColumnRule, ColumnRules, ColumnSums, Edges, Impute, Moments, Scale, Sums};
use serde::Serialize;

use crate::{ColumnScale, Error, Preprocessing};

/// Statistics over the rows of several sites.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pooled {
    /// Sites.
    pub n_sites: usize,
    /// Rows of all of them.
    pub n_rows: u64,
    /// The columns, in the order of the first site that has them.
    pub columns: Vec<PooledColumn>,
}

/// Statistics of a column.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PooledColumn {
    /// The column.
    pub name: String,
    /// Sites that told its sums; the others have too few values of it.
    pub n_sites: usize,
    /// Values.
    pub n: u64,
    /// Missing values.
    pub missing: u64,
    /// The mean.
    pub mean: f64,
    /// The variance with divisor n.
    pub variance: f64,
    /// Whether a value differs from another.
    pub varies: bool,
    /// The exact sums that all of these follow from.
    pub moments: Moments,
    /// The smallest and the largest value, if all sites let them out.
    pub extremes: Option<[f64; 2]>,
    /// For each edge of the histogram, how many values are below it at least and at most: the sites
    /// put cells together. Empty without a histogram.
    pub below: Vec<[u64; 2]>,
    /// Values by whole number from 0 on; none where a site tells none. Empty if they are others.
    pub categories: Vec<Option<u64>>,
}

impl Pooled {
    /// Pools the sums of sites.
    ///
    /// * `edges` — those of the histograms, if there are some.
    pub fn new<'a>(sites: impl IntoIterator<Item = &'a Sums>, edges: Option<&Edges>) -> Self {
        let n_edges = edges.map_or(0, |edges| edges.n_bins as usize + 1);
        let mut pooled = Self::default();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for sums in sites {
            pooled.n_sites += 1;
            pooled.n_rows = pooled.n_rows.saturating_add(sums.n_rows);
            for column in &sums.columns {
                match places.get(column.name.as_str()) {
                    Some(at) => pooled.columns[*at].join(column, n_edges),
                    None => {
                        places.insert(&column.name, pooled.columns.len());
                        pooled.columns.push(PooledColumn::of(column, n_edges));
                    }
                }
            }
        }
        pooled.columns.iter_mut().for_each(PooledColumn::finish);
        pooled
    }

    /// The scales to mean 0 and standard deviation 1 of these columns, in this order.
    ///
    /// * `rules` — of columns: what stands for missing values is a statistic of all sites if a rule
    ///   says so.
    ///
    /// # Errors
    /// [`Error::Statistics`] if a column is absent, or lacks the sums of a site.
    pub fn preprocessing(
        &self,
        names: &[String],
        rules: &ColumnRules,
    ) -> Result<Preprocessing, Error> {
        let known: HashMap<&str, &PooledColumn> =
            self.columns.iter().map(|column| (column.name.as_str(), column)).collect();
        let scale = |name: &String| match known.get(name.as_str()) {
            Some(column) if column.n_sites == self.n_sites => Ok(column.scale(rules)),
            known => {
                let n = known.map_or(0, |column| column.n_sites);
                let of = self.n_sites;
                let reason = format!("`{name}`: {n} of {of} sites told the sums of the column");
                Err(Error::Statistics { reason })
            }
        };
        Ok(Preprocessing { columns: names.iter().map(scale).collect::<Result<_, _>>()? })
    }
}

impl PooledColumn {
    /// The standard deviation with divisor n, as `numpy.std`.
    pub fn std(&self) -> f64 {
        self.variance.sqrt()
    }

    /// Its scale: that of scikit-learn's `StandardScaler` after a `SimpleImputer`, with divisor 1 for a
    /// constant column; that of a `MinMaxScaler` if the rule wants it. Values that a rule alone replaces are in the sums already.
    fn scale(&self, rules: &ColumnRules) -> ColumnScale {
        let mut column = self.clone();
        let rule = rule_of(&self.name, rules);
        let is_mean = rule.is_some_and(|rule| rule.impute == Some(Impute::Mean));
        let fill = is_mean.then_some(self.mean);
        if let Some(fill) = fill {
            // The mean is in the range of the values.
            let _ = column.moments.add(fill, self.missing);
            column.finish();
        }
        let is_range = rule.is_some_and(|rule| rule.scale == Some(Scale::MinMax));
        if let Some([low, high]) = self.extremes.filter(|_| is_range && column.varies) {
            // The mean of all values is between them.
            return ColumnScale { name: column.name, mean: low, std: high - low, fill };
        }
        let std = column.std();
        let std = if !column.varies || !std.is_normal() { 1.0 } else { std };
        ColumnScale { name: column.name, mean: column.mean, std, fill }
    }

    /// The range of bins that the quantile `q`, from 0 to 1, is in: the smallest value that at least
    /// the share `q` of all values does not exceed (`inverted_cdf` of NumPy). An end is absent if
    /// the quantile may be beyond the edges.
    pub fn quantile(&self, q: f64, edges: &Edges) -> Option<[Option<f64>; 2]> {
        let ends = *edges.ends.get(&self.name)?;
        if self.below.is_empty() {
            return None;
        }
        let k = ((q * self.n as f64).ceil() as u64).clamp(1, self.n.max(1));
        let [smallest, largest] = self.extremes.map_or([None; 2], |ends| ends.map(Some));
        let low = self.below.iter().rposition(|[_, most]| *most < k);
        let high = self.below.iter().position(|[least, _]| *least >= k);
        let edge = |at| edges.edge(ends, at);
        Some([low.map(edge).or(smallest), high.map(edge).or(largest)])
    }

    /// Calculates what follows from the sums.
    fn finish(&mut self) {
        let moments = &self.moments;
        (self.n, self.varies) = (moments.n(), moments.varies());
        (self.mean, self.variance) = (moments.mean(), moments.variance());
    }

    /// Of the sums of some sites together.
    pub(crate) fn of_sites(column: &ColumnSums, n_sites: usize) -> Self {
        let mut pooled = Self { n_sites, ..Self::of(column, 0) };
        pooled.finish();
        pooled
    }

    fn of(column: &ColumnSums, n_edges: usize) -> Self {
        Self {
            name: column.name.clone(),
            n_sites: 1,
            n: 0,
            missing: column.missing,
            mean: 0.0,
            variance: 0.0,
            varies: false,
            moments: column.moments,
            extremes: column.extremes,
            below: below(&column.histogram, n_edges),
            categories: column.categories.clone(),
        }
    }

    fn join(&mut self, other: &ColumnSums, n_edges: usize) {
        self.n_sites += 1;
        self.moments.join(&other.moments);
        self.missing = self.missing.saturating_add(other.missing);
        self.extremes = match (self.extremes, other.extremes) {
            (Some([a, b]), Some([c, d])) => Some([a.min(c), b.max(d)]),
            _ => None,
        };
        let theirs = below(&other.histogram, n_edges);
        match self.below.is_empty() || theirs.is_empty() {
            true => self.below.clear(),
            false => {
                for (own, other) in self.below.iter_mut().flatten().zip(theirs.iter().flatten()) {
                    *own = own.saturating_add(*other);
                }
            }
        }
        if self.categories.is_empty() || other.categories.is_empty() {
            self.categories.clear();
            return;
        }
        let len = self.categories.len().max(other.categories.len());
        self.categories.resize(len, None);
        let theirs = other.categories.iter().copied().chain(std::iter::repeat(None));
        for (own, other) in self.categories.iter_mut().zip(theirs) {
            *own = own.zip(other).map(|(own, other)| own.saturating_add(other));
        }
    }
}

/// The same for a site without a histogram: of its values, any number may be below an edge.
pub(crate) fn padded(mut below: Vec<[u64; 2]>, n_edges: usize, n: u64) -> Vec<[u64; 2]> {
    below.resize(n_edges, [0, n]);
    below
}

/// For each edge, how many values of a histogram are below it at least and at most.
pub(crate) fn below(histogram: &[(u32, u64)], n_edges: usize) -> Vec<[u64; 2]> {
    // The cells before the first edge, the bins, and the cell beyond the last one.
    let n_cells: u64 = histogram.iter().map(|(n, _)| u64::from(*n)).sum();
    if n_edges == 0 || n_cells != n_edges as u64 + 1 {
        return Vec::new();
    }
    let (mut cells, mut end, mut sure, mut open) = (histogram.iter(), 0u64, 0u64, 0u64);
    let mut below = Vec::with_capacity(n_edges);
    for edge in 0..n_edges as u64 {
        // Cells before the edge are those up to number `edge`.
        while end <= edge {
            let Some((n, count)) = cells.next() else { break };
            sure += open;
            (end, open) = (end + u64::from(*n), *count);
        }
        let is_end = end == edge + 1;
        below.push([if is_end { sure + open } else { sure }, sure + open]);
    }
    below
}

/// The rule of a column, whose number has a place in its name if a flag stands beside it.
fn rule_of<'a>(name: &str, rules: &'a ColumnRules) -> Option<&'a ColumnRule> {
    rules.get(name).or_else(|| rules.get(name.strip_suffix("[0]")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[f64]) -> ColumnSums {
        let mut moments = Moments::default();
        values.iter().for_each(|value| assert!(moments.add(*value, 1)));
        ColumnSums { missing: 1, ..ColumnSums::of("a".into(), moments) }
    }

    fn site(column: ColumnSums) -> Sums {
        Sums { n_rows: column.n() + 1, columns: vec![column], withheld: Vec::new() }
    }

    // numpy: a, b = [1., 2., 4.], [8., 16.]; np.mean(a + b), np.var(a + b) → 6.2, 29.76
    #[test]
    fn pooled_moments_are_those_of_the_pooled_rows() {
        let sites = [site(column(&[1.0, 2.0, 4.0])), site(column(&[8.0, 16.0]))];
        let pooled = Pooled::new(&sites, None);
        let [a] = &pooled.columns[..] else { panic!("one column") };
        assert_eq!((a.n, a.missing, a.n_sites, pooled.n_rows), (5, 2, 2, 7));
        assert!((a.mean - 6.2).abs() < 1e-14 && (a.variance - 29.76).abs() < 1e-13, "{a:?}");
        let scales = pooled.preprocessing(&["a".to_owned()], &ColumnRules::default()).unwrap();
        assert_eq!(scales.columns[0].std, a.variance.sqrt());
        assert!(pooled.preprocessing(&["b".to_owned()], &ColumnRules::default()).is_err());
    }

    // scikit-learn: x = [1, 2, 4, nan, 8, 16, nan]; SimpleImputer(strategy="mean"), then
    // StandardScaler: statistics_ 6.2, mean_ 6.2, scale_ 4.610546915187271; or MinMaxScaler: data_min_ 1,
    // data_range_ 15.
    #[test]
    fn missing_values_get_the_mean_of_all_sites() {
        let sites = [site(column(&[1.0, 2.0, 4.0])), site(column(&[8.0, 16.0]))];
        let scale = |sites: &[Sums], rule: &str| {
            let rules = ColumnRules::parse(rule.parse().unwrap()).unwrap();
            let names = ["a".to_owned()];
            let scales = Pooled::new(sites, None).preprocessing(&names, &rules).unwrap();
            (scales.columns[0].mean, scales.columns[0].std, scales.columns[0].fill)
        };
        let (mean, std, fill) = scale(&sites, "a = { kind = 'number', impute = 'mean' }");
        assert_eq!((mean, fill), (6.2, Some(6.2)));
        assert!((std - 4.610_546_915_187_271).abs() < 1e-14, "{std}");
        let with = |sums: &Sums, extremes| {
            let column = ColumnSums { extremes: Some(extremes), ..sums.columns[0].clone() };
            Sums { columns: vec![column], ..sums.clone() }
        };
        let sites = [with(&sites[0], [1.0, 4.0]), with(&sites[1], [8.0, 16.0])];
        let rule = "a = { kind = 'number', impute = 'mean', scale = 'min-max' }";
        assert_eq!(scale(&sites, rule), (1.0, 15.0, Some(6.2)));
    }

    #[test]
    fn constants_of_two_sites_are_one_unless_they_differ() {
        let scale = |a: &[f64], b: &[f64]| {
            let sites = [site(column(a)), site(column(b))];
            Pooled::new(&sites, None)
                .preprocessing(&["a".to_owned()], &ColumnRules::default())
                .unwrap()
                .columns[0]
                .std
        };
        assert_eq!(scale(&[0.1; 7], &[0.1; 5]), 1.0);
        assert_eq!(scale(&[0.0; 4], &[2.0; 4]), 1.0);
        assert_eq!(scale(&[0.0; 4], &[4.0; 4]), 2.0);
    }

    #[test]
    fn quantiles_are_within_their_range_of_bins() {
        let edges = Edges { n_bins: 4, ends: [("a".to_owned(), [0.0, 4.0])].into() };
        // Cells: below 0, [0,1), [1,2), [2,3), [3,4], beyond 4.
        let with = |histogram: &[(u32, u64)]| {
            let n: u64 = histogram.iter().map(|(_, n)| n).sum();
            let all = column(&vec![1.0; n as usize]);
            site(ColumnSums { histogram: histogram.to_vec(), ..all })
        };
        let sites = [with(&[(2, 10), (1, 10), (3, 10)]), with(&[(3, 20), (2, 10), (1, 0)])];
        let pooled = Pooled::new(&sites, Some(&edges));
        let [a] = &pooled.columns[..] else { panic!("one column") };
        assert_eq!(a.below, [[0, 30], [10, 30], [40, 40], [40, 60], [50, 60]]);
        let quantile = |q| a.quantile(q, &edges).unwrap();
        assert_eq!(quantile(0.5), [None, Some(2.0)]);
        assert_eq!(quantile(0.6), [Some(1.0), Some(2.0)]);
        assert_eq!(quantile(0.75), [Some(2.0), Some(4.0)]);
        assert_eq!(quantile(1.0), [Some(2.0), None]);
        // A histogram of other edges is not one of these.
        assert!(Pooled::new(&[with(&[(2, 10)])], Some(&edges)).columns[0].below.is_empty());
    }
}
