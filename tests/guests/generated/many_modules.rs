//! A thousand empty modules.
pub const ENDS: &str = "admission TooMany";

pub fn bytes(_: &[u8]) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    (0..1_000).for_each(|_| bytes.extend(b"\x01\x08\0asm\x01\0\0\0"));
    bytes
}
