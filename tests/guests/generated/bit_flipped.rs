//! A good plan with a flipped bit in the length of its first section.
pub const ENDS: &str = "admission Invalid";

pub fn bytes(good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    bytes[9] ^= 1;
    bytes
}
