//! The frame of a page: its head, its end, and what holds for
//! every character in it.

use fedwasm_protocol::is_unprintable;
use fedwasm_record::History;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Texts have a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3). Charts come
/// with black and white of their own; in the dark these are turned.
pub(super) const STYLE: &str = include_str!("report.css");

/// Should a text ever slip through unescaped, it stays without effect.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The words of a page about one file.
pub(crate) struct Shell<'a> {
    pub(crate) title: &'a str,
    pub(crate) kind: &'a str,
    /// The file that the page is made of.
    pub(crate) source: &'a str,
}

pub(crate) fn page(Shell { title, kind, source }: &Shell<'_>, body: &Markup) -> String {
    let title = format!("{title} – {}", kind.to_lowercase());
    let footer = html! { "Made by fedwasm; " code { (source) } " holds the same and more." };
    frame(&title, body, &footer)
}

/// A page with a title, and the sentence at its end.
pub(super) fn frame(title: &str, body: &Markup, footer: &Markup) -> String {
    let page = html! {
        (DOCTYPE) "\n"
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                // Our own file. A browser reads no entities in a style, so that escaped quotes
                // would be no quotes.
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (body)
                    footer {
                        p { (footer) }
                    }
                }
            }
        }
        "\n"
    };
    printable(&page.into_string())
}

pub(super) fn kind(history: &History) -> &'static str {
    if history.is_local() { "Local run report" } else { "Experiment report" }
}

/// Turns what turns or hides text into blanks, of the whole page, so that no text is left out.
/// Markup has no such characters but line ends.
fn printable(page: &str) -> String {
    page.chars().map(|c| if c != '\n' && is_unprintable(c) { ' ' } else { c }).collect()
}
