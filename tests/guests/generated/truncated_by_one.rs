//! A good plan without its last byte.
pub const ENDS: &str = "admission Invalid";

pub fn bytes(good: &[u8]) -> Vec<u8> {
    good[..good.len() - 1].to_vec()
}
