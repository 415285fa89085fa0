//! Numbers in cells, as people write them.

/// Whole numbers up to here are their float64, and so are their quotients by powers of ten up to
/// 10^22, rounded once (Clinger 1990).
const EXACT_MAX: u64 = 1 << 53;
/// The most digits that are read without the library: below 2^53.
const QUICK_DIGITS: usize = 15;
/// 10^0 to 10^15.
const POWERS: [f64; QUICK_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// The characters of numbers: the decimal point, and what is between groups of three digits. The
/// first is the plain one; of several that fit a column, the first is taken.
pub(crate) const STYLES: [(char, Option<char>); 16] = [
    ('.', None),
    (',', None),
    ('.', Some(',')),
    (',', Some('.')),
    ('.', Some(' ')),
    (',', Some(' ')),
    ('.', Some('\'')),
    (',', Some('\'')),
    ('.', Some('\u{2019}')),
    (',', Some('\u{2019}')),
    ('.', Some('_')),
    (',', Some('_')),
    ('.', Some('\u{a0}')),
    (',', Some('\u{a0}')),
    ('.', Some('\u{202f}')),
    (',', Some('\u{202f}')),
];

/// Reads a number with a decimal point, as the reader of rows does: `str::parse`, which takes
/// longer. Returns it and how many digits are behind the point; the library's notation, such as
/// `1e3`, has one. None for cells that the reader refuses: not finite as float32, or a whole number
/// beyond 2^53.
pub(crate) fn plain(cell: &[u8]) -> Option<(f64, usize)> {
    let digits = cell.strip_prefix(b"-").unwrap_or(cell);
    let (mut mantissa, mut n, mut point) = (0u64, 0, None);
    for byte in digits {
        match byte {
            b'0'..=b'9' if n < QUICK_DIGITS => {
                mantissa = mantissa * 10 + u64::from(byte - b'0');
                n += 1;
            }
            b'.' if point.is_none() => point = Some(n),
            _ => return slow(cell),
        }
    }
    if n == 0 {
        return None;
    }
    let decimals = point.map_or(0, |point| n - point);
    let value = mantissa as f64 / POWERS[decimals];
    Some((if digits.len() == cell.len() { value } else { -value }, decimals))
}

fn slow(cell: &[u8]) -> Option<(f64, usize)> {
    let value = std::str::from_utf8(cell).ok()?.parse::<f64>().ok()?;
    let is_real = cell.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    let is_exact = is_real || value.abs() < EXACT_MAX as f64;
    ((value as f32).is_finite() && is_exact).then_some((value, usize::from(is_real)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_library_bit_for_bit() {
        let mut cells: Vec<String> =
            ["0", "-0", "1.", ".5", "-.5", "0.1", "1e3", "+7", "00.100"].map(str::to_owned).into();
        cells.extend(
            ["123456789012345", "0.000000000000001", "1234567890.12345"].map(str::to_owned),
        );
        let mut state = 7u64;
        for n in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (whole, part) = (state >> 40, state % 1_000_000);
            cells.push(format!("{}{whole}.{part:0w$}", ["", "-"][n % 2], w = n % 8));
        }
        for cell in cells {
            let expected = cell.parse::<f64>().unwrap();
            assert_eq!(plain(cell.as_bytes()).unwrap().0.to_bits(), expected.to_bits(), "{cell}");
        }
    }

    #[test]
    fn other_cells_are_no_numbers() {
        for cell in [
            "",
            ".",
            "-",
            "1,5",
            "1 2",
            "inf",
            "nan",
            "1e39",
            "9007199254740993",
            "0x1",
            "--1",
            "1.2.3",
        ] {
            assert_eq!(plain(cell.as_bytes()), None, "{cell}");
        }
    }
}
