//! A table under its heading.

use fedwasm_protocol::Evaluation;
use maud::{Markup, Render, html};

use super::metrics::{Chosen, metric};
use super::numbers::opt;

/// A column of a table, or several under one heading.
#[derive(Clone, Copy)]
pub(super) enum Column<'a> {
    Text(&'a str),
    Number(&'a str),
    Group(&'a str, &'a [&'a str]),
    /// Says in a picture what the column before says, and has no name.
    Drawn,
}

pub(super) fn section(
    heading: &str,
    notes: impl Render,
    columns: &[Column<'_>],
    rows: &[Markup],
) -> Markup {
    let in_groups: Vec<&str> = columns
        .iter()
        .flat_map(|column| match column {
            Column::Group(_, names) => *names,
            Column::Text(_) | Column::Number(_) | Column::Drawn => &[],
        })
        .copied()
        .collect();
    let notes = notes.render();
    html! {
        section {
            h2 { (heading) }
            @if !notes.0.is_empty() { p.note { (notes) } }
            div.scroll tabindex="0" role="region" aria-label=(heading) {
                table {
                    thead {
                        tr { @for column in columns { (head(column, !in_groups.is_empty())) } }
                        @if !in_groups.is_empty() {
                            tr { @for name in in_groups { th.n scope="col" { (breakable(name)) } } }
                        }
                    }
                    tbody { "\n" @for row in rows { (row) "\n" } }
                }
            }
        }
        "\n"
    }
}

/// The cell of a column in the first line of a head, which has a second one if any has a group.
fn head(column: &Column<'_>, has_groups: bool) -> Markup {
    let n_lines = has_groups.then_some(2);
    html! {
        @match column {
            Column::Text(name) => th scope="col" rowspan=[n_lines] { (breakable(name)) },
            Column::Number(name) => th.n scope="col" rowspan=[n_lines] { (breakable(name)) },
            Column::Group(_, []) => {},
            Column::Group(name, names) => {
                th.group scope="colgroup" colspan=(names.len()) { (name) }
            },
            Column::Drawn => td rowspan=[n_lines] {},
        }
    }
}

/// Long names of metrics may break on paper.
fn breakable(name: &str) -> Markup {
    html! { @for (nth, part) in name.split('_').enumerate() { @if nth > 0 { "_" wbr; } (part) } }
}

pub(super) fn metric_cells(chosen: &Chosen<'_>, evaluation: Option<&Evaluation>) -> Markup {
    html! { @for name in &chosen.names { td.n { (opt(metric(evaluation, name))) } } }
}
