//! `fedwasm model sign`.

use std::path::Path;

use fedwasm_record::{MODEL_FILE, Model};
use fedwasm_trust::{Bundle, KeyPair};
use serde_json::json;

use crate::command_error::CommandError;
use crate::printer::Printer;

pub(super) fn sign(path: &Path, key: &Path, printer: &Printer) -> Result<(), CommandError> {
    let model = Model::read(path)?;
    let key = KeyPair::read(key)?;
    let bundle = Bundle::sign_bytes(&model.json, &key)?;
    let fingerprint = key.public().fingerprint();
    // A name of its own: another signer's bundle stays.
    let name = format!("{MODEL_FILE}.{}.sigstore.json", fingerprint.short());
    let file = model.dir.join(name);
    fedwasm_folder::write_file(&file, &bundle.to_json())?;
    printer.line(format!("key        {fingerprint}"));
    printer.line(format!("signature  {}", file.display()));
    printer.event("result", &json!({ "key": fingerprint, "signature": file }));
    Ok(())
}
