//! Charts under their headings.

use maud::{Markup, PreEscaped, html};

use super::Report;

pub(super) fn section(report: &Report<'_>) -> Markup {
    html! {
        @if !report.curves.is_empty() {
            section {
                h2 { "Curves" }
                @if report.n_not_drawn > 0 {
                    p.note { (report.n_not_drawn) " further nodes are not drawn." }
                }
                div.curves {
                    @for (heading, chart) in &report.curves {
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
