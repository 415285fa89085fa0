//! Charts.

use super::escape::escape;
use crate::curve::Chart;

pub(super) fn curves(curves: &[(String, Chart)]) -> String {
    let mut figures = String::new();
    for (heading, chart) in curves {
        figures +=
            &format!("<figure class=\"curve\">\n<figcaption>{}</figcaption>\n", escape(heading));
        figures += chart.as_svg();
        figures += "</figure>\n";
    }
    match curves.is_empty() {
        true => figures,
        false => format!("<section>\n<h2>Curves</h2>\n{figures}</section>\n"),
    }
}
