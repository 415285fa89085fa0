//! An update, and the bound on its length.

use fedwasm_params::{Params, from_f64, to_f64};

use crate::Error;

/// Returns trained minus received as float64, one tensor after the other in the order of
/// `received`.
///
/// * `trained`, `received` — parameters of the same names, element types (float32 or float64) and
///   shapes.
///
/// # Errors
/// [`Error::Params`] if they do not fit each other; [`Error::NotFinite`] if an element of either is
/// not finite, or their difference leaves the range of float64.
pub fn update(trained: &Params, received: &Params) -> Result<Vec<f64>, Error> {
    let mut update = to_f64(trained, received)?;
    let before = to_f64(received, received)?;
    update.iter_mut().zip(&before).for_each(|(after, before)| *after -= before);
    match update.iter().position(|value| !value.is_finite()) {
        None => Ok(update),
        Some(at) => Err(not_finite(received, at)),
    }
}

/// Returns the parameters `received` moved by a mean update: what [`update`] undoes. Elements are
/// rounded once; one whose mean is 0 keeps its bits.
///
/// * `mean` — one value for each element of `received`, in its order ([`crate::Quantiser::decode`]).
///
/// # Errors
/// [`Error::Length`]; [`Error::Params`] for other tensors than float32 and float64; [`Error::NotFinite`]
/// if an element leaves the range of its type.
pub fn moved(received: &Params, mean: &[f64]) -> Result<Params, Error> {
    let mut values = to_f64(received, received)?;
    if values.len() != mean.len() {
        return Err(Error::Length { what: "values", got: mean.len(), expected: values.len() });
    }
    let moves = values.iter_mut().zip(mean).filter(|(_, step)| **step != 0.0);
    moves.for_each(|(value, step)| *value += step);
    let moved = from_f64(&values, received)?;
    let rounded = to_f64(&moved, received)?;
    match rounded.iter().position(|value| !value.is_finite()) {
        None => Ok(moved),
        Some(at) => Err(not_finite(received, at)),
    }
}

/// Names the tensor that element `at` of all belongs to.
fn not_finite(like: &Params, mut at: usize) -> Error {
    for (name, tensor) in like.iter() {
        let n = tensor.data().len() / tensor.dtype().size();
        if at < n {
            return Error::NotFinite { name: name.to_owned(), at };
        }
        at -= n;
    }
    Error::NotFiniteAt { at }
}

/// The largest L2 norm of an update over all its tensors; finite and more than 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip(f64);

/// The effect of clipping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clipped {
    /// The L2 norm before, at most the largest finite float64. It tells of the update: it must not
    /// leave the node unnoised.
    pub norm: f64,
    /// The factor of every value, in (0, 1]; 1 where the norm was within the bound.
    pub factor: f64,
}

impl Clipped {
    /// Whether the update was within the bound: the bit that adaptive clipping counts.
    pub fn is_unclipped(&self) -> bool {
        self.factor >= 1.0
    }
}

impl Clip {
    /// Returns the clip to `norm_max`.
    ///
    /// # Errors
    /// [`Error::Setting`] unless it is a finite number above 0.
    pub fn new(norm_max: f64) -> Result<Self, Error> {
        match norm_max.is_finite() && norm_max > 0.0 {
            true => Ok(Self(norm_max)),
            false => Err(Error::setting("clip", norm_max, "a finite number above 0")),
        }
    }

    /// The bound.
    pub fn norm_max(self) -> f64 {
        self.0
    }

    /// Multiplies `update` by min(1, bound / norm). The norm is taken in float64, in the order of the
    /// values, without overflow or underflow; an update of zeros stays as it is. The norm after is
    /// at most the bound times 1 + n 2^-52 for n values: the rounding of the sum.
    ///
    /// # Errors
    /// [`Error::NotFiniteAt`]: NaN would compare as within any bound. `update` is
    /// unchanged then.
    pub fn apply(self, update: &mut [f64]) -> Result<Clipped, Error> {
        if let Some(at) = update.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFiniteAt { at });
        }
        let (scale, root) = scaled_norm(update);
        let norm = (scale * root).min(f64::MAX);
        // Divided one after the other, as their product may be infinite.
        let factor = self.0 / scale / root;
        if root == 0.0 || factor >= 1.0 {
            return Ok(Clipped { norm, factor: 1.0 });
        }
        // The scale first: a factor below the normal numbers would lose its digits.
        let unit = self.0 / root;
        update.iter_mut().for_each(|value| *value = *value / scale * unit);
        Ok(Clipped { norm, factor: factor.max(f64::MIN_POSITIVE) })
    }
}

/// Limits each value to ± `range` and returns how many were beyond it: the seed's `clipping_range`,
/// for updates whose norm nothing bounds.
///
/// # Errors
/// [`Error::Setting`] unless `range` is a finite number above 0; [`Error::NotFiniteAt`].
pub fn clamp_each(update: &mut [f64], range: f64) -> Result<usize, Error> {
    let Clip(range) = Clip::new(range)?;
    if let Some(at) = update.iter().position(|value| !value.is_finite()) {
        return Err(Error::NotFiniteAt { at });
    }
    let beyond = update.iter().filter(|value| value.abs() > range).count();
    update.iter_mut().for_each(|value| *value = value.clamp(-range, range));
    Ok(beyond)
}

/// The norm of finite values as a product of a power of two (at least the smallest normal number) and
/// a number of moderate size. A power of two costs no digit.
fn scaled_norm(values: &[f64]) -> (f64, f64) {
    let largest = values.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    // The exponent alone; of a denormal number that is 0.
    let scale = f64::from_bits(largest.to_bits() & (0x7ff << 52)).max(f64::MIN_POSITIVE);
    let squares = values.iter().map(|value| (value / scale).powi(2));
    (scale, squares.sum::<f64>().sqrt())
}

#[cfg(test)]
mod tests {
    use fedwasm_params::{DType, Tensor};
    use proptest::prelude::*;

    use super::*;

    fn norm(values: &[f64]) -> f64 {
        let (scale, root) = scaled_norm(values);
        scale * root
    }

    fn of(tensors: &[(&str, &[f32])]) -> Params {
        let tensor = |values: &[f32]| Tensor::from_f32(vec![values.len() as u64], values).unwrap();
        let named = tensors.iter().map(|(name, values)| ((*name).to_owned(), tensor(values)));
        Params::new(named.collect()).unwrap()
    }

    #[test]
    fn update_is_trained_minus_received_in_the_order_of_received() {
        let received = of(&[("w", &[1.0, 2.0]), ("b", &[0.5])]);
        let trained = of(&[("b", &[0.25]), ("w", &[1.5, 2.0])]);
        assert_eq!(update(&trained, &received).unwrap(), [0.5, 0.0, -0.25]);
    }

    #[test]
    fn non_finite_values_are_named() {
        let received = of(&[("w", &[1.0, 2.0]), ("b", &[0.5, 0.0])]);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let trained = of(&[("w", &[1.0, 2.0]), ("b", &[0.5, bad])]);
            let error = update(&trained, &received).unwrap_err();
            assert_eq!(error.to_string(), "value 1 of the update of `b` is not finite");
            assert!(update(&received, &trained).is_err());
        }
        let huge = |value: f64| {
            let data = value.to_le_bytes().to_vec();
            let tensor = Tensor::new(DType::Float64, vec![1], data).unwrap();
            Params::new(vec![("w".into(), tensor)]).unwrap()
        };
        assert!(matches!(update(&huge(1e308), &huge(-1e308)), Err(Error::NotFinite { .. })));
    }

    #[test]
    fn moving_by_an_update_gives_what_was_trained() {
        let received = of(&[("w", &[1.0, -0.0]), ("b", &[0.5])]);
        let trained = of(&[("w", &[1.5, -0.0]), ("b", &[0.25])]);
        let update = update(&trained, &received).unwrap();
        assert_eq!(moved(&received, &update).unwrap(), trained);
        assert!(matches!(moved(&received, &update[1..]), Err(Error::Length { got: 2, .. })));
        let error = moved(&received, &[0.0, 0.0, 1e300]).unwrap_err();
        assert_eq!(error.to_string(), "value 0 of the update of `b` is not finite");
    }

    #[test]
    fn other_tensors_are_refused() {
        let received = of(&[("w", &[1.0])]);
        assert!(matches!(update(&of(&[("v", &[1.0])]), &received), Err(Error::Params(_))));
        assert!(matches!(update(&of(&[("w", &[1.0, 2.0])]), &received), Err(Error::Params(_))));
    }

    #[test]
    fn nan_and_infinity_are_refused_and_not_passed_on() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut values = [1.0, bad];
            let error = Clip::new(1.0).unwrap().apply(&mut values).unwrap_err();
            assert!(matches!(error, Error::NotFiniteAt { at: 1 }));
            assert_eq!(values[0], 1.0);
            assert!(clamp_each(&mut values, 1.0).is_err());
        }
    }

    #[test]
    fn an_update_of_zeros_stays() {
        let mut zeros = [0.0, -0.0];
        let clipped = Clip::new(1.0).unwrap().apply(&mut zeros).unwrap();
        assert_eq!((clipped.norm, clipped.factor), (0.0, 1.0));
        assert_eq!(zeros, [0.0, 0.0]);
        let nothing = Clip::new(1.0).unwrap().apply(&mut []).unwrap();
        assert!(nothing.is_unclipped());
    }

    #[test]
    fn huge_values_come_out_at_the_bound() {
        for huge in [1e38, 1e200, f64::MAX] {
            let mut values = [huge, -huge, huge, huge];
            let clipped = Clip::new(3.0).unwrap().apply(&mut values).unwrap();
            assert!(!clipped.is_unclipped() && clipped.norm.is_finite());
            assert_eq!(values, [1.5, -1.5, 1.5, 1.5]);
        }
    }

    #[test]
    fn tiny_values_neither_vanish_nor_divide_by_zero() {
        let mut values = [5e-324, 0.0, 3e-310];
        let before = values;
        assert!(Clip::new(1e-300).unwrap().apply(&mut values).unwrap().is_unclipped());
        assert_eq!(values, before);
        let mut values = [3e-310, 4e-310];
        assert!(!Clip::new(5e-311).unwrap().apply(&mut values).unwrap().is_unclipped());
        assert!((values[0] / 3e-311 - 1.0).abs() < 1e-9, "{values:?}");
    }

    #[test]
    fn an_update_within_the_bound_keeps_its_bits() {
        let mut values = [0.3, -0.4];
        let clipped = Clip::new(0.5 + 1e-15).unwrap().apply(&mut values).unwrap();
        assert!(clipped.is_unclipped() && values == [0.3, -0.4]);
        let mut values = [3.0, 4.0];
        let clipped = Clip::new(1.0).unwrap().apply(&mut values).unwrap();
        assert_eq!((clipped.norm, clipped.factor), (5.0, 0.2));
    }

    #[test]
    fn bounds_that_are_none_are_refused() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Clip::new(bad).is_err() && clamp_each(&mut [], bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn clamping_counts_what_it_changes() {
        let mut values = [-4.0, 3.0, 3.5, 0.0];
        assert_eq!(clamp_each(&mut values, 3.0).unwrap(), 2);
        assert_eq!(values, [-3.0, 3.0, 3.0, 0.0]);
    }

    proptest! {
        #[test]
        fn the_norm_after_is_within_the_bound(
            mut values in prop::collection::vec(-1e40f64..1e40, 1..200),
            bound in 1e-6f64..1e6,
        ) {
            let clipped = Clip::new(bound).unwrap().apply(&mut values).unwrap();
            let slack = 1.0 + values.len() as f64 * f64::EPSILON;
            prop_assert!(norm(&values) <= bound * slack);
            prop_assert!(clipped.is_unclipped() || norm(&values) >= bound / slack / slack);
        }
    }
}
