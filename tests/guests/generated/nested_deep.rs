//! A hundred thousand components inside of each other.
pub const ENDS: &str = "admission TooMany";

pub fn bytes(_: &[u8]) -> Vec<u8> {
    // From the inside out, backwards: lengths are known then.
    let mut backwards: Vec<u8> = Vec::new();
    for _ in 0..100_000 {
        backwards.extend(b"\x00\x01\x00\x0dmsa\x00");
        let mut len = backwards.len();
        let mut leb = Vec::new();
        loop {
            leb.push((len & 0x7f) as u8 | if len > 0x7f { 0x80 } else { 0 });
            len >>= 7;
            if len == 0 {
                break;
            }
        }
        backwards.extend(leb.iter().rev());
        // The section of a nested component.
        backwards.push(4);
    }
    backwards.extend(b"\x00\x01\x00\x0dmsa\x00");
    backwards.reverse();
    backwards
}
