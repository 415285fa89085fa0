//! A good plan and one byte.
pub const ENDS: &str = "admission Invalid";

pub fn bytes(good: &[u8]) -> Vec<u8> {
    [good, b"\xff"].concat()
}
