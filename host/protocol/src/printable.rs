//! Texts of strangers.

/// The most of a stranger's text that is passed on, in characters.
const CHARS_MAX: usize = 1_000;

/// Whether a character commands a terminal, or turns or hides text (Unicode
/// TR 36, 2.6).
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Turns control characters into blanks, and those that turn or hide text
/// (Unicode TR 36, 2.6), so that a stranger's text cannot command a terminal,
/// forge a line or read as another, and cuts it to 1,000 characters.
pub fn printable(text: &str) -> String {
    let clean = |c: char| if is_unprintable(c) { ' ' } else { c };
    text.chars().map(clean).take(CHARS_MAX).collect()
}

/// Leaves control characters out and cuts to `chars_max` characters: for errors that repeat parts
/// of a name that is not one.
pub fn plain(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(chars_max).collect()
}

/// Writes such characters in a JSON text as JSON's own escapes: a program reads
/// the same, a terminal that it is shown on is not commanded.
pub fn printable_json(json: &str) -> String {
    let mut clean = String::with_capacity(json.len());
    for c in json.chars() {
        // Between strings JSON has blanks and line ends; in them it escapes those itself.
        let is_plain = c.is_ascii() && c != '\u{7f}';
        if is_plain || !is_unprintable(c) {
            clean.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            clean.push_str(&format!("\\u{unit:04x}"));
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_commands_nothing() {
        assert_eq!(printable("a\x1b[31m\nb\u{9b}2J\u{202e}c\u{2066}"), "a [31m b 2J c ");
        assert_eq!(printable(&"ä".repeat(2_000)), "ä".repeat(1_000));
    }

    #[test]
    fn json_says_the_same_and_commands_nothing() {
        let text = "ä\n\u{9b}2J\u{7f}\u{202e}x\u{200b}\u{e0041}";
        let json = printable_json(&serde_json::to_string_pretty(&[text]).unwrap());
        assert_eq!(json, "[\n  \"ä\\n\\u009b2J\\u007f\\u202ex\\u200b\\udb40\\udc41\"\n]");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text]);
    }
}
