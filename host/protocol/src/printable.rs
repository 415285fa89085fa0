//! Texts of strangers.

/// The most of a stranger's text that is passed on, in characters.
const CHARS_MAX: usize = 1_000;

/// Turns control characters into blanks, and those that turn or hide text
/// (Unicode TR 36, 2.6), so that a stranger's text cannot command a terminal,
/// forge a line or read as another, and cuts it to 1,000 characters.
pub fn printable(text: &str) -> String {
    let hides = |c: char| {
        matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    let clean = |c: char| if c.is_control() || hides(c) { ' ' } else { c };
    text.chars().map(clean).take(CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_commands_nothing() {
        assert_eq!(printable("a\x1b[31m\nb\u{9b}2J\u{202e}c\u{2066}"), "a [31m b 2J c ");
        assert_eq!(printable(&"ä".repeat(2_000)), "ä".repeat(1_000));
    }
}
