//! The beginning and the end of a page.

use fedwasm_record::History;

use super::escape::escape;

pub(super) fn head(history: &History) -> String {
    // Should a text ever slip through unescaped, it stays without effect.
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{} – {}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n",
        escape(&history.name),
        kind(history).to_lowercase(),
    )
}

pub(super) fn kind(history: &History) -> &'static str {
    if history.is_local() { "Local run report" } else { "Experiment report" }
}

/// Texts have a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3). Charts come
/// with black and white of their own; in the dark these are turned.
pub(super) const STYLE: &str = include_str!("report.css");
