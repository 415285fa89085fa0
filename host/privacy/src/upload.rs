//! Masked vectors as tensors: what lies in the repository, and what receipts name by digest.

use fedwasm_params::{DType, Params, Tensor};

use crate::context::{Layout, Stream, Vectors};
use crate::lane::{lanes_from_bytes, lanes_to_bytes};
use crate::{Error, Lane, VectorSpec, moved};

/// The element type of lanes; they are unsigned, and files have two's complement.
fn dtype<L: Lane>() -> DType {
    if L::BITS == 32 { DType::Int32 } else { DType::Int64 }
}

/// Returns one tensor a vector, int32 or int64 with one axis, named by its stream.
///
/// # Errors
/// [`Error::Params`] beyond the largest tensor.
pub fn vectors_to_params<L: Lane>(vectors: &Vectors<L>) -> Result<Params, Error> {
    let tensor = |(stream, lanes): (&Stream, &Vec<L>)| {
        let shape = vec![lanes.len() as u64];
        Ok((stream.name().to_owned(), Tensor::new(dtype::<L>(), shape, lanes_to_bytes(lanes))?))
    };
    Ok(Params::new(vectors.iter().map(tensor).collect::<Result<_, Error>>()?)?)
}

/// Reads the vectors of a layout.
///
/// # Errors
/// [`Error::Params`] unless names, element types and shapes are exactly those of the layout.
pub fn vectors_from_params<L: Lane>(params: Params, layout: &Layout) -> Result<Vectors<L>, Error> {
    let lengths: Vec<(Stream, usize)> = layout.lengths().collect();
    let shapes: Vec<[u64; 1]> = lengths.iter().map(|(_, n)| [*n as u64]).collect();
    let specs = lengths.iter().zip(&shapes);
    let specs = specs.map(|((stream, _), shape)| (stream.name(), dtype::<L>(), shape.as_slice()));
    let tensors = params.arrange(specs)?;
    let read = |((stream, n), tensor): (&(Stream, usize), &Tensor)| {
        Ok((*stream, lanes_from_bytes(tensor.data(), *n)?))
    };
    lengths.iter().zip(&tensors).map(read).collect()
}

/// Reads a node's vectors: those that lie in the repository, and the check value of its message.
///
/// # Errors
/// [`Error::Params`], [`Error::Length`] unless they have the layout.
pub fn vectors_of_node(
    stored: Params,
    check: Option<&[u8]>,
    layout: &Layout,
) -> Result<Vectors<u64>, Error> {
    let mut vectors = vectors_from_params(stored, &layout.clone().without(Stream::Check))?;
    let n = layout.lengths().find(|(stream, _)| *stream == Stream::Check).map(|(_, n)| n);
    if let (Some(bytes), Some(n)) = (check, n) {
        vectors.insert(Stream::Check, lanes_from_bytes(bytes, n)?);
    }
    Ok(vectors)
}

/// Returns the parameters `received`, those of `specs` among them moved by a mean update; the others
/// stay.
///
/// # Errors
/// Those of [`moved`].
pub fn moved_where(
    received: &Params,
    specs: &[VectorSpec<'_>],
    mean: &[f64],
) -> Result<Params, Error> {
    let of = |(name, ..): &VectorSpec<'_>| {
        received.tensor(name).map(|tensor| ((*name).to_owned(), tensor.clone()))
    };
    let moved = moved(&Params::new(specs.iter().filter_map(of).collect())?, mean)?;
    let all = received
        .iter()
        .map(|(name, tensor)| (name.to_owned(), moved.tensor(name).unwrap_or(tensor).clone()));
    Ok(Params::new(all.collect())?)
}

/// Returns values as float64 tensors of these names and shapes.
///
/// # Errors
/// [`Error::Length`] for another number of values.
pub fn tensors_of(specs: &[VectorSpec<'_>], values: &[f64]) -> Result<Params, Error> {
    let (mut tensors, mut left) = (Vec::new(), values);
    for (name, _, shape) in specs {
        let n = shape.iter().fold(1u64, |n, axis| n.saturating_mul(*axis));
        let expected = usize::try_from(n).unwrap_or(usize::MAX);
        let Some((own, rest)) = left.split_at_checked(expected) else {
            return Err(Error::Length { what: "values", got: left.len(), expected });
        };
        left = rest;
        let bytes = own.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor = Tensor::new(DType::Float64, shape.to_vec(), bytes)?;
        tensors.push(((*name).to_owned(), tensor));
    }
    match left.len() {
        0 => Ok(Params::new(tensors)?),
        got => Err(Error::Length { what: "values too many", got, expected: 0 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back_and_others_are_refused() {
        let layout = Layout::default().with(Stream::Params, 2, &[]).with(Stream::Check, 1, &[]);
        let vectors =
            Vectors::from([(Stream::Check, vec![u64::MAX]), (Stream::Params, vec![1, 1 << 63])]);
        let params = vectors_to_params(&vectors).unwrap();
        assert_eq!(params.tensor("params").unwrap().dtype(), DType::Int64);
        assert_eq!(vectors_from_params::<u64>(params.clone(), &layout).unwrap(), vectors);
        assert!(vectors_from_params::<u32>(params.clone(), &layout).is_err());
        let longer = Layout::default().with(Stream::Params, 3, &[]).with(Stream::Check, 1, &[]);
        assert!(vectors_from_params::<u64>(params.clone(), &longer).is_err());
        let more = layout.with(Stream::Counts, 1, &[]);
        assert!(vectors_from_params::<u64>(params, &more).is_err());
    }
}
