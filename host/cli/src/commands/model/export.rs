//! `fedwasm model export`.

use std::path::Path;

use fedwasm_local::{UsableModel, load_preprocessing};
use fedwasm_protocol::Digest;
use serde_json::json;

use crate::command_error::CommandError;
use crate::commands::sandbox;
use crate::printer::Printer;

pub(super) fn export(
    path: &Path,
    onnx: &Path,
    scales: Option<&Path>,
    printer: &Printer,
) -> Result<(), CommandError> {
    let scales = scales.map(load_preprocessing).transpose()?;
    let model = UsableModel::open(path, scales, &sandbox(false, printer)?)?;
    let bytes = model.to_onnx()?;
    fedwasm_folder::write_file(onnx, &bytes)?;
    let sha256 = Digest::of(&bytes);
    printer.line(format!("file       {}  {} bytes, sha256:{sha256}", onnx.display(), bytes.len()));
    printer.event("result", &json!({ "onnx": onnx, "sha256": sha256, "bytes": bytes.len() }));
    Ok(())
}
