//! A million component types inside of each other, which would take a decoder
//! that calls itself to the end of its stack.
pub const ENDS: &str = "admission TooMany";

pub fn bytes(_: &[u8]) -> Vec<u8> {
    let body = [vec![1], [0x41, 1, 1].repeat(1_000_000), vec![0x7f]].concat();
    let (mut len, mut rest) = (Vec::new(), body.len());
    while rest > 0x7f {
        len.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    len.push(rest as u8);
    [b"\0asm\x0d\0\x01\0".to_vec(), vec![7], len, body].concat()
}
