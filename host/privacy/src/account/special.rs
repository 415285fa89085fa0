//! Logarithms of sums and of the error function's complement.

/// The complement's logarithm, of any number.
pub(super) fn log_erfc(x: f64) -> f64 {
    // erfc(26) is close to the smallest float64.
    if x < 25.0 {
        return libm::log(libm::erfc(x));
    }
    // Abramowitz and Stegun, 7.1.23; the first term left out is below 1e-12.
    let square = 1.0 / (2.0 * x * x);
    let series = 1.0 - square * (1.0 - square * (3.0 - square * (15.0 - square * 105.0)));
    -x * x - libm::log(x * std::f64::consts::PI.sqrt()) + libm::log(series)
}

/// ln(e^a + e^b); NaN stays NaN, which `min` and `max` would drop.
pub(super) fn log_add(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    let (low, high) = (a.min(b), a.max(b));
    match low == f64::NEG_INFINITY || high == f64::INFINITY {
        true => high,
        false => high + libm::log1p(libm::exp(low - high)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_mpmath() {
        // mpmath 1.4: log(erfc(x)) with 30 digits.
        for (x, expected) in [
            (-3.0, 0.693136135250447),
            (0.0, 0.0),
            (1.0, -1.84960550993325),
            (24.999, -628.742000237021),
            (25.0, -628.792039174072),
            (40.0, -1604.26155665327),
        ] {
            assert!((log_erfc(x) - expected).abs() < 1e-11 * expected.abs().max(1.0), "{x}");
        }
        assert!((log_add(0.0, 0.0) - std::f64::consts::LN_2).abs() < 1e-15);
        assert_eq!(log_add(f64::NEG_INFINITY, 3.0), 3.0);
        assert!(log_add(f64::NAN, 3.0).is_nan() && log_add(3.0, f64::NAN).is_nan());
    }
}
