//! Breakpoints: all that an experiment needs to resume (Fed-BioMed
//! `Experiment.breakpoint`, `load_breakpoint`).
//!
//! `breakpoints/round-0003/` in the directory of the experiment holds
//! `breakpoint.json`, `params.safetensors`, `aggregator.safetensors` and
//! `history.json`; `best.safetensors` if an earlier round was the best, and `preprocessing.json`
//! with scales of the federation. The first names the others by their SHA-256. The rounds of the
//! history are in `rounds.jsonl` of the experiment, which its breakpoints share; `history.json` has
//! the SHA-256 of those that are its own. A breakpoint is written under another name, brought to disk
//! and renamed, so it is whole or not there. No path is stored: the directory can be moved.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use fedwasm_folder::Folder;
use fedwasm_params::{Params, from_safetensors, to_safetensors};
use fedwasm_protocol::{Digest, ExperimentId, NodeId, ResearcherId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::history::WRITTEN_BY;
use crate::uploads::{UPLOADS, load};
use crate::{Error, History, JobState, Member, NodeRecord, NodeStates, Reply, read_rounds};

/// The format that this program writes. It reads 1, too, whose history had the rounds inside.
const FORMAT: u64 = 2;
const BREAKPOINTS: &str = "breakpoints";
const MAIN: &str = "breakpoint.json";
const PARAMS: &str = "params.safetensors";
const AGGREGATOR: &str = "aggregator.safetensors";
const HISTORY: &str = "history.json";
/// The best parameters so far, unless they are those of the round.
const BEST: &str = "best.safetensors";
const SCALES: &str = "preprocessing.json";
/// The largest of its files, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// All that an experiment needs to resume after a round.
#[derive(Clone, Debug)]
pub struct Breakpoint {
    /// The round that is done; 0 before the first.
    pub round: u32,
    /// Where all randomness comes from.
    pub random_seed: u64,
    /// The plan.
    pub plan_sha256: Digest,
    /// The arguments of the experiment by section, such as `training`.
    pub arguments: BTreeMap<String, Value>,
    /// Nodes, their states, parameters, ids.
    pub job: JobState,
    /// The aggregator's state from round to round.
    pub aggregator: Params,
    /// The history so far, with the replies of every round. Written, it has no rounds if
    /// [`History::rounds_file`] says where they are, and read it has them again.
    pub history: History,
    /// The parameters of [`History::best`], if they are kept.
    pub best: Option<Params>,
}

/// `breakpoint.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Main {
    format: u64,
    written_by: String,
    round: u32,
    random_seed: u64,
    plan_sha256: Digest,
    experiment_id: ExperimentId,
    researcher_id: ResearcherId,
    inputs: Vec<String>,
    /// Values of a row in the inputs, if not one each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n_inputs: Option<usize>,
    nodes: BTreeMap<NodeId, Member>,
    /// Why each of them that was away was so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    away: BTreeMap<NodeId, String>,
    node_states: NodeStates,
    arguments: BTreeMap<String, Value>,
    /// SHA-256 of the files beside this one.
    files: BTreeMap<String, Digest>,
}

/// The part that every format has.
#[derive(Deserialize)]
struct Versioned {
    format: u64,
    #[serde(default)]
    written_by: String,
}

impl Breakpoint {
    /// Writes this breakpoint into the directory of an experiment and keeps the
    /// newest `keep` of all that are there.
    ///
    /// # Errors
    /// [`Error::Io`]; then the earlier files are still there.
    pub fn save(&self, dir: &Path, keep: usize) -> Result<(), Error> {
        let folder = Folder::create(dir)?.folder(BREAKPOINTS)?;
        let name = name(self.round);
        let unfinished = format!("unfinished-{name}");
        // The remains of a program that died.
        for left in folder.names()?.iter().filter(|name| name.starts_with("unfinished-")) {
            folder.remove_folder(left)?;
        }
        let inner = folder.folder(&unfinished)?;
        let safetensors = |params: &Params| to_safetensors(params).map_err(Error::Shapes);
        let mut files = BTreeMap::new();
        let scales = self.job.scales.clone().map(|bytes| (SCALES, bytes));
        let always = [
            (PARAMS, safetensors(&self.job.params)?),
            (AGGREGATOR, safetensors(&self.aggregator)?),
            (HISTORY, json(&self.written_history())?),
        ];
        for (name, bytes) in always.into_iter().chain(scales) {
            inner.write(name, &bytes)?;
            files.insert(name.to_owned(), Digest::of(&bytes));
        }
        let is_best =
            self.history.best.as_ref().is_some_and(|best| best.at == u64::from(self.round));
        if let Some(best) = self.best.as_ref().filter(|_| !is_best) {
            let bytes = safetensors(best)?;
            inner.write(BEST, &bytes)?;
            files.insert(BEST.to_owned(), Digest::of(&bytes));
        }
        let JobState {
            experiment_id,
            researcher_id,
            inputs,
            n_inputs,
            nodes,
            away,
            node_states,
            ..
        } = self.job.clone();
        let main = Main {
            format: FORMAT,
            written_by: WRITTEN_BY.into(),
            round: self.round,
            random_seed: self.random_seed,
            plan_sha256: self.plan_sha256,
            experiment_id,
            researcher_id,
            n_inputs: (n_inputs != inputs.len()).then_some(n_inputs),
            inputs,
            nodes,
            away,
            node_states,
            arguments: self.arguments.clone(),
            files,
        };
        inner.write(MAIN, &json(&main)?)?;
        inner.sync()?;
        // A round that is done again, after a breakpoint further back was taken.
        folder.remove_folder(&name)?;
        folder.rename(&unfinished, &name)?;
        folder.sync()?;
        let rounds = rounds(&folder)?;
        // Those of later rounds belong to a future that was given up.
        let (past, future): (Vec<u32>, Vec<u32>) =
            rounds.into_iter().partition(|round| *round <= self.round);
        let old = past.iter().rev().skip(keep.max(1));
        for round in old.chain(&future) {
            folder.remove_folder(&self::name(*round))?;
        }
        Ok(())
    }

    /// The history as it is written.
    fn written_history(&self) -> Cow<'_, History> {
        match &self.history.rounds_file {
            Some(end) => Cow::Owned(self.history.without_rounds(end.clone())),
            None => Cow::Borrowed(&self.history),
        }
    }

    /// Reads the newest breakpoint of an experiment that is whole; none if
    /// there is none at all. The faults of newer ones are passed to `warn`.
    ///
    /// # Errors
    /// [`Error::Breakpoint`] if none is whole, or if the newest is of a newer
    /// format; [`Error::Io`].
    pub fn newest(dir: &Path, mut warn: impl FnMut(String)) -> Result<Option<Self>, Error> {
        if !Self::exist(dir) {
            return Ok(None);
        }
        let folder = Folder::open(dir)?.folder(BREAKPOINTS)?;
        let mut first_error = None;
        for round in rounds(&folder)?.into_iter().rev() {
            match Self::load(&dir.join(BREAKPOINTS).join(name(round))) {
                Ok(mut breakpoint) => {
                    breakpoint.job.saved = saved(dir, &folder, round)?;
                    breakpoint.job.replies = replies(dir, &breakpoint);
                    return Ok(Some(breakpoint));
                }
                Err(Error::Breakpoint { path, reason }) if !reason.contains(NEWER) => {
                    warn(format!("{}: {reason}; trying an earlier one", path.display()));
                    first_error.get_or_insert(Error::Breakpoint { path, reason });
                }
                Err(error) => return Err(error),
            }
        }
        match first_error {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    /// Removes the breakpoint of an experiment whose first round failed, which is useless: no round
    /// is done, and a node that refused then may accept a new experiment.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn discard(dir: &Path) -> Result<(), Error> {
        let outer = Folder::open(dir)?;
        let folder = outer.folder(BREAKPOINTS)?;
        folder.remove_folder(&name(0))?;
        match folder.names()?.is_empty() {
            true => Ok(outer.remove_folder(BREAKPOINTS)?),
            false => Ok(()),
        }
    }

    /// Removes all breakpoints of an experiment that is overwritten.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn clear(dir: &Path) -> Result<(), Error> {
        Ok(Folder::open(dir)?.remove_folder(BREAKPOINTS)?)
    }

    /// Whether the directory of an experiment holds breakpoints.
    pub fn exist(dir: &Path) -> bool {
        let breakpoints = dir.join(BREAKPOINTS);
        breakpoints.is_dir()
            && Folder::open(&breakpoints)
                .and_then(|folder| folder.names())
                .is_ok_and(|names| names.iter().any(|name| round_of(name).is_some()))
    }

    /// Reads one breakpoint, given its own directory within that of its experiment, which has the
    /// rounds before it.
    ///
    /// # Errors
    /// [`Error::Breakpoint`], [`Error::Io`].
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let mut breakpoint = Self::load_without_rounds(dir)?;
        let out = dir.parent().and_then(Path::parent).unwrap_or(Path::new(".."));
        if let Some(end) = &breakpoint.history.rounds_file {
            breakpoint.history.rounds = read_rounds(out, Some(end)).map_err(|error| {
                let reason = format!("the rounds before it are damaged: {error}");
                Error::Breakpoint { path: dir.to_owned(), reason }
            })?;
        }
        Ok(breakpoint)
    }

    fn load_without_rounds(dir: &Path) -> Result<Self, Error> {
        let bad = |reason: String| Error::Breakpoint { path: dir.to_owned(), reason };
        let folder = Folder::open(dir).map_err(|error| bad(format!("it is damaged: {error}")))?;
        let bytes = folder.read(MAIN, FILE_BYTES_MAX);
        let bytes = bytes.map_err(|error| bad(format!("it is damaged: {error}")))?;
        let damaged = |error: serde_json::Error| bad(format!("{MAIN} is damaged: {error}"));
        let Versioned { format, written_by } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if format > FORMAT {
            let reason = format!(
                "{NEWER} ({written_by}, format {format}; this one reads up to {FORMAT}); update fedwasm"
            );
            return Err(bad(reason));
        }
        if !(1..=FORMAT).contains(&format) {
            return Err(bad(format!("it has the unknown format {format}")));
        }
        let main: Main = serde_json::from_slice(&bytes).map_err(damaged)?;
        let file = |name: &str| {
            let bytes = folder.read(name, FILE_BYTES_MAX);
            let bytes = bytes.map_err(|error| bad(format!("it is damaged: {error}")))?;
            match main.files.get(name) {
                Some(digest) if *digest == Digest::of(&bytes) => Ok(bytes),
                _ => Err(bad(format!("{name} is damaged: its bytes do not match its digest"))),
            }
        };
        let params = |name: &str| {
            from_safetensors(&file(name)?).map_err(|error| bad(format!("{name}: {error}")))
        };
        let history: History = serde_json::from_slice(&file(HISTORY)?).map_err(damaged)?;
        let last = params(PARAMS)?;
        let best = match &history.best {
            None => None,
            Some(best) if best.at == u64::from(main.round) => Some(last.clone()),
            Some(_) => Some(params(BEST)?),
        };
        Ok(Self {
            aggregator: params(AGGREGATOR)?,
            history,
            best,
            job: JobState {
                experiment_id: main.experiment_id,
                researcher_id: main.researcher_id,
                n_inputs: main.n_inputs.unwrap_or(main.inputs.len()),
                inputs: main.inputs,
                nodes: main.nodes,
                away: main.away,
                saved: vec![main.node_states.clone()],
                node_states: main.node_states,
                params: last,
                scales: main.files.contains_key(SCALES).then(|| file(SCALES)).transpose()?,
                replies: BTreeMap::new(),
            },
            round: main.round,
            random_seed: main.random_seed,
            plan_sha256: main.plan_sha256,
            arguments: main.arguments,
        })
    }
}

/// The text of the refusal of a newer format, and of no other refusal.
const NEWER: &str = "it was written by a newer program";

fn name(round: u32) -> String {
    format!("round-{round:04}")
}

fn round_of(name: &str) -> Option<u32> {
    let round = name.strip_prefix("round-")?.parse().ok()?;
    (self::name(round) == name).then_some(round)
}

/// The rounds that have breakpoints, in ascending order.
fn rounds(folder: &Folder) -> Result<Vec<u32>, Error> {
    let mut rounds: Vec<u32> = folder.names()?.iter().filter_map(|name| round_of(name)).collect();
    rounds.sort_unstable();
    Ok(rounds)
}

/// The replies of the last round whose uploads were kept.
fn replies(dir: &Path, breakpoint: &Breakpoint) -> BTreeMap<NodeId, Reply> {
    let Some(last) = breakpoint.history.rounds.last() else { return BTreeMap::new() };
    if !dir.join(UPLOADS).is_dir() {
        return BTreeMap::new();
    }
    let uploads = Folder::open(dir).and_then(|folder| folder.folder(UPLOADS));
    let Ok(uploads) = uploads else { return BTreeMap::new() };
    let reply = |(node, record): (&NodeId, &NodeRecord)| {
        let record = record.clone();
        let upload = record.upload?;
        let aux = record.upload_aux.map(|digest| load(&uploads, &digest));
        let reply = Reply {
            params: Some(load(&uploads, &upload).ok()?),
            aux: aux.transpose().ok()?.unwrap_or_default(),
            upload,
            upload_aux: record.upload_aux,
            state_id: breakpoint.job.node_states.state(node).cloned(),
            n_samples: record.n_samples,
            n_steps: record.n_steps,
            train_loss: record.train_loss,
            evaluation: record.evaluation,
            optimizer_args: record.optimizer_args,
            device: record.device,
            warnings: record.warnings,
            timing: record.timing,
            total_ms: record.total_ms,
        };
        Some((node.clone(), reply))
    };
    last.nodes.iter().filter_map(reply).collect()
}

/// The states that the whole breakpoints up to `round` name, the newest last.
fn saved(dir: &Path, folder: &Folder, round: u32) -> Result<Vec<NodeStates>, Error> {
    let until = rounds(folder)?.into_iter().filter(|other| *other <= round);
    let load =
        |round: u32| Breakpoint::load_without_rounds(&dir.join(BREAKPOINTS).join(name(round))).ok();
    Ok(until.filter_map(load).map(|breakpoint| breakpoint.job.node_states).collect())
}

fn json(value: &impl Serialize) -> std::io::Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(std::io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{empty_history, empty_round};
    use fedwasm_params::Tensor;

    fn breakpoint(round: u32) -> Breakpoint {
        let tensor = Tensor::from_f32(vec![2], &[round as f32, 0.5]).unwrap();
        let params = Params::new(vec![("w".into(), tensor)]).unwrap();
        let (node, mut node_states): (NodeId, _) = ("a".parse().unwrap(), NodeStates::default());
        node_states.sync([&node]);
        node_states.update(&node, Some("s".parse().unwrap()));
        Breakpoint {
            round,
            random_seed: 42,
            plan_sha256: Digest::of(b"plan"),
            arguments: [("training".into(), serde_json::json!({"lr": 0.1}))].into(),
            job: JobState {
                experiment_id: "e".parse().unwrap(),
                researcher_id: "r".parse().unwrap(),
                inputs: vec!["x".into()],
                n_inputs: 1,
                nodes: [(node.clone(), Member { dataset_id: "d".parse().unwrap(), n_rows: 3 })]
                    .into(),
                away: [(node, "it did not answer".to_owned())].into(),
                saved: vec![node_states.clone()],
                node_states,
                params: params.clone(),
                scales: Some(b"{\"columns\": []}".to_vec()),
                replies: BTreeMap::new(),
            },
            aggregator: params,
            history: empty_history(),
            best: None,
        }
    }

    #[test]
    fn the_best_parameters_so_far_are_kept_beside_those_of_the_round() {
        let dir = tempfile::tempdir().unwrap();
        let best = |at: u64| crate::BestRecord {
            at,
            metric: "loss".into(),
            value: 0.5,
            params_sha256: Digest::of(b"best"),
        };
        for (at, has_file) in [(2, true), (3, false)] {
            let kept = breakpoint(at as u32).job.params;
            let mut now = Breakpoint { best: Some(kept.clone()), ..breakpoint(3) };
            now.history.best = Some(best(at));
            now.save(dir.path(), 2).unwrap();
            let path = dir.path().join(BREAKPOINTS).join(name(3)).join(BEST);
            assert_eq!(path.is_file(), has_file);
            let loaded = Breakpoint::newest(dir.path(), |_| {}).unwrap().unwrap();
            assert_eq!((loaded.best, loaded.history.best), (Some(kept), Some(best(at))));
        }
    }

    fn names(dir: &Path) -> Vec<String> {
        Folder::open(&dir.join(BREAKPOINTS)).unwrap().names().unwrap()
    }

    fn newest(dir: &Path) -> Result<(Option<u32>, Vec<String>), String> {
        let mut warnings = Vec::new();
        let newest = Breakpoint::newest(dir, |warning| warnings.push(warning));
        let newest = newest.map_err(|error| error.to_string())?;
        Ok((newest.map(|breakpoint| breakpoint.round), warnings))
    }

    #[test]
    fn what_is_saved_is_loaded_wherever_the_directory_is_moved() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = (dir.path().join("here"), dir.path().join("there"));
        breakpoint(3).save(&here, 2).unwrap();
        std::fs::rename(&here, &there).unwrap();
        let loaded = Breakpoint::newest(&there, |_| {}).unwrap().unwrap();
        let saved = breakpoint(3);
        assert_eq!((loaded.job, loaded.aggregator), (saved.job, saved.aggregator));
        assert_eq!((loaded.round, loaded.arguments), (3, saved.arguments));
        let text = std::fs::read_to_string(there.join(BREAKPOINTS).join("round-0003").join(MAIN));
        assert!(!text.unwrap().contains(dir.path().to_str().unwrap()));
    }

    #[test]
    fn the_newest_are_kept_and_a_given_up_future_is_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(BREAKPOINTS).join("unfinished-round-0007"))
            .unwrap();
        for round in 0..=4 {
            breakpoint(round).save(dir.path(), 2).unwrap();
        }
        assert_eq!(names(dir.path()), ["round-0003", "round-0004"]);
        breakpoint(3).save(dir.path(), 2).unwrap();
        assert_eq!(names(dir.path()), ["round-0003"]);
    }

    #[test]
    fn damage_is_named_and_an_earlier_breakpoint_taken() {
        for file in [MAIN, PARAMS, AGGREGATOR, HISTORY, SCALES] {
            let dir = tempfile::tempdir().unwrap();
            breakpoint(1).save(dir.path(), 2).unwrap();
            breakpoint(2).save(dir.path(), 2).unwrap();
            let damaged = dir.path().join(BREAKPOINTS).join("round-0002").join(file);
            let mut bytes = std::fs::read(&damaged).unwrap();
            let last = bytes.len() / 2;
            bytes.truncate(last);
            std::fs::write(&damaged, &bytes).unwrap();
            let (round, warnings) = newest(dir.path()).unwrap();
            assert_eq!(round, Some(1));
            assert!(warnings[0].contains("round-0002") && warnings[0].contains("damaged"));
            std::fs::remove_file(&damaged).unwrap();
            std::fs::remove_dir_all(dir.path().join(BREAKPOINTS).join("round-0001")).unwrap();
            assert!(newest(dir.path()).unwrap_err().contains("damaged"));
        }
    }

    #[test]
    fn strangers_in_the_directory_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        breakpoint(1).save(dir.path(), 2).unwrap();
        let inside = dir.path().join(BREAKPOINTS);
        std::fs::create_dir(inside.join("round-7")).unwrap();
        std::fs::write(inside.join("round-0009"), b"").unwrap();
        let (round, warnings) = newest(dir.path()).unwrap();
        assert_eq!((round, warnings.len()), (Some(1), 1));
    }

    #[test]
    fn numbers_of_the_history_keep_their_bits() {
        let dir = tempfile::tempdir().unwrap();
        let mut saved = breakpoint(1);
        let values: Vec<f64> = (1..2_000).map(|n| 1.0 / f64::from(n).sqrt()).collect();
        let steps = values.iter().map(|loss| crate::StepRecord { step: 1, loss: *loss });
        saved.history.steps = steps.collect();
        saved.save(dir.path(), 1).unwrap();
        let loaded = Breakpoint::newest(dir.path(), |_| {}).unwrap().unwrap();
        let same = loaded.history.steps.iter().zip(&values);
        assert!(same.clone().count() == values.len());
        assert!(same.into_iter().all(|(step, value)| step.loss.to_bits() == value.to_bits()));
    }

    #[test]
    fn rounds_are_read_from_their_file_up_to_the_breakpoint() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = crate::RoundsFile::begin(dir.path()).unwrap();
        let mut sizes = Vec::new();
        for round in 1..=3 {
            file.append(&empty_round(round)).unwrap();
            let mut saved = breakpoint(round);
            saved.history.rounds = vec![empty_round(round)];
            saved.history.rounds_file = Some(file.end());
            saved.save(dir.path(), 3).unwrap();
            let inner = Folder::open(&dir.path().join(BREAKPOINTS).join(name(round))).unwrap();
            sizes.push(inner.len(HISTORY).unwrap());
        }
        // A breakpoint does not grow with the rounds.
        assert_eq!(sizes[0], sizes[1]);
        let rounds = |dir: &Path| {
            let loaded = Breakpoint::newest(dir, |_| {}).unwrap().unwrap();
            loaded.history.rounds.iter().map(|record| record.round).collect::<Vec<u32>>()
        };
        assert_eq!(rounds(dir.path()), [1, 2, 3]);
        std::fs::remove_dir_all(dir.path().join(BREAKPOINTS).join(name(3))).unwrap();
        assert_eq!(rounds(dir.path()), [1, 2]);
        // Damage in the last line harms no earlier breakpoint.
        let path = dir.path().join("rounds.jsonl");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"round\":2", "\"round\":5")).unwrap();
        assert_eq!(rounds(dir.path()), [1]);
        std::fs::remove_file(&path).unwrap();
        let error = newest(dir.path()).unwrap_err();
        assert!(error.contains("the rounds before it are damaged"), "{error}");
    }

    #[test]
    fn breakpoint_of_format_1_has_its_rounds_inside() {
        let dir = tempfile::tempdir().unwrap();
        let mut saved = breakpoint(2);
        saved.history.rounds = [1, 2].map(empty_round).into();
        saved.save(dir.path(), 1).unwrap();
        let main = dir.path().join(BREAKPOINTS).join(name(2)).join(MAIN);
        let text = std::fs::read_to_string(&main).unwrap();
        std::fs::write(&main, text.replace("\"format\": 2", "\"format\": 1")).unwrap();
        let loaded = Breakpoint::newest(dir.path(), |_| {}).unwrap().unwrap();
        assert_eq!(loaded.history.rounds.len(), 2);
    }

    #[test]
    fn newer_format_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        breakpoint(1).save(dir.path(), 2).unwrap();
        breakpoint(2).save(dir.path(), 2).unwrap();
        let main = dir.path().join(BREAKPOINTS).join("round-0002").join(MAIN);
        let text = r#"{"format": 3, "written_by": "fedwasm 9.0", "more": []}"#;
        std::fs::write(&main, text).unwrap();
        let error = newest(dir.path()).unwrap_err();
        assert!(
            error.contains("newer program (fedwasm 9.0, format 3; this one reads up to 2)"),
            "{error}"
        );
    }

    #[test]
    fn no_breakpoint_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(newest(dir.path()).unwrap().0, None);
        assert_eq!(newest(&dir.path().join("absent")).unwrap().0, None);
        assert!(!Breakpoint::exist(dir.path()));
    }
}
