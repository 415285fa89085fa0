//! The files that an experiment and a local job leave behind.

use std::path::Path;

use fedwasm_folder::Folder;
use fedwasm_params::{Params, mpk, to_safetensors};
use fedwasm_protocol::Digest;

use crate::curve::{Line, draw};
use crate::{Error, History};

/// Returns the identity of parameters: the SHA-256 of `params.safetensors`.
pub(crate) fn params_digest(params: &Params) -> Result<(Digest, Vec<u8>), Error> {
    let bytes = to_safetensors(params).map_err(Error::Aggregation)?;
    Ok((Digest::of(&bytes), bytes))
}

/// Makes the directory, and fails if files could not be written there later.
pub(crate) fn prepare(dir: &Path) -> Result<(), Error> {
    let writable = Folder::create(dir).and_then(|folder| folder.check_writable());
    writable.map_err(Error::Out)
}

/// Writes `params.mpk`, `params.safetensors`, `history.json` and `curve.svg`.
pub(crate) fn write(
    dir: &Path,
    researcher_id: &str,
    params: &Params,
    history: &History,
) -> Result<Folder, Error> {
    let folder = Folder::create(dir)?;
    let mpk = mpk::write_params(researcher_id, params).map_err(Error::Aggregation)?;
    folder.write("params.mpk", &mpk)?;
    folder.write("params.safetensors", &params_digest(params)?.1)?;
    let json = serde_json::to_vec_pretty(history).map_err(std::io::Error::from)?;
    folder.write("history.json", &json)?;
    folder.write("curve.svg", curve(history)?.as_bytes())?;
    Ok(folder)
}

fn curve(history: &History) -> Result<String, Error> {
    let title = format!("{}: {} {}", history.name, history.plan.name, history.plan.version);
    if !history.steps.is_empty() {
        let points = history.steps.iter().map(|point| (point.step as f64, point.loss)).collect();
        let mut lines = vec![Line { label: "training loss".into(), points }];
        let last = history.steps.last().map_or(0, |point| point.step) as f64;
        let held_out = history.rounds.last().and_then(|round| round.evaluation.as_ref());
        if let Some(loss) = held_out.and_then(|evaluation| evaluation.metrics.get("loss")) {
            let points = vec![(last, *loss)];
            lines.push(Line { label: "held-out loss".into(), points });
        }
        return draw(&title, "step", "loss", &lines);
    }
    let line = |label: &str, value: &dyn Fn(&crate::RoundRecord) -> Option<f64>| {
        let points = history.rounds.iter();
        let points = points.filter_map(|round| Some((f64::from(round.round), value(round)?)));
        Line { label: label.to_owned(), points: points.collect() }
    };
    let mut lines = vec![line("held-out loss", &|round| {
        round.evaluation.as_ref()?.metrics.get("loss").copied()
    })];
    let nodes: std::collections::BTreeSet<_> =
        history.rounds.iter().flat_map(|round| round.nodes.keys()).collect();
    // More lines than colours would say nothing.
    for node in nodes.into_iter().take(8) {
        let loss = |round: &crate::RoundRecord| round.nodes.get(node)?.train_loss;
        lines.push(line(&format!("training loss, {node}"), &loss));
    }
    draw(&title, "round", "loss", &lines)
}
