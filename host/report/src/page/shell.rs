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

pub(super) fn page(history: &History, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE) "\n"
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (history.name) " – " (kind(history).to_lowercase()) }
                // Our own file. A browser reads no entities in a style, so that escaped quotes
                // would be no quotes.
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (body)
                    footer {
                        p { "Made by fedwasm; " code { "history.json" } " holds the same and more." }
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
