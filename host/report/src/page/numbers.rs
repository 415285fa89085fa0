//! How a page writes numbers, times and counts.

/// Stands for what there is not.
pub(crate) const NONE: &str = "–";

pub(crate) fn opt(value: Option<f64>) -> String {
    value.map_or(NONE.to_owned(), number)
}

/// Four decimals, so that a column lines up; exponents where they would say
/// nothing.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0.0000".to_owned(),
        size if (1e-3..1e5).contains(&size) => format!("{value:.4}"),
        _ => format!("{value:.3e}"),
    }
}

/// Milliseconds with one decimal and commas.
pub(super) fn ms(value: f64) -> String {
    // Past 30,000 years, or nonsense.
    if !(0.0..1e15).contains(&value) {
        return NONE.to_owned();
    }
    let tenths = (value * 10.0).round() as u64;
    format!("{}.{}", grouped(tenths / 10), tenths % 10)
}

/// A time for people.
pub(super) fn duration(ms: f64) -> String {
    let s = (ms / 1e3).round() as u64;
    match s {
        _ if !ms.is_finite() => NONE.to_owned(),
        0 => format!("{ms:.0} ms"),
        1..60 => format!("{:.1} s", ms / 1e3),
        60..3_600 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", grouped(s / 3_600), s % 3_600 / 60),
    }
}

/// A count with commas.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0) + " " + &grouped(999) + " " + &grouped(1_234_567), "0 999 1,234,567");
        for (value, expected) in [
            (0.0, "0.0000"),
            (-0.5, "-0.5000"),
            (12_345.0, "12345.0000"),
            (1e-7, "1.000e-7"),
            (-0.0, "0.0000"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value), expected);
        }
        for (value, expected) in
            [(0.04, "0.0"), (999.96, "1,000.0"), (1e300, NONE), (f64::NAN, NONE)]
        {
            assert_eq!(ms(value), expected);
        }
        for (value, expected) in [
            (43.4, "43 ms"),
            (1_234.0, "1.2 s"),
            (59_600.0, "1 min 00 s"),
            (3_725_000.0, "1 h 02 min"),
        ] {
            assert_eq!(duration(value), expected);
        }
    }
}
