//! Losses of scores against classes.

use super::Home;
use super::functions::larger;
use super::index::checked;
use super::numbers::Functions;
use crate::error::Rule;
use crate::kernels::{self, elementwise};
use crate::op::{ClassLoss, Reduction};
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
    fn new(loss: &'a ClassLoss, inputs: &'a [Tensor]) -> Result<Self, Rule> {
        let shape = inputs[0].shape();
        Ok(Self {
            loss,
            scores: inputs[0].elements::<T>()?,
            classes: inputs[1].elements::<i64>()?,
            weights: inputs.get(2).map(Tensor::elements::<T>).transpose()?,
            n_classes: shape.size(1),
            positions: shape.len_of(2..shape.rank()),
        })
    }

    /// Where the first score of a row is; the next ones are `positions` apart.
    fn start(&self, row: usize) -> usize {
        row / self.positions * self.n_classes * self.positions + row % self.positions
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

    /// The largest score of a row and the sum of `e^(score - largest)`, ascending.
    fn exponentials(&self, row: usize) -> (T, T) {
        let scores = || self.scores[self.start(row)..].iter().step_by(self.positions);
        let scores = || scores().take(self.n_classes);
        let largest = scores().fold(-T::INFINITY, |a, b| larger(a, *b));
        (largest, scores().fold(T::ZERO, |sum, x| sum + (*x - largest).exp()))
    }

    /// Whether the scores of a row lie side by side and exponentials are needed: all are taken at
    /// once then, with the bits of one after the other.
    fn is_matrix(&self) -> bool {
        self.positions == 1 && !self.loss.is_log && self.n_classes > 0
    }

    /// Writes `e^(score - largest)` of all rows of a matrix.
    fn write_exponentials(&self, to: &mut [T], home: &Home) {
        let n = self.n_classes;
        for (to, scores) in to.chunks_exact_mut(n).zip(self.scores.chunks_exact(n)) {
            let largest = scores.iter().fold(-T::INFINITY, |a, b| larger(a, *b));
            to.iter_mut().zip(scores).for_each(|(to, score)| *to = *score - largest);
        }
        elementwise::unary_in_place(kernels::Unary::Exp, to, home.threads);
    }

    /// As [`loss`](Self::loss), with the exponentials of a matrix.
    fn loss_of(&self, row: usize, class: usize, exponentials: &[T]) -> T {
        let rows = row * self.n_classes..(row + 1) * self.n_classes;
        let scores = &self.scores[rows.clone()];
        let largest = scores.iter().fold(-T::INFINITY, |a, b| larger(a, *b));
        let sum = exponentials[rows].iter().fold(T::ZERO, |sum, x| sum + *x);
        sum.ln() - (scores[class] - largest)
    }

    /// Minus the log-probability of the class.
    fn loss(&self, row: usize, class: usize) -> T {
        let score = self.scores[self.start(row) + class * self.positions];
        if self.loss.is_log {
            return -score;
        }
        let (largest, sum) = self.exponentials(row);
        sum.ln() - (score - largest)
    }

    /// The sum of the weights of all rows, in float64.
    fn weight(&self) -> Result<f64, Rule> {
        (0..self.classes.len()).try_fold(0.0, |sum, row| {
            Ok(sum + self.class(row)?.map_or(0.0, |(_, weight)| weight.to_f64()))
        })
    }
}

/// Sums run in float64, rows ascending.
pub(super) fn class_loss<T: Functions + Element>(
    loss: &ClassLoss,
    inputs: &[Tensor],
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let rows = Rows::<T>::new(loss, inputs)?;
    if !rows.is_matrix() {
        return sum_losses(&rows, to, |row, class| rows.loss(row, class));
    }
    let mut exponentials = home.buffers.tensor(inputs[0].kind())?;
    rows.write_exponentials(exponentials.elements_mut::<T>()?, home);
    let all = exponentials.elements::<T>()?;
    let done = sum_losses(&rows, to, |row, class| rows.loss_of(row, class, all));
    home.buffers.give_back(exponentials);
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
    inputs: &[Tensor],
    to: &mut Tensor,
    home: &mut Home,
) -> Result<(), Rule> {
    let (g, to) = (inputs[0].elements::<T>()?, to.elements_mut::<T>()?);
    let rows = Rows::<T>::new(loss, &inputs[1..])?;
    let over = if loss.reduction == Reduction::Mean { rows.weight()? } else { 1.0 };
    if rows.is_matrix() {
        rows.write_exponentials(to, home);
    } else {
        to.fill(T::ZERO);
    }
    for row in 0..rows.classes.len() {
        let Some((class, weight)) = rows.class(row)? else {
            if rows.is_matrix() {
                to[row * rows.n_classes..][..rows.n_classes].fill(T::ZERO);
            }
            continue;
        };
        let g = if loss.reduction == Reduction::None { g[row] } else { g[0] };
        let share = g * T::from_f64(weight.to_f64() / over);
        let start = rows.start(row);
        if rows.is_matrix() {
            let to = &mut to[start..][..rows.n_classes];
            let factor = share / to.iter().fold(T::ZERO, |sum, x| sum + *x);
            to.iter_mut().for_each(|x| *x = *x * factor);
        } else if !loss.is_log {
            let (largest, sum) = rows.exponentials(row);
            let factor = share / sum;
            for nth in 0..rows.n_classes {
                let at = start + nth * rows.positions;
                to[at] = (rows.scores[at] - largest).exp() * factor;
            }
        }
        let at = start + class * rows.positions;
        to[at] = to[at] - share;
    }
    Ok(())
}
