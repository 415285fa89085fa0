//! WebAssembly as text, which an engine built with that feature would take.
pub const ENDS: &str = "admission NotAComponent";

pub fn bytes(_: &[u8]) -> Vec<u8> {
    b"(component)".to_vec()
}
