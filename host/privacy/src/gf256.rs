//! The field of 256 elements, x^8 + x^4 + x^3 + x + 1 as AES has it (FIPS 197, 4.2). Time does not
//! depend on the elements: no tables, no branches.

/// Sum and difference.
pub(crate) fn add(a: u8, b: u8) -> u8 {
    a ^ b
}

/// Product.
pub(crate) fn mul(a: u8, b: u8) -> u8 {
    let (mut product, mut a) = (0, a);
    for bit in 0..8 {
        product ^= a & (b >> bit & 1).wrapping_neg();
        a = (a << 1) ^ (0x1b & (a >> 7).wrapping_neg());
    }
    product
}

/// The multiplicative inverse, a^254; that of 0 is 0.
pub(crate) fn inverse(a: u8) -> u8 {
    // 254 = 2 + 4 + 8 + 16 + 32 + 64 + 128
    let (mut power, mut inverse) = (a, 1);
    for _ in 0..7 {
        power = mul(power, power);
        inverse = mul(inverse, power);
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_fips_197() {
        // FIPS 197, 4.2 and 4.2.1.
        assert_eq!(mul(0x57, 0x83), 0xc1);
        assert_eq!(mul(0x57, 0x13), 0xfe);
        assert_eq!(add(0x57, 0x83), 0xd4);
    }

    #[test]
    fn every_element_but_zero_has_an_inverse() {
        assert!((1..=255).all(|a| mul(a, inverse(a)) == 1));
        assert_eq!(inverse(0), 0);
    }

    #[test]
    fn products_distribute_over_sums() {
        for (a, b, c) in (0..=255).step_by(7).flat_map(|a| (0..=255).map(move |b| (a, b, b ^ 0x5a)))
        {
            assert_eq!(mul(a, add(b, c)), add(mul(a, b), mul(a, c)));
            assert_eq!(mul(a, b), mul(b, a));
        }
    }
}
