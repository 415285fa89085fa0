//! Charts under their headings.

use maud::{Markup, PreEscaped, html};

use super::Report;
use crate::curve::Chart;

pub(super) fn section(report: &Report<'_>) -> Markup {
    let note = html! {
        @if report.n_not_drawn > 0 {
            p.note { (report.n_not_drawn) " further nodes are not drawn." }
        }
    };
    section_of(&report.curves, &note)
}

/// Charts without a remark.
pub(super) fn figures(curves: &[(String, Chart)]) -> Markup {
    section_of(curves, &html! {})
}

fn section_of(curves: &[(String, Chart)], note: &Markup) -> Markup {
    html! {
        @if !curves.is_empty() {
            section {
                h2 { "Curves" }
                (note)
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
