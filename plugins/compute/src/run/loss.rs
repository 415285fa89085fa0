//! Losses of scores against classes.

use super::Home;
use super::functions::larger;
use super::index::checked;
use super::numbers::Functions;
use super::rows::{Row, ascending, rows, scale};
use crate::error::Rule;
use crate::kernels::simd::{self, Kernel, Lanes};
use crate::kernels::{self, elementwise};
use crate::op::{ClassLoss, Reduction};
use crate::shape::Kind;
use crate::tensor::{Element, Tensor};

/// Scores [n, classes, positions], classes [n, positions] and weights.
struct Rows<'a, T> {
    loss: &'a ClassLoss,
    scores: &'a [T],
    classes: &'a [i64],
    weights: Option<&'a [T]>,
    n_classes: usize,
    positions: usize,
}

impl<'a, T: Functions + Element> Rows<'a, T> {
    fn new(loss: &'a ClassLoss, inputs: &[&'a Tensor]) -> Result<Self, Rule> {
        let shape = inputs[0].shape();
        Ok(Self {
            loss,
            scores: inputs[0].elements::<T>()?,
            classes: inputs[1].elements::<i64>()?,
            weights: inputs.get(2).map(|x| x.elements::<T>()).transpose()?,
            n_classes: shape.size(1),
            positions: shape.len_of(2..shape.rank()),
        })
    }

    /// Where the first score of a row is; the next ones are `positions` apart.
    fn start(&self, row: usize) -> usize {
        row / self.positions * self.n_classes * self.positions + row % self.positions
    }

    /// Where the score of the row's class is.
    fn place(&self, row: usize, class: usize) -> usize {
        self.start(row) + class * self.positions
    }

    /// The class of a row and its weight; none if it does not count.
    fn class(&self, row: usize) -> Result<Option<(usize, T)>, Rule> {
        let class = self.classes[row];
        if self.loss.ignored == Some(class) {
            return Ok(None);
        }
        let class = checked(class, self.n_classes)?;
        Ok(Some((class, self.weights.map_or(T::ONE, |weights| weights[class]))))
    }

    /// Writes each score less the largest one of its row.
    fn write_shifted(&self, to: &mut [T], largest: &mut [T], home: &Home) {
        if self.positions == 1 {
            rows(Row::Shift, to, self.scores, self.scores, self.n_classes, home.threads);
        } else {
            let n = [self.n_classes, self.positions];
            simd::run_at(simd::level(), Shift { to, largest, scores: self.scores, n });
        }
    }

    /// Replaces shifted scores by their exponentials, and writes the sums of rows, ascending.
    fn sum_exponentials(&self, shifted: &mut [T], sums: &mut [T], home: &Home) {
        elementwise::unary_in_place(kernels::Unary::Exp, shifted, home.threads);
        if self.positions == 1 {
            ascending(sums, shifted, self.n_classes);
        } else {
            let n = [self.n_classes, self.positions];
            simd::run_at(simd::level(), Ascending { sums, x: shifted, n });
        }
    }

    /// The sum of the weights of all rows, in float64.
    fn weight(&self) -> Result<f64, Rule> {
        if self.weights.is_none() && self.loss.ignored.is_none() {
            return Ok(self.classes.len() as f64);
        }
        (0..self.classes.len()).try_fold(0.0, |sum, row| {
            Ok(sum + self.class(row)?.map_or(0.0, |(_, weight)| weight.to_f64()))
        })
    }
}

/// Writes what is largest in each row and all scores less that.
struct Shift<'a, T> {
    to: &'a mut [T],
    /// Of rows.
    largest: &'a mut [T],
    scores: &'a [T],
    /// Classes and positions.
    n: [usize; 2],
}

impl<T: Functions> Kernel<T> for Shift<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        let [classes, positions] = self.n;
        let images = self.scores.chunks_exact(classes * positions);
        let written = self.to.chunks_exact_mut(classes * positions);
        let all = self.largest.chunks_exact_mut(positions).zip(images.zip(written));
        for (most, (scores, to)) in all {
            most.fill(-T::INFINITY);
            for scores in scores.chunks_exact(positions) {
                most.iter_mut().zip(scores).for_each(|(most, x)| *most = larger(*most, *x));
            }
            let lines = to.chunks_exact_mut(positions).zip(scores.chunks_exact(positions));
            for (to, scores) in lines {
                let pairs = scores.iter().zip(&*most);
                to.iter_mut().zip(pairs).for_each(|(to, (x, most))| *to = *x - *most);
            }
        }
    }
}

/// Sums over classes, ascending from +0.
struct Ascending<'a, T> {
    /// Of rows.
    sums: &'a mut [T],
    x: &'a [T],
    /// Classes and positions.
    n: [usize; 2],
}

impl<T: Functions> Kernel<T> for Ascending<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        let [classes, positions] = self.n;
        let images = self.x.chunks_exact(classes * positions);
        for (sums, x) in self.sums.chunks_exact_mut(positions).zip(images) {
            sums.fill(T::ZERO);
            for x in x.chunks_exact(positions) {
                sums.iter_mut().zip(x).for_each(|(sum, x)| *sum = *sum + *x);
            }
        }
    }
}

/// Minus the log-probability of each row's class; sums run in float64, rows ascending.
pub(super) fn class_loss<T: Functions + Element>(
    loss: &ClassLoss,
    inputs: &[&Tensor],
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let rows = Rows::<T>::new(loss, inputs)?;
    if loss.is_log || rows.scores.is_empty() {
        return sum_losses(&rows, to, |row, class| -rows.scores[rows.place(row, class)]);
    }
    let per_row = Kind { dtype: T::DTYPE, shape: *inputs[1].shape() };
    let mut shifted = home.buffers.tensor(inputs[0].kind())?;
    let (mut sums, mut chosen) = (home.buffers.tensor(per_row)?, home.buffers.tensor(per_row)?);
    let done = {
        let (shifted, sums) = (shifted.elements_mut::<T>()?, sums.elements_mut::<T>()?);
        let chosen = chosen.elements_mut::<T>()?;
        rows.write_shifted(shifted, sums, home);
        for (row, chosen) in chosen.iter_mut().enumerate() {
            if let Some((class, _)) = rows.class(row)? {
                *chosen = shifted[rows.place(row, class)];
            }
        }
        rows.sum_exponentials(shifted, sums, home);
        elementwise::unary_in_place(kernels::Unary::Ln, sums, home.threads);
        sum_losses(&rows, to, |row, _| sums[row] - chosen[row])
    };
    [shifted, sums, chosen].into_iter().for_each(|tensor| home.buffers.give_back(tensor));
    done
}

fn sum_losses<T: Functions + Element>(
    rows: &Rows<T>,
    to: &mut Tensor,
    loss: impl Fn(usize, usize) -> T,
) -> Result<(), Rule> {
    let to = to.elements_mut::<T>()?;
    let (mut total, mut weights) = (0.0, 0.0);
    for row in 0..rows.classes.len() {
        let (loss, weight) = match rows.class(row)? {
            Some((class, weight)) => (weight * loss(row, class), weight),
            None => (T::ZERO, T::ZERO),
        };
        (total, weights) = (total + loss.to_f64(), weights + weight.to_f64());
        if let (Reduction::None, Some(to)) = (rows.loss.reduction, to.get_mut(row)) {
            *to = loss;
        }
    }
    match rows.loss.reduction {
        Reduction::None => {}
        Reduction::Sum => to.fill(T::from_f64(total)),
        Reduction::Mean => to.fill(T::from_f64(total / weights)),
    }
    Ok(())
}

pub(super) fn class_loss_gradient<T: Functions + Element>(
    loss: &ClassLoss,
    inputs: &[&Tensor],
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let (g, to) = (inputs[0].elements::<T>()?, to.elements_mut::<T>()?);
    let rows = Rows::<T>::new(loss, &inputs[1..])?;
    let over = if loss.reduction == Reduction::Mean { rows.weight()? } else { 1.0 };
    let per_row = Kind { dtype: T::DTYPE, shape: *inputs[2].shape() };
    let (mut factors, mut shares) = (home.buffers.tensor(per_row)?, home.buffers.tensor(per_row)?);
    let (factors_of, shares_of) = (factors.elements_mut::<T>()?, shares.elements_mut::<T>()?);
    let unweighted = T::from_f64(1.0 / over);
    for (row, share) in shares_of.iter_mut().enumerate() {
        let g = if loss.reduction == Reduction::None { g[row] } else { g[0] };
        let weight = rows.class(row)?.map(|(_, weight)| match rows.weights {
            Some(_) => T::from_f64(weight.to_f64() / over),
            None => unweighted,
        });
        *share = weight.map_or(T::ZERO, |weight| g * weight);
    }
    if loss.is_log || rows.scores.is_empty() {
        to.fill(T::ZERO);
    } else {
        rows.write_shifted(to, factors_of, home);
        rows.sum_exponentials(to, factors_of, home);
        let pairs = factors_of.iter_mut().zip(&*shares_of);
        pairs.for_each(|(factor, share)| *factor = *share / *factor);
        if rows.positions == 1 {
            scale(to, factors_of, rows.n_classes);
        } else {
            let n = [rows.n_classes, rows.positions];
            simd::run_at(simd::level(), Scale { to, factors: factors_of, n });
        }
    }
    for (row, share) in shares_of.iter().enumerate() {
        let Some((class, _)) = rows.class(row)? else {
            let of_row = to[rows.start(row)..].iter_mut().step_by(rows.positions);
            of_row.take(rows.n_classes).for_each(|x| *x = T::ZERO);
            continue;
        };
        let at = rows.place(row, class);
        to[at] = to[at] - *share;
    }
    [factors, shares].into_iter().for_each(|tensor| home.buffers.give_back(tensor));
    Ok(())
}

/// Multiplies each element with the factor of its row.
struct Scale<'a, T> {
    to: &'a mut [T],
    /// Of rows.
    factors: &'a [T],
    /// Classes and positions.
    n: [usize; 2],
}

impl<T: Functions> Kernel<T> for Scale<'_, T> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes<T = T>>(self) {
        let [classes, positions] = self.n;
        let images = self.to.chunks_exact_mut(classes * positions);
        for (to, factors) in images.zip(self.factors.chunks_exact(positions)) {
            for to in to.chunks_exact_mut(positions) {
                to.iter_mut().zip(factors).for_each(|(to, factor)| *to = *to * *factor);
            }
        }
    }
}
