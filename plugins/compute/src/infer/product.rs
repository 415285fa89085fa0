//! Products of matrices.

use super::same_floats;
use crate::error::Rule;
use crate::shape::{Kind, RANK_MAX, Shape};

pub(super) fn matmul(left: bool, right: bool, inputs: &[Kind]) -> Result<Kind, Rule> {
    let [a, b] = inputs else { return Err(Rule::Inputs("two inputs")) };
    let dtype = same_floats(inputs)?;
    if a.shape.rank() < 2 || b.shape.rank() < 2 {
        return Err(Rule::Rank("two axes or more"));
    }
    let last = |shape: &Shape, transposed: bool| {
        let (rows, columns) = (shape.size_from_end(1), shape.size_from_end(0));
        if transposed { (columns, rows) } else { (rows, columns) }
    };
    let ((rows, depth), (other, columns)) = (last(&a.shape, left), last(&b.shape, right));
    if depth != other {
        return Err(Rule::Sizes("columns on the left must equal rows on the right"));
    }
    let batch = leading(&a.shape)?.broadcast(&leading(&b.shape)?)?;
    let mut sizes = batch.array();
    let rank = batch.rank() + 2;
    if rank > RANK_MAX {
        return Err(Rule::Rank("at most 8 axes"));
    }
    (sizes[rank - 2], sizes[rank - 1]) = (rows, columns);
    Ok(Kind { dtype, shape: Shape::new(&sizes[..rank])? })
}

/// All axes but the last two.
fn leading(shape: &Shape) -> Result<Shape, Rule> {
    Shape::new(&shape.array()[..shape.rank().saturating_sub(2)])
}

pub(super) fn linear(inputs: &[Kind]) -> Result<Kind, Rule> {
    let (x, w, bias) = match inputs {
        [x, w] => (x, w, None),
        [x, w, bias] => (x, w, Some(bias)),
        _ => return Err(Rule::Inputs("two or three inputs")),
    };
    let dtype = same_floats(inputs)?;
    if x.shape.rank() < 1 || w.shape.rank() != 2 {
        return Err(Rule::Rank("one axis or more on the left and two for the weights"));
    }
    if x.shape.size_from_end(0) != w.shape.size(1) {
        return Err(Rule::Sizes("columns on the left must equal columns of the weights"));
    }
    let outputs = w.shape.size(0);
    if bias.is_some_and(|bias| bias.shape.rank() != 1 || bias.shape.size(0) != outputs) {
        return Err(Rule::Sizes("the bias must have as many elements as the weights have rows"));
    }
    Ok(Kind { dtype, shape: x.shape.with(x.shape.rank() - 1, outputs)? })
}
