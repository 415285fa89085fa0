//! Operations with indices, and losses with classes.

use super::{float, indices, same_floats};
use crate::error::Rule;
use crate::op::{ClassLoss, Reduction};
use crate::shape::{Kind, RANK_MAX, Shape};

pub(super) fn embedding(inputs: &[Kind]) -> Result<Kind, Rule> {
    let [table, index] = inputs else { return Err(Rule::Inputs("two inputs")) };
    float(table)?;
    indices(index)?;
    if table.shape.rank() == 0 {
        return Err(Rule::Rank("one axis or more for the table"));
    }
    let (mut sizes, rank) = (index.shape.array(), index.shape.rank());
    let more = table.shape.rank() - 1;
    if rank + more > RANK_MAX {
        return Err(Rule::Rank("at most 8 axes"));
    }
    sizes[rank..rank + more].copy_from_slice(&table.shape.array()[1..=more]);
    Ok(Kind { shape: Shape::new(&sizes[..rank + more])?, ..*table })
}

pub(super) fn embedding_gradient(rows: u32, inputs: &[Kind]) -> Result<Kind, Rule> {
    let [index, g] = inputs else { return Err(Rule::Inputs("two inputs")) };
    indices(index)?;
    float(g)?;
    let rank = index.shape.rank();
    if g.shape.rank() < rank || g.shape.array()[..rank] != index.shape.array()[..rank] {
        return Err(Rule::Sizes("the gradient must have the shape of the indices first"));
    }
    let mut sizes = [0; RANK_MAX + 1];
    sizes[0] = rows as usize;
    let more = g.shape.rank() - rank;
    sizes[1..=more].copy_from_slice(&g.shape.array()[rank..rank + more]);
    Ok(Kind { shape: Shape::new(&sizes[..=more])?, ..*g })
}

/// The rule of `gather`: as many axes, and none longer but along `axis`.
fn within(axis: usize, index: &Shape, x: &Shape) -> Result<(), Rule> {
    let fits = |(nth, (a, b)): (usize, (usize, usize))| nth == axis || a <= b;
    if index.rank() != x.rank() || !index.sizes().zip(x.sizes()).enumerate().all(fits) {
        return Err(Rule::Sizes("the indices must fit into the input on all other axes"));
    }
    Ok(())
}

pub(super) fn gather(axis: u32, inputs: &[Kind]) -> Result<Kind, Rule> {
    let [x, index] = inputs else { return Err(Rule::Inputs("two inputs")) };
    float(x)?;
    indices(index)?;
    within(x.shape.check_axis(axis as usize)?, &index.shape, &x.shape)?;
    Ok(Kind { shape: index.shape, ..*x })
}

pub(super) fn scatter_add(axis: u32, inputs: &[Kind]) -> Result<Kind, Rule> {
    let [x, index, y] = inputs else { return Err(Rule::Inputs("three inputs")) };
    same_floats(&[*x, *y])?;
    indices(index)?;
    within(x.shape.check_axis(axis as usize)?, &index.shape, &x.shape)?;
    if y.shape != index.shape {
        return Err(Rule::Sizes("the addends must have the shape of the indices"));
    }
    Ok(*x)
}

/// Rows, classes and positions of scores `[n, classes, ..]`, or one row of `[classes]`.
pub(super) fn class_loss(loss: &ClassLoss, inputs: &[Kind]) -> Result<Kind, Rule> {
    let (scores, classes, weights) = match inputs {
        [scores, classes] => (scores, classes, None),
        [scores, classes, weights] => (scores, classes, Some(weights)),
        _ => return Err(Rule::Inputs("two or three inputs")),
    };
    float(scores)?;
    indices(classes)?;
    let (rank, sizes) = (scores.shape.rank(), scores.shape.array());
    if rank < 2 {
        return Err(Rule::Rank("[n, classes, ..] for the scores"));
    }
    let mut rows = [0; RANK_MAX];
    rows[0] = sizes[0];
    rows[1..rank - 1].copy_from_slice(&sizes[2..rank]);
    let rows = Shape::new(&rows[..rank - 1])?;
    if classes.shape != rows {
        return Err(Rule::Sizes("the classes must have the shape of the scores without axis 1"));
    }
    if let Some(weights) = weights {
        same_floats(&[*scores, *weights])?;
        if weights.shape.rank() != 1 || weights.shape.size(0) != sizes[1] {
            return Err(Rule::Sizes("there must be one weight for each class"));
        }
    }
    let shape = if loss.reduction == Reduction::None { rows } else { Shape::SCALAR };
    Ok(Kind { shape, ..*scores })
}

pub(super) fn class_loss_gradient(loss: &ClassLoss, inputs: &[Kind]) -> Result<Kind, Rule> {
    let Some((g, inputs)) = inputs.split_first() else {
        return Err(Rule::Inputs("three or four inputs"));
    };
    let output = class_loss(loss, inputs)?;
    if output != *g {
        return Err(Rule::Sizes("the gradient must be of the kind of the loss"));
    }
    Ok(inputs[0])
}
