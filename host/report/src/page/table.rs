//! A table under its heading.

use fedwasm_protocol::Evaluation;

use super::escape::escape;
use super::metrics::{Chosen, metric};
use super::numbers::opt;

/// A column of a table, or several under one heading.
pub(super) enum Column<'a> {
    Text(&'a str),
    Number(&'a str),
    Group(&'a str, &'a [&'a str]),
}

/// `notes` and `rows` are HTML.
pub(super) fn section(heading: &str, notes: &str, columns: &[Column<'_>], rows: &str) -> String {
    let is_group = |c: &Column<'_>| matches!(c, Column::Group(_, names) if !names.is_empty());
    let has_groups = columns.iter().any(is_group);
    let span = if has_groups { " rowspan=\"2\"" } else { "" };
    let (mut first, mut second) = (String::new(), String::new());
    for column in columns {
        match column {
            Column::Text(name) => first += &heading_cell(span, name),
            Column::Number(name) => first += &heading_cell(&format!("{span} class=\"n\""), name),
            Column::Group(_, []) => {}
            Column::Group(name, names) => {
                let (name, n) = (escape(name), names.len());
                first +=
                    &format!("<th scope=\"colgroup\" class=\"group\" colspan=\"{n}\">{name}</th>");
                second.extend(names.iter().map(|name| heading_cell(" class=\"n\"", name)));
            }
        }
    }
    if has_groups {
        first += &format!("</tr>\n<tr>{second}");
    }
    format!(
        "<section>\n<h2>{heading}</h2>\n<p class=\"note\">{notes}</p>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{heading}\">\n\
         <table>\n<thead>\n<tr>{first}</tr>\n</thead>\n<tbody>\n{rows}</tbody>\n</table>\n\
         </div>\n</section>\n"
    )
}

/// Long names of metrics may break on paper.
fn heading_cell(attributes: &str, name: &str) -> String {
    format!("<th scope=\"col\"{attributes}>{}</th>", escape(name).replace('_', "_<wbr>"))
}

pub(super) fn number_cell(number: &str) -> String {
    format!("<td class=\"n\">{}</td>", escape(number))
}

pub(super) fn metric_cells(chosen: &Chosen<'_>, evaluation: Option<&Evaluation>) -> String {
    chosen.names.iter().map(|name| number_cell(&opt(metric(evaluation, name)))).collect()
}
