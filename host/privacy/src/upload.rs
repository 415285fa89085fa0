//! Masked vectors as tensors: what lies in the repository, and what receipts name by digest.

use fedwasm_params::{DType, Params, Tensor};

use crate::context::{Layout, Stream, Vectors};
use crate::lane::{lanes_from_bytes, lanes_to_bytes};
use crate::{Error, Lane};

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
