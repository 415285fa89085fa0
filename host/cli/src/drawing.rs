//! Draws the mistakes of a file as compilers do: each with its place and its line.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use fedwasm_protocol::{FileMistakes, Found};

use crate::printer::clean;

/// The longest line that is shown, in bytes; of a longer one only the place is told.
const LINE_BYTES_MAX: usize = 4_096;

/// Draws all mistakes of a file, and what to do under the last. The text commands no terminal,
/// except for its colours if `is_coloured`.
pub(crate) fn draw(file: &FileMistakes, help: Option<&str>, is_coloured: bool) -> String {
    let mut groups: Vec<Group<'_>> = file.found().iter().map(|found| group(file, found)).collect();
    if let Some(help) = help
        && let Some(last) = groups.pop()
    {
        groups.push(last.element(Level::HELP.message(clean(help))));
    }
    if file.n_more() > 0 {
        let text = format!("the file has {} more mistakes", file.n_more());
        groups.push(Group::with_title(Level::NOTE.primary_title(text)));
    }
    // Links would name the directory that it is run in.
    let renderer =
        if is_coloured { Renderer::styled().hyperlink(false) } else { Renderer::plain() };
    let drawn: Vec<String> = groups.into_iter().map(|group| renderer.render(&[group])).collect();
    drawn.join("\n\n")
}

/// The place of a mistake in words, such as `args.toml:4:20`.
pub(crate) fn place(file: &FileMistakes, range: &Range<usize>) -> String {
    let (line, column) = file.line_and_column(range.start);
    format!("{}:{line}:{column}", file.path().display())
}

fn group<'a>(file: &FileMistakes, Found { message, range }: &Found) -> Group<'a> {
    let title = Level::ERROR.primary_title(clean(message));
    let path = clean(&file.path().display().to_string());
    let Some(range) = range else { return title.element(Origin::path(path)) };
    let (line, column) = file.line_and_column(range.start);
    match shown(file.text(), range) {
        Some((text, range)) => {
            let caret = AnnotationKind::Primary.span(range);
            title.element(Snippet::source(text).line_start(line).path(path).annotation(caret))
        }
        None => title.element(Origin::path(path).line(line).char_column(column)),
    }
}

/// The line of a range as it is shown, and the range in it; none if it is too long.
fn shown(text: &str, range: &Range<usize>) -> Option<(String, Range<usize>)> {
    let (before, after) = (text.get(..range.start)?, text.get(range.end..)?);
    let before = before.rsplit('\n').next()?;
    let after = after.split('\n').next()?;
    let inner = text.get(range.clone())?;
    if before.len() + inner.len() + after.len() > LINE_BYTES_MAX {
        return None;
    }
    // Tabs are drawn as blanks, and carets know of it.
    let clean = |text: &str| text.split('\t').map(clean).collect::<Vec<_>>().join("\t");
    let (before, inner, after) = (clean(before), clean(inner), clean(after.trim_end()));
    Some((format!("{before}{inner}{after}"), before.len()..before.len() + inner.len()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fedwasm_protocol::{Mistake, Place};

    use super::*;

    fn value(field: &str) -> Place {
        Place::Value(field.into())
    }

    fn key(field: &str) -> Place {
        Place::Key(field.into())
    }

    fn file(text: &str, places: &[Place]) -> FileMistakes {
        let mistake = |place: &Place| Mistake { place: place.clone(), message: "wrong".into() };
        let mistakes = places.iter().map(mistake).collect();
        FileMistakes::new(Path::new("a.toml"), text.into(), mistakes)
    }

    fn drawn(text: &str, place: Place) -> String {
        let drawn = draw(&file(text, &[place]), None, false);
        drawn.strip_prefix("error: wrong\n").unwrap().to_owned()
    }

    #[test]
    fn every_mistake_has_its_place_and_the_last_the_help() {
        let text = "rounds = 0\n\n[training]\nepochs = -1\n";
        let places = [value("rounds"), key("training.epochs"), value("training.lr"), value("name")];
        assert_eq!(
            draw(&file(text, &places), Some("do this,\nthen that"), false),
            "error: wrong
 --> a.toml:1:10
  |
1 | rounds = 0
  |          ^

error: wrong
 --> a.toml:4:1
  |
4 | epochs = -1
  | ^^^^^^

error: wrong
 --> a.toml:3:1
  |
3 | [training]
  | ^^^^^^^^^^

error: wrong
--> a.toml
 = help: do this,
         then that"
        );
    }

    #[test]
    fn values_are_found_however_they_are_written() {
        let inputs = Place::Text { below: "data".into(), text: "c".into() };
        for (text, place, expected) in [
            (
                "training = { optimizer_args = { lr = -1.0 } }",
                value("training.optimizer_args.lr"),
                " --> a.toml:1:38
  |
1 | training = { optimizer_args = { lr = -1.0 } }
  |                                      ^^^^",
            ),
            (
                "training.optimizer_args.lr = -1",
                value("training.optimizer_args.lr"),
                " --> a.toml:1:30
  |
1 | training.optimizer_args.lr = -1
  |                              ^^",
            ),
            // In an array, and in one of several lines.
            (
                "[data]\ninputs = [\"a\",\n  \"c\"]",
                inputs,
                " --> a.toml:3:3
  |
3 |   \"c\"]
  |   ^^^",
            ),
            (
                "[data]\r\ninputs = [\"a\",\r\n  \"c\"]\r\n",
                value("data.inputs"),
                " --> a.toml:2:10
  |
2 | inputs = [\"a\",
  |          ^^^^^",
            ),
            (
                "note = '''\nfirst\nsecond'''",
                value("note"),
                " --> a.toml:1:8
  |
1 | note = '''
  |        ^^^",
            ),
            // Columns are counted in characters, and carets stand below what they mean.
            (
                "\t\"é漢\" = { b = '漢', \"x.y\" = 3 }",
                key("é漢.x.y"),
                " --> a.toml:1:20
  |
1 |     \"é漢\" = { b = '漢', \"x.y\" = 3 }
  |                         ^^^^^",
            ),
        ] {
            assert_eq!(drawn(text, place), expected, "{text}");
        }
    }

    #[test]
    fn a_mistake_of_syntax_is_where_the_parser_says() {
        for (text, expected) in [
            ("a = 1\na = 2", " --> a.toml:2:1\n  |\n2 | a = 2\n  | ^"),
            ("a = 'x\n", " --> a.toml:1:7\n  |\n1 | a = 'x\n  |       ^"),
            ("a =", " --> a.toml:1:4\n  |\n1 | a =\n  |    ^"),
        ] {
            let error = text.parse::<toml::Table>().unwrap_err();
            let file = FileMistakes::of_toml(Path::new("a.toml"), text.into(), &error);
            let drawn = draw(&file, None, false);
            let title = format!("error: {}\n", error.message());
            assert_eq!(drawn.strip_prefix(&title), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_long_line_is_not_shown_and_many_mistakes_are_counted() {
        let long = format!("{}a = \"{}\"", " ".repeat(1 << 20), "x".repeat(1 << 20));
        assert_eq!(drawn(&long, value("a")), "--> a.toml:1:1048581");
        let keys = |n| (0..n).map(|n| format!("k{n} = 1\n")).collect::<String>();
        let places: Vec<Place> = (0..1_000).map(|n| key(&format!("k{n}"))).collect();
        let drawn = draw(&file(&keys(1_000), &places), None, false);
        assert_eq!(drawn.matches("error: ").count(), 100);
        assert!(drawn.ends_with("\n\nnote: the file has 900 more mistakes"));
    }

    #[test]
    fn a_strangers_text_commands_nothing() {
        let text = "a = \"\u{9b}2J\u{202e}\" # \u{9b}31m";
        let mistake = Mistake { place: value("a"), message: "\u{1b}[2Jis\u{200b}\nwrong".into() };
        let path = Path::new("\u{1b}[1m.toml");
        let file = FileMistakes::new(path, text.into(), vec![mistake]);
        for is_coloured in [false, true] {
            let drawn = draw(&file, Some("\u{1b}]0;x\u{7}"), is_coloured);
            for stranger in ["\u{9b}", "\u{202e}", "\u{200b}", "\u{7}", "\u{1b}[2J", "\u{1b}[1m."] {
                assert!(!drawn.contains(stranger), "{}", drawn.escape_debug());
            }
            assert_eq!(drawn.contains('\u{1b}'), is_coloured);
        }
    }
}
