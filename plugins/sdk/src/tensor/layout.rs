//! What moves elements.

use fedwasm_compute::{Element, Id, Kind, Mistake, Op, RANK_MAX, Rule, compose};

use super::{Tensor, apply, axis_below, axis_of, shape_of};
use crate::engine;

/// Sizes, of which one may be -1: what the others leave.
fn sizes_of(kind: Kind, sizes: &[isize]) -> Result<Vec<usize>, Mistake> {
    let wrong = || Mistake {
        op: "reshape",
        inputs: vec![kind],
        rule: Rule::Sizes("one size may be -1, and the others must divide the elements"),
    };
    let known = sizes.iter().filter(|size| **size >= 0);
    let rest = known.clone().try_fold(1usize, |product, size| product.checked_mul(*size as usize));
    let rest = rest.ok_or_else(wrong)?;
    if sizes.len() - known.count() > 1 {
        return Err(wrong());
    }
    let fill = |size: &isize| match *size {
        -1 => (kind.shape.len().checked_rem(rest) == Some(0)).then(|| kind.shape.len() / rest),
        size => usize::try_from(size).ok(),
    };
    sizes.iter().map(|size| fill(size).ok_or_else(wrong)).collect()
}

impl Tensor {
    /// The same elements in another shape, in which one size may be -1, what the others leave.
    #[must_use]
    #[track_caller]
    pub fn reshape(&self, sizes: &[isize]) -> Self {
        apply(&[self], &mut |apply, ids| {
            let sizes = sizes_of(apply.kind(ids[0])?, sizes)?;
            compose::reshape(apply, ids[0], &sizes)
        })
    }

    /// All axes from `first` on as one.
    #[must_use]
    #[track_caller]
    pub fn flatten(&self, first: isize) -> Self {
        apply(&[self], &mut |apply, ids| {
            let first = axis_of(apply, ids[0], first)?;
            compose::flatten(apply, ids[0], first)
        })
    }

    /// A new axis of length 1.
    #[must_use]
    #[track_caller]
    pub fn unsqueeze(&self, axis: isize) -> Self {
        apply(&[self], &mut |apply, ids| {
            let kind = apply.kind(ids[0])?;
            let axis = axis_below(kind, kind.shape.rank() + 1, axis)?;
            let mut sizes: Vec<usize> = kind.shape.sizes().collect();
            sizes.insert(axis, 1);
            compose::reshape(apply, ids[0], &sizes)
        })
    }

    /// Without an axis of length 1.
    #[must_use]
    #[track_caller]
    pub fn squeeze(&self, axis: isize) -> Self {
        apply(&[self], &mut |apply, ids| {
            let axis = axis_of(apply, ids[0], axis)?;
            let mut sizes: Vec<usize> = apply.kind(ids[0])?.shape.sizes().collect();
            // One that is longer leaves another number of elements, which is refused.
            sizes.remove(axis);
            compose::reshape(apply, ids[0], &sizes)
        })
    }

    /// Repeated to a shape: axes of length 1, and new ones in front.
    #[must_use]
    #[track_caller]
    pub fn expand(&self, sizes: &[usize]) -> Self {
        apply(&[self], &mut |apply, ids| compose::expand(apply, ids[0], sizes))
    }

    /// The axes in this order; each must be there once.
    #[must_use]
    #[track_caller]
    pub fn permute(&self, axes: &[isize]) -> Self {
        apply(&[self], &mut |apply, ids| {
            let axes = super::axes_of(apply, ids[0], axes)?;
            compose::permute(apply, ids[0], &axes)
        })
    }

    /// Two axes in each other's place.
    #[must_use]
    #[track_caller]
    pub fn transpose(&self, a: isize, b: isize) -> Self {
        apply(&[self], &mut |apply, ids| {
            let (a, b) = (axis_of(apply, ids[0], a)?, axis_of(apply, ids[0], b)?);
            compose::transpose(apply, ids[0], a, b)
        })
    }

    /// `len` elements along an axis, from `start` on.
    #[must_use]
    #[track_caller]
    pub fn slice(&self, axis: isize, start: usize, len: usize) -> Self {
        self.slice_by(axis, start, len, 1)
    }

    /// As [`slice`](Self::slice), `step` apart.
    #[must_use]
    #[track_caller]
    pub fn slice_by(&self, axis: isize, start: usize, len: usize, step: usize) -> Self {
        apply(&[self], &mut |apply, ids| {
            let axis = axis_of(apply, ids[0], axis)?;
            compose::slice(apply, ids[0], axis, start, len, step)
        })
    }

    /// Element `index` along an axis, which goes.
    #[must_use]
    #[track_caller]
    pub fn select(&self, axis: isize, index: usize) -> Self {
        apply(&[self], &mut |apply, ids| {
            let axis = axis_of(apply, ids[0], axis)?;
            let one = compose::slice(apply, ids[0], axis, index, 1, 1)?;
            let mut sizes: Vec<usize> = apply.kind(one)?.shape.sizes().collect();
            sizes.remove(axis);
            compose::reshape(apply, one, &sizes)
        })
    }

    /// Parts of these lengths along an axis, which they must cover.
    #[must_use]
    #[track_caller]
    pub fn split(&self, sizes: &[usize], axis: isize) -> Vec<Self> {
        let all = apply(&[self], &mut |apply, ids| {
            let rule = Rule::Sizes("the parts must cover the axis");
            let kind = apply.kind(ids[0])?;
            let covered = kind.shape.size(axis_of(apply, ids[0], axis)?);
            match sizes.iter().try_fold(0usize, |sum, size| sum.checked_add(*size)) {
                Some(sum) if sum == covered => Ok(ids[0]),
                _ => Err(Mistake { op: "split", inputs: vec![kind], rule }),
            }
        });
        let mut start = 0;
        let mut part = |size: &usize| {
            let part = all.slice(axis, start, *size);
            start = start.saturating_add(*size);
            part
        };
        sizes.iter().map(&mut part).collect()
    }

    /// So many parts of one length along an axis, the last maybe shorter, as `torch.chunk`.
    #[must_use]
    #[track_caller]
    pub fn chunk(&self, n: usize, axis: isize) -> Vec<Self> {
        let size = self.size(axis);
        let part = size.div_ceil(n.max(1)).max(1);
        let sizes: Vec<usize> =
            (0..size).step_by(part).map(|start| part.min(size - start)).collect();
        self.split(&sizes, axis)
    }

    /// Elements of one value around: how many before and after, for each of the last axes, the first
    /// of them first.
    #[must_use]
    #[track_caller]
    pub fn pad(&self, around: &[(usize, usize)], value: f64) -> Self {
        apply(&[self], &mut |apply, ids| compose::pad(apply, ids[0], around, value))
    }

    /// Elements along an axis by int64 indices, as `torch.gather`.
    #[must_use]
    #[track_caller]
    pub fn gather(&self, axis: isize, indices: &Self) -> Self {
        apply(&[self, indices], &mut |apply, ids| {
            let axis = axis_of(apply, ids[0], axis)?;
            apply.apply(Op::Gather(axis as u32), ids)
        })
    }

    /// This with `addends` added along an axis by int64 indices, as `torch.scatter_add`.
    #[must_use]
    #[track_caller]
    pub fn scatter_add(&self, axis: isize, indices: &Self, addends: &Self) -> Self {
        apply(&[self, indices, addends], &mut |apply, ids| {
            let axis = axis_of(apply, ids[0], axis)?;
            apply.apply(Op::ScatterAdd(axis as u32), ids)
        })
    }

    /// Rows of this table by int64 indices: the shape of the indices, then that of a row.
    #[must_use]
    #[track_caller]
    pub fn embedding(&self, indices: &Self) -> Self {
        apply(&[self, indices], &mut |apply, ids| apply.apply(Op::Embedding, ids))
    }

    /// One behind the other along an axis.
    #[must_use]
    #[track_caller]
    pub fn concat(parts: &[&Self], axis: isize) -> Self {
        apply(parts, &mut |apply, ids| {
            let axis = axis_of(apply, first(ids)?, axis)?;
            compose::concat(apply, ids, axis)
        })
    }

    /// Side by side along a new axis.
    #[must_use]
    #[track_caller]
    pub fn stack(parts: &[&Self], axis: isize) -> Self {
        apply(parts, &mut |apply, ids| {
            let kind = apply.kind(first(ids)?)?;
            let axis = axis_below(kind, kind.shape.rank() + 1, axis)?;
            compose::stack(apply, ids, axis)
        })
    }

    /// Elements of this type by a function of their place, for tables that are computed.
    #[must_use]
    #[track_caller]
    pub fn from_fn<T: Element>(shape: &[usize], f: impl Fn(&[usize]) -> T) -> Self {
        let len = match shape_of("from_fn", shape) {
            Ok(shape) => shape.len(),
            Err(mistake) => return Self::made(Err(engine::refused(&mistake))),
        };
        let mut place = [0; RANK_MAX];
        let place = &mut place[..shape.len()];
        let mut elements = Vec::with_capacity(len);
        for _ in 0..len {
            elements.push(f(place));
            for (at, size) in place.iter_mut().zip(shape).rev() {
                *at += 1;
                if *at < *size {
                    break;
                }
                *at = 0;
            }
        }
        Self::from_slice(&elements, shape)
    }
}

fn first(ids: &[Id]) -> Result<Id, Mistake> {
    let none = || Mistake { op: "concat", inputs: Vec::new(), rule: Rule::Inputs("one or more") };
    ids.first().copied().ok_or_else(none)
}
