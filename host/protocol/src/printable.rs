//! Texts of strangers.

/// The most of a stranger's text that is passed on, in characters.
const CHARS_MAX: usize = 1_000;

/// Turns control characters into blanks, so that a stranger's text cannot
/// command a terminal or forge a line, and cuts it to 1,000 characters.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARS_MAX).collect()
}
