//! 64 MiB of sections that say nothing: small enough, and slow to walk over.
pub const ENDS: &str = "admission TooMany";

pub fn bytes(_: &[u8]) -> Vec<u8> {
    let n = fedwasm_artifact::COMPONENT_BYTES_MAX as usize / 3 - 3;
    [b"\0asm\x0d\0\x01\0".to_vec(), [0, 1, 0].repeat(n)].concat()
}
