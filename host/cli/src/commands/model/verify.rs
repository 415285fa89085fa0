//! `fedwasm model verify`.

use std::path::Path;

use fedwasm_local::UsableModel;
use fedwasm_record::MODEL_FILE;
use fedwasm_sandbox::Cancel;
use fedwasm_trust::{
    BUNDLE_BYTES_MAX, BUNDLES_MAX, Bundle, Fingerprint, PublicKey, bundles_beside,
};
use serde_json::json;

use crate::command_error::{CommandError, PLAN_REFUSED};
use crate::commands::sandbox;
use crate::printer::Printer;

pub(super) fn verify(
    path: &Path,
    key: Option<&Path>,
    printer: &Printer,
) -> Result<(), CommandError> {
    let key = key.map(PublicKey::read).transpose()?;
    let usable = UsableModel::open(path, None, &sandbox(false, printer)?)?;
    usable.describe(&Cancel::new())?;
    let model = &usable.model;
    for (name, sha256, bytes) in model.about.files() {
        printer.line(format!("{name:<20}  sha256:{sha256}  {bytes} bytes"));
    }
    let signers = signers(&model.dir)?;
    for (hint, _) in &signers {
        let hint = hint.map_or("of an unnamed key".into(), |hint| format!("of the key {hint}"));
        printer.line(format!("signature  {hint}"));
    }
    let is_signed = key.as_ref().map(|key| {
        let by_key = |bundle: &Bundle| bundle.verify_bytes("the model", &model.json, key).is_ok();
        signers.iter().any(|(_, bundle)| by_key(bundle))
    });
    let fingerprint = key.as_ref().map(PublicKey::fingerprint);
    printer.event(
        "result",
        &json!({
            "files": model.about.files().map(|(name, ..)| name).collect::<Vec<_>>(),
            "signatures": signers.iter().map(|(hint, _)| hint).collect::<Vec<_>>(),
            "key": fingerprint,
            "signed": is_signed,
        }),
    );
    match (is_signed, fingerprint) {
        (Some(false), Some(fingerprint)) => {
            let dir = model.dir.display();
            let text = format!("{dir}: it has no signature of the key {fingerprint}");
            Err(CommandError::new(PLAN_REFUSED, text))
        }
        (Some(_), Some(fingerprint)) => {
            printer.line(format!("signed     by {fingerprint}"));
            Ok(())
        }
        _ => {
            printer.note("no --key: the files fit together, and signatures are not checked");
            Ok(())
        }
    }
}

/// The bundles beside `model.json`, and the keys that they name.
fn signers(dir: &Path) -> Result<Vec<(Option<Fingerprint>, Bundle)>, CommandError> {
    let mut signers = Vec::new();
    for file in bundles_beside(&dir.join(MODEL_FILE))?.into_iter().take(BUNDLES_MAX) {
        let json = fedwasm_folder::read_file(&file, BUNDLE_BYTES_MAX)?;
        let bundle = Bundle::from_json(&json)?;
        signers.push((bundle.hint(), bundle));
    }
    Ok(signers)
}
