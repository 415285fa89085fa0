//! Charts under their headings.

use maud::{Markup, PreEscaped, html};

use crate::curve::Chart;

pub(super) fn section(curves: &[(String, Chart)]) -> Markup {
    html! {
        @if !curves.is_empty() {
            section {
                h2 { "Curves" }
                div.curves {
                    @for (heading, chart) in curves {
                        figure.curve {
                            figcaption { (heading) }
                            div.scroll tabindex="0" role="group" aria-label="Chart" {
                                // The plotter made it and escaped the texts in it: `curve::Chart`.
                                (PreEscaped(chart.as_svg()))
                            }
                        }
                    }
                }
            }
            "\n"
        }
    }
}
