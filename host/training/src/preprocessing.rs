//! Scaling of inputs, and the file that describes it.

use std::collections::HashMap;
use std::ops::Range;

use fedwasm_dataset::{Block, Field, Values};
use fedwasm_protocol::RunningVariance;
use serde::{Deserialize, Serialize};

use crate::Error;

/// How inputs were scaled before a plan saw them, column by column and channel
/// by channel; `preprocessing.json`. Without it the parameters cannot be used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// The input columns in order; a field of images has one a channel, any
    /// other array one a value.
    pub columns: Vec<ColumnScale>,
}

/// How one column was scaled: `(x - mean) / std`; of a column with a rule, x is the value after
/// `clip`, `fill` and `log1p`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnScale {
    /// The column.
    pub name: String,
    /// The number that is subtracted.
    pub mean: f64,
    /// The divisor; not 0.
    pub std: f64,
    /// What stands for a missing value, before `log1p` and the scale; none if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<f64>,
}

impl ColumnScale {
    /// A scale that changes nothing.
    pub fn identity(name: String) -> Self {
        Self { name, mean: 0.0, std: 1.0, fill: None }
    }
}

impl Preprocessing {
    /// Scales that change nothing.
    pub fn identity(names: &[String]) -> Self {
        Self { columns: names.iter().cloned().map(ColumnScale::identity).collect() }
    }

    /// Puts the scales of some input fields, named by their place, into those of all of them.
    pub(crate) fn put<'a>(
        &mut self,
        fields: impl Iterator<Item = &'a Field>,
        scales: Vec<(usize, Vec<ColumnScale>)>,
    ) {
        let starts: Vec<usize> = fields
            .scan(0, |start, field| Some(std::mem::replace(start, *start + n_scales(field))))
            .collect();
        for (field, scales) in scales {
            for (at, scale) in scales.into_iter().enumerate() {
                self.columns[starts[field] + at] = scale;
            }
        }
    }

    /// Returns the scales of these columns, in this order.
    ///
    /// # Errors
    /// [`Error::Preprocessing`] if one is absent or cannot be divided by.
    pub fn arranged(&self, names: &[String]) -> Result<Self, Error> {
        let usable = |scale: &&ColumnScale| {
            let is_filled = scale.fill.is_none_or(f64::is_finite);
            scale.mean.is_finite() && scale.std.is_normal() && is_filled
        };
        let known: HashMap<&str, &ColumnScale> =
            self.columns.iter().filter(usable).map(|scale| (scale.name.as_str(), scale)).collect();
        let scale = |name: &String| {
            let found = known.get(name.as_str()).map(|scale| (*scale).clone());
            found.ok_or_else(|| Error::Preprocessing { column: name.clone() })
        };
        Ok(Self { columns: names.iter().map(scale).collect::<Result<_, _>>()? })
    }
}

/// Scales of a field: one a channel if it has two or three axes, otherwise one
/// a value.
pub(crate) fn n_scales(field: &Field) -> usize {
    field.n_channels().unwrap_or_else(|| field.width())
}

/// Names of the scales of some fields: `age`, or `image[0]` where there are
/// several.
pub(crate) fn scale_names<'a>(fields: impl IntoIterator<Item = &'a Field>) -> Vec<String> {
    let names = |field: &Field| match n_scales(field) {
        1 => vec![field.name.clone()],
        n => (0..n).map(|at| format!("{}[{at}]", field.name)).collect(),
    };
    fields.into_iter().flat_map(names).collect()
}

/// Mean and standard deviation (divisor n, as scikit-learn's `StandardScaler`)
/// of each scale, chunk of rows by chunk of rows.
///
/// A chunk is summed up in two passes in float64 in ascending row. Chunks are
/// put together in their order by the rule of Chan, Golub and LeVeque 1979. A
/// dataset in memory is one chunk. Pixels are counted by their 256 values
/// instead, which gives the same however rows are cut.
pub(crate) struct Fit {
    names: Vec<String>,
    /// Of each field.
    fields: Vec<FieldFit>,
}

struct FieldFit {
    width: usize,
    scales: Vec<Sums>,
}

enum Sums {
    Reals(Moments),
    Pixels(Box<[u64; 256]>),
}

/// The statistics of the values of one scale.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    spread: RunningVariance,
    first: Option<f64>,
    /// Whether a value differs from the first.
    varies: bool,
}

impl Fit {
    /// Begins with the input fields, in their order.
    pub(crate) fn new<'a>(fields: impl Iterator<Item = &'a Field> + Clone) -> Self {
        let of = |field: &Field| FieldFit {
            width: field.width(),
            scales: (0..n_scales(field))
                .map(|_| {
                    if field.is_image() {
                        Sums::Pixels(Box::new([0; 256]))
                    } else {
                        Sums::Reals(Moments::default())
                    }
                })
                .collect(),
        };
        Self { names: scale_names(fields.clone()), fields: fields.map(of).collect() }
    }

    /// Adds the rows of one chunk that are `wanted`: numbers of rows of the dataset. `each`
    /// passes the blocks of the chunk, twice in the same order.
    pub(crate) fn add(
        &mut self,
        each: impl Fn(&mut dyn FnMut(&Block)),
        wanted: impl Fn(u64) -> bool,
    ) {
        let of_chunk = |field: &FieldFit| vec![Moments::default(); field.scales.len()];
        let mut chunk: Vec<Vec<Moments>> = self.fields.iter().map(of_chunk).collect();
        each(&mut |block| {
            self.each_row(block, &wanted, &mut chunk, |sums, moments, values, range| {
                match (sums, values) {
                    (Sums::Pixels(counts), Values::UInt8(pixels)) => {
                        pixels[range].iter().for_each(|pixel| counts[usize::from(*pixel)] += 1);
                    }
                    _ => values.each(range, |value| moments.sum(value)),
                }
            });
        });
        chunk.iter_mut().flatten().for_each(Moments::divide);
        each(&mut |block| {
            self.each_row(block, &wanted, &mut chunk, |sums, moments, values, range| match sums {
                Sums::Pixels(_) => {}
                Sums::Reals(_) => values.each(range, |value| moments.square(value)),
            });
        });
        for (field, chunk) in self.fields.iter_mut().zip(chunk) {
            for (sums, moments) in field.scales.iter_mut().zip(chunk) {
                if let Sums::Reals(all) = sums {
                    all.join(moments);
                }
            }
        }
    }

    /// Calls `take` with the values of each scale in each wanted row of a block.
    fn each_row(
        &mut self,
        block: &Block,
        wanted: impl Fn(u64) -> bool,
        chunk: &mut [Vec<Moments>],
        take: impl Fn(&mut Sums, &mut Moments, &Values, Range<usize>),
    ) {
        let rows: Vec<usize> =
            (0..block.n_rows).filter(|row| wanted(block.first_row + *row as u64)).collect();
        for ((field, values), chunk) in self.fields.iter_mut().zip(&block.columns).zip(chunk) {
            let plane = (field.width / field.scales.len().max(1)).max(1);
            for (at, (sums, moments)) in field.scales.iter_mut().zip(chunk).enumerate() {
                for row in &rows {
                    let start = row * field.width + at * plane;
                    take(sums, moments, values, start..start + plane);
                }
            }
        }
    }

    /// The scales. A constant column has std 1.
    pub(crate) fn finish(self) -> Preprocessing {
        let all = self.fields.iter().flat_map(|field| &field.scales);
        let scale = |(name, sums): (String, &Sums)| {
            let (mean, std) = match sums {
                Sums::Reals(moments) => moments.scale(),
                Sums::Pixels(counts) => pixels(counts),
            };
            ColumnScale { name, mean, std, fill: None }
        };
        Preprocessing { columns: self.names.into_iter().zip(all).map(scale).collect() }
    }
}

impl Moments {
    /// Counts and sums up one value; the mean is the sum until [`Moments::divide`].
    fn sum(&mut self, value: f64) {
        // A missing value of a column with a rule.
        if value.is_nan() {
            return;
        }
        self.spread.mean += value;
        self.spread.n += 1.0;
        self.varies |= *self.first.get_or_insert(value) != value;
    }

    fn divide(&mut self) {
        self.spread.mean /= self.spread.n;
    }

    /// Adds the squared distance of a value that was summed up.
    fn square(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        let distance = value - self.spread.mean;
        self.spread.squares += distance * distance;
    }

    fn join(&mut self, other: Self) {
        if other.first.is_none() {
            return;
        }
        let first = *self.first.get_or_insert(other.first.unwrap_or_default());
        self.varies |= other.varies || other.first != Some(first);
        self.spread.join(other.spread);
    }

    fn scale(&self) -> (f64, f64) {
        let std = self.spread.variance().sqrt();
        // Rounding can leave a trace of spread in a constant column.
        (self.spread.mean, if !self.varies || !std.is_normal() { 1.0 } else { std })
    }
}

/// Mean and standard deviation of pixels, each value / 255.
fn pixels(counts: &[u64; 256]) -> (f64, f64) {
    let of = |term: &dyn Fn(f64) -> f64| {
        let terms = counts.iter().enumerate();
        terms.map(|(pixel, n)| *n as f64 * term(pixel as f64 / 255.0)).sum::<f64>()
    };
    let n = counts.iter().sum::<u64>() as f64;
    let mean = of(&|value| value) / n;
    let std = (of(&|value| (value - mean) * (value - mean)) / n).sqrt();
    let varies = counts.iter().filter(|n| **n > 0).count() > 1;
    (mean, if !varies || !std.is_normal() { 1.0 } else { std })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fedwasm_dataset::Element;

    fn field(name: &str, element: Element, shape: &[u64]) -> Field {
        Field { name: name.into(), element, shape: shape.to_vec() }
    }

    fn block(first_row: u64, n_rows: usize, columns: Vec<Values>) -> Block {
        Block::new(first_row, n_rows, columns)
    }

    fn fit(fields: &[Field], chunks: &[Vec<Block>], n_wanted: u64) -> Vec<ColumnScale> {
        let mut fit = Fit::new(fields.iter());
        for chunk in chunks {
            fit.add(|take| chunk.iter().for_each(&mut *take), |row| row < n_wanted);
        }
        fit.finish().columns
    }

    // sklearn.preprocessing.StandardScaler().fit([[1., 5.], [2., 5.], [4., 5.]])
    // mean_ [2.33333333, 5.], scale_ [1.24721913, 1.]
    #[test]
    fn fit_equals_scikit_learn() {
        let fields = [field("a", Element::Float64, &[]), field("b", Element::Float64, &[])];
        let cells =
            |a: &[f64], b: &[f64]| vec![Values::Float64(a.to_vec()), Values::Float64(b.to_vec())];
        let whole = block(0, 4, cells(&[1.0, 2.0, 4.0, 1e9], &[5.0, 5.0, 5.0, 1e9]));
        let cut = |at: usize| {
            let (a, b) = ([1.0, 2.0, 4.0], [5.0, 5.0, 5.0]);
            let first = block(0, at, cells(&a[..at], &b[..at]));
            vec![vec![first], vec![block(at as u64, 3 - at, cells(&a[at..], &b[at..]))]]
        };
        for chunks in [vec![vec![whole]], cut(1), cut(2), cut(3)] {
            let [a, b] = &fit(&fields, &chunks, 3)[..] else { panic!("two columns") };
            assert!((a.mean - 2.333_333_333_333).abs() < 1e-12, "{}", a.mean);
            assert!((a.std - 1.247_219_128_924_6).abs() < 1e-12, "{}", a.std);
            assert_eq!((b.mean, b.std), (5.0, 1.0));
        }
    }

    // numpy: x = [[[0, 255]], [[51, 102]]] / 255 of two channels; mean and std by channel.
    #[test]
    fn images_are_scaled_by_channel() {
        let fields = [field("image", Element::UInt8, &[2, 1, 2])];
        let pixels = |values: &[u8]| vec![Values::UInt8(values.to_vec())];
        let chunks =
            [vec![block(0, 1, pixels(&[0, 255, 7, 7])), block(1, 1, pixels(&[51, 102, 7, 7]))]];
        let [a, b] = &fit(&fields, &chunks, 2)[..] else { panic!("two channels") };
        assert_eq!((a.name.as_str(), b.name.as_str()), ("image[0]", "image[1]"));
        assert!((a.mean - 0.4).abs() < 1e-15, "{}", a.mean);
        assert!((a.std - 0.374_165_738_677_394_14).abs() < 1e-15, "{}", a.std);
        assert_eq!((b.mean, b.std), (7.0 / 255.0, 1.0));
    }

    #[test]
    fn constant_column_that_rounds_badly_has_std_1() {
        let fields = [field("a", Element::Float64, &[])];
        let chunk = vec![block(0, 7, vec![Values::Float64(vec![0.1; 7])])];
        assert_eq!(fit(&fields, &[chunk], 7)[0].std, 1.0);
    }

    #[test]
    fn scales_follow_the_names() {
        let names = ["a".to_owned(), "b".to_owned()];
        let mut fitted = Preprocessing::identity(&names);
        fitted.columns[1].mean = 4.0;
        let swapped = fitted.arranged(&["b".to_owned(), "a".to_owned()]).unwrap();
        assert_eq!(swapped.columns[0].mean, 4.0);
        assert!(matches!(
            fitted.arranged(&["c".to_owned()]),
            Err(Error::Preprocessing { column }) if column == "c"
        ));
    }
}
