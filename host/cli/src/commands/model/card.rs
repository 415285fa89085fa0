//! `fedwasm model card`.

use std::path::Path;

use fedwasm_record::Model;
use fedwasm_report::{card_html, card_markdown};
use serde_json::json;

use crate::command_error::CommandError;
use crate::printer::Printer;

pub(super) fn card(
    path: &Path,
    html: bool,
    out: Option<&Path>,
    printer: &Printer,
) -> Result<(), CommandError> {
    let about = Model::read(path)?.about;
    let card = if html { card_html(&about) } else { card_markdown(&about) };
    match out {
        Some(out) => {
            fedwasm_folder::write_file(out, card.as_bytes())?;
            printer.line(format!("file       {}", out.display()));
        }
        None => printer.line(card.trim_end()),
    }
    printer.event("result", &json!({ "html": html, "out": out, "card": card }));
    Ok(())
}
