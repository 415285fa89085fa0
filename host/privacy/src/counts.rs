//! Whole numbers whose sums are exact: sample counts, and the counts that metrics are made of.

use crate::{Error, Lane};

/// How whole numbers become lanes. A lane of 1 for each node follows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    each_max: u64,
    parties_max: u32,
}

impl Counts {
    /// Returns the coding for numbers up to `each_max` of up to `parties_max` nodes, both at least 1.
    ///
    /// # Errors
    /// [`Error::Setting`] unless sums stay below 2^51 in 64-bit lanes, 2^31 in 32-bit ones.
    pub fn new<L: Lane>(each_max: u64, parties_max: u32) -> Result<Self, Error> {
        let sum = u128::from(each_max) * u128::from(parties_max);
        match sum > 0 && sum < 1u128 << if L::BITS == 64 { 51 } else { 31 } {
            true => Ok(Self { each_max, parties_max }),
            false => {
                let got = format!("{each_max} of {parties_max} nodes");
                Err(Error::setting("counts", got, "above 0, and sums below 2^51 (2^31)"))
            }
        }
    }

    /// The settings as bytes, for the digest that masks are bound to.
    pub fn encoding(&self) -> Vec<u8> {
        let mut bytes = b"fedwasm/counts/v1".to_vec();
        bytes.extend(self.each_max.to_be_bytes());
        bytes.extend(self.parties_max.to_be_bytes());
        bytes
    }

    /// Returns one lane a number, and the lane of the node itself.
    ///
    /// # Errors
    /// [`Error::Setting`] for a number above `each_max`.
    pub fn encode<L: Lane>(&self, numbers: &[u64]) -> Result<Vec<L>, Error> {
        if let Some(large) = numbers.iter().find(|number| **number > self.each_max) {
            return Err(Error::setting("count", large, "at most the agreed largest count"));
        }
        Ok(numbers.iter().copied().chain([1]).map(L::wrapped).collect())
    }

    /// Returns the sums.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Count`] and [`Error::Sum`]: a part is wrong, altered or missing.
    pub fn decode<L: Lane>(&self, sums: &[L], parties: u32) -> Result<Vec<u64>, Error> {
        let Some((count, numbers)) = sums.split_last() else {
            return Err(Error::Length { what: "sums", got: 0, expected: 1 });
        };
        if count.value() != u64::from(parties) || parties > self.parties_max {
            return Err(Error::Count { got: count.value(), expected: parties });
        }
        let max = self.each_max * u64::from(parties);
        match numbers.iter().position(|number| number.value() > max) {
            Some(at) => Err(Error::Sum { at }),
            None => Ok(numbers.iter().map(|number| number.value()).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_sum_exactly_or_not_at_all() {
        let counts = Counts::new::<u64>(1000, 64).unwrap();
        let (a, b) = (counts.encode::<u64>(&[3, 1000]), counts.encode::<u64>(&[0, 7]));
        let sums: Vec<u64> =
            a.unwrap().iter().zip(b.unwrap()).map(|(a, b)| a.wrapping_add(b)).collect();
        assert_eq!(counts.decode(&sums, 2).unwrap(), [3, 1007]);
        assert!(matches!(counts.decode(&sums, 3), Err(Error::Count { got: 2, expected: 3 })));
        assert!(matches!(counts.decode(&[2001, 2u64], 2), Err(Error::Sum { at: 0 })));
        assert!(matches!(counts.decode::<u64>(&[], 2), Err(Error::Length { .. })));
        assert!(counts.encode::<u64>(&[1001]).is_err());
        assert!(Counts::new::<u64>(1 << 45, 64).is_err() && Counts::new::<u64>(0, 1).is_err());
        assert!(Counts::new::<u32>(1 << 30, 2).is_err());
    }
}
