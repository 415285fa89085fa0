//! Secrets of 32 bytes in n shares, of which t give the secret and fewer nothing (Shamir 1979): a
//! polynomial of degree t - 1 over the field of 256 elements for each byte. Whether a share is the one
//! that was given out is checked by commitments to shares and by the secret's own public key.

use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::mask::Key;
use crate::{Error, gf256, secret};

/// The length of secrets and shares.
const BYTES: usize = 32;

/// One share: the values at its point, wiped when it goes.
#[derive(Clone)]
pub struct Share {
    /// The point, 1 to 255.
    point: u8,
    values: Key,
}

secret!(Share);

impl Share {
    /// A share that was given out.
    ///
    /// # Errors
    /// [`Error::Setting`] for point 0, where the secret itself is.
    pub fn new(point: u8, values: [u8; 32]) -> Result<Self, Error> {
        match point {
            0 => Err(Error::setting("point", 0, "1 to 255")),
            _ => Ok(Self { point, values: Zeroizing::new(values) }),
        }
    }

    /// Where the polynomials were evaluated.
    pub fn point(&self) -> u8 {
        self.point
    }

    /// The values there: they tell of the secret.
    pub fn values(&self) -> &[u8; 32] {
        &self.values
    }
}

/// Splits a secret into shares at the points 1 to `n`.
///
/// * `threshold` — how many shares give the secret, 2 to `n`.
/// * `n` — at most 255.
/// * `rng` — draws 32 (`threshold` - 1) bytes: every coefficient but the secret is uniform, 0 included.
///
/// # Errors
/// [`Error::Setting`].
pub fn split(
    secret: &[u8; 32],
    threshold: usize,
    n: usize,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Share>, Error> {
    let n = u8::try_from(n).map_err(|_| Error::setting("shares", n, "at most 255"))?;
    if !(2..=usize::from(n)).contains(&threshold) {
        return Err(Error::setting("threshold", threshold, "2 to the number of shares"));
    }
    let mut coefficients = Zeroizing::new(vec![[0; BYTES]; threshold - 1]);
    rng.fill_bytes(coefficients.as_flattened_mut());
    let share = |point| {
        let mut values = Zeroizing::new([0; BYTES]);
        // Horner's rule, from the highest coefficient to the secret.
        for coefficient in coefficients.iter().rev().chain([secret]) {
            for (value, coefficient) in values.iter_mut().zip(coefficient) {
                *value = gf256::add(gf256::mul(*value, point), *coefficient);
            }
        }
        Share { point, values }
    };
    Ok((1..=n).map(share).collect())
}

/// Returns the secret from at least `threshold` shares; those beyond are compared with it.
///
/// # Errors
/// [`Error::TooFewShares`]; [`Error::SharePoint`] for two shares of one point, and for the first
/// share that does not lie on the polynomials of those before it.
pub fn combine(shares: &[Share], threshold: usize) -> Result<Zeroizing<[u8; 32]>, Error> {
    let (got, needed) = (shares.len(), threshold);
    if got < needed || needed == 0 {
        return Err(Error::TooFewShares { got, needed });
    }
    for (at, share) in shares.iter().enumerate() {
        if shares[..at].iter().any(|other| other.point == share.point) {
            return Err(Error::SharePoint { point: share.point, fault: "is there twice" });
        }
    }
    let (first, beyond) = shares.split_at(threshold);
    for share in beyond {
        let expected = at_point(first, share.point);
        if !bool::from(expected.as_slice().ct_eq(share.values.as_slice())) {
            return Err(Error::SharePoint { point: share.point, fault: "is of another secret" });
        }
    }
    Ok(at_point(first, 0))
}

/// The polynomials through these shares at a point (Lagrange).
fn at_point(shares: &[Share], point: u8) -> Key {
    let mut values = Zeroizing::new([0; BYTES]);
    for share in shares {
        let (mut numerator, mut denominator) = (1, 1);
        for other in shares.iter().filter(|other| other.point != share.point) {
            numerator = gf256::mul(numerator, gf256::add(point, other.point));
            denominator = gf256::mul(denominator, gf256::add(share.point, other.point));
        }
        let weight = gf256::mul(numerator, gf256::inverse(denominator));
        for (value, own) in values.iter_mut().zip(share.values.iter()) {
            *value = gf256::add(*value, gf256::mul(weight, *own));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    fn shares(seed: u64, threshold: usize, n: usize) -> ([u8; 32], Vec<Share>) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        (secret, split(&secret, threshold, n, &mut rng).unwrap())
    }

    #[test]
    fn fewer_shares_than_the_threshold_fit_every_secret() {
        let (_, shares) = shares(1, 3, 5);
        // For any secret there is a polynomial through two of three shares.
        for guess in 0..=255 {
            let zero = Share { point: 9, values: Zeroizing::new([guess; 32]) };
            assert!(combine(&[shares[0].clone(), shares[1].clone(), zero], 3).is_ok());
        }
        assert!(matches!(combine(&shares[..2], 3), Err(Error::TooFewShares { got: 2, needed: 3 })));
        assert!(combine(&[], 0).is_err());
    }

    #[test]
    fn a_share_twice_swapped_or_altered_is_refused() {
        let (_, mut shares) = shares(2, 3, 5);
        let twice = [shares[0].clone(), shares[1].clone(), shares[1].clone()];
        assert!(matches!(combine(&twice, 3), Err(Error::SharePoint { point: 2, .. })));
        assert!(Share::new(0, [0; 32]).is_err());
        shares[4].values[7] ^= 1;
        assert!(matches!(combine(&shares, 3), Err(Error::SharePoint { point: 5, .. })));
        let (_, mut swapped) = self::shares(2, 3, 5);
        (swapped[3].values, swapped[4].values) =
            (swapped[4].values.clone(), swapped[3].values.clone());
        assert!(combine(&swapped, 3).is_err());
    }

    #[test]
    fn thresholds_that_protect_nothing_are_refused() {
        let rng = &mut ChaCha20Rng::seed_from_u64(3);
        for (threshold, n) in [(0, 5), (1, 5), (6, 5), (2, 256), (2, 1)] {
            assert!(split(&[0; 32], threshold, n, rng).is_err(), "{threshold} of {n}");
        }
        assert!(split(&[0; 32], 255, 255, rng).is_ok());
    }

    #[test]
    fn a_share_is_not_printed() {
        assert_eq!(format!("{:?}", shares(4, 2, 2).1[0]), "Share { .. }");
    }

    proptest! {
        #[test]
        fn any_shares_of_the_threshold_give_the_secret(
            seed: u64, n in 2usize..12, t in 2usize..12, order: u64,
        ) {
            let t = t.min(n);
            let (secret, mut shares) = shares(seed, t, n);
            let mut rng = ChaCha20Rng::seed_from_u64(order);
            shares.sort_by_cached_key(|_| rng.next_u64());
            for k in t..=n {
                prop_assert_eq!(*combine(&shares[..k], t).unwrap(), secret);
            }
        }
    }
}
