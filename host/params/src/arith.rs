//! Weighted arithmetic.

use crate::{DType, Error, Params, Tensor};

/// Element types that can be averaged.
pub const SUMMABLE: [DType; 2] = [DType::Float32, DType::Float64];

/// Returns `Σ (w_k / Σ w) p_k` over the sets `p_k`, which all have the names,
/// element types and shapes of the first. Accumulates in float64 in the given
/// order and rounds once at the end, so one set alone comes back bit for bit.
///
/// # Errors
/// [`Error::Nothing`], [`Error::BadWeights`], [`Error::NotSummable`], and
/// those of [`Params::arrange`].
pub fn weighted_mean(sets: &[(f64, &Params)]) -> Result<Params, Error> {
    let Some((_, first)) = sets.first() else { return Err(Error::Nothing) };
    let total: f64 = sets.iter().map(|(weight, _)| weight).sum();
    let weight_ok = |weight: &f64| weight.is_finite() && *weight >= 0.0;
    if !sets.iter().all(|(weight, _)| weight_ok(weight)) || !total.is_finite() || total <= 0.0 {
        return Err(Error::BadWeights);
    }
    let mut sums: Vec<Vec<f64>> = Vec::with_capacity(first.len());
    for (weight, params) in sets {
        let specs = first.iter().map(|(name, tensor)| (name, tensor.dtype(), tensor.shape()));
        let tensors = (*params).clone().arrange(specs)?;
        for (index, ((name, _), tensor)) in first.iter().zip(&tensors).enumerate() {
            let values = tensor.floats().ok_or_else(|| Error::NotSummable {
                name: name.to_owned(),
                dtype: tensor.dtype(),
            })?;
            let terms = values.iter().map(|value| weight / total * value);
            // The first term starts the sum: 0.0 + -0.0 would lose a sign.
            match sums.get_mut(index) {
                None => sums.push(terms.collect()),
                Some(sums) => sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term),
            }
        }
    }
    let means = first.iter().zip(sums).map(|((name, tensor), sums)| {
        let data = match tensor.dtype() {
            DType::Float32 => sums.iter().flat_map(|sum| (*sum as f32).to_le_bytes()).collect(),
            _ => sums.iter().flat_map(|sum| sum.to_le_bytes()).collect(),
        };
        Ok((name.to_owned(), Tensor::new(tensor.dtype(), tensor.shape().to_vec(), data)?))
    });
    Params::new(means.collect::<Result<_, Error>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn params(values: &[f32]) -> Params {
        let tensor = Tensor::from_f32(vec![values.len() as u64], values).unwrap();
        Params::new(vec![("w".into(), tensor)]).unwrap()
    }

    fn floats(params: &Params) -> Vec<f64> {
        params.tensor("w").unwrap().floats().unwrap()
    }

    // The vectors of Fed-BioMed's own test of FedAverage.
    #[test]
    fn mean_equals_fedbiomed() {
        let sets = [
            params(&[3., 8., 8., 3., 1., 4.]),
            params(&[0.4, 1.6, 2., 1., 0.1, 1.]),
            params(&[2., 5., 5., 3., 1., 6.]),
        ];
        let mean = weighted_mean(&[(0.2, &sets[0]), (0.2, &sets[1]), (0.6, &sets[2])]).unwrap();
        for (got, expected) in floats(&mean).iter().zip([1.88, 4.92, 5.0, 2.6, 0.82, 4.6]) {
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
    }

    #[test]
    fn bad_weights_are_refused() {
        let p = params(&[1.0]);
        for weights in [[0.0, 0.0], [-1.0, 2.0], [f64::NAN, 1.0], [f64::INFINITY, 1.0]] {
            let sets = weights.map(|weight| (weight, &p));
            assert!(matches!(weighted_mean(&sets), Err(Error::BadWeights)), "{weights:?}");
        }
        assert!(matches!(weighted_mean(&[]), Err(Error::Nothing)));
    }

    #[test]
    fn other_shapes_are_refused() {
        let (a, b) = (params(&[1.0]), params(&[1.0, 2.0]));
        let error = weighted_mean(&[(1.0, &a), (1.0, &b)]).unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }));
    }

    #[test]
    fn integers_are_refused() {
        let tensor = Tensor::from_i64(vec![1], &[3]).unwrap();
        let p = Params::new(vec![("steps".into(), tensor)]).unwrap();
        assert!(matches!(weighted_mean(&[(1.0, &p)]), Err(Error::NotSummable { .. })));
    }

    proptest! {
        #[test]
        fn one_set_comes_back_bit_for_bit(values in prop::collection::vec(
            prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO, 1..40),
            weight in 1u32..1_000_000) {
            let p = params(&values);
            prop_assert_eq!(weighted_mean(&[(f64::from(weight), &p)]).unwrap(), p);
        }
    }
}
