//! What an engine compiled, as it would lie in a cache: machine code.
pub const ENDS: &str = "admission NotAComponent";

pub fn bytes(_: &[u8]) -> Vec<u8> {
    [b"\x7fELF\x02\x01\x01".to_vec(), vec![0; 4096]].concat()
}
