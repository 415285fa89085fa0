//! Days of the Gregorian calendar, and the patterns in which cells write them.

use std::fmt;

use serde::{Serialize, Serializer};

/// The longest pattern, in bytes.
const FORMAT_BYTES_MAX: usize = 64;
/// English names of months, as `%b` reads them by their first three letters.
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// A day, from 0001-01-01 to 9999-12-31, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(i32);

impl Day {
    /// The day of a date; none if there is no such day.
    pub fn new(year: i32, month: u32, day: u32) -> Option<Self> {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        if !(1..=9_999).contains(&year) || !(1..=length).contains(&day) {
            return None;
        }
        // Years begin with March, so that the day of a leap year is the last one.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let in_year = ((153 * month + 2) / 5 + day - 1) as i32;
        let before = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        // 719,468 days lie between 0000-03-01 and 1970-01-01.
        Some(Self(before + in_year - 719_468))
    }

    /// Reads a day as `2000-01-31`.
    pub fn parse(text: &str) -> Option<Self> {
        DateFormat::default().read(text).map(|days| Self(days as i32))
    }

    /// The day so many days after 1970-01-01, fractions left out; none before 0001 or after 9999.
    pub fn of_number(days: f64) -> Option<Self> {
        let days = days.floor();
        (-719_162.0..=2_932_896.0).contains(&days).then_some(Self(days as i32))
    }

    /// Days since 1970-01-01.
    pub fn number(self) -> i32 {
        self.0
    }

    /// Year, month and day.
    fn date(self) -> (i32, u32, u32) {
        let days = self.0 + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let in_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * in_year + 2) / 153;
        let day = (in_year - (153 * month + 2) / 5 + 1) as u32;
        let (year, month) = (year + 400 * era, month as u32);
        if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How a cell writes a date, in the letters of `strftime`: `%Y` a year of four digits, `%y` of two
/// (69 to 99 are of the 20th century, as in POSIX), `%m` and `%d` numbers of one or two digits,
/// `%b` an English month, `%H`, `%M`, `%S` a time, with `%f` its decimal places; `%%` a percent
/// sign. All else is itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DateFormat(String);

impl Default for DateFormat {
    fn default() -> Self {
        Self("%Y-%m-%d".into())
    }
}

impl DateFormat {
    /// Checks a pattern.
    ///
    /// # Errors
    /// A text about its mistake.
    pub fn new(pattern: &str) -> Result<Self, String> {
        if pattern.len() > FORMAT_BYTES_MAX {
            return Err(format!("is longer than {FORMAT_BYTES_MAX} bytes"));
        }
        let (mut letters, mut rest) = (Vec::new(), pattern.chars());
        while let Some(character) = rest.next() {
            if character == '%' {
                match rest.next() {
                    Some('%') => {}
                    Some(letter @ ('Y' | 'y' | 'm' | 'd' | 'b' | 'H' | 'M' | 'S' | 'f')) => {
                        letters.push(if letter == 'b' { 'm' } else { letter });
                    }
                    Some(letter) => {
                        return Err(format!(
                            "has `%{letter}`; known are %Y, %y, %m, %b, %d, %H, %M, %S, %f"
                        ));
                    }
                    None => return Err("ends with a lone `%`".into()),
                }
            }
        }
        let n = |wanted: &[char]| letters.iter().filter(|own| wanted.contains(own)).count();
        if n(&['Y', 'y']) != 1 || n(&['m']) != 1 || n(&['d']) != 1 {
            return Err("needs a year, a month and a day, each once: `%Y-%m-%d`".into());
        }
        let times = ['H', 'M', 'S', 'f'].map(|letter| n(&[letter]));
        // A minute without its hour is not a time.
        if times.iter().any(|n| *n > 1) || times.windows(2).any(|pair| pair[1] > pair[0]) {
            return Err("has a part of a time twice, or without the larger one".into());
        }
        Ok(Self(pattern.to_owned()))
    }

    /// The pattern.
    pub fn pattern(&self) -> &str {
        &self.0
    }

    /// Reads a cell as days since 1970-01-01, a time as a fraction of a day. None if it is not of
    /// the pattern, or not a day.
    pub fn read(&self, cell: &str) -> Option<f64> {
        let (mut rest, mut pattern) = (cell, self.0.chars());
        let (mut year, mut month, mut day, mut seconds) = (0, 0, 0, 0.0);
        while let Some(character) = pattern.next() {
            if character != '%' {
                rest = rest.strip_prefix(character)?;
                continue;
            }
            let mut number = |min, max| take(&mut rest, min, max);
            match pattern.next()? {
                'Y' => year = number(4, 4)? as i32,
                'y' => {
                    let short = number(2, 2)? as i32;
                    year = short + if short < 69 { 2_000 } else { 1_900 };
                }
                'm' => month = number(1, 2)?,
                'd' => day = number(1, 2)?,
                'b' => {
                    let name = rest.get(..3)?.to_ascii_lowercase();
                    month = MONTHS.iter().position(|known| *known == name)? as u32 + 1;
                    rest = &rest[3..];
                }
                'H' => seconds += f64::from(number(1, 2).filter(|hour| *hour < 24)?) * 3_600.0,
                'M' => seconds += f64::from(number(1, 2).filter(|minute| *minute < 60)?) * 60.0,
                'S' => seconds += f64::from(number(1, 2).filter(|second| *second < 60)?),
                'f' => {
                    let before = rest.len();
                    let decimals = take(&mut rest, 1, 9)?;
                    seconds += f64::from(decimals) / 10f64.powi((before - rest.len()) as i32);
                }
                letter => rest = rest.strip_prefix(letter)?,
            }
        }
        let day = rest.is_empty().then(|| Day::new(year, month, day))??;
        Some(f64::from(day.0) + seconds / 86_400.0)
    }
}

/// Takes from `min` to `max` digits, at most nine.
fn take(rest: &mut &str, min: usize, max: usize) -> Option<u32> {
    let n = rest.bytes().take(max).take_while(u8::is_ascii_digit).count();
    let (digits, after) = rest.split_at(n);
    *rest = after;
    if n < min { None } else { digits.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Python: (datetime.date(y, m, d) - datetime.date(1970, 1, 1)).days
    #[test]
    fn days_equal_those_of_python() {
        for (text, expected) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11_016),
            ("2000-03-01", 11_017),
            ("1900-03-01", -25_508),
            ("2024-12-31", 20_088),
            ("0001-01-01", -719_162),
            ("9999-12-31", 2_932_896),
        ] {
            let days = DateFormat::default().read(text).unwrap();
            assert_eq!(days, f64::from(expected), "{text}");
            assert_eq!(Day(expected).to_string(), text);
        }
    }

    #[test]
    fn every_day_is_written_as_it_is_read() {
        for number in (-719_162..=2_932_896).step_by(13) {
            let text = Day(number).to_string();
            assert_eq!(DateFormat::default().read(&text), Some(f64::from(number)), "{text}");
        }
    }

    #[test]
    fn patterns_are_read_as_python_reads_them() {
        for (pattern, cell, expected) in [
            ("%d.%m.%Y", "3.11.2021", "2021-11-03"),
            ("%d-%b-%y", "05-Mar-68", "2068-03-05"),
            ("%d-%b-%y", "05-mar-69", "1969-03-05"),
            ("%m/%d/%Y", "02/29/2024", "2024-02-29"),
            ("%Y%m%d", "20240102", "2024-01-02"),
        ] {
            let days = DateFormat::new(pattern).unwrap().read(cell).unwrap();
            assert_eq!(Day(days as i32).to_string(), expected, "{cell}");
        }
        let with_time = DateFormat::new("%Y-%m-%dT%H:%M:%S.%f").unwrap();
        assert_eq!(with_time.read("1970-01-02T12:00:00.5"), Some(1.5 + 0.5 / 86_400.0));
    }

    #[test]
    fn what_is_not_a_day_is_none() {
        let iso = DateFormat::default();
        for cell in [
            "",
            "2023-02-29",
            "2023-00-10",
            "2023-13-10",
            "2023-04-31",
            "0000-01-01",
            "2023-1",
            "2023-01-01 ",
            "02023-01-01",
            "2023-01-011",
            "+2023-01-01",
            "２０２３-01-01",
            "\0",
        ] {
            assert_eq!(iso.read(cell), None, "{cell}");
        }
        let short = DateFormat::new("%d-%b-%y").unwrap();
        assert!(["1-März-20", "1-ma\u{308}-20", "1-xx"].iter().all(|c| short.read(c).is_none()));
    }

    #[test]
    fn patterns_that_give_no_day_are_refused() {
        let long = "%Y-%m-%d".to_owned() + &"-".repeat(FORMAT_BYTES_MAX);
        for pattern in ["", "%Y-%m", "%Y-%m-%d-%d", "%Q-%m-%d", "%Y-%m-%d %M", "%Y-%m-%d%", &long] {
            assert!(DateFormat::new(pattern).is_err(), "{pattern}");
        }
    }
}
