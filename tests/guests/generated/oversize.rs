//! One byte more than is admitted, all of it in a section that says nothing.
pub const ENDS: &str = "admission TooLarge";

pub fn bytes(good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    bytes.resize(fedwasm_artifact::COMPONENT_BYTES_MAX as usize + 1, 0);
    bytes
}
