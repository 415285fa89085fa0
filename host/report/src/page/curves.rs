//! Charts.

use super::escape::escape;

pub(super) fn curves(curves: &[(String, String)]) -> String {
    let mut figures = String::new();
    for (heading, svg) in curves {
        figures +=
            &format!("<figure class=\"curve\">\n<figcaption>{}</figcaption>\n", escape(heading));
        // `draw` escapes what would be a tag, but keeps control characters.
        figures.extend(svg.chars().filter(|c| !c.is_control() || *c == '\n'));
        figures += "</figure>\n";
    }
    match curves.is_empty() {
        true => figures,
        false => format!("<section>\n<h2>Curves</h2>\n{figures}</section>\n"),
    }
}
