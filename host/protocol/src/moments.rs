//! Exact sums of values and of their squares. Each value is a whole multiple of 2^-128, to which it
//! is rounded (ties to even); all that follows is whole numbers, so sums do not depend on the order
//! of rows, on blocks or on sites, and sums under masks are the same integers as in the clear. A value
//! of 2^-75 (2.6e-23) or more is such a multiple already, as all of its 53 bits are.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bits of a digit: digits of 64 sites stay below 2^51 together, as [`crate::SecaggArgs`]' sums must.
const DIGIT_BITS: u32 = 44;
const DIGIT_MASK: u128 = (1 << DIGIT_BITS) - 1;
/// Digits of a sum: values are below 2^127, so 2^255 multiples each, and at most 2^44.
const SUM_DIGITS: usize = 7;
/// Digits of a sum of squares, multiples of 2^-256.
const SQUARES_DIGITS: usize = 13;
/// The numbers that tell moments: how many values, and the digits.
pub const MOMENT_NUMBERS: usize = 1 + SUM_DIGITS + SQUARES_DIGITS;
/// The most values of one site: then each number is at most so large.
pub const NUMBER_MAX: u64 = 1 << DIGIT_BITS;
/// Values are within ± this: 2^127, 1.7e38.
pub const VALUE_MAX: f64 = (1u128 << 127) as f64;
/// 2^-128 is the multiple.
const UNIT_BITS: i32 = 128;
/// Half a range, added to the sum of a site so that its digits are not negative.
const BIAS: i128 = 1 << (DIGIT_BITS - 1);

/// How many values there are, their sum, and the sum of their squares, exact.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    n: u64,
    /// The lowest first; of any size and sign, so that adding needs no carry.
    sum: [i128; SUM_DIGITS],
    squares: [i128; SQUARES_DIGITS],
}

impl Moments {
    /// Those of zeros.
    pub fn of_zeros(n: u64) -> Self {
        Self { n, ..Self::default() }
    }

    /// Values.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Adds a value as often as `times` says. Returns whether it is a number within
    /// [`VALUE_MAX`]; another one is not added.
    #[must_use]
    pub fn add(&mut self, value: f64, times: u64) -> bool {
        if value.is_nan() || value.abs() >= VALUE_MAX {
            return false;
        }
        let (mantissa, position) = multiple(value.abs());
        let often = i128::from(times);
        let signed = if value.is_sign_negative() { -often } else { often };
        put(&mut self.sum, mantissa, position, signed);
        let square = u128::from(mantissa) * u128::from(mantissa);
        put(&mut self.squares, square as u64, 2 * position, often);
        put(&mut self.squares, (square >> 64) as u64, 2 * position + 64, often);
        self.n = self.n.saturating_add(times);
        true
    }

    /// Adds those of other values.
    pub fn join(&mut self, other: &Self) {
        self.n = self.n.saturating_add(other.n);
        let all = self.sum.iter_mut().chain(&mut self.squares);
        for (own, other) in all.zip(other.sum.iter().chain(&other.squares)) {
            *own = own.wrapping_add(*other);
        }
    }

    /// The mean, rounded once; 0 of no values.
    pub fn mean(&self) -> f64 {
        let (is_negative, sum) = magnitude(&self.sum);
        let mean = quotient(sum, self.n, 1, -UNIT_BITS);
        if is_negative { -mean } else { mean }
    }

    /// The variance with divisor n, rounded once; 0 of no values.
    pub fn variance(&self) -> f64 {
        match self.spread() {
            (false, spread) => quotient(spread, self.n, 2, -2 * UNIT_BITS),
            (true, _) => 0.0,
        }
    }

    /// Whether a value differs from another.
    pub fn varies(&self) -> bool {
        let (is_negative, spread) = self.spread();
        !is_negative && spread.iter().any(|digit| *digit > 0)
    }

    /// Whether there are values with these sums: their variance is not negative.
    pub fn are_possible(&self) -> bool {
        let (is_negative, spread) = self.spread();
        let is_none = self.n == 0 && magnitude(&self.squares).1.iter().any(|digit| *digit > 0);
        !(is_none || is_negative && spread.iter().any(|digit| *digit > 0))
    }

    /// n^2 times the variance: n times the sum of squares less the square of the sum.
    fn spread(&self) -> (bool, Vec<u64>) {
        let (_, sum) = magnitude(&self.sum);
        let (_, squares) = magnitude(&self.squares);
        let mut digits = product(&squares, &digits_of(self.n));
        let square = product(&sum, &sum);
        digits.resize(digits.len().max(square.len()), 0);
        digits.iter_mut().zip(&square).for_each(|(digit, less)| *digit -= less);
        magnitude(&digits)
    }

    /// The numbers that tell them, each at most [`NUMBER_MAX`] for one site: n, and the digits of the
    /// sum, 2^307 added, and of the sum of squares, the lowest first. They may be added over sites.
    pub fn numbers(&self) -> [u64; MOMENT_NUMBERS] {
        let mut numbers = [0; MOMENT_NUMBERS];
        let mut sum = self.sum;
        sum[SUM_DIGITS - 1] += BIAS;
        let mut squares = self.squares;
        carry(&mut sum);
        carry(&mut squares);
        numbers[0] = self.n;
        for (number, digit) in numbers[1..].iter_mut().zip(sum.iter().chain(&squares)) {
            *number = u64::try_from(*digit).unwrap_or(u64::MAX);
        }
        numbers
    }

    /// The moments of the sums of such numbers over sites; none if there are too few.
    pub fn of_numbers(numbers: &[u64], n_sites: u32) -> Option<Self> {
        let (n, digits) = numbers.get(..MOMENT_NUMBERS)?.split_first()?;
        let mut moments = Self::of_zeros(*n);
        let own = moments.sum.iter_mut().chain(&mut moments.squares);
        own.zip(digits).for_each(|(own, digit)| *own = i128::from(*digit));
        moments.sum[SUM_DIGITS - 1] -= BIAS * i128::from(n_sites);
        Some(moments)
    }

    /// The sum in multiples of 2^-128, hexadecimal.
    pub fn sum_hex(&self) -> String {
        hex(&self.sum)
    }

    /// The sum of squares in multiples of 2^-256, hexadecimal.
    pub fn squares_hex(&self) -> String {
        hex(&self.squares)
    }
}

impl PartialEq for Moments {
    fn eq(&self, other: &Self) -> bool {
        let of = |moments: &Self| (moments.n, magnitude(&moments.sum), magnitude(&moments.squares));
        of(self) == of(other)
    }
}

/// For people with their meaning, in messages as numbers.
impl Serialize for Moments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Told {
            n: u64,
            mean: f64,
            variance: f64,
            sum: String,
            squares: String,
        }
        if !serializer.is_human_readable() {
            return self.numbers().as_slice().serialize(serializer);
        }
        let (mean, variance) = (self.mean(), self.variance());
        let (sum, squares) = (self.sum_hex(), self.squares_hex());
        Told { n: self.n, mean, variance, sum, squares }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Moments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let numbers = crate::columns::at_most::<MOMENT_NUMBERS, u64, _>(deserializer)?;
        let fits = numbers.iter().all(|number| *number <= NUMBER_MAX);
        let moments = Self::of_numbers(&numbers, 1).filter(|_| fits);
        moments.ok_or_else(|| D::Error::custom("sums of a column have digits that are too large"))
    }
}

/// A value as a multiple of 2^-128: the multiple is the first number times 2 to the second.
fn multiple(value: f64) -> (u64, u32) {
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    let (mantissa, exponent) = match exponent {
        0 => (fraction, -1_074),
        _ => (fraction | 1 << 52, exponent - 1_075),
    };
    match exponent + UNIT_BITS {
        position if position >= 0 => (mantissa, position as u32),
        small => {
            let by = small.unsigned_abs().min(63);
            let (whole, rest, half) =
                (mantissa >> by, mantissa & ((1 << by) - 1), 1u64 << (by - 1));
            let is_up = rest > half || (rest == half && whole & 1 == 1);
            (whole + u64::from(is_up), 0)
        }
    }
}

/// Adds a number times 2^position, `times` times.
fn put(digits: &mut [i128], number: u64, position: u32, times: i128) {
    let (at, by) = ((position / DIGIT_BITS) as usize, position % DIGIT_BITS);
    let mut left = u128::from(number) << by;
    for digit in digits.iter_mut().skip(at) {
        if left == 0 {
            return;
        }
        *digit += (left & DIGIT_MASK) as i128 * times;
        left >>= DIGIT_BITS;
    }
}

/// Leaves digits from 0 on and below 2^44; the last one may be anything.
fn carry(digits: &mut [i128]) {
    let mut carried = 0;
    let Some((last, digits)) = digits.split_last_mut() else { return };
    for digit in digits {
        let all = digit.wrapping_add(carried);
        (*digit, carried) = (all & DIGIT_MASK as i128, all >> DIGIT_BITS);
    }
    *last = last.wrapping_add(carried);
}

/// Whether a number is below 0, and the digits of its magnitude.
fn magnitude(digits: &[i128]) -> (bool, Vec<u64>) {
    // Digits of any size: three more hold all carries.
    let mut all = digits.to_vec();
    all.extend([0; 4]);
    carry(&mut all);
    let is_negative = all.last().is_some_and(|last| *last < 0);
    if is_negative {
        all.iter_mut().for_each(|digit| *digit = -*digit);
        carry(&mut all);
    }
    (is_negative, all.iter().map(|digit| *digit as u64).collect())
}

fn digits_of(number: u64) -> [u64; 2] {
    [number & DIGIT_MASK as u64, number >> DIGIT_BITS]
}

/// Products of digits, without carries: at most 2^88 each, of few.
fn product(a: &[u64], b: &[u64]) -> Vec<i128> {
    let mut digits = vec![0; a.len() + b.len()];
    for (at, a) in a.iter().enumerate().filter(|(_, a)| **a > 0) {
        for (digit, b) in digits[at..].iter_mut().zip(b) {
            *digit += i128::from(*a) * i128::from(*b);
        }
    }
    digits
}

/// A number, divided by n as often as `times` says and multiplied by 2^exponent, rounded to the
/// nearest; 0 if n is.
fn quotient(digits: Vec<u64>, n: u64, times: u32, exponent: i32) -> f64 {
    /// Digits behind the point: the divisors have at most 128 bits, and 53 are wanted.
    const MORE: usize = 5;
    if n == 0 {
        return 0.0;
    }
    let mut all = vec![0; MORE];
    all.extend(digits);
    let mut is_inexact = false;
    for _ in 0..times {
        let mut rest = 0u128;
        for digit in all.iter_mut().rev() {
            let left = rest << DIGIT_BITS | u128::from(*digit);
            (*digit, rest) = ((left / u128::from(n)) as u64, left % u128::from(n));
        }
        is_inexact |= rest > 0;
    }
    let Some(top) = all.iter().rposition(|digit| *digit > 0).filter(|top| *top >= 2) else {
        return 0.0;
    };
    // At most 120 bits, at least 77; the bits behind say whether it is more than half way.
    let cut = DIGIT_BITS - 32;
    let high = u128::from(all[top]) << DIGIT_BITS | u128::from(all[top - 1]);
    let bits = high << 32 | u128::from(all[top - 2] >> cut);
    is_inexact |= all[top - 2] & ((1 << cut) - 1) > 0 || all[..top - 2].iter().any(|d| *d > 0);
    let lowest = (DIGIT_BITS as usize * (top - 2)) as i32 + cut as i32;
    let exponent = exponent + lowest - (DIGIT_BITS as usize * MORE) as i32;
    let power = f64::from_bits((1_023 + i64::from(exponent)).clamp(1, 2_046).unsigned_abs() << 52);
    (bits | u128::from(is_inexact)) as f64 * power
}

fn hex(digits: &[i128]) -> String {
    let (is_negative, digits) = magnitude(digits);
    let text: String = digits.iter().rev().map(|digit| format!("{digit:011x}")).collect();
    let text = text.trim_start_matches('0');
    match (text.is_empty(), is_negative) {
        (true, _) => "0".to_owned(),
        (false, true) => format!("-{text}"),
        (false, false) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Case {
        bits: Vec<u64>,
        sum: String,
        squares: String,
        mean: f64,
        variance: f64,
        varies: bool,
    }

    fn of(values: &[f64]) -> Moments {
        let mut moments = Moments::default();
        assert!(values.iter().all(|value| moments.add(*value, 1)));
        moments
    }

    // tests/oracles/exact_moments.py wrote the numbers, in fractions.
    #[test]
    fn sums_are_those_of_fractions_in_any_order_and_over_any_sites() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/exact_moments.json");
        let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(cases.len() >= 10);
        for Case { bits, sum, squares, mean, variance, varies } in cases {
            let mut values: Vec<f64> = bits.into_iter().map(f64::from_bits).collect();
            let all = of(&values);
            assert_eq!((all.sum_hex(), all.squares_hex()), (sum, squares));
            assert_eq!((all.mean(), all.variance(), all.varies()), (mean, variance, varies));
            assert!(all.are_possible());
            values.reverse();
            assert_eq!(of(&values), all);
            // Numbers of three sites, added as masks add them.
            let third = values.len() / 3;
            let sites = [&values[..third], &values[third..2 * third], &values[2 * third..]];
            let mut numbers = [0u64; MOMENT_NUMBERS];
            for site in sites.map(|values| of(values).numbers()) {
                assert!(site.iter().all(|number| *number <= NUMBER_MAX));
                numbers.iter_mut().zip(site).for_each(|(sum, number)| *sum += number);
            }
            assert_eq!(Moments::of_numbers(&numbers, 3).unwrap(), all);
            let read: Moments = rmp_serde::from_slice(&rmp_serde::to_vec(&all).unwrap()).unwrap();
            assert_eq!(read, all);
        }
    }

    #[test]
    fn a_value_counts_as_often_as_it_is_there() {
        let mut often = Moments::default();
        assert!(often.add(-0.3, 7) && often.add(1e20, 5));
        let mut each = of(&[-0.3; 7]);
        each.join(&of(&[1e20; 5]));
        assert_eq!((often, often.n()), (each, 12));
        assert_eq!(Moments::of_zeros(4), of(&[0.0; 4]));
        assert_eq!((Moments::default().mean(), Moments::default().variance()), (0.0, 0.0));
    }

    #[test]
    fn values_beyond_the_range_are_not_added() {
        let mut moments = Moments::default();
        for value in [VALUE_MAX, -VALUE_MAX, f64::MAX, f64::INFINITY, f64::NAN] {
            assert!(!moments.add(value, 1), "{value}");
        }
        assert_eq!(moments, Moments::default());
        // The largest, as often as it may be there.
        let largest = f64::from_bits(VALUE_MAX.to_bits() - 1);
        assert!(moments.add(-largest, NUMBER_MAX));
        assert!(moments.numbers().iter().all(|number| *number <= NUMBER_MAX));
        assert_eq!((moments.mean(), moments.varies()), (-largest, false));
    }

    #[test]
    fn sums_of_no_values_are_told_apart() {
        let mut numbers = of(&[1.0, 2.0]).numbers();
        assert!(Moments::of_numbers(&numbers, 1).unwrap().are_possible());
        // Less squares than the square of the mean, and sums of nothing.
        numbers[MOMENT_NUMBERS - 13..].fill(0);
        assert!(!Moments::of_numbers(&numbers, 1).unwrap().are_possible());
        let mut numbers = of(&[1.0]).numbers();
        numbers[0] = 0;
        assert!(!Moments::of_numbers(&numbers, 1).unwrap().are_possible());
        assert!(Moments::of_numbers(&numbers[1..], 1).is_none());
        let wrong = |numbers: &[u64]| {
            rmp_serde::from_slice::<Moments>(&rmp_serde::to_vec(numbers).unwrap()).is_err()
        };
        numbers[3] = NUMBER_MAX + 1;
        assert!(wrong(&numbers) && wrong(&[0; 20]) && wrong(&[0; 22]));
    }
}
