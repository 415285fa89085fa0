//! The first half of a good plan.
pub const ENDS: &str = "admission Invalid";

pub fn bytes(good: &[u8]) -> Vec<u8> {
    good[..good.len() / 2].to_vec()
}
