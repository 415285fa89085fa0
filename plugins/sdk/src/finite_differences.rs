//! Gradients from values alone, for the tests.

/// From one value to the next around a point: a power of two, so that steps are exact, between
/// float32's rounding (which is divided by it) and the function's third derivative (which is
/// multiplied by its square).
const STEP: f32 = 1.0 / 64.0;

/// How far a gradient may be from the central difference, relative to the largest of the tensor
/// but at least to 1.
const TOLERANCE: f32 = 5e-4;

/// Compares a gradient with central finite differences of `value`, which is given `at` with one
/// element changed.
#[track_caller]
pub(crate) fn assert_gradient(
    name: &str,
    at: &[f32],
    gradient: &[f32],
    mut value: impl FnMut(&[f32]) -> f64,
) {
    assert_eq!(at.len(), gradient.len(), "elements of the gradient of {name}");
    let mut around = |nth: usize, step: f32| {
        let mut changed = at.to_vec();
        changed[nth] += step;
        value(&changed)
    };
    let slope = |nth| ((around(nth, STEP) - around(nth, -STEP)) / f64::from(2.0 * STEP)) as f32;
    let slopes: Vec<f32> = (0..at.len()).map(slope).collect();
    let largest = slopes.iter().fold(1.0f32, |most, x| most.max(x.abs()));
    for (nth, (slope, gradient)) in slopes.iter().zip(gradient).enumerate() {
        let error = (slope - gradient).abs();
        assert!(
            error <= TOLERANCE * largest,
            "{name}[{nth}]: gradient {gradient}, finite difference {slope}"
        );
    }
}

/// Draws from U(-1, 1), the same for a seed (xorshift, Marsaglia 2003).
pub(crate) fn uniform(mut seed: u32, len: usize) -> Vec<f32> {
    let draw = |_| {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        (seed >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..len).map(draw).collect()
}
