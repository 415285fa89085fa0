//! How a page writes numbers, times and counts.

/// Stands for what there is not.
pub(super) const NONE: &str = "–";

pub(super) fn opt(value: Option<f64>) -> String {
    value.map_or(NONE.to_owned(), number)
}

/// Four decimals, so that a column lines up; exponents where they would say
/// nothing.
pub(super) fn number(value: f64) -> String {
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

/// A time as people say it.
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
pub(super) fn grouped(n: u64) -> String {
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
