//! A model's card: what people should know before they use it, as Markdown or as a page. Equal
//! models give equal bytes. All of it comes from `model.json`, so names of nodes and texts of plans
//! are escaped.

mod facts;
#[cfg(test)]
mod tests;

use fedwasm_protocol::is_unprintable;
use fedwasm_record::ModelFile;
use maud::{Markup, html};

use crate::page::shell::{Shell, page};

use self::facts::{Card, Section};

/// Returns the card as Markdown (GitHub's, with tables).
pub fn card_markdown(about: &ModelFile) -> String {
    let Card { title, kind, facts, sections } = facts::card(about);
    let mut text = format!("# {}\n\n{kind}\n\n", escaped(&title));
    for (name, value) in &facts {
        text += &format!("- **{name}**: {}\n", escaped(value));
    }
    for Section { heading, notes, columns, rows } in &sections {
        text += &format!("\n## {heading}\n");
        for note in notes {
            text += &format!("\n{}\n", escaped(note));
        }
        if rows.is_empty() {
            continue;
        }
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        text += &format!("\n{}|{}\n", line(columns), " --- |".repeat(columns.len()));
        rows.iter().for_each(|row| text += &line(row));
    }
    text
}

/// Returns the card as a page that needs nothing else.
pub fn card_html(about: &ModelFile) -> String {
    let Card { title, kind, facts, sections } = facts::card(about);
    let body = html! {
        header {
            p.kind { (kind) }
            h1 { (title) }
            dl.facts { @for (name, value) in &facts { dt { (name) } dd { (value) } } }
        }
        "\n"
        @for section in &sections { (section_html(section)) }
    };
    page(&Shell { title: &title, kind, source: "model.json" }, &body)
}

fn section_html(Section { heading, notes, columns, rows }: &Section) -> Markup {
    html! {
        section {
            h2 { (heading) }
            @for note in notes { p.note { (note) } }
            @if !rows.is_empty() {
                div.scroll tabindex="0" role="region" aria-label=(heading) {
                    table {
                        thead { tr { @for name in columns { th scope="col" { (name) } } } }
                        tbody {
                            @for row in rows {
                                tr {
                                    @for (nth, cell) in row.iter().enumerate() {
                                        @if nth == 0 { th scope="row" { (cell) } }
                                        @else { td.words { (cell) } }
                                    }
                                }
                                "\n"
                            }
                        }
                    }
                }
            }
        }
        "\n"
    }
}

/// A text that Markdown shows as it is, in one line.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if is_unprintable(c) || c.is_control() => escaped.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '&' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}
